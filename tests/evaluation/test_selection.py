"""Selection: hand calculations, scikit-learn, and simulations of runs that do not differ."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel
from sklearn.metrics import f1_score

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError
from affectkit.evaluation.candidates import Judged, run_names, same_rows
from affectkit.evaluation.comparison import MetricInputs, TargetMetric, holm, resampled
from affectkit.evaluation.complexity import CALIBRATION, FITTED_FUSION, FIXED_FUSION, SINGLE, Complexity, Facts
from affectkit.evaluation.intervals import Resampling
from affectkit.evaluation.selection import criterion, family, figure_criterion, optimism, select
from affectkit.labels import Target

CLASSES = ("a", "b", "c")
LABEL = Target("label", "class", CLASSES)
VALENCE = Target("valence", "number", scale=(0, 1))
NOTHING = pd.DataFrame(columns=["id", "group", "role"])


def classes(truth, predicted, groups, *, split="val", seen="heldout", ids=None, target=LABEL, **columns):
    """A run of class answers, as text."""
    frame = pd.DataFrame({"id": ids if ids is not None else [f"u{i:04}" for i in range(len(truth))]})
    frame = frame.assign(
        split=split, seen=seen, label=list(truth), pred=list(predicted), speaker=list(groups), **columns
    )
    return source(frame, {target.name: target})


def source(frame, targets, fitted=NOTHING, foreign=False):
    table = Predictions(frame, targets, Path("predictions.csv"), foreign)
    return Source("run", Path("run/predictions.csv"), None, fitted, predictions=table)


def facts(runs, **sizes):
    """Single models, as large as said, made in the order in which they stand."""
    return {
        name: Facts("train", "linear", Complexity(0, SINGLE, sizes.get(name, 1)), f"2026-01-{day:02}", True, False)
        for day, name in enumerate(runs, 1)
    }


def rows(groups=10, each=30, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.array(CLASSES)[rng.integers(3, size=groups * each)]
    return rng, truth, np.repeat([f"s{g}" for g in range(groups)], each)


def answers(rng, truth, skill):
    """Right with a chance of `skill`, a number or [N], and any other class elsewhere."""
    codes = np.searchsorted(CLASSES, truth)
    wrong = (codes + rng.integers(1, 3, len(codes))) % 3
    return np.array(CLASSES)[np.where(rng.random(len(codes)) < skill, codes, wrong)]


def test_two_equal_runs_tie_and_the_simpler_one_is_chosen():
    rng, truth, groups = rows()
    said = answers(rng, truth, 0.7)
    runs = {"large": classes(truth, said, groups), "small": classes(truth, said, groups)}
    found = select(runs, facts(runs, large=9, small=3))
    assert found.by.text == "val_macro_f1"
    assert (found.chosen, found.decided, set(found.tie_set)) == ("small", "simplest", {"large", "small"})


def test_a_clearly_better_run_wins_alone_however_large():
    rng, truth, groups = rows()
    runs = {name: classes(truth, answers(rng, truth, skill), groups) for name, skill in (("poor", 0.5), ("good", 0.8))}
    found = select(runs, facts(runs, poor=1, good=10**6))
    assert (found.chosen, found.tie_set, found.decided) == ("good", ["good"], "val_macro_f1")
    assert found.telling and found.ranking[1].difference.high < 0


def test_figures_are_scikit_learns_and_p_values_of_a_paired_t_test_are_holms():
    rng, truth, groups = rows(8, 25)
    said = {name: answers(rng, truth, skill) for name, skill in (("x", 0.6), ("y", 0.65), ("z", 0.7))}
    runs = {name: classes(truth, predicted, groups) for name, predicted in said.items()}
    found = {run.name: run for run in select(runs, facts(runs), by="val_macro_f1").ranking}
    for name, predicted in said.items():
        assert found[name].figure.value == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-12)
    by_accuracy = select(runs, facts(runs), by="val_accuracy")
    shares = {name: [(p == truth)[groups == g].mean() for g in np.unique(groups)] for name, p in said.items()}
    best = by_accuracy.best
    others = [name for name in runs if name != best]
    p = [ttest_rel(shares[name], shares[best]).pvalue for name in others]
    ranked = {run.name: run for run in by_accuracy.ranking}
    assert [ranked[name].difference.p for name in others] == pytest.approx(p, abs=1e-9)
    assert [ranked[name].adjusted for name in others] == pytest.approx(holm(p), abs=1e-9)


@pytest.mark.parametrize(
    ("runs", "groups", "most"),
    [(2, 10, 0.05), (5, 4, 0.1), *(pytest.param(20, n, 0.25, marks=pytest.mark.slow) for n in (10, 40))],
)
def test_how_often_one_of_equal_runs_is_set_apart(runs, groups, most):
    """5 % of two; some of 20 in about 20 % of cases, because the best is picked on the same rows."""
    rng, repeats = np.random.default_rng(runs + groups), 200
    error, apart = TargetMetric("mae", (VALENCE,)), 0
    for _ in range(repeats):
        errors = rng.normal(1, 0.1, (runs, groups)) + rng.normal(0, 0.3, groups)  # a hard speaker is hard for all
        truths = np.zeros(groups)
        names = np.array([f"s{g}" for g in range(groups)])
        found = {
            f"r{k}": resampled(MetricInputs(error, [truths], [errors[k]]), names, Resampling("jackknife"))
            for k in range(runs)
        }
        best = min(found, key=lambda name: found[name].value)
        apart += not all(run.tie for run in family(found, best, {}))
    assert apart / repeats <= most + 2 * np.sqrt(most * (1 - most) / repeats)


def test_the_best_of_equal_runs_is_optimistic_and_nested_selection_is_not():
    """20 runs of a true accuracy of .6 whose luck differs by speaker; measured: best .689, nested .601."""
    rng, naive, nested = np.random.default_rng(0), [], []
    accuracy = TargetMetric("accuracy", (LABEL,))
    groups = np.repeat([f"s{g}" for g in range(10)], 20)
    for _ in range(60):
        truth = rng.integers(3, size=200)
        said = {}
        for k in range(20):
            skill = np.clip(rng.normal(0.6, 0.1, 10), 0, 1).repeat(20)
            predicted = np.where(rng.random(200) < skill, truth, (truth + 1) % 3)
            said[f"r{k}"] = MetricInputs(accuracy, [truth], [predicted])
        judged = Judged(said, {}, "speaker", groups, [])
        found = {name: resampled(one, groups, Resampling("jackknife")) for name, one in said.items()}
        estimate = optimism(judged, found)
        naive.append(estimate.naive)
        nested.append(estimate.nested)
    print(f"best {np.mean(naive):.3f}, nested {np.mean(nested):.3f}, true 0.600")
    assert np.mean(naive) > 0.64
    assert abs(np.mean(nested) - 0.6) < 3 * np.std(nested) / np.sqrt(60)


def test_nested_selection_of_numbers_is_the_ccc_of_the_rows_put_together():
    """Sums of moments of two runs cannot be pooled: each run's are taken from its own median."""
    from affectkit.evaluation.metrics import ccc

    rng = np.random.default_rng(1)
    truth, groups = rng.random(60), np.repeat(["s0", "s1", "s2"], 20)
    said = {"low": truth - 0.3 + rng.normal(0, 0.1, 60), "high": truth + 0.3 + rng.normal(0, 0.12, 60)}
    runs = {
        name: source(
            pd.DataFrame({"id": np.arange(60).astype(str), "valence": truth, "valence_pred": predicted}).assign(
                split="val", seen="heldout", speaker=groups
            ),
            {"valence": VALENCE},
        )
        for name, predicted in said.items()
    }
    found = select(runs, facts(runs))
    assert found.by.text == "val_ccc"
    pooled = np.empty(60)
    for group in np.unique(groups):
        inside = groups == group
        winner = max(said, key=lambda name: ccc(truth[~inside], said[name][~inside]))
        pooled[inside] = said[winner][inside]
    assert found.optimism.nested == pytest.approx(ccc(truth, pooled), abs=1e-12)


