"""`affectkit ablate` as it is used: files, resuming, the same figures as other commands, mistakes."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from affectkit.artifacts import predictions

CLASSES = ("calm", "glad", "mad", "sad")
SEES = {"audio": (0, 1), "text": (2, 3), "noise": ()}
RECORDS = {"run.json", "started.json", "steps.csv", "log.jsonl"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """audio.csv, text.csv, noise.csv: cross-fitted rows of ten speakers and test rows of four; manifest.csv."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    speakers = np.repeat([f"s{number:02}" for number in range(14)], 18)
    truth = rng.integers(4, size=len(speakers))
    rows = pd.DataFrame(
        {
            "id": [f"u{row:03}" for row in range(len(speakers))],
            "split": np.where(speakers < "s10", "train", "test"),
            "seen": np.where(speakers < "s10", "oof", "heldout"),
            "label": np.array(CLASSES)[truth],
            "speaker": speakers,
        }
    )
    for name, sees in SEES.items():
        scores = rng.normal(size=(len(rows), 4))
        for place in sees:
            scores[:, place] += 2.4 * (truth == place)
        table = rows.assign(**dict(zip([f"prob_{c}" for c in CLASSES], softmax(scores, axis=1).T, strict=True)))
        table.to_csv(folder / f"{name}.csv", index=False)
        table.drop(columns=["split", "seen", "label", "speaker"]).to_csv(folder / f"bare_{name}.csv", index=False)
    rows[rows["split"] == "train"].drop(columns=["split", "seen"]).to_csv(folder / "manifest.csv", index=False)
    return folder


def named(folder, *names):
    return [f"{name}={folder / name}.csv" for name in names]


def summary(folder):
    return json.loads((folder / "ablation_summary.json").read_text())


