"""A fine-tuned network: its folder, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.models import read_spec, whole
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.console import Progress
from affectkit.encoders._encoder import Item
from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import Medium, medium_of
from affectkit.finetuning.mixture import MixedExamples, MixOptions, Mixture, mixed
from affectkit.finetuning.passes import ONCE, Passes, over_passes
from affectkit.labels import Target
from affectkit.models.weights import fill, read_tensors, write_tensors
from affectkit.training.failures import unanswered
from affectkit.training.judging import outputs_of
from affectkit.training.objective import Objective
from affectkit.training.problem import Examples

MIXTURE = "mixture.safetensors"
CHUNK = 256  # rows read, sorted and answered together
_TRAIN_AGAIN = "look at the file; if others end so too, train the network again with a lower --learning-rate"


@dataclass(frozen=True)
class FinetunedModel:
    """spec: what `affectkit.json` says. network: the medium's, whose numbers are in the targets' own units. mixture: of
    its answers with those of other models, the parents."""

    spec: dict[str, Any]
    medium: Medium
    network: Any
    mixture: Mixture | None = None

    @property
    def targets(self) -> list[Target]:
        return [Target.from_json(target) for target in self.spec["targets"]]

    def predict(
        self,
        items: Sequence[Item],
        accelerator: Any,
        *,
        where: Callable[[int], dict[str, Any]],
        on_error: str = "stop",
        num_workers: int = 0,
        passes: Passes = ONCE,
        progress: Progress | None = None,
        beside: np.ndarray | None = None,
    ) -> tuple[list[TargetPrediction], dict[int, str]]:
        """The answers of each target for media, whatever batch they come in, and why some could not be read.

        where: `file` and `row` of an item, for errors. on_error: "skip" declines one that cannot be decoded and gives
        the reason by its position, "stop" raises. beside: [N, S, C], what the parents say of the items.
        """
        network = mixed(self.medium, self.network, self.mixture, passes).to(accelerator.device)
        size, most_cost = self.medium.answered_at_once
        answers: dict[str, list[np.ndarray]] = {target.name: [] for target in self.targets}
        skipped: dict[int, str] = {}
        for start in range(0, len(items), CHUNK):
            part, failed = items[start : start + CHUNK], dict[int, str]()

            def where_of(place: int, start: int = start) -> dict[str, Any]:
                return where(start + place)

            how: dict[str, Any] = {"passes": passes, "failed": failed if on_error == "skip" else None}
            examples: Examples = self.medium.examples(part, {}, self.network, where_of, **how)
            if beside is not None:
                examples = MixedExamples(examples, beside[start : start + CHUNK])
            how = {"size": size, "most_cost": most_cost, "num_workers": num_workers}
            outputs = outputs_of(network, examples, accelerator, finite=False, **how)
            for place in unanswered(outputs):
                why = f"the answer for id '{part[place].id}' is not a number"
                if on_error != "skip":
                    raise AffectkitError("input", why, **where_of(place), remedy=_TRAIN_AGAIN)
                failed.setdefault(int(place), why)
            for name, values in passes.answers(in_units(self.targets), outputs).items():
                values[list(failed)] = np.nan
                answers[name].append(values)
            skipped |= {start + place: why for place, why in failed.items()}
            if progress:
                progress(min(start + CHUNK, len(items)), len(items))
        return over_passes(self.targets, {name: np.concatenate(parts) for name, parts in answers.items()}), skipped

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.network.save(folder)
        if self.mixture is not None and (weights := self.mixture.state_dict()):
            write_tensors(folder / MIXTURE, weights)


def in_units(targets: Sequence[Target]) -> Objective:
    """What reads the outputs of a network whose scaling has been folded into its head."""
    return Objective(tuple(targets), {}, {target.name: (0.0, 1.0) for target in targets if target.kind == "number"}, {})


def load_finetuned_model(folder: Path) -> FinetunedModel:
    """Read a `best_model/` of kind "finetuned". Raises "input" for one that is damaged or does not fit together."""
    spec = read_spec(folder)
    with whole(folder):
        targets = [Target.from_json(target) for target in spec["targets"]]
        if not targets:
            raise ValueError("no target")
        medium = medium_of(spec)
        network = medium.load(folder, targets)
        mixture = _load_mixture(folder, spec, targets)
    return FinetunedModel(spec, medium, network.eval(), mixture)


def _load_mixture(folder: Path, spec: Mapping[str, Any], targets: Sequence[Target]) -> Mixture | None:
    if "beside" not in spec:
        return None
    options = MixOptions.of_record(spec["beside"])
    if sorted(options.sources) != sorted(parent["name"] for parent in spec["parents"]):
        raise ValueError(f"a mixture with {', '.join(options.sources)}, not with its parents")
    mixture = Mixture(targets, options).eval()
    if mixture.state_dict():
        fill(mixture, read_tensors(folder / MIXTURE), "the mixture", folder / MIXTURE)
    return mixture
