"""`affectkit train --model mlp|attention --target a,b,c` as it is used: one network, a head of each target."""

import json

import numpy as np
import pandas as pd
import pytest
from command_lines import ran

from affectkit.artifacts.predictions import read_predictions

QUICK = ["--epochs", 2, "--hidden-size", 8, "--stopping-folds", 1, "--learning-rate", "1e-2", "--device", "cpu"]
LEVELS = ["none", "mild", "severe"]
TARGETS = {
    "stress": {"name": "stress", "kind": "ordinal", "classes": LEVELS},
    "label": {"name": "label", "kind": "class", "classes": ["no", "yes"]},
    "anxiety": {"name": "anxiety", "kind": "number", "scale": [0, 10]},
}
ALL = "stress,label,anxiety"


def rows_of(subjects=12, each=8, missing=0.3, seed=0):
    """Rows and features of subjects in three folds, and further subjects to test on; labels are missing at random."""
    rng = np.random.default_rng(seed)
    count = subjects * each
    subject, x = np.arange(count) // each, rng.normal(size=(count, 6))
    table = pd.DataFrame({"id": [f"r{n:03}" for n in range(count)], "subject": [f"s{n:02}" for n in subject]})
    table["stress"] = np.array(LEVELS)[np.digitize(x[:, 0] + 0.3 * rng.normal(size=count), [-0.5, 0.5])]
    table["label"] = np.where(x[:, 1] + 0.3 * rng.normal(size=count) > 0, "yes", "no")
    table["anxiety"] = np.clip(5 + 2 * x[:, 2] + 0.3 * rng.normal(size=count), 0, 10).round(3).astype(str)
    for name in TARGETS:
        table.loc[rng.random(count) < missing, name] = ""
    table["split"] = np.where(subject >= subjects - 3, "test", "train")
    table["fold"] = np.where(table["split"] == "test", "", (subject % 3).astype(str))
    features = pd.DataFrame({"id": table["id"], **{f"f{n}": x[:, n] for n in range(6)}})
    return table, features


def written(folder, table, features, targets=None):
    """The arguments that read them."""
    (folder / "m").mkdir(parents=True)
    for split, part in table.groupby("split"):
        part.to_csv(folder / "m" / f"{split}.csv", index=False)
    summary = {"targets": list((targets or TARGETS).values())}
    (folder / "m" / "summary.json").write_text(json.dumps(summary))
    features.to_csv(folder / "f.csv", index=False)
    return ["--manifest", folder / "m", "--features", folder / "f.csv"]


@pytest.fixture
def study(tmp_path):
    return written(tmp_path / "study", *rows_of())


def line(study, out, *more, targets=ALL):
    return ["train", *study, "--model", "mlp", "--target", targets, "--cv", *QUICK, *more, "-o", out]


def train(affectkit, study, out, *more, code=0, **targets):
    return affectkit(*line(study, out, *more, **targets), code=code)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A study, `together` of all targets, `compared` with each alone too, and what that printed."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = written(folder / "study", *rows_of())
    ran(*line(arguments, folder / "together"))
    return folder, arguments, ran(*line(arguments, folder / "compared", "--separate"))


def frame_of(run):
    return read_predictions(run / "predictions.csv").frame


def test_one_network_answers_all_and_predicts_new_rows_as_its_run_says(affectkit, runs, tmp_path):
    folder, study, _ = runs
    best = folder / "together" / "best_model"
    assert sorted(path.name for path in best.glob("*.safetensors")) == [
        "together.preprocessing.safetensors", "together.safetensors",
    ]  # fmt: skip
    spec = json.loads((best / "affectkit.json").read_text())
    assert spec["together"] == ["stress", "label", "anxiety"]
    assert len({json.dumps(chosen) for chosen in spec["chosen"].values()}) == 1
    history = pd.read_csv(folder / "together" / "history.csv")
    assert set(history["stage"]) == {"stress, label, anxiety"} and history["val_score"].notna().all()
    affectkit("predict", "--model-dir", folder / "together", *study, "-o", tmp_path / "again.csv")
    again, own = read_predictions(tmp_path / "again.csv").frame, frame_of(folder / "together")
    test = own[own["split"] == "test"].reset_index(drop=True)
    again = again[again["id"].isin(test["id"])].reset_index(drop=True)
    numbers = [name for name in test if name.startswith("prob_") or "_prob_" in name or name.endswith("_pred")]
    numbers = [name for name in numbers if test[name].dtype.kind == "f"]
    assert len(numbers) == 6
    np.testing.assert_allclose(again[numbers], test[numbers], atol=1e-5)


