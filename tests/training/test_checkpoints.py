"""Checkpoints: written whole or not at all, and read only if whole."""

import errno
import json
import logging
import os
import resource

import pytest
import torch
from safetensors.torch import load_file

from affectkit.artifacts import files
from affectkit.artifacts.files import sha256
from affectkit.errors import AffectkitError
from affectkit.training.keeping import (
    Checkpoint,
    read_checkpoint,
    read_tensors,
    write_checkpoint,
    write_tensors,
)


def write(folder, number, **state):
    """A checkpoint all of whose numbers are `number`, with best weights of its own."""
    best = folder / f"best-{number:08d}.safetensors"
    write_tensors(best, {"w": torch.full((3,), float(number))})
    named = {"best": best.name, "best_digest": sha256(best), "step": number}
    tensors = {"w": torch.full((500,), float(number)), "n": torch.tensor(number)}
    write_checkpoint(folder, Checkpoint(tensors, {**named, **state}), number=number)


@pytest.fixture
def folder(tmp_path):
    """With checkpoints 1, 2 and 3, of which the last two are kept."""
    for number in (1, 2, 3):
        write(tmp_path / "c", number)
    return tmp_path / "c"


def step(folder):
    return read_checkpoint(folder).state["step"]


def test_the_newest_comes_back(folder):
    stored = read_checkpoint(folder)
    assert stored.state["step"] == 3
    assert torch.equal(stored.tensors["w"], torch.full((500,), 3.0))
    assert stored.tensors["n"].dtype == torch.int64 and stored.tensors["n"].shape == ()


def test_two_are_kept_with_the_best_weights_that_they_name(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "best-00000002.safetensors",
        "best-00000003.safetensors",
        "checkpoint-00000002.json",
        "checkpoint-00000002.safetensors",
        "checkpoint-00000003.json",
        "checkpoint-00000003.safetensors",
    ]


def test_others_files_stay_and_a_killed_writers_do_not(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    (folder / ".checkpoint-00000004.safetensors.123.tmp").write_text("half")
    write(folder, 4)
    assert (folder / "notes.txt").exists() and (folder / "more").is_dir()
    assert not list(folder.glob(".*.tmp"))


def test_no_folder_and_an_empty_one(tmp_path):
    assert read_checkpoint(tmp_path / "none") is None
    assert read_checkpoint(tmp_path) is None


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path, at=-5):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def misstate(path):
    """A wrong digit: still JSON."""
    text = path.read_text()
    assert '"step": 3' in text
    path.write_text(text.replace('"step": 3', '"step": 5'))


DAMAGE = {
    "tensors cut": ("checkpoint-00000003.safetensors", cut),
    "tensors flipped": ("checkpoint-00000003.safetensors", flip),
    "tensors' head flipped": ("checkpoint-00000003.safetensors", lambda path: flip(path, 3)),
    "tensors empty": ("checkpoint-00000003.safetensors", lambda path: path.write_bytes(b"")),
    "tensors gone": ("checkpoint-00000003.safetensors", os.unlink),
    "record cut": ("checkpoint-00000003.json", cut),
    "record misstates": ("checkpoint-00000003.json", misstate),
    "record empty": ("checkpoint-00000003.json", lambda path: path.write_text("")),
    "record of something else": ("checkpoint-00000003.json", lambda path: path.write_text('{"state": []}')),
    "record is a list": ("checkpoint-00000003.json", lambda path: path.write_text("[1]")),
    "record gone": ("checkpoint-00000003.json", os.unlink),
    "best gone": ("best-00000003.safetensors", os.unlink),
    "best flipped": ("best-00000003.safetensors", flip),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_passed_over_with_a_warning(folder, caplog, damage):
    name, harm = DAMAGE[damage]
    harm(folder / name)
    with caplog.at_level(logging.WARNING):
        assert step(folder) == 2
    (said,) = caplog.messages
    assert "checkpoint-00000003" in said and "is passed over" in said


def test_a_whole_one_says_nothing(folder, caplog):
    read_checkpoint(folder)
    assert not caplog.messages


def test_after_a_damaged_one_its_number_is_used_again(folder):
    """So that the two that are kept are whole, while the older one stays until the newer one stands."""
    flip(folder / "checkpoint-00000003.safetensors")
    write(folder, 3)
    assert step(folder) == 3
    flip(folder / "checkpoint-00000003.safetensors")
    assert step(folder) == 2


def test_all_damaged(folder):
    for path in folder.glob("checkpoint-*.safetensors"):
        flip(path)
    with pytest.raises(AffectkitError, match=r"c: every checkpoint is damaged; use --overwrite to start again"):
        read_checkpoint(folder)


def test_a_first_one_that_was_never_finished_is_none(tmp_path, caplog):
    write_tensors(tmp_path / "checkpoint-00000001.safetensors", {"w": torch.zeros(3)})
    assert read_checkpoint(tmp_path) is None
    assert "checkpoint-00000001 was not written to its end" in caplog.text


@pytest.mark.parametrize("place", ["write", "replace"])
def test_a_full_disk_leaves_the_older_ones(folder, monkeypatch, place):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(*(("affectkit.training.keeping.write_json", full) if place == "write"
                          else (files.os, "replace", full)))  # fmt: skip
        with pytest.raises(OSError, match="No space left") as caught:
            write(folder, 4)
    assert caught.value.errno == errno.ENOSPC
    assert step(folder) == 3
    write(folder, 4)
    assert step(folder) == 4


def test_a_write_that_the_system_refuses_is_an_error_of_the_system(folder):
    """safetensors has an exception of its own for it. A limit on the size of files stands for the disk's."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_checkpoint(folder, Checkpoint({"w": torch.zeros(100_000)}, {}), number=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(folder / "checkpoint-00000004.safetensors")
    assert step(folder) == 3


def test_tensors_of_every_kind(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "tied": base,
        "tied again": base,
        "transposed": base.T,
        "a part": base[1:],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "empty again": torch.zeros(0),
        "bfloat16": base.bfloat16(),
        "trained": torch.nn.Parameter(base + 1),
        "counts": torch.tensor([1, 2]),
    }
    write_tensors(tmp_path / "t.safetensors", tensors)
    ours, theirs = read_tensors(tmp_path / "t.safetensors"), load_file(tmp_path / "t.safetensors")
    assert ours.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(ours[name], tensor) and torch.equal(theirs[name], tensor)
        assert ours[name].dtype == tensor.dtype and ours[name].shape == tensor.shape


def test_what_was_read_does_not_hang_on_the_file(tmp_path):
    """safetensors maps files into memory; a file cut short would then crash the process."""
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"w": torch.arange(5000.0)})
    tensors = read_tensors(path)
    os.truncate(path, 100)
    assert float(tensors["w"].sum()) == 5000 * 4999 / 2
    with pytest.raises(AffectkitError, match=r"t\.safetensors: is damaged"):
        read_tensors(path)


def test_undefined_numbers_in_a_state(tmp_path):
    write_checkpoint(tmp_path, Checkpoint({}, {"best": None, "value": float("nan")}), number=1)
    assert read_checkpoint(tmp_path).state == {"best": None, "value": None}
    assert json.loads((tmp_path / "checkpoint-00000001.json").read_text())["schema"] == 1
