"""Boxes and arrows, and how they look: as SVG, as DOT, as Mermaid.

What is to be drawn is a tree of boxes, with arrows between those that have the same box around
them.  So each box with others inside is laid out by itself, and is one box for what is around it:
`layout` never hears of nesting.  `graph` says what the boxes stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .._display import one_line
from .._status import DONE
from . import layout
from .svg import STATUS_COLOURS, Svg, fit, number, text_width

JOB = "job"
FILE = "file"

_NAME_SIZE = 12.0
_SMALL_SIZE = 10.5
_LINE = 14.0
_PAD = 9.0
_MARK = 16.0  # What the mark of a status takes at the left of a name.
_LEAST_WIDTH = 64.0
_MOST_TEXT = 210.0
_STACK = 3.0  # How far the box below peeps out of a pile.
_INSIDE = 12.0  # Around what is inside a box.
_MARGIN = 16.0
_HEAD = 44.0  # Title and a line below it.
_FOOT_LINE = 15.0


class Arrow(NamedTuple):
    """An arrow between two boxes with the same box around them, by their numbers therein."""

    source: int
    target: int
    label: str = ""
    tip: str = ""


class Box:
    """A box.

    Attributes
    ----------
    kind
        `JOB` or `FILE`.
    name, lines
        What is written in it.
    tip
        What is told besides.
    status
        Status of what it stands for, the one that matters most; empty if it has none.
    is_pile
        Whether it stands for several.
    is_start
        Whether the picture is about it.
    boxes, arrows
        What is inside.
    """

    __slots__ = ("arrows", "boxes", "is_pile", "is_start", "kind", "lines", "name", "status", "tip")

    def __init__(
        self,
        kind: str,
        name: str,
        lines: list[str],
        tip: str = "",
        status: str = "",
        is_pile: bool = False,
        is_start: bool = False,
    ) -> None:
        self.kind = kind
        self.name = name
        self.lines = lines
        self.tip = tip
        self.status = status
        self.is_pile = is_pile
        self.is_start = is_start
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []


class Picture(NamedTuple):
    """What is to be drawn.

    Attributes
    ----------
    title, subtitle
        What it shows.
    boxes, arrows
        The outermost ones.
    notes
        What is to be said below.
    """

    title: str
    subtitle: str
    boxes: list[Box]
    arrows: list[Arrow]
    notes: list[str]


# SVG


class _Placed(NamedTuple):
    """Boxes that have one box around them, laid out."""

    inside: list[_Placed | None]
    sizes: list[tuple[float, float]]
    layout: layout.Layout


_RULES = (
    ".group { fill: #818b98; fill-opacity: 0.07; stroke-width: 1; stroke-opacity: 0.55; }",
    ".below { fill: none; stroke-width: 1; stroke-opacity: 0.55; }",
    ".file { fill: #fdfcf7; stroke: #8c7a4a; stroke-width: 1.2; }",
    ".start { stroke-width: 2.4; }",
    ".arrow { fill: none; stroke: #818b98; stroke-width: 1.3; }",
    ".head { fill: #818b98; }",
    ".on { fill: #ffffff; }",
)
_DARK_RULES = (
    ".group { fill: #9198a1; }",
    ".file { fill: #1d1b14; stroke: #b3a06b; }",
    ".arrow { stroke: #7d8590; }",
    ".head { fill: #7d8590; }",
    ".on { fill: #0d1117; }",
)


def to_svg(picture: Picture) -> str:
    """Return a picture as SVG."""
    placed = _place(picture.boxes, picture.arrows)
    head_width = max(text_width(picture.title, 14, True), text_width(picture.subtitle, _SMALL_SIZE))
    notes = [note for note in picture.notes if note]
    foot_width = max((text_width(note, _SMALL_SIZE) for note in notes), default=0.0)
    width = max(placed.layout.width, min(head_width, 900.0), foot_width) + 2 * _MARGIN
    statuses = _statuses(picture.boxes)
    lines = len(notes) + bool(statuses)
    foot = lines * _FOOT_LINE + 8 if lines else 0.0
    height = _MARGIN + _HEAD + placed.layout.height + foot + _MARGIN
    svg = Svg(width, height, f"{picture.title}. {picture.subtitle}", _RULES, _DARK_RULES)
    room = width - 2 * _MARGIN
    svg.text(_MARGIN, _MARGIN + 12, fit(picture.title, 14, room, True), "title")
    subtitle = fit(picture.subtitle, _SMALL_SIZE, room)
    svg.text(_MARGIN, _MARGIN + 29, subtitle, "small faint")
    left = _MARGIN + max(0.0, (min(room, 600.0) - placed.layout.width) / 2)
    left = _MARGIN if placed.layout.width < room / 2 else left
    _draw(svg, picture.boxes, picture.arrows, placed, left, _MARGIN + _HEAD)
    x = _MARGIN
    for status in statuses:
        y = height - _MARGIN - len(notes) * _FOOT_LINE
        svg.status(x + 5, y - 4, status)
        svg.text(x + _MARK, y, status.lower(), "small faint")
        x += _MARK + text_width(status.lower(), _SMALL_SIZE) + 14
    for i, note in enumerate(notes):
        y = height - _MARGIN - (len(notes) - 1 - i) * _FOOT_LINE
        svg.text(_MARGIN, y, fit(note, _SMALL_SIZE, room), "small faint")
    return svg.text_of()


def _statuses(boxes: list[Box]) -> list[str]:
    """Return the statuses whose marks are to be told; if all is done, that goes without saying."""
    found: set[str] = set()
    waiting = list(boxes)
    while waiting:
        box = waiting.pop()
        found.add(box.status)
        waiting += box.boxes
    shown = [status for status in _DOT_COLOURS if status in found]
    return shown if shown != [DONE] else []


def _place(boxes: list[Box], arrows: list[Arrow]) -> _Placed:
    """Lay out boxes, the innermost first."""
    inside = [_place(box.boxes, box.arrows) if box.boxes else None for box in boxes]
    sizes = [_size(box, within) for box, within in zip(boxes, inside)]
    edges = [
        layout.Edge(arrow.source, arrow.target, _label_size(arrow.label) if arrow.label else None)
        for arrow in arrows
    ]
    return _Placed(inside, sizes, layout.lay_out(sizes, edges))


def _label_size(label: str) -> tuple[float, float]:
    return min(text_width(label, _SMALL_SIZE), _MOST_TEXT) + 6, _LINE


def _size(box: Box, within: _Placed | None) -> tuple[float, float]:
    name_width = min(text_width(box.name, _NAME_SIZE, True), _MOST_TEXT)
    name_width += _MARK if box.status else 0.0
    pile = _STACK * 2 if box.is_pile else 0.0
    if within is not None:
        beside = sum(text_width(line, _SMALL_SIZE) + 10 for line in box.lines[:1])
        head = min(name_width + beside, 2 * _MOST_TEXT) + 2 * _PAD
        width = max(within.layout.width + 2 * _INSIDE, head)
        return width + pile, within.layout.height + 24 + 2 * _INSIDE + pile
    lines = [min(text_width(line, _SMALL_SIZE), _MOST_TEXT) for line in box.lines]
    fold = 8.0 if box.kind == FILE else 0.0
    width = max([_LEAST_WIDTH, name_width + fold, *lines]) + 2 * _PAD
    return width + pile, 22 + _LINE * len(box.lines) + 5 + pile


def _draw(
    svg: Svg, boxes: list[Box], arrows: list[Arrow], placed: _Placed, left: float, top: float
) -> None:
    places = placed.layout
    for arrow, route in zip(arrows, places.routes):
        _draw_arrow(svg, [(x + left, y + top) for x, y in route], arrow)
    for box, within, size, centre in zip(boxes, placed.inside, placed.sizes, places.boxes):
        x, y = centre[0] + left - size[0] / 2, centre[1] + top - size[1] / 2
        _draw_box(svg, box, within, x, y, size)
    for arrow, place in zip(arrows, places.labels):
        if place is not None:
            width, height = _label_size(arrow.label)
            x, y = place[0] + left, place[1] + top
            svg.rect(x - width / 2, y - height / 2, width, height, "on")
            label = fit(arrow.label, _SMALL_SIZE, _MOST_TEXT)
            svg.text(x, y + 3.6, label, "small faint middle")


def _draw_box(
    svg: Svg, box: Box, within: _Placed | None, x: float, y: float, size: tuple[float, float]
) -> None:
    width, height = size
    status = f"s-{box.status.lower()}" if box.status else "s-none"
    look = f"{'group' if within else box.kind if box.kind == FILE else 'box'} {status}"
    look = "file" if box.kind == FILE else look
    look += " start" if box.is_start else ""
    svg.begin("g", tip=box.tip)
    if box.is_pile:
        width, height = width - 2 * _STACK, height - 2 * _STACK
        for step in (2, 1):
            moved = (x + step * _STACK, y + step * _STACK)
            if within is None:
                _outline(svg, box, moved, (width, height), look)
            else:
                svg.path(_edge_below(*moved, width, height), f"below {status}")
    _outline(svg, box, (x, y), (width, height), look)
    text_x = x + _PAD
    if box.status:
        svg.status(x + _PAD + 5, y + 14, box.status)
        text_x += _MARK
    name = fit(box.name, _NAME_SIZE, _MOST_TEXT, True)
    svg.text(text_x, y + 18, name, "name")
    if within is not None:
        if box.lines:
            beside = text_x + text_width(name, _NAME_SIZE, True) + 10
            line = fit(box.lines[0], _SMALL_SIZE, x + width - beside - 4)
            svg.text(beside, y + 18, line, "small faint")
        left = x + (width - within.layout.width) / 2
        _draw(svg, box.boxes, box.arrows, within, left, y + 24 + _INSIDE / 2)
    else:
        for i, line in enumerate(box.lines):
            shown = fit(line, _SMALL_SIZE, _MOST_TEXT)
            svg.text(x + _PAD, y + 18 + _LINE * (i + 1), shown, "small faint")
    svg.end()


def _outline(
    svg: Svg, box: Box, corner: tuple[float, float], size: tuple[float, float], look: str
) -> None:
    (x, y), (width, height) = corner, size
    if box.kind != FILE:
        svg.rect(x, y, width, height, look, 6 if not box.boxes else 8)
        return
    fold = 8.0
    right, bottom = x + width, y + height
    corner_x, corner_y = number(right - fold), number(y + fold)
    svg.path(
        f"M{number(x)} {number(y)} H{corner_x} L{number(right)} {corner_y} V{number(bottom)} "
        f"H{number(x)} Z M{corner_x} {number(y)} V{corner_y} H{number(right)}",
        look,
    )


def _edge_below(x: float, y: float, width: float, height: float) -> str:
    """Return what is seen of a box below another that one can see through."""
    right, bottom = number(x + width), number(y + height)
    return (
        f"M{right} {number(y)} V{number(y + height - 8)} Q{right} {bottom} "
        f"{number(x + width - 8)} {bottom} H{number(x)}"
    )


def _draw_arrow(svg: Svg, route: list[tuple[float, float]], arrow: Arrow) -> None:
    """Draw an arrow as curves that leave and arrive upright; a loop as one at the side."""
    if len(route) < 2:
        return
    (x, y), *rest = route
    is_loop = arrow.source == arrow.target
    d = f"M{number(x)} {number(y)}"
    end_x, end_y = rest[-1]
    if is_loop:
        (x1, y1), (x2, y2), _ = rest
        d += f" C{number(x1 + 8)} {number(y1)} {number(x2 + 8)} {number(y2)}"
        d += f" {number(end_x + 5)} {number(end_y)}"
        head = _head(end_x, end_y, -1, 0)
    else:
        is_down = rest[-1][1] >= rest[-2][1] if len(rest) > 1 else end_y >= y
        step = 1 if is_down else -1
        rest[-1] = (end_x, end_y - 5 * step)
        for next_x, next_y in rest:
            if next_x == x:
                d += f" V{number(next_y)}"
            else:
                middle = number((y + next_y) / 2)
                d += f" C{number(x)} {middle} {number(next_x)} {middle}"
                d += f" {number(next_x)} {number(next_y)}"
            x, y = next_x, next_y
        head = _head(end_x, end_y, 0, step)
    svg.begin("g", tip=arrow.tip)
    svg.path(d, "arrow")
    svg.path(head, "head")
    svg.end()


def _head(x: float, y: float, step_x: int, step_y: int) -> str:
    """Return the head of an arrow that goes into a direction and ends at (x, y)."""
    back_x, back_y = x - 7 * step_x, y - 7 * step_y
    side_x, side_y = 3.2 * abs(step_y), 3.2 * abs(step_x)
    return (
        f"M{number(x)} {number(y)} L{number(back_x - side_x)} {number(back_y - side_y)} "
        f"L{number(back_x + side_x)} {number(back_y + side_y)} Z"
    )


# Text


_DOT_COLOURS = {status: colours[:2] for status, colours in STATUS_COLOURS.items()}


def _numbered(boxes: list[Box], prefix: str = "n") -> Iterator[tuple[str, Box]]:
    """Yield boxes with ids: those of what is inside begin with that of the box around."""
    for i, box in enumerate(boxes):
        yield f"{prefix}{i}", box


def _innermost(name: str, box: Box) -> str:
    """Return the id of some box that has no others inside: what DOT lets an edge begin at."""
    while box.boxes:
        name, box = f"{name}_0", box.boxes[0]
    return name


def to_dot(picture: Picture) -> str:
    """Return a picture in the language of Graphviz."""
    lines = [
        "digraph {",
        f"  label={_quoted(picture.title)}; labelloc=t; compound=true;",
        "  fontname=Helvetica; fontsize=12;",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname=Helvetica, '
        "fontsize=11, margin=0.12];",
        "  edge [fontname=Helvetica, fontsize=9, color=gray40];",
        *_dot_lines(picture.boxes, picture.arrows, "n", "  "),
        *(f"  // {one_line(note)}" for note in picture.notes if note),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _dot_lines(boxes: list[Box], arrows: list[Arrow], prefix: str, indent: str) -> Iterator[str]:
    numbered = list(_numbered(boxes, prefix))
    for name, box in numbered:
        line, fill = _DOT_COLOURS.get(box.status, ("#8c959f", "#ffffff"))
        if box.boxes:
            title = "  ".join([box.name, *box.lines])
            yield f"{indent}subgraph cluster_{name} {{"
            yield f"{indent}  label={_quoted(title)}; tooltip={_quoted(box.tip)};"
            yield f'{indent}  style=rounded; color="{line}";'
            yield from _dot_lines(box.boxes, box.arrows, f"{name}_", f"{indent}  ")
            yield f"{indent}}}"
            continue
        attributes = [
            f"label={_quoted(chr(10).join([box.name, *box.lines]))}",
            f"tooltip={_quoted(box.tip)}",
            f'color="{line}"',
            f'fillcolor="{fill}"',
        ]
        attributes += ["shape=note", "style=filled"] if box.kind == FILE else []
        attributes += ["peripheries=2"] if box.is_pile else []
        attributes += ["penwidth=2"] if box.is_start else []
        yield f"{indent}{name} [{', '.join(attributes)}];"
    for arrow in arrows:
        (source, begin), (target, end) = numbered[arrow.source], numbered[arrow.target]
        attributes = [f"label={_quoted(arrow.label)}"] if arrow.label else []
        attributes += [f"tooltip={_quoted(arrow.tip)}"] if arrow.tip else []
        is_loop = source == target  # Which Graphviz draws at what is inside.
        attributes += [f"ltail=cluster_{source}"] if begin.boxes and not is_loop else []
        attributes += [f"lhead=cluster_{target}"] if end.boxes and not is_loop else []
        shown = f" [{', '.join(attributes)}]" if attributes else ""
        yield f"{indent}{_innermost(source, begin)} -> {_innermost(target, end)}{shown};"


def _quoted(text: str) -> str:
    r"""Return text as a string of DOT, in which a backslash begins an escape.

    >>> _quoted('say "hi\\"')
    '"say \\"hi\\\\\\""'
    """
    lines = [one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n")]
    return '"' + "\\n".join(lines) + '"'


def to_mermaid(picture: Picture) -> str:
    """Return a picture as a flowchart of Mermaid."""
    styles: dict[str, list[str]] = {}
    lines = [
        "---",
        f"title: {_json(picture.title)}",
        "---",
        "flowchart TD",
        *_mermaid_lines(picture.boxes, picture.arrows, "n", "  ", styles),
    ]
    for status, names in styles.items():
        line, fill = _DOT_COLOURS[status]
        lines.append(f"  classDef {status} fill:{fill},stroke:{line},color:#1f2328")
        lines.append(f"  class {','.join(names)} {status}")
    lines += [f"  %% {_entities(note)[1:-1]}" for note in picture.notes if note]
    return "\n".join(lines) + "\n"


def _mermaid_lines(
    boxes: list[Box],
    arrows: list[Arrow],
    prefix: str,
    indent: str,
    styles: dict[str, list[str]],
) -> Iterator[str]:
    numbered = list(_numbered(boxes, prefix))
    for name, box in numbered:
        if box.boxes:
            yield f"{indent}subgraph {name}[{_entities('  '.join([box.name, *box.lines]))}]"
            yield from _mermaid_lines(box.boxes, box.arrows, f"{name}_", f"{indent}  ", styles)
            yield f"{indent}end"
            continue
        if box.status in _DOT_COLOURS:
            styles.setdefault(box.status, []).append(name)
        opening, closing = ("[[", "]]") if box.is_pile else ("(", ")")
        if box.kind == FILE:
            opening, closing = ("[/", "/]") if not box.is_pile else ("[[", "]]")
        yield f"{indent}{name}{opening}{_entities(chr(10).join([box.name, *box.lines]))}{closing}"
    for arrow in arrows:
        source, target = numbered[arrow.source][0], numbered[arrow.target][0]
        label = f"|{_entities(arrow.label)}|" if arrow.label else ""
        yield f"{indent}{source} -->{label} {target}"


def _entities(text: str) -> str:
    """Return text as a string of Mermaid, which knows entities by number, and nothing of ours.

    >>> _entities('a "b" <c>')
    '"a #34;b#34; #60;c#62;"'
    """
    shown = "<br/>".join(
        "".join(c if c.isalnum() or c in " _-.,:/×…=()'" else f"#{ord(c)};" for c in one_line(line))
        for line in text.split("\n")
    )
    return f'"{shown}"'


def _json(text: str) -> str:
    import json

    # What looks like a directive or a tag is read as one, even there.
    return json.dumps(one_line(text)).replace("<", "\\u003c").replace("{", "\\u007b")
