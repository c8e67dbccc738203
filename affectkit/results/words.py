"""What the report says in words: the metrics, how rows were seen, what a model may be used for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from affectkit.artifacts.transcripts import heard_by
from affectkit.evaluation.metrics import METRICS
from affectkit.instruments import apparent, no_diagnosis, scores_of, traits_of
from affectkit.plain import shown as shown

# What a metric is called where people read it; the others go by their name. What it means is in `evaluation.metrics`.
TITLES = {
    "uar": "UAR",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "kappa_linear": "linear kappa",
    "kappa_quadratic": "quadratic kappa",
    "auroc": "AUROC",
    "nll": "NLL",
    "brier": "Brier",
    "ece": "ECE",
    "ece_adaptive": "adaptive ECE",
    "classwise_ece": "classwise ECE",
    "ece_debiased": "debiased ECE",
    "smece": "smECE",
    "ccc": "CCC",
    "pearson": "Pearson r",
    "r2": "R²",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "one_minus_mae": "1 - MAE",
    "f1": "F1",
    "error": "error rate",
    "fpr": "false positive rate",
    "fnr": "false negative rate",
    "mae_levels": "MAE in levels",
    "npv": "negative predictive value",
    "lr_positive": "LR+",
    "lr_negative": "LR\N{MINUS SIGN}",
}

HEADLINE = ("uar", "macro_f1", "accuracy", "ece", "ccc", "mae")
OF_LEVELS = ("kappa_quadratic", "mae_levels")  # key figures of ordered classes, before the others

SEEN = {"heldout": "held out", "oof": "cross-fitted"}

FLOORS = {
    "majority": "most frequent train class",
    "judged_majority": "most frequent class of these rows",
    "train_mean": "train mean",
    "judged_mean": "mean of these rows",
}

METHODS = {
    "jackknife": "jackknife with Student's t",
    "bootstrap": "bootstrap with Student's t",
    "none": "no interval could be estimated or none was asked for",
}

NORMALIZATION = {
    "inductive": "Inductive: no statistics of the rows to be predicted went into scaling their features.",
    "transductive": (
        "Transductive: features were scaled per speaker, with statistics of the very rows that are predicted. Such a "
        "figure is not comparable with inductive ones (it gains 1 to 24 points of UAR) and cannot be had for one clip."
    ),
    "unknown": "Inductive or transductive: the predictions carry no record of how features were scaled.",
}

AI_ACT = (
    "In the European Union, article 5(1)(f) of the AI Act (Regulation (EU) 2024/1689) prohibits AI systems that infer "
    "emotions of people at the workplace or in education, except for medical or safety reasons."
)

INTENDED_USE = (
    "Meant for research on how people express affect and how well machines read it. A prediction says how raters "
    "labelled similar material, not what a person feels; it is no diagnosis and no ground for a decision about anybody."
)

ALERTS_USE = "An alert is a reason to look, not a diagnosis, and no ground for a decision about anybody."

HEALTH_USE = (
    "Scores of mental health are meant for research, and at most to support the decisions of people who are qualified "
    "to make them: who see the person, know what the instrument can and cannot tell, and answer for what they decide. "
    "They tell how people in similar recordings scored, with the errors stated in these figures; they do not replace "
    "an interview, and must not be used without the knowledge and consent of those who are recorded. Software with a "
    "medical purpose is a medical device in the European Union (Regulation (EU) 2017/745); this is none."
)
AI_ACT_HEALTH = (
    "The exception for medical reasons is read narrowly: by the European Commission's guidelines on prohibited "
    "practices (February 2025) it does not cover watching over stress, well-being, burnout or depression of employees, "
    "applicants, pupils or students."
)

TRAITS_USE = (
    "Traits of personality are meant for research on first impressions: what raters saw in people for some seconds, or "
    "what people said of themselves. They are no test of anybody, and choose nobody for a job, a loan or a school."
)
AI_ACT_TRAITS = (
    "Systems that evaluate candidates or workers, by their traits among others, are high-risk under annex III, point 4."
)

LIMITS = (
    "The figures hold for people, language, recording and labelling like those of this corpus. Acted speech overstates "
    "what spontaneous speech would give. An interval covers the choice of groups, not a change of corpus."
)


def headline(metrics: Mapping[str, Any], most: int = 8, targets: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The names of the key figures, at most `most` of them, means over targets before single targets.

    targets: as reports have them; of those that are ordered classes, distances of levels come first and beside these.
    """
    ordered = [target["name"] for target in targets if target["kind"] == "ordinal"]
    first = {f"{target}.{metric}".removeprefix("label."): metric for metric in OF_LEVELS for target in ordered}
    known = [name for name in metrics if name.rpartition(".")[2] in HEADLINE]
    known = sorted(known, key=lambda name: (HEADLINE.index(name.rpartition(".")[2]), "." in name))
    return [*(name for name in first if name in metrics), *known[:most]]