@pytest.mark.slow
def test_joint_models_serve_every_command_that_takes_a_model(affectkit, runs, tmp_path):
    folder, study, _ = runs
    one, two = folder / "compared", tmp_path / "two"
    train(affectkit, study, two, "--seed", 1, "--task-weights", "uncertainty")
    affectkit("evaluate", one, "-o", tmp_path / "report")
    affectkit("evaluate", one / "separate" / "predictions.csv", "-o", tmp_path / "alone")
    affectkit("report", one, "-o", tmp_path / "page")
    affectkit("calibrate", one, "--method", "temperature", "-o", tmp_path / "calibrated")
    affectkit("fuse", f"a={one}", f"b={two}", "--rule", "mean", "-o", tmp_path / "fused")
    affectkit("select", one, two, "--by", "oof_uar", "-o", tmp_path / "best")
    affectkit("predict", "--model-dir", tmp_path / "fused", *study[:2], "--features", study[3], "--features", study[3],
              "-o", tmp_path / "new.csv")  # fmt: skip
    more = tmp_path / "more.csv"
    pd.read_csv(study[3]).rename(columns=lambda name: name.replace("f", "g")).to_csv(more, index=False)
    both = ["--features", f"a={study[3]}", "--features", f"b={more}", "--include", "a,b", "--include", "a"]
    line = ["ablate", *study[:2], *both, "--model", "mlp", *QUICK[:-2], "--target", ALL]
    affectkit(*line, "--seeds", 1, "-o", tmp_path / "ablated")


@pytest.mark.slow
def test_separate_compares_each_target_on_each_part_and_keeps_the_joint_answers(affectkit, runs, tmp_path):
    folder, study, told = runs
    compared, plain = folder / "compared", folder / "together"
    assert (compared / "predictions.csv").read_bytes() == (plain / "predictions.csv").read_bytes()
    apart = read_predictions(compared / "separate" / "predictions.csv").frame
    for target in TARGETS:  # to the byte what a run of its own says
        train(affectkit, study, tmp_path / target, targets=target)
        name = "pred" if target == "label" else f"{target}_pred"
        pd.testing.assert_series_equal(apart[name], frame_of(tmp_path / target)[name])
    report = json.loads((compared / "train_report.json").read_text())
    rows = report["separate"]
    assert [(row["part"], row["target"]) for row in rows] == [(p, t) for p in ("oof", "test") for t in TARGETS]
    for row in rows:
        own = report["metrics"][f"{row['part']}_{row['metric'].removeprefix('label.')}"]
        assert row["first"] == pytest.approx(own["value"], abs=1e-9) and row["groups"] == (
            9 if row["part"] == "oof" else 3
        )
        assert row["difference"]["value"] == pytest.approx(row["first"] - row["second"], abs=1e-9)
    for part in ("oof", "test"):  # Holm over the three targets of each part
        p = sorted(row["p"] for row in rows if row["part"] == part)
        least = min(row["p_holm"] for row in rows if row["part"] == part)
        assert least == pytest.approx(min(1, 3 * p[0]))
    assert "Together or each alone" in told
    assert "Together or each alone" in (compared / "training.html").read_text()


