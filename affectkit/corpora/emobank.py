"""EmoBank: 10,062 English sentences with valence, arousal and dominance (text)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row, vad
from affectkit.corpora._files import checked, child, find_home, require_child
from affectkit.corpora._tables import numbers, records
from affectkit.errors import AffectkitError
from affectkit.registry import Option
from affectkit.splits import WORDS
from affectkit.synthesis import scores, texts, twins

CORPUS = Corpus(
    title="EmoBank",
    licence="CC BY-SA 4.0",
    citation="S. Buechel, U. Hahn: EmoBank: Studying the Impact of Annotation Perspective and Representation Format on "
    "Dimensional Emotion Analysis. EACL 2017.",
    url="https://github.com/JULIELab/EmoBank",
    layout="emobank.csv with columns id,split,V,A,D,text",
    reads="text",
    language="en",
    targets=vad(1, 5),
    official="EmoBank's train, dev (val) and test",
    default_group="sequence",
    defects=(
        Defect("text", "36 times a text of EmoBank's train part recurs in its dev (20) or test part (16)"),
        Defect(
            "source",
            "126 of EmoBank's 136 documents have sentences in several parts of its official split, 110 of them in both "
            "train and test",
        ),
    ),
)
DIMENSIONS = {"valence": "V", "arousal": "A", "dominance": "D"}


def read(
    root: Path,
    *,
    perspective: Annotated[
        str, Option("Whose feeling is rated: combined (emobank.csv), reader or writer.")
    ] = "combined",
) -> Iterator[Row | Dropped]:
    """The sentences; `sequence` is the document. Of a single perspective the raters' spread and number come along."""
    if perspective not in ("combined", "reader", "writer"):
        raise AffectkitError("usage", f"--perspective '{perspective}'", remedy="choose combined, reader or writer")
    home, table = find_home(root, CORPUS, lambda folder: child(folder, "emobank.csv"))
    return checked(_rows(home, table, perspective), root, CORPUS)


def _rows(home: Path, table: Path, perspective: str) -> Iterator[Row | Dropped]:
    required = ("id", "split", "text", *DIMENSIONS.values())
    single = {} if perspective == "combined" else _perspective(home, perspective)
    for position, line in enumerate(records(table, required=required), start=1):
        split = WORDS.get(line["split"].strip().lower())
        if split is None:
            yield Dropped(line["id"], f"unknown split '{line['split']}'")
        elif perspective != "combined" and line["id"] not in single:
            yield Dropped(line["id"], f"is not in {perspective}.csv")
        else:
            yield {
                "id": line["id"],
                "path": "",
                "source_label": "",
                **(single.get(line["id"]) or numbers(line, DIMENSIONS, file=table, row=position)),
                "sequence": line["id"].rsplit("_", 2)[0],  # 110CYL068_1036_1079: characters of document 110CYL068
                "language": "en",
                "text": line["text"],
                "split": split,
            }


def _perspective(home: Path, perspective: str) -> dict[str, dict[str, float]]:
    """id -> scores, their standard deviations and the number of raters, from `reader.csv` or `writer.csv`."""
    table = require_child(home, f"{perspective}.csv", remedy="or use --perspective combined")
    columns = DIMENSIONS | {f"{name}_sd": f"std{column}" for name, column in DIMENSIONS.items()} | {"raters": "N"}
    lines = enumerate(records(table, required=("id", *columns.values())), start=1)
    return {line["id"]: numbers(line, columns, file=table, row=position) for position, line in lines}


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: the three tables; `speakers` is the number of documents, the split is by sentence as in life."""
    twins.write_readme(root, "emobank", size=size, speakers=speakers, seed=seed)
    tables: dict[str, list[list[object]]] = {"emobank": [], "reader": [], "writer": []}
    for document, _ in twins.deal(size, [f"doc{n:03d}" for n in range(1, speakers + 1)], {"": 1.0}):
        index = len(tables["reader"])
        rng = twins.generator(seed, "sentence", index)
        valence, arousal, dominance = rng.normal(0, 0.5, 3).clip(-1, 1).tolist()
        affect = (valence, arousal, dominance)
        key, text = f"{document}_{index * 100}_{index * 100 + 60}", texts.sentence(affect, rng)
        means = []
        for perspective in ("reader", "writer"):
            ratings = np.array(scores.rate(affect, (1, 5), rng, raters=5))
            means.append(ratings.mean(axis=0))
            tables[perspective].append([key, *means[-1].round(2), *ratings.std(axis=0).round(2), len(ratings)])
        part = ("train", "train", "train", "train", "dev", "test")[index % 6]
        tables["emobank"].append([key, part, *np.mean(means, axis=0).round(2), text])
    twins.write_rows(root / "emobank.csv", ["id", "split", "V", "A", "D", "text"], tables["emobank"])
    for perspective in ("reader", "writer"):
        header = ["id", "V", "A", "D", "stdV", "stdA", "stdD", "N"]
        twins.write_rows(root / f"{perspective}.csv", header, tables[perspective])
