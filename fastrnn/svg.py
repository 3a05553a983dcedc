"""Circles, arrows and labels as an SVG picture that stands alone, on light and dark pages alike.

Lines are of a middle grey, and all text stands on a light ground of its own.
"""

import math
import xml.etree.ElementTree as ET
from typing import NamedTuple

__all__ = ["Circle", "Picture"]

RADIUS = 25.0
_MARGIN = 14.0
_LINE, _STRONG, _TEXT, _PAPER = "#7d8590", "#3f7fd0", "#1c2128", "#eef0f3"
_NAMESPACE = "http://www.w3.org/2000/svg"
_FONT = "Georgia, 'Times New Roman', 'DejaVu Serif', serif"


class Circle(NamedTuple):
    """A node of a picture."""

    x: float
    """Its centre, to the right."""
    y: float
    """Its centre, downwards."""


class Picture:
    """An SVG picture; what is drawn first lies undermost."""

    def __init__(self, title: str, description: str) -> None:
        self._root = ET.Element("svg", {"xmlns": _NAMESPACE, "font-family": _FONT, "role": "img"})
        ET.SubElement(self._root, "title").text = title
        ET.SubElement(self._root, "desc").text = description
        definitions = ET.SubElement(self._root, "defs")
        for name, colour in (("head", _LINE), ("strong-head", _STRONG)):
            size = {"viewBox": "0 0 10 10", "markerWidth": "9", "markerHeight": "9"}
            place = {"refX": "9", "refY": "5", "markerUnits": "userSpaceOnUse", "orient": "auto"}
            marker = ET.SubElement(definitions, "marker", {"id": name, **size, **place})
            ET.SubElement(marker, "path", {"d": "M0 0.5 L10 5 L0 9.5 z", "fill": colour})
        self._layers = [ET.SubElement(self._root, "g") for _ in range(3)]  # lines, labels, circles
        self._right = self._bottom = 0.0

    def circle(self, at: Circle, name: str, fill: str) -> None:
        """Draw a node with its name in it."""
        place = {"cx": _number(at.x), "cy": _number(at.y), "r": _number(RADIUS)}
        look = {"fill": fill, "stroke": _LINE, "stroke-width": "1.5"}
        ET.SubElement(self._layers[2], "circle", {**place, **look})
        self._text(self._layers[2], at.x, at.y, name, 17 if len(name) < 6 else 14)
        self._extend(at.x + RADIUS, at.y + RADIUS)

    def arrow(
        self, start: Circle, end: Circle, label: str = "", *, style: str = "", at: float = 0.5
    ) -> None:
        """Draw a straight arrow between the rims of two circles, with a label at a part of it.

        `style` is "", "strong" or "faint".
        """
        distance = math.hypot(end.x - start.x, end.y - start.y)
        across, down = (end.x - start.x) / distance, (end.y - start.y) / distance
        x1, y1 = start.x + across * RADIUS, start.y + down * RADIUS
        x2, y2 = end.x - across * (RADIUS + 1), end.y - down * (RADIUS + 1)
        path = f"M{_number(x1)} {_number(y1)} L{_number(x2)} {_number(y2)}"
        self._line(path, style)
        if label:
            self._label(x1 + at * (x2 - x1), y1 + at * (y2 - y1), label)

    def loop(self, at: Circle, label: str) -> None:
        """Draw an arrow from a circle back to itself, with the black square of a delay on it."""
        turn, high = RADIUS * 0.55, RADIUS * 0.84
        far = at.x + 84
        path = (
            f"M{_number(at.x + turn)} {_number(at.y - high)} "
            f"C{_number(at.x + 48)} {_number(at.y - 62)} {_number(far)} {_number(at.y - 46)} "
            f"{_number(far)} {_number(at.y)} "
            f"C{_number(far)} {_number(at.y + 46)} {_number(at.x + 48)} {_number(at.y + 62)} "
            f"{_number(at.x + turn)} {_number(at.y + high)}"
        )
        self._line(path, "")
        square = {"x": _number(far - 7), "y": _number(at.y - 7), "width": "14", "height": "14"}
        ET.SubElement(self._layers[1], "rect", {**square, "fill": _TEXT, "stroke": _PAPER})
        self._label(far + 26, at.y, label)
        self._extend(far + 44, at.y + 50)

    def write(self) -> str:
        """Return the picture as the text of an SVG file."""
        width, height = _number(self._right + _MARGIN), _number(self._bottom + _MARGIN)
        self._root.attrib |= {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
        ET.indent(self._root)
        for text in self._root.iter("text"):  # there a line break would be shown as a space
            text.text = None
            for part in text:
                part.tail = None
        return ET.tostring(self._root, encoding="unicode") + "\n"

    def _line(self, path: str, style: str) -> None:
        strong = style == "strong"
        attributes = {
            "stroke": _STRONG if strong else _LINE,
            "stroke-width": "2.2" if strong else "1.5",
            "marker-end": "url(#strong-head)" if strong else "url(#head)",
        }
        if style == "faint":
            attributes["opacity"] = "0.55"
        ET.SubElement(self._layers[0], "path", {"d": path, "fill": "none", **attributes})

    def _label(self, x: float, y: float, text: str) -> None:
        index = sum(character in "0123456789[" for character in text)
        width = 12 + 9 * len(text) - 5 * index
        place = {"x": _number(x - width / 2), "y": _number(y - 11), "rx": "8"}
        size = {"width": _number(width), "height": "22", "fill": _PAPER}
        ET.SubElement(self._layers[1], "rect", {**place, **size})
        self._text(self._layers[1], x, y, text, 15)

    def _text(self, parent: ET.Element, x: float, y: float, text: str, size: int) -> None:
        """Write a name: letters in italics, an index after them (that of W0[1]) as subscript."""
        letters = text.rstrip("()-0123456789[]")
        index, _, time = text[len(letters) :].partition("(")
        place = {"x": _number(x), "y": _number(y + 0.34 * size), "text-anchor": "middle"}
        element = ET.SubElement(parent, "text", {**place, "font-size": str(size), "fill": _TEXT})
        ET.SubElement(element, "tspan", {"font-style": "italic"}).text = letters
        shift = 0
        if index:
            shift = 4
            small = {"dy": str(shift), "font-size": str(round(0.72 * size))}
            ET.SubElement(element, "tspan", small).text = index.replace("[", ",").rstrip("]")
        if time:
            ET.SubElement(element, "tspan", {"dy": str(-shift)}).text = "(" + time

    def _extend(self, right: float, bottom: float) -> None:
        self._right, self._bottom = max(self._right, right), max(self._bottom, bottom)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
