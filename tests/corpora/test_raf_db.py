import pytest

from affectkit.corpora import raf_db
from affectkit.errors import AffectkitError

LINES = "train_00001.jpg 5\r\ntrain_00002.jpg 1\r\ntest_0001.jpg 7\r\ntest_0002.jpg 4\r\n"


@pytest.fixture
def root(tmp_path):
    home = tmp_path / "basic"
    (home / "EmoLabel").mkdir(parents=True)
    (home / "EmoLabel" / "list_patition_label.txt").write_bytes(LINES.encode())
    for folder, names in (("aligned", "{}_aligned.jpg"), ("original", "{}.JPG")):
        (home / "Image" / folder).mkdir(parents=True)
        for name in ("train_00001", "train_00002", "test_0001"):
            (home / "Image" / folder / names.format(name)).write_bytes(bytes(500))
    return tmp_path


@pytest.mark.parametrize(
    "images, path", [("aligned", "aligned/train_00001_aligned.jpg"), ("original", "original/train_00001.JPG")]
)
def test_codes_begin_at_one_and_either_kind_of_image_is_read(root, gathered, images, path):
    rows, reasons = gathered(raf_db.read(root, images=images))
    assert {key: (row["source_label"], row["split"]) for key, row in rows.items()} == {
        "train_00001": ("sadness", "train"), "train_00002": ("surprise", "train"), "test_0001": ("neutral", "test"),
    }  # fmt: skip
    assert rows["train_00001"]["path"] == f"basic/Image/{path}"
    assert reasons == {f"basic/Image/{images}/test_0002.jpg": "no such file"}


@pytest.mark.parametrize(
    "line, message",
    [("train_00003.jpg 0", "code 0 is not 1 to 7"), ("train_00003.jpg", "is not as train_00001.jpg 5"),
     ("valid_1.jpg 3", "is not as train_00001.jpg 5")],
)  # fmt: skip
def test_a_bad_line_stops_by_name(root, affectkit, line, message):
    (root / "basic" / "EmoLabel" / "list_patition_label.txt").write_text(f"{LINES}\n{line}\n")
    stopped = affectkit("prepare-manifest", "raf-db", root, "-o", root / "m", code=1)
    assert "list_patition_label.txt row 5" in stopped.stderr and message in stopped.stderr


def test_images_that_are_not_unpacked_are_missed_by_name(root):
    for path in (root / "basic" / "Image" / "aligned").iterdir():
        path.unlink()
    (root / "basic" / "Image" / "aligned").rmdir()
    with pytest.raises(AffectkitError, match="has no Image/aligned; unpack it, or use --images original"):
        list(raf_db.read(root))
