"""`affectkit predict` on videos made here: frames as files, faces as tracks, bad files, memory, temporary files."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectkit.detectors import haar
from affectkit.media import read_frames
from affectkit.synthesis.faces import Pose, draw_face, draw_person, paint

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (affectkit[face])")
BOX = ["face_x", "face_y", "face_width", "face_height"]
SIZE, FPS = (320, 240), 10


def film(path, frames, poses, size=SIZE):
    """A video of `frames` at 10 a second: poses(n) says where each of up to two people is in frame n."""
    rng = np.random.default_rng(3)
    people = [draw_person(rng) for _ in range(2)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, size)
    assert writer.isOpened()
    for number in range(frames):
        canvas = np.full((size[1], size[0], 3), 150.0)
        for person, pose in zip(people, poses(number), strict=False):
            paint(canvas, person, (0.5, -0.2), pose)
        writer.write(canvas.clip(0, 255).astype(np.uint8)[:, :, ::-1])
    writer.release()
    return path


def passing(number):
    """Two faces that pass each other, the one above the other."""
    return Pose(60 + 4 * number, 70, 26), Pose(260 - 4 * number, 160, 26)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Models of 12 portraits (`scene`: a network of whole images, `face`: of faces cut out, `linear`: behind an
    encoder, `expert`: a face expert, `both`: a fusion), and videos: `two` faces for 5 s, `none`, `later`."""
    import timm
    import torch
    from safetensors.torch import save_file
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("videos")
    rng, rows = np.random.default_rng(0), []
    for number, person in enumerate([draw_person(rng) for _ in range(12)]):
        valence, arousal = rng.uniform(-1, 1, 2)
        image, _, box = draw_face(person, (valence, arousal), rng, 96)
        Image.fromarray(image).save(root / f"p{number:02}.png")
        split = ("train", "train", "val", "test")[number % 4]
        rows.append([f"p{number:02}", f"p{number:02}.png", valence, arousal, split, *box])
    columns = ["id", "path", "valence", "arousal", "split", *BOX]
    pd.DataFrame(rows, columns=columns).to_csv(root / "faces.csv", index=False)
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), root / "face.safetensors")
    tune = f"finetune -m {root}/faces.csv --base-model tiny-random:timm --epochs 1 --learning-rate 1e-2"
    for line in (
        f"{tune} --device cpu -o {root}/scene",
        f"{tune} --device cpu --crop face -o {root}/face",
        f"extract-features -m {root}/faces.csv --encoder timm --checkpoint tiny-random:timm -o {root}/f",
        f"train -m {root}/faces.csv --features {root}/f --target valence,arousal -o {root}/linear",
        f"import-model timm --checkpoint timm:test_resnet/{root}/face.safetensors -m {root}/faces.csv -o {root}/expert",
        f"fuse scene={root}/scene face={root}/expert --rule mean --fit-on val -o {root}/both",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output, result.exception)
    film(root / "two.avi", 50, passing)
    film(root / "none.avi", 20, lambda n: ())
    film(root / "later.avi", 40, lambda n: passing(n)[:1] if n >= 20 else ())
    return root


@pytest.fixture
def predict(affectkit, root, tmp_path):
    """`predict(model, *arguments)`: the table that it writes; with `code`, what it says."""

    def run(model, *arguments, code=0, output=tmp_path / "p.csv"):
        line = ("predict", "--model-dir", root / model, "--device", "cpu", "-o", output, "--overwrite", *arguments)
        result = affectkit(*line, code=code)
        return result.stderr if code else pd.read_csv(output, keep_default_na=False, dtype={"id": str})

    return run


def stills(video, folder, fps):
    """Each frame of a video as a PNG, named by its time: what anybody would do without `--fps`."""
    folder.mkdir()
    for frame in read_frames(video, fps=fps):
        Image.fromarray(frame.image).save(folder / f"{frame.time_sec:010.3f}.png")
    return folder


def answers(table):
    return table[["valence_pred", "arousal_pred"]].to_numpy(float)


