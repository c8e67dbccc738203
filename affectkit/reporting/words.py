"""What the report says in words: the metrics, how rows were seen, what a model may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# name: (title, better is, meaning). A number target's metrics go by the part after the dot.
METRICS: dict[str, tuple[str, str, str]] = {
    "uar": ("UAR", "higher", "Unweighted average recall: the mean of the classes' recalls; UA, balanced accuracy, macro recall."),
    "accuracy": ("accuracy", "higher", "Share of rows predicted right; WA, weighted accuracy."),
    "macro_f1": ("macro F1", "higher", "Mean over classes of F1, the harmonic mean of precision and recall."),
    "weighted_f1": ("weighted F1", "higher", "Mean of the classes' F1, each weighted by its number of true rows."),
    "kappa": ("kappa", "higher", "Cohen's kappa: agreement beyond what the class frequencies give by chance; 0 is chance."),
    "kappa_linear": ("linear kappa", "higher", "Kappa where a miss counts by its distance in the order of the classes."),
    "kappa_quadratic": ("quadratic kappa", "higher", "Kappa where a miss counts by the square of that distance."),
    "auroc": ("AUROC", "higher", "Area under the ROC curve, mean of one class against the rest; .5 is chance."),
    "nll": ("NLL", "lower", "Negative log-likelihood of the true class, in nats; log loss, cross-entropy."),
    "brier": ("Brier", "lower", "Squared distance of the probabilities from the truth, summed over classes."),
    "ece": ("ECE", "lower", "Expected calibration error of the predicted class: |accuracy - confidence|, over 15 equal-width bins."),
    "classwise_ece": ("classwise ECE", "lower", "Calibration error of each class's probability, mean over classes."),
    "ece_adaptive": ("adaptive ECE", "lower", "Calibration error over bins that hold equally many rows."),
    "ece_debiased": ("debiased ECE", "lower", "Calibration error (root mean square over bins) less what chance adds at this size."),
    "smece": ("smECE", "lower", "Smooth calibration error: a kernel in place of bins."),
    "ccc": ("CCC", "higher", "Concordance correlation: 2 cov / (both variances + squared difference of means); 1 is identity."),
    "pearson": ("Pearson r", "higher", "Linear correlation; blind to offset and scale."),
    "r2": ("R²", "higher", "Share of the variance explained; 0 is what predicting the mean of these rows gives."),
    "mae": ("MAE", "lower", "Mean absolute error, in units of the target."),
    "mse": ("MSE", "lower", "Mean squared error, in squared units of the target."),
    "rmse": ("RMSE", "lower", "Root mean squared error, in units of the target."),
    "one_minus_mae": ("1 - MAE", "higher", "On a scale of 0 to 1 the 'mean accuracy' of personality traits; read it beside its floor."),
}

HEADLINE = ("uar", "macro_f1", "accuracy", "ece", "ccc", "mae")

SEEN = {
    "heldout": "held out: the model never saw the rows' groups",
    "oof": "cross-fitted: each row was predicted by a fit that never saw its group",
    "fit": "in-sample: the model was fitted on these very rows",
}

FLOORS = {"majority": "always the most frequent class", "train_mean": "always the train mean"}

METHODS = {
    "jackknife": "delete-one-group jackknife with Student's t",
    "bootstrap": "percentile bootstrap over groups",
    "iid": "bootstrap over rows, taken as independent",
    "none": "no interval was asked for",
}

NORMALIZATION = {
    "inductive": "Inductive: features were scaled by what the train rows say.",
    "transductive": (
        "Transductive: features were scaled per speaker, with statistics of the very rows that are predicted. Such a figure "
        "is not comparable with inductive ones (the gain is 1 to 24 points of UAR) and cannot be had for one unknown clip."
    ),
    "unknown": "Inductive or transductive: the predictions carry no record of how features were scaled.",
}

AI_ACT = (
    "In the European Union, article 5(1)(f) of the AI Act (Regulation (EU) 2024/1689) prohibits AI systems that infer "
    "emotions of people at the workplace or in education, except for medical or safety reasons."
)

INTENDED_USE = (
    "Meant for research on how people express affect and how well machines read it. A prediction says how raters labelled "
    "similar material, not what a person feels; it is no diagnosis and no ground for a decision about anybody."
)

LIMITS = (
    "The figures hold for speakers, language, recording and labelling like those of this corpus. Acted speech overstates what "
    "spontaneous speech would give. An interval covers the choice of groups, not a change of corpus."
)


def title(name: str) -> str:
    """`valence.ccc` -> `valence CCC`."""
    target, _, metric = name.rpartition(".")
    shown = METRICS.get(metric, (metric.replace("_", " "), "", ""))[0]
    return f"{target} {shown}" if target else shown


def meaning(name: str) -> str:
    return METRICS.get(name.rpartition(".")[2], ("", "", ""))[2]


def better(name: str) -> str:
    return METRICS.get(name.rpartition(".")[2], ("", "", ""))[1]


def interval(report: Mapping[str, Any]) -> str:
    """What stands behind the brackets: `95 %, delete-one-group jackknife with Student's t, 10 groups (speaker)`."""
    spec = report.get("interval") or {}
    method = METHODS.get(spec.get("method", "none"), spec.get("method", ""))
    if spec.get("method", "none") == "none":
        return method
    groups = report.get("groups")
    over = f", {groups['count']} groups ({groups['column']})" if groups else ""
    return f"{100 * spec['level']:g} %, {method}{over}"
