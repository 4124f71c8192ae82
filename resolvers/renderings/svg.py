"""The common parts of pictures: elements, text that fits its place, and the sheet with its title and legend.

Elements are created with ElementTree, which escapes all text and attributes. The width of text can only be estimated:
readers have different fonts.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
INK, GREY, AMBER, RED, BLUE = "#1f2937", "#5b6472", "#b45309", "#c62828", "#2f6fb0"
# XML does not allow characters outside of these, even as references. Control characters are useless too.
NOT_IN_XML = re.compile("[^\t\n\r -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MARGIN, LEAST_WIDTH = 24, 560
TITLE, LINE = 18, 22
Attributes = Mapping[str, float | str]


def clean(text: str) -> str:
    return NOT_IN_XML.sub("", text)


def add(parent: Element, tag: str, content: str | None = None, /, **attributes: float | str) -> Element:
    """Add an element to another. `stroke_width=2` is the attribute stroke-width."""
    written = {name.rstrip("_").replace("_", "-"): _written(value) for name, value in attributes.items()}
    made = SubElement(parent, tag, written)
    made.text = None if content is None else clean(content)
    return made


def _written(value: float | str) -> str:
    return clean(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def width_of(text: str, size: float) -> float:
    """The approximate width of text, too wide rather than too narrow."""
    return size * sum(map(_width, text))


def _width(character: str) -> float:  # in ems
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in "ijlI.,:;!|'()[] ":
        return 0.36
    if character in "mwMW@%—…":
        return 0.95
    return 0.72 if character.isupper() or not character.isascii() else 0.61


def cut(text: str, room: float, size: float, end: str = "") -> str:
    """The text followed by its end. The text is cut with an ellipsis if both do not fit."""
    if width_of(text + end, size) <= room:
        return text + end
    left = room - width_of("…" + end, size)
    kept = 0
    for character in text:
        left -= size * _width(character)
        if left < 0:
            break
        kept += 1
    return text[:kept].rstrip() + "…" + end


class Key(NamedTuple):
    """An entry of a legend: its text, and the function that draws its sample, 26 by 14, from the top left corner."""

    word: str
    draw: Callable[[Element, float, float], object]


class Sheet(NamedTuple):
    """A white page with its title and the lines below it. `y` is where the picture itself begins."""

    root: Element
    y: float

    def text(self) -> str:
        return tostring(self.root, encoding="unicode")


def sheet(width: float, height: float, title: str, description: str, mark: str | None, legend: Sequence[Key]) -> Sheet:
    """A sheet for a picture of this size. The mark is a notice that readers must not miss."""
    width = max(width + 2 * MARGIN, LEAST_WIDTH)
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
    add(root, "title", title, id="picture-title")
    add(root, "desc", description, id="picture-description")
    root.set("aria-labelledby", "picture-title picture-description")
    root.set("font-family", FONT)
    page = add(root, "rect", width="100%", height="100%", fill="#ffffff")
    y = float(MARGIN + TITLE)
    shown = cut(clean(title), width - 2 * MARGIN, TITLE)
    add(root, "text", shown, x=MARGIN, y=y, font_size=TITLE, font_weight=600, fill=INK)
    if mark:
        y += LINE
        add(root, "text", mark, x=MARGIN, y=y, font_size=13, font_weight=600, fill=AMBER)
    y = _legend(root, legend, y, width) + MARGIN
    for name, value in (("width", width), ("height", y + height + MARGIN)):
        root.set(name, _written(value))
        page.set(name, _written(value))
    root.set("viewBox", f"0 0 {root.get('width')} {root.get('height')}")
    return Sheet(root, y)


def _legend(root: Element, legend: Sequence[Key], y: float, width: float) -> float:
    """Draw the entries side by side, in as many rows as they need. Returns the y of the last row."""
    x = float(width)
    for key in legend:
        wide = 34 + width_of(key.word, 12) + 14
        if x + wide > width - MARGIN + 14:
            x, y = MARGIN, y + LINE
        key.draw(root, x, y - 11)
        add(root, "text", key.word, x=x + 34, y=y, font_size=12, fill=GREY)
        x += wide
    return y
