"""How a network is trained: options that trainings share, each described once, and the records that hold them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from affectkit.errors import AffectkitError
from affectkit.registry import Option, check_values

# --- Options that several kinds of training have, each with defaults of its own

Epochs = Annotated[int, Option("Maximum number of epochs.", least=1)]
RATE = "a number, LOW..HIGH from the input to the head, or find (the valley of a sweep over learning rates)"
LearningRate = Annotated[str, Option(f"Learning rate: {RATE}.")]
Patience = Annotated[
    int, Option("Stop after this many epochs without improvement; 0: never.", least=0, flag="--early-stopping-patience")
]
BatchSize = Annotated[int, Option("Number of rows in a batch, over all processes.", least=1)]
BatchSeconds = Annotated[
    float | None, Option("Seconds of audio in a batch, padding included, instead of a number of rows.", least=0.1)
]
WeightDecay = Annotated[float, Option("Weight decay of AdamW.", least=0)]
HiddenSize = Annotated[int, Option("Number of units of each hidden layer.", least=1)]
HiddenDropout = Annotated[float, Option("Share of hidden units dropped at each step of training.", least=0, below=1)]
ClassWeight = Annotated[
    Literal["balanced", "none"],
    Option("Weight of the classes in the loss: balanced, every class counts alike; none, every row does."),
]
RowWeights = Annotated[
    str,
    Option(
        "How much train rows count: a column of numbers, or a column and the weight of each of its values, such as "
        "corpus:casia=1,iemocap=1.5."
    ),
]
_AVERAGE = "Decay of a moving average of the weights, which is then judged and kept; 0: none."
_LOSS = "Loss function; auto: cross-entropy for classes, CCC + MSE for numbers"
Loss = Annotated[
    Literal["auto", "cross-entropy", "focal", "soft", "mse", "ccc", "ccc-mse"],
    Option(f"{_LOSS}; soft: cross-entropy with the raters' votes."),
]
LossOfLabels = Annotated[Literal["auto", "cross-entropy", "focal", "mse", "ccc", "ccc-mse"], Option(f"{_LOSS}.")]


# --- What a training receives


@dataclass(frozen=True)
class LossOptions:
    """What a network is trained towards. mse_weight: of the squared error in ccc-mse."""

    loss: Loss = "auto"
    class_weight: ClassWeight = "balanced"
    label_smoothing: Annotated[
        float, Option("Share of the probability that is spread evenly over the classes.", least=0, below=1)
    ] = 0.0
    focal_gamma: Annotated[
        float, Option("How much --loss focal plays down rows that are already classified well.", least=0)
    ] = 2.0
    mse_weight: float = 1.0
    row_weights: RowWeights = ""

    def __post_init__(self) -> None:
        check_values(LossOptions, vars(self))
        if not self.mse_weight > 0:
            remedy = "give more than 0, or use --loss ccc"
            raise AffectkitError("usage", f"an MSE weight of {self.mse_weight:g}", remedy=remedy)


@dataclass(frozen=True)
class Settings:
    """How. batch_size: rows of a batch, over all processes. batch_seconds: instead, what one may cost with padding.

    accumulation: batches whose gradients are summed up for one step. clip: of the gradient's norm, 0 for none.
    average: decay of the weights' moving average, by which epochs are then judged; 0 for none.
    checkpoint_steps, checkpoint_seconds: steps or time between checkpoints, besides those after epochs.
    """

    batch_size: BatchSize = 8
    batch_seconds: BatchSeconds = None
    accumulation: Annotated[
        int, Option("Number of batches whose gradients make one update.", least=1, flag="--gradient-accumulation-steps")
    ] = 1
    clip: Annotated[float, Option("Largest norm of the gradient; 0: any.", least=0, flag="--max-grad-norm")] = 1.0
    weight_decay: WeightDecay = 0.0
    average: Annotated[float, Option(_AVERAGE, least=0, below=1, flag="--ema")] = 0.0
    seed: int = 0
    num_workers: int = 0
    checkpoint_steps: Annotated[
        int, Option("Steps between checkpoints, besides those of every epoch and every five minutes; 0: none.", least=0)
    ] = 0
    checkpoint_seconds: float = 300.0

    def __post_init__(self) -> None:
        check_values(Settings, vars(self))
        for name in ("seed", "num_workers"):
            if getattr(self, name) < 0:
                raise AffectkitError("usage", f"{name} {getattr(self, name)}", remedy="give 0 or more")

    @property
    def answering(self) -> dict[str, Any]:
        """How rows are batched and loaded that are only to be answered, as `outputs_of` has it."""
        return {"size": self.batch_size, "most_cost": self.batch_seconds, "num_workers": self.num_workers}
