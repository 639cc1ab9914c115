"""Values: what tasks take and return, how they are keyed, stored, checked and taken apart.

Any Python value can be an argument or a result.  A class joins in closer by subclassing `Value`
and overriding its hooks (a file says whether it is still what it was); a `ProxyValue` does the
same for a foreign class.  `TypeRegistry` is the one place that knows both kinds.

A *nested value* is a list, tuple, dict, set, frozenset, namedtuple or dataclass: the engine looks
for expressions and Values inside it.  `parts_of` and `with_parts` take one apart and put it
together again; everything that walks nested values is made of these two.

Values are stored as pickles.  Classes and functions of this package are written under the name
that they have when it is imported as `redun_lite`, so a vendored copy reads what an installed one
wrote.  Stored bytes are never hashed: keys come from `_hash`.
"""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import is_dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any, Callable, ClassVar, Iterable, Iterator

from ._errors import HashError, UsageError
from ._hash import (
    CANONICAL_PACKAGE,
    PACKAGE,
    Canonicalizer,
    _tag,
    canonical_object,
    digest,
    encode_state,
    global_name,
    is_flat,
    key_of,
    register_encoder,
)

PICKLE_PROTOCOL = 5

_value_classes: dict[str, Any] = {}  # By type_name.
_proxies: dict[Any, Any] = {}  # By the class that they stand for.


class Value:
    """A class of arguments and results that decides for itself what it is.

    Subclass it, and override what differs from the default.  Instances are identified by what
    `get_hash` returns, stored as `serialize` says, and reused from the cache only while
    `is_valid` says so.

    Examples
    --------
    >>> class Temperature(Value):
    ...     def __init__(self, celsius):
    ...         self.celsius = celsius
    >>> TypeRegistry().get_hash(Temperature(20)) == TypeRegistry().get_hash(Temperature(20))
    True
    """

    type_name: ClassVar[str] = "redun_lite.Value"
    """Name under which the class is recorded; `module.Class` unless the class sets it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "type_name" not in cls.__dict__:
            cls.type_name = global_name(cls).replace(":", ".")
        _value_classes[cls.type_name] = cls

    def is_valid(self) -> bool:
        """Say whether a value from the cache still holds."""
        return True

    def get_hash(self, data: bytes | None = None) -> str:
        """Return the 40 hex digits that identify the value.

        Parameters
        ----------
        data
            The serialized value, where the caller has it at hand.
        """
        return digest(canonical_object(self, encode_state)).hex()

    def serialize(self) -> bytes:
        """Return the bytes to store."""
        return dumps(self)

    @classmethod
    def deserialize(cls, raw_type: Any, data: bytes) -> Any:
        """Return the value that `serialize` stored."""
        return loads(data)

    def preprocess(self, preprocess_args: dict[str, Any]) -> Any:
        """Return what a task that takes the value as an argument is to see."""
        return self

    def postprocess(self, postprocess_args: dict[str, Any]) -> Any:
        """Return what is to be recorded when a task returns the value."""
        return self

    def iter_subvalues(self) -> Iterator[Any]:
        """Yield the values inside, which are recorded beside this one."""
        return iter(())

    @classmethod
    def parse_arg(cls, raw_type: Any, arg: str) -> Any:
        """Return the value that a command-line argument stands for."""
        raise UsageError(f"{cls.__name__} cannot be given on the command line")


_value_classes[Value.type_name] = Value


class ProxyValue(Value):
    """Gives a foreign class the hooks of `Value`.

    Set `type` to the class; an instance of the proxy wraps one `instance` of it.

    Examples
    --------
    >>> from fractions import Fraction
    >>> class FractionProxy(ProxyValue):
    ...     type = Fraction
    ...     def get_hash(self, data=None):
    ...         return f"{self.instance.numerator:020x}{self.instance.denominator:020x}"
    >>> TypeRegistry().get_hash(Fraction(1, 2))
    '0000000000000000000100000000000000000002'
    """

    type: ClassVar[Any] = None

    def __init__(self, instance: Any) -> None:
        self.instance = instance

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.type is not None:
            _proxies[cls.type] = cls
            if cls.get_hash is not ProxyValue.get_hash:
                register_encoder(cls.type, _encode_proxied)

    def get_hash(self, data: bytes | None = None) -> str:
        return key_of(self.instance).hex()

    def serialize(self) -> bytes:
        return dumps(self.instance)



def _encode_value(parts: Canonicalizer, value: Value) -> bytes:
    if type(value).get_hash is Value.get_hash:
        return encode_state(parts, value)
    return _tag("value", value.type_name) + value.get_hash().encode()


def _encode_proxied(_: Canonicalizer, value: Any) -> bytes:
    proxy = get_type_registry().get_value(value)
    return _tag("value", proxy.type_name) + proxy.get_hash().encode()


register_encoder(Value, _encode_value)


# Nested values


def parts_of(value: Any) -> Iterable[Any] | None:
    """Return what a nested value holds, or None if the value is not nested.

    >>> parts_of([1, "a"]), parts_of({"k": 2}), parts_of("abc")
    ([1, 'a'], ['k', 2], None)
    """
    take_apart = _NESTED.get(type(value))
    if take_apart is None:
        take_apart = _NESTED[type(value)] = _choose_parts(type(value))
    return take_apart(value)


def with_parts(value: Any, parts: list[Any]) -> Any:
    """Return a nested value of the same kind that holds other parts.

    Parameters
    ----------
    value
        A nested value.
    parts
        As many parts as `parts_of(value)` gives, in that order.
    """
    cls: Any = type(value)
    if cls is list:
        return parts
    if cls is tuple or cls is set or cls is frozenset:
        return cls(parts)
    if isinstance(value, dict):
        pairs = zip(parts[::2], parts[1::2])
        if cls is dict:
            return dict(pairs)
        copy = value.copy()
        copy.clear()
        copy.update(pairs)
        return copy
    if issubclass(cls, tuple):
        return tuple.__new__(cls, parts)
    copy = cls.__new__(cls)
    for name in _attribute_names(value):
        object.__setattr__(copy, name, getattr(value, name))
    for name, part in zip(cls.__dataclass_fields__, parts):
        object.__setattr__(copy, name, part)
    return copy


def map_nested(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to every leaf of a nested value.

    The parts that do not change are kept, not copied.

    >>> map_nested(lambda leaf: leaf + 1, [1, {"a": (2, 3)}])
    [2, {'b': (3, 4)}]
    """
    parts = parts_of(value)
    if parts is None:
        return function(value)
    changed = False
    mapped = []
    for part in parts:
        new = map_nested(function, part)
        changed = changed or new is not part
        mapped.append(new)
    return with_parts(value, mapped) if changed else value


