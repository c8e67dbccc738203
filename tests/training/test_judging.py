"""Which epochs are better."""

import math

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import f1_score, mean_absolute_error, mean_squared_error, r2_score, recall_score
from training_toy import LABEL, VALENCE, make_problem

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.training.judging import NUMBER_METRICS, Judge, higher_is_better, scores
from affectkit.training.problem import Settings
from affectkit.training.stages import Stage

NAN = math.nan


def judge(monitor="", targets=(LABEL,), **problem):
    return Judge.of(make_problem(targets, **problem), [Stage("a", monitor=monitor)], Settings(batch_size=5))


@pytest.mark.parametrize(
    ("monitor", "value", "before", "by", "better"),
    [
        ("val_uar", 0.6, 0.5, 0.0, True),
        ("val_uar", 0.5, 0.5, 0.0, False),
        ("val_uar", 0.55, 0.5, 0.1, False),
        ("val_uar", 0.7, 0.5, 0.1, True),
        ("val_loss", 0.4, 0.5, 0.0, True),
        ("val_loss", 0.6, 0.5, 0.0, False),
        ("val_loss", 0.45, 0.5, 0.1, False),
        ("val_loss", 0.35, 0.5, 0.1, True),
        ("val_uar", 0.1, None, 0.5, True),
        ("val_uar", NAN, None, 0.0, False),
        ("val_uar", NAN, 0.5, 0.0, False),
        ("val_loss", NAN, 0.5, 0.0, False),
    ],
)
def test_better(monitor, value, before, by, better):
    assert judge(monitor).better(value, before, by) is better


def best_of(judge, values):
    """The place of the row that is kept."""
    kept = None
    rows = [{judge.monitor: value} for value in values]
    for place, row in enumerate(rows):
        kept = place if judge.best(row, None if kept is None else rows[kept]) else kept
    return kept


@pytest.mark.parametrize(
    ("values", "place"),
    [([0.5, 0.7, 0.6], 1), ([0.5, 0.5], 0), ([NAN, 0.1, 0.3, NAN], 2), ([NAN, 0.3, 0.1], 1), ([NAN, NAN, NAN], 2),
     ([0.2, NAN], 0)],
)  # fmt: skip
def test_the_best_epoch(values, place):
    """An undefined one is never better; as long as none is defined, the last one stands, as without a monitor."""
    assert best_of(judge("val_uar"), values) == place
    assert best_of(judge("val_loss"), [-value for value in values]) == place


def test_without_validation_rows_the_last_is_the_best():
    without = judge(val=0)
    assert without.monitor is None and best_of(without, [3, 1, 2]) == 2
    assert without.measure(None, None) == {}
    empty = make_problem()
    empty.val.ids = []
    assert Judge.of(empty, [Stage("a")], Settings()).monitor is None


def test_the_training_loss_may_decide():
    assert judge("train_loss", val=0).monitor == "train_loss" and not judge("train_loss", val=0).higher


@pytest.mark.parametrize(
    ("monitor", "problem", "message"),
    [
        ("val_uarr", {}, "there is no val_uarr to watch, as the validation rows are; did you mean val_uar"),
        ("uarr", {}, "there is no uarr to watch, as the validation rows are; did you mean val_uar"),
        ("val_ccc", {}, "there is no val_ccc to watch"),
        ("val_uar", {"val": 0}, "there is no val_uar to watch, as the validation rows are; known are train_loss"),
    ],
)
def test_what_cannot_be_watched_is_said_before_any_work(monitor, problem, message):
    with pytest.raises(AffectkitError) as caught:
        judge(monitor, **problem)
    assert message in str(caught.value) and caught.value.code == "usage"


def test_the_default_may_not_be_there_either():
    problem = make_problem()
    problem.val.truth["label"][:] = -1
    with pytest.raises(AffectkitError, match="there is no val_uar to watch"):
        Judge.of(problem, [Stage("a")], Settings())


@pytest.mark.parametrize("metric", ["uar", "kappa", "kappa_linear", "kappa_quadratic", "loss"])
def test_a_metric_names_its_column(metric):
    assert judge(metric).monitor == judge(f"val_{metric}").monitor == f"val_{metric}"
    assert judge(metric).higher is (metric != "loss")


