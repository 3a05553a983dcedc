"""Reads the numbers of a report's page and says where each comes from."""

import csv
import math
import re
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input"}
# A number that is no part of a name: not the 200 of adding-200, nor the 2 of tdnn_2.
NUMBER = re.compile(
    r"(?<![\w.\-])[-\N{MINUS SIGN}]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w*-\w)"
)
UNITS = {"min": 60.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Page(HTMLParser):
    """Collects tags, attributes, tables and the text outside figures; finds unclosed tags."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes = [], [], [], []
        self.tables, self.texts, self.svg_texts = [], [], []
        self.cell = None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = {"text": "", **dict(attrs)}

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        if self.cell is not None:
            self.cell["text"] += data
        elif "svg" in self.open:
            self.svg_texts.append(data)
        elif "style" not in self.open:
            self.texts.append(data)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self.cell)
            self.cell = None


def read_page(out):
    """The page of a report, parsed; every tag in it is closed."""
    page = Page()
    page.feed((out / "index.html").read_text("utf-8"))
    page.close()
    assert page.open == []
    return page


def read_csv(out, name):
    """The rows of a CSV file, as dicts of strings."""
    with (out / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tokens(text):
    """The numbers in a text, as (number, unit or word behind it)."""
    found = []
    for match in NUMBER.finditer(text):
        word = re.match(r"\s*(\S*)", text[match.end() :]).group(1)
        found.append((match.group(), word.rstrip(".,;:)")))
    return found


def rounds_to(value, token, unit=""):
    """Whether `token` is `value` rounded to the digits that it has, in its unit."""
    scaled = value / UNITS.get(unit, 1.0)
    plain = token.replace(",", "").replace("\N{MINUS SIGN}", "-")
    mantissa, _, exponent = plain.partition("e")
    decimals = len(mantissa.partition(".")[2])
    step = 10.0 ** (int(exponent or 0) - decimals)
    if "." not in mantissa and not exponent:
        # 12,300 has three digits: the zeros at its end may be rounded ones.
        zeros = len(mantissa) - len(mantissa.rstrip("0"))
        step = 10.0 ** min(zeros, max(0, len(mantissa.lstrip("-")) - 3))
    return math.isclose(float(plain), scaled, rel_tol=1e-9, abs_tol=0.5001 * step)


def numbers_of(rows):
    """All numbers of a CSV file's rows."""
    found = set()
    for row in rows:
        for cell in row.values():
            try:
                found.add(float(cell))
            except ValueError:
                continue
    return found
