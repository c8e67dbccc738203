"""What a face expert is: a network with weights of its own, that answers for crops of faces; and what a record says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np

from affectkit import registry
from affectkit.detectors._detector import Policy, check_policy
from affectkit.errors import AffectkitError
from affectkit.finetuning.passes import Tta
from affectkit.media.augment_images import PASSES, check_passes
from affectkit.plain import without_nan
from affectkit.registry import Option

if TYPE_CHECKING:
    import torch

WEIGHTS, RECORD = "model.safetensors", "expert.json"  # in a model folder
NOT_COMPARED = ("licence", "detector_facts", "lexicons")  # words; the version of OpenCV


def check_record(folder: Path, record: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Raises "input" where weights, crop or input of what was loaded are not those of its record."""
    for fact, here in without_nan(dict(described)).items():
        if fact not in NOT_COMPARED and here != record.get(fact):
            what = "other weights" if fact == "weights" else f"another '{fact}'"
            remedy = "copy it again, or make it again with this affectkit"
            raise AffectkitError("input", f"has {what} than its record says", file=folder, remedy=remedy)


@dataclass(frozen=True)
class ExpertAnswers:
    """For B crops: numbers by output, each [B], on the expert's scale; probabilities [B, K] of its classes, if any."""

    values: dict[str, np.ndarray]
    probabilities: np.ndarray | None = None


class Expert(Protocol):
    """Answers for crops. What it answers for one never depends on what else is in the batch.

    options: resolved; `build(**options)` gives the same expert. size: the side of its crops, pixels.
    outputs: the names of its numbers. scale: (lowest, highest) of them all. classes: of its probabilities, () if none.
    by_landmarks: whether its crops are squares around landmarks where a face has them, or always around its box.
    licence: a sentence on its weights. All but name and options are known once it is loaded.
    """

    name: str
    options: dict[str, Any]
    size: int
    outputs: tuple[str, ...]
    scale: tuple[float, float]
    classes: tuple[str, ...] = ()
    by_landmarks: bool = True
    licence: str = ""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def load(self, device: str, folder: Path | None = None) -> None:
        """Fetch weights onto a device ("cpu", "cuda:0"): from the model folder that `save` wrote, else as options say.

        Raises "missing" or "input"; there is no expert without weights.
        """

    def predict(self, crops: np.ndarray) -> ExpertAnswers:
        """crops: [B, size, size, 3] uint8, RGB; B is at least 1."""

    def save(self, folder: Path) -> None:
        """Write the files that `load` needs, `model.safetensors` first of all."""

    def describe(self) -> dict[str, Any]:
        """Facts for the record: `weights` (SHA-256 of the tensors) and what a reader of a report should know."""


class NetworkExpert(Expert):
    """What experts share that are torch networks: exact float32, no gradients. `load` hands the network to `hold`."""

    def hold(self, network: Any, device: str) -> None:
        from affectkit.models.backbones import digest

        self._digest, self._network, self._device = digest(network), network.to(device), device

    @abstractmethod
    def outputs_of(self, crops: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """What the network gives for crops: each number [B], and the logits [B, K] of its classes, if any."""

    def predict(self, crops: np.ndarray) -> ExpertAnswers:
        import torch

        from affectkit.models.forward import without_tf32

        with torch.inference_mode(), without_tf32():
            numbers, logits = self.outputs_of(crops)
        values = {name: numbers[name].double().cpu().numpy() for name in self.outputs}
        return ExpertAnswers(values, None if logits is None else logits.double().softmax(dim=1).cpu().numpy())

    def pixels(self, crops: np.ndarray, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)) -> torch.Tensor:
        """[B, S, S, 3] uint8 -> [B, 3, S, S] float32: (pixel / 255 - mean) / std, by channel."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(crops)).to(self._device).permute(0, 3, 1, 2).float() / 255
        shift, scale = torch.tensor([mean, std], dtype=torch.float32, device=self._device)[..., None, None]
        return (batch - shift) / scale

    def save(self, folder: Path) -> None:
        from affectkit.models.weights import write_tensors

        write_tensors(folder / WEIGHTS, self._network.state_dict())


# --- What a face expert says of an image, and the rule by which it took the face


NO_FACE = "no face found"


@dataclass(frozen=True)
class FaceAnswer:
    """What is said of an image, or why nothing is.

    values, var: by target, on its scale; var is NaN for a single pass. probabilities: [K] of the expert's classes, of
    the upright face. faces: how many were found. box: of the one that was read; crop: what its square was made from.
    """

    values: dict[str, float] = field(default_factory=dict)
    var: dict[str, float] = field(default_factory=dict)
    probabilities: np.ndarray | None = None
    faces: int = 0
    box: tuple[float, float, float, float] | None = None
    crop: str = ""
    declined: str = ""


@dataclass(frozen=True)
class CropRule:
    """How a face becomes a crop. policy: which of several. flip_average: of a single pass.

    box_scale: side of the square over the longer side of a box without landmarks.
    """

    policy: Annotated[Policy, Option("Which of several faces to read.")] = "largest"
    box_scale: Annotated[
        float,
        Option(
            "Side of the crop relative to the longer side of the face box, where there are no landmarks.",
            least=0.5,
            most=3,
        ),
    ] = 1.0
    flip_average: Annotated[bool, Option("Whether to average over the mirrored face too, where --tta is 1.")] = True

    def __post_init__(self) -> None:
        check_policy(self.policy)
        if not 0.5 <= self.box_scale <= 3:
            raise AffectkitError("usage", f"--box-scale {self.box_scale:g}", remedy="use 0.5 to 3, such as 1.2")


@dataclass(frozen=True)
class Faces(CropRule):
    """What face experts read, and the options that they share."""

    target: Annotated[
        str | None, Option("Targets to answer for: numbers, comma-separated.", default="all of the expert's")
    ] = None
    detector: Annotated[str, Option(f"Face detector: {', '.join(registry.names('detectors'))}.")] = "haar"
    tta: Tta = 1

    @property
    def rule(self) -> CropRule:
        return CropRule(self.policy, self.box_scale, self.flip_average)


# --- Test-time augmentation: what the passes over a face are, and what becomes of their answers


@dataclass(frozen=True)
class Plan:
    """tta: passes, 1 to 10. flip_average: let the one pass be the mean of the face and its mirror image.

    More than one pass have the mirror image among them, and nothing is averaged twice: a pass and its mirror's would
    be equal, and the variance too small.
    """

    tta: int = 1
    flip_average: bool = True

    def __post_init__(self) -> None:
        check_passes(self.tta)

    @property
    def views(self) -> tuple[tuple[float, bool], ...]:
        """(factor on the side, mirrored) of each crop that the expert is shown, the plain one first."""
        return PASSES[: 2 if self.tta == 1 and self.flip_average else self.tta]

    def mean_and_var(self, values: np.ndarray) -> tuple[float, float]:
        """Of a number for each view: the mean, and the variance of passes (ddof 1), NaN for a single pass."""
        return float(values.mean()), float("nan") if self.tta == 1 else float(values.var(ddof=1))


def rescaled(
    mean: float, var: float, scale: tuple[float, float], target: tuple[float, float] | None
) -> tuple[float, float]:
    """A mean and a variance of passes, from the expert's scale to the target's; the mean is clipped to it.

    Clipped is the mean, not each pass: clipped passes would agree where the expert is most unsure.
    """
    low, high = scale
    start, end = target or scale
    slope = (end - start) / (high - low)
    return float(np.clip(start + slope * (mean - low), start, end)), float(slope**2 * var)
