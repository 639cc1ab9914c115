"""Values as text: any value, live or stored, as a printable line of bounded length.

Values may be huge, broken, or contain themselves; live ones have a `__repr__` of their own; stored
ones may be hostile.  So text is made in pieces by generators, and whoever has enough of it stops:
showing the start of a list of a million elements costs what its start costs.  Stored values are
taken apart by `_safe_load`, which runs nothing; both kinds look alike.
"""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from enum import Enum, Flag
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Callable

from ._display import clip, format_count, format_size, one_line
from ._encoders import flag_names
from ._expr import Expression, format_expr
from ._file import Staging
from ._safe_load import DICT, FROZENSET, QUOTE, SET, Composite, Global, Member, NodeRef, load_safely

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Optional

    # How a value's text opens, the pieces of each of its elements, and how it closes.
    Elements = tuple[str, Optional[Iterator[Iterable[str]]], str]

VALUE_LENGTH = 60
"""Characters that a value may take within a line."""

_MAX_DEPTH = 6  # Levels of nesting that are shown.
_MAX_TEXT = 5_000  # Characters of a string that are looked at.
_MAX_LINE = 500  # Characters of an error's line.
_WHICH_SCRIPT = r"""^the script( of task \S+?)?( "(\\.|[^"\\])*"| '(\\.|[^'\\])*')?:? """
_WHERE_IN_SCRIPT = r"^\S*/script: line \d+: "
_MAX_BITS = 10_000  # Writing out longer integers takes time that grows with their square.
_MAX_ELEMENTS = 30  # Lines that a value may take.
_MAX_SORTED = 2_000  # Characters of the elements of a set.
_MAX_SORTED_DEPTH = _MAX_DEPTH - 1  # Levels left, up to which any elements are sorted.


def format_value(value: Any, limit: int = VALUE_LENGTH) -> str:
    """Return a value as one line of at most `limit` characters, whatever it is.

    Parameters
    ----------
    value
        A value of the workflow that runs, or what `load_safely` returned.

    Examples
    --------
    >>> format_value({"reads": list(range(100))}, 30)
    "{'reads': [0, 1, 2, 3, 4, 5, …"
    """
    try:
        return _format(value, limit)
    except Exception:  # Objects have a `__repr__` of their own, which may raise anything.
        return _unshown(type(value).__name__, "cannot be shown")


def format_error(class_name: str, message: str) -> str:
    """Return an error as one line: its class, and the first line of what it says.

    >>> format_error("builtins.ValueError", "the sample is empty\\nsee sample.txt")
    'ValueError: the sample is empty'
    """
    first = next((line for line in message.splitlines() if line.strip()), "")
    name = class_name.rpartition(".")[2]
    return clip(one_line(f"{name}: {first.strip()}" if first else name), _MAX_LINE)


def format_script_error(class_name: str, message: str, stderr: bytes) -> str:
    """Return the error of a script as one line: how it ended, and what it had to say last.

    Which script that was is said by the call beside it; and what the shell traced is no complaint.

    >>> stderr = b"+ samtols view\\n/tmp/script: line 1: samtols: command not found\\n+ sort\\n"
    >>> message = "the script 'samtols view | sort' ended with exit status 127"
    >>> format_script_error("ScriptError", message, stderr)
    'ScriptError: ended with exit status 127: samtols: command not found'
    """
    how = re.sub(_WHICH_SCRIPT, "", message, count=1)
    lines = stderr.decode("utf-8", "replace").splitlines()
    last = next((x for x in reversed(lines) if x.strip() and not x.startswith("+")), "")
    said = re.sub(_WHERE_IN_SCRIPT, "", last).strip()
    return format_error(class_name, f"{how.splitlines()[0]}: {said}" if said and how else how)


def format_stored_error(attributes: dict[str, Any]) -> str:
    """Return a recorded error as one line, given its attributes as `load_safely` has them."""
    kind, message = str(attributes.get("error_type", "")), str(attributes.get("message", ""))
    stderr = attributes.get("stderr")
    if isinstance(stderr, bytes):
        return format_script_error(kind, message, stderr)
    return format_error(kind, message)


def format_stored(type_name: str, size: int, data: bytes | None, limit: int = VALUE_LENGTH) -> str:
    """Return a stored value as one line, without running anything that it holds.

    Parameters
    ----------
    type_name
        Name of its class.
    size
        Its bytes in the database.
    data
        These bytes, or None if they are too many to read.
    """
    if data is None:
        return _unshown(type_name, format_size(size))
    try:
        return _format(load_safely(data), limit)
    except Exception:  # It may be broken in any way.
        room = max(limit - len(_unshown(type_name, "")), 8)
        return _unshown(type_name, clip(_as_path(data), room) or "cannot be shown")


