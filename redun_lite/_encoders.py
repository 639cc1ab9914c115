"""What of a value is in its key: an encoder for each kind of value.

An encoder returns the canonical bytes of a value: a tag that marshal never writes, then the keys of
its parts, for which it asks whoever encodes the whole.

Objects are encoded by what pickle would keep of them (attributes, or what `__reduce_ex__`
returns) and by what a subclass adds to a class that knows nothing of it, under their class's name.
Classes themselves are their names, functions what they are made of.  A class of a library has an
encoder of its own where what pickle keeps differs from one Python, or one version of the library,
to another.
"""

from __future__ import annotations

import copyreg
import os
import sys
from functools import _lru_cache_wrapper, cache, cached_property
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any, Callable, Protocol

from ._digest import ATOMS, NO_KEY, digest
from ._errors import HashError
from ._names import global_name, module_name
from ._source import find_source, members_of

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: not one of the types that are built into Python.
_LIBRARY_FOLDER = os.path.join(os.path.dirname(os.__file__), "")
_OWN_FOLDER = os.path.join(os.path.dirname(__file__), "")
_OWN_ATTRIBUTE = "_redun_lite"  # What the engine adds to an error starts so.

_PICKLE_HOOKS = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})


class Parts(Protocol):
    """Whoever encodes a whole value, as the encoders of its parts see it.

    Attributes
    ----------
    with_sources
        Whether the source of a class counts, not its name only.
    """

    with_sources: bool

    def key(self, value: Any) -> bytes:
        """Return the key of a part."""
        ...

    def key_if_any(self, value: Any) -> bytes | None:
        """Return the key of a part, or None if it has none."""
        ...

    def keys(self, values: Any, where: str = "[{}]") -> bytes:
        """Return the keys of several parts, joined; errors say which part, as `where` puts it."""
        ...

    def items(self, mapping: Any, where: str = "[{!r}]") -> bytes:
        """Return the keys of the names and values of a mapping, in its order."""
        ...


Encoder = Callable[[Parts, Any], bytes]


def tag(kind: str, name: str) -> bytes:
    """Return how the canonical bytes of some kind of value begin."""
    return f"@{kind} {name}\n".encode("utf-8", "surrogatepass")


def _encode_large_atom(_: Parts, value: Any) -> bytes:
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    else:
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return tag("large", type(value).__name__) + data


def _encode_list(parts: Parts, value: Any) -> bytes:
    return b"@list" + parts.keys(value)


def _encode_tuple(parts: Parts, value: Any) -> bytes:
    return b"@tuple" + parts.keys(value)


def _encode_dict(parts: Parts, value: Any) -> bytes:
    return b"@dict" + parts.items(value)


def _encode_mapping_proxy(parts: Parts, value: Any) -> bytes:
    return b"@mapping proxy" + parts.items(value)


def _encode_set(parts: Parts, value: Any) -> bytes:
    cls = type(value)
    try:
        members = b"".join(sorted(map(parts.key, value)))
    except HashError as error:
        raise error.within("{…}") from error.__cause__
    if cls is set or cls is frozenset:
        return tag("set", cls.__name__) + members
    return tag("set", global_name(cls)) + digest(members) + _attributes(parts, value)


def _encode_bytearray(_: Parts, value: Any) -> bytes:
    return b"@bytearray" + bytes(value)


def _encode_class(parts: Parts, value: Any) -> bytes:
    """Encode a class by its name, by which pickle finds it, or by its source if that counts.

    Classes made by one function may have one name, but pickle does not find any of them by it.
    """
    if parts.with_sources or "<locals>" in value.__qualname__:
        return _encode_class_source(parts, value)
    return tag("global", global_name(value))


def _encode_class_source(parts: Parts, value: Any) -> bytes:
    """Encode a class by its text, and by what its functions have taken from around them.

    Where there is no text, by its functions and constants.  Classes of the standard library and of
    this package are known by their names.
    """
    if _is_given_class(value):
        return tag("global", global_name(value))
    text = find_source(value) or ""
    members = {}
    for name, member in members_of(value):
        if not isinstance(member, FunctionType):
            is_counted = not text
        elif text:  # Which generated functions follow from.
            is_counted = not _is_given_file(member.__code__.co_filename, generated=True)
        else:
            is_counted = not _is_given(member)
        if is_counted:
            members[name] = member
    head = tag("class source", global_name(value))
    return head + parts.key(text) + _items_with_keys(parts, members)


