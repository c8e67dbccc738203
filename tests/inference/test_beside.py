"""Models that are named beside a network: of the same rows, and of the same groups."""

import logging

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.errors import AffectkitError
from affectkit.inference.beside import read_beside

KNOWN = {"device": "cpu", "num_workers": 0}


@pytest.fixture(scope="module")
def study(made_once):
    """A manifest of 24 rows, 2 in each session and 4 of each speaker, and a model of them, cross-fitted by session."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    def make(root):
        root.mkdir(exist_ok=True)
        numbers = np.arange(24)
        rows = pd.DataFrame({"id": [f"r{n}" for n in numbers], "label": np.where(numbers % 2, "a", "b")})
        rows = rows.assign(speaker=numbers // 4, session=numbers // 2, split=np.where(numbers < 16, "train", "test"))
        rows.assign(x=np.random.default_rng(0).normal(numbers % 2)).to_csv(root / "rows.csv", index=False)
        how = ["--features", "manifest:x", "--model", "linear", "--c-grid", "1", "--no-importance", "--cv"]
        line = ["train", "-m", str(root / "rows.csv"), *how, "--group", "session", "-o", str(root / "run")]
        result = CliRunner().invoke(app, line)
        assert result.exit_code == 0, result.output

    return made_once("beside", make)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("label", {"a": "b", "b": "a"}, r"says label 'b' of id 'r0', the manifest 'a'; make the sources of one"),
        ("split", {"train": "test", "test": "train"}, r"says split 'train' of id 'r0', the manifest 'test'"),
    ],
)
def test_equal_ids_of_other_rows_are_refused(study, tmp_path, column, cells, message):
    rows = pd.read_csv(study / "rows.csv", dtype=str)
    rows.assign(**{column: rows[column].map(cells)}).to_csv(tmp_path / "other.csv", index=False)
    manifest = read_manifest(tmp_path / "other.csv")
    with pytest.raises(AffectkitError, match=message):
        read_beside({"x": study / "run"}, None, manifest, manifest.chosen_targets(None), group=None, cv=True, **KNOWN)


@pytest.mark.parametrize(("group", "warned"), [(None, True), ("session", False)])
def test_a_model_that_was_cross_fitted_by_other_groups_is_named(study, caplog, group, warned):
    manifest = read_manifest(study / "rows.csv")
    with caplog.at_level(logging.WARNING):
        how = {"group": group, "cv": False, **KNOWN}
        beside = read_beside({"x": study / "run"}, None, manifest, manifest.chosen_targets(None), **how)
    assert beside.answers(list(manifest.rows["id"])).shape == (24, 1, 2)
    assert ("cross-fitted by session, not by speaker" in caplog.text) is warned