def iter_nested(value: Any) -> Iterator[Any]:
    """Yield every leaf of a nested value, in order."""
    stack = [value]
    while stack:
        value = stack.pop()
        parts = parts_of(value)
        if parts is None:
            yield value
        else:
            stack.extend(reversed(list(parts)))


def _no_parts(_: Any) -> None:
    return None


def _dict_parts(value: Any) -> list[Any]:
    return [part for pair in value.items() for part in pair]


def _dataclass_parts(value: Any) -> list[Any]:
    return [getattr(value, name, None) for name in value.__dataclass_fields__]


def _choose_parts(cls: type) -> Callable[[Any], Iterable[Any] | None]:
    if issubclass(cls, Value):
        return _no_parts
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _same
    if issubclass(cls, dict):
        return _dict_parts
    if is_dataclass(cls) and not issubclass(cls, type):
        return _dataclass_parts
    return _no_parts


def _same(value: Any) -> Any:
    return value


def _attribute_names(value: Any) -> list[str]:
    names = list(getattr(value, "__dict__", ()))
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        slots = (slots,) if isinstance(slots, str) else slots
        names += [name for name in slots if name != "__weakref__" and hasattr(value, name)]
    return names


_NESTED: dict[type, Callable[[Any], Iterable[Any] | None]] = {
    list: _same,
    tuple: _same,
    set: _same,
    frozenset: _same,
    dict: _dict_parts,
    **dict.fromkeys((int, str, float, bool, bytes, type(None)), _no_parts),
}


# Storage


class ValuePickler(pickle.Pickler):
    """Pickles values, naming this package's classes as any copy of it would."""

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)):
            module = obj.__module__ or ""
            if module.startswith(PACKAGE) and module[len(PACKAGE) :][:1] in ("", "."):
                return global_name(obj)
        return None


class ValueUnpickler(pickle.Unpickler):
    """Loads what `ValuePickler` wrote."""

    def persistent_load(self, pid: Any) -> Any:
        return find_package_global(pid)


def find_package_global(name: str) -> Any:
    """Return the class or function of this package that `global_name` names."""
    module, _, qualname = name.partition(":")
    if module.partition(".")[0] != CANONICAL_PACKAGE:
        raise pickle.UnpicklingError(f"{name!r} is not part of {CANONICAL_PACKAGE}")
    module = PACKAGE + module[len(CANONICAL_PACKAGE) :]
    __import__(module)
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def dumps(value: Any) -> bytes:
    """Return the bytes that store a value.

    Raises
    ------
    HashError
        The value cannot be pickled; the message names the part that cannot.
    """
    if is_flat(value):
        return pickle.dumps(value, PICKLE_PROTOCOL)
    return pickle_with(ValuePickler, value)