def title(name: str) -> str:
    """`valence.ccc` -> `valence CCC`."""
    target, _, metric = name.rpartition(".")
    shown = TITLES.get(metric, metric.replace("_", " "))
    return f"{target} {shown}" if target else shown


def meaning(name: str) -> str:
    metric = METRICS.get(name.rpartition(".")[2])
    return "" if metric is None else metric.description


def better(name: str) -> str:
    """`higher` or `lower`; "" for a metric that is not ours."""
    metric = METRICS.get(name.rpartition(".")[2])
    return "" if metric is None else "higher" if metric.higher_is_better else "lower"


def judged(report: Mapping[str, Any]) -> str:
    """`rows of split test`, or what part it is that is no split; the number of rows stands before it."""
    part = report.get("split")
    return "rows" if part in ("oof", "all", None) else f"rows of split {part}"


def part(report: Mapping[str, Any]) -> str:
    """What part of the rows a report is of, in a word."""
    return {"oof": "cross-fitted", None: "all"}.get(report.get("split"), str(report.get("split")))


def faces(report: Mapping[str, Any]) -> str:
    """In how many rows a face was found; "" where nobody looked."""
    faces = report.get("faces")
    if not faces or not faces["of"]:
        return ""
    return f"a face was found in {faces['found']} of {faces['of']} rows ({faces['found'] / faces['of']:.0%})"


def texts(transcripts: Mapping[str, Any]) -> str:
    """Where the texts of a manifest are from: `120 of the corpus, 80 heard by whisper-base`. transcripts: of its
    `summary.json`."""
    counts = transcripts["counts"]
    parts = [f"{counts['corpus']} of the corpus"] if counts["corpus"] else []
    parts += [f"{count} heard by {model}" for model, count in heard_by(transcripts).items() if count]
    return ", ".join([*parts, *([f"{counts['empty']} empty"] if counts["empty"] or not parts else [])])


def seen(report: Mapping[str, Any]) -> str:
    """How far the model had seen the judged rows."""
    if report.get("foreign"):
        return "taken as held out: nothing says what the model had seen"
    how = " and ".join(SEEN.get(how, how) for how in report.get("seen", []))
    if report.get("declared"):
        return f"{how}: no row was predicted by a model fitted on it, but see what is declared of their groups"
    return f"{how}: no row was predicted by a model fitted on {'its group' if report.get('groups') else 'it'}"


def fitted(report: Mapping[str, Any]) -> str:
    """On which rows a fusion or a calibration was fitted. report: `train_report.json`."""
    if not report["fit_rows"]:
        return str(report["folds"])
    return f"fitted on {report['fit_rows']} {report['fitted_on']} rows, cross-fitted ({report['folds']})"


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Everything that must be read before the figures, the gravest first."""
    synthetic = [c.get("title") or c["name"] for c in report.get("corpora") or [] if c.get("synthetic")]
    meaningless = f"Synthetic data ({', '.join(synthetic)}): these figures say nothing about real people."
    scaled = [NORMALIZATION["transductive"]] if report.get("normalization") == "transductive" else []
    scores = no_diagnosis(scores_of(report.get("targets"), report.get("corpora") or []))
    scores += apparent(traits_of(report.get("targets")))
    told = [*scores, *scaled, *notes(report.get("corpora") or []), *(report.get("warnings") or [])]
    return [meaningless] * bool(synthetic) + told


def notes(corpora: Iterable[Mapping[str, Any]]) -> list[str]:
    """What was asked of the readers of corpora that changes what a figure on them means: `DAIC-WOZ: the ...`."""
    return [
        f"{corpus.get('title') or corpus['name']}: {text}" for corpus in corpora for text in corpus.get("notes", ())
    ]


def by_part(warnings: Mapping[str, Sequence[str]]) -> list[str]:
    """The warnings of several parts of the rows: those of all of them once, and of the others, which part it is."""
    common = [text for text in next(iter(warnings.values()), []) if all(text in texts for texts in warnings.values())]
    others = [f"{part} rows: {text}" for part, texts in warnings.items() for text in texts if text not in common]
    return list(dict.fromkeys([*common, *others]))


def sentence(text: str) -> str:
    """A line of a terminal as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def interval(report: Mapping[str, Any]) -> str:
    """What stands behind the brackets: `95 %, jackknife with Student's t over 10 groups (speaker)`."""
    spec = {"method": "none", **(report.get("interval") or {})}
    method = METHODS.get(spec["method"], spec["method"])
    return method if spec["method"] == "none" else f"{100 * spec['level']:g} %, {method} over {over(report)}"


