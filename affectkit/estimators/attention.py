"""Neural network on frames, which it pools into one answer; layers of an encoder are weighed."""

from typing import TYPE_CHECKING, Annotated, Literal

from affectkit.estimators._network_options import (
    BatchSizeOpt,
    DropoutOpt,
    EpochsOpt,
    HiddenLayersOpt,
    HiddenSizeOpt,
    LearningRateOpt,
    LossOpt,
    PatienceOpt,
    StoppingFoldsOpt,
    WeightDecayOpt,
    network,
)
from affectkit.registry import Option

if TYPE_CHECKING:
    from affectkit.estimators._network_fit import Network


def build(
    *,
    pooling: Annotated[
        Literal["mean", "attentive"],
        Option("Over frames: their mean, or mean and deviation under learned attention (attentive statistics)."),
    ] = "attentive",
    hidden_size: HiddenSizeOpt = 256,
    hidden_layers: HiddenLayersOpt = 1,
    dropout: DropoutOpt = 0.5,
    loss: LossOpt = "auto",
    learning_rate: LearningRateOpt = "1e-3",
    weight_decay: WeightDecayOpt = 0.01,
    epochs: EpochsOpt = 50,
    batch_size: BatchSizeOpt = 32,
    early_stopping_patience: PatienceOpt = 10,
    stopping_folds: StoppingFoldsOpt = 5,
) -> "Network":
    """The estimator of `--model attention`.

    What is linear up to a mean over frames answers the same for the frames as for their mean, so their mean is all that
    it reads of them: a pass over the shards instead of one per epoch, and answers that are mlp's to the bit.
    """
    options = dict(locals())
    from affectkit.estimators._estimator import Takes

    linear = pooling == "mean" and not hidden_layers
    return network("attention", options, Takes(vectors=False, sparse=False, frames="mean" if linear else "all"))