def pickle_with(pickler: Callable[..., pickle.Pickler], value: Any) -> bytes:
    """Pickle a value with a given pickler, or say which part of it cannot be."""
    stream = io.BytesIO()
    try:
        pickler(stream, PICKLE_PROTOCOL).dump(value)
    except Exception as error:
        path, part = _unpicklable_part(pickler, value)
        reason = f"{type(part).__name__} cannot be stored ({type(error).__name__}: {error})"
        raise HashError(reason, path) from None
    return stream.getvalue()


def _unpicklable_part(pickler: Callable[..., pickle.Pickler], value: Any) -> tuple[str, Any]:
    """Return the innermost part of a value that cannot be pickled, and the path to it."""
    path = ""
    while True:
        parts = parts_of(value)
        labels: Iterable[str]
        if isinstance(value, dict):
            parts, labels = value.values(), (f"[{key!r}]" for key in value)
        elif hasattr(value, "__dict__") and parts is None:
            parts, labels = list(vars(value).values()), (f".{name}" for name in vars(value))
        elif parts is None:
            parts, labels = (), ()
        elif is_dataclass(value):
            labels = (f".{name}" for name in value.__dataclass_fields__)
        else:
            labels = (f"[{i}]" for i in range(len(list(parts))))
        for label, part in zip(labels, parts):
            try:
                pickler(io.BytesIO(), PICKLE_PROTOCOL).dump(part)
            except Exception:
                path, value = path + label, part
                break
        else:
            return path, value


def loads(data: bytes) -> Any:
    """Return the value that `dumps` stored."""
    return ValueUnpickler(io.BytesIO(data)).load()


class TypeRegistry:
    """Treats every value alike: Values, classes with a registered proxy, and all others."""

    def get_value(self, raw_value: Any) -> Value | ProxyValue:
        """Return the value itself if it is a Value, else the proxy around it."""
        if isinstance(raw_value, Value):
            return raw_value
        for base in type(raw_value).__mro__:
            proxy = _proxies.get(base)
            if proxy is not None:
                wrapped: ProxyValue = proxy(raw_value)
                return wrapped
        return ProxyValue(raw_value)

    def get_hash(self, value: Any) -> str:
        """Return the 40 hex digits of a value's key."""
        return key_of(value).hex()

    def get_type_name(self, raw_type: Any) -> str:
        """Return the name under which a class is recorded.

        >>> TypeRegistry().get_type_name(int)
        'builtins.int'
        """
        if isinstance(raw_type, type) and issubclass(raw_type, Value):
            return raw_type.type_name
        proxy = _proxies.get(raw_type)
        if proxy is not None and "type_name" in proxy.__dict__:
            return str(proxy.type_name)
        return global_name(raw_type).replace(":", ".")

    def parse_type_name(self, type_name: str) -> Any:
        """Return the Value class that is recorded under a name, or None."""
        return _value_classes.get(type_name)

    def is_valid(self, value: Any) -> bool:
        """Say whether one value from the cache still holds."""
        return self.get_value(value).is_valid()

    def is_valid_nested(self, value: Any) -> bool:
        """Say whether a value from the cache, and all that is in it, still holds."""
        return is_flat(value) or all(map(self.is_valid, iter_nested(value)))

    def serialize(self, value: Any) -> bytes:
        """Return the bytes that store a value."""
        return self.get_value(value).serialize()

    def deserialize(self, type_name: str, data: bytes) -> Any:
        """Return the value that was stored."""
        cls = _value_classes.get(type_name, Value)
        return cls.deserialize(getattr(cls, "type", None) or cls, data)

    def iter_subvalues(self, value: Any) -> Iterator[Any]:
        """Yield the values inside a value that have hooks of their own."""
        for leaf in iter_nested(value):
            if leaf is not value and isinstance(leaf, Value):
                yield leaf
            yield from self.get_value(leaf).iter_subvalues()

    def parse_arg(self, raw_type: Any, arg: str) -> Any:
        """Return the value of a class that a command-line argument stands for."""
        proxy = _proxies.get(raw_type)
        return (proxy or raw_type).parse_arg(raw_type, arg)

    def preprocess(self, value: Any, preprocess_args: dict[str, Any]) -> Any:
        """Apply `Value.preprocess` to every value in a nested value."""
        return map_nested(
            lambda leaf: self.get_value(leaf).preprocess(preprocess_args)
            if isinstance(leaf, Value)
            else leaf,
            value,
        )

    def postprocess(self, value: Any, postprocess_args: dict[str, Any]) -> Any:
        """Apply `Value.postprocess` to every value in a nested value."""
        return map_nested(
            lambda leaf: self.get_value(leaf).postprocess(postprocess_args)
            if isinstance(leaf, Value)
            else leaf,
            value,
        )


_registry = TypeRegistry()


def get_type_registry() -> TypeRegistry:
    """Return the registry that the engine uses."""
    return _registry
