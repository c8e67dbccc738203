"""Stages: which parts of a network train, for how long, how fast; a list of them is a training protocol."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import parse_json
from affectkit.registry import Option, options, otherwise, problem
from affectkit.training.settings import Epochs, LearningRate, Patience

Schedule = Literal["one-cycle", "linear", "cosine", "plateau", "constant"]
ScheduleOption = Annotated[Schedule, Option("Schedule of the learning rate within a stage.")]
Warmup = Annotated[float, Option("Share of the steps over which the learning rate rises from 0.", least=0, below=1)]
MinDelta = Annotated[
    float, Option("Smallest change that counts as an improvement.", least=0, flag="--early-stopping-min-delta")
]
_MONITOR = (
    "Column of history.csv by which epochs are compared, such as val_loss; of ordered classes kappa_quadratic or "
    "kappa_linear (disagreement weighs by the squared or plain distance), kappa takes none of it into account."
)
Monitor = Annotated[str, Option(_MONITOR, default="val_uar, or val_ccc of numbers")]
PRESETS = ("full", "frozen", "freeze-unfreeze", "two-stage")
FIND = "find"
DEFAULTS: dict[str, Any] = {
    "epochs": 12,
    "learning_rate": "1e-5",
    "patience": 0,
    "min_delta": 0.0,
}  # of all presets but two-stage
_PATIENT = {"patience": 10, "min_delta": 0.0005}  # what two-stage has where nothing is said
# What a file may say of a stage.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("name", "train", "schedule", "monitor"), ((str,), "a word")),
    **dict.fromkeys(("epochs", "patience"), ((int,), "a whole number")),
    **dict.fromkeys(("warmup", "min_delta"), ((int, float), "a number")),
    "learning_rate": ((int, float, str), "a learning rate"),
}


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
    epochs: Epochs = 1
    learning_rate: LearningRate = "1e-5"
    schedule: ScheduleOption = "linear"
    warmup: Warmup = 0.0
    patience: Patience = 0
    min_delta: MinDelta = 0.0
    monitor: Monitor = ""

    def __post_init__(self) -> None:
        wrong = _problem(self)
        if wrong:
            raise AffectkitError("usage", f"stage '{self.name}': {wrong[0]}", remedy=wrong[1])

    @property
    def finds(self) -> bool:
        """Whether the rate is that of a sweep before the stage."""
        return self.learning_rate == FIND

    def rates(self, swept: float | None) -> tuple[float, float]:
        """(lowest, highest) learning rate, of the first and last part that trains. swept: found by the last sweep.

        Raises "usage" where the rate is a share of one that has not been found.
        """
        ends = []
        for number, is_share in map(_parsed_rate, self.learning_rate.split("..")):
            if is_share and swept is None:
                remedy = "give an earlier stage the rate find"
                raise AffectkitError("usage", f"stage '{self.name}': no rate was found before it", remedy=remedy)
            ends.append(swept / number if is_share and swept else number)
        return ends[0], ends[-1]


@dataclass(frozen=True)
class StageOptions:
    """`--stages`, and what a stage has where neither its preset nor its file says."""

    stages: Annotated[
        str,
        Option(
            "What is trained, and in which order: full (all at once), frozen (the head alone), freeze-unfreeze (the "
            "head at a learning rate that is looked for, then everything), two-stage (the head, with --beside what "
            "mixes the branches, then everything at a hundredth of the rate), or a list of stages, as JSON or the name "
            "of a JSON file."
        ),
    ] = "full"
    epochs: Annotated[int | None, otherwise(Epochs, "12; of two-stage 30, then 100")] = None
    learning_rate: Annotated[str | None, otherwise(LearningRate, "1e-5; of two-stage 1e-3, then a hundredth of it")] = (
        None
    )
    schedule: ScheduleOption = "linear"
    warmup: Warmup = 0.1
    patience: Annotated[int | None, otherwise(Patience, "0; of two-stage 10")] = None
    min_delta: Annotated[float | None, otherwise(MinDelta, "0; of two-stage .0005")] = None
    monitor: Monitor = ""

    @property
    def resolved(self) -> StageOptions:
        """With a value of each; of two-stage, whose stages have their own, as they are."""
        if self.stages == "two-stage":
            return self
        return replace(self, **{name: value for name, value in DEFAULTS.items() if getattr(self, name) is None})

    def read(self) -> list[Stage]:
        """Raises as `preset` and `read_stages` do."""
        common = asdict(self.resolved)
        text = common.pop("stages")
        if text.lstrip().startswith("["):
            return _parsed(text, None, **common)
        return read_stages(Path(text), **common) if text.endswith(".json") else preset(text, **common)


def preset(name: str, *, epochs: Any, learning_rate: Any, **common: Any) -> list[Stage]:
    """The stages of a preset.

    full: everything trains at once. frozen: only the head. freeze-unfreeze: the head for a third of the epochs at a
    rate that a sweep finds, then everything at `learning_rate`, a tenth of it at the input end where it is a number.
    two-stage: the head, then everything at a hundredth of the rate; it takes None for values of its own.
    """
    if name in ("full", "frozen"):
        return [Stage(name, "all" if name == "full" else "head", epochs, learning_rate, **common)]
    if name == "freeze-unfreeze":
        first = max(1, epochs // 3)
        try:
            spread = f"{float(learning_rate) / 10:g}..{float(learning_rate):g}"
        except ValueError:  # to be found, or a range already
            spread = "find/100..find/10" if learning_rate == FIND else learning_rate
        head = Stage("frozen", "head", first, FIND, **{**common, "schedule": "one-cycle"})
        return [head, Stage("unfrozen", "all", max(1, epochs - first), spread, **common)]
    if name == "two-stage":
        rate = learning_rate or "1e-3"
        common |= {key: value for key, value in _PATIENT.items() if common.get(key) is None}
        head = Stage("mixture", "head", epochs or 30, rate, **common)
        return [head, Stage("unfrozen", "all", epochs or 100, _hundredth(rate), **common)]
    raise AffectkitError("usage", f"there are no --stages {name}", remedy=did_you_mean(name, [*PRESETS, "FILE.json"]))


def _hundredth(rate: str) -> str:
    """Of each end of a rate."""
    ends = [_parsed_rate(end) for end in rate.split("..")]
    return "..".join(f"{FIND}/{100 * number:g}" if is_share else f"{number / 100:g}" for number, is_share in ends)


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
        data = parse_json(text)
    except ValueError as error:
        raise AffectkitError("input", f"not JSON: {error}", file=path) from None
    stages = data.get("stages") if isinstance(data, dict) else data
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
        remedy = 'write [{"name": "head", "train": "head", "epochs": 3, "learning_rate": "find"}, ...]'
        raise AffectkitError("input", "is not a list of stages", file=path, remedy=remedy)
    parsed = [_stage(path, number, {**common, **stage}) for number, stage in enumerate(stages, start=1)]
    names = [stage.name for stage in parsed]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise AffectkitError("input", f"has two stages '{twice}'", file=path, remedy="give each a name of its own")
    return parsed


def _stage(path: Path | None, number: int, fields: Mapping[str, Any]) -> Stage:
    values = {"name": f"stage-{number}", **fields}
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


def _problem(stage: Stage) -> tuple[str, str] | None:
    """What is wrong with a stage, and the remedy."""
    if stage.train not in ("all", "head") and not re.fullmatch(r"last-[1-9]\d*", stage.train):
        return f"train '{stage.train}' is no part of a network", "use all, head or last-4"
    for name, parameter in options(Stage).items():
        remedy = problem(parameter.annotation, getattr(stage, name))
        if remedy:
            return f"{name} {getattr(stage, name)}", remedy
    ends = stage.learning_rate.split("..")
    try:
        sound = len(ends) == 1 or (len(ends) == 2 and FIND not in ends)
        sound = sound and all(0 < _parsed_rate(end)[0] < math.inf for end in ends)
    except ValueError:
        sound = False
    if not sound:
        return f"learning rate '{stage.learning_rate}'", "give 1e-5, 1e-6..1e-4, find or find/100..find/10"
    return None


def _parsed_rate(end: str) -> tuple[float, bool]:
    """A rate, or what the rate found last is divided by, and whether it is that. Raises ValueError."""
    name, slash, divisor = end.partition("/")
    if name == FIND:
        return float(divisor) if slash else 1.0, True
    return float(end), False
