"""Every subset of simulated sources: figures against scikit-learn and hand calculation, and how rarely noise is told
apart."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import t as student
from sklearn.metrics import recall_score

from affectkit.ablation import ablate, of_features, of_predictions, subsets, write_ablation
from affectkit.ablation.study import AblationSetup, drawn_folds, judge
from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, with_outputs
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError
from affectkit.estimators._fit import FitSettings, build_estimator
from affectkit.estimators._train import load_dataset, train_model
from affectkit.evaluation.comparison import target_metric
from affectkit.evaluation.intervals import DEFAULT
from affectkit.fusion.align import align
from affectkit.fusion.fuse import fuse
from affectkit.labels import Target
from affectkit.leakage.crossfit import plan_fit
from affectkit.reporting.ablated import draw
from affectkit.results.lineage import lineage

CLASSES = ("calm", "glad", "mad", "sad")
LABEL = Target("label", "class", CLASSES)
LINEAGE = lineage([])
SEES = {"audio": (0, 1), "text": (2, 3), "noise": ()}  # the classes that each source tells from the others


def frame(seed=0, speakers=12, each=30, test=0):
    """Rows of train speakers, and of `test` further ones."""
    rng = np.random.default_rng(seed)
    count = (speakers + test) * each
    held = np.repeat(np.arange(speakers + test), each) >= speakers
    return pd.DataFrame(
        {
            "id": [f"u{row:04}" for row in range(count)],
            "split": np.where(held, "test", "train"),
            "seen": np.where(held, "heldout", "oof"),
            "speaker": np.repeat([f"s{number:02}" for number in range(speakers + test)], each),
            "label": rng.choice(CLASSES, count),
        }
    )


def answers(rows, sees, seed):
    """[N, K] probabilities that tell the classes `sees` from the others."""
    rng = np.random.default_rng(seed)
    truth = np.array([CLASSES.index(name) for name in rows["label"]])
    scores = rng.normal(size=(len(rows), len(CLASSES)))
    for place in sees:
        scores[:, place] += 2.4 * (truth == place)
    return softmax(scores, axis=1)


def source(name, rows, values):
    table = with_outputs(Predictions(rows, {"label": LABEL}), [TargetPrediction.of(LABEL, values)], rows["seen"])
    return Source(name, SimpleNamespace(name=name), None, pd.DataFrame({"id": []}), predictions=table)


def three(seed=0, **how):
    rows = frame(seed, **how)
    return [source(name, rows, answers(rows, sees, [seed, i])) for i, (name, sees) in enumerate(SEES.items())]


def uar(rows, values):
    return recall_score(rows["label"], np.array(CLASSES)[values.argmax(axis=1)], average="macro")


def test_subsets_are_all_there_are_small_ones_first_in_the_order_of_the_names():
    names = [subset.name for subset in subsets(["b", "a", "c"])]
    assert names == ["b_only", "a_only", "c_only", "b+a", "b+c", "a+c", "b+a+c"]
    assert len(subsets([str(number) for number in range(8)])) == 255
    with pytest.raises(AffectkitError, match="9 sources have 511 subsets, more than --max-subsets 255"):
        subsets([str(number) for number in range(9)])
    with pytest.raises(AffectkitError, match=r"the name 'a\+b' has a \+"):
        subsets(["a+b", "c"])


def test_subsets_that_are_included_are_all_there_are():
    names = [subset.name for subset in subsets(list("abcdefghi"), [["c", "a"], ["b"], ["a", "c"]])]
    assert names == ["b_only", "a+c"]
    with pytest.raises(AffectkitError, match="there is no source 'texst'; did you mean text"):
        subsets(list(SEES), [["audio", "texst"]])
    with pytest.raises(AffectkitError, match="--include names no source; name some of audio, text, noise"):
        subsets(list(SEES), [[]])


@pytest.mark.parametrize("include", ["audio,text noise,text", "audio,text text", "noise,audio", "text"])
def test_included_subsets_have_the_figures_that_they_have_among_all(tmp_path, include):
    study = of_predictions(three(each=10), "mean", {})
    chosen = subsets(SEES, [names.split(",") for names in include.split()])
    some, every = ablate(study, chosen, tmp_path / "some"), ablate(study, subsets(SEES), tmp_path / "all")
    assert some["full"] == chosen[-1].name
    assert some["best_single"] == ("text_only" if "text" in include.split() else None)
    rows, of_all = some["parts"]["oof"]["subsets"], every["parts"]["oof"]["subsets"]
    assert list(rows) == [subset.name for subset in chosen]
    assert all(rows[name]["metrics"] == of_all[name]["metrics"] for name in rows)
    assert all(("full" in row["against"]) == (name != some["full"]) for name, row in rows.items())
    write_ablation(
        tmp_path / "some", {"kind": "predictions", "how": "", "warnings": [], "inputs": [], **LINEAGE, **some}
    )
    page = draw(tmp_path / "some")
    assert any("best single" in column for column in page.sections[0].tables[0].columns) == bool(some["best_single"])


def test_complementary_sources_are_better_together_and_noise_adds_nothing(tmp_path):
    given = three(test=6)
    found = ablate(of_predictions(given, "mean", {}), subsets(SEES), tmp_path)
    assert list(found["parts"]) == ["oof", "test"]
    assert found["best_single"] in ("audio_only", "text_only")
    for part in found["parts"].values():
        rows = part["subsets"]
        assert rows["audio+text"]["against"]["best_single"]["p_holm"] < 0.05
        assert rows["audio+text"]["against"]["best_single"]["difference"]["low"] > 0.1
        assert rows["audio+text"]["against"]["full"]["difference"]["value"] > 0  # noise takes away from the mean
        for name in ("audio", "text"):
            alone = rows[f"{name}_only"]["against"]
            assert alone["full"]["difference"]["value"] < 0
            assert rows[f"{name}+noise"]["against"].get("best_single", {"p_holm": 1})["p_holm"] > 0.05
        assert rows["noise_only"]["against"]["best_single"]["difference"]["high"] < 0
    oof = found["parts"]["oof"]["subsets"]
    assert all(oof[f"{name}_only"]["against"]["full"]["p_holm"] < 0.05 for name in ("audio", "text", "noise"))
    assert found["parts"]["oof"]["n"] == 360 and found["parts"]["test"]["n"] == 180


def test_figures_and_differences_are_those_of_a_hand_calculation(tmp_path):
    given = three(seed=1)
    found = ablate(of_predictions(given, "mean", {}), subsets(SEES), tmp_path)["parts"]["oof"]["subsets"]
    rows, values = given[0].predictions.frame, {s.name: s.predictions.output().values for s in given}
    pair = (values["audio"] + values["text"]) / 2
    whole = (values["audio"] + values["text"] + values["noise"]) / 3
    assert found["noise_only"]["metrics"]["uar"]["value"] == pytest.approx(uar(rows, values["noise"]), abs=1e-12)
    assert found["audio+text"]["metrics"]["uar"]["value"] == pytest.approx(uar(rows, pair), abs=1e-12)
    said = found["audio+text"]["against"]["full"]
    assert said["difference"]["value"] == pytest.approx(uar(rows, pair) - uar(rows, whole), abs=1e-12)
    left = [  # the jackknife over speakers
        uar(rows[rows["speaker"] != one], pair[rows["speaker"] != one])
        - uar(rows[rows["speaker"] != one], whole[rows["speaker"] != one])
        for one in rows["speaker"].unique()
    ]
    error = np.sqrt(11 * np.var(left))
    reach = student.ppf(0.975, 11) * error
    assert said["difference"]["low"] == pytest.approx(said["difference"]["value"] - reach, abs=1e-9)
    assert said["p"] == pytest.approx(2 * student.sf(abs(said["difference"]["value"]) / error, 11), rel=1e-6)


@pytest.mark.parametrize(("rule", "options"), [("weighted", {}), ("product", {}), ("greedy", {"most": 3})])
def test_every_subset_is_what_fuse_makes_of_it(tmp_path, rule, options):
    given = three(seed=2, speakers=6, each=15, test=3)
    study = of_predictions(given, rule, options)
    found = ablate(study, subsets(SEES), tmp_path)["parts"]
    for subset in subsets(SEES)[3:]:
        aligned = align([s for s in given if s.name in subset.sources])
        fused = fuse(aligned, rule, options, plan_fit(aligned.rows))
        written = pd.read_csv(tmp_path / "subsets" / subset.name / "predictions.csv")
        np.testing.assert_allclose(
            written[[f"prob_{c}" for c in CLASSES]], fused.predictions.probabilities(), atol=1e-9
        )
        assert list(written["seen"]) == list(fused.predictions.frame["seen"])
        for verdict in fused.verdicts:
            own = found[verdict.part]["subsets"][subset.name]["metrics"]["uar"]["value"]
            assert own == pytest.approx(verdict.best.first, abs=1e-12)


def test_a_subset_gets_its_own_of_fixed_weights(tmp_path):
    given = three(seed=3, each=10)
    study = of_predictions(given, "weighted", {"weights": "6,2,2"})
    values = [s.predictions.output().values for s in given]
    np.testing.assert_allclose(study.answer(["audio", "noise"], 0).probabilities(), 0.75 * values[0] + 0.25 * values[2])
    study = of_predictions(given, "weighted", {"weights": "1,0,0"})
    np.testing.assert_allclose(study.answer(["text", "noise"], 0).probabilities(), (values[1] + values[2]) / 2)
    with pytest.raises(AffectkitError, match="--weights: 2 for 3 sources"):
        of_predictions(given, "weighted", {"weights": ".7,.3"})


def test_the_best_single_source_is_not_one_that_answers_only_what_is_easy(tmp_path):
    rows = frame(seed=4)
    strong, weak = answers(rows, (0, 1, 2, 3), 0), answers(rows, (0, 1), 1)
    hard = np.random.default_rng(0).random(len(rows)) < 0.5
    strong[hard] = answers(rows, (), 2)[hard]
    sure = answers(rows, (0, 1, 2), 3)
    sure[hard] = np.nan  # the better on its own rows, the worse on the same
    given = [source("strong", rows, strong), source("sure", rows, sure), source("weak", rows, weak)]
    found = ablate(of_predictions(given, "mean", {}), subsets(["strong", "sure", "weak"]), tmp_path)
    figures = found["parts"]["oof"]["subsets"]
    assert found["best_single"] == "strong_only"
    assert figures["sure_only"]["metrics"]["uar"]["value"] > figures["strong_only"]["metrics"]["uar"]["value"]
    assert figures["sure_only"]["n"] == (~hard).sum() == figures["sure_only"]["against"]["best_single"]["n"]
    assert figures["strong+sure"]["n"] == len(rows)
    assert any("sources lack rows" in text for text in found["parts"]["oof"]["warnings"])


class Given:
    """A study of answers that are there: subset -> one table per seed."""

    def __init__(self, tables, rows):
        names = [key for key in tables if "+" not in key]
        seeds = list(range(len(next(iter(tables.values())))))
        self.setup = AblationSetup(
            names, names, {"label": LABEL}, target_metric("uar", {"label": LABEL}), seeds, "", "speaker", None
        )
        self.tables, self.rows = tables, rows

    def read(self, subset):
        return [source("", self.rows, values).predictions for values in self.tables["+".join(subset.sources)]]


def judged(study):
    return judge(study, subsets(study.setup.names), study.read, DEFAULT, lambda done, total: None)["parts"]["oof"][
        "subsets"
    ]


def test_figures_are_means_over_seeds_and_intervals_are_of_groups():
    rows = frame(seed=5, speakers=8)
    tables = {name: [answers(rows, (0,), [seed, i]) for seed in range(4)] for i, name in enumerate(["a", "b", "a+b"])}
    found = judged(Given(tables, rows))
    values = {name: [uar(rows, one) for one in given] for name, given in tables.items()}
    assert found["a_only"]["metrics"]["uar"]["value"] == pytest.approx(np.mean(values["a"]), abs=1e-12)
    assert found["a_only"]["seeds"]["uar"]["sd"] == pytest.approx(np.std(values["a"], ddof=1), abs=1e-12)
    np.testing.assert_allclose(found["a_only"]["seeds"]["uar"]["values"], values["a"])
    changes = np.subtract(values["a"], values["a+b"])
    said = found["a_only"]["against"]["full"]
    assert said["difference"]["value"] == pytest.approx(changes.mean(), abs=1e-12)
    assert said["seeds"]["difference"]["sd"] == pytest.approx(changes.std(ddof=1), abs=1e-12)
    left = []
    for one in rows["speaker"].unique():
        keep = (rows["speaker"] != one).to_numpy()
        pairs = zip(tables["a"], tables["a+b"], strict=True)
        left.append(np.mean([uar(rows[keep], ours[keep]) - uar(rows[keep], theirs[keep]) for ours, theirs in pairs]))
    reach = student.ppf(0.975, 7) * np.sqrt(7 * np.var(left))
    assert said["difference"]["high"] - said["difference"]["value"] == pytest.approx(reach, abs=1e-9)


@pytest.mark.slow
def test_sources_that_are_all_noise_are_rarely_told_apart():
    """At most 5 % of studies may say anything at all, to either reference, of four families of wrong claims."""
    wrong, studies = np.zeros(2), 60
    for seed in range(studies):
        rows = frame(seed, speakers=8, each=20)
        single = {name: answers(rows, (), [seed, i]) for i, name in enumerate("abc")}
        tables = {
            "+".join(s.sources): [np.mean([single[name] for name in s.sources], axis=0)] for s in subsets(list("abc"))
        }
        found = judged(Given(tables, rows)).values()
        for place, to in enumerate(("full", "best_single")):
            wrong[place] += any(row["against"].get(to, {"p_holm": 1})["p_holm"] < 0.05 for row in found)
    assert (wrong / studies <= 0.1).all(), wrong  # 6 of 60: more have a chance of 3 % where 5 % is true


@pytest.mark.slow
def test_two_equal_sources_are_not_called_better_than_the_better_of_both():
    for seed in range(20):
        rows = frame(seed, speakers=10)
        tables = {name: [answers(rows, (0, 1), [seed, i])] for i, name in enumerate("ab")}
        found = judged(Given(tables | {"a+b": tables["a"]}, rows))
        for row in found.values():
            assert row["against"].get("best_single", {"difference": {"value": 0}})["difference"]["value"] <= 0


class Counted:
    """A study that counts what it is asked for, and fails at one answer."""

    def __init__(self, study, fail_at=None):
        self.study, self.fail_at, self.asked = study, fail_at, []

    setup = property(lambda self: self.study.setup)

    def answer(self, sources, repeat):
        self.asked.append("+".join(sources))
        if len(self.asked) == self.fail_at:
            raise KeyboardInterrupt
        return self.study.answer(sources, repeat)

    def made_of(self, sources):
        return self.study.made_of(sources)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fail_at", [4, *(pytest.param(at, marks=pytest.mark.slow) for at in (1, 7))])
def test_gone_on_with_it_answers_only_what_is_missing_and_says_the_same(tmp_path, fail_at):
    study = of_predictions(three(seed=6, speakers=6, each=10), "weighted", {})
    whole = ablate(study, subsets(SEES), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        ablate(Counted(study, fail_at), subsets(SEES), tmp_path / "killed")
    again = Counted(study)
    assert ablate(again, subsets(SEES), tmp_path / "killed") == whole
    assert len(again.asked) == 7 - (fail_at - 1)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    once_more = Counted(study)
    ablate(once_more, subsets(SEES), tmp_path / "killed")
    assert once_more.asked == []


def test_a_subset_that_was_changed_or_made_of_something_else_is_made_again(tmp_path):
    given = three(seed=7, speakers=6, each=10)
    ablate(of_predictions(given, "weighted", {}), subsets(SEES), tmp_path)
    before = contents(tmp_path)
    path = tmp_path / "subsets" / "audio+text" / "predictions.csv"
    path.write_bytes(path.read_bytes().replace(b"calm", b"glad", 1))
    (tmp_path / "subsets" / "text+noise" / "subset.json").write_text('{"sources": ["te')
    again = Counted(of_predictions(given, "weighted", {}))
    ablate(again, subsets(SEES), tmp_path)
    assert again.asked == ["audio+text", "text+noise"] and contents(tmp_path) == before
    again = Counted(of_predictions(given, "weighted", {"weights": "1,2,3"}))
    ablate(again, subsets(SEES), tmp_path)
    assert len(again.asked) == 7
    rows = given[0].predictions.frame
    other = [replace(given[0], predictions=source("audio", rows, answers(rows, (0,), 9)).predictions), *given[1:]]
    again = Counted(of_predictions(other, "weighted", {"weights": "1,2,3"}))
    ablate(again, subsets(SEES), tmp_path)
    assert {"text", "noise", "text+noise"} & set(again.asked) <= {"text", "noise", "text+noise"}
    assert {"audio", "audio+text", "audio+noise", "audio+text+noise"} <= set(again.asked)


def test_only_seeds_that_draw_other_folds_are_repeated():
    rows = frame(speakers=30, each=5)
    given = [source(name, rows, answers(rows, (i,), i)) for i, name in enumerate("ab")]
    assert of_predictions(given, "mean", {}, seeds=5, cv_folds=3).setup.seeds == [0, 1, 2, 3, 4]
    few = [source(name, frame(), answers(frame(), (i,), i)) for i, name in enumerate("ab")]
    study = of_predictions(few, "mean", {}, seeds=5)
    assert study.setup.seeds == [0] and study.setup.scheme == "leave one speaker out (12), whatever the seed"
    ids, groups, labels = (frame()[name].to_numpy() for name in ("id", "speaker", "label"))
    folds, scheme = drawn_folds(ids, groups, "speaker", labels, 3, 0)
    assert of_predictions(few, "mean", {}, cv_folds=3).setup.scheme == scheme
    assert len(set(folds)) == 3
    assert len(set(zip(folds, groups, strict=True))) == 12  # whole speakers


@pytest.fixture
def features(tmp_path):
    """A manifest with a test speaker, and three sets of features of it, one a row short."""
    rows = frame(seed=8, speakers=6, each=12, test=2).drop(columns="seen")
    rows.to_csv(tmp_path / "manifest.csv", index=False)
    rng = np.random.default_rng(0)
    truth = np.array([CLASSES.index(name) for name in rows["label"]])
    for name, sees in SEES.items():
        table = pd.DataFrame({"id": rows["id"]})
        for place in range(3):
            table[f"x{place}"] = rng.normal(size=len(rows)) + (1.5 * (truth == sees[place]) if place < len(sees) else 0)
        table.iloc[5 * (name == "noise") :].to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


ESTIMATOR = build_estimator("linear", {"c_grid": "1"})


def trained_on(manifest, paths):
    data = load_dataset(manifest, paths, group=None, missing="drop")
    return train_model(data, ESTIMATOR, [LABEL], FitSettings(), cv=True, progress=lambda done, total: None).predictions


def of_sets(folder, names, **how):
    manifest = read_manifest(folder / "manifest.csv")
    paths = {name: folder / f"{name}.csv" for name in names}
    return of_features(manifest, paths, ESTIMATOR, [LABEL], FitSettings(), **how)


def test_sets_of_features_are_trained_as_train_does_with_cv(features):
    found = ablate(of_sets(features, ["audio", "text"]), subsets(["audio", "text"]), features / "out")
    for name, paths in {"audio_only": ["audio"], "text_only": ["text"], "fusion": ["audio", "text"]}.items():
        expected = trained_on(read_manifest(features / "manifest.csv"), [features / f"{p}.csv" for p in paths])
        written = pd.read_csv(features / "out" / "subsets" / name / "predictions.csv")
        np.testing.assert_allclose(written[[f"prob_{c}" for c in CLASSES]], expected.probabilities(), atol=1e-8)
        for part, seen in {"oof": "oof", "test": "heldout"}.items():
            own = (expected.frame["seen"] == seen).to_numpy()
            value = found["parts"][part]["subsets"][name]["metrics"]["uar"]["value"]
            assert value == pytest.approx(uar(expected.frame[own], expected.probabilities()[own]), abs=1e-12)
    assert found["folds"] == "leave one speaker out (6)"
    assert found["parts"]["oof"]["subsets"]["fusion"]["against"]["best_single"]["difference"]["value"] > 0.05


def test_all_sets_of_features_have_the_same_rows_folds_and_seeds(features):
    study = of_sets(features, SEES, missing="drop", cv_folds=3, seeds=2)
    found = ablate(study, subsets(SEES), features / "out")
    folds = {}
    for subset in subsets(SEES):
        for repeat, name in enumerate(("predictions.csv", "predictions_1.csv")):
            table = pd.read_csv(features / "out" / "subsets" / subset.name / name, dtype=str)
            assert len(table) == 8 * 12 - 5 and table.groupby("speaker")["fold"].nunique(dropna=False).max() == 1
            folds.setdefault(repeat, set()).add(tuple(table["fold"].fillna("")))
    assert all(len(own) == 1 for own in folds.values())
    assert set(found["parts"]["oof"]["subsets"]["audio_only"]["seeds"]["uar"]) == {"mean", "sd", "values"}
    with pytest.raises(AffectkitError, match="has no features of id 'u0000'"):
        of_sets(features, SEES)
    with pytest.raises(AffectkitError, match="6 speakers cannot make 7 folds"):
        of_sets(features, ["audio", "text"], cv_folds=7)


def test_folds_of_the_manifest_are_kept_unless_others_are_asked_for(features):
    rows = pd.read_csv(features / "manifest.csv", dtype=str)
    rows["fold"] = [str(int(speaker[1:]) % 2) for speaker in rows["speaker"]]
    rows.to_csv(features / "manifest.csv", index=False)
    assert of_sets(features, ["audio", "text"]).setup.scheme == "the manifest's own 2 folds"
    drawn = of_sets(features, ["audio", "text"], cv_folds=3)
    assert drawn.setup.scheme == "3 folds of whole speakers"
    assert set(drawn.answer(["audio"], 0).frame["fold"]) == {"", "0", "1", "2"}


def test_numbers_are_compared_by_their_mean_ccc_or_as_asked(tmp_path):
    rng = np.random.default_rng(0)
    rows = frame(seed=9)[["id", "split", "seen", "speaker"]]
    targets = {name: Target(name, "number", scale=(-3, 3)) for name in ("arousal", "valence")}
    truth = {name: rng.normal(size=len(rows)) for name in targets}
    given = []
    for name, errors in {"voice": (0.3, 1.5), "face": (1.5, 0.3)}.items():
        base = Predictions(rows.assign(**truth), targets)
        outputs = [
            TargetPrediction.of(target, truth[key] + error * rng.normal(size=len(rows)))
            for (key, target), error in zip(targets.items(), errors, strict=True)
        ]
        given.append(replace(source("", frame(seed=9), answers(frame(seed=9), (), 0)), name=name,
                             predictions=with_outputs(base, outputs, rows["seen"])))  # fmt: skip
    found = ablate(of_predictions(given, "mean", {}), subsets(["voice", "face"]), tmp_path / "both")
    assert found["metric"] == "ccc" and found["higher_is_better"]
    own = found["parts"]["oof"]["subsets"]["voice+face"]["metrics"]
    assert own["ccc"]["value"] == pytest.approx((own["arousal.ccc"]["value"] + own["valence.ccc"]["value"]) / 2)
    lower = ablate(
        of_predictions(given, "mean", {}, metric="arousal.rmse"), subsets(["voice", "face"]), tmp_path / "one"
    )
    assert (lower["metric"], lower["best_single"]) == ("arousal.rmse", "voice_only")
    assert not lower["higher_is_better"]
    assert lower["parts"]["oof"]["subsets"]["face_only"]["against"]["best_single"]["difference"]["low"] > 0
    only = ablate(
        of_predictions(given, "mean", {}, targets=["valence"]), subsets(["voice", "face"]), tmp_path / "valence"
    )
    assert only["best_single"] == "face_only" and [target["name"] for target in only["targets"]] == ["valence"]
    written = pd.read_csv(tmp_path / "valence" / "subsets" / "voice_only" / "predictions.csv")
    assert "arousal_pred" not in written
    with pytest.raises(AffectkitError, match="the sources do not all predict 'valance'; did you mean valence"):
        of_predictions(given, "mean", {}, targets=["valance"])


def test_the_order_of_the_rows_is_of_no_account(tmp_path):
    given = three(seed=10, each=10)
    order = np.random.default_rng(0).permutation(120)
    shuffled = [
        replace(s, predictions=replace(s.predictions, frame=s.predictions.frame.iloc[order].reset_index(drop=True)))
        for s in given
    ]
    one, other = (
        ablate(of_predictions(sources, "weighted", {}, cv_folds=3), subsets(SEES), tmp_path / name)
        for name, sources in (("one", given), ("other", shuffled))
    )
    assert json.dumps(one["best_single"]) == json.dumps(other["best_single"])
    for name, row in one["parts"]["oof"]["subsets"].items():
        same = other["parts"]["oof"]["subsets"][name]
        assert row["metrics"]["uar"]["value"] == pytest.approx(same["metrics"]["uar"]["value"], abs=1e-12)
