"""openSMILE's eGeMAPS, ComParE and other acoustic sets (free for research only)

The values are those of `opensmile.Smile.process_file`, bit for bit, on mono files and segments at their own sampling
rate: nothing is resampled. Of several channels the mean is taken, as `Smile(channels=range(n), mixdown=True)` does
(`Smile`'s own default is the first channel). Eyben et al. 2010; eGeMAPS: Eyben et al. 2016; ComParE: Schuller et al.
2016.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import Encoder, Item, Reads
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media import read_audio
from affectkit.media.audio import warn_once
from affectkit.registry import Option

_HIGHEST = np.float32(32767 / 32768)  # of 16 bits
_MOST_BEYOND = 0.05  # a share of the samples; loud Opus or Vorbis has some per mille
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
        samples = self._within_scale(samples, item.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "too short, filling with NaN": an error below
            values = self._smile(samples[None], rate)[0]
        if values.shape[1] == 1 and values[0, 0] != values[0, 0]:
            raise AffectkitError("input", f"{len(samples) / rate:.3f} s are too short for openSMILE", file=item.path)
        return values[:, 0] if self.pooled else values.T.copy()

    def _within_scale(self, samples: np.ndarray, path: Path) -> np.ndarray:
        """Samples that are 16 bits wide: openSMILE wraps those beyond round, so that they are clipped first, as any
        recorder does. Raises "input" where so many are beyond 1 that 1 is not full scale."""
        beyond = np.count_nonzero(np.abs(samples) > 1)
        if not beyond and samples.max() <= _HIGHEST:
            return samples
        if beyond > _MOST_BEYOND * len(samples):
            what = f"{beyond / len(samples):.0%} of its samples are beyond full scale (-1 to 1)"
            raise AffectkitError(
                "input", what, file=path, remedy="scale it down, for example with ffmpeg -af volume=.1"
            )
        if beyond:
            warn_once("%s: %d samples beyond full scale are clipped for openSMILE", path, beyond)
        return np.clip(samples, -1, _HIGHEST)

    def encode(self, prepared: list[np.ndarray]) -> list[np.ndarray]:
        return prepared