def test_where_two_groups_tell_nothing_the_figure_decides():
    """With two speakers everything ties, noise too, and noise may be the smallest model."""
    rng, truth, groups = rows(2, 60)
    easy = np.where(groups == "s0", 0.1, -0.1)  # a model does better on one speaker than on the other
    runs = {
        "noise": classes(truth, answers(rng, truth, 1 / 3), groups),
        "fair": classes(truth, answers(rng, truth, 0.55 - easy), groups),
        "good": classes(truth, answers(rng, truth, 0.75 + easy), groups),
    }
    found = select(runs, facts(runs, noise=1, fair=50, good=100))
    assert set(found.tie_set) == set(runs)
    assert found.telling is False
    assert [run.name for run in found.ranking] == ["good", "fair", "noise"]
    assert found.decided == "val_macro_f1"


def with_probabilities(rng, truth, groups, sharpness, **keywords):
    scores = rng.normal(size=(len(truth), 3)) + 1.5 * (truth[:, None] == np.array(CLASSES))
    values = np.exp(sharpness * scores) / np.exp(sharpness * scores).sum(axis=1, keepdims=True)
    predicted = np.array(CLASSES)[values.argmax(axis=1)]
    columns = {f"prob_{name}": values[:, k] for k, name in enumerate(CLASSES)}
    return classes(truth, predicted, groups, **columns, **keywords)


