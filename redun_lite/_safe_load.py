"""Stored values, taken apart without running anything that they hold.

A pickle is a program: loading one imports modules and calls whatever it names.  A repository may
come from somebody else (pulled, imported, shared), so what only *shows* values must not load them.
Here is an interpreter for pickles that builds data and nothing else:

* A class or function is a name (`Global`); it is never imported.
* An object is a record of what the pickle says of it (`Composite`); no constructor is called.
  The exceptions are dates and `Decimal`, whose constructors check all that they are given.
* Dicts and sets are lists of what they hold, so nothing is hashed: neither colliding keys nor
  tuples nested a thousandfold can stall or crash the reader.
* Instructions that today's pickles do not use are refused, as is a value that is too long.

What comes out is as small as the pickle, but only as long as nobody walks all of it: parts may be
shared, so a list of a few kilobytes may hold ten to the hundredth strings.  Never call `repr`,
`str`, `hash` or `==` on a part whose type is not known to be an atom's.

It is made from `pickle._Unpickler`, the one written in Python, whose memo is a dict: the C one
allocates an array as long as the greatest memo index, which takes five bytes to make huge.
"""

from __future__ import annotations

import io
import pickle
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable

from ._expr import GRAPH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_SIZE = 1_000_000
"""Bytes of the longest value that is taken apart: about a second's work."""

_MAX_NAME = 1000  # Names and paths are joined: not without end, since one may be repeated.
_MAX_ATTRIBUTES = 1000  # Of an object; many may share them, and each is asked for them.
_MAX_QUOTED = 200_000  # Bytes of quoted expressions; the same may be quoted in many places.
_MAX_QUOTING = 8  # Levels of quoted expressions in quoted expressions.

DICT = "builtins:dict"
SET = "builtins:set"
FROZENSET = "builtins:frozenset"
QUOTE = "redun_lite._task:loads_quoted"


class Global:
    """A class or function that a value refers to, as `module:qualname`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Member:
    """A member of an enumeration, or flags of one.

    Attributes
    ----------
    class_name
        `module:qualname` of the enumeration.
    name
        Its name; of flags, their names with `|` between; "" if they have none.
    value
        Its value, None where that is not stored.
    """

    __slots__ = ("class_name", "name", "value")

    def __init__(self, class_name: str, name: str, value: Any) -> None:
        self.class_name = class_name
        self.name = name
        self.value = value


class Composite:
    """An object, as its pickle describes it.

    Attributes
    ----------
    name
        `module:qualname` of its class, or of the function that would make it.
    args
        What that would be called with.
    state
        What would be set on it: most often a `Composite` dict of attributes.
    elements, entries
        What a list or a set, and what a dict (or a subclass of these) holds.
    """

    __slots__ = ("args", "elements", "entries", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.elements: Sequence[Any] = ()  # No list before there is something to hold.
        self.entries: Sequence[tuple[Any, Any]] = ()

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes that the state gives, as far as it is of a usual form."""
        return dict(islice(self._attributes(), _MAX_ATTRIBUTES))

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        # A tuple is the one of `__dict__` and the one of slots.
        parts = self.state[:2] if isinstance(self.state, tuple) else (self.state,)
        for part in parts:
            if isinstance(part, Composite):
                for key, value in islice(part.entries, _MAX_ATTRIBUTES):
                    if isinstance(key, str):
                        yield key, value

    def text(self, attribute: str) -> str:
        """Return the text that an attribute is; if it is none, nothing."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, str) else ""


class NodeRef:
    """An expression of a stored graph; `node` holds its kind and its fields."""

    __slots__ = ("_index", "_nodes")

    def __init__(self, index: int, nodes: list[Any]) -> None:
        self._index = index
        self._nodes = nodes

    @property
    def node(self) -> tuple[Any, ...]:
        is_there = -len(self._nodes) <= self._index < len(self._nodes)
        node = self._nodes[self._index] if is_there else ()
        return node if isinstance(node, tuple) else ()


def load_safely(data: bytes) -> Any:
    """Return a stored value as atoms, lists, tuples and the classes of this file.

    Parameters
    ----------
    data
        What `dumps_expr`, `dumps` or `Value.serialize` returned.

    Raises
    ------
    Exception
        Of any class: the value is too long, broken, or not a pickle.

    Examples
    --------
    >>> import pickle
    >>> load_safely(pickle.dumps([1, "a"], 5))
    [1, 'a']
    >>> load_safely(pickle.dumps(print, 5)).name
    'builtins:print'
    """
    return _load(data, _Quoted())


def load_if_plain(data: bytes) -> Any:
    """Return a stored value that is plain data; if it is not, or not surely, `NotImplemented`.

    Most values are small trees of atoms, lists, tuples and dicts, and `load_safely` takes ten times
    as long for them.  Only few of the instructions of pickles are needed to make one.  Where there
    are no others there is nothing to call, no part that is there twice, and no memo that is made
    too large.

    >>> import pickle
    >>> load_if_plain(pickle.dumps({"a": [1, 2.5]})), load_if_plain(pickle.dumps(print))
    ({'a': [1, 2.5]}, NotImplemented)
    """
    if len(data) > _MAX_PLAIN:
        return NotImplemented
    place = 0
    while True:
        place = _FIXED(data, place).end()  # type: ignore[union-attr]
        digits = _SIZED.get(data[place : place + 1])
        if digits is None:
            return (
                _PlainUnpickler(io.BytesIO(data)).load() if data[place:] == b"." else NotImplemented
            )
        start = place + 1 + digits
        place = start + int.from_bytes(data[place + 1 : start], "little")


class _PlainUnpickler(pickle.Unpickler):
    """For pickles without names; even if one got in, it would not be looked up."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in plain data")


