import json
import math
import os

import numpy as np
import pytest

from affectkit.artifacts.files import (
    atomic,
    inside_folder,
    misfit,
    read_json,
    sha256,
    write_json,
)
from affectkit.errors import AffectkitError
from affectkit.plain import is_file_name


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


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested deeper than 100 levels"),
        ("[" * 10**6, "nested deeper than 100 levels"),
        ("1" + "0" * 400, "is beyond 64 bits"),
        ("-9223372036854775809", "is beyond 64 bits"),
        ("1e400", "1e400 is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("NaN", "NaN is not a finite number"),
        (r'"\ud800"', "surrogates not allowed"),
        ('{"rule": 1, "rule": 2}', "'rule' stands twice in an object"),
        (r'{"\uDFFF": 1}', "surrogates not allowed"),
    ],
)
def test_json_that_nobody_writes_is_one_error(tmp_path, value, why):
    (tmp_path / "x.json").write_text(f'{{"a": {value}}}')
    with pytest.raises(AffectkitError, match=rf"x\.json: not a JSON file: .*{why}"):
        read_json(tmp_path / "x.json")


def test_json_at_its_limits_is_read(tmp_path):
    data = {"deep": None, "most": 2**64 - 1, "least": -(2**63), "small": 5e-324, "pair": "\U0001f600"}
    for _ in range(90):
        data["deep"] = [data["deep"]]
    (tmp_path / "x.json").write_text(json.dumps(data))
    assert read_json(tmp_path / "x.json") == data


SHAPE = {
    "name": is_file_name, "count": int, "rate?": (float, None), "on?": bool, "tags?": [str], "any?": object,
    "inner?": {str: {"value": float}}, "more?": {str: object},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"rate": 1, "on": False, "tags": [], "any": [{}], "inner": {"a": {"value": 2}}, "unknown": 1}, ""),
        ({"rate": None}, ""),
        ({"count": True}, "'count' is not a whole number"),
        ({"count": 1.0}, "'count' is not a whole number"),
        ({"rate": "1"}, "'rate' is not null"),
        ({"rate": True}, "'rate' is not null"),
        ({"on": 1}, "'on' is not true or false"),
        ({"tags": "abc"}, "'tags' is not a list"),
        ({"tags": ["a", 1]}, "'tags'[1] is not text"),
        ({"inner": {"a": {"value": "x"}}}, "'value' is not a number"),
        ({"inner": {"a": {}}}, "'a' has no 'value'"),
        ({"inner": []}, "'inner' is not an object"),
        ({"more": None}, "'more' is not an object"),
        ({"name": ".."}, "'name' is not a name that a file can have"),
    ],
)
def test_a_value_is_compared_with_its_shape(change, problem):
    assert misfit({"name": "x", "count": 1, **change}, SHAPE).startswith(problem)
    assert bool(misfit({"name": "x", "count": 1, **change}, SHAPE)) == bool(problem)


@pytest.mark.parametrize("name", ["label", "a b", "a.b", "..a", "Ärger", "怒", "-x", "a" * 255, "c:d"])
def test_names_that_files_can_have(name):
    assert is_file_name(name) and inside_folder(f"best_model/{name}")


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "...", "../x", "a/b", "/x", "a\\b", "a\nb", "a\0b", "\x7f", "a" * 256, 3, None, ["x"]]
)
def test_names_that_lead_elsewhere_or_no_file_can_have(name):
    assert not is_file_name(name)
    assert not inside_folder(name) or "/" in name
    assert not inside_folder(f"../{name}") and not inside_folder("best_model/../../x") and not inside_folder("/x")


@pytest.mark.parametrize("schema", [True, 0, -1, 1.5, "1", None])
def test_a_schema_that_is_no_number_is_refused(tmp_path, schema):
    (tmp_path / "a.json").write_text(json.dumps({"schema": schema}))
    with pytest.raises(AffectkitError, match="is no file: 'schema' is not a whole number above 0"):
        read_json(tmp_path / "a.json")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(AffectkitError, match="it is not a file"):
        read_json(tmp_path / "a.json")


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sha256_follows_a_change_of_the_same_size_and_time(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    first, times = sha256(path), path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sha256(path) != first


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
