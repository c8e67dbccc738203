"""What a network paid attention to, as a section of the page of its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.tables import read_table, to_numbers
from affectkit.errors import AffectkitError
from affectkit.reporting.figures.attention import entropy_shares, weight_curves
from affectkit.reporting.page import Figure, Section, Sentence, Table, figure

if TYPE_CHECKING:
    import pandas as pd

ATTENTION, CURVES = "attention.csv", "attention_curves.csv"
READ = (
    "How much weight every head gave to each step, on all rows that judge the model, of every part: the weights of a "
    "row are those of the fit that predicted it, which never saw the row. Beside them is the uniform weight, 1/T of "
    "each of T steps. Entropy says how close to it the weights of a row are: as a share of ln T, 1 where "
    "all steps weigh alike, 0 where one has all the weight."
)
MEANS = (
    "Attention is no explanation. Weights say what was read, not what an answer rests on: other weights may give the "
    "same answer, what was read may have counted for little, and every set also speaks for itself, past all attention. "
    "A flat curve may hide heads that choose by what steps hold, at another place in each row: then entropy is low all "
    "the same. Whether the order of steps matters, a run with --positions none tells."
)
AGAIN = "train it again with --export-attention"
NUMBERS = ("head", "steps", "entropy", "uniform", "share", "peak_weight")


def attention_section(folder: Path) -> list[Section]:
    """Of a run with --export-attention; of others none."""
    if not (folder / ATTENTION).exists():
        return []
    rows, curves = _read(folder / ATTENTION, NUMBERS), _read(folder / CURVES, ("head", "from", "to", "weight", "null"))
    figures: list[Figure] = []
    cells: dict[str, list[Any]] = {}
    for (query, asked), of_pair in rows.groupby(["query", "set"], sort=False):
        pair = f"{query} attends to {asked}"
        of_curves = curves[(curves["query"] == query) & (curves["set"] == asked)]
        if of_curves.empty:
            raise AffectkitError("input", f"has no curves of {query} and {asked}", file=folder / CURVES, remedy=AGAIN)
        figures += _figures(pair, f"{query}-{asked}", of_pair, of_curves)
        for head, of_head in of_pair.groupby("head"):
            known = of_head["share"].dropna()
            median = known.median() if len(known) else None
            peak, uniform = of_head["peak_weight"].mean(), (1 / of_head["steps"]).mean()
            cells[f"{pair}, head {head:g}"] = [median, peak, uniform]
    columns = ["entropy / ln T, median", "largest weight, mean", "uniform 1/T, mean"]
    table = Table(f"Each head, over {rows['id'].nunique()} rows.", "head", columns, cells, file=ATTENTION)
    return [Section("Attention", text=[READ, *_single(rows)], tables=[table], figures=figures, note=MEANS)]


def _single(rows: pd.DataFrame) -> list[Sentence]:
    """Rows that left nothing to choose."""
    count = rows.loc[rows["steps"] == 1, "id"].nunique()
    return [(count, " rows have a single step: their weights are 1, and their entropy has no share.")] if count else []


def _figures(pair: str, name: str, rows: pd.DataFrame, curves: pd.DataFrame) -> list[Figure]:
    """pair: in words. name: in those of files."""
    by_head = {int(head): part for head, part in curves.groupby("head")}
    first = next(iter(by_head.values()))
    edges = np.append(first["from"].to_numpy(), first["to"].to_numpy()[-1])
    same = int(rows["steps"].iloc[0]) if rows["steps"].nunique() == 1 else None
    steps = same if same == len(first) else None
    weights = {head: part["weight"].to_numpy() for head, part in by_head.items()}
    caption = (
        f"{pair}: the mean weight of each {'step' if steps else 'part of the row'}, over {rows['id'].nunique()} rows."
    )
    look: dict[str, Any] = {"steps": steps, "pair": pair}
    made = [figure(f"attention_{name}", caption, weight_curves, weights, edges, first["null"].to_numpy(), **look)]
    shares = {int(head): part["share"].dropna().to_numpy() for head, part in rows.groupby("head")}
    if any(map(len, shares.values())):
        caption = f"{pair}: entropy of the weights of a row. Bars hold the middle half of the rows, lines nine tenths."
        made.append(figure(f"attention_entropy_{name}", caption, entropy_shares, shares, pair=pair))
    return made


def _read(file: Path, numbers: tuple[str, ...]) -> pd.DataFrame:
    table = read_table(file, required=["query", "set", *numbers])
    return table.assign(**{name: to_numbers(table[name], file=file, column=name) for name in numbers})
