"""Colours, and the look that all figures share."""

from __future__ import annotations

from typing import Any

# Okabe and Ito 2008: eight colours that stay apart for every common colour vision deficiency, and in grey print.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
INK, SOFT, BAND, SHADE = "#1f2933", "#7b8794", "#d9dee4", "#f3f4f6"
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
