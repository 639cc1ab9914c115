"""Canonical bytes of a value, and the digests made of them.

The key of a value decides whether past work can be reused, so it must be the same in every
process, on every machine and on every Python: independent of `PYTHONHASHSEED`, of which equal
objects happen to be the same object, and of the order of a set.  Pickle gives none of that.  So
keys have an encoding of their own, in two forms:

* Atoms (`int`, `str`, `float`, `bytes`, `bool`, `None`, `complex`) and flat containers of them are
  written by `marshal` in its version 2: the last without references and interning, its bytes are
  a function of the value alone, and it is several times faster than pickle.  (Weighed against it:
  pickle's `fast` mode, 4 times slower; `ascii()`, which stops at integers of 4,300 digits.)
  `tests/test_hash.py` pins the bytes on every Python that is supported.
* Everything else is a Merkle tree: a tag that marshal never writes, then the 20-byte keys of the
  parts.  A part that occurs twice is encoded once.

Objects are encoded by what pickle would keep of them (attributes, or what `__reduce_ex__`
returns), under their class's name.  A class may instead say what identifies it: see
`register_encoder`.  Classes of this package are named as if it were imported as `redun_lite`,
wherever the copy at hand was imported from.
"""

from __future__ import annotations

import copyreg
import marshal
import sys
from hashlib import blake2b
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Callable

from ._errors import HashError

KEY_SIZE = 20
"""Bytes in a digest."""

PACKAGE = __name__.rpartition(".")[0]
CANONICAL_PACKAGE = "redun_lite"

_MARSHAL_VERSION = 2
_ATOMS = frozenset({int, float, str, bytes, bool, type(None), complex})
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by a `class` statement.

Encoder = Callable[["Canonicalizer", Any], bytes]


def digest(data: bytes) -> bytes:
    """Return the 20-byte blake2b digest of `data`."""
    return blake2b(data, digest_size=KEY_SIZE).digest()


def key_of(value: Any) -> bytes:
    """Return the key of a value: the digest of its canonical bytes.

    Parameters
    ----------
    value
        Any value that pickle could store; also functions and classes.

    Raises
    ------
    HashError
        The value holds something without a stable identity (a lock, a generator, …).  The
        message names the path to it inside the value.

    Examples
    --------
    >>> key_of({"b", "a"}) == key_of({"a", "b"})
    True
    >>> key_of([1, 2]).hex()
    '76a4b16b8d1ba4dc35bd5c0d1b43ba3cd6ea7fb5'
    """
    return blake2b(canonical(value), digest_size=KEY_SIZE).digest()


def canonical(value: Any) -> bytes:
    """Return the canonical bytes of a value; see `key_of`."""
    if is_flat(value):
        try:
            return marshal.dumps(value, _MARSHAL_VERSION)
        except ValueError:  # An atom of more than 2 GiB.
            pass
    try:
        return Canonicalizer().encode(value)
    except RecursionError:
        raise HashError(
            f"cannot make a key of {type(value).__name__}: it is nested too deeply; "
            "store deep structures flat, or give their class a get_hash()"
        ) from None


def is_flat(value: Any) -> bool:
    """Say whether a value is an atom, or a list, tuple or dict that holds atoms only.

    >>> is_flat({"a": 1}), is_flat([1, [2]]), is_flat({1, 2})
    (True, False, False)
    """
    cls = type(value)
    if cls in _ATOMS:
        return True
    if cls is list or cls is tuple:
        return _ATOMS.issuperset(map(type, value))
    if cls is dict:
        return _ATOMS.issuperset(map(type, value)) and _ATOMS.issuperset(map(type, value.values()))
    return False


def register_encoder(cls: type | str, encoder: Encoder) -> None:
    """Say what identifies the instances of a class and of its subclasses.

    Parameters
    ----------
    cls
        The class, or its `module.qualname` where it should not be imported yet.
    encoder
        Called with the `Canonicalizer` and the instance; returns its canonical bytes.  These must
        start with ``b"@"`` and a name that no other encoder uses.
    """
    _registered[cls] = encoder
    _encoders.clear()
    _encoders.update(_EXACT)


def global_name(obj: Any) -> str:
    """Return `module:qualname` of a class or function, the same for any copy of this package.

    >>> global_name(global_name)
    'redun_lite._hash:global_name'
    """
    module = getattr(obj, "__module__", None) or "builtins"
    if module == PACKAGE or module.startswith(PACKAGE + "."):
        module = CANONICAL_PACKAGE + module[len(PACKAGE) :]
    return f"{module}:{obj.__qualname__}"


def source_of(function: Callable[..., Any]) -> str:
    """Return the source of a function, without indentation and decorators.

    Of a function that has no source (typed at a prompt, compiled elsewhere) the byte code stands
    for it, which differs from one Python version to another.
    """
    import ast
    import inspect
    from textwrap import dedent

    try:
        source = dedent(inspect.getsource(function))
    except (OSError, TypeError):
        code = inspect.unwrap(function).__code__
        constants = [part for part in code.co_consts if not hasattr(part, "co_code")]
        return f"{code.co_code.hex()} {code.co_names} {constants}"
    if not source.startswith("@"):
        return source
    try:
        first_line = ast.parse(source).body[0].lineno
    except SyntaxError:
        return source
    return "".join(source.splitlines(keepends=True)[first_line - 1 :])


