"""A run that is fitted again on a part of its rows: no answer knows its own row, and none the rows outside."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.errors import AffectkitError
from affectkit.estimators._again import again

CLASSES = ["prob_a", "prob_b"]


@pytest.fixture
def study(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": [f"r{n:02}" for n in range(40)], "subject": [f"p{n // 4}" for n in range(40)]})
    truth = rng.integers(0, 2, 40)
    rows.assign(split="train", label=np.where(truth, "a", "b")).to_csv(tmp_path / "m.csv", index=False)
    cells = pd.DataFrame(rng.normal(truth[:, None], 1, (40, 3)), columns=["x", "y", "z"])
    cells.assign(id=rows["id"]).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path


def trained(affectkit, folder, out="run"):
    how = ("--features", folder / "t.csv", "--model", "linear", "--c-grid", "0.1,1")
    affectkit("train", "--manifest", folder / "m.csv", *how, "--cv", "-o", folder / out)
    return folder / out


def test_labels_of_rows_outside_change_nothing(affectkit, study):
    ids = pd.read_csv(study / "m.csv")["id"]
    inside, outside = list(ids[:28]), list(ids[28:36])
    before = again(trained(affectkit, study))(inside, outside, study / "work").frame.set_index("id")
    manifest = pd.read_csv(study / "m.csv")
    turned = manifest["label"].map({"a": "b", "b": "a"})
    manifest["label"] = manifest["label"].where(manifest.index < 28, turned)
    manifest.to_csv(study / "m.csv", index=False)
    after = again(trained(affectkit, study, "other"))(inside, outside, study / "work").frame.set_index("id")
    assert sorted(before.index) == sorted([*inside, *outside]) and (before[CLASSES] == after[CLASSES]).all(axis=None)
    assert set(before.loc[inside, "seen"]) == {"oof"} and set(before.loc[outside, "seen"]) == {"heldout"}


def test_rows_outside_are_answered_as_a_training_on_those_inside_does(affectkit, study):
    """The figures of `train` on a manifest whose train rows are those inside."""
    run, manifest = trained(affectkit, study), pd.read_csv(study / "m.csv")
    ids = manifest["id"]
    answers = again(run)(list(ids[:28]), list(ids[28:]), study / "work").frame.set_index("id")
    apart = manifest.assign(split=np.where(manifest.index < 28, "train", "test"))
    apart.to_csv(study / "m.csv", index=False)
    how = ("--features", study / "t.csv", "--model", "linear", "--c-grid", "0.1,1", "-o", study / "apart")
    affectkit("train", "--manifest", study / "m.csv", *how)
    known = pd.read_csv(study / "apart" / "predictions.csv").set_index("id")
    np.testing.assert_allclose(answers.loc[known.index, CLASSES], known[CLASSES], atol=1e-8)


def test_what_has_changed_is_not_fitted_again(affectkit, study):
    run = trained(affectkit, study)
    (study / "t.csv").write_text((study / "t.csv").read_text().replace("1", "2"))
    with pytest.raises(AffectkitError, match=r"t\.csv: has changed since"):
        again(run)
    (study / "t.csv").unlink()
    with pytest.raises(AffectkitError, match="no such file"):
        again(run)


def test_what_another_command_made_is_not_fitted_again(tmp_path):
    (tmp_path / "started.json").write_text(json.dumps({"schema": 1, "command": "fuse"}))
    with pytest.raises(AffectkitError, match="affectkit fuse made it"):
        again(tmp_path)


def test_an_id_that_its_manifest_lacks(affectkit, study):
    with pytest.raises(AffectkitError, match=r"m\.csv: has no id 'stranger'"):
        again(trained(affectkit, study))(["r00", "stranger"], ["r05"], study)