def over(report: Mapping[str, Any]) -> str:
    """What intervals resample."""
    groups = report.get("groups")
    return f"{groups['count']} groups ({groups['column']})" if groups else "rows taken as independent (i.i.d.)"


# --- Numbers for the eye


def ranged(figure: Mapping[str, Any], sign: str = "") -> str:
    """`0.712 [0.651, 0.773]`; no brackets where an end is unknown, `undefined` for no number at all.

    sign: `+` writes it before positive numbers too.
    """
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if not is_number(value):
        return "undefined"
    brackets = f" [{signed(low, sign)}, {signed(high, sign)}]" if is_number(low) and is_number(high) else ""
    return f"{signed(value, sign)}{brackets}"


def signed(value: Any, sign: str = "+") -> str:
    """`+0.012`, `-0.040`, `0.000`."""
    text = shown(float(value))
    return f"{sign}{text}" if float(text) > 0 else text


def is_number(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))


# --- What stands below figures: what is seen, and how to read it


RELIABILITY = (
    "Reliability: below the dashed line the model is too sure of itself, above it too timid. Within the grey bars "
    "a bin cannot be told from a calibrated model's, rows taken as independent."
)
SCATTER = "Prediction against truth; a perfect model lies on the dashed line."
BLAND_ALTMAN = (
    "Bland-Altman: the error against the mean of truth and prediction. A downward slope says that predictions are "
    "drawn towards their mean."
)
RELIABILITY_PAIR = (
    "Reliability before and after, above how many rows each bin has. Below the dashed line the model is too sure of "
    "itself, above it too timid. Within the grey bars a bin cannot be told from a calibrated model's, rows taken as "
    "independent."
)
RISK_COVERAGE = (
    "What abstaining buys: rows are dropped from the least sure on, and the error is that of the rows kept. The lower "
    "a curve, the better its confidence sorts right from wrong; few kept rows make its left end jump."
)
CHOSEN_THRESHOLD = " The diamond keeps as many rows as the wanted error allows."
CALIBRATION_MAP = (
    "What the calibration makes of each value: on the dashed line nothing changes, below it values are lowered, above "
    "it raised. Flat parts make ties."
)
COVERAGE = (
    "How often the prediction set or interval holds the truth, for each attribute, with the interval of that share. "
    "Hollow: not to be told from the nominal share. A point without a line has no interval."
)
INTERVAL_COVERAGE = (
    "How often predicted intervals hold the truth: below the dashed line they are too narrow, above it too wide."
)
RESIDUALS = (
    " Beside it, errors over their predicted standard deviation: well scaled, they follow the dashed normal curve; a "
    "wider one says that the variances are too small."
)
TRACE = (
    "Raw and smoothed predictions over time, and below them where frames were gated: there the smoothed line holds its "
    "last value. Lines break where frames are missing."
)
WEIGHTS = "What each source counts for in the fusion. Weights say nothing about what a source is worth by itself."


