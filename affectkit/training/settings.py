"""How a network is trained: options that trainings share, each described once, and the records that hold them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated
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
EQUAL, UNCERTAINTY = "equal", "uncertainty"
TaskWeights = Annotated[
    str,
    Option(
        "How much each of several targets counts in the loss: equal; uncertainty, learned with the network (Kendall et "
        "al. 2018); or numbers such as stress=2,anxiety=1, of which a target that is not named has 1."
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
    task_weights: TaskWeights = EQUAL

    def __post_init__(self) -> None:
        check_values(LossOptions, vars(self))
        if not self.mse_weight > 0:
            remedy = "give more than 0, or use --loss ccc"
            raise AffectkitError("usage", f"an MSE weight of {self.mse_weight:g}", remedy=remedy)


def parse_task_weights(text: str, targets: Sequence[str]) -> dict[str, float]:
    """`--task-weights` for targets of these names: their weights, 1 on average; none where all count alike, or where
    the weights are learned.

    Raises "usage" for anything else. A weight of 0 is refused: the head would keep its first, random weights, and
    answer by them.
    """
    option = f"--task-weights {text}"
    if text == EQUAL:
        return {}
    if len(targets) < 2:
        raise AffectkitError("usage", f"{option}: there is one target, {targets[0]}", remedy="leave it out")
    if text == UNCERTAINTY:
        return {}
    weights: dict[str, float] = {}
    for part in comma_separated(text):
        name, equals, number = (piece.strip() for piece in part.rpartition("="))
        if not equals:
            remedy = did_you_mean(part, [EQUAL, UNCERTAINTY], f"write {EQUAL}, {UNCERTAINTY} or {targets[0]}=2")
            raise AffectkitError("usage", f"{option}: '{part}' is not target=number", remedy=remedy)
        if name not in targets:
            raise AffectkitError("usage", f"{option}: no target is '{name}'", remedy=did_you_mean(name, list(targets)))
        if name in weights:
            raise AffectkitError("usage", f"{option}: names {name} twice", remedy="name each target once")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = math.nan
        if not 0 < weights[name] < math.inf:
            remedy = "give a number above 0; to leave a target out, leave it out of --target"
            raise AffectkitError("usage", f"{option}: {name} weighs '{number}'", remedy=remedy)
    if not weights:
        raise AffectkitError("usage", f"{option}: weighs nothing", remedy=f"write {targets[0]}=2, or leave it out")
    known = {name: weights.get(name, 1.0) for name in targets}
    mean = math.fsum(weight / len(known) for weight in known.values())
    return {name: weight / mean for name, weight in known.items()}


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
