"""Small pictures of a corpus in rows, one for each kind of mistake, as one SVG that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from affectkit.plain import xml_text
from affectkit.reporting.figures.palette import INK
from affectkit.reporting.figures.svg import FONTS, shorten
from affectkit.reporting.page import Plot

SIDE, GAP, TEXT = 64, 6, 150  # units of a picture, between pictures, for the words beside a row


def pictures(examples: Sequence[Mapping[str, str]]) -> Plot:
    """examples: `truth`, `predicted`, `id` and `jpeg` in base64, those of one kind together."""
    kinds: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for example in examples:
        kinds.setdefault((example["truth"], example["predicted"]), []).append(example)
    width = TEXT + max(map(len, kinds.values())) * (SIDE + GAP)
    lines = []
    for row, ((truth, predicted), of_kind) in enumerate(kinds.items()):
        top = row * (SIDE + GAP)
        words = f"{escape(shorten(truth))}</tspan><tspan x='0' dy='14'>taken for {escape(shorten(predicted))}"
        lines.append(f'<text y="{top + SIDE // 2 - 4}" font-size="11" fill="{INK}"><tspan x="0">{words}</tspan></text>')
        for place, example in enumerate(of_kind):
            at = f'x="{TEXT + place * (SIDE + GAP)}" y="{top}" width="{SIDE}" height="{SIDE}"'
            name = f"<title>{escape(example['id'])}</title>"
            lines.append(f'<image {at} href="data:image/jpeg;base64,{escape(example["jpeg"])}">{name}</image>')
    alt = xml_text(f"Pictures of {len(kinds)} kinds of mistakes, {len(examples)} in all.")
    box = f'viewBox="0 0 {width} {len(kinds) * (SIDE + GAP)}" font-family="{FONTS}" role="img" aria-label="{alt}"'
    return Plot(xml_text("\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {box}>', *lines, "</svg>\n"])), alt)
