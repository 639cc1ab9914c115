"""SVG, written piece by piece, with everything escaped.

A picture is one file that needs nothing else: no scripts, no fonts from elsewhere, colours for
light and dark pages, and details as tooltips (`<title>`).  Colours are classes in a style sheet, in
plain rules that programs which know little CSS follow as well.  Names of tasks and files may be
hostile: all text goes through `escape`, in the one place where text becomes part of a picture.

Nobody measures text here: `text_width` estimates it for the usual sans-serif fonts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .._display import one_line, printable
from .._status import CACHED, CANCELLED, DONE, FAILED, KILLED, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Union

    Number = Union[int, float]

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"

STATUS_COLOURS = {  # Line and fill on a light page, then on a dark one.
    DONE: ("#2c974b", "#f1faf3", "#3fb950", "#12261b"),
    CACHED: ("#1f7fa8", "#eff8fc", "#56b3d8", "#10242e"),
    FAILED: ("#cf222e", "#fff0ef", "#f85149", "#321416"),
    RUNNING: ("#b07d00", "#fff9e8", "#d8a528", "#2b2210"),
    CANCELLED: ("#8250df", "#f8f3ff", "#a78bfa", "#211a35"),
    KILLED: ("#a4327f", "#fff0f8", "#e277bd", "#301426"),
}
_NEUTRAL = ("#8c959f", "#ffffff", "#7d8590", "#161b22")

# Each is told from its neighbours on a light and on a dark page, and by most colour-blind people:
# the palette of M. Okabe and K. Ito (2008), its yellow darker, and some between.
SERIES = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8a7f00",
    "#7d5ba6",
    "#5b8c5a",
    "#a0665c",
)

_LONGEST = 300  # Characters of a text that are looked at.
_NARROW = "ijltfrI.,:;'|!()[]{} /-`\\\""
_WIDE = "mwMW@%—…×"


def escape(text: str) -> str:
    """Return text as it may stand in an element or an attribute, control characters made visible.

    >>> escape('<a href="x">&\\x00')
    '&lt;a href=&quot;x&quot;&gt;&amp;\\\\x00'
    """
    text = printable(text)
    for char, entity in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "#39")):
        text = text.replace(char, f"&{entity};")
    return text


def text_width(text: str, size: float, is_bold: bool = False) -> float:
    """Return about how wide a text is.

    >>> 50 < text_width("align_reads", 12) < 80
    True
    """
    ems = 0.0
    for char in text:
        if char in _NARROW:
            ems += 0.32
        elif char in _WIDE:
            ems += 0.89
        elif char.isupper():
            ems += 0.70
        elif ord(char) > 0x2E80:
            ems += 1.0
        else:
            ems += 0.57
    return ems * size * (1.06 if is_bold else 1.0)


def fit(text: str, size: float, width: float, is_bold: bool = False) -> str:
    """Return text cut in its middle to a width: both ends of a name tell something."""
    text = text[:_LONGEST]
    if text_width(text, size, is_bold) <= width:
        return text
    keep = len(text)
    while True:
        keep -= 1
        end = keep * 2 // 5
        short = f"{text[: keep - end]}…{text[len(text) - end :]}"
        if keep < 3 or text_width(short, size, is_bold) <= width:
            return short


def number(value: Number) -> str:
    """Return a coordinate, to a tenth.

    >>> number(12), number(0.25), number(-0.01)
    ('12', '0.2', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


class Svg:
    """A picture that is being written.

    Parameters
    ----------
    width, height
        Its size.
    title
        What it shows, for those who cannot see it.
    rules
        More rules of its style sheet, on a light page.
    dark_rules
        What is different on a dark page.
    """

    def __init__(
        self,
        width: Number,
        height: Number,
        title: str,
        rules: Iterable[str] = (),
        dark_rules: Iterable[str] = (),
    ) -> None:
        size = f'width="{number(width)}" height="{number(height)}"'
        self._open: list[str] = ["svg"]
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            f'viewBox="0 0 {number(width)} {number(height)}" role="img">',
            f"<title>{escape(title)}</title>",
            "<style>",
            *_style(rules, dark_rules),
            "</style>",
        ]
        self.rect(0, 0, width, height, "page")

    def text_of(self) -> str:
        """Return what was written, and end it."""
        while self._open:
            self.end()
        return "\n".join(self._lines) + "\n"

    # Elements

    def begin(
        self, tag: str, class_name: str = "", tip: str = "", **attributes: Number | str
    ) -> None:
        """Open an element."""
        self._lines.append(f"<{tag}{_attributes(class_name, attributes)}>")
        self._open.append(tag)
        if tip:
            self._lines.append(f"<title>{escape(tip)}</title>")

    def end(self) -> None:
        """Close the last element that was opened."""
        self._lines.append(f"</{self._open.pop()}>")

    def element(
        self, tag: str, class_name: str = "", tip: str = "", **attributes: Number | str
    ) -> None:
        """Write an element, with a tooltip if there is something to tell."""
        head = f"<{tag}{_attributes(class_name, attributes)}"
        self._lines.append(f"{head}><title>{escape(tip)}</title></{tag}>" if tip else f"{head}/>")

    def rect(
        self,
        x: Number,
        y: Number,
        width: Number,
        height: Number,
        class_name: str,
        radius: Number = 0,
        tip: str = "",
    ) -> None:
        more: dict[str, Number | str] = {"rx": radius} if radius else {}
        self.element("rect", class_name, tip, x=x, y=y, width=width, height=height, **more)

    def path(self, d: str, class_name: str, tip: str = "") -> None:
        self.element("path", class_name, tip, d=d)

    def text(self, x: Number, y: Number, text: str, class_name: str) -> None:
        """Write a line of text; its class says where on it (x, y) is."""
        head = _attributes(class_name, {"x": x, "y": y})
        self._lines.append(f"<text{head}>{escape(one_line(text))}</text>")

    def status(self, x: Number, y: Number, status: str) -> None:
        """Draw the mark of a status, 10 wide, with its centre at (x, y)."""
        for d in _MARKS.get(status, ()):
            where = f"translate({number(x)} {number(y)})"
            self.element("path", f"mark s-{status.lower()}", d=d, transform=where)


