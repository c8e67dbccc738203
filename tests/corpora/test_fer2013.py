import csv
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectkit.corpora import fer2013, ferplus
from affectkit.errors import AffectkitError
from affectkit.media.images import read_image

GREY = [" ".join([str(level)] * 2304) for level in (0, 7, 128, 255)]
LINES = [
    (0, GREY[1], "Training"),
    (3, GREY[2], "Training"),
    (3, GREY[1], "Training"),  # the first one's image under another label
    (6, GREY[3], "PublicTest"),
    (1, GREY[1], "PrivateTest"),
]
VOTES = [
    {"anger": 8, "contempt": 2},
    {"happiness": 5, "neutral": 5},
    {"unknown": 6, "fear": 4},
    {"neutral": 6, "sadness": 3, "NF": 1},
    {"NF": 10},
]


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path.write_text(text.getvalue())
    return path


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "fer" / "fer2013.csv", ("emotion", "pixels", "Usage"), LINES)
    header = ("Usage", "Image name", *ferplus.CLASSES, "unknown", "NF")
    write(tmp_path / "fer" / "fer2013new.csv", header, [
        [usage, f"fer{n:07d}.png", *(votes.get(name, 0) for name in header[2:])]
        for n, ((*_, usage), votes) in enumerate(zip(LINES, VOTES, strict=True))
    ])  # fmt: skip
    return tmp_path


def brief(rows):
    return [(row["source_label"], row["split"]) for row in rows.values()]


def test_the_table_becomes_images_named_by_their_pixels(root, gathered):
    rows, reasons = gathered(fer2013.read(root))
    assert brief(rows) == [
        ("disgust", "test"), ("angry", "train"), ("happy", "train"), ("happy", "train"), ("neutral", "val"),
    ]  # fmt: skip
    assert not reasons and list(rows) == sorted(rows)
    repeated = [key for key in rows if key.endswith("-2")]
    first = repeated[0].removesuffix("-2")
    assert rows[first]["source_label"] == "angry" and rows[repeated[0]]["path"] == rows[first]["path"]
    assert next(iter(rows)) == first.replace("train", "test")  # the same pixels in another part
    for key, row in rows.items():
        assert row["path"] == f"media/{key.removesuffix('-2')}.png"
        image = Image.open(root / row["path"])
        assert (image.mode, image.size) == ("L", (48, 48))
    assert (read_image(root / rows[first]["path"]) == 7).all()


def test_the_release_with_spaces_in_its_header_and_another_order(root, gathered):
    expected, _ = gathered(fer2013.read(root))
    lines = [(emotion, f" {usage}", pixels) for emotion, pixels, usage in reversed(LINES)]
    write(root / "kaggle" / "icml_face_data.csv", ("emotion", " Usage", " pixels"), lines)
    rows, _ = gathered(fer2013.read(root / "kaggle"))
    assert rows == expected


def test_images_are_written_once_and_go_on_where_they_were_left(root, tmp_path, gathered):
    rows, _ = gathered(fer2013.read(root, media_dir=str(tmp_path / "elsewhere")))
    paths = {row["path"] for row in rows.values()}
    assert not (root / "media").exists() and len(paths) == 4
    gathered(fer2013.read(root))
    written = {path: path.stat().st_mtime_ns for path in (root / "media").iterdir()}
    cut, gone, *kept = written
    cut.write_bytes(cut.read_bytes()[:30])
    gone.unlink()
    gathered(fer2013.read(root))
    assert {path: path.stat().st_mtime_ns for path in kept} == {path: written[path] for path in kept}
    assert read_image(cut).shape == read_image(gone).shape == (48, 48, 3)


def test_where_images_cannot_be_written_the_remedy_is_an_option(root):
    (root / "media").write_text("a file")
    with pytest.raises(AffectkitError, match="--media-dir"):
        list(fer2013.read(root))


