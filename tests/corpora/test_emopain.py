"""EmoPain: windows of frames by hand, and files that are no table of numbers."""

import numpy as np
import pytest
from scipy.io import savemat

from affectkit.artifacts.manifest import read_manifest
from affectkit.corpora import emopain
from affectkit.errors import AffectkitError
from affectkit.media.matlab import read_matrix


def trial(root, name, frames, protective=(), exercise=2):
    data = np.zeros((frames, 78))
    data[:, 70] = exercise
    for start, end in protective:
        data[start:end, 72] = 1
    savemat(root / f"{name}.mat", {"data": data})
    return data


def test_windows_of_three_seconds_that_overlap_by_three_quarters(tmp_path, gathered):
    """By hand: 390 frames are 6.5 s; windows begin every .75 s; of the 180 frames of each more than half must be."""
    trial(tmp_path, "P12N", 390, [(90, 181)])
    rows, _ = gathered(emopain.read(tmp_path))
    first = rows["P12N@000000.000"]
    assert [row["start_sec"] for row in rows.values()] == [0, 0.75, 1.5, 2.25, 3, 3.75]
    assert [row["end_sec"] for row in rows.values()] == [3, 3.75, 4.5, 5.25, 6, 6.5]  # 2.75 s are left
    # frames 90-180 are 91: windows hold 90 (0-180), 91 (45-225), 91 (90-270), 46, 1, 0
    assert [row["protective"] for row in rows.values()] == ["no", "yes", "yes", "no", "no", "no"]
    assert (first["subject"], first["condition"], first["trial"], first["exercise"]) == (
        "P12",
        "patient",
        "normal",
        "2",
    )
    assert first["path_landmarks"] == "P12N.mat" and first["path"] == "" and first["session"] == "P12N"
    other, _ = gathered(emopain.read(tmp_path, window=2, stride=2))
    assert [row["start_sec"] for row in other.values()] == [0, 2, 4] and other["P12N@000004.000"]["end_sec"] == 6.5


def test_people_and_trials_by_their_names(tmp_path, gathered):
    for name in ("C03D", "p4n", "notes"):
        trial(tmp_path, name, 180)
    rows, reasons = gathered(emopain.read(tmp_path))
    control, patient = rows["C03D@000000.000"], rows["P4N@000000.000"]
    assert (control["subject"], control["condition"], control["trial"]) == ("C3", "control", "difficult")
    assert (patient["subject"], patient["trial"]) == ("P4", "normal")
    assert reasons == {"notes.mat": "the file is not named as P12N"}


BAD = {
    "columns": ({"data": np.zeros((10, 30))}, "'data' is 10 x 30, not frames x 78"),
    "empty": ({"data": np.zeros((0, 78))}, "'data' is 0 x 78"),
    "name": ({"frames": np.zeros((10, 78))}, "has no variable 'data', but frames"),
    "text": ({"data": "hello"}, "'data' is no table of numbers but char"),
    "cells": ({"data": np.array([[{"a": 1}]], dtype=object)}, "'data' is no table of numbers but cell"),
    "complex": ({"data": np.zeros((10, 78)) * 1j}, "'data' is no table of numbers"),
}


@pytest.mark.parametrize(("variables", "told"), BAD.values(), ids=BAD)
def test_what_is_no_table_of_numbers(tmp_path, variables, told):
    savemat(tmp_path / "P1N.mat", variables)
    with pytest.raises(AffectkitError, match=told) as caught:
        list(emopain.read(tmp_path))
    assert caught.value.file == str(tmp_path / "P1N.mat")


def test_version_73_and_no_matlab_at_all_are_named(tmp_path):
    path = tmp_path / "P1N.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(AffectkitError, match=r"version 7\.3, which is not read here; write it again in MATLAB: save"):
        list(emopain.read(tmp_path))
    path.write_bytes(b"hello, this is text" * 40)
    with pytest.raises(AffectkitError, match="is no MATLAB file"):
        list(emopain.read(tmp_path))
    trial(tmp_path, "P1N", 400)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(AffectkitError, match="is no MATLAB file"):
        read_matrix(path, "data")


def test_the_twin_keeps_people_apart(affectkit, tmp_path):
    affectkit("synthesize", "emopain", tmp_path / "c", "--size", 60, "--speakers", 6)
    affectkit("prepare-manifest", "emopain", tmp_path / "c", "--folds", 3, "--test-fraction", 0.2, "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert len(manifest.rows) == 60 and manifest.summary["group"] == "subject"
    assert manifest.targets["protective"].classes == ("no", "yes")
    controls = manifest.rows[manifest.rows["condition"] == "control"]
    assert set(controls["protective"]) == {"no"} and (manifest.rows["protective"] == "yes").mean() > 0.1
