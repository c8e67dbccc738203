"""Pictures of what is mistaken for what, small enough to be kept in a report's folder."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.reports import class_targets
from affectkit.errors import AffectkitError
from affectkit.evaluation.rows import pair
from affectkit.media.images import thumbnail

KINDS = 6  # of mistakes, the most frequent ones


def pictures(judged: Predictions, report: Mapping[str, Any], manifest: Manifest, most: int) -> list[dict[str, str]]:
    """`target`, `truth`, `predicted`, `id` and `jpeg` (base64) of up to `most` rows of each of the most frequent
    mistakes, those first of which the model was surest.

    judged: the rows that `report` is of. Rows whose medium is no image that can be read have none.
    """
    if most == 0 or "path" not in manifest.rows:
        return []
    media = dict(zip(manifest.rows["id"], manifest.media(), strict=True))
    examples = []
    for name, _, details in class_targets(report):
        frequent = sorted(details.get("mistakes") or [], key=lambda row: -row["rows"])[:KINDS]
        for kind in frequent:
            names = {"target": name, "truth": kind["truth"], "predicted": kind["predicted"]}
            ids = _surest(judged, **names)[:most]
            examples += [{**names, "id": key, "jpeg": jpeg} for key, jpeg in _small(ids, media)]
    return examples


def _surest(judged: Predictions, target: str, truth: str, predicted: str) -> Sequence[str]:
    """The ids of the rows of one mistake."""
    classes = judged.targets[target].classes
    codes = pair(judged, judged.targets[target])
    rows = np.flatnonzero((codes[0] == classes.index(truth)) & (codes[1] == classes.index(predicted)))
    if (probabilities := judged.probabilities(target)) is not None:
        rows = rows[np.argsort(-probabilities[rows, classes.index(predicted)], kind="stable")]
    return list(judged.frame["id"].iloc[rows])


def _small(ids: Sequence[str], media: Mapping[str, Path | None]) -> Iterator[tuple[str, str]]:
    for key in ids:
        if (path := media.get(key)) is not None:
            with suppress(AffectkitError):
                yield key, b64encode(thumbnail(path)).decode()