LEARNING_LOSS = "Loss over epochs; that of the train rows is the mean over the epoch's batches, taken while training."
HEART = " A validation loss that rises while the train loss falls says that the network learns its rows by heart."
LEARNING_METRIC = (
    "The figure by which epochs are compared, on the validation rows: that of the best epoch is the luckiest of all, "
    "and flatters it."
)
LEARNING_RATE = "The highest learning rate of each epoch, over all parts that train, on a logarithmic axis."
STAGES = " Shades: stages; each begins with the best weights before it."
SWEEP = (
    "The loss while the learning rate rises with every step: of each batch (thin) and smoothed (thick). A good rate "
    "lies where the smoothed loss falls, before its lowest point. Losses far above the start leave the frame."
)


def learning_caption(text: str, *, staged: bool) -> str:
    """Of a curve over epochs. staged: there is more than one stage."""
    return f"{text} Dashed line: the epoch whose weights are kept.{STAGES * staged}"


METRIC_CORRELATION = (
    "Pearson's correlations of losses and metrics over epochs: what moves together. Rows are named, columns are "
    "numbered as the rows are; what is constant is grey."
)
RATES = "The learning rate, the highest over all parts that train, on a logarithmic axis."
GRADIENTS = (
    "The norm of the gradient before it is clipped: the mean and the highest of the steps that a point stands for."
)
BATCHES = "Rows trained on per second, the share of the time spent on waiting for data, and the memory of the process."
SCATTER_WITH_INTERVALS = (
    "Prediction against truth; a perfect model lies on the dashed line. In the title: figures over all rows, in "
    "brackets their intervals. Where the model says how sure it is, bars or shades are its intervals."
)
RESIDUALS_OVER_PREDICTIONS = (
    "The error against the prediction; diamonds: the mean error of each tenth of the predictions. Without bias they "
    "lie on the dashed line."
)
ERROR_BY_TENTH = (
    "Errors by tenths of the rows, in the order of their predictions; bars: 1.96 standard errors, rows taken as "
    "independent. Tenths are of the prediction, which is known when it counts: by tenths of the truth the extremes of "
    "any imperfect model look biased, by regression to the mean."
)
ERROR_DISTRIBUTION = "How errors are distributed, in shares of the rows; the coloured line is the mean error."
CONFUSION = "Confusion: rows are the truth, columns the prediction; shares add up to 100 % along a row."


def metric_over_epochs(metric: str) -> str:
    """Of a metric over epochs, on train and validation rows."""
    text = f"{title(metric)[0].upper()}{title(metric)[1:]} over epochs, of the validation rows (solid) and of the "
    text += "train rows (dashed), as far as the history knows them; of several targets the mean."
    if metric == "r2":
        text += " Below 0 the rows' own mean would do better."
    return text + (" Vertical line: the epoch whose weights are kept." if metric != "loss" else HEART)


def per_target_over_epochs(metric: str) -> str:
    below = " Below 0 the rows' own mean would do better." if metric == "r2" else ""
    return f"{title(metric)} of each target over epochs, on one scale.{below}"


def at_kept_epoch(metric: str) -> str:
    """Of what each target reached."""
    text = f"{title(metric)} of each target at the epoch whose weights are kept, else at the last one: filled on the "
    return (
        text + "validation rows, hollow on the train rows. A wide gap says that the network learnt its rows by heart."
    )


def target_correlations(what: str) -> str:
    return f"Pearson's correlations between targets, {what}. Columns are numbered as the rows are."


def forest_caption(reference: str = "", mark: str = "", *, chosen: bool = False) -> str:
    """Of a forest plot. reference: what its line is. mark: what filled points are. chosen: there is a diamond."""
    text = "Each figure with its interval; overlapping intervals are no test, the paired differences are."
    text += f" Dashed line: {reference}." if reference else ""
    text += f" Filled points: {mark}." if mark else ""
    text += " The diamond is the one chosen." if chosen else ""
    return text + " A point without a line has no interval, an arrow head says that the interval goes on."


def differences_caption(adjusted: str = "") -> str:
    """Of paired differences. adjusted: how the intervals allow for their number, such as `Holm over 6 comparisons`."""
    text = "Paired differences on the same rows. Hollow: the interval includes 0, the data cannot tell the two apart."
    return text + (f" Intervals: {adjusted}." if adjusted else " Intervals are each for itself, not for the family.")