def _as_path(data: bytes) -> str:
    """Return the path that a class has stored in place of a pickle (`FileCache`), else ""."""
    try:
        text = data[:_MAX_LINE].decode()
    except UnicodeDecodeError:
        return ""
    return text if "/" in text and text.isprintable() else ""


def format_stored_block(type_name: str, size: int, data: bytes | None, width: int) -> list[str]:
    """Return a stored value as lines: one if it fits, else one for each of its elements."""
    if data is not None:
        try:
            return _block(load_safely(data), width)
        except Exception:  # It may be broken in any way.
            pass
    return [format_stored(type_name, size, data, width)]


def _unshown(type_name: str, why: str) -> str:
    return f"<{one_line(type_name.rpartition('.')[2])[:VALUE_LENGTH]}: {why}>"


def _format(value: Any, limit: int) -> str:
    parts: list[str] = []
    room = limit
    for piece in _pieces(value, _MAX_DEPTH):
        parts.append(piece)
        room -= len(piece)
        if room < 0:
            break
    return clip(one_line("".join(parts)), limit)


def _block(value: Any, width: int) -> list[str]:
    line = _format(value, width)
    if not line.endswith("…"):
        return [line]
    opening, elements, closing = _elements(value, _MAX_DEPTH)
    if elements is None or _is_external(value):
        return [_format(value, _MAX_TEXT)]
    shown = ["  " + _join(element, 4 * width) for element in islice(elements, _MAX_ELEMENTS)]
    left = sum(1 for _ in elements)
    more = [f"  … {format_count(left)} more"] if left else []
    return [clip(one_line(opening), width), *[f"{line}," for line in shown], *more, closing]


def _join(pieces: Iterable[str], limit: int) -> str:
    text = ""
    for piece in pieces:
        text += piece
        if len(text) > limit:
            break
    return clip(one_line(text), limit)


def _pieces(value: Any, depth: int) -> Iterator[str]:
    """Yield a value's text bit by bit, so that whoever has enough can stop."""
    cls = type(value)
    if cls in _ATOMS:
        yield _ATOMS[cls](value)
    elif depth == 0:
        yield "…"
    elif cls is Global:
        yield value.name.replace(":", ".")
    elif cls is NodeRef:
        yield from _node_pieces(value.node, depth - 1)
    elif cls is Member:
        yield from _member_pieces(value.class_name, value.name, value.value, depth)
    elif isinstance(value, Enum):
        names = "|".join(flag_names(value)) if isinstance(value, Flag) else value._name_
        yield from _member_pieces(cls.__qualname__, names, value._value_, depth)
    elif isinstance(value, Expression):
        yield format_expr(value)
    elif isinstance(value, Staging):
        yield f"{cls.__name__}(local={value.local.path}, remote={value.remote.path})"
    else:
        opening, elements, closing = _elements(value, depth)
        if elements is None:
            yield repr(value)
            return
        yield opening
        yield from _separated(elements)
        yield closing


def _member_pieces(class_name: str, name: str, value: Any, depth: int) -> Iterator[str]:
    yield _short_name(class_name)
    if name:
        yield f".{name}"
        return
    yield "("
    yield from _pieces(value, depth - 1)
    yield ")"


def _short_name(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2]


def _separated(elements: Iterable[Iterable[str]]) -> Iterator[str]:
    separator = ""
    for element in elements:
        yield separator
        yield from element
        separator = ", "


def _elements(value: Any, depth: int) -> Elements:
    """Return how to write a value out; of one that has no elements, None in their place."""
    cls = type(value)
    if cls is Composite:
        return _composite_elements(value, depth)
    if cls is list:
        return "[", _each(value, depth), "]"
    if cls is tuple:
        return "(", _each(value, depth), ",)" if len(value) == 1 else ")"
    if cls is set or cls is frozenset:
        return _set_elements(cls.__name__, value, depth)
    if cls is dict:
        return "{", _entries(value.items(), depth), "}"
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return f"{cls.__name__}(", _named(zip(cls._fields, value), depth), ")"
    if is_dataclass(cls) and "dataclasses" in getattr(cls.__repr__, "__module__", "dataclasses"):
        fields = ((name, getattr(value, name, None)) for name in cls.__dataclass_fields__)
        return f"{cls.__name__}(", _named(fields, depth), ")"
    return "", None, ""


def _each(values: Iterable[Any], depth: int) -> Iterator[Iterable[str]]:
    return (_pieces(value, depth - 1) for value in values)


