"""From a matplotlib figure to SVG text, and to PNG: the same bytes on every run, small, readable by a screen reader."""

from __future__ import annotations

import io
import logging
import re
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affectkit.plain import xml_text
from affectkit.reporting.figures.palette import BAND, STYLE, WIDTH
from affectkit.reporting.page import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

FONTS = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
LONGEST_NAME = 22  # characters of a class or speaker that a figure has room for
SMALL_NAME = 18  # of what is above one of three panels
LEGEND_LETTER, LEGEND_HANDLE = 4.9, 42  # points of a legend's letter, and of what stands beside a label
LEGEND_LINE = 0.165  # inches


# --- What every figure is drawn with


@contextmanager
def canvas(height: float, width: float = WIDTH, *, fitted: bool = True) -> Iterator[Figure]:
    """An empty figure, in inches, apart from pyplot's global state; inside, the suite's look, whatever the user's
    matplotlibrc says. fitted: matplotlib makes room for all texts, which takes seconds of thirty panels."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        # The reader's browser has the glyphs; matplotlib only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, height), layout="constrained" if fitted else None)
        FigureCanvasSVG(figure)
        yield figure


@contextmanager
def panel(height: float, width: float = WIDTH) -> Iterator[tuple[Figure, Axes]]:
    """A canvas, and the one panel on it."""
    with canvas(height, width) as figure:
        yield figure, figure.subplots()


def legend_above(figure: Figure, axes: Axes, columns: int = 3, **options: Any) -> None:
    """Of what is labelled in `axes`, if anything is."""
    if axes.get_legend_handles_labels()[0]:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=columns, **options)


def legend_fitting(
    figure: Figure, axes: Axes, *, loc: Literal["outside upper center", "upper center"] = "outside upper center"
) -> int:
    """The same with as many columns as there is room for; the figure grows by its lines, whose number it returns."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return 0
    entry = LEGEND_LETTER * max(map(breadth, labels)) + LEGEND_HANDLE
    columns = max(1, min(len(labels), int(72 * figure.get_figwidth() / entry)))
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * lines)
    figure.legend(handles, labels, loc=loc, ncols=columns)
    return lines


def row_names(axes: Axes, height: np.ndarray, names: Sequence[str], **ticks: Any) -> None:
    """Names to the left of lines drawn across."""
    axes.hlines(height, 0, 1, transform=axes.get_yaxis_transform(), color=BAND, linewidth=0.5, zorder=0)
    axes.set_yticks(height, names)
    axes.tick_params(axis="y", length=0, labelsize=8, **ticks)


def beside_row(axes: Axes, x: float, height: float, text: str, **font: Any) -> None:
    """Write at a height of the axis. x: as a share of the width; above 1, to the right of the panel."""
    axes.text(x, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8, **font)


def breadth(text: str) -> int:
    """How wide a text is, in characters; those of East Asia are twice as wide."""
    return sum(2 if _is_wide(letter) else 1 for letter in text)


def shorten(name: str, most: int = LONGEST_NAME) -> str:
    if breadth(name) <= most:
        return name
    while breadth(name) >= most:
        name = name[:-1]
    return name + "…"


# --- From a figure to text, and to pixels


FORMATS = ("svg", "png")
PNG_DPI = 200  # of a column 1,040 pixels
_wanted: ContextVar[Collection[str]] = ContextVar("formats", default=("svg",))


@contextmanager
def rendering(formats: Collection[str]) -> Iterator[None]:
    """Inside, plots hold these of `FORMATS`, of one drawing; outside, SVG alone."""
    token = _wanted.set(formats)
    try:
        yield
    finally:
        _wanted.reset(token)


def to_plot(figure: Figure, alt: str, *, wide: bool = False) -> Plot:
    """Serialise, in the formats that `rendering` asks for."""
    alt, formats = xml_text(alt), _wanted.get()
    svg = _svg(figure, alt) if "svg" in formats else ""
    return Plot(svg, alt, wide, _png(figure) if "png" in formats else b"")


def _svg(figure: Figure, alt: str) -> str:
    """The salt of the ids is the text alternative, so that no two figures of a page share a clip path."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _slim(xml_text(buffer.getvalue()), alt)


def _png(figure: Figure) -> bytes:
    """Without the program and its version, which are not of the picture."""
    buffer = io.BytesIO()
    _find_glyphs(figure)
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _find_glyphs(figure: Figure) -> None:
    """Give texts that our font cannot write further fonts of this machine; without any, they become boxes."""
    from matplotlib.text import Text

    lacking = [text for text in figure.findobj(Text) if any(map(_is_wide, text.get_text()))]
    if lacking:
        from matplotlib.font_manager import fontManager

        there = {font.name for font in fontManager.ttflist}
        fonts = ["DejaVu Sans", *(name for name in GLYPHS if name in there)]
        if len(fonts) == 1:
            log.warning(
                "this machine has no font for some characters: boxes in PNG stand for them; SVG has them as text"
            )
        for text in lacking:
            text.set_fontfamily(fonts)


# Fonts of systems that have what ours lacks: Chinese, Japanese, Korean, and much else.
GLYPHS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
          "WenQuanYi Micro Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans",
          "Hiragino Sans GB", "Malgun Gothic", "Arial Unicode MS", "Unifont")  # fmt: skip


def _is_wide(letter: str) -> bool:
    """Whether a character is as wide as it is high, as those of East Asia are; our font lacks these."""
    return unicodedata.east_asian_width(letter) in "WF"


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


def inline(svg: str) -> str:
    """The SVG as it stands inside an HTML page, where namespaces go without saying and the page sets the size."""
    head, rest = svg.split(">", 1)
    head = re.sub(r' (?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    return f"{head}>{rest}"


# --- Numbers made ready to be drawn


def finite(values: Any) -> np.ndarray:
    """[N] float64, with NaN for None and for the infinite."""
    numbers = np.asarray(values, float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def values_of(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """[N]: one key of each row; NaN where it is missing or None."""
    return finite([row.get(key) for row in rows])


def limits(values: np.ndarray, scale: Sequence[float] | None, margin: float) -> tuple[float, float]:
    """Of an axis: every value and the scale, with a margin, as a share of their range."""
    ends = np.concatenate([values, np.asarray(scale or [], float)])
    beyond = margin * (ends.max() - ends.min()) or 0.5
    return float(ends.min() - beyond), float(ends.max() + beyond)


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
