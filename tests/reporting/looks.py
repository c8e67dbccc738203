"""What any figure owes: every text is large enough, inside the figure, and over no other."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

SMALLEST = 8.0  # points
TOUCH = 0.6  # pixels by which boxes may meet: they are rounded


def texts_of(figure):
    """(text, box in pixels) of all that is drawn and says something."""
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # places all texts
    renderer = canvas.get_renderer()
    drawn = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    hidden = {id(text) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in _beyond(axis)}
    return [(text, text.get_window_extent(renderer)) for text in drawn if id(text) not in hidden]


def _beyond(axis):
    """Labels of ticks outside the limits, and of sides that are switched off, which are never drawn."""
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * max(abs(low), abs(high), 1e-9)
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        inside = low - margin <= tick.get_loc() <= high + margin
        for label in (tick.label1, tick.label2):
            if not inside or not label.get_visible() or not tick.get_visible():
                yield label


def faults(figure):
    """Sentences on texts that are too small, cut off, or lie over each other; none of a figure that is well."""
    found = []
    placed = texts_of(figure)
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in placed:
        said = repr(text.get_text())
        if text.get_fontsize() < SMALLEST:
            found.append(f"{said} has {text.get_fontsize()} points")
        if box.x0 < -TOUCH or box.y0 < -TOUCH or box.x1 > width + TOUCH or box.y1 > height + TOUCH:
            found.append(f"{said} is cut off")
    boxes = np.array([box.extents for _, box in placed]).reshape(-1, 4)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    shared = np.minimum(high, high.transpose(1, 0, 2)) - np.maximum(low, low.transpose(1, 0, 2))
    for one, other in np.argwhere(np.triu((shared > TOUCH).all(axis=2), 1)):
        found.append(f"{placed[one][0].get_text()!r} lies over {placed[other][0].get_text()!r}")
    return found