def test_a_fold_whose_rows_lack_a_target_declines_it_there_and_says_so(affectkit, tmp_path):
    """All labels of one target are in one fold: its rows are predicted by a fit without any."""
    table, features = rows_of()
    table.loc[~table["fold"].isin(["1", ""]), "label"] = ""
    study = written(tmp_path / "study", table, features)
    result = train(affectkit, study, tmp_path / "m", "--importance")
    frame = frame_of(tmp_path / "m")
    declined = frame["prob_no"].isna()
    assert set(frame["fold"][declined]) == {"1"} and (frame["fold"] == "1").sum() == declined.sum()
    assert frame["anxiety_pred"].notna().all() and frame["stress_prob_mild"].notna().all()
    text = "label: the rows of 1 of 4 fits tell nothing of it: answers are declined there"
    assert text in " ".join(result.stderr.split())
    assert json.loads((tmp_path / "m" / "train_report.json").read_text())["unlearned"] == [text]
    assert text[1:] in (tmp_path / "m" / "training.html").read_text()
    affectkit("evaluate", tmp_path / "m", "-o", tmp_path / "report")


def test_a_target_that_no_train_row_has_is_declined_for_new_rows_too(affectkit, tmp_path):
    table, features = rows_of()
    table.loc[table["split"] == "train", "label"] = ""
    study = written(tmp_path / "study", table, features)
    result = train(affectkit, study, tmp_path / "m")
    assert "and the model has none for new rows" in " ".join(result.stderr.split())
    affectkit("predict", "--model-dir", tmp_path / "m", *study, "-o", tmp_path / "new.csv")
    frame = read_predictions(tmp_path / "new.csv").frame
    assert frame["prob_no"].isna().all() and frame["anxiety_pred"].notna().all()


def test_when_no_train_row_has_any_it_is_one_error(affectkit, tmp_path):
    table, features = rows_of()
    table.loc[table["split"] == "train", list(TARGETS)] = ""
    result = train(affectkit, written(tmp_path / "study", table, features), tmp_path / "m", code=1)
    assert "the fit rows tell nothing of any target" in " ".join(result.stderr.split())
    assert not (tmp_path / "m" / "run.json").exists()


def test_the_order_of_classes_travels_with_the_model(affectkit, tmp_path):
    """The same manifest with its classes, and targets, in another order: the same answers by name."""
    table, features = rows_of()
    turned = {name: TARGETS[name] for name in ("anxiety", "label", "stress")}
    turned["label"] = {**TARGETS["label"], "classes": ["yes", "no"]}
    runs = {}
    for name, targets in (("plain", TARGETS), ("turned", turned)):
        study = written(tmp_path / name, table, features, targets)
        train(affectkit, study, tmp_path / f"{name}_run", targets=",".join(targets))
        runs[name] = frame_of(tmp_path / f"{name}_run")
    for column in ("prob_no", "prob_yes", "stress_prob_none", "stress_prob_severe", "anxiety_pred"):
        np.testing.assert_allclose(runs["turned"][column], runs["plain"][column], atol=2e-3)


WRONG = {
    "a name": (["--task-weights", "strss=2"], "no target is 'strss'; did you mean stress?"),
    "a word": (["--task-weights", "uncertain"], "'uncertain' is not target=number; did you mean uncertainty?"),
    "a sign": (["--task-weights", "stress=-1"], "stress weighs '-1'; give a number above 0"),
    "nothing": (["--task-weights", "stress=0"], "stress weighs '0'"),
    "one target": (["--target", "label", "--task-weights", "label=2"], "there is one target, label; leave it out"),
    "one target, separate": (["--target", "label", "--separate"], "--separate: there is one target; leave it out"),
    "linear, separate": (["--model", "linear", "--separate"], "--separate: linear fits each target alone as it is"),
}


