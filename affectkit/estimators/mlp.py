"""Neural network on one vector per row, or on one per layer, which it learns to weigh."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from affectkit.estimators._network_fit import Network


def build(
    *,
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
    """The estimator of `--model mlp`."""
    options = dict(locals())
    from affectkit.estimators._estimator import Takes

    return network("mlp", options, Takes(sparse=False, layers=True))
