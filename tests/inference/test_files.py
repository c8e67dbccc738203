"""Rows of files and folders that are named on the command line."""

from pathlib import Path

import pytest

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.inference import manifest_of_files


@pytest.fixture
def tree(tmp_path):
    """`tree("a/b.wav", ...)`: empty files, since none is opened; gives the folder."""

    def make(*names, text=""):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def test_a_folder_is_all_that_the_model_can_read_in_it(tree):
    root = tree(
        "b.WAV", "a/z.flac", "a/sub/y.mp3", "notes.txt", "a/face.png", ".hidden.wav", ".cache/x.wav", "a/._z.flac"
    )
    rows = manifest_of_files([root], {"audio"}).rows
    assert list(rows["id"]) == ["a__sub__y", "a__z", "b"]
    assert list(rows["path"]) == [str(root / name) for name in ("a/sub/y.mp3", "a/z.flac", "b.WAV")]


def test_ids_are_those_of_prepare_manifest_folder(emodb_twin):
    """So rows that a model was fitted on are known again."""
    reader = registry.load("corpora", "folder").read(emodb_twin, media="audio")
    rows = manifest_of_files([emodb_twin], {"audio"}).rows
    assert list(rows["id"]) == [row["id"] for row in reader]


def test_ids_are_safe_as_file_names_and_never_twice(tree):
    root = tree("one/a.wav", "one/a.flac", "two/a.wav", "two/a-2.wav", "two/wo bist du?.wav")
    ids = list(manifest_of_files([root / "one", root / "two", root / "one" / "a.wav"], {"audio"}).rows["id"])
    assert len(set(ids)) == len(ids) == 6
    for name in ids:
        assert Path(name).name == name and not set(name) & set(' ?*:"<>|\\')


@pytest.mark.parametrize("needs", [{"audio"}, {"text"}])
def test_a_folder_without_anything_to_read_names_the_endings(tree, needs):
    root = tree("readme.md", ".hidden.wav", "._x.txt")
    with pytest.raises(AffectkitError, match=r"holds no .*\.(wav|txt)") as refused:
        manifest_of_files([root], needs)
    assert str(root) in str(refused.value)


@pytest.mark.parametrize("needs", [{"features"}, {"audio", "text"}, set()])
def test_a_folder_is_not_enough_for_a_model_of_tables_or_of_several(tree, needs):
    with pytest.raises(AffectkitError, match="pass --manifest") as refused:
        manifest_of_files([tree("a.wav")], needs)
    assert refused.value.code == "usage"


def test_texts_are_read_for_a_model_of_text(tree, caplog):
    root = tree("b.txt", "a.txt", text="  Grüße \n")
    (root / "c.txt").write_bytes(b"")
    with pytest.raises(AffectkitError, match=r"c.txt: is empty"):
        manifest_of_files([root], {"text"})
    rows = manifest_of_files([root, root / "a.wav"], {"text"}, on_error="skip").rows
    assert list(rows["text"]) == ["Grüße", "Grüße"]
    assert "a.wav is skipped: no such file" in caplog.text
    with pytest.raises(AffectkitError, match=r"a.wav: is no .txt, and the model reads text"):
        manifest_of_files([tree("a.wav", text="RIFF") / "a.wav"], {"text"})
    with pytest.raises(AffectkitError, match="no file could be read"):
        manifest_of_files([root / "c.txt"], {"text"}, on_error="skip")


def test_a_name_that_is_not_utf8_stops_or_is_skipped(tree, caplog):
    root = tree("a.wav", "Tr\udce4nen.wav")
    with pytest.raises(AffectkitError, match=r"Tr\\xe4nen.wav: its name is not UTF-8; rename it"):
        manifest_of_files([root], {"audio"})
    assert list(manifest_of_files([root], {"audio"}, on_error="skip").rows["id"]) == ["a"]
    assert r"Tr\xe4nen.wav is skipped" in caplog.text