def test_stages_watch_one_column():
    stages = [Stage("a", monitor="val_loss"), Stage("b")]
    with pytest.raises(AffectkitError, match="stages watch val_loss and val_uar; let all watch one"):
        Judge.of(make_problem(), stages, Settings())


def test_what_is_measured(accelerator):
    """All rows at once: a mean over batches would weigh them wrongly, and has no meaning for a UAR or CCC."""
    measure = judge(targets=(LABEL, VALENCE))
    found = measure.measure(measure.problem.module, accelerator)
    assert list(found) == [
        "val_loss", "val_uar", "val_macro_f1", "val_accuracy", "val_kappa", "val_kappa_linear", "val_kappa_quadratic",
        *(f"val_{each}.{name}" for each in ("recall", "f1") for name in LABEL.classes),
        *(f"val_{of}{name}" for of in ("valence.", "") for name in NUMBER_METRICS), "val_score",
    ]  # fmt: skip
    problem = measure.problem
    whole = problem.module.eval()(**problem.val.collate(problem.val.values))
    predicted = whole["label"].argmax(1).numpy()
    assert found["val_accuracy"] == pytest.approx((predicted == problem.val.truth["label"]).mean())
    known = ~np.isnan(problem.val.truth["valence"])
    error = problem.objective.answers(whole)["valence"] - problem.val.truth["valence"]
    assert found["val_valence.mae"] == pytest.approx(np.abs(error[known]).mean(), rel=1e-5)


def test_what_is_infinite_is_undefined(accelerator):
    """A CSV would say inf where JSON, from which a resumption reads, can not."""
    measure = judge(targets=(VALENCE,), loss="mse")
    measure.problem.module.heads["valence"].weight.data.mul_(1e30)
    found = measure.measure(measure.problem.module, accelerator)
    assert math.isnan(found["val_loss"]) and math.isfinite(found["val_mae"])


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn_and_scipy(seed):
    """Of thirty numbers and a class, some of them unknown; R2 far below 0."""
    rng = np.random.default_rng(seed)
    targets = [Target(f"t{number}", "number", scale=(-1.0, 3.0)) for number in range(30)] + [LABEL]
    truth = {target.name: rng.normal(size=50).astype(np.float32) for target in targets}
    answers = {target.name: rng.normal(size=50) * 3 for target in targets}
    for values in truth.values():
        values[rng.random(50) < 0.2] = np.nan
    truth["label"], answers["label"] = rng.integers(-1, 2, 50), rng.random((50, 3))  # nobody is sad
    found, lowest = scores(targets, answers, truth), 0.0
    for name, values in truth.items():
        known = values >= 0 if name == "label" else ~np.isnan(values)
        true, said = values[known].astype(float), answers[name][known]
        if name == "label":
            classes = {"labels": [0, 1, 2], "average": None, "zero_division": np.nan}
            recall, f1 = (f(true, said.argmax(axis=1), **classes) for f in (recall_score, f1_score))
            expected = {f"recall.{c}": v for c, v in zip(LABEL.classes, recall, strict=True)}
            expected |= {f"f1.{c}": v for c, v in zip(LABEL.classes, f1, strict=True)}
        else:
            mse, mae = mean_squared_error(true, said), mean_absolute_error(true, said)
            r2, r = r2_score(true, said), pearsonr(true, said).statistic
            expected = {"mse": mse, "rmse": mse**0.5, "mae": mae, "one_minus_mae": 1 - mae / 4, "r2": r2, "pearson": r}
            lowest = min(lowest, r2)
            expected = {f"{name}.{metric}": value for metric, value in expected.items()}
        for metric, value in expected.items():
            assert found[metric] == pytest.approx(value, abs=1e-9, nan_ok=True), metric
    assert lowest < -5 and math.isnan(found["recall.sad"])
    for metric in NUMBER_METRICS:
        mean = np.mean([found[f"t{number}.{metric}"] for number in range(30)])
        assert found[metric] == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize(
    ("monitor", "higher"),
    [("val_recall.angry", True), ("val_t.f1.calm", True), ("val_t.rmse", False), ("val_r2", True), ("val_loss", False)],
)
def test_which_way_is_better(monitor, higher):
    assert higher_is_better(monitor) is higher


def test_the_recall_of_a_class_can_be_watched():
    assert judge("recall.angry").monitor == "val_recall.angry"
