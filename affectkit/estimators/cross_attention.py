"""Neural network on several sets of features, which read each other by attention, are gated, or stand side by side."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.errors import AffectkitError
from affectkit.estimators._network_options import TrainedOptions, network
from affectkit.plain import comma_separated
from affectkit.registry import Option, options_from
from affectkit.training import settings

if TYPE_CHECKING:
    from affectkit.estimators._network_fit import NetworkEstimator

PUBLISHED = "published"
# A published network for personality from static and dynamic features, as far as the options carry it.
PRESETS: dict[str, dict[str, Any]] = {
    PUBLISHED: {
        "query": "first", "width": 128, "heads": 4, "head_size": 128, "positions": "none", "norm": "batch",
        "hidden_size": 64, "dropout": 0.3, "loss": "mse", "learning_rate": "1e-3", "weight_decay": 0.0,
        "early_stopping_patience": 10,
    },
}  # fmt: skip


COMMON = (
    "a network for personality from a static set, named first, which attends to a dynamic one (width 128; 4 heads of "
    "128; residual, layer norm; batch norm, dropout .3; 64 units; MSE, Adam at 1e-3, patience 10)"
)
DIFFERENT = (
    "numbers are standardised, the rate is constant (not halved on a plateau), the number of epochs is chosen on inner "
    "folds, gradients are clipped, a key has no constant, and there may be more than one step to choose from"
)
MOST_HEADS, WIDEST = 128, 4096  # a mistyped --heads 100000 took 5 GB before the first step


@dataclass(frozen=True)
class JoinOptions:
    preset: Annotated[
        Literal["none", "published"],
        Option(f"Options that stand for those not given. published: {COMMON}. What differs: {DIFFERENT}."),
    ] = "none"
    join: Annotated[
        Literal["cross-attention", "gated", "concat"],
        Option(
            "How sets are joined: cross-attention, sets attend to each other's steps; gated, a weighted sum of each "
            "set's mean over a row's steps, unit by unit; concat, these means side by side."
        ),
    ] = "cross-attention"
    query: Annotated[
        str,
        Option(
            "Sets that attend to the others, comma-separated, by their names or those of their folders; all: each "
            "attends to every other; first: only the one named first. The query of a sequence is the mean of its steps."
        ),
    ] = "all"
    heads: Annotated[int, Option("Number of attention heads.", least=1, most=MOST_HEADS)] = 4
    # On three twins of First Impressions' arrays (1,800 rows each), where nothing is to be looked up: 64 lost .002 of
    # CCC to sets side by side on the average (.007 at most), 128 .006 (.016).
    width: Annotated[int, Option("Number of units that each set is projected to.", least=1, most=WIDEST)] = 64
    head_size: Annotated[
        int,
        Option(
            "Number of units of a head's query, key and value; 0: the width over the number of heads.",
            least=0,
            most=WIDEST,
        ),
    ] = 0
    positions: Annotated[
        Literal["sinusoidal", "none"],
        Option(
            "What tells attention where a step is: sinusoidal, sines of its number and of its place between the first "
            "step and the last; none, so that the order of steps changes no answer."
        ),
    ] = "sinusoidal"
    norm: Annotated[
        Literal["none", "layer", "batch"],
        Option(
            "How joined sets are normalised: none; layer, each set and what it read, over its units (cross-attention); "
            "batch, so and then each unit over a batch."
        ),
    ] = "none"
    hidden_size: settings.HiddenSize = 64
    dropout: settings.HiddenDropout = 0.5


@dataclass(frozen=True)
class CrossAttentionOptions(TrainedOptions, JoinOptions):
    def __post_init__(self) -> None:
        super().__post_init__()
        names = comma_separated(self.query)
        if not names or len(set(names)) < len(names):
            raise AffectkitError("usage", f"--query '{self.query}' names no set, or one twice", remedy="name each once")
        if self.join != "cross-attention" and self.query not in ("all", PRESETS[PUBLISHED]["query"]):
            remedy = "leave it out, or use --join cross-attention"
            raise AffectkitError("usage", f"--query: no set attends to another under --join {self.join}", remedy=remedy)
        if self.norm == "batch" and self.batch_size < 2:
            remedy = "use a --batch-size of 2 or more"
            raise AffectkitError("usage", "--norm batch: one row has no spread to normalise by", remedy=remedy)


@options_from(CrossAttentionOptions, PRESETS)
def build(options: CrossAttentionOptions) -> "NetworkEstimator":
    """The estimator of `--model cross-attention`. An option that is given wins over the preset."""
    from affectkit.estimators._cross_network import Crossing
    from affectkit.estimators._estimator import Takes

    form = Crossing(
        options.join,
        tuple(comma_separated(options.query)),
        options.heads,
        options.width,
        options.head_size or max(1, options.width // options.heads),
        options.hidden_size,
        options.dropout,
        options.positions,
        options.norm,
        note=f"--preset published is {COMMON}; what differs: {DIFFERENT}" if options.preset == PUBLISHED else "",
    )
    takes = Takes(sparse=False, layers=True, frames="all", apart=True)
    return network("cross-attention", options, takes, form)
