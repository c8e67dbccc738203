"""Reports small enough to check by eye, and what is read back from a page or a figure."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from affectkit.artifacts.predictions import Predictions
from affectkit.labels import Target

SAVEFIG = Figure.savefig  # before tests/conftest.py replaces it for the session


@pytest.fixture(scope="module", autouse=True)
def _figures(drawn):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", SAVEFIG)
        yield


def figure(value, width=0.05):
    return {"value": value, "low": value - width, "high": value + width}


@pytest.fixture
def class_report():
    """`class_report(classes, groups=10)`: a report as `assess` makes it, of a class target."""

    def make(classes=("anger", "sadness", "neutral"), groups=10):
        rng = np.random.default_rng(0)
        size = len(classes)
        counts = rng.integers(0, 6, (size, size)) + np.diag(rng.integers(20, 50, size))
        recall = counts.diagonal() / counts.sum(axis=1)
        edges = np.linspace(0, 1, 16)
        bins = [
            {"low": a, "high": b, "n": n, "null_low": a, "null_high": b}
            | {"confidence": (a + b) / 2 if n else None, "accuracy": a if n else None}
            for a, b, n in zip(edges[:-1], edges[1:], range(15), strict=True)
        ]
        return {
            "split": "test",
            "seen": ["heldout"],
            "n": int(counts.sum()),
            "groups": {"column": "speaker", "count": groups},
            "interval": {"method": "jackknife", "level": 0.95},
            "targets": [{"name": "label", "kind": "class", "classes": list(classes)}],
            "metrics": {
                "accuracy": figure(0.8123456789),
                "uar": figure(float(recall.mean())),
                "nll": figure(0.5),
                "ece": {"value": 0.0831, "low": None, "high": None},
            },
            "floors": {"majority": {"accuracy": 0.4, "uar": 1 / size}},
            "per_class": {
                c: {"n": int(counts[i].sum()), "precision": 0.7, "recall": recall[i], "f1": 0.72,
                    "recall_low": max(recall[i] - 0.1, 0.0), "recall_high": min(recall[i] + 0.1, 1.0)}
                for i, c in enumerate(classes)
            },
            "per_group": {f"s{i:02d}": {"n": 10 + i, "uar": 0.5 + i / (2 * groups)} for i in range(groups)},
            "confusion": {"classes": list(classes), "counts": counts.tolist()},
            "calibration": {"bins": bins, "null": {"ece_mean": 0.044, "ece_p95": 0.061}},
            "slices": {"sex=female": {"n": 40, "groups": 5, "metrics": {"uar": figure(0.71)}}},
            "other_targets": {},
            "folds": {"count": 5, "metrics": {"uar": {"mean": 0.61, "sd": 0.07, "folds": 5}}},
            "warnings": ["few groups"],
            "declared": ["speaker-dependent by protocol"],
            "normalization": "inductive",
            "corpora": [{"name": "emodb", "title": "Berlin Database", "licence": "CC0-1.0", "citation": ""}],
            "inputs": [{"name": "predictions.csv", "size": 1234, "sha256": "ab" * 32}],
        }  # fmt: skip

    return make


@pytest.fixture
def number_report():
    """`number_report(rows, groups)`: a report of valence and arousal, and its predictions."""

    def make(rows=500, groups=24, names=("valence", "arousal")):
        rng = np.random.default_rng(0)
        columns, metrics = {"id": [f"r{i}" for i in range(rows)]}, {"ccc": figure(0.6), "mae": figure(0.2)}
        for name in names:
            columns[name] = rng.uniform(-1, 1, rows)
            columns[f"{name}_pred"] = 0.5 * columns[name] + rng.normal(0, 0.2, rows)
            metrics |= {f"{name}.ccc": figure(0.6), f"{name}.mae": figure(0.2)}
        targets = {name: Target(name, "number", scale=(-1.0, 1.0)) for name in names}
        report = {
            "split": "test",
            "seen": ["oof"],
            "n": rows,
            "groups": {"column": "speaker", "count": groups},
            "interval": {"method": "bootstrap", "level": 0.9},
            "targets": [target.to_json() for target in targets.values()],
            "metrics": metrics,
            "floors": {"train_mean": dict.fromkeys(metrics, 0.0)},
            "per_group": {f"s{i:02d}": {"n": 20, "valence.ccc": 0.5} for i in range(groups)},
        }
        return report, Predictions(pd.DataFrame(columns), targets)

    return make


@pytest.fixture
def no_rows():
    """Predictions that have nothing to draw."""
    return Predictions(pd.DataFrame({"id": []}), {})


VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes, text and `<data>` values of a page; fails on tags that do not nest."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.numbers, self.open, self.said, self.rows = [], [], [], [], [], []
        self.feed(page)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "data":
            self.numbers.append(json.loads(dict(attrs)["value"]))
        if tag == "tr":
            self.rows.append([])

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)
        if self.rows and ("td" in self.open or "th" in self.open) and data.strip():
            self.rows[-1].append(data.strip())

    @property
    def text(self):
        return " ".join(" ".join(self.said).split())


@pytest.fixture
def read_page():
    """`read_page(html)`: its tags, attributes, text, numbers and table rows."""
    return Page


@pytest.fixture
def sound():
    """`sound(plot)`: fails on a figure that is not well-formed, named, small and free of NaN; its texts."""

    def check(plot, largest=60_000):
        root = ElementTree.fromstring(plot.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == plot.alt
        assert len(plot.alt) > 10
        assert len(plot.svg) < largest
        drawn = re.sub(r'aria-label="[^"]*"|base64,[^"]*|<text.*?</text>', "", plot.svg.lower(), flags=re.DOTALL)
        assert "nan" not in drawn, "a coordinate is NaN"
        assert "inf" not in drawn, "a coordinate is infinite"
        return [element.text for element in root.iter() if element.tag.endswith("text") and element.text]

    return check
