"""motion: videos of a texture that moves as a formula says."""

import sys

import numpy as np
import pytest
from moving_pictures import shift, turn, write_video, zoom

from affectkit.encoders import _flow, motion
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (affectkit[face])")
FLOWS = pytest.mark.parametrize("flow", ["farneback", "dis"])


def built(**options):
    encoder = motion.build(**options)
    load(encoder, "cpu")
    return encoder


def values_of(path, **options):
    """[W, regions, features] by name of the feature: [W, regions]."""
    seconds = {name: options.pop(name) for name in ("start_sec", "end_sec", "stretches") if name in options}
    encoder = built(**options)
    values = encode_items(encoder, [Item("a", path, **seconds)]).values[0]
    assert values.dtype == np.float32 and np.isfinite(values).all() and values.shape[-1] == len(encoder.feature_names)
    return dict(zip(_flow.FEATURES, np.moveaxis(values.reshape(len(values), -1, _flow.MEASURES), -1, 0), strict=True))


@FLOWS
@pytest.mark.parametrize("size", [(160, 120), (121, 173), (320, 240)])
def test_a_shift_is_its_velocity_in_every_region(tmp_path, flow, size):
    """.25 heights per second to the right and .1 up, whatever the resolution, by hand."""
    path = write_video(tmp_path / "a.avi", shift(0.25 * size[1], 0.1 * size[1]), size=size)
    found = values_of(path, flow=flow)
    assert found["magnitude"].shape == (2, 9)
    np.testing.assert_allclose(found["horizontal"], 0.25, rtol=0.05)
    np.testing.assert_allclose(found["vertical"], 0.1, rtol=0.08)
    np.testing.assert_allclose(found["magnitude"], np.hypot(0.25, 0.1), rtol=0.05)
    assert (found["moving"] > 0.99).all() and (found["magnitude_sd"] < 0.02).all()
    np.testing.assert_allclose(found["divergence"], 0, atol=0.1)
    np.testing.assert_allclose(found["curl"], 0, atol=0.1)


@FLOWS
def test_turning_and_zooming(tmp_path, flow):
    """Curl is twice the angular speed, divergence twice the rate of growth; both fields are linear in x and y."""
    turned = values_of(write_video(tmp_path / "t.avi", turn(0.3)), flow=flow, regions="1x1")
    np.testing.assert_allclose(turned["curl"], 0.6, rtol=0.12)
    np.testing.assert_allclose(turned["divergence"], 0, atol=0.05)
    zoomed = values_of(write_video(tmp_path / "z.avi", zoom(-0.2)), flow=flow, regions="1x1")
    np.testing.assert_allclose(zoomed["divergence"], -0.4, rtol=0.12)
    np.testing.assert_allclose(zoomed["curl"], 0, atol=0.05)