class Canonicalizer:
    """Encodes one value; remembers the parts it has seen while it does."""

    __slots__ = ("_depths", "_keys", "_outermost", "_seen")

    def __init__(self) -> None:
        self._keys: dict[int, bytes] = {}
        self._seen: list[Any] = []  # Keeps temporaries alive, so that no id is used twice.
        self._depths: dict[int, int] = {}  # Of the objects being encoded: id to depth.
        self._outermost = sys.maxsize  # Depth of the outermost object that a cycle leads back to.

    def key(self, value: Any) -> bytes:
        """Return the key of a part."""
        if is_flat(value):
            return key_of(value)
        memo = self._keys.get(id(value))
        if memo is not None:
            return memo
        around, self._outermost = self._outermost, sys.maxsize
        key = blake2b(self.encode(value), digest_size=KEY_SIZE).digest()
        if self._outermost >= len(self._depths):
            self._outermost = around
            self._keys[id(value)] = key
            self._seen.append(value)
        else:
            # It leads back to an object around it, so its key holds in this place only.
            self._outermost = min(around, self._outermost)
        return key

    def keys(self, values: Any, where: str = "[{}]") -> bytes:
        """Return the keys of several parts, joined; errors say which part, as `where` puts it."""
        name: Any = None
        parts = []
        try:
            for name, value in enumerate(values):  # noqa: B007
                parts.append(self.key(value))
        except HashError as error:
            raise error.within(where.format(name)) from None
        return b"".join(parts)

    def items(self, mapping: Any, where: str = "[{!r}]") -> bytes:
        """Return the keys of the names and values of a mapping, in its order."""
        name: Any = None
        parts = []
        try:
            for name, value in mapping.items():
                parts.append(self.key(name))
                parts.append(self.key(value))
        except HashError as error:
            raise error.within(where.format(name)) from None
        return b"".join(parts)

    def encode(self, value: Any) -> bytes:
        """Return the canonical bytes of a value that is not flat."""
        identity = id(value)
        depth = self._depths.get(identity)
        if depth is not None:
            self._outermost = min(self._outermost, depth)
            return b"@cycle" + (len(self._depths) - depth).to_bytes(4, "little")
        self._depths[identity] = len(self._depths)
        try:
            cls = type(value)
            encoder = _encoders.get(cls)
            if encoder is None:
                encoder = _encoders[cls] = _choose_encoder(cls, value)
            return encoder(self, value)
        finally:
            del self._depths[identity]


def _tag(kind: str, name: str) -> bytes:
    return f"@{kind} {name}\n".encode()


def _encode_large_atom(_: Canonicalizer, value: Any) -> bytes:
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    else:
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return _tag("large", type(value).__name__) + data


def _encode_list(parts: Canonicalizer, value: Any) -> bytes:
    return b"@list" + parts.keys(value)


def _encode_tuple(parts: Canonicalizer, value: Any) -> bytes:
    return b"@tuple" + parts.keys(value)


def _encode_dict(parts: Canonicalizer, value: Any) -> bytes:
    return b"@dict" + parts.items(value)


def _encode_set(parts: Canonicalizer, value: Any) -> bytes:
    try:
        members = sorted(map(parts.key, value))
    except HashError as error:
        raise error.within("{…}") from None
    return _tag("set", type(value).__name__) + b"".join(members)


def _encode_bytearray(_: Canonicalizer, value: Any) -> bytes:
    return b"@bytearray" + bytes(value)


def _encode_class(_: Canonicalizer, value: Any) -> bytes:
    return _tag("class", global_name(value))


def _encode_function(_: Canonicalizer, value: Any) -> bytes:
    source = source_of(value)
    return _tag("function", global_name(value)) + source.encode("utf-8", "surrogatepass")


def _encode_builtin(parts: Canonicalizer, value: Any) -> bytes:
    owner = value.__self__
    if owner is None or isinstance(owner, type(sys)):
        return _tag("function", global_name(value))
    return _tag("method", value.__name__) + parts.key(owner)


def _encode_method(parts: Canonicalizer, value: Any) -> bytes:
    return _tag("method", value.__name__) + parts.key(value.__self__)


def _encode_enum(_: Canonicalizer, value: Any) -> bytes:
    # A combination of flags has a name from Python 3.11 on, and none before.
    label = value.name if value.name in type(value).__members__ else repr(value.value)
    return _tag("enum", f"{global_name(type(value))}.{label}")


def _encode_path(_: Canonicalizer, value: Any) -> bytes:
    return _tag("path", type(value).__name__) + str(value).encode("utf-8", "surrogateescape")


def _encode_namedtuple(parts: Canonicalizer, value: Any) -> bytes:
    names = value._fields
    return _tag("namedtuple", global_name(type(value))) + parts.items(
        dict(zip(names, value)), ".{}"
    )


