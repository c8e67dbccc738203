"""What a fitted network of fusion says, in numpy: a row's answer has the same bits alone as among others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from affectkit.fusion._mlp_columns import Columns
from affectkit.fusion._mlp_prior import answers_of, prior_scores
from affectkit.fusion._stack import linear


def predict(parameters: Mapping[str, Any], given: Columns) -> np.ndarray:
    """[N, C] probabilities before the temperature, or numbers held to their scale; NaN for rows without a source."""
    inputs, network = given.inputs, parameters["network"]
    target = inputs.panel.target
    scores = prior_scores(parameters, inputs)
    if network is not None:
        columns = np.nan_to_num(given.standardised(parameters["scaler"]))
        hidden = np.maximum(_layer(network["hidden"], columns), 0.0)
        scores = scores + network["unit"] * _layer(network["head"], hidden)
    found = answers_of(scores, target.kind == "number")
    if target.scale:
        found = np.clip(found, *target.scale)
    found[~inputs.known] = np.nan
    return found


def _layer(layer: Mapping[str, Any], features: np.ndarray) -> np.ndarray:
    return linear(features, np.array(layer["weights"])) + np.array(layer["bias"])[:, None]
