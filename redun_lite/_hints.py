"""Type hints at run time: what they are called, and values of them from text or JSON.

Text is what a person types: each type takes it in the form that is shortest to type.  JSON is for
what has a structure, and stricter: a string there is no number.  Where a hint names several types,
those that take fewer texts are tried first, so `Union[str, int]` makes a number of `3`.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import enum
import inspect
import json
import re
import sys
import types
import typing
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Callable, Union

from ._errors import UsageError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_HINT = inspect.Parameter.empty
"""Stands for the hint of a parameter that has none."""

_UNIONS = {Union, getattr(types, "UnionType", Union)}
_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NONE = ("none", "null")
_MADE_FROM_TEXT = ("decimal", "fractions", "ipaddress", "uuid")


# Types


def is_flag(hint: Any) -> bool:
    """Say whether a type takes true and false."""
    return hint is bool or (_is_union(hint) and bool in typing.get_args(hint))


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in _UNIONS


def sequence_of(hint: Any) -> Any:
    """Return the list, tuple or set type in a hint, or None."""
    if _is_union(hint):
        found = (sequence_of(member) for member in typing.get_args(hint))
        return next((member for member in found if member is not None), None)
    return hint if (typing.get_origin(hint) or hint) in _SEQUENCES else None


def resolve_hints(obj: Any) -> dict[str, Any]:
    """Return the type hints of a function or class, without those that cannot be resolved."""
    try:
        return typing.get_type_hints(obj)
    except Exception:  # A name that only a type checker knows, or `X | Y` on Python 3.9.
        pass
    names = getattr(obj, "__globals__", None) or vars(sys.modules[obj.__module__])
    hints = {}
    for name, annotation in getattr(obj, "__annotations__", {}).items():
        if isinstance(annotation, str):
            try:
                annotation = _evaluated(annotation, names)
            except Exception:
                continue
        hints[name] = annotation
    return hints


def _evaluated(annotation: str, names: dict[str, Any]) -> Any:
    tree = ast.parse(annotation, mode="eval")
    if sys.version_info < (3, 10):
        tree = ast.fix_missing_locations(_OldUnions().visit(tree))
    return eval(compile(tree, "<hint>", "eval"), {**names, "__union__": Union})


class _OldUnions(ast.NodeTransformer):
    """Writes `X | Y` as `Union[X, Y]`."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.BitOr):
            return node
        members = ast.Tuple([node.left, node.right], ast.Load())
        return ast.Subscript(ast.Name("__union__", ast.Load()), members, ast.Load())


def describe_type(hint: Any) -> str:
    """Return what a type is called in help and errors.

    >>> from typing import Optional
    >>> describe_type(Optional[int]), describe_type(dict[str, float])
    ('int or none', 'dict of str to float (JSON)')
    """
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if hint in (NO_HINT, Any, object) or isinstance(hint, typing.TypeVar):
        return "any value"
    if hint is type(None):
        return "none"
    if hint is bool:
        return "true or false"
    if _is_union(hint):
        return " or ".join(map(describe_type, arguments))
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if (origin or hint) in _SEQUENCES:
        kind = _SEQUENCES[origin or hint].__name__
        members = [describe_type(argument) for argument in arguments if argument is not ...]
        return f"{kind} of {', '.join(members)}" if members else kind
    if (origin or hint) in _MAPPINGS:
        inside = " to ".join(map(describe_type, arguments)).replace(" (JSON)", "")
        return f"dict of {inside} (JSON)" if inside else "dict (JSON)"
    if hasattr(hint, "__supertype__"):
        return describe_type(hint.__supertype__)
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return f"one of {', '.join(hint.__members__)}"
        if dataclasses.is_dataclass(hint):
            fields = ", ".join(field.name for field in dataclasses.fields(hint))
            return f"{hint.__name__} (JSON: {fields})"
        if hint.__module__ == "datetime":
            return f"{hint.__name__} (ISO 8601)"
        return hint.__name__
    return str(hint).replace("typing.", "")


# Values

_parsers: dict[Any, Any] = {}


def register_parser(cls: Any, parser: Any) -> None:
    """Say whose `parse_arg` makes instances of a class that has none itself."""
    _parsers[cls] = parser


def from_texts(hint: Any, texts: Sequence[str]) -> Any:
    """Return what words stand for: each an element of a list, tuple or set, or one all as JSON.

    Raises
    ------
    ValueError, UsageError
        As `from_text` does.
    """
    if len(texts) == 1 and texts[0][:1] in ("[", "(", "{"):
        try:
            return from_json(hint, _parsed(texts[0]))
        except ValueError:
            pass  # Perhaps the only element.
    sequence = sequence_of(hint)
    try:
        kind = _SEQUENCES[typing.get_origin(sequence) or sequence]
        return kind([from_text(member, text) for member, text in _paired(sequence, texts)])
    except ValueError:
        if len(texts) > 1 or not _is_union(hint):
            raise
    others = [member for member in _union_members(hint) if sequence_of(member) is None]
    return _first_that_takes(others, texts[0], from_text)


