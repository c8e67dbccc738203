"""Several pictures of a row, each seen by a branch: an image backbone of its own, or one that all of them share."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.models import BRANCHES
from affectkit.errors import AffectkitError
from affectkit.models import images
from affectkit.models.image_backbone import ImageBackbone, parts_of
from affectkit.plain import is_file_name

FILE, SHARED = "branches.json", "shared"


class Branches(nn.Module):
    """[B, P, 3, height, width] -> [B, P * dim]: what is seen in each of P pictures, side by side."""

    def __init__(self, networks: Sequence[nn.Module], count: int) -> None:
        super().__init__()
        self.networks, self.count = nn.ModuleList(networks), count

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(self.networks) < self.count:  # all pictures in one pass, which batch norm takes its statistics over
            return self.networks[0](pixels.flatten(0, 1)).reshape(len(pixels), -1)
        return torch.cat([network(pixels[:, place]) for place, network in enumerate(self.networks)], dim=1)


class ImageBranches:
    """As `ImageBackbone` is for one picture. pictures: their names, in order. sources: a backbone for each, or one."""

    def __init__(self, pictures: Sequence[str], sources: Sequence[ImageBackbone]) -> None:
        self.pictures, self.sources = tuple(pictures), tuple(sources)
        self.network = Branches([source.network for source in sources], len(pictures))
        self.preprocessing, self.dim = sources[0].preprocessing, sources[0].dim * len(pictures)

    @property
    def folders(self) -> tuple[str, ...]:
        return folders_of(self.pictures, len(self.sources) < len(self.pictures))

    def facts(self) -> dict[str, Any]:
        """What a record says of it; all branches start from the same weights."""
        return {**self.sources[0].facts(), "pictures": list(self.pictures)}

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """From the input to the last layer, those of the same depth of all branches together."""
        merged: dict[str, list[nn.Parameter]] = {}
        for source in self.sources:
            for name, parameters in parts_of(source.network):
                merged.setdefault(name, []).extend(parameters)
        return list(merged.items())

    def save(self, folder: Path) -> None:
        """Write `branches/`, a folder that `images.load` reads for each backbone, and the pictures' names."""
        for name, source in zip(self.folders, self.sources, strict=True):
            source.save(Path(folder) / BRANCHES / name)
        shared = len(self.sources) < len(self.pictures)
        write_json(Path(folder) / FILE, {"pictures": list(self.pictures), "shared": shared})


def folders_of(pictures: Sequence[str], shared: bool) -> tuple[str, ...]:
    return (SHARED,) if shared else tuple(pictures)


def branched(source: ImageBackbone, pictures: Sequence[str], *, shared: bool) -> ImageBranches:
    """A branch for each picture, all with the weights of `source` to begin with."""
    count = 1 if shared else len(pictures)
    copies = [replace(source, network=copy.deepcopy(source.network)) for _ in range(count - 1)]
    return ImageBranches(pictures, [source, *copies])


def load(folder: Path, pictures: Sequence[str]) -> ImageBranches:
    """What `save` wrote, of these pictures. Raises "missing" or "input" for a folder that does not hold just that."""
    record: Mapping[str, Any] = read_json(
        folder / FILE, what="record of branches", shape={"pictures": [is_file_name], "shared": bool}
    )
    if record["pictures"] != list(pictures):
        message = f"is of {', '.join(record['pictures']) or 'no pictures'}, not of {', '.join(pictures)}"
        raise AffectkitError("input", message, file=folder / FILE, remedy="copy the model folder again")
    names = folders_of(pictures, record["shared"])
    sources = [images.load(folder / BRANCHES / name) for name in names]
    for name, source in zip(names, sources, strict=True):
        if (source.dim, source.preprocessing) != (sources[0].dim, sources[0].preprocessing):
            message = f"is another network, or sees other pixels, than that of {names[0]}"
            raise AffectkitError("input", message, file=folder / BRANCHES / name, remedy="copy the model folder again")
    return ImageBranches(pictures, sources)
