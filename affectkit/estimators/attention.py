"""Neural network on frames, which it pools into one answer; layers of an encoder are weighed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from affectkit.estimators._network_options import NetworkOptions, network
from affectkit.registry import Option, options_from

if TYPE_CHECKING:
    from affectkit.estimators._network_fit import NetworkEstimator


@dataclass(frozen=True)
class AttentionOptions(NetworkOptions):
    pooling: Annotated[
        Literal["mean", "attentive"],
        Option("Pooling over frames: mean, or attentive (mean and deviation under learned attention)."),
    ] = "attentive"


@options_from(AttentionOptions)
def build(options: AttentionOptions) -> "NetworkEstimator":
    """The estimator of `--model attention`.

    What is linear up to a mean over frames answers the same for the frames as for their mean, so their mean is all that
    it reads of them: a pass over the shards instead of one per epoch, and answers that are mlp's to the bit.
    """
    from affectkit.estimators._estimator import Takes

    linear = options.pooling == "mean" and not options.hidden_layers
    takes = Takes(vectors=False, sparse=False, frames="mean" if linear else "all")
    return network("attention", options, takes, options.form(options.pooling))
