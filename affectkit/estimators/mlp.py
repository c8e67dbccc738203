"""Neural network on one vector per row, or on one per layer, which it learns to weigh."""

from typing import TYPE_CHECKING

from affectkit.estimators._network_options import NetworkOptions, network
from affectkit.registry import options_from

if TYPE_CHECKING:
    from affectkit.estimators._network_fit import NetworkEstimator


@options_from(NetworkOptions)
def build(options: NetworkOptions) -> "NetworkEstimator":
    """The estimator of `--model mlp`."""
    from affectkit.estimators._estimator import Takes

    return network("mlp", options, Takes(sparse=False, layers=True), options.form())