def test_a_calibration_error_has_no_interval_and_ranks_by_itself():
    rng, truth, groups = rows()
    runs = {f"x{s}": with_probabilities(rng, truth, groups, s) for s in (3.0, 1.0)}
    found = select(runs, facts(runs), by="val_ece", then=["val_auroc"])
    assert found.chosen == "x1.0" and np.isnan(found.ranking[0].figure.low) and found.telling is False
    assert found.optimism.naive == found.ranking[0].figure.value
    by_area = select(runs, facts(runs), by="val_auroc")
    assert by_area.ranking[0].figure.low > 0.5
    assert [np.isfinite(run.difference.p) for run in by_area.ranking] == [
        run.name != by_area.best for run in by_area.ranking
    ]


def test_a_further_figure_decides_inside_the_tie_set_alone():
    rng, truth, groups = rows()
    runs = {
        "sharp": with_probabilities(rng, truth, groups, 3.0),
        "fair": with_probabilities(rng, truth, groups, 1.0),
        "poor": with_probabilities(rng, rng.permutation(truth), groups, 0.3),  # well calibrated, and no use
    }
    runs["poor"].predictions.frame["label"] = truth
    found = select(runs, facts(runs), by="val_uar", then=["val_ece"])
    assert (found.chosen, found.decided) == ("fair", "val_ece")
    assert found.ranking[-1].name == "poor" and not found.ranking[-1].tie


def test_without_ties_the_order_is_that_of_the_figures():
    rng, truth, groups = rows()
    runs = {name: classes(truth, answers(rng, truth, 0.7), groups) for name in "uvw"}
    sizes = {name: place for place, name in enumerate("uvw")}
    found = select(runs, facts(runs, **sizes), ties=False)
    values = [run.figure.value for run in found.ranking]
    assert values == sorted(values, reverse=True) and found.decided == "val_macro_f1"
    assert select(runs, facts(runs, **sizes)).chosen == "u"


def test_chains_are_ordered_from_simple_to_complex():
    order = [
        Complexity(0, SINGLE, 10),
        Complexity(0, SINGLE, 10**9),
        Complexity(1, CALIBRATION, 5),
        Complexity(2, FIXED_FUSION, 5),
        Complexity(2, FITTED_FUSION, 1),
        Complexity(3, FIXED_FUSION, 1),
    ]
    assert sorted(set(order)) == order
    assert order[2].words == "a calibration on 1 model, 0.0 kB"


