"""From a matplotlib figure to SVG text: the same bytes on every run, small, readable by a screen reader."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from affectkit.reporting.page import Plot

# Okabe and Ito 2008: eight colours that stay apart for every common colour vision deficiency, and in grey print.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, SOFT, BAND = "#1f2933", "#7b8794", "#d9dee4"
FONTS = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
LONGEST_NAME = 22  # characters of a class or speaker that a figure has room for
WIDTH = 5.2  # inches; one column of the report

STYLE: dict[Any, Any] = {
    # Text stays text: it can be searched, selected and read aloud, and a class named in Chinese needs no font of ours.
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # to measure with; it comes with matplotlib
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.dpi": 72.0,
    "savefig.dpi": 144.0,  # of the rasterised clouds of points
    "path.simplify": True,
}


@contextmanager
def style() -> Iterator[None]:
    """The suite's look, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        # The reader's browser has the glyphs; matplotlib only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def canvas(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, in inches, apart from pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def to_plot(figure: Figure, alt: str, *, wide: bool = False) -> Plot:
    """Serialise. The salt of the ids is the text alternative, so that no two figures of a page share a clip path."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Plot(_slim(buffer.getvalue(), alt), alt, wide)


def _slim(svg: str, alt: str) -> str:
    """Drop the prolog, the metadata and every idle id; name the picture for those who cannot see it."""
    svg = svg[svg.index("<svg ") :]
    for part in (r"<metadata>.*?</metadata>", r"<style .*?</style>", r"<!--.*?-->"):
        svg = re.sub(part, "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(r"<[^>]+>", lambda tag: _slim_tag(tag[0], used), svg)
    svg = re.sub(r"\n\s*", "\n", svg).replace("<defs>\n</defs>\n", "")
    root = f'<svg role="img" aria-label="{escape(alt, quote=True)}" font-family="{FONTS}" stroke-linejoin="round" '
    return svg.replace("<svg ", root, 1).strip() + "\n"


def _slim_tag(tag: str, used: set[str]) -> str:
    """One tag (never the text of a label): no idle id, no font (the root has it), two decimals of a point."""
    tag = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", tag)
    tag = re.sub(r"font-family: [^;\"]+; ?| transform=\"rotate\(-0 [^\"]+\"", "", tag)
    tag = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), tag)
    return re.sub(r" ?\n", " ", tag)


def shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def inline(svg: str) -> str:
    """The SVG as it stands inside an HTML page, where namespaces go without saying and the page sets the size."""
    head, rest = svg.split(">", 1)
    head = re.sub(r' (?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    return f"{head}>{rest}"


# --- Numbers made ready to be drawn


def finite(values: Any) -> np.ndarray:
    """[N] float64, with NaN for None and for the infinite."""
    found = np.asarray(values, float)
    return np.where(np.isfinite(found), found, np.nan)


def values_of(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """[N]: one key of each row; NaN where it is missing or None."""
    return finite([row.get(key) for row in rows])


def thinned(x: Any, y: Any, most: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A curve's known points in the order of x; of many, those nearest to evenly spaced x, and both ends."""
    x, y = finite(x), finite(y)
    known = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[known], kind="stable")
    x, y = x[known][order], y[known][order]
    if len(x) <= most:
        return x, y
    places = np.searchsorted(x, np.linspace(x[0], x[-1], most - 1))
    places = np.unique(np.append(places, len(x) - 1))
    return x[places], y[places]
