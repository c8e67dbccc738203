"""What any figure owes: every text is large enough, inside the figure, and over no other."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

SMALLEST = 8.0  # points
TOUCH = 0.6  # pixels by which boxes may meet: they are rounded


def texts_of(figure):
    """(text, box in pixels) of all that is drawn and says something."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
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
    for place, (one, a) in enumerate(placed):
        for other, b in placed[place + 1 :]:
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            along = min(a.y1, b.y1) - max(a.y0, b.y0)
            if across > TOUCH and along > TOUCH:
                found.append(f"{one.get_text()!r} lies over {other.get_text()!r}")
    return found