def test_the_earliest_is_chosen_where_nothing_else_differs_and_a_table_is_never_the_simplest():
    rng, truth, groups = rows()
    said = answers(rng, truth, 0.7)
    runs = {name: classes(truth, said, groups) for name in ("table", "late", "early")}
    known = facts(runs)
    known["table"] = Facts("", "table", None, "2025-01-01", False, False)
    known["late"] = Facts("train", "linear", Complexity(0, SINGLE, 1), "2026-03-01", True, False)
    found = select(runs, known)
    assert [run.name for run in found.ranking] == ["early", "late", "table"] and found.decided == "earliest"
    assert select(runs, known, then=["earliest"]).chosen == "table"


def test_in_sample_rows_never_count():
    rng, truth, groups = rows()
    honest, fitted = answers(rng, truth, 0.6), truth.copy()
    seen = np.where(np.arange(len(truth)) < 200, "heldout", "fit")
    fitted[:200] = honest[:200]
    runs = {"honest": classes(truth, honest, groups), "fitted": classes(truth, fitted, groups, seen=seen)}
    found = select(runs, facts(runs))
    assert found.on.count == 200
    assert "in-sample rows (seen=fit) are never judged and are left out: fitted has 100" in found.warnings
    assert {run.figure.value for run in found.ranking} == {found.ranking[0].figure.value}
    runs["fitted"] = classes(truth, truth, groups, seen="fit")
    with pytest.raises(AffectkitError, match=r"no val or cross-fitted rows .* it has 300 \(val, fit\)") as caught:
        select(runs, facts(runs))
    assert caught.value.code == "leak"


def test_rows_called_held_out_that_the_model_was_fitted_on_are_refused():
    rng, truth, groups = rows()
    run = classes(truth, answers(rng, truth, 0.6), groups)
    fitted = pd.DataFrame({"id": ["u0003"], "group": ["s0"], "role": ["fit"]})
    with pytest.raises(AffectkitError, match=r"row 4: id 'u0003' is called held out, but fit_rows\.csv has it"):
        select({"run": source(run.predictions.frame, {"label": LABEL}, fitted)}, facts(["run"]))


def test_a_run_without_val_rows_is_judged_on_its_cross_fitted_ones_and_never_on_test_rows():
    rng, truth, groups = rows()
    split = np.where(np.arange(300) < 100, "train", np.where(np.arange(300) < 200, "val", "test"))
    said = answers(rng, truth, 0.6)
    whole = classes(truth, said, groups, split="", seen="oof")
    held = classes(truth, said, groups, split=split, seen=np.where(split == "train", "oof", "heldout"))
    found = same_rows({"held": held, "whole": whole}, "val", {"label": LABEL})
    assert found.origins == {"held": "val", "whole": "oof"}
    assert list(found.tables["whole"].frame["id"]) == [f"u{i:04}" for i in range(100, 200)]
    assert found.warnings == ["only the 100 rows that all runs predicted are compared: whole has 300"]
    assert same_rows({"held": held}, "oof", {"label": LABEL}).tables["held"].frame["split"].unique() == ["train"]
    crossed = classes(truth, said, groups, split="test", seen="oof")
    with pytest.raises(AffectkitError, match=r"no cross-fitted rows .* it has 300 \(test, oof\)"):
        same_rows({"crossed": crossed}, "oof", {"label": LABEL})


def test_runs_that_cannot_be_compared_are_refused_by_name():
    rng, truth, groups = rows()
    said = answers(rng, truth, 0.6)
    one = classes(truth, said, groups)
    apart = classes(truth, said, groups, ids=[f"v{i}" for i in range(300)])
    with pytest.raises(AffectkitError, match="shares no row with one"):
        select({"one": one, "apart": apart}, facts(["one", "apart"]))
    relabelled = truth.copy()
    relabelled[7] = "c" if truth[7] != "c" else "a"
    with pytest.raises(AffectkitError, match=f"says label {relabelled[7]} of id 'u0007', and one says {truth[7]}"):
        select({"one": one, "other": classes(relabelled, said, groups)}, facts(["one", "other"]))
    other = Target("label", "class", ("a", "b", "d"))
    mapped = with_probabilities(rng, truth, groups, 1.0)
    renamed = mapped.predictions.frame.replace("c", "d").rename(columns={"prob_c": "prob_d"})
    with pytest.raises(AffectkitError, match="other classes of label than one: c, d on one side only"):
        select({"one": mapped, "other": source(renamed, {"label": other})}, facts(["one", "other"]))