def _entries(entries: Iterable[tuple[Any, Any]], depth: int) -> Iterator[Iterable[str]]:
    return (_pair(_pieces(key, depth - 1), ": ", value, depth) for key, value in entries)


def _named(entries: Iterable[tuple[str, Any]], depth: int) -> Iterator[Iterable[str]]:
    return (_pair([name], "=", value, depth) for name, value in entries)


def _pair(name: Iterable[str], separator: str, value: Any, depth: int) -> Iterator[str]:
    yield from name
    yield separator
    yield from _pieces(value, depth - 1)


def _set_elements(name: str, values: Iterable[Any], depth: int) -> Elements:
    # In order of their texts, since a set has none that stays; a long one is not worth the time.
    waiting = iter(values)
    texts: list[str] = []
    room = _MAX_SORTED >> (_MAX_DEPTH - depth)
    for value in waiting:
        if depth < _MAX_SORTED_DEPTH and type(value) not in _ATOMS:
            waiting = chain([value], waiting)  # Sets of sets of sets would take their product.
            break
        texts.append(_join(_pieces(value, depth - 1), room))
        room -= len(texts[-1])
        if room < 0:
            break
    first = [[text] for text in sorted(texts)]
    rest = _each(waiting, depth)
    if not first:
        start = next(rest, None)
        if start is None:
            return f"{name}(", iter(()), ")"
        rest = chain([start], rest)
    opening, closing = ("{", "}") if name == "set" else (f"{name}({{", "})")
    return opening, chain(first, rest), closing


def _composite_elements(value: Composite, depth: int) -> Elements:
    if value.name == DICT:
        return "{", _entries(value.entries, depth), "}"
    if value.name in (SET, FROZENSET):
        return _set_elements(value.name.partition(":")[2], value.elements, depth)
    name = _short_name(value.name)
    if value.name == "redun_lite._task:find_task":
        return "Task(", iter([[_text(value.args[0])]]), ")"
    if value.name == QUOTE:
        return "quote(", _each(value.elements, depth) if value.elements else iter([["…"]]), ")"
    attributes = value.attributes
    if value.name == "redun_lite._record:ErrorValue":
        error = value.text("error_type").rpartition(".")[2]
        return f"{error}(", _each([attributes["message"]], depth), ")"
    if _is_external(value):
        return f"{name}(", _external_elements(attributes), ")"
    if value.name == "redun_lite._handle:restore_handle":
        cls, state = value.args
        recorded = _recorded(state)
        shown = {key: recorded[key] for key in ("fullname", "hash")}
        return f"{_short_name(cls.name)}(", _external_elements(shown), ")"
    shown = {key: part for key, part in attributes.items() if not key.startswith("_")}
    if not shown and not value.args:  # Nothing else tells it from others of its class.
        shown = attributes
    return (
        f"{name}(",
        chain(
            _each(value.args, depth),
            _named(shown.items(), depth),
            _each(value.elements, depth),
            _entries(value.entries, depth),
        ),
        ")",
    )


def _is_external(value: Any) -> bool:
    return isinstance(value, Composite) and value.name.startswith("redun_lite._file:")


def _external_elements(attributes: dict[str, Any]) -> Iterator[Iterable[str]]:
    """Yield where a file, directory or pattern is, and what its hash starts with."""
    for name, part in attributes.items():
        yield [f"{name}={_text(part)[: 8 if name == 'hash' else None]}"]


def _recorded(state: Composite) -> dict[str, Any]:
    made = Composite("")
    made.state = state
    return made.attributes


def _text(value: Any) -> str:
    """Return what ought to be a text as it is, and in its place a sign that it is none."""
    return value if type(value) is str else "…"


def _node_pieces(node: tuple[Any, ...], depth: int) -> Iterator[str]:
    """Yield the text of an expression in a stored graph, as a call of its task or operator."""
    kind, *fields = node
    if kind == 3:
        yield from _pieces(fields[0], depth)
        return
    name, args, *more = fields
    kwargs = more[0].entries if more and isinstance(more[0], Composite) else ()
    yield f"{_text(name)}("
    yield from _separated(chain(_each(args, depth), _named(kwargs, depth)))
    yield ")"


def _format_text(value: Any) -> str:
    return repr(value) if len(value) <= _MAX_TEXT else repr(value[:_MAX_TEXT]) + "…"


def _format_int(value: int) -> str:
    bits = value.bit_length()
    return repr(value) if bits <= _MAX_BITS else f"<int of {format_count(bits)} bits>"


_ATOMS: dict[type, Callable[[Any], str]] = {
    int: _format_int,
    str: _format_text,
    bytes: _format_text,
    bytearray: _format_text,
    **dict.fromkeys((bool, float, complex, type(None)), repr),
}