@pytest.mark.parametrize(
    "line, message",
    [
        ((0, GREY[0].removesuffix(" 0"), "Training"), "has 2,303 pixels, not 48 x 48 = 2,304"),
        ((0, GREY[0] + " 0", "Training"), "has 2,305 pixels"),
        ((0, GREY[0].removesuffix("0") + "256", "Training"), "pixel '256' is not a whole number from 0 to 255"),
        ((0, "-1" + GREY[0].removeprefix("0"), "Training"), "pixel '-1' is not"),
        ((0, "white" + GREY[0].removeprefix("0"), "Training"), "pixel 'white' is not"),
        ((0, "9" * 5000 + GREY[0].removeprefix("0"), "Training"), "pixel '99999999999999999999' is not"),
        ((0, "", "Training"), "has 0 pixels"),
        ((7, GREY[0], "Training"), "emotion '7' is not 0 to 6"),
        (("", GREY[0], "Training"), "emotion '' is not"),
        ((0, GREY[0], "Test"), "Usage 'Test' is not Training, PublicTest, PrivateTest"),
    ],
)
def test_a_bad_row_stops_by_name_or_is_skipped(root, affectkit, line, message):
    write(root / "fer" / "fer2013.csv", ("emotion", "pixels", "Usage"), [*LINES, line])
    stopped = affectkit("prepare-manifest", "fer2013", root, "-o", root / "m", code=1)
    assert f"fer2013.csv row 6: {message}" in stopped.stderr and "--on-error skip" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    affectkit("prepare-manifest", "fer2013", root, "-o", root / "m", "--on-error", "skip")
    assert sum(len(pd.read_csv(root / "m" / f"{split}.csv")) for split in ("train", "val", "test")) == len(LINES)


@pytest.mark.parametrize("form", ["icml", "folders", "kaggle"])
def test_every_form_gives_the_same_manifest(affectkit, made_once, tmp_path, form):
    def manifest(folder, form):
        affectkit("synthesize", "fer2013", folder / "corpus", "--size", 30, "--speakers", 4, "--form", form)
        affectkit("prepare-manifest", "fer2013", folder / "corpus", "-o", folder / "m")
        parts = [pd.read_csv(folder / "m" / f"{split}.csv") for split in ("train", "val", "test")]
        return pd.concat(parts, ignore_index=True)

    expected = made_once("fer2013-csv", lambda folder: manifest(folder, "csv").to_csv(folder / "all.csv", index=False))
    table = manifest(tmp_path, form)
    assert table.drop(columns="path").equals(pd.read_csv(expected / "all.csv").drop(columns="path"))
    assert set(table["split"]) == {"train", "val", "test"} and len(table) == 30


@pytest.mark.parametrize("options, dropped", [([], 0), (["--drop-leaks", "train"], 1), (["--drop-leaks", "test"], 1)])
def test_copies_that_the_corpus_declares_are_dropped_on_request(affectkit, made_once, tmp_path, options, dropped):
    root = made_once("fer2013-copies", lambda folder: fer2013.synthesize(folder, size=60, speakers=4, seed=0))
    affectkit("prepare-manifest", "fer2013", root, *options, "-o", tmp_path / "m")
    tables = {split: pd.read_csv(tmp_path / "m" / f"{split}.csv")["id"] for split in ("train", "val", "test")}
    digests = [set(ids.str.split("-").str[1]) for ids in tables.values()]
    assert sum(map(len, tables.values())) == 60 - dropped
    assert len(tables["train"]) == 48 - (options[1:] == ["train"])
    assert len(digests[0] & (digests[1] | digests[2])) == 1 - dropped
    affectkit("prepare-manifest", "fer2013", root, *options, "--allow-leaks", "media", "-o", tmp_path / "kept")
    assert len(pd.read_csv(tmp_path / "kept" / "train.csv")) == 48


def folders(root, names):
    for place, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 48), place, np.uint8)).save(path)