def test_class_columns_are_taken_by_name_and_a_missing_truth_from_another_run():
    rng, truth, groups = rows()
    one = with_probabilities(rng, truth, groups, 1.0)
    turned = Target("label", "class", ("c", "a", "b"))
    blind = one.predictions.frame.assign(label="")
    runs = {
        "one": one,
        "turned": source(one.predictions.frame, {"label": turned}),
        "blind": source(blind, {"label": LABEL}),
    }
    for by in ("val_nll", "val_uar", "val_ece"):
        found = select(runs, facts(runs), by=by)
        assert len({run.figure.value for run in found.ranking}) == 1 and len(found.tie_set) == 3


def test_rows_that_a_run_declined_count_for_none():
    rng, truth, groups = rows()
    said = answers(rng, truth, 0.6)
    declined = np.where(np.arange(300) < 30, "", said)
    found = select(
        {"one": classes(truth, said, groups), "two": classes(truth, declined, groups)}, facts(["one", "two"])
    )
    assert found.on.count == 270
    assert "30 of 300 rows are left out of macro_f1: no truth, or no answer of some run" in found.warnings


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_and_of_runs_changes_nothing(random):
    rng, truth, groups = rows(6, 12)
    said = {name: answers(rng, truth, skill) for name, skill in (("x", 0.6), ("y", 0.65), ("z", 0.9))}
    order, names = list(range(72)), list(said)
    random.shuffle(order)
    random.shuffle(names)
    known = facts(said)
    straight = select({name: classes(truth, said[name], groups) for name in said}, known)
    frames = {name: classes(truth, said[name], groups).predictions.frame.iloc[order] for name in names}
    turned = select({n: source(f.reset_index(drop=True), {"label": LABEL}) for n, f in frames.items()}, known)
    assert [run.name for run in straight.ranking] == [run.name for run in turned.ranking]
    for one, other in zip(straight.ranking, turned.ranking, strict=True):
        assert (one.figure.value, one.figure.low) == pytest.approx((other.figure.value, other.figure.low), abs=1e-12)
        assert one.adjusted == pytest.approx(other.adjusted, nan_ok=True, abs=1e-9) and one.tie == other.tie


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("macro_f1", "'macro_f1' names no split, as val_macro_f1 does; write val_macro_f1"),
        ("val_macrof1", "there is no metric 'macrof1' of label; did you mean macro_f1"),
        ("dev_uar", "'dev_uar' names no split"),
        ("val_ccc", "there is no metric 'ccc' of label"),
        ("simplest", "'simplest' names no split"),
    ],
)
def test_a_mistyped_figure_is_answered_with_a_near_one(text, message):
    with pytest.raises(AffectkitError) as caught:
        figure_criterion(text, {"label": LABEL})
    assert message in str(caught.value) and caught.value.code == "usage"


def test_a_mistyped_criterion_is_answered_with_a_near_one():
    with pytest.raises(AffectkitError, match="'simples' is no criterion; did you mean simplest"):
        criterion("simples", {"label": LABEL})
    assert criterion("earliest", {"label": LABEL}).target_metric is None


def test_runs_are_called_by_as_many_folders_as_tell_them_apart():
    given = [Path("a/fold1/linear"), Path("a/fold2/linear/predictions.csv"), Path("b/x.csv")]
    assert list(run_names(given)) == ["fold1/linear", "fold2/linear", "b/x.csv"]
    with pytest.raises(AffectkitError, match="is named twice"):
        run_names([Path("a/linear"), Path("a/../a/linear/predictions.csv")])
