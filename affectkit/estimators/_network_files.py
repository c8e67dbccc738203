"""Networks on disk: weights in safetensors, and beside them in JSON what the network is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from affectkit.artifacts.files import read_json, write_bytes, write_json
from affectkit.estimators._network import Form, Head, Set

if TYPE_CHECKING:
    from affectkit.estimators._network_fit import NetworkFit


def save(fitted: NetworkFit, stem: Path) -> None:
    """Write `<stem>.safetensors` and `<stem>.json`."""
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in fitted.network.state_dict().items()}
    write_bytes(stem.with_name(stem.name + ".safetensors"), save(tensors))
    facts = {
        "answer": fitted.network.answer,
        "sets": [one.plain() for one in fitted.network.sets],
        "classes": fitted.classes,
        "present": fitted.present.tolist(),
        "mean": fitted.mean,
        "deviation": fitted.deviation,
        "temperature": fitted.temperature,
    }
    write_json(stem.with_name(stem.name + ".json"), facts)


def load(stem: Path, name: str, form: Form) -> NetworkFit:
    """What `save` wrote, of a network of that form. Raises ValueError or KeyError for anything else, and then has
    taken no memory for what the file's numbers promise: shapes are compared before there are weights."""
    from safetensors.torch import load_file

    from affectkit.estimators._network_fit import NetworkFit

    facts = read_json(stem.with_name(stem.name + ".json"), what="network")
    stored = load_file(stem.with_name(stem.name + ".safetensors"))
    sets = [Set(int(one["dim"]), int(one["layers"]), bool(one["frames"])) for one in facts["sets"]]
    classes, present = int(facts["classes"]), np.array(facts["present"], dtype=bool)
    mean, deviation, temperature = (float(facts[key]) for key in ("mean", "deviation", "temperature"))
    sensible = math.isfinite(mean + deviation) and 0 < temperature < math.inf
    if len(present) != classes or (classes and not present.any()) or not sensible:
        raise ValueError("its classes or its units make no sense")
    with torch.device("meta"):
        network = Head(str(facts["answer"]), sets, classes or 1, form)
    _check(network.state_dict(), stored)
    network.load_state_dict(stored, assign=True)
    return NetworkFit(name, network.eval(), classes, present, mean, deviation, temperature)


def _check(expected: dict[str, Any], stored: dict[str, Any]) -> None:
    """Raises ValueError unless the weights are the network's, by name, shape and type."""
    missing, unknown = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"its weights lack {', '.join(missing) or 'none'} and have {', '.join(unknown) or 'none'} more"
        )
    for name, tensor in expected.items():
        if stored[name].shape != tensor.shape or stored[name].dtype != tensor.dtype:
            raise ValueError(f"{name} is {list(stored[name].shape)}, not {list(tensor.shape)}")
        if not bool(torch.isfinite(stored[name]).all()):
            raise ValueError(f"{name} is not finite")
