"""affectkit fuse: whether it helps, missing sources, the guard, chains from bare recordings."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

CLASSES = ["angry", "calm", "sad"]


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.fixture
def sources(tmp_path):
    """Write tables of 12 speakers, 8 of val and 4 of test: `sources(voice=2.0, face=2.0, noise=0.0)`, strength by name;
    every source sees the truth through noise of its own."""

    def write(rows=600, missing=(), seed=0, speakers=12, **strengths):
        rng = np.random.default_rng(seed)
        truth = rng.integers(3, size=rows)
        names = []
        for name, strength in strengths.items():
            scores = rng.normal(0, 1, (rows, 3)) + strength * np.eye(3)[truth]
            frame = pd.DataFrame(softmax(scores), columns=[f"prob_{c}" for c in CLASSES])
            frame.insert(0, "id", [f"r{i:04d}" for i in range(rows)])
            frame["label"] = np.array(CLASSES)[truth]
            frame["speaker"] = [f"s{i % speakers:02d}" for i in range(rows)]
            frame["split"] = np.where(np.arange(rows) % speakers < speakers * 2 // 3, "val", "test")
            frame["seen"] = "heldout"
            if name in missing:
                frame = frame[np.arange(rows) % 3 > 0]
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
            names.append(f"{name}={tmp_path / name}.csv")
        return names

    return write


def verdicts(folder):
    report = json.loads((folder / "train_report.json").read_text())
    return {verdict["part"]: verdict for verdict in report["verdicts"]}


def with_mood(names):
    """The tables, with a further target that no row is labelled with."""
    for name in names:
        file = name.partition("=")[2]
        pd.read_csv(file).assign(mood_pred="up", mood_prob_up=0.75, mood_prob_down=0.25).to_csv(file, index=False)
    return names


@pytest.mark.parametrize("more", [[], ["--target", "label"]])
def test_a_target_without_truth_is_left_out(more, affectkit, sources, tmp_path):
    line = [*with_mood(sources(rows=180, voice=1.5, face=1.5)), "--rule", "stacked", *more, "-o", tmp_path / "f"]
    result = affectkit("fuse", *line)
    assert ("mood left out: no row to fit on has a truth for it" in result.stderr) == (not more)
    assert not [name for name in pd.read_csv(tmp_path / "f" / "predictions.csv") if "mood" in name]
    spec = json.loads((tmp_path / "f" / "best_model" / "affectkit.json").read_text())
    assert [target["name"] for target in spec["targets"]] == ["label"]
    for command in (["ablate", *line[:2]], ["calibrate", tmp_path / "voice.csv"]):
        assert "mood left out" in affectkit(*command, "-o", tmp_path / command[0]).stderr


@pytest.mark.parametrize(("name", "message"), [("mood", "no row to fit on has a truth for mood"), ("lable", "did you")])
def test_a_target_that_cannot_be_fused_is_refused(name, message, affectkit, sources, tmp_path):
    line = [*with_mood(sources(voice=1.5, face=1.5)), "--rule", "stacked", "--target", name, "-o", tmp_path / "f"]
    assert message in affectkit("fuse", *line, code=2 if name == "lable" else 1).stderr


@pytest.mark.parametrize("rule", ["mean", "stacked", "greedy", "product"])
def test_sources_that_complement_each_other_help_and_it_says_so(rule, affectkit, sources, tmp_path):
    result = affectkit("fuse", *sources(voice=1.5, face=1.5), "--rule", rule, "-o", tmp_path / "f")
    found = verdicts(tmp_path / "f")
    assert set(found) == {"val", "test"}
    for part, verdict in found.items():
        assert verdict["helps"] and verdict["against_best"]["difference"]["low"] > 0, part
        assert verdict["rescued"] > verdict["degraded"]
        alone = verdict["singles"][verdict["best_single"]]  # as it is, not chosen anew in each fold
        assert verdict["against_best"]["second"] == pytest.approx(alone, abs=1e-12)
    assert "test rows: fusing helps" in result.stderr
    table = pd.read_csv(tmp_path / "f" / "predictions.csv")
    assert set(table["seen"][table["split"] == "val"]) == {"oof"}
    judged = table[table["split"] == "test"]
    recalls = [(judged["pred"] == judged["label"])[judged["label"] == c].mean() for c in CLASSES]
    assert found["test"]["against_best"]["first"] == pytest.approx(np.mean(recalls), abs=1e-9)


@pytest.mark.parametrize("rule", ["mean", "stacked", "greedy"])
def test_noise_does_not_help_and_it_says_so(rule, affectkit, sources, tmp_path):
    result = affectkit("fuse", *sources(voice=1.5, noise=0.0), "--rule", rule, "-o", tmp_path / "f")
    assert not verdicts(tmp_path / "f")["test"]["helps"]
    assert "test rows: fusing does not help" in result.stderr
    assert verdicts(tmp_path / "f")["test"]["best_single"] == "voice"


def test_fallback_keeps_the_single_source_where_fusing_does_not_help(affectkit, sources, tmp_path):
    line = ("fuse", *sources(voice=1.5, noise=0.0), "--rule", "mean", "--fallback", "best")
    result = affectkit(*line, "-o", tmp_path / "f")
    assert "the single source is kept" in result.stderr
    fused = json.loads((tmp_path / "f" / "best_model" / "fusion.json").read_text())
    assert fused["targets"]["label"]["rule"] == "best"
    ours = pd.read_csv(tmp_path / "f" / "predictions.csv")[[f"prob_{c}" for c in CLASSES]]
    theirs = pd.read_csv(tmp_path / "voice.csv")[[f"prob_{c}" for c in CLASSES]]
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_a_row_that_a_source_lacks_is_fused_from_the_others(affectkit, sources, tmp_path):
    given = sources(voice=1.5, face=1.5, missing=("face",))
    result = affectkit("fuse", *given, "--rule", "mean", "-o", tmp_path / "f")
    assert "face has no answer for 200 of 600 rows" in result.stderr
    fused, voice = pd.read_csv(tmp_path / "f" / "predictions.csv"), pd.read_csv(tmp_path / "voice.csv")
    alone = np.arange(600) % 3 == 0
    columns = [f"prob_{c}" for c in CLASSES]
    np.testing.assert_allclose(fused[columns][alone], voice[columns][alone], atol=1e-8)
    assert np.abs(fused[columns][~alone].to_numpy() - voice[columns][~alone].to_numpy()).max() > 0.1


@pytest.mark.parametrize("foreign", [["face"], ["voice", "face"]])
def test_sources_that_do_not_say_what_was_seen_are_named(foreign, affectkit, sources, tmp_path):
    words = sources(voice=1.5, face=1.5, rows=120)
    for name in foreign:
        table = pd.read_csv(tmp_path / f"{name}.csv")
        table.drop(columns="seen").to_csv(tmp_path / f"{name}.csv", index=False)
    result = affectkit("fuse", *words, "-o", tmp_path / "f")
    assert f"warning: nothing says how the predictions of {', '.join(foreign)} were made" in result.stderr
    affectkit("calibrate", tmp_path / "f", "--method", "temperature", "-o", tmp_path / "c")
    affectkit("evaluate", tmp_path / "c", "-o", tmp_path / "e")
    tables = ", ".join(f"{name}.csv" for name in foreign)
    [declared] = json.loads((tmp_path / "e" / "metrics.json").read_text())["declared"]
    assert declared == f"predictions of {tables} were taken as held out on trust (no column 'seen')"


def test_stacked_takes_a_table_of_numbers(affectkit, sources, tmp_path):
    given = sources(voice=1.0)
    truth = pd.read_csv(tmp_path / "voice.csv")
    rng = np.random.default_rng(1)
    columns = {c: (truth["label"] == c) + rng.normal(0, 0.5, len(truth)) for c in CLASSES[:2]}
    pd.DataFrame({"id": truth["id"], **columns}).to_csv(tmp_path / "age.csv", index=False)
    affectkit("fuse", *given, f"age={tmp_path}/age.csv", "--rule", "stacked", "-o", tmp_path / "f")
    assert verdicts(tmp_path / "f")["test"]["helps"]
    refused = affectkit("fuse", *given, f"age={tmp_path}/age.csv", "--rule", "mean", "-o", tmp_path / "g", code=1)
    assert "age.csv" in refused.stderr and "holds no predictions" in refused.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--rule", "meen"), 2, "there is no rule 'meen'; did you mean mean"),
        (("--metric", "uarr"), 2, "did you mean uar"),
        (("--rule", "mean", "--weights", ".5,.5"), 2, "mean has no option --weights"),
        (("--rule", "inverse-variance"), 2, "inverse-variance"),
        (("--fit-on", "oof"), 1, "has no oof rows to fit on"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, code, message, affectkit, sources, tmp_path):
    result = affectkit("fuse", *sources(voice=1.0, face=1.0), *options, "-o", tmp_path / "f", code=code)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "f").exists()


def test_one_source_is_no_fusion(affectkit, sources, tmp_path):
    assert "at least 2" in affectkit("fuse", *sources(voice=1.0), "-o", tmp_path / "f", code=2).stderr


def test_predict_runs_fusion_and_calibration_from_a_bare_recording(affectkit, speech, emodb_twin, tmp_path):
    sources = {"functionals": speech / "linear", "small": speech / "small"}
    affectkit("fuse", *(f"{n}={path}" for n, path in sources.items()), "--rule", "mean", "-o", tmp_path / "fused")
    affectkit("calibrate", tmp_path / "fused", "--method", "temperature", "-o", tmp_path / "calibrated")
    shutil.copy(sorted(emodb_twin.rglob("*.wav"))[0], tmp_path / "new.wav")

    def said(model):
        return pd.read_csv(io.StringIO(affectkit("predict", "--model-dir", model, tmp_path / "new.wav").stdout))

    fused = said(tmp_path / "fused")
    columns = [c for c in fused if c.startswith("prob_")]
    mean = np.mean([said(path)[columns].to_numpy() for path in sources.values()], axis=0)
    np.testing.assert_allclose(fused[columns], mean, atol=1e-6)
    fitted = json.loads((tmp_path / "calibrated" / "best_model" / "calibration.json").read_text())["targets"]["label"]
    powered = mean ** (1 / fitted["parameters"]["temperature"])
    np.testing.assert_allclose(said(tmp_path / "calibrated")[columns], powered / powered.sum(), atol=1e-6)

    # Already extracted features stand in for the encoders, in the order of training; rows fitted on are left out.
    features = ("--features", speech / "egemaps", "--features", speech / "gemaps")
    line = ("predict", "--model-dir", tmp_path / "calibrated", "-m", speech / "folds", *features)
    assert "only rows that the model was fitted on" in affectkit(*line, "-o", tmp_path / "p.csv", code=1).stderr
    affectkit(*line, "--include-fit", "-o", tmp_path / "p.csv")
    assert set(pd.read_csv(tmp_path / "p.csv")["seen"]) == {"fit"}


def nll(table, split):
    rows = table[table["split"] == split]
    p = np.clip(rows[[f"prob_{c}" for c in CLASSES]].to_numpy(), 1e-12, 1)
    return -np.log(p[np.arange(len(rows)), [CLASSES.index(label) for label in rows["label"]]]).mean()


@pytest.fixture
def too_sure(sources, tmp_path):
    """Sources of 360 rows whose probabilities are sharpened three times."""
    named = sources(rows=360, speakers=6, voice=1.5, face=1.5)
    columns = [f"prob_{c}" for c in CLASSES]
    for name in ("voice", "face"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        table[columns] = softmax(3 * np.log(table[columns].to_numpy()))
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return named


def test_mlp_leaves_its_scaler_and_its_figures_before_and_after_calibration(affectkit, too_sure, tmp_path):
    rng = np.random.default_rng(0)
    ids = pd.read_csv(tmp_path / "voice.csv")["id"]
    ages = np.where(rng.random(360) < 0.2, np.nan, rng.normal(40, 10, 360))
    pd.DataFrame({"id": ids, "age": ages}).to_csv(tmp_path / "notes.csv", index=False)
    line = ("fuse", *too_sure, f"notes={tmp_path}/notes.csv", "--rule", "mlp", "--epochs", 5)
    result = affectkit(*line, "-o", tmp_path / "f")
    folder, table = tmp_path / "f", pd.read_csv(tmp_path / "f" / "predictions.csv")
    report = json.loads((folder / "train_report.json").read_text())
    fitted = json.loads((folder / "best_model" / "fusion.json").read_text())["targets"]["label"]
    assert fitted["options"]["epochs"] == 5 and fitted["options"]["hidden_size"] == 64

    # Of the rows that the final fit saw, the val rows.
    [columns] = json.loads((folder / "feature_scaler.json").read_text())["targets"].values()
    by_name = {(c["source"], c["column"], c["what"]): c for c in columns["columns"]}
    inside = (table["split"] == "val").to_numpy()
    assert by_name["notes", "age", "value"]["center"] == pytest.approx(np.nanmean(ages[inside]))
    assert by_name["notes", "age", "value"]["scale"] == pytest.approx(np.nanstd(ages[inside]))
    voice = pd.read_csv(tmp_path / "voice.csv")["prob_sad"].to_numpy()
    assert by_name["voice", "sad", "value"]["center"] == pytest.approx(voice[inside].mean())
    columns = list(pd.read_csv(folder / "history.csv"))
    assert columns[:6] == ["target", "epoch", "step", "train_loss", "val_loss", "val_uar"] and columns[-1] == "best"

    # Before and after the temperature: other probabilities, the same classes.
    parts = {"val": "oof", "test": "test"}
    for split, part in parts.items():
        after, before = (report[m][f"{part}_nll"]["value"] for m in ("metrics", "uncalibrated_metrics"))
        assert after == pytest.approx(nll(table, split), abs=1e-6) and after != before
        assert report["metrics"][f"{part}_uar"] == report["uncalibrated_metrics"][f"{part}_uar"]
        change = report["changes"][part]["label"]["nll"]
        assert (change["before"], change["after"]) == pytest.approx((before, after))
        counts = pd.read_csv(folder / f"{split}_confusion_calibrated.csv").set_index("true")
        rows = table[table["split"] == split]
        expected = pd.crosstab(rows["label"], rows["pred"]).reindex(index=CLASSES, columns=CLASSES, fill_value=0)
        np.testing.assert_array_equal(counts[CLASSES], expected)
        assert f"{split} rows: label at temperature {fitted['parameters']['temperature']:.3g}: NLL" in result.stderr

    # The comparison is that of every rule.
    assert set(verdicts(folder)) == {"val", "test"} and verdicts(folder)["val"]["against_mean"]
    assert set(table["seen"][table["split"] == "val"]) == {"oof"}


def test_mlp_is_the_same_again_and_another_with_another_seed(affectkit, sources, tmp_path):
    named = sources(rows=120, speakers=6, voice=1.0, face=1.0)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        affectkit("fuse", *named, "--rule", "mlp", "--epochs", 2, "--seed", seed, "-o", tmp_path / name)
    made = ["best_model/fusion.json", "predictions.csv", "feature_scaler.json", "history.csv", "report.html"]
    a, b, c = ({f: (tmp_path / name / f).read_bytes() for f in made} for name in "abc")
    assert a == b
    assert a["history.csv"] != c["history.csv"] and a["feature_scaler.json"] == c["feature_scaler.json"]


def test_what_mlp_saved_answers_as_it_did(affectkit, sources, tmp_path):
    from affectkit.artifacts.predictions import read_predictions
    from affectkit.fusion.rule import FusionModel

    named = sources(rows=120, speakers=6, voice=1.5, face=1.5, missing=("face",))
    affectkit("fuse", *named, "--rule", "mlp", "--epochs", 2, "-o", tmp_path / "f")
    tables = {name: read_predictions(tmp_path / f"{name}.csv") for name in ("voice", "face")}
    rows = {name: {key: at for at, key in enumerate(t.frame["id"])} for name, t in tables.items()}
    fused = read_predictions(tmp_path / "f" / "predictions.csv")
    fused = fused.take(fused.frame["split"] == "test")
    answers = {
        name: table.output().at(np.array([rows[name].get(key, -1) for key in fused.frame["id"]]))
        for name, table in tables.items()
    }
    found = FusionModel.load(tmp_path / "f" / "best_model").apply("label", answers)
    np.testing.assert_allclose(found.values, fused.output().values, atol=1e-8)


@pytest.mark.slow
def test_other_commands_take_what_mlp_made(affectkit, sources, tmp_path):
    named = sources(rows=120, speakers=6, voice=1.5, face=1.5)
    rule = ("--rule", "mlp", "--epochs", 1)
    affectkit("fuse", *named, *rule, "-o", tmp_path / "mlp")
    affectkit("fuse", *named, "--rule", "mean", "-o", tmp_path / "mean")
    assert not list((tmp_path / "mean").glob("*scaler*")) and not list((tmp_path / "mean").glob("*confusion*"))
    assert "changes" not in json.loads((tmp_path / "mean" / "train_report.json").read_text())
    affectkit("calibrate", tmp_path / "mlp", "--method", "temperature", "-o", tmp_path / "calibrated")
    affectkit("select", tmp_path / "mlp", tmp_path / "mean", "--by", "oof_uar", "-o", tmp_path / "selected")
    affectkit("evaluate", tmp_path / "mlp", "-o", tmp_path / "report")
    affectkit("ablate", *named, *rule, "--seeds", 1, "-o", tmp_path / "ablation")
    judged = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]["uar"]["value"]
    report = json.loads((tmp_path / "mlp" / "train_report.json").read_text())
    assert report["metrics"]["test_uar"]["value"] == pytest.approx(judged)
    ablated = affectkit("ablate", *named, *rule, "--seeds", 1, "-o", tmp_path / "ablation", "--resume", "--json")
    values = json.loads(ablated.stdout)["parts"]["oof"]
    assert values["voice+face"]["value"] == pytest.approx(report["metrics"]["oof_uar"]["value"])


def test_mlp_of_numbers_has_nothing_to_calibrate(affectkit, tmp_path):
    rng = np.random.default_rng(0)
    truth = np.clip(4 + rng.normal(size=120), 1, 7)
    for name in ("voice", "face"):
        table = pd.DataFrame({"id": [f"r{i}" for i in range(120)], "valence": truth})
        table["valence_pred"] = truth + rng.normal(size=120)
        table["speaker"], table["split"], table["seen"] = [f"s{i % 6}" for i in range(120)], "val", "heldout"
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    named = (f"voice={tmp_path}/voice.csv", f"face={tmp_path}/face.csv")
    affectkit("fuse", *named, "--rule", "mlp", "--epochs", 20, "-o", tmp_path / "f")
    report = json.loads((tmp_path / "f" / "train_report.json").read_text())
    assert "uncalibrated_metrics" not in report and not list((tmp_path / "f").glob("*confusion*"))
    assert verdicts(tmp_path / "f")["val"]["against_best"]["first"] > 0.7
    assert (tmp_path / "f" / "feature_scaler.json").exists()


def test_an_mlp_that_does_not_help_gives_way_to_the_single_source(affectkit, sources, tmp_path):
    named = sources(rows=120, speakers=6, voice=1.5, noise=0.0)
    affectkit("fuse", *named, "--rule", "mlp", "--epochs", 1, "--fallback", "best", "-o", tmp_path / "f")
    report = json.loads((tmp_path / "f" / "train_report.json").read_text())
    assert report["fell_back"] == ["label"] and "changes" not in report
    assert not (tmp_path / "f" / "feature_scaler.json").exists()


def test_a_gate_is_recorded_and_loaded(affectkit, sources, tmp_path):
    from affectkit.fusion.rule import FusionModel

    line = ("fuse", *sources(voice=1.5, face=1.5, rows=240), "--rule", "mlp", "--epochs", "4", "--gate", "voice")
    affectkit(*line, "-o", tmp_path / "f")
    assert "gate" in (tmp_path / "f" / "run.json").read_text()
    fitted = FusionModel.load(tmp_path / "f" / "best_model").targets["label"]
    assert fitted["options"]["gate"] == "voice"
    result = affectkit(*line[:-1], "ear", "-o", tmp_path / "g", code=2)
    assert "--gate ear is none of" in result.stderr
