import json
import math
import os

import numpy as np
import pytest

from affectkit.artifacts.files import atomic, read_json, sha256, write_json
from affectkit.errors import AffectkitError


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_json_has_a_schema_and_no_nan(tmp_path):
    write_json(tmp_path / "x.json", {"a": math.nan, "b": np.float32(0.5), "c": (1, np.int64(2)), "d": tmp_path})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"schema": 1, "a": None, "b": 0.5, "c": [1, 2], "d": str(tmp_path)}
    assert "NaN" not in text


def test_a_newer_schema_is_refused_by_name(tmp_path):
    (tmp_path / "x.json").write_text('{"schema": 99}')
    with pytest.raises(AffectkitError, match=r"schema 99 is newer than schema 1.*upgrade affectkit"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "one"}'])
def test_what_is_no_json_object_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(AffectkitError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    """safetensors makes its files 0600; a model folder on a group's disk has to be readable by the group."""
    import torch
    from safetensors.torch import save_file

    before = os.umask(0o027)
    try:
        with atomic(tmp_path / "x.safetensors") as temporary:
            save_file({"a": torch.ones(2)}, temporary)
    finally:
        os.umask(before)
    assert (tmp_path / "x.safetensors").stat().st_mode & 0o777 == 0o640
