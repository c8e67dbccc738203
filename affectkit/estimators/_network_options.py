"""Options that network estimators share, and the estimator that they make."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.registry import Option, check_values
from affectkit.training import settings

if TYPE_CHECKING:
    from affectkit.estimators._estimator import Takes
    from affectkit.estimators._network import Form, Pooling
    from affectkit.estimators._network_fit import NetworkEstimator

INNER_FOLDS = 5


@dataclass(frozen=True)
class HiddenOptions:
    hidden_size: settings.HiddenSize = 256
    hidden_layers: Annotated[
        int,
        Option(
            "Number of hidden layers; 0 leaves a linear projection, which with a mean over frames is SUPERB's emotion "
            "head.",
            least=0,
        ),
    ] = 1
    dropout: settings.HiddenDropout = 0.5


@dataclass(frozen=True)
class TrainedOptions:
    """How any network estimator is trained."""

    loss: settings.LossOfLabels = "auto"
    task_weights: settings.TaskWeights = settings.EQUAL
    learning_rate: settings.LearningRate = "1e-3"
    weight_decay: settings.WeightDecay = 0.01
    epochs: settings.Epochs = 50
    batch_size: settings.BatchSize = 32
    early_stopping_patience: settings.Patience = 10
    stopping_folds: Annotated[
        int,
        Option(
            f"Of {INNER_FOLDS} inner folds of whole groups, how many are held out in turn to choose the number of "
            "epochs. 1 takes a third of the time; 0 trains all epochs, of which steps.csv alone tells, not "
            "history.csv.",
            least=0,
            most=INNER_FOLDS,
        ),
    ] = 5

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))


@dataclass(frozen=True)
class NetworkOptions(TrainedOptions, HiddenOptions):
    """Of mlp and attention."""

    def form(self, pooling: "Pooling" = "mean") -> "Form":
        from affectkit.estimators._network import Layers

        return Layers(self.hidden_size, self.hidden_layers, self.dropout, pooling)


def network(name: str, options: TrainedOptions, takes: "Takes", form: "Form") -> "NetworkEstimator":
    """The estimator that the options ask for. Raises "usage" for a stage that makes no sense."""
    from affectkit.estimators._network_fit import NetworkEstimator
    from affectkit.training.stages import Stage

    known: dict[str, Any] = asdict(options)
    if options.task_weights == settings.EQUAL:
        del known["task_weights"]  # models of one target have no such thing, and models of before know none
    stage = Stage(
        name,
        epochs=options.epochs,
        learning_rate=str(options.learning_rate),
        schedule="constant",  # a number of epochs chosen on one path must mean the same on another
        patience=options.early_stopping_patience,
    )
    how = settings.Settings(batch_size=options.batch_size, weight_decay=options.weight_decay)
    candidates = [{"epochs": epochs} for epochs in range(1, options.epochs + 1)]
    chosen = options.loss, options.stopping_folds, options.task_weights
    return NetworkEstimator(name, known, candidates, form, takes, stage, how, *chosen)