@pytest.mark.parametrize("what", WRONG)
def test_options_that_make_no_sense_are_refused_before_any_work(affectkit, study, tmp_path, what):
    more, message = WRONG[what]
    line = [*study, "--model", "mlp", "--target", ALL, *more, "-o", tmp_path / "m"]
    result = affectkit("train", *line, code=2)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_stopped_again_and_again_and_resumed_it_is_the_same_bytes(affectkit, stopped, tmp_path):
    """With --separate, and scales that train: the joint fits, those of each target, and what is left of both."""
    study, out = written(tmp_path / "study", *rows_of(subjects=9, each=4)), tmp_path / "stopped" / "m"
    more = ["--separate", "--task-weights", "uncertainty"]
    train(affectkit, study, tmp_path / "whole" / "m", *more)
    for write in range(4, 200, 19):
        if not stopped(*line(study, out, *more), "--resume", write=write, named=write % 2):
            break
        assert (out / "started.json").exists() and not (out / "run.json").exists()
    assert write >= 22
    whole = tmp_path / "whole" / "m"
    there = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    assert there == {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    for path in there:
        if path.name not in ("run.json", "started.json", "steps.csv", "log.jsonl"):
            assert (out / path).read_bytes() == (whole / path).read_bytes(), path


def test_help_says_what_several_targets_are_to_these_models(affectkit):
    text = " ".join(affectkit("train", "--help").stdout.replace("│", " ").split())
    assert "--task-weights" in text and "--separate" in text


@pytest.mark.figures
def test_with_60_percent_of_labels_missing_no_target_is_worse_together_than_alone(affectkit, tmp_path):
    """Three tasks on one latent space, 600 rows of 60 subjects, labels missing at random of each: the paired interval
    of no target, on no part, shows harm. Printed: what was measured."""
    rng, told = np.random.default_rng(3), []
    for seed in range(3):
        table, features = _latent(rng)
        study = written(tmp_path / str(seed), table, features)
        out = tmp_path / str(seed) / "run"
        line = [*study, "--model", "mlp", "--target", ALL, "--cv", "--separate", "--seed", seed, "--device", "cpu"]
        affectkit("train", *line, "--learning-rate", "3e-3", "--epochs", 30, "--stopping-folds", 2, "-o", out)
        rows = json.loads((out / "train_report.json").read_text())["separate"]
        for row in rows:
            told.append(row)
            gap = row["difference"]
            print(seed, row["part"], row["target"], row["n"], row["first"], row["second"], gap, row["p_holm"])
    assert len(told) == 18 and all(row["difference"]["high"] > 0 for row in told)
    gains = {
        target: np.mean([row["difference"]["value"] for row in told if row["target"] == target]) for target in TARGETS
    }
    print(gains)
    assert np.mean(list(gains.values())) > -0.005


def _latent(rng, subjects=60, each=10):
    """What three targets share: two dimensions of a state, seen through 30 noisy features."""
    count = subjects * each
    subject = np.arange(count) // each
    state = rng.normal(size=(subjects, 2))[subject] * 0.6 + rng.normal(size=(count, 2)) * 0.8
    seen = np.tanh(state @ rng.normal(size=(2, 30))) + 0.8 * rng.normal(size=(count, 30))
    table = pd.DataFrame({"id": [f"r{n:04}" for n in range(count)], "subject": [f"s{n:02}" for n in subject]})
    noise = 0.4 * rng.normal(size=(count, 3))
    table["stress"] = np.array(LEVELS)[np.digitize(state[:, 0] + noise[:, 0], [-0.5, 0.5])]
    table["label"] = np.where(state.sum(axis=1) + noise[:, 1] > 0, "yes", "no")
    table["anxiety"] = np.clip(5 + 1.5 * (state[:, 0] - state[:, 1]) + noise[:, 2], 0, 10).round(3).astype(str)
    for name in TARGETS:
        table.loc[rng.random(count) < 0.6, name] = ""
    table["split"] = np.where(subject >= subjects - 15, "test", "train")
    table["fold"] = np.where(table["split"] == "test", "", (subject % 3).astype(str))
    return table, pd.DataFrame({"id": table["id"], **{f"f{n}": seen[:, n] for n in range(30)}})