def test_folders_by_other_names_for_classes_and_parts(tmp_path, gathered):
    folders(tmp_path / "archive", [
        "train/Surprised/im1.png", "train/3/im2.png", "train/disgusted/im3.png", "train/calm/im4.png",
        "test/fearful/im5.png", "test/sad/PublicTest_6.png", "test/sad/PrivateTest_7.png", "test/sad/Training_8.png",
    ])  # fmt: skip
    rows, reasons = gathered(fer2013.read(tmp_path))
    assert sorted(brief(rows)) == [
        ("disgust", "train"), ("fear", "test"), ("happy", "train"), ("sad", "test"), ("sad", "test"), ("sad", "val"),
        ("surprise", "train"),
    ]  # fmt: skip
    assert "none of FER2013's classes" in reasons["archive/train/calm/im4.png"]
    folders(tmp_path / "archive", ["validation/sad/im9.png"])  # who has a folder for it has sorted the others
    rows, _ = gathered(fer2013.read(tmp_path))
    assert [row["split"] for row in rows.values() if row["path"].endswith("PublicTest_6.png")] == ["test"]


def test_folders_that_are_called_as_the_table_calls_the_parts(tmp_path, gathered):
    folders(tmp_path, ["Training/sad/1.png", "PublicTest/sad/2.png", "PrivateTest/happy/3.png"])
    rows, _ = gathered(fer2013.read(tmp_path))
    assert sorted(brief(rows)) == [("happy", "test"), ("sad", "train"), ("sad", "val")]


def test_a_damaged_image_of_a_folder_stops_or_is_skipped(tmp_path, affectkit):
    folders(
        tmp_path / "fer",
        [f"{part}/{name}/{n}.png" for part in ("train", "test") for name in ("sad", "happy") for n in (1, 2)],
    )
    damaged = tmp_path / "fer" / "train" / "sad" / "3.png"
    damaged.write_bytes((tmp_path / "fer" / "train" / "sad" / "1.png").read_bytes()[:60])
    options = ["--allow-leaks", "media", "--val-fraction", 0, "-o", tmp_path / "m"]
    stopped = affectkit("prepare-manifest", "fer2013", tmp_path / "fer", *options, code=1)
    assert "train/sad/3.png" in stopped.stderr
    affectkit("prepare-manifest", "fer2013", tmp_path / "fer", *options, "--on-error", "skip")
    assert len(pd.read_csv(tmp_path / "m" / "train.csv")) == 4


# --- FER+


def test_votes_stand_with_the_images_and_rows_without_a_verdict_are_dropped(root, gathered):
    rows, reasons = gathered(ferplus.read(root))
    ids, _ = gathered(fer2013.read(root))
    assert brief(rows) == [("angry", "train"), ("neutral", "val")] and rows.keys() <= ids.keys()
    assert all(rows[key]["path"] == ids[key]["path"] for key in rows)
    angry, neutral = rows.values()
    votes = {name.removeprefix("votes_"): value for name, value in neutral.items() if name.startswith("votes_")}
    assert votes == dict.fromkeys(ferplus.CLASSES.values(), 0.0) | {"neutral": 6.0, "sad": 3.0}
    assert angry["votes_angry"] == 8.0 and angry["votes_contempt"] == 2.0
    assert sorted(reasons.values()) == [
        "its raters cannot tell the expression (unknown)", "its raters see no face (NF)", "its raters tie",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lines: lines[:-1], "they part at row 5"),
        (lambda lines: [*lines, lines[-1]], "they part at row 6"),
        (lambda lines: [lines[0], lines[4], *lines[2:]], "they part at row 1"),
        (lambda lines: [lines[0], lines[1].replace("8", "eight"), *lines[2:]], "row 1: anger 'eight' is not a number"),
    ],
)
def test_votes_of_other_rows_are_refused(root, change, message):
    votes = root / "fer" / "fer2013new.csv"
    lines = votes.read_text().splitlines()
    votes.write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(AffectkitError, match=message):
        list(ferplus.read(root))


def test_without_the_votes_it_is_not_ferplus(root):
    (root / "fer" / "fer2013new.csv").unlink()
    with pytest.raises(AffectkitError, match=r"expected fer2013\.csv, and beside it fer2013new\.csv"):
        list(ferplus.read(root))