def _encode_module(_: Parts, value: Any) -> bytes:
    return tag("module", value.__name__)


def _encode_function(parts: Parts, value: Any) -> bytes:
    """Encode a function by its source, and by what it has taken from around it.

    Not by the source of what it wraps, which is among the latter: all that one decorator makes of
    a function bears the same name.  Functions of the standard library and of this package are
    known by their names, as their source varies with the version.
    """
    name = tag("function", global_name(value))
    is_local = "<" in value.__qualname__
    if not is_local and _is_given(value):
        return name
    code = value.__code__
    source = find_source(value, unwrap=False) or in_place_of_source(parts.key(code))
    encoded = name + parts.key(source)
    if code.co_name == "<lambda>" and source.count("lambda") > 1:
        encoded += parts.key(code)  # Which of those in the line it is cannot be told.
    around = {f".{attribute}": part for attribute, part in sorted(vars(value).items())}
    for i, default in enumerate(value.__defaults__ or ()):
        around[f"default {i}"] = default
    for parameter, default in sorted((value.__kwdefaults__ or {}).items()):
        around[f"default of {parameter}"] = default
    for variable, cell in zip(code.co_freevars, value.__closure__ or ()):
        try:
            around[variable] = cell.cell_contents
        except ValueError:  # Not assigned yet.
            continue
    if is_local:  # It is nothing but this.
        return encoded + parts.items(around, " around it: {}")
    return encoded + _items_with_keys(parts, around)


def in_place_of_source(key: bytes) -> str:
    """Return what stands for the source of a function that has none, by the key of its code."""
    return f"byte code {key.hex()}"


def _items_with_keys(parts: Parts, mapping: dict[str, Any]) -> bytes:
    """Return the keys of the names of a mapping, and of those values that have one."""
    return b"".join(
        parts.key(name) + (parts.key_if_any(value) or NO_KEY) for name, value in mapping.items()
    )


def _is_given(function: FunctionType) -> bool:
    """Say whether a function is of the standard library or this package, and named as it is."""
    is_named = function.__globals__.get("__name__") == function.__module__
    return is_named and _is_given_file(function.__code__.co_filename)


def _is_given_class(cls: type) -> bool:
    module = cls.__module__
    if module in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return module != "__main__" and _is_given_file(file or "")


def _is_given_file(path: str, generated: bool = False) -> bool:
    """Say whether a file is of the standard library or this package, or of no file if so asked."""
    return path.startswith((_OWN_FOLDER, "<" if generated else "<frozen ")) or (
        path.startswith(_LIBRARY_FOLDER) and f"-packages{os.sep}" not in path
    )


def _encode_cached_function(parts: Parts, value: Any) -> bytes:
    return b"@cached function" + parts.key(value.__wrapped__)


def _encode_code(parts: Parts, value: Any) -> bytes:
    names = (value.co_name, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
    counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
    described = (names, counts, value.co_code, value.co_consts)
    return b"@code" + parts.keys(described) + getattr(value, "co_exceptiontable", b"")


def _encode_builtin(parts: Parts, value: Any) -> bytes:
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType):
        return tag("function", global_name(value))
    return tag("method", value.__name__) + parts.key(owner)


def _encode_method(parts: Parts, value: Any) -> bytes:
    return tag("method", value.__name__) + parts.keys((value.__self__, value.__func__))


def _encode_partial(parts: Parts, value: Any) -> bytes:
    named = (value.func, value.args, value.keywords)
    return tag("partial", global_name(type(value))) + parts.keys(named) + _attributes(parts, value)


def _encode_enum(parts: Parts, value: Any) -> bytes:
    """Encode a member by its name and its value.

    A task may look at either, and by either is it found again, as its class and the Python have it.
    A value that has no key (a lock) belongs to a member that is found by name.
    """
    name = tag("enum", f"{global_name(type(value))}.{value._name_}")
    return name + (parts.key_if_any(value._value_) or b"")


def _encode_flag(parts: Parts, value: Any) -> bytes:
    """Encode flags by their value, and the names of those that have a bit of their own."""
    named = (value._value_, flag_names(value))
    return tag("flag", global_name(type(value))) + parts.keys(named)


def flag_names(value: Any) -> list[str]:
    """Return the names of the flags that are set, then that of the combination if it has one."""
    cls, bits = type(value), value._value_
    names = [
        name
        for name, member in cls.__members__.items()
        if member._name_ == name and _is_one_bit(member._value_) and bits & member._value_
    ]
    if value._name_ in cls.__members__:  # Combinations have names that depend on the Python.
        names.append(value._name_)
    return names