@pytest.mark.parametrize("model", ["scene", "linear", "both"])
def test_a_frame_is_answered_as_the_same_frame_in_a_file(predict, root, tmp_path, model):
    of_video = predict(model, root / "two.avi", "--fps", 1)
    of_files = predict(model, stills(root / "two.avi", tmp_path / "stills", 1))
    assert list(of_video["id"]) == [f"two@{name}" for name in of_files["id"]]
    assert list(of_video["time_sec"]) == [0, 1, 2, 3, 4]
    assert set(of_video["sequence"]) == {"two"} and "track" not in of_video and "path" not in of_video
    np.testing.assert_allclose(answers(of_video), answers(of_files), rtol=1e-6)
    assert len(np.unique(answers(of_video)[:, 0])) > 1  # they do differ from frame to frame


@pytest.mark.parametrize("passes", [("--tta", 4), ("--mc-dropout", 3)])
def test_passes_over_frames_give_a_variance(predict, root, tmp_path, passes):
    of_video = predict("scene", root / "two.avi", "--fps", 1, *passes)
    of_files = predict("scene", stills(root / "two.avi", tmp_path / "stills", 1), *passes)
    assert (of_video["valence_var"] > 0).all()
    if passes[0] == "--tta":  # dropout is drawn by the id of the row
        np.testing.assert_allclose(of_video["valence_var"], of_files["valence_var"], rtol=1e-5)


@pytest.mark.parametrize("model", ["face", "expert"])
def test_each_face_is_a_row_cut_out_by_its_box(predict, root, tmp_path, model):
    of_video = predict(model, root / "two.avi", "--fps", 2)
    detector = haar.build()
    detector.load()
    rows = []
    for file in sorted(stills(root / "two.avi", tmp_path / "stills", 2).iterdir()):
        for place, face in enumerate(detector.detect(np.asarray(Image.open(file)), {})):
            rows.append([f"{file.stem}-{place}", str(file), *face.box])
    table = pd.DataFrame(rows, columns=["id", "path", *BOX])
    assert len(of_video) == len(table) > 15
    np.testing.assert_allclose(of_video[BOX].to_numpy(float), table[BOX].to_numpy(float))
    if model == "face":
        table.to_csv(tmp_path / "boxes.csv", index=False)
        np.testing.assert_allclose(answers(of_video), answers(predict(model, "-m", tmp_path / "boxes.csv")), rtol=1e-6)
    else:  # the same crops, given to the expert by hand
        from affectkit.detectors.columns import build
        from affectkit.experts._adapter import load_expert

        expert = load_expert(root / "expert" / "best_model", device="cpu").finding_by(build())
        images = ((np.asarray(Image.open(row["path"])), row) for row in table.to_dict("records"))
        expected = [[a.values["valence"], a.values["arousal"]] for a in expert.predict(images)]
        np.testing.assert_allclose(answers(of_video), expected, rtol=1e-5)


def test_faces_that_pass_each_other_keep_their_tracks(predict, root):
    table = predict("face", root / "two.avi", "--fps", 5, "--faces", "haar")
    assert set(table["track"]) == {"two#t1", "two#t2"}
    for track, rows in table.groupby("track"):
        ends = rows[["face_x", "face_y"]].to_numpy(float)
        above = ends[:, 1] < 100
        assert above.all() or not above.any()
        step = np.diff(ends[:, 0]) / np.diff(rows["time_sec"])
        np.testing.assert_allclose(step, 40 if above[0] else -40, atol=30)  # drawn so: 4 pixels a frame
        assert list(rows["id"]) == [f"two@{time:010.3f}#{track[4:]}" for time in rows["time_sec"]]
    assert set(table["faces"]) <= {1, 2}


