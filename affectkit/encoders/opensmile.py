"""openSMILE's eGeMAPS, ComParE and other acoustic sets (free for research only)

The values are those of `opensmile.Smile.process_file`, bit for bit, on mono files and segments at their own sampling
rate: nothing is resampled. Of several channels the mean is taken, as `Smile(channels=range(n), mixdown=True)` does
(`Smile`'s own default is the first channel). Eyben et al. 2010; eGeMAPS: Eyben et al. 2016; ComParE: Schuller et al.
2016.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import Encoder, Item, Reads
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media import read_audio
from affectkit.registry import Option

_LEVELS = {"functionals": "Functionals", "lld": "LowLevelDescriptors", "lld-deltas": "LowLevelDescriptors_Deltas"}


def build(
    *,
    feature_set: Annotated[
        str, Option("openSMILE's name of the feature set: eGeMAPSv02, ComParE_2016, GeMAPSv01b, emobase, IS09, ...")
    ] = "eGeMAPSv02",
    feature_level: Annotated[
        str,
        Option(
            "Level of the features: functionals (one vector per file), lld (low-level descriptors "
            "every 10 ms) or lld-deltas."
        ),
    ] = "functionals",
) -> Encoder:
    """The encoder; openSMILE itself is first needed by `load`. Raises "usage" for an unknown level."""
    if feature_level not in _LEVELS:
        remedy = f"use {', '.join(_LEVELS)}"
        raise AffectkitError("usage", f"there is no --feature-level {feature_level}", remedy=remedy)
    return OpenSmile({"feature_set": feature_set, "feature_level": feature_level})


class OpenSmile(Encoder):
    """All the work is in `prepare`: openSMILE runs outside the interpreter lock, so threads use every core."""

    name = "opensmile"
    reads: Reads = "audio"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.pooled = options["feature_level"] == "functionals"

    @cached_property
    def _smile(self) -> Any:
        try:
            import opensmile
        except ModuleNotFoundError:
            message = "openSMILE is not installed (it is free for research only: read its licence)"
            raise AffectkitError("environment", message, remedy='pip install "affectkit[speech]"') from None
        sets, levels = opensmile.FeatureSet, opensmile.FeatureLevel
        name = self.options["feature_set"]
        if name not in sets.__members__:
            remedy = did_you_mean(name, list(sets.__members__))
            raise AffectkitError("usage", f"openSMILE has no feature set '{name}'", remedy=remedy)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that older sets have successors is not our user's concern
                return opensmile.Smile(sets[name], levels[_LEVELS[self.options["feature_level"]]])
        except ValueError as error:  # the GeMAPS family has no deltas
            raise AffectkitError("usage", f"openSMILE: {error}".rstrip("."), remedy="use --feature-level lld") from None

    @property
    def feature_names(self) -> list[str]:
        return list(self._smile.feature_names)

    def load(self, device: str) -> None:
        _ = self._smile

    def describe(self) -> dict[str, Any]:
        import opensmile

        return {"dim": len(self._smile.feature_names), "opensmile": opensmile.__version__}

    def prepare(self, item: Item) -> np.ndarray:
        """[D] float32, or [T, D] low-level descriptors at 100 Hz."""
        if item.path is None:
            raise AffectkitError("input", "has no path")
        samples, rate = read_audio(item.path, start_sec=item.start_sec, end_sec=item.end_sec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "too short, filling with NaN": an error below
            values = self._smile(samples[None], rate)[0]
        if values.shape[1] == 1 and values[0, 0] != values[0, 0]:
            raise AffectkitError("input", f"{len(samples) / rate:.3f} s are too short for openSMILE", file=item.path)
        return values[:, 0] if self.pooled else values.T.copy()

    def encode(self, prepared: list[np.ndarray]) -> list[np.ndarray]:
        return prepared