def contents(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in RECORDS)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_it_leaves_a_table_a_summary_figures_and_a_page_that_agree(affectkit, tables, tmp_path):
    result = affectkit("ablate", *named(tables, *SEES), "--rule", "mean", "-o", tmp_path / "out")
    found = summary(tmp_path / "out")
    with open(tmp_path / "out" / "ablation_summary.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["part"], row["subset"]) for row in rows] == [
        (part, name) for part in ("oof", "test") for name in found["parts"]["oof"]["subsets"]
    ]
    for row in rows:
        said = found["parts"][row["part"]]["subsets"][row["subset"]]
        assert float(row["uar"]) == pytest.approx(said["metrics"]["uar"]["value"], rel=1e-8)
        assert float(row["nll_high"]) == pytest.approx(said["metrics"]["nll"]["high"], rel=1e-8)
        assert (int(row["n"]), int(row["groups"])) == (said["n"], said["groups"])
        for reference in ("best_single", "full"):
            against = said["against"].get(reference)
            p = row[f"to_{reference}_p_holm"]
            assert (p == "") if against is None else float(p) == pytest.approx(against["p_holm"], rel=1e-8)
    assert list(rows[0])[:7] == ["part", "subset", "sources", "n", "groups", "uar", "uar_low"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(page) < 500_000 and "<script" not in page and "audio+text+noise" in page
    assert {path.name for path in (tmp_path / "out").glob("*.svg")} == {
        f"{part}{name}.svg" for part in ("", "test_") for name in ("subsets", "to_best_single", "to_full")
    }
    assert "audio+text" in result.stderr and "Without noise (audio+text): difference to all together" in result.stderr
    assert ": better." in result.stderr and "warning" not in result.stderr.split("Test rows")[0]


def test_figures_are_those_of_evaluate_and_of_fuse(affectkit, tables, tmp_path):
    affectkit("ablate", *named(tables, *SEES), "--rule", "product", "-o", tmp_path / "out")
    parts = summary(tmp_path / "out")["parts"]
    affectkit("fuse", *named(tables, "audio", "text"), "--rule", "product", "-o", tmp_path / "fused")
    for split, place in {"oof": "out/subsets/audio+text", "test": "fused"}.items():
        affectkit("evaluate", tmp_path / place, "--split", split, "-o", tmp_path / split)
        judged = json.loads((tmp_path / split / "metrics.json").read_text())["metrics"]
        own = parts[split]["subsets"]["audio+text"]["metrics"]
        assert own.keys() == judged.keys()
        for name, figure in judged.items():
            for end in ("value", "low", "high"):
                assert own[name][end] == pytest.approx(figure[end], abs=1e-9), (split, name, end)


def test_single_sources_are_themselves(affectkit, tables, tmp_path):
    affectkit("ablate", *named(tables, "audio", "text"), "-o", tmp_path / "out")
    for name in ("audio", "text"):
        before = pd.read_csv(tables / f"{name}.csv")
        after = pd.read_csv(tmp_path / "out" / "subsets" / f"{name}_only" / "predictions.csv")
        columns = ["id", "split", "seen", "speaker", "label", *(f"prob_{c}" for c in CLASSES)]
        pd.testing.assert_frame_equal(before[columns], after[columns])


def test_tables_of_any_tool_are_judged_with_a_manifest(affectkit, tables, tmp_path):
    given = [f"{name}={tables}/bare_{name}.csv" for name in ("audio", "text")]
    result = affectkit("ablate", *given, "-o", tmp_path / "out", code=1)
    assert "pass --treat-as val" in result.stderr
    for name in ("audio", "text"):  # the rows that the manifest has
        table = pd.read_csv(tables / f"bare_{name}.csv")
        table.iloc[:180].to_csv(tmp_path / f"{name}.csv", index=False)
    given = named(tmp_path, "audio", "text")
    result = affectkit("ablate", *given, "--treat-as", "val", "-o", tmp_path / "out", code=1)
    assert "no row to fit on has a truth for label; pass the --manifest that has it" in result.stderr
    line = [*given, "--treat-as", "val", "--manifest", tables / "manifest.csv"]
    result = affectkit("ablate", *line, "-o", tmp_path / "out")
    assert "because --treat-as says so" in result.stderr
    found = summary(tmp_path / "out")
    assert list(found["parts"]) == ["oof"] and found["parts"]["oof"]["groups"] == {"column": "speaker", "count": 10}


def test_a_table_of_columns_is_judged_beside_predictions(affectkit, tables, tmp_path):
    rows = pd.read_csv(tables / "audio.csv")
    pd.DataFrame({"id": rows["id"], "mad": (rows["label"] == "mad").astype(int)}).to_csv(
        tmp_path / "x.csv", index=False
    )
    line = ["ablate", *named(tables, "audio"), f"x={tmp_path / 'x.csv'}", "-o", tmp_path / "out"]
    assert "holds no predictions" in affectkit(*line, code=1).stderr
    affectkit(*line, "--rule", "stacked", "--cv-folds", "2", "--seeds", "1")
    found = summary(tmp_path / "out")["parts"]["oof"]["subsets"]
    assert list(found) == ["audio_only", "audio+x"]
    assert found["audio+x"]["against"]["best_single"]["difference"]["low"] > 0


def test_stopped_half_way_and_gone_on_with_it_gives_the_same_bytes(affectkit, tables, monkeypatch, tmp_path):
    line = ["ablate", *named(tables, *SEES), "--rule", "mean"]
    affectkit(*line, "-o", tmp_path / "whole")
    write, written = predictions.write_table, []

    def stopping(path, frame, floats):
        written.append(path)
        if len(written) == 5:
            raise KeyError("half a row")
        write(path, frame, floats)

    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr(predictions, "write_table", stopping)
        affectkit(*line, "-o", tmp_path / "stopped")
    done = sorted(path.parent.name for path in (tmp_path / "stopped").rglob("subset.json"))
    assert done == ["audio+text", "audio_only", "noise_only", "text_only"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "stopped").rglob("predictions.csv")}
    unfinished = tmp_path / "stopped" / "subsets" / ".predictions.csv.1.tmp"  # what a kill leaves besides
    unfinished.write_text("half a row")
    result = affectkit(*line, "--by", "nll", "-o", tmp_path / "stopped", "--resume", code=2)
    assert "--resume: --metric was None and is now 'nll'" in result.stderr
    affectkit(*line, "-o", tmp_path / "stopped", "--resume")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_features_are_trained_as_train_does(affectkit, tables, tmp_path):
    rows = pd.read_csv(tables / "audio.csv")
    rows = rows[rows["speaker"].isin(["s00", "s01", "s02", "s03", "s04", "s12", "s13"])].reset_index(drop=True)
    rng = np.random.default_rng(1)
    rows[["id", "split", "label", "speaker"]].to_csv(tmp_path / "manifest.csv", index=False)
    for name, sees in {"voice": 0, "face": 1}.items():
        values = {f"x{i}": rng.normal(size=len(rows)) + 1.5 * (rows["label"] == CLASSES[sees + i]) for i in range(3)}
        pd.DataFrame({"id": rows["id"], **values}).to_csv(tmp_path / f"{name}.csv", index=False)
    common = ["--manifest", tmp_path / "manifest.csv", "--c-grid", "1"]
    sets = [argument for pair in named(tmp_path, "voice", "face") for argument in ("--features", pair)]
    affectkit("ablate", *common, *sets, "--model", "linear", "--seeds", "1", "-o", tmp_path / "out")
    both = ["--features", tmp_path / "voice.csv", "--features", tmp_path / "face.csv"]
    affectkit("train", *common, *both, "--cv", "-o", tmp_path / "trained")
    trained = json.loads((tmp_path / "trained" / "train_report.json").read_text())["metrics"]
    found = summary(tmp_path / "out")
    assert found["model"] == "linear" and found["normalization"] == "inductive"
    for part, of in found["parts"].items():
        for name, figure in of["subsets"]["voice+face"]["metrics"].items():
            for end in ("value", "low", "high"):
                expected = trained[f"{part}_{name}"][end]
                assert figure[end] == pytest.approx(expected, abs=1e-7), (part, name, end)
    affectkit("ablate", *common, *sets, "--cv-folds", "2", "--seeds", "2", "-o", tmp_path / "seeds")
    row = summary(tmp_path / "seeds")["parts"]["oof"]["subsets"]["voice_only"]
    assert len(row["seeds"]["uar"]["values"]) == 2
    assert row["metrics"]["uar"]["value"] == pytest.approx(np.mean(row["seeds"]["uar"]["values"]))
    assert sorted(path.name for path in (tmp_path / "seeds" / "subsets" / "face_only").iterdir()) == [
        "predictions.csv", "predictions_1.csv", "subset.json",
    ]  # fmt: skip


