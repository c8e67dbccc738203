"""Options that network estimators share, and the estimator that they make."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.errors import AffectkitError
from affectkit.registry import Option

if TYPE_CHECKING:
    from affectkit.estimators._estimator import Takes
    from affectkit.estimators._network_fit import Network

HiddenSizeOpt = Annotated[int, Option("Units of the projection and of each hidden layer.")]
HiddenLayersOpt = Annotated[
    int, Option("Hidden layers; 0 leaves a linear projection, which with a mean over frames is SUPERB's emotion head.")
]
DropoutOpt = Annotated[float, Option("Dropout after each hidden layer.")]
LossOpt = Annotated[
    Literal["auto", "cross-entropy", "focal", "mse", "ccc", "ccc-mse"],
    Option("auto: cross-entropy of classes, CCC + MSE of numbers."),
]
LearningRateOpt = Annotated[str, Option("A number, or find: the valley of a sweep.")]
WeightDecayOpt = Annotated[float, Option("AdamW's.")]
EpochsOpt = Annotated[int, Option("Epochs at most; inner folds choose how many.")]
BatchSizeOpt = Annotated[int, Option("Rows of a batch.")]
PatienceOpt = Annotated[
    int, Option("Epochs without a better UAR, or CCC of numbers, that end an inner fold; 0: never.")
]
StoppingFoldsOpt = Annotated[
    int,
    Option(
        "Of five inner folds of whole groups, how many are held out in turn to choose the number of epochs. 1 takes a "
        "third of the time; 0 trains all epochs."
    ),
]


def network(name: str, options: dict[str, Any], takes: "Takes") -> "Network":
    """The estimator that the options ask for. Raises "usage" for values that make no sense."""
    from affectkit.estimators._fit import INNER_FOLDS
    from affectkit.estimators._network import Form
    from affectkit.estimators._network_fit import Network
    from affectkit.training.fit import Settings
    from affectkit.training.stages import Stage

    at_least = {"hidden_size": 1, "hidden_layers": 0, "batch_size": 1, "weight_decay": 0, "stopping_folds": 0}
    for key, least in at_least.items():
        if not options[key] >= least:
            raise AffectkitError("usage", f"{_flag(key)} {options[key]:g} is less than {least}")
    if not 0 <= options["dropout"] < 1:
        raise AffectkitError("usage", f"--dropout {options['dropout']:g}", remedy="give a share, from 0 to below 1")
    if options["stopping_folds"] > INNER_FOLDS:
        raise AffectkitError("usage", f"--stopping-folds {options['stopping_folds']}", remedy=f"0 to {INNER_FOLDS}")
    stage = Stage(
        name,
        epochs=options["epochs"],
        learning_rate=str(options["learning_rate"]),
        schedule="constant",  # a number of epochs chosen on one path must mean the same on another
        patience=options["early_stopping_patience"],
    )
    form = Form(options["hidden_size"], options["hidden_layers"], options["dropout"], options.get("pooling", "mean"))
    settings = Settings(batch_size=options["batch_size"], weight_decay=options["weight_decay"])
    return Network(name, options, form, takes, stage, settings, options["loss"], options["stopping_folds"])


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
