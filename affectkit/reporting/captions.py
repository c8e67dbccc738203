"""What stands below the figures of `calibrations`, `comparisons`, `traces` and `learning`: what is seen, and how to
read it."""

from __future__ import annotations

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


def forest(*, reference: str = "", mark: str = "", chosen: bool = False) -> str:
    """Of a forest plot. reference: what its line is. mark: what filled points are. chosen: there is a diamond."""
    said = "Each figure with its interval; overlapping intervals are no test, the paired differences are."
    said += f" Dashed line: {reference}." if reference else ""
    said += f" Filled points: {mark}." if mark else ""
    said += " The diamond is the one chosen." if chosen else ""
    return said + " A point without a line has no interval, an arrow head says that the interval goes on."


def differences(*, adjusted: str = "") -> str:
    """Of paired differences. adjusted: how the intervals allow for their number, such as `Holm over 6 comparisons`."""
    said = "Paired differences on the same rows. Hollow: the interval includes 0, the data cannot tell the two apart."
    return said + (f" Intervals: {adjusted}." if adjusted else " Intervals are each for itself, not for the family.")


def learning_loss(*, validated: bool, staged: bool) -> str:
    """Of losses over epochs. validated: there are validation rows. staged: there is more than one stage."""
    said = "Loss over epochs; that of the train rows is the mean over the epoch's batches, taken while training."
    if validated:
        said += (
            " A validation loss that rises while the train loss falls says that the network learns its rows by heart."
        )
    return said + _MARKS + (_STAGES if staged else "")


def learning_metric(*, staged: bool) -> str:
    """Of the metric by which epochs are compared."""
    said = "The figure by which epochs are compared, on the validation rows: that of the best epoch is the luckiest of "
    return said + "all, and flatters it." + _MARKS + (_STAGES if staged else "")


def learning_rates(*, staged: bool) -> str:
    """Of learning rates over epochs."""
    said = "The highest learning rate of each epoch, over all parts that train, on a logarithmic axis."
    return said + _MARKS + (_STAGES if staged else "")


_MARKS = " Dashed line: the epoch whose weights are kept."
_STAGES = " Shades: stages; each begins with the best weights before it."

SWEEP = (
    "The loss while the learning rate rises with every step: of each batch (thin) and smoothed (thick). A good rate "
    "lies where the smoothed loss falls, before its lowest point. Losses far above the start leave the frame."
)