def test_regions_are_rows_first_from_the_top_left(tmp_path):
    """What turns counterclockwise goes left at the top, down on the left, right at the bottom, up on the right."""
    found = values_of(write_video(tmp_path / "a.avi", turn(0.4)), window=2)
    assert built().feature_names[_flow.MEASURES + 1] == "r1c2_magnitude_sd"
    main = {name: found[f"direction_{name}"][0] for name in ("left", "down", "right", "up")}
    assert [max(main, key=lambda name: main[name][region]) for region in (1, 3, 7, 5)] == list(main)
    shares = sum(found[f"direction_{name}"] for name in _flow.DIRECTIONS)
    np.testing.assert_allclose(shares, 1, atol=1e-6)


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_directions(degrees):
    """Of a field that was written, not computed: half a pixel a frame, all of it in one of the eight."""
    angle = np.radians(degrees + 10)
    field = np.broadcast_to(np.array([np.cos(angle), -np.sin(angle)], np.float32) / 2, (40, 60, 2))
    grid = _flow.Grid(60, 40, 1.5, 2, 3)
    found = _flow.features(grid.measures(cv2, field, 0.1)).reshape(6, -1)
    np.testing.assert_allclose(found[:, 0], 0.5 / 40 / 0.1, rtol=1e-5)
    np.testing.assert_allclose(found[:, 3:5], np.tile([np.cos(angle), np.sin(angle)], (6, 1)) * 0.125, rtol=1e-5)
    np.testing.assert_array_equal(found[:, 7:], np.tile(np.eye(8)[degrees // 45], (6, 1)))


def test_every_figure_by_a_loop_over_pixels():
    """Slopes by numpy's least squares, the rest by hand."""
    rng = np.random.default_rng(0)
    field, seconds, height, width = rng.normal(0, 0.6, (31, 47, 2)).astype(np.float32), 0.2, 31, 47
    found = _flow.features(_flow.Grid(width, height, 1.7, 2, 3).measures(cv2, field, seconds)).reshape(2, 3, -1)
    right, up = field[..., 0] * 1.7 / width / seconds, -field[..., 1] / height / seconds
    x, y = np.meshgrid(np.arange(width) * 1.7 / width, -np.arange(height) / height)
    part = np.s_[16:31, 31:47]  # the region at the bottom right: edges at 31 / 2 and 2 * 47 / 3, rounded
    speed = np.hypot(right, up)[part]
    design = np.stack([x[part].ravel(), y[part].ravel(), np.ones(speed.size)], axis=1)
    (rx, ry, _), (ux, uy, _) = (np.linalg.lstsq(design, v[part].ravel(), rcond=None)[0] for v in (right, up))
    bins = np.round(np.degrees(np.arctan2(up, right))[part] / 45).astype(int) % 8
    shares = np.bincount(bins.ravel(), np.where(speed > _flow.MOVES, speed, 0).ravel(), minlength=8)
    expected = [
        speed.mean(), speed.std(), (speed > _flow.MOVES).mean(), right[part].mean(), up[part].mean(),
        rx + uy, ux - ry, *shares / shares.sum(),
    ]  # fmt: skip
    np.testing.assert_allclose(found[1, 2], expected, rtol=1e-3, atol=1e-4)


@FLOWS
def test_where_nothing_moves_all_is_zero(tmp_path, flow):
    found = values_of(write_video(tmp_path / "a.avi", shift(0, 0)), flow=flow)
    for name, values in found.items():
        np.testing.assert_allclose(values, 0, atol=5e-3, err_msg=name)
    assert not any(found[f"direction_{name}"].any() for name in _flow.DIRECTIONS) and not found["moving"].any()


def test_the_rate_of_the_video_and_of_the_sampling_change_little(tmp_path):
    paths = [
        write_video(tmp_path / f"{fps}.avi", shift(10, -4), fps=fps, seconds=2.1, size=(80, 60)) for fps in (10, 25, 30)
    ]
    first = values_of(paths[0])
    for path, fps in ((paths[1], 10), (paths[2], 10), (paths[2], 7)):
        found = values_of(path, fps=fps)
        assert found["magnitude"].shape == first["magnitude"].shape
        for name in ("magnitude", "horizontal", "vertical", "moving"):
            np.testing.assert_allclose(found[name], first[name], atol=0.012, err_msg=f"{name} {path.name} {fps}")


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    """8 s: two to the right, two still, two up, two to the left, at 10, 0, 5 and 20 pixels a second of 60."""
    legs = [(0, 0), (20, 0), (20, 0), (20, 10), (-20, 10)]

    def at(t):
        right, up = (np.interp(t, range(0, 9, 2), [leg[side] for leg in legs]) for side in (0, 1))
        return shift(right, up)(1.0)

    return write_video(tmp_path_factory.mktemp("motion") / "a.mkv", at, seconds=8.1, size=(80, 60))


def test_windows_stand_where_they_say(changing):
    found = values_of(changing, window=2)
    assert found["magnitude"].shape == (4, 9)
    right, up = found["horizontal"].mean(axis=1) * 120, found["vertical"].mean(axis=1) * 120
    np.testing.assert_allclose(right, [20, 0, 0, -40], atol=1)
    np.testing.assert_allclose(up, [0, 0, 10, 0], atol=0.7)
    half = values_of(changing, window=2, stride=1)["horizontal"].mean(axis=1) * 120
    np.testing.assert_allclose(half, [20, 10, 0, 0, 0, -20, -40, -40], atol=1)  # the last is half recorded


def test_a_rows_seconds_and_stretches_are_all_that_is_read(changing):
    part = values_of(changing, start_sec=4.0, end_sec=8.0)
    np.testing.assert_allclose(part["vertical"].mean(axis=1) * 120, [10, 10, 0, 0], atol=0.7)
    pieces = values_of(changing, stretches=((0.0, 1.0), (6.5, 7.5)))
    np.testing.assert_allclose(pieces["horizontal"].mean(axis=1) * 120, [20, -40], atol=1.5)
    assert (pieces["magnitude_sd"] < 0.03).all()  # no pair of frames reaches from one into the next
    tiny = values_of(changing, stretches=((0.0, 1.0), (3.01, 3.02), (6.5, 7.5)))  # between two frames
    assert tiny["magnitude"].shape == (2, 9)


def test_pooled_over_windows(changing):
    part = Item("a", changing, start_sec=1.0, end_sec=4.0)
    windows = encode_items(built(), [part]).values[0].astype(float)
    names = built().feature_names
    for how, width in (("mean", 1), ("mean-std", 2), ("stats", 3)):
        encoder = built(pool=how)
        pooled = encode_items(encoder, [part]).values[0].reshape(-1, width)
        np.testing.assert_allclose(pooled[:, 0], windows.mean(axis=0), atol=1e-6)
        if width > 1:
            np.testing.assert_allclose(pooled[:, 1], windows.std(axis=0), atol=1e-6)
        if width > 2:
            slopes = np.polyfit(np.arange(len(windows)), windows, 1)[0]
            np.testing.assert_allclose(pooled[:, 2], slopes, atol=1e-6)
        ends = ("",) if width == 1 else ("_mean", "_sd", "_slope")[:width]
        assert encoder.feature_names == [name + end for name in names for end in ends]


def test_a_row_shorter_than_a_window_is_one_window(changing):
    encoder = built(window=5, pool="stats")
    encoded = encode_items(encoder, [Item("a", changing, end_sec=1.0)])
    assert encoded.counts == {"shorter_than_a_window": 1} and np.isfinite(encoded.values[0]).all()
    assert abs(encoded.values[0].reshape(9, 15, 3)[:, 3].mean(axis=0) * 120 - [20, 0, 0] < 1).all()


@FLOWS
def test_neither_workers_nor_threads_nor_the_company_change_anything(tmp_path, flow):
    paths = [write_video(tmp_path / f"{n}.avi", shift(9.0 * n, 4), 1.2, size=(80, 60), seed=n) for n in range(3)]
    todo = [Item(path.stem, path) for path in paths]
    alone = [encode_items(built(flow=flow), [item]).values[0] for item in todo]
    threads = cv2.getNumThreads()
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            together = encode_items(built(flow=flow), todo[::-1], num_workers=3).values[::-1]
            assert cv2.getNumThreads() == count
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        cv2.setNumThreads(threads)


def test_a_cut_is_large_motion(tmp_path):
    """As the docstring says: nothing looks for cuts."""
    first, second = (list(frames_of(write_video(tmp_path / f"{n}.avi", shift(0, 0), 1, seed=n))) for n in (0, 1))
    writer = cv2.VideoWriter(str(tmp_path / "cut.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for frame in first + second:
        writer.write(frame)
    writer.release()
    found = values_of(tmp_path / "cut.avi")
    assert found["magnitude"][0].mean() > 5 * found["magnitude"][1].mean()


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    while (frame := capture.read())[0]:
        yield frame[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flow": "tv-l1"}, "there is no --flow tv-l1; use farneback, dis"),
        ({"regions": "3"}, "--regions 3; write rows and columns as 3x3"),
        ({"fps": 0.0}, "--fps 0; give frames per second"),
        ({"window": 0.0}, "--window 0 is no length of time"),
        ({"stride": -1.0}, "--stride -1 is no length of time"),
        ({"pool": "cls"}, "there is no --pool cls"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(AffectkitError) as caught:
        motion.build(**options)
    assert caught.value.code == "usage" and message in str(caught.value)


@pytest.mark.parametrize(
    ("size", "seconds", "options", "message"),
    [
        ((64, 48), 0.1, {}, "has fewer than two frames at 10 a second"),
        ((64, 48), 2, {"fps": 0.4}, "has fewer than two frames at 0.4 a second"),
        ((64, 48), 1, {"regions": "30x2"}, "is too small for flow: 64 x 48 pixels for 30 x 2 regions"),
        ((640, 28), 1, {}, "is too small for flow: 160 x 7 pixels"),
    ],
)
def test_videos_without_motion_to_speak_of(tmp_path, size, seconds, options, message):
    path = write_video(tmp_path / "a.avi", shift(1, 1), seconds, size=size)
    with pytest.raises(AffectkitError) as caught:
        encode_items(built(**options), [Item("a", path)])
    assert message in str(caught.value) and caught.value.file == str(path)


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(AffectkitError, match=r"needs OpenCV") as caught:
        built()
    assert caught.value.code == "environment" and "affectkit[face]" in str(caught.value)