def _is_one_bit(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _encode_path(parts: Parts, value: Any) -> bytes:
    cls = type(value)
    text = str(value).encode("utf-8", "surrogatepass")
    if _library(cls) == "pathlib":
        return tag("path", cls.__name__) + text
    return tag("path", global_name(cls)) + digest(text) + parts.items(_added(value), ".{}")


def _encode_zone(parts: Parts, value: Any) -> bytes:
    value.__reduce__()  # Raises if it was read from a stream, under whatever name.
    name = tag("zone", f"{global_name(type(value))} {value.key}")
    return name + parts.items(_added(value), ".{}")


def _encode_counter(parts: Parts, value: Any) -> bytes:
    return _encode_reduced(parts, value) + _attributes(parts, value)


def _encode_error(parts: Parts, value: Any) -> bytes:
    """Encode an exception: its class, what it was made from, and what it was given since.

    Not its state as pickle sees it, to which Python versions add attributes of their own.
    """
    args = value.__reduce__()[1]  # In `args` of an OSError, the file name is missing.
    given = {
        name: attribute
        for name, attribute in _state(value).items()
        if not name.startswith(_OWN_ATTRIBUTE)
    }
    if isinstance(value, ImportError):
        given.update(name=value.name, path=value.path)
    return (
        tag("error", global_name(type(value)))
        + digest(parts.keys(args, ".args[{}]"))
        + parts.items(given, ".{}")
    )


def _encode_namedtuple(parts: Parts, value: Any) -> bytes:
    fields = dict(zip(value._fields, value))
    if len(fields) != len(value):  # A subclass has more in it than its fields.
        return encode_state(parts, value)
    encoded = tag("namedtuple", global_name(type(value))) + parts.items(fields, ".{}")
    return encoded + _attributes(parts, value) if getattr(value, "__dict__", None) else encoded


def _encode_attributes(parts: Parts, value: Any) -> bytes:
    """Encode an object that pickle would store as its attributes."""
    return tag("object", global_name(type(value))) + _attributes(parts, value)


def _attributes(parts: Parts, value: Any) -> bytes:
    return parts.items(_state(value), ".{}")


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes of an object by name, but for what its cached properties keep."""
    cls: Any = type(value)
    state = dict(getattr(value, "__dict__", ()))
    slots, derived = _declared_names(cls)
    for name in slots:
        if hasattr(value, name):
            state[name] = getattr(value, name)
    names = sorted(state) if not derived else sorted(state.keys() - derived)
    return {name: state[name] for name in names}


@cache
def _declared_names(cls: type) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of the slots of a class, and of its cached properties."""
    defined: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        defined.update(vars(base))
    derived = (name for name, what in defined.items() if isinstance(what, cached_property))
    return _slots(cls), frozenset(derived)


def _slots(cls: type) -> tuple[str, ...]:
    return tuple(copyreg._slotnames(cls))  # type: ignore[attr-defined]


def _added(value: Any) -> dict[str, Any]:
    """Return the attributes that a library, which pickles an object, does not know of.

    Pickle loses them, if the library has given the class a `__reduce__` that is about itself.  But
    the object that a task is given has them.
    """
    cls: Any = type(value)
    has_dict, slots = _additions(cls)
    if not has_dict and not slots:
        return {}
    names = slots.union(vars(value)) if has_dict else slots
    return {name: part for name, part in _state(value).items() if name in names}


@cache
def _additions(cls: type) -> tuple[bool, frozenset[str]]:
    """Say whether `__dict__`, and which slots, are not of the library that pickles a class."""
    library = _pickling_library(cls)
    if library is None or library == "copyreg":
        return False, frozenset()
    known = [base for base in cls.__mro__ if _library(base) == library]
    has_dict = bool(cls.__dictoffset__) and not any(base.__dictoffset__ for base in known)
    return has_dict, frozenset(_slots(cls)).difference(*map(_slots, known))


def _pickling_library(cls: type) -> str | None:
    """Return the library of the class that says how a class is pickled, None if none does."""
    if cls in copyreg.dispatch_table:
        return "copyreg"
    for base in cls.__mro__[:-1]:
        if not _PICKLE_HOOKS.isdisjoint(vars(base)):
            return _library(base)
    return None


def _library(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _encode_reduced(parts: Parts, value: Any) -> bytes:
    """Encode an object that tells pickle how to rebuild it."""
    cls = type(value)
    custom = copyreg.dispatch_table.get(cls)
    try:
        reduced = custom(value) if custom else value.__reduce_ex__(4)
    except TypeError as error:  # "cannot pickle 'lock' object" is all there is to say.
        raise HashError(f"cannot make a key of {cls.__name__}: {error}") from None
    if isinstance(reduced, str):
        return tag("global", f"{module_name(value)}:{reduced}")
    pieces: list[Any] = [*reduced, None, None, None]
    function, args, state, listitems, dictitems = pieces[:5]
    added = _added(value)
    try:
        named = tuple([global_name(arg) if isinstance(arg, type) else arg for arg in args])
        which = bytes([isinstance(arg, type) for arg in args])
        encoded = [
            _key_of_maker(parts, function),
            digest(parts.key(named) + which),
            parts.key(_plain_state(cls, state, added)),
        ]
    except HashError as error:
        raise error.within(f".__reduce__ of {cls.__name__}") from error.__cause__
    if listitems is not None:
        encoded.append(digest(b"@items" + parts.keys(listitems)))
    if dictitems is not None:
        encoded.append(digest(b"@pairs" + parts.items(dict(dictitems))))
    if added:
        encoded.append(digest(b"@added" + parts.items(added, ".{}")))
    return tag("reduced", global_name(cls)) + b"".join(encoded)


def _key_of_maker(parts: Parts, maker: Any) -> bytes:
    """Return the key of what rebuilds an object; of a class or function that of its name.

    Its source is not the object's, and may differ from one Python to another.
    """
    if isinstance(maker, type):
        return digest(tag("global", global_name(maker)))
    if isinstance(maker, FunctionType) and "<" not in maker.__qualname__:
        return digest(tag("function", global_name(maker)))
    if isinstance(maker, MethodType):
        return digest(tag("method", maker.__name__) + _key_of_maker(parts, maker.__self__))
    return parts.key(maker)


def _plain_state(cls: type, state: Any, added: dict[str, Any]) -> Any:
    """Return the state of an object without what Python versions differ in.

    Where there are no attributes, some give an empty dict and some give None; and some give slots
    to what has been added to an object, others not.
    """
    if type(state) is dict:
        return _without(state, added) or None
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict:
        attributes, slots = state
        if attributes is None or type(attributes) is dict:
            if _pickling_library(cls) is None:
                return (attributes or None, dict(sorted(slots.items())))
            if added:
                slots = _without(slots, added)
                attributes = _without(attributes or {}, added) or None
                return (attributes, slots) if slots else attributes
    return state


def _without(state: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in state.items() if name not in names} if names else state


def _encode_ndarray(parts: Parts, value: Any) -> bytes:
    cls = type(value)
    kind = "array" if hasattr(cls, "__array_finalize__") else "scalar"
    is_own = _library(cls) == "numpy"
    if not is_own or (kind == "array" and cls.__name__ != "ndarray"):
        return _encode_reduced(parts, value)  # A subclass may add to the data: a unit, a mask.
    head = tag("numpy", f"{kind} {value.dtype.str} {value.shape}")
    if value.dtype.names:  # By field, since there may be gaps with anything in them.
        return head + parts.items({name: value[name] for name in value.dtype.names})
    if value.dtype.hasobject:
        return head + parts.key(value.ravel().tolist())
    return head + bytes(value.tobytes())


def _encode_pandas(parts: Parts, value: Any) -> bytes:
    cls = type(value)
    is_own = _library(cls) == "pandas"
    head = tag("pandas", cls.__name__ if is_own else global_name(cls))
    listed = set(getattr(value, "_metadata", ())) - {"name", "_name"}  # Added by subclasses.
    listed.update(name for name in getattr(value, "__dict__", ()) if not name.startswith("_"))
    added: dict[str, Any] = {name: getattr(value, name, None) for name in sorted(listed)}
    if getattr(value, "attrs", None):
        added[".attrs"] = value.attrs
    if added:
        head += digest(parts.items(added, ".{}"))
    if value.ndim == 2:
        columns = {i: _plain_column(value.iloc[:, i]) for i in range(value.shape[1])}
        return head + parts.keys((value.columns, value.index)) + parts.items(columns)
    name = list(value.names) if hasattr(value, "names") else value.name
    index = value.index if hasattr(value, "index") else None
    return head + parts.keys((name, index, _plain_column(value)))


def _plain_column(column: Any) -> tuple[Any, ...]:
    """Return what says the type of a column, and its values as an array."""
    dtype = column.dtype
    if getattr(dtype, "tz", None) is not None:
        column = getattr(column, "dt", column).tz_convert(None)
    if hasattr(dtype, "categories"):
        return (str(dtype), dtype.ordered, dtype.categories, column.to_numpy())
    return (str(dtype), column.to_numpy())


def _known_encoder(cls: type) -> Encoder | None:
    """Return the encoder for a class of a library, unless a subclass says how it is pickled."""
    for base in cls.__mro__:
        encoder = _KNOWN.get(f"{base.__module__}.{base.__qualname__}")
        if encoder is not None:
            library = _library(base)
            return encoder if library == "enum" or library == _pickling_library(cls) else None
    return None


def encode_by_kind(parts: Parts, value: Any) -> bytes:
    """Encode an object as if nothing were registered for its class."""
    cls = type(value)
    return (EXACT.get(cls) or choose_by_kind(cls))(parts, value)


def choose_by_kind(cls: type) -> Encoder:
    """Decide how the instances of a class are encoded, if nobody has said it for that class."""
    known = _known_encoder(cls)
    if known is not None:
        return known
    if issubclass(cls, type):
        return _encode_class
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _encode_namedtuple
    if not has_pickle_methods(cls):
        if issubclass(cls, (set, frozenset)):
            return _encode_set
        if issubclass(cls, BaseException):
            return _encode_error
    return encode_state


def encode_state(parts: Parts, value: Any) -> bytes:
    """Encode an object by what pickle would keep of it."""
    cls = type(value)
    encoder = _state_encoders.get(cls)
    if encoder is None:
        encoder = _state_encoders[cls] = _choose_state_encoder(cls, value)
    return encoder(parts, value)


def _choose_state_encoder(cls: type, value: Any) -> Encoder:
    known = _known_encoder(cls)
    if known is not None:
        return known
    if has_pickle_methods(cls) or not _is_plain(cls, value):
        return _encode_reduced
    return _encode_attributes


def has_pickle_methods(cls: type) -> bool:
    """Say whether the author of a class said how pickle is to treat its instances."""
    if cls in copyreg.dispatch_table:
        return True
    for base in cls.__mro__:
        if not base.__flags__ & _HEAP_TYPE:
            continue
        for name in ("__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__"):
            if name in base.__dict__:
                return True
        # Slotted frozen dataclasses are given a __getstate__ whose form varies with the Python.
        getstate = base.__dict__.get("__getstate__")
        if getstate is not None and getattr(getstate, "__module__", "") != "dataclasses":
            return True
    return False


def _is_plain(cls: type, value: Any) -> bool:
    """Say whether the instances of a class are their attributes and nothing else."""
    if any(not base.__flags__ & _HEAP_TYPE for base in cls.__mro__[:-1]):
        return False
    try:
        value.__reduce_ex__(4)
    except TypeError:  # It has state that is written in C: a lock, a connection.
        return False
    except Exception:
        pass
    return True


EXACT: dict[type, Encoder] = {
    **dict.fromkeys(ATOMS, _encode_large_atom),
    list: _encode_list,
    tuple: _encode_tuple,
    dict: _encode_dict,
    set: _encode_set,
    frozenset: _encode_set,
    bytearray: _encode_bytearray,
    type: _encode_class,
    ModuleType: _encode_module,
    MappingProxyType: _encode_mapping_proxy,  # What functools.singledispatch keeps.
    FunctionType: _encode_function,
    _lru_cache_wrapper: _encode_cached_function,
    CodeType: _encode_code,
    BuiltinFunctionType: _encode_builtin,
    MethodType: _encode_method,
}
"""For instances of a class, but not of its subclasses."""

_state_encoders: dict[type, Encoder] = {}
_KNOWN: dict[str, Encoder] = {  # By name, as most of them are rarely imported.
    "enum.Enum": _encode_enum,
    "enum.Flag": _encode_flag,
    "fractions.Fraction": _encode_attributes,  # What it is reduced to varies with the Python.
    "zoneinfo.ZoneInfo": _encode_zone,  # As does this.
    "functools.partial": _encode_partial,  # That it has no attributes is kept in two ways.
    "collections.Counter": _encode_counter,  # Its attributes are not pickled.
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