# Shapes tell statuses apart where colours do not.
_MARKS = {
    DONE: ("M-4 0.5 L-1.2 3.5 L4.2 -3.5",),
    CACHED: ("M-4 -1.8 L4 -1.8 M-4 1.8 L4 1.8",),
    FAILED: ("M-3.4 -3.4 L3.4 3.4 M3.4 -3.4 L-3.4 3.4",),
    RUNNING: ("M-2.5 -3.8 L3.5 0 L-2.5 3.8 Z",),
    CANCELLED: ("M-4 0 A4 4 0 1 1 4 0 A4 4 0 1 1 -4 0 M-2.8 2.8 L2.8 -2.8",),
    KILLED: ("M-3.3 -3.3 L3.3 -3.3 L3.3 3.3 L-3.3 3.3 Z",),
}


def _attributes(class_name: str, attributes: dict[str, Number | str]) -> str:
    named = {"class": class_name, **attributes} if class_name else attributes
    return "".join(
        f' {name.replace("_", "-")}="{escape(value) if isinstance(value, str) else number(value)}"'
        for name, value in named.items()
    )


def _style(rules: Iterable[str], dark_rules: Iterable[str]) -> Iterator[str]:
    yield from (
        f"text {{ font-family: {FONT}; font-size: 12px; fill: #1f2328; }}",
        ".page { fill: #ffffff; }",
        ".title { font-size: 14px; font-weight: 600; }",
        ".name { font-weight: 600; }",
        ".small { font-size: 10.5px; }",
        ".faint { fill: #59636e; }",
        ".middle { text-anchor: middle; }",
        ".right { text-anchor: end; }",
        ".mark { fill: none; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }",
        f".s-none {{ stroke: {_NEUTRAL[0]}; }}",
        f".box {{ fill: {_NEUTRAL[1]}; stroke-width: 1.2; }}",
    )
    for status, (line, fill, _, _) in STATUS_COLOURS.items():
        yield f".s-{status.lower()} {{ stroke: {line}; }}"
        yield f".box.s-{status.lower()} {{ fill: {fill}; }}"
    yield from rules
    yield "@media (prefers-color-scheme: dark) {"
    yield "text { fill: #e6edf3; }"
    yield ".page { fill: #0d1117; }"
    yield ".faint { fill: #9198a1; }"
    yield f".s-none {{ stroke: {_NEUTRAL[2]}; }}"
    yield f".box {{ fill: {_NEUTRAL[3]}; }}"
    for status, (_, _, line, fill) in STATUS_COLOURS.items():
        yield f".s-{status.lower()} {{ stroke: {line}; }}"
        yield f".box.s-{status.lower()} {{ fill: {fill}; }}"
    yield from dark_rules
    yield "}"
