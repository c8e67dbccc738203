"""A chain's parents: named, found again, copied along."""

import os
import shutil
from pathlib import Path

import pytest

from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import best_model, copy_model, model_digest, parent_folder, parent_of
from affectkit.errors import AffectkitError


def model(folder, parents=(), **files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    write_json(folder / "affectkit.json", {"kind": "test", "targets": [], "parents": list(parents)})
    return folder


@pytest.fixture
def chain(tmp_path):
    """voice -> calibrated -> fused, the last also of a table."""
    voice = model(tmp_path / "voice" / "best_model", weights="1")
    calibrated = tmp_path / "calibrated" / "best_model"
    model(calibrated, [parent_of("model", voice, calibrated)], calibration="2")
    fused = tmp_path / "fused" / "best_model"
    return model(fused, [parent_of("voice", calibrated, fused), parent_of("face", None, fused)], fusion="3")


def test_parents_are_found_relative_to_their_child(chain, tmp_path):
    first, table = [{"name": "voice", "path": "../../calibrated/best_model"}, {"name": "face", "path": None}]
    said = parent_of("voice", tmp_path / "calibrated" / "best_model", chain)
    assert said["path"] == first["path"] and parent_folder(chain, said).name == "best_model"
    with pytest.raises(AffectkitError, match="its source 'face' is only a table"):
        parent_folder(chain, {**table, "sha256": None})


def test_a_copy_stands_on_its_own(chain, tmp_path):
    copy_model(chain, tmp_path / "copy")
    moved = shutil.move(tmp_path / "copy", tmp_path / "elsewhere")
    for name in ("voice", "calibrated", "fused"):
        shutil.rmtree(tmp_path / name)
    from affectkit.artifacts.models import read_spec

    spec = read_spec(moved)
    calibrated = parent_folder(moved, spec["parents"][0])
    assert calibrated == moved / "parents" / "voice"
    assert (parent_folder(calibrated, read_spec(calibrated)["parents"][0]) / "weights").read_text() == "1"
    assert spec["parents"][1]["path"] is None


def test_a_copy_takes_nothing_from_outside_the_model(chain, tmp_path):
    (tmp_path / "private").write_text("nobody's business")
    (chain / "notes").symlink_to(tmp_path / "private")
    with pytest.raises(AffectkitError, match="notes: is a link that leads out of the model's folder"):
        copy_model(chain, tmp_path / "copy")
    assert not (tmp_path / "copy" / "notes").exists()
    (chain / "notes").unlink()
    (chain / "notes").symlink_to("fusion")
    copy_model(chain, tmp_path / "copy")
    assert (tmp_path / "copy" / "notes").read_text() == "3"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_model_is_made_of_files(chain, make):
    make(chain / "label.safetensors")
    with pytest.raises(AffectkitError, match=r"label\.safetensors: is not a file"):
        best_model(chain)


def test_the_digest_is_of_what_a_model_is_not_of_where_it_lies(chain, tmp_path):
    copy_model(chain, tmp_path / "copy")
    assert model_digest(tmp_path / "copy") == model_digest(chain)
    (tmp_path / "copy" / "fusion").write_text("4")
    assert model_digest(tmp_path / "copy") != model_digest(chain)


def test_a_parent_that_changed_is_refused(chain, tmp_path):
    said = parent_of("voice", tmp_path / "voice" / "best_model", chain)
    (tmp_path / "voice" / "best_model" / "weights").write_text("other")
    with pytest.raises(AffectkitError, match="its parent 'voice' has changed since"):
        parent_folder(chain, said)
