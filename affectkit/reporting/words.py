"""What the report says in words: the metrics, how rows were seen, what a model may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectkit.evaluation.metrics import METRICS

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
}

HEADLINE = ("uar", "macro_f1", "accuracy", "ece", "ccc", "mae")

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

LIMITS = (
    "The figures hold for people, language, recording and labelling like those of this corpus. Acted speech overstates "
    "what spontaneous speech would give. An interval covers the choice of groups, not a change of corpus."
)


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


def meaningful(report: Mapping[str, Any]) -> list[str]:
    """The names of a report's metrics, without those that ask for an order where classes have none."""
    kinds = {target["name"]: target["kind"] for target in report.get("targets") or []}

    def keep(name: str) -> bool:
        target, _, metric = name.rpartition(".")
        return not (metric in METRICS and METRICS[metric].ordered and kinds.get(target or "label") == "class")

    return [name for name in report["metrics"] if keep(name)]


def judged(report: Mapping[str, Any]) -> str:
    """`rows of split test`, or what part it is that is no split; the number of rows stands before it."""
    part = report.get("split")
    return "rows" if part in ("oof", "all", None) else f"rows of split {part}"


def faces(report: Mapping[str, Any]) -> str:
    """In how many rows a face was found; "" where nobody looked."""
    found = report.get("faces")
    if not found or not found["of"]:
        return ""
    return f"a face was found in {found['found']} of {found['of']} rows ({found['found'] / found['of']:.0%})"


def seen(report: Mapping[str, Any]) -> str:
    """How far the model had seen the judged rows."""
    if report.get("foreign"):
        return "taken as held out: nothing says what the model had seen"
    how = " and ".join(SEEN.get(how, how) for how in report.get("seen", []))
    if report.get("declared"):
        return f"{how}: no row was predicted by a model fitted on it, but see what is declared of their groups"
    return f"{how}: no row was predicted by a model fitted on {'its group' if report.get('groups') else 'it'}"


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Everything that must be read before the figures, the gravest first."""
    synthetic = [c.get("title") or c["name"] for c in report.get("corpora") or [] if c.get("synthetic")]
    found = (
        [f"Synthetic data ({', '.join(synthetic)}): these figures say nothing about real people."] if synthetic else []
    )
    if report.get("normalization") == "transductive":
        found.append(NORMALIZATION["transductive"])
    return found + list(report.get("warnings") or [])


def interval(report: Mapping[str, Any]) -> str:
    """What stands behind the brackets: `95 %, jackknife with Student's t over 10 groups (speaker)`."""
    spec = report.get("interval") or {}
    method = METHODS.get(spec.get("method", "none"), spec.get("method", ""))
    if spec.get("method", "none") == "none":
        return method
    groups = report.get("groups")
    over = f"{groups['count']} groups ({groups['column']})" if groups else "rows taken as independent (i.i.d.)"
    return f"{100 * spec['level']:g} %, {method} over {over}"
