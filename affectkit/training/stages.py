"""Stages: which parts of a network train, for how long, how fast; a list of them is a training protocol."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from affectkit.errors import AffectkitError, did_you_mean

Schedule = Literal["one-cycle", "linear", "cosine", "plateau", "constant"]
PRESETS = ("full", "frozen", "freeze-unfreeze")
FIND = "find"
# What a file may say of a stage.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("name", "train", "schedule", "monitor"), ((str,), "a word")),
    **dict.fromkeys(("epochs", "patience"), ((int,), "a whole number")),
    **dict.fromkeys(("warmup", "min_delta"), ((int, float), "a number")),
    "learning_rate": ((int, float, str), "a learning rate"),
}
_RATE = re.compile(rf"({FIND}(?:/(?P<divisor>[^/]+))?|(?P<number>[^/]+))")


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    train: "all", "head", or "last-K": the head and the K parts before it. Parts that do not train are in eval mode:
    no dropout, no batch-norm statistics. epochs: at most. learning_rate: a number; "LOW..HIGH", spread geometrically
    from the first to the last part that trains; "find", the valley of a sweep made before the stage; either end may be
    "find/100": a share of the rate found last. warmup: share of the steps in which the rate rises from 0 (one-cycle:
    .25 as fastai has it, unless given). patience: epochs without a better `monitor` by `min_delta`, after which the
    stage ends; 0 never ends it early. monitor: a column of the history; "" is the UAR of a class target, the mean CCC
    of numbers, the loss of several classes or of both.
    """

    name: str
    train: str = "all"
    epochs: int = 1
    learning_rate: str = "1e-5"
    schedule: Schedule = "linear"
    warmup: float = 0.0
    patience: int = 0
    min_delta: float = 0.0
    monitor: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise AffectkitError("usage", f"stage '{self.name}': {problem[0]}", remedy=problem[1])

    @property
    def finds(self) -> bool:
        """Whether the rate is that of a sweep before the stage."""
        return self.learning_rate == FIND

    def rates(self, found: float | None) -> tuple[float, float]:
        """(lowest, highest) learning rate, of the first and last part that trains. found: by the last sweep.

        Raises "usage" where the rate is a share of one that has not been found.
        """
        ends = [_value(end, found, self.name) for end in self.learning_rate.split("..")]
        return ends[0], ends[-1]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def named_stages(text: str, *, epochs: int, learning_rate: str, **common: Any) -> list[Stage]:
    """What `--stages` names: a preset, or a JSON file (or its text), whose stages may leave out what the options say.

    common: schedule, warmup, patience, min_delta, monitor. Raises as `preset` and `read_stages` do.
    """
    if text.lstrip().startswith("["):
        return _parsed(text, None, epochs=epochs, learning_rate=learning_rate, **common)
    if text.endswith(".json"):
        return read_stages(Path(text), epochs=epochs, learning_rate=learning_rate, **common)
    return preset(text, epochs=epochs, learning_rate=learning_rate, **common)


def preset(name: str, *, epochs: int, learning_rate: str, **common: Any) -> list[Stage]:
    """The stages of a preset.

    full: everything trains at once. frozen: only the head. freeze-unfreeze: the head for a third of the epochs at a
    rate that a sweep finds, then everything at `learning_rate`, a tenth of it at the input end where it is a number.
    """
    if name == "full":
        return [Stage("full", "all", epochs, learning_rate, **common)]
    if name == "frozen":
        return [Stage("frozen", "head", epochs, learning_rate, **common)]
    if name == "freeze-unfreeze":
        first = max(1, epochs // 3)
        spread = "find/100..find/10" if learning_rate == FIND else _spread(learning_rate)
        head = Stage("frozen", "head", first, FIND, **{**common, "schedule": "one-cycle"})
        return [head, Stage("unfrozen", "all", max(1, epochs - first), spread, **common)]
    raise AffectkitError("usage", f"there are no --stages {name}", remedy=did_you_mean(name, [*PRESETS, "FILE.json"]))


def read_stages(path: Path, **common: Any) -> list[Stage]:
    """Stages from a JSON file: a list of objects, or an object whose "stages" is one.

    common: values for what a stage does not say. Raises "missing", "input" or "usage" naming the stage and the field.
    """
    try:
        return _parsed(Path(path).read_text(encoding="utf-8-sig"), path, **common)
    except FileNotFoundError:
        raise AffectkitError("missing", "no such file of stages", file=path) from None


def _parsed(text: str, path: Path | None, **common: Any) -> list[Stage]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise AffectkitError("input", f"not JSON: {error}", file=path) from None
    stages = data.get("stages") if isinstance(data, dict) else data
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
        remedy = 'write [{"name": "head", "train": "head", "epochs": 3, "learning_rate": "find"}, ...]'
        raise AffectkitError("input", "is not a list of stages", file=path, remedy=remedy)
    return [_stage(path, number, {**common, **stage}) for number, stage in enumerate(stages, start=1)]


def _stage(path: Path | None, number: int, given: Mapping[str, Any]) -> Stage:
    values = {"name": f"stage-{number}", **given}
    for key, value in values.items():
        if key not in _KINDS:
            remedy = did_you_mean(key, list(_KINDS))
            raise AffectkitError("input", f"stage {number} has an unknown '{key}'", file=path, remedy=remedy)
        kinds, what = _KINDS[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise AffectkitError("input", f"stage {number}: {key} {value!r} is not {what}", file=path)
    try:
        return Stage(**{**values, "learning_rate": str(values.get("learning_rate", Stage.learning_rate))})
    except AffectkitError as error:
        raise AffectkitError("input", error.message, file=path, remedy=error.remedy) from None


def _spread(rate: str) -> str:
    try:
        return f"{float(rate) / 10:g}..{float(rate):g}"
    except ValueError:
        return rate  # a range already


def _problem(stage: Stage) -> tuple[str, str] | None:
    """What is wrong with a stage, and the remedy."""
    if stage.train not in ("all", "head") and not re.fullmatch(r"last-[1-9]\d*", stage.train):
        return f"train '{stage.train}' is no part of a network", "use all, head or last-4"
    if stage.epochs < 1:
        return f"{stage.epochs} epochs", "give 1 or more"
    if stage.schedule not in get_args(Schedule):
        return f"there is no schedule '{stage.schedule}'", f"use {', '.join(get_args(Schedule))}"
    if not 0 <= stage.warmup < 1:
        return f"warm-up {stage.warmup:g} is not a share of the steps", "give 0 to 1"
    if stage.patience < 0 or stage.min_delta < 0:
        return "patience and min_delta are not negative", "use 0 for none"
    ends = stage.learning_rate.split("..")
    if len(ends) > 2 or (FIND in ends and len(ends) > 1) or not all(_is_rate(end) for end in ends):
        return f"learning rate '{stage.learning_rate}'", "give 1e-5, 1e-6..1e-4, find or find/100..find/10"
    return None


def _is_rate(text: str) -> bool:
    match = _RATE.fullmatch(text)
    if not match:
        return False
    try:
        value = float(match["divisor"] or match["number"] or 1)
    except ValueError:
        return False
    return 0 < value < math.inf


def _value(end: str, found: float | None, stage: str) -> float:
    match = _RATE.fullmatch(end)
    assert match  # checked when the stage was made
    if match["number"]:
        return float(match["number"])
    if found is None:
        raise AffectkitError(
            "usage", f"stage '{stage}': no rate was found before it", remedy="give an earlier stage the rate find"
        )
    return found / float(match["divisor"] or 1)