class _Quoted:
    """What a value may hold of quoted expressions, each of which is a pickle inside a pickle."""

    __slots__ = ("left", "level")

    def __init__(self) -> None:
        self.left = _MAX_QUOTED
        self.level = 0

    def load(self, data: bytes) -> Sequence[Any]:
        """Return what is quoted, if it is not too much."""
        self.left -= len(data)
        if self.left < 0 or self.level == _MAX_QUOTING:
            return ()
        self.level += 1
        try:
            return [_load(data, self)]
        except Exception:  # It may be broken in any way.
            return ()
        finally:
            self.level -= 1


def _load(data: bytes, quoted: _Quoted) -> Any:
    if len(data) > MAX_SIZE:
        raise pickle.UnpicklingError(f"longer than {MAX_SIZE} bytes")
    if data[: len(GRAPH)] != GRAPH:
        return _SafeUnpickler(data, quoted).load()
    unpickler = _SafeUnpickler(data[len(GRAPH) :], quoted)
    nodes, value = unpickler.load()
    unpickler.nodes.extend(nodes)
    return value


# What is made of a call in a pickle


def _made(function: Any, args: Any) -> Any:
    if not isinstance(function, Global) or not isinstance(args, tuple):
        raise pickle.UnpicklingError("a call of something that is no class or function")
    build = _BUILDERS.get(function.name)
    if build is not None:
        try:
            return build(*args)
        except Exception:
            pass  # Not as the class writes it, so it is shown like any other.
    return Composite(function.name, args)


def _check_length(*parts: str) -> None:
    if sum(map(len, parts)) > _MAX_NAME:
        raise pickle.UnpicklingError("a name that is too long")


def _build_dict(*args: Any) -> Composite:
    made = Composite(DICT)
    if args and isinstance(args[0], Composite):  # A Counter gets its counts at once.
        made.entries = args[0].entries
    return made


def _build_list(*args: Any) -> list[Any]:
    return args[0] if args and isinstance(args[0], list) else []


def _build_path(*parts: str) -> Composite:
    import posixpath

    _check_length(*parts)
    return Composite("pathlib:PosixPath", (posixpath.join(*parts),))


def _build_array(_: Any, dtype: Any, shape: Any, *__: Any) -> Composite:
    made = Composite("numpy:ndarray")
    made.state = Composite(DICT)
    made.state.entries = [("shape", shape)]
    return made


def _build_decimal(text: str) -> Any:
    import decimal

    _check_length(text)
    if type(text) is not str:
        raise pickle.UnpicklingError("a Decimal of something else than text")
    return decimal.Decimal(text)


def _build_object(cls: Global, attributes: Composite) -> Composite:
    made = Composite(cls.name)
    made.state = attributes
    return made


def _build_error(cls: Global, args: tuple[Any, ...]) -> Composite:
    if not isinstance(args, tuple):
        raise pickle.UnpicklingError("an error with something else than arguments")
    return Composite(cls.name, args)


def _build_member(cls: Global, name: str, value: Any = None) -> Member:
    _check_length(cls.name, name + "")
    return Member(cls.name, name, value)


def _build_flags(cls: Global, bits: int, names: tuple[str, ...]) -> Member:
    _check_length(cls.name, *names)
    return Member(cls.name, "|".join(names), bits)


def _date_builder(name: str) -> Callable[..., Any]:
    def build(*args: Any) -> Any:
        import datetime

        made: Any = getattr(datetime, name)(*args)
        return made

    return build


_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections:OrderedDict": _build_dict,
    "collections:Counter": _build_dict,
    "collections:defaultdict": _build_dict,
    "collections:deque": _build_list,
    "pathlib:PosixPath": _build_path,
    "pathlib._local:PosixPath": _build_path,
    "numpy.core.numeric:_frombuffer": _build_array,
    "numpy._core.numeric:_frombuffer": _build_array,
    "decimal:Decimal": _build_decimal,
    "redun_lite._value:_rebuild": _build_object,
    "redun_lite._value:_rebuild_error": _build_error,
    "redun_lite._value:restore_member": _build_member,
    "redun_lite._value:restore_flag": _build_flags,
    **{
        f"datetime:{name}": _date_builder(name)
        for name in ("date", "datetime", "time", "timedelta", "timezone")
    },
}