def test_frames_without_a_face_have_no_row_and_are_counted(affectkit, predict, root, tmp_path):
    line = ("predict", "--model-dir", root / "face", root / "later.avi", "--fps", 5, "-o", tmp_path / "q.csv", "--json")
    result = affectkit(*line)
    facts = json.loads(result.stdout.splitlines()[-1])
    table = pd.read_csv(tmp_path / "q.csv")
    assert table["time_sec"].min() == 2.0
    assert facts["frames"] == 20 and facts["tracks"] == table["track"].nunique() == 1
    assert facts["rows"] == facts["with_face"] == len(table) == 10
    assert "a face was found in 10 of 20 frames (50 %)" in result.stderr
    assert "no face was found in 4 frames" in predict("face", root / "none.avi", "--fps", 2, code=1)
    both = predict("both", root / "later.avi", "--fps", 5)  # the scene answers for frames without a face
    assert len(both) == 20 and np.isfinite(answers(both)).all()


def test_the_same_command_gives_the_same_bytes(predict, root, tmp_path):
    for name, workers in (("a.csv", 0), ("b.csv", 3)):
        predict("expert", root / "two.avi", "--fps", 2, "--num-workers", workers, output=tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.slow
def test_how_many_frames_lie_in_files_at_once_changes_nothing(predict, root, monkeypatch):
    from affectkit.inference import video

    whole = predict("face", root / "two.avi", root / "later.avi", "--fps", 5)
    monkeypatch.setattr(video, "MOST_PIXELS", 3 * SIZE[0] * SIZE[1])
    parts = predict("face", root / "two.avi", root / "later.avi", "--fps", 5)
    assert list(whole["id"]) == list(parts["id"])
    np.testing.assert_allclose(answers(whole), answers(parts), rtol=1e-5)


def test_stabilize_and_aggregate_take_tracks_as_they_are(affectkit, predict, root, tmp_path):
    table = predict("expert", root / "two.avi", root / "later.avi", "--fps", 5)
    affectkit("stabilize", tmp_path / "p.csv", "--sequence", "sequence,track", "--alpha", 0.5, "-o", tmp_path / "s")
    smooth = pd.read_csv(tmp_path / "s" / "predictions.csv").set_index("id")
    first = table[table["track"] == "two#t1"]
    expected = first["valence_pred"].iloc[0]
    for _, row in first.iterrows():  # by hand: half of the new, half of the old, within one track
        expected = 0.5 * row["valence_pred"] + 0.5 * expected
        assert smooth["valence_pred"][row["id"]] == pytest.approx(expected, rel=1e-6)
    affectkit("aggregate", tmp_path / "s", "--to", "track", "-o", tmp_path / "a")
    tracks = pd.read_csv(tmp_path / "a" / "predictions.csv").set_index("track")
    assert list(tracks.index) == list(dict.fromkeys(table["track"]))
    mine = smooth[smooth["track"] == "later#t1"]
    assert tracks["valence_pred"]["later#t1"] == pytest.approx(mine["valence_pred"].mean(), rel=1e-6)
    assert (
        "--sequence sequence,track" in affectkit("stabilize", tmp_path / "p.csv", "-o", tmp_path / "t", code=1).stderr
    )


def test_a_manifest_of_videos_and_of_single_frames(predict, root, tmp_path):
    rows = pd.DataFrame({"id": ["a", "b"], "path": str(root / "two.avi"), "start_sec": [0.0, 3.0], "end_sec": [1, 4]})
    rows.assign(valence=[0.5, -0.5], speaker="x").to_csv(tmp_path / "m.csv", index=False)
    table = predict("scene", "-m", tmp_path / "m.csv", "--fps", 2)
    assert list(table["id"]) == ["a@000000.000", "a@000000.500", "b@000003.000", "b@000003.500"]
    assert list(table["sequence"]) == ["a", "a", "b", "b"] and list(table["valence"]) == [0.5, 0.5, -0.5, -0.5]
    whole = predict("scene", root / "two.avi", "--fps", 2)
    np.testing.assert_allclose(answers(table), answers(whole)[[0, 1, 6, 7]], rtol=1e-6)

    frames = pd.DataFrame(
        {"id": ["f2", "f1"], "path": str(root / "two.avi"), "time_sec": [3.5, 0.5], "arousal": [1, 0]}
    )
    frames.to_csv(tmp_path / "frames.csv", index=False)
    table = predict("scene", "-m", tmp_path / "frames.csv")
    assert list(table["id"]) == ["f2", "f1"] and list(table["arousal"]) == [1, 0]
    np.testing.assert_allclose(answers(table), answers(whole)[[7, 1]], rtol=1e-6)
    of_faces = {
        model: predict(model, root / "two.avi", "--fps", 2).drop_duplicates("time_sec").set_index("time_sec")
        for model in ("face", "expert")
    }
    frames = frames.assign(**{name: of_faces["face"].loc[[3.5, 0.5], name].to_list() for name in BOX})
    frames.to_csv(tmp_path / "frames.csv", index=False)
    for model, table in of_faces.items():  # rows may bring their own boxes
        again = predict(model, "-m", tmp_path / "frames.csv")
        np.testing.assert_allclose(answers(again), answers(table.loc[[3.5, 0.5]]), rtol=1e-6)


def test_frames_of_a_video_that_the_model_was_fitted_on_are_in_sample(predict, root, tmp_path):
    rows = pd.DataFrame({"id": ["p00", "other"], "path": str(root / "two.avi")})
    rows.to_csv(tmp_path / "m.csv", index=False)
    table = predict("scene", "-m", tmp_path / "m.csv", "--fps", 1, "--include-fit")
    assert table.groupby("sequence")["seen"].unique().map(list).to_dict() == {"p00": ["fit"], "other": ["heldout"]}
    assert set(predict("scene", "-m", tmp_path / "m.csv", "--fps", 1)["sequence"]) == {"other"}


def test_a_folder_of_videos_and_those_that_cannot_be_read(predict, root, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.avi").write_bytes((root / "two.avi").read_bytes())
    (folder / "portrait.png").write_bytes((root / "p00.png").read_bytes())
    assert set(predict("scene", folder, "--fps", 1)["sequence"]) == {"sub__good"}
    assert list(predict("scene", folder)["id"]) == ["portrait"]
    (folder / "bad.mp4").write_bytes(b"")
    (folder / "cut.avi").write_bytes((root / "two.avi").read_bytes()[:5000])
    assert "bad.mp4: is empty (0 bytes)" in predict("scene", folder, "--fps", 1, code=1)
    assert set(predict("scene", folder, "--fps", 1, "--on-error", "skip")["sequence"]) == {"sub__good"}
    (folder / "sub" / "good.avi").unlink()
    assert "no video could be read" in predict("scene", folder, "--fps", 1, "--on-error", "skip", code=1)
    said = predict("scene", tmp_path / "gone.mp4", "--fps", 1, code=1)
    assert "gone.mp4: no such file" in said and said.count("\n") == 1
    rows = pd.DataFrame({"id": ["a", "b"], "path": [str(root / "two.avi"), "gone.mp4"]})
    rows.to_csv(tmp_path / "m.csv", index=False)
    assert "m.csv row 2: " in predict("scene", "-m", tmp_path / "m.csv", "--fps", 1, code=1)


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("scene", (), "two.avi: is a video, and nothing says which of its frames; pass --fps"),
        ("scene", ("--fps", 0), "--fps 0"),
        ("scene", ("--fps", "nan"), "--fps nan"),
        ("scene", ("--faces", "haar"), "--faces needs --fps"),
        ("scene", ("--track-gap", 1), "--track-gap needs --fps"),
        ("scene", ("--min-size", 30), "--min-size needs --fps"),
        ("scene", ("--fps", 1, "--min-size", 30), "--min-size is of a detector; name the detector with --faces"),
        ("scene", ("--fps", 1, "--faces", "har"), "there is no detector 'har'; did you mean haar?"),
        ("scene", ("--fps", 1, "--faces", "haar", "--min-score", 0.5), "haar has no option --min-score"),
        ("scene", ("--fps", 1, "--faces", "yunet"), "yunet needs --detector-weights"),
        ("scene", ("--fps", 1, "--track-gap", -1), "--track-gap -1"),
        ("scene", ("--fps", 1, "--window", 2), "--window has no use for --fps"),
        ("linear", ("--fps", 1, "--features", "f"), "--features has no use for --fps"),
        ("face", ("--fps", 1, "--faces", "none"), "the model sees faces cut out"),
        ("expert", ("--fps", 1, "--mc-dropout", 3), "--mc-dropout"),
    ],
)
def test_a_mistyped_option_is_a_usage_error_and_writes_nothing(predict, root, tmp_path, model, options, said):
    assert said in predict(model, root / "two.avi", *options, code=2)
    assert not (tmp_path / "p.csv").exists()