MISTAKES = {
    "a rule that fuses nothing": (
        ["voice={}/voice.csv", "face={}/face.csv", "--rule", "route"],
        "no subsets to judge",
        2,
    ),
    "nothing at all": ([], "either predictions, --features or --retrain", 2),
    "one source": (["audio={0}/audio.csv"], "1 source, at least 2 are needed", 2),
    "a name twice": (["a={0}/audio.csv", "a={0}/text.csv"], "the name 'a' stands twice", 2),
    "no names": (["{0}/audio.csv", "{0}/text.csv"], "is not NAME=PATH", 2),
    "a name with a plus": (["a+b={0}/audio.csv", "c={0}/text.csv"], "has a +", 2),
    "a missing file": (["a={0}/audio.csv", "b={0}/txt.csv"], "txt.csv: no such file", 1),
    "a misspelt rule": (["a={0}/audio.csv", "b={0}/text.csv", "--rule", "maen"], "did you mean mean", 2),
    "a misspelt metric": (["a={0}/audio.csv", "b={0}/text.csv", "--by", "urr"], "did you mean uar", 2),
    "a metric of numbers": (["a={0}/audio.csv", "b={0}/text.csv", "--by", "ccc"], "there is no metric 'ccc'", 2),
    "a misspelt group": (["a={0}/audio.csv", "b={0}/text.csv", "--group", "speakr"], "did you mean speaker", 1),
    "an estimator for predictions": (["a={0}/audio.csv", "b={0}/text.csv", "--model", "svm"], "--model belongs to", 2),
    "an option of estimators": (["a={0}/audio.csv", "b={0}/text.csv", "--trees", "9"], "mean has no option --trees", 2),
    "too many subsets": (
        ["a={0}/audio.csv", "b={0}/text.csv", "c={0}/noise.csv", "--max-subsets", "3"],
        "3 sources have 7 subsets",
        2,
    ),
    "more folds than speakers": (
        ["a={0}/audio.csv", "b={0}/text.csv", "--cv-folds", "11"],
        "10 speakers cannot make 11 folds",
        1,
    ),
    "features without a manifest": (["--features", "a={0}/audio.csv"], "--features needs --manifest", 2),
    "a rule for features": (
        ["--features", "a={0}/x", "--features", "b={0}/y", "--manifest", "{0}/manifest.csv", "--rule", "mean"],
        "--rule belongs to predictions",
        2,
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(affectkit, tables, tmp_path, what):
    line, message, code = MISTAKES[what]
    result = affectkit("ablate", *(argument.format(tables) for argument in line), "-o", tmp_path / "out", code=code)
    errors = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0], result.stderr
    assert not (tmp_path / "out").exists()


def test_sources_that_disagree_are_refused(affectkit, tables, tmp_path):
    table = pd.read_csv(tables / "text.csv")
    table.assign(id=[f"other{row}" for row in range(len(table))]).to_csv(tmp_path / "others.csv", index=False)
    table.assign(label=table["label"].iloc[::-1].to_numpy()).to_csv(tmp_path / "relabelled.csv", index=False)
    for name, message in {"others": "shares no id with audio", "relabelled": "another source"}.items():
        line = [*named(tables, "audio"), *named(tmp_path, name), "-o", tmp_path / "out"]
        assert message in affectkit("ablate", *line, code=1).stderr


def test_audio_and_text_together_are_a_fusion_and_each_language_is_judged(affectkit, tables, tmp_path):
    for name in ("audio", "text"):
        table = pd.read_csv(tables / f"{name}.csv")
        table["language"] = ["zh" if n % 3 else "en" for n in range(len(table))]
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    affectkit("ablate", *named(tmp_path, "audio", "text"), "--rule", "mean", "-o", tmp_path / "out")
    found = summary(tmp_path / "out")
    assert found["full"] == "fusion" and list(found["parts"]["test"]["subsets"]) == [
        "audio_only",
        "text_only",
        "fusion",
    ]
    with open(tmp_path / "out" / "ablation_summary.csv") as file:
        rows = {(row["part"], row["subset"]): row for row in csv.DictReader(file)}
    for subset in ("audio_only", "fusion"):
        said = predictions.read_predictions(tmp_path / "out" / "subsets" / subset / "predictions.csv").frame
        judged = said[(said["split"] == "test") & (said["language"] == "zh")]
        recalls = [(judged["pred"] == c)[judged["label"] == c].mean() for c in CLASSES]
        languages = found["parts"]["test"]["subsets"][subset]["languages"]
        assert languages["zh"]["n"] == len(judged) and set(languages) == {"en", "zh"}
        assert languages["zh"]["metrics"]["uar"]["value"] == pytest.approx(np.mean(recalls), abs=1e-9)
        assert float(rows["test", subset]["uar_zh"]) == pytest.approx(np.mean(recalls), abs=1e-8)
    assert "by language" in (tmp_path / "out" / "report.html").read_text()


def test_one_language_alone_is_not_judged_apart(affectkit, tables, tmp_path):
    for name in ("audio", "text"):
        pd.read_csv(tables / f"{name}.csv").assign(language="zh").to_csv(tmp_path / f"{name}.csv", index=False)
    affectkit("ablate", *named(tmp_path, "audio", "text"), "--rule", "mean", "-o", tmp_path / "out")
    assert "languages" not in (tmp_path / "out" / "ablation_summary.json").read_text()