def _paired(hint: Any, parts: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    """Return the parts of a sequence, each with its type."""
    members = typing.get_args(hint) or (NO_HINT,)
    is_fixed = typing.get_origin(hint) is tuple and members[-1] is not ...
    if not is_fixed:
        return [(members[0], part) for part in parts]
    if len(members) != len(parts):
        raise ValueError
    return zip(members, parts)


def from_text(hint: Any, text: str) -> Any:
    """Return the value of a type that a text stands for.

    Raises
    ------
    ValueError
        It stands for none.
    UsageError
        Values of the type cannot be written as text.
    """
    if hint is NO_HINT or hint in (Any, object) or isinstance(hint, typing.TypeVar):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
    if hint in _FROM_TEXT:
        return _FROM_TEXT[hint](text)
    if _is_union(hint):
        return _first_that_takes(_union_members(hint), text, from_text)
    if typing.get_origin(hint) is typing.Literal:
        return _matching(typing.get_args(hint), text)
    if sequence_of(hint) is not None:
        return from_texts(hint, [text])
    if hasattr(hint, "__supertype__"):
        return from_text(hint.__supertype__, text)
    # Before Python 3.11 `dict[str, int]` passes for a type.
    is_class = isinstance(hint, type) and typing.get_origin(hint) is None
    if not is_class or dataclasses.is_dataclass(hint) or hint in _MAPPINGS:
        return from_json(hint, _parsed(text))
    if issubclass(hint, enum.Enum):
        return _enum_member(hint, text)
    if issubclass(hint, PurePath) or hint.__module__ in _MADE_FROM_TEXT:
        made: Callable[[str], Any] = hint
        return made(text)
    if hint.__module__ == "datetime":
        return _from_iso(hint, text)
    parser = _parsers.get(hint, hint)
    if hasattr(parser, "parse_arg"):
        return parser.parse_arg(hint, text)
    raise UsageError(f"a {hint.__name__} cannot be given on the command line; see run --input")


def from_json(hint: Any, value: Any) -> Any:
    """Return the value of a type that a part of a JSON document stands for.

    Raises
    ------
    ValueError
        It stands for none.
    """
    origin = typing.get_origin(hint) or hint
    if hint is NO_HINT or hint in (Any, object) or isinstance(hint, typing.TypeVar):
        return value
    if _is_union(hint):
        return _first_that_takes(_union_members(hint), value, from_json)
    if origin is typing.Literal:
        return _matching(
            [part for part in typing.get_args(hint) if type(part) is type(value)], value
        )
    if hint is type(None) or hint in (bool, int, str):
        if type(value) is not hint:
            raise ValueError
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if origin in _SEQUENCES and isinstance(value, (list, tuple, set, frozenset)):
        parts = [from_json(member, part) for member, part in _paired(hint, list(value))]
        return _SEQUENCES[origin](parts)
    if origin in _MAPPINGS and isinstance(value, dict):
        key_hint, value_hint = typing.get_args(hint) or (NO_HINT, NO_HINT)
        return {_key(key_hint, k): from_json(value_hint, part) for k, part in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum) and not isinstance(value, str):
        return hint(value)
    if isinstance(value, str):
        return from_text(hint, value)
    raise ValueError


def _key(hint: Any, key: Any) -> Any:
    """Return the key of a dict; JSON writes all of them as strings."""
    return from_text(hint, key) if isinstance(key, str) and hint is not NO_HINT else key


def _parsed(text: str) -> Any:
    """Return what a text says as JSON, or as Python writes it."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError from None


def _union_members(hint: Any) -> list[Any]:
    """Return the members of a union, those first that take the fewest values."""
    return sorted(
        typing.get_args(hint), key=lambda member: (member is not type(None), member is str)
    )


def _first_that_takes(hints: list[Any], value: Any, convert: Callable[[Any, Any], Any]) -> Any:
    for hint in hints:
        try:
            return convert(hint, value)
        except Exception:  # A class of the user's may raise anything.
            pass
    raise ValueError


def _matching(choices: Iterable[Any], value: Any) -> Any:
    for choice in choices:
        if choice == value or str(choice) == str(value) or getattr(choice, "name", None) == value:
            return choice
    raise ValueError


def _enum_member(hint: type[enum.Enum], text: str) -> enum.Enum:
    if text in hint.__members__:
        return hint.__members__[text]
    for member in hint:
        if str(member.value) == text:
            return member
    raise ValueError


def _dataclass(hint: type, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError
    hints = resolve_hints(hint)
    known = {field.name for field in dataclasses.fields(hint) if field.init}
    unknown = [name for name in value if name not in known]
    if unknown:
        raise UsageError(f"{hint.__name__} has no {unknown[0]!r}: {suggest(unknown[0], known)}")
    fields = {name: from_json(hints.get(name, NO_HINT), part) for name, part in value.items()}
    try:
        return hint(**fields)
    except TypeError as error:
        raise UsageError(f"{hint.__name__}: {error}") from None


def _flag(text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise ValueError from None


def _none(text: str) -> None:
    if text.lower() not in _NONE:
        raise ValueError


_FROM_TEXT: dict[Any, Callable[[str], Any]] = {
    bool: _flag,
    int: int,
    float: float,
    complex: complex,
    str: str,
    bytes: str.encode,
    type(None): _none,
}

_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<weeks>[\d.]+)W)?(?:(?P<days>[\d.]+)D)?"
    r"(?:T(?:(?P<hours>[\d.]+)H)?(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S)?)?"
)
_CLOCK = re.compile(
    r"(?:(?P<days>-?\d+) days?, )?(?P<hours>\d+):(?P<minutes>\d\d)(?::(?P<seconds>\d\d(?:\.\d+)?))?"
)


def _from_iso(hint: Any, text: str) -> Any:
    """Return the date, time or length of time that a text stands for."""
    if hint.__name__ != "timedelta":
        # Before Python 3.11 `fromisoformat` does not know Z.
        return hint.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    found = _DURATION.fullmatch(text) or _CLOCK.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError
    parts = found.groupdict()
    sign = -1 if parts.pop("sign", None) else 1
    return sign * hint(**{unit: float(part) for unit, part in parts.items() if part})
