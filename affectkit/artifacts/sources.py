"""What `NAME=PATH` names on a command line: predictions or a table of features, and the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affectkit.artifacts.features import Features, read_features
from affectkit.artifacts.models import BEST, FIT_ROWS, SPEC, read_fit_rows, read_spec
from affectkit.artifacts.prediction_reader import has_predictions, parse_predictions
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.records import require_finished
from affectkit.artifacts.tables import read_table
from affectkit.errors import AffectkitError
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Source:
    """A named source. path: the table. model: the `best_model/` whose run wrote it, None for a table of any other tool.

    One of predictions and features is there. fitted: what the model was fitted on (`fit_rows.csv`), empty if unknown.
    """

    name: str
    path: Path
    model: Path | None
    fitted: pd.DataFrame
    predictions: Predictions | None = None
    features: Features | None = None

    def table(self) -> Predictions:
        """Its predictions. Raises "input" for a source of features."""
        if self.predictions is None:
            raise AffectkitError("input", "holds features, not predictions", file=self.path)
        return self.predictions


def named_paths(given: Sequence[str], *, least: int = 1) -> dict[str, Path]:
    """`["speech=runs/a", "text=b.csv"]` by name, in order. Raises "usage" for a name that lacks or stands twice."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name.strip() or not path or set(name) & set("/\\"):
            raise AffectkitError(
                "usage", f"'{text}' is not NAME=PATH", remedy="write speech=runs/speech/predictions.csv"
            )
        if name in found:
            raise AffectkitError("usage", f"the name '{name}' stands twice", remedy="give each source its own")
        found[name] = Path(path)
    if len(found) < least:
        raise AffectkitError("usage", f"{len(found)} source, at least {least} are needed", remedy="name more NAME=PATH")
    return found


def predictions_path(path: Path) -> Path:
    """The table: `path` itself, or the `predictions.csv` of a run folder."""
    if not path.is_dir():
        return path
    require_finished(path)
    if not (path / PREDICTIONS).exists():
        raise AffectkitError("missing", f"holds no {PREDICTIONS}", file=path, remedy="name a run folder, or a CSV")
    return path / PREDICTIONS


def called(path: Path) -> str:
    """What tells a source from others: the run's folder, where the file or model in it is called as everywhere."""
    return (path.name in (PREDICTIONS, BEST) and path.parent.name) or path.name


def read_source(
    name: str, path: Path, *, targets: Sequence[Target] = (), treat_as: str | None = None, tables: bool = False
) -> Source:
    """Read predictions, and find the model that stands beside them.

    treat_as: as in `read_predictions`. tables: a CSV without predictions, or a features folder, is taken as features.
    """
    if tables and path.is_dir() and (path / "encoder.json").exists():
        return Source(name, path, None, _nothing(), features=read_features(path))
    file = predictions_path(path)
    table = read_table(file, required=["id"])
    if tables and not has_predictions(table.columns):
        return Source(name, file, None, _nothing(), features=read_features(file))
    model = file.parent / BEST
    found = model if file.name == PREDICTIONS and (model / SPEC).exists() else None
    predictions = parse_predictions(table, file, targets=[*targets, *_targets_of(found)], treat_as=treat_as)
    fitted = read_fit_rows(file.parent) if (file.parent / FIT_ROWS).exists() else _nothing()
    return Source(name, file, found, fitted, predictions=predictions)


def _targets_of(model: Path | None) -> list[Target]:
    """A model's targets: its table does not say their scales."""
    return [Target.from_json(t) for t in read_spec(model)["targets"]] if model else []


def _nothing() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=["id", "group", "role"])