# Instructions of plain data

_MAX_PLAIN = 500  # Bytes: so few keys of a dict may collide, and so few levels be nested.

# PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINFLOAT MEMOIZE; for tuples,
# lists and dicts EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3, EMPTY_LIST APPEND APPENDS, EMPTY_DICT
# SETITEM SETITEMS
_FIXED = re.compile(
    rb"(?:\x80.|\x95.{8}|[(N\x88\x89\x94)t\x85\x86\x87\]ae}su]|J.{4}|K.|M..|G.{8})*", re.DOTALL
).match

# LONG1 SHORT_BINUNICODE BINUNICODE SHORT_BINBYTES BINBYTES: bytes that say how many follow.
_SIZED = {b"\x8a": 1, b"\x8c": 1, b"X": 4, b"C": 1, b"B": 4}


# The interpreter

_PICKLE: Any = pickle  # The names below are in every Python, but not in its type stubs.

_KEPT = """
PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4
BINFLOAT BINBYTES SHORT_BINBYTES BINBYTES8 BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_TUPLE TUPLE
TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST GLOBAL STACK_GLOBAL MEMOIZE BINGET LONG_BINGET BINPUT LONG_BINPUT
BINPERSID
""".split()  # noqa: SIM905


class _SafeUnpickler(_PICKLE._Unpickler):  # type: ignore[misc]
    def __init__(self, data: bytes, quoted: _Quoted) -> None:
        super().__init__(io.BytesIO(data))
        self.nodes: list[Any] = []
        self._quoted = quoted

    def find_class(self, module: Any, name: Any) -> Global:
        _check_length(module, name)
        return Global(f"{module}:{name}")

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is int:
            return NodeRef(pid, self.nodes)
        if type(pid) is str:
            _check_length(pid)
            return Global(pid)
        raise pickle.UnpicklingError(f"a reference by {type(pid).__name__}")

    def _reduce(self) -> None:
        args = self.stack.pop()
        made = self.stack[-1] = _made(self.stack[-1], args)
        if isinstance(made, Composite) and made.name == QUOTE:
            quoted = args[0] if args else None
            made.elements = self._quoted.load(quoted) if type(quoted) is bytes else ()

    def _newobj_ex(self) -> None:
        kwargs = self.stack.pop()
        self._reduce()
        if isinstance(self.stack[-1], Composite):
            self.stack[-1].state = kwargs

    def _build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Composite):
            self.stack[-1].state = state

    def _bytearray(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(min(size, MAX_SIZE))))

    def _empty_dict(self) -> None:
        self.append(Composite(DICT))

    def _empty_set(self) -> None:
        self.append(Composite(SET))

    def _frozenset(self) -> None:
        made = Composite(FROZENSET)
        made.elements = self.pop_mark()
        self.append(made)

    def _append_one(self) -> None:
        self._extend([self.stack.pop()])

    def _append_all(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Composite):
            if type(target.elements) is not list:
                target.elements = []
            target = target.elements
        if type(target) is not list:
            raise pickle.UnpicklingError(f"a {type(target).__name__} with elements")
        target.extend(items)

    def _set_one(self) -> None:
        value = self.stack.pop()
        self._set([self.stack.pop(), value])

    def _set_all(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, Composite):
            raise pickle.UnpicklingError(f"a {type(target).__name__} with entries")
        if type(target.entries) is not list:
            target.entries = []
        target.entries.extend(zip(items[::2], items[1::2]))

    dispatch = {
        **{
            getattr(_PICKLE, code)[0]: _PICKLE._Unpickler.dispatch[getattr(_PICKLE, code)[0]]
            for code in _KEPT
        },
        _PICKLE.REDUCE[0]: _reduce,
        _PICKLE.NEWOBJ[0]: _reduce,
        _PICKLE.NEWOBJ_EX[0]: _newobj_ex,
        _PICKLE.BUILD[0]: _build,
        _PICKLE.BYTEARRAY8[0]: _bytearray,
        _PICKLE.EMPTY_DICT[0]: _empty_dict,
        _PICKLE.EMPTY_SET[0]: _empty_set,
        _PICKLE.FROZENSET[0]: _frozenset,
        _PICKLE.APPEND[0]: _append_one,
        _PICKLE.APPENDS[0]: _append_all,
        _PICKLE.ADDITEMS[0]: _append_all,
        _PICKLE.SETITEM[0]: _set_one,
        _PICKLE.SETITEMS[0]: _set_all,
    }