def _encode_attributes(parts: Canonicalizer, value: Any) -> bytes:
    """Encode an object that pickle would store as its attributes."""
    state = dict(getattr(value, "__dict__", ()))
    for name in copyreg._slotnames(type(value)):  # type: ignore[attr-defined]
        if hasattr(value, name):
            state[name] = getattr(value, name)
    return _tag("object", global_name(type(value))) + parts.items(
        {name: state[name] for name in sorted(state)}, ".{}"
    )


def _encode_reduced(parts: Canonicalizer, value: Any) -> bytes:
    """Encode an object that tells pickle how to rebuild it."""
    cls = type(value)
    try:
        custom = copyreg.dispatch_table.get(cls)
        reduced = custom(value) if custom else value.__reduce_ex__(4)
    except HashError:
        raise
    except RecursionError:
        raise
    except Exception as error:
        raise HashError(f"{cls.__name__} has no key ({error})") from None
    if isinstance(reduced, str):
        return _tag("global", f"{cls.__module__}:{reduced}")
    function, args, state, listitems, dictitems = (*reduced[:5], None, None, None)[:5]
    try:
        encoded = [parts.key(function), parts.key(tuple(args)), parts.key(state)]
    except HashError as error:
        raise error.within(f".__reduce__ of {cls.__name__}") from None
    if listitems is not None:
        encoded.append(digest(b"@items" + parts.keys(listitems)))
    if dictitems is not None:
        encoded.append(digest(b"@pairs" + parts.items(dict(dictitems))))
    return _tag("reduced", global_name(cls)) + b"".join(encoded)


def _encode_ndarray(parts: Canonicalizer, value: Any) -> bytes:
    head = _tag("numpy", f"{value.dtype.str} {value.shape}")
    if value.dtype.hasobject:
        return head + parts.keys(value.ravel().tolist())
    if value.dtype.names:
        head += repr(value.dtype.descr).encode()
    return head + bytes(value.tobytes())


def _encode_pandas(parts: Canonicalizer, value: Any) -> bytes:
    kind = type(value).__name__
    if kind == "DataFrame":
        columns = [value.iloc[:, i] for i in range(value.shape[1])]
        return b"@pandas.DataFrame" + b"".join(
            [parts.key(value.columns), parts.key(value.index)]
            + [parts.key(_plain_array(column)) for column in columns]
        )
    index = parts.key(value.index) if kind == "Series" else b""
    name = list(value.names) if hasattr(value, "names") else value.name
    return _tag("pandas", kind) + parts.key(name) + index + parts.key(_plain_array(value))


def _plain_array(column: Any) -> tuple[str, Any]:
    return (str(column.dtype), column.to_numpy())


def _choose_encoder(cls: type, instance: Any) -> Encoder:
    """Decide how the instances of a class are encoded; asked once for each class."""
    for base in cls.__mro__:
        encoder = _registered.get(base) or _registered.get(f"{base.__module__}.{base.__qualname__}")
        if encoder is not None:
            return encoder
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _encode_namedtuple
    if issubclass(cls, type):
        return _encode_class
    if cls in copyreg.dispatch_table or not _is_plain_class(cls):
        return _encode_reduced
    try:
        instance.__reduce_ex__(4)
    except TypeError as error:  # It has state in C that nobody can read: a lock, a socket.
        raise HashError(f"{cls.__name__} has no key ({error})") from None
    return _encode_attributes


def _is_plain_class(cls: type) -> bool:
    """Say whether instances are their attributes: no C state, no pickle methods of their own."""
    for base in cls.__mro__[:-1]:
        if not base.__flags__ & _HEAP_TYPE:
            return False
        for name in ("__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__"):
            if name in base.__dict__:
                return False
        # Slotted frozen dataclasses are given a __getstate__ whose form varies with the Python.
        getstate = base.__dict__.get("__getstate__")
        if getstate is not None and getattr(getstate, "__module__", "") != "dataclasses":
            return False
    return True


_EXACT: dict[type, Encoder] = {
    **dict.fromkeys(_ATOMS, _encode_large_atom),
    list: _encode_list,
    tuple: _encode_tuple,
    dict: _encode_dict,
    set: _encode_set,
    frozenset: _encode_set,
    bytearray: _encode_bytearray,
    type: _encode_class,
    FunctionType: _encode_function,
    BuiltinFunctionType: _encode_builtin,
    MethodType: _encode_method,
}
_encoders: dict[type, Encoder] = dict(_EXACT)
_registered: dict[type | str, Encoder] = {
    "enum.Enum": _encode_enum,
    "pathlib.PurePath": _encode_path,
    "pathlib._local.PurePath": _encode_path,  # Its name in Python 3.13.
    "numpy.ndarray": _encode_ndarray,
    "numpy.generic": _encode_ndarray,
    "pandas.core.frame.DataFrame": _encode_pandas,
    "pandas.core.series.Series": _encode_pandas,
    "pandas.core.indexes.base.Index": _encode_pandas,
    "pandas.DataFrame": _encode_pandas,
    "pandas.Series": _encode_pandas,
    "pandas.Index": _encode_pandas,
}