def test_a_model_that_reads_no_images_has_no_use_for_frames(affectkit, root, tmp_path):
    lines = [f"u{n},{'glad' if n % 2 else 'sad'} {n},{n % 2},{'train' if n < 9 else 'test'}" for n in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["id,text,label,split", *lines]) + "\n")
    affectkit("extract-features", "-m", tmp_path / "t.csv", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    affectkit("train", "-m", tmp_path / "t.csv", "--features", tmp_path / "f", "-o", tmp_path / "model")
    said = affectkit("predict", "--model-dir", tmp_path / "model", root / "two.avi", "--fps", 1, code=2).stderr
    assert "the model reads text" in said and "leave out --fps" in said


def test_an_error_of_a_frame_names_the_frame_and_nothing_temporary_is_left(affectkit, root, tmp_path, monkeypatch):
    from affectkit.errors import AffectkitError
    from affectkit.models.image_preprocessing import ImagePreprocessing

    def broken(self, image):
        raise AffectkitError("input", "is too flat")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(ImagePreprocessing, "__call__", broken)
    said = affectkit("predict", "--model-dir", root / "linear", root / "two.avi", "--fps", 1, code=1).stderr
    assert said.count("two@000000.000: is too flat") == 1 and str(tmp_path) not in said
    assert not list(tmp_path.iterdir())


def started(root, folder, video, *arguments):
    """The command as a process of its own, whose temporary files lie below `folder`."""
    folder.mkdir()
    line = [sys.executable, "-m", "affectkit", "predict", "--model-dir", root / "scene", video, "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*map(str, [*line, *arguments])], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_sigterm_takes_the_temporary_files_along(root, tmp_path):
    video = film(tmp_path / "long.avi", 1000, lambda n: ())
    process = started(root, tmp_path / "tmp", video, "--fps", 10, "-o", tmp_path / "p.csv")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "tmp").glob("affectkit-*/*.bmp")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said
    assert not list((tmp_path / "tmp").iterdir()) and not (tmp_path / "p.csv").exists()


PEAKS = """
import resource, sys
from typer.testing import CliRunner
from affectkit.cli import app
from affectkit.inference import video

video.MOST_PIXELS = 30 * 640 * 480  # of the frames that lie in files at once
for film in sys.argv[2:]:
    line = ["predict", "--model-dir", sys.argv[1], film, "--fps", "10", "--device", "cpu", "-o", film + ".csv"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_is_flat_in_the_length_of_a_video(root, tmp_path):
    """40 frames are more than lie in files at once; a third of what eleven times as many hold is left for the
    allocator, which keeps up to 40 MB more or less from one set of frames to the next."""
    films = [film(tmp_path / f"{count}.avi", count, lambda n: (), size=(640, 480)) for count in (40, 440)]
    line = [sys.executable, "-c", PEAKS, str(root / "scene"), *map(str, films)]
    done = subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    few, many = (float(text) for text in done.stdout.split())
    assert [len(pd.read_csv(f"{film}.csv")) for film in films] == [40, 440]
    assert many - few < 400 * 640 * 480 * 3 / 2**20 / 3, (few, many)  # 117 MB
