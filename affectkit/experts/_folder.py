"""Making a face expert, and reading the folder that keeps one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit import registry
from affectkit.artifacts.files import read_json
from affectkit.artifacts.models import whole
from affectkit.detectors._detector import Detector, Policy
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.experts._adapter import FaceExpert
from affectkit.experts._expert import RECORD, CropRule, Expert
from affectkit.labels import Target
from affectkit.models.forward import resolve_device, without_tf32
from affectkit.models.weights import fill, read_tensors
from affectkit.plain import without_nan

NOT_COMPARED = ("licence", "detector_facts")  # words; the version of OpenCV


def build_expert(
    name: str,
    options: Mapping[str, Any] | None = None,
    detector: str = "haar",
    detector_options: Mapping[str, Any] | None = None,
    *,
    targets: Sequence[Target] = (),
    policy: Policy = "largest",
    box_scale: float = 1.0,
    flip_average: bool = True,
    device: str = "auto",
    foreign: bool = False,
) -> FaceExpert:
    """A loaded face expert.

    targets: the numbers to answer for, on their own scales; none: all that the expert has, on its scale. policy: which
    of several faces. box_scale: side of the square over the longer side of a box without landmarks. flip_average: of a
    single pass. foreign: names may be a user's own modules. Raises as the plug-ins do.
    """
    rule = CropRule(policy, float(box_scale), bool(flip_average))
    expert = registry.build("experts", name, options or {}, foreign=foreign)
    finder = registry.build("detectors", detector, detector_options or {}, foreign=foreign)
    return _loaded(expert, finder, targets, rule, device)


def load_expert(folder: Path, *, device: str = "auto") -> FaceExpert:
    """The face expert of a folder that `FaceExpert.save` wrote. Names in it resolve among the built-ins only.

    Raises "missing" or "input" for a folder that is not whole, and where weights, crop or input are not the record's.
    """
    folder = Path(folder)
    record = read_json(folder / RECORD, what="description of a face expert")
    with whole(folder):
        rule = CropRule(**{name: record["crop"][name] for name in ("policy", "box_scale", "flip_average")})
        targets = [Target.from_json(target) for target in record["targets"]]
        expert = registry.build("experts", record["expert"], record["options"])
        detector = registry.build("detectors", record["detector"], record["detector_options"])
    loaded = _loaded(expert, detector, targets, rule, device, folder)
    for fact, here in without_nan(loaded.describe()).items():
        if fact not in NOT_COMPARED and here != record.get(fact):
            what = "other weights" if fact == "weights" else f"another '{fact}'"
            remedy = "copy it again, or make it again with this affectkit"
            raise AffectkitError("input", f"has {what} than its record says", file=folder, remedy=remedy)
    return loaded


def _loaded(
    expert: Expert,
    detector: Detector,
    targets: Sequence[Target],
    rule: CropRule,
    device: str,
    folder: Path | None = None,
) -> FaceExpert:
    detector.load(folder)
    expert.load(resolve_device(device), folder)
    return FaceExpert(expert, detector, targets, rule)


# --- What experts that are torch networks share: pixels in, exact arithmetic


def pixels(
    crops: np.ndarray, device: str, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
) -> torch.Tensor:
    """[B, S, S, 3] uint8 -> [B, 3, S, S] float32: (pixel / 255 - mean) / std, by channel."""
    batch = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    by_channel = [torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1) for values in (mean, std)]
    return (batch - by_channel[0]) / by_channel[1]


@contextmanager
def answering(device: str) -> Iterator[None]:
    """Without gradients, in exact float32."""
    with torch.inference_mode(), without_tf32() if device.startswith("cuda") else nullcontext():
        yield


def softmax(logits: torch.Tensor) -> np.ndarray:
    """[B, K] float64 probabilities."""
    return torch.softmax(logits.double(), dim=1).cpu().numpy()


# --- A timm network filled from a local file, exactly


def open_network(architecture: str, outputs: int, path: Path) -> nn.Module:
    """On the CPU, in eval mode. Raises "usage", "missing", or "input" for weights that are not its own, all of them."""
    import timm

    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm.list_models())
        remedy = near if near.startswith("did") else "timm.list_models() has them all"
        raise AffectkitError("usage", f"timm has no architecture '{architecture}'", remedy=remedy)
    if not path.is_file():
        raise AffectkitError("missing", f"there are no weights for {architecture}", file=path, remedy="name their file")
    with torch.random.fork_rng(devices=[]):
        network = timm.create_model(architecture, pretrained=False, num_classes=outputs)
    fill(network, read_tensors(path), f"timm's {architecture} with {outputs} outputs", path)
    network.requires_grad_(False).eval()
    return network


def input_of(network: nn.Module) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """The side of a crop, and the mean and deviation of its channels in [0, 1], as timm has them for the network."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    return max(config["input_size"][1:]), tuple(config["mean"]), tuple(config["std"])
