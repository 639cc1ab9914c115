"""Values: what tasks take and return, how they are keyed, stored, checked and taken apart.

Any Python value can be an argument or a result.  A class joins in closer by subclassing `Value`
and overriding its hooks (a file says whether it is still what it was); a `ProxyValue` does the
same for a foreign class.  `TypeRegistry` is the one place that knows both kinds.

A *nested value* is a list, tuple, dict, set, frozenset, namedtuple or dataclass: the engine looks
for expressions and Values inside it.  `parts_of` and `with_parts` take one apart and put it
together again; everything that walks nested values is made of these two.  A part that occurs twice
is walked once, so that neither sharing (`x = [x, x]`) nor a cycle costs more than its parts.

Values are stored as pickles.  Classes and functions of this package are written under the name
that they have when it is imported as `redun_lite`, so a vendored copy reads what an installed one
wrote.  Stored bytes are never hashed: keys come from `_hash`.
"""

from __future__ import annotations

import copy
import copyreg
import enum
import io
import operator
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from types import FunctionType
from typing import Any, Callable, ClassVar

from ._digest import ATOMS, digest, is_flat
from ._encoders import Parts, encode_by_kind, encode_state, flag_names, has_pickle_methods, tag
from ._errors import HashError, UsageError
from ._hash import (
    canonical_object,
    key_of,
    register_encoder,
)
from ._hints import describe_type, from_text, register_parser
from ._names import (
    CANONICAL_PACKAGE,
    IS_COPY,
    find_package_global,
    global_name,
    package_id,
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
    >>> class Colour:
    ...     def __init__(self, name):
    ...         self.name = name
    >>> class ColourProxy(ProxyValue):
    ...     type = Colour
    ...     def get_hash(self, data=None):
    ...         return key_of(self.instance.name.lower()).hex()
    >>> TypeRegistry().get_hash(Colour("Red")) == TypeRegistry().get_hash(Colour("red"))
    True
    """

    type: ClassVar[Any] = None

    def __init__(self, instance: Any) -> None:
        self.instance = instance

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.type is not None:
            _proxies[cls.type] = cls
            register_parser(cls.type, cls)
            if cls.get_hash is not ProxyValue.get_hash:
                register_encoder(cls.type, _encode_proxied)

    def get_hash(self, data: bytes | None = None) -> str:
        if type(self).get_hash is ProxyValue.get_hash:
            return key_of(self.instance).hex()
        # Asked by the proxy's own get_hash, which is what the key of the instance comes from.
        return digest(canonical_object(self.instance, encode_by_kind)).hex()

    def serialize(self) -> bytes:
        return dumps(self.instance)


def _encode_value(parts: Parts, value: Value) -> bytes:
    if type(value).get_hash is Value.get_hash:
        return encode_state(parts, value)
    return tag("value", value.type_name) + value.get_hash().encode()


def _encode_proxied(_: Parts, value: Any) -> bytes:
    proxy = get_type_registry().get_value(value)
    return tag("value", proxy.type_name) + proxy.get_hash().encode()


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
    if cls is dict:
        return dict(zip(parts[::2], parts[1::2]))
    if issubclass(cls, dict):
        rebuilt = copy.copy(value)
        rebuilt.clear()
        for key, part in zip(parts[::2], parts[1::2]):
            rebuilt[key] = part  # Not `update`, which adds up in a Counter.
        return rebuilt
    if issubclass(cls, tuple):
        rebuilt = tuple.__new__(cls, parts)
        if getattr(value, "__dict__", None):
            rebuilt.__dict__.update(value.__dict__)
        return rebuilt
    attributes = _attributes_of(value)
    attributes.update(zip(_part_names(value), parts))
    return _rebuild(cls, attributes, _empty_of(value))


def map_nested(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to every leaf of a nested value.

    The parts that do not change are kept, not copied.

    >>> map_nested(lambda leaf: leaf * 2, [1, {"a": (2, 3)}])
    [2, {'aa': (4, 6)}]

    Raises
    ------
    UsageError
        Something changes in a value that holds itself.
    """
    parts = parts_of(value)
    return function(value) if parts is None else _map_parts(function, value, parts, {}, with_parts)


def fill_in(value_of: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function that gives lazy leaves their values, as `map_nested` does.

    What changes is then as if it had been made of values: a dataclass has checked them and derived
    from them what it wants to.
    """
    parts = parts_of(value)
    return value_of(value) if parts is None else _map_parts(value_of, value, parts, {}, _made_of)


def _map_parts(
    function: Callable[[Any], Any],
    value: Any,
    parts: Iterable[Any],
    known: dict[int, Any],
    rebuild: Callable[[Any, list[Any]], Any],
) -> Any:
    """Map a nested value; `known` has the results, `_OPEN` for the values around this one."""
    identity = id(value)
    if identity in known:
        if known[identity] is not _OPEN:
            return known[identity]
        known[_CYCLE] = value
        return value
    known[identity] = _OPEN
    changed = False
    mapped = []
    for part in parts:
        inner = parts_of(part)
        new = function(part) if inner is None else _map_parts(function, part, inner, known, rebuild)
        if new is not part:
            changed = True
        mapped.append(new)
    if changed:
        if _CYCLE in known:
            raise UsageError(
                f"{type(known[_CYCLE]).__name__} holds itself, and something that has to be "
                "replaced in it: a lazy call, or a Value with a preprocess()"
            )
        value = rebuild(value, mapped)
    known[identity] = value
    return value


def _made_of(value: Any, parts: list[Any]) -> Any:
    """Return a nested value of the same kind that holds values, where this one holds lazy ones."""
    cls: Any = type(value)
    rebuilt = with_parts(value, parts)
    if not _runs_post_init(cls):
        return rebuilt
    rebuilt.__post_init__()
    changed = {
        name: part
        for name, part in zip(_part_names(value), parts)
        if getattr(rebuilt, name, None) is not part
    }
    if changed:
        # A field that it changes has most often been brought into shape (`int(x)` of a text), but
        # where that could be done to the lazy value (`x * 2`) it has been, and is not done twice.
        again = _rebuild(cls, _attributes_of(value), _empty_of(value))
        again.__post_init__()
        for name, part in changed.items():
            if getattr(again, name, None) is not getattr(value, name, None):
                object.__setattr__(rebuilt, name, part)
    return rebuilt


_OPEN = object()
_CYCLE = 0  # Where `known` keeps a value that was met inside itself; never an id.


def iter_nested(value: Any) -> Iterator[Any]:
    """Yield every leaf of a nested value, in order; those of a part that occurs twice, once."""
    stack = [value]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        parts = parts_of(value)
        if parts is None:
            yield value
        elif id(value) not in seen:
            seen.add(id(value))
            stack.extend(reversed(list(parts)))


def own_containers(value: Any) -> Any:
    """Return a nested value that shares no part with the one given that can be changed in place.

    Its leaves are the same objects.  A value that holds itself is returned as it is.

    >>> given = [1, ([2],)]
    >>> own = own_containers(given)
    >>> own[1][0].append(3)
    >>> given, own
    ([1, ([2],)], [1, ([2, 3],)])
    """
    try:
        return _own(value, {})
    except _HoldsItself:
        return value


class _HoldsItself(Exception):
    """A value is inside itself."""


def _own(value: Any, known: dict[int, Any]) -> Any:
    cls = type(value)
    if cls in ATOMS:
        return value
    identity = id(value)
    if identity in known:
        if known[identity] is _OPEN:
            raise _HoldsItself
        return known[identity]
    if is_flat(value):
        own = value if cls is tuple else value.copy()
    else:
        parts = parts_of(value)
        if parts is None:
            return value
        known[identity] = _OPEN
        copies = [_own(part, known) for part in parts]
        is_fixed = isinstance(value, (tuple, frozenset)) and all(map(operator.is_, copies, parts))
        own = value if is_fixed else with_parts(value, copies)
    known[identity] = own
    return own


def _no_parts(_: Any) -> None:
    return None


def _dict_parts(value: Any) -> list[Any]:
    return [part for pair in value.items() for part in pair]


def _dataclass_parts(value: Any) -> list[Any]:
    return [getattr(value, name) for name in _part_names(value)]


def _part_names(value: Any) -> list[str]:
    """Return the names of the fields of a dataclass that are set.

    And of its other attributes, if they may have been made of what no field keeps: they cannot be
    made anew once that is known.
    """
    cls: Any = type(value)
    names = [field.name for field in fields(value) if hasattr(value, field.name)]
    if not _is_made_of_fields(cls):
        names += [name for name in _attributes_of(value) if name not in names]
    return names


@cache
def _is_made_of_fields(cls: Any) -> bool:
    """Say whether a dataclass has the `__init__` of one, and that takes nothing but fields."""
    maker: Any = next(base for base in cls.__mro__ if "__init__" in base.__dict__)
    parameters = maker.__dict__.get("__dataclass_params__")
    code = getattr(maker.__init__, "__code__", None)
    if parameters is None or not parameters.init or code is None:
        return False
    taken = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return set(taken) <= {field.name for field in fields(cls)}


@cache
def _runs_post_init(cls: Any) -> bool:
    """Say whether a nested value has a `__post_init__` that needs nothing but its fields."""
    if not hasattr(cls, "__post_init__") or not hasattr(cls, "__dataclass_fields__"):
        return False
    return _is_made_of_fields(cls)


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


def _attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, also those in slots."""
    attributes = dict(getattr(value, "__dict__", ()))
    for name in copyreg._slotnames(type(value)):  # type: ignore[attr-defined]
        if hasattr(value, name):
            attributes[name] = getattr(value, name)
    return attributes


def _empty_of(value: Any) -> Any:
    """Return an object of the same class whose attributes are still to be set, None for any."""
    cls: Any = type(value)
    return None if cls.__new__ is object.__new__ else copy.copy(value)


def _rebuild(cls: type, attributes: dict[str, Any], rebuilt: Any = None) -> Any:
    """Return an object with the given attributes, even if it is frozen."""
    if rebuilt is None:
        rebuilt = object.__new__(cls)
    for name, attribute in attributes.items():
        object.__setattr__(rebuilt, name, attribute)
    return rebuilt


_NESTED: dict[type, Callable[[Any], Iterable[Any] | None]] = {
    list: _same,
    tuple: _same,
    set: _same,
    frozenset: _same,
    dict: _dict_parts,
    **dict.fromkeys(ATOMS, _no_parts),
}


# Storage


class ValuePickler(pickle.Pickler):
    """Pickles values, naming this package's classes as any copy of it would."""

    if IS_COPY:  # Pickle asks for every object; where it writes the right names anyway, never.

        def persistent_id(self, obj: Any) -> Any:
            return package_id(obj)

    def reducer_override(self, obj: Any) -> Any:
        cls = type(obj)
        if cls not in _REDUCERS:
            _REDUCERS[cls] = _choose_reducer(cls)
        reduce = _REDUCERS[cls]
        return NotImplemented if reduce is None else reduce(obj)


def _choose_reducer(cls: Any) -> Callable[[Any], tuple[Any, ...]] | None:
    """Return what stores the instances of a class that pickle does not bring back as they were."""
    if issubclass(cls, enum.Enum) and getattr(cls.__reduce_ex__, "__module__", "") == "enum":
        return _reduce_flag if issubclass(cls, enum.Flag) else _reduce_member
    if has_pickle_methods(cls):
        return None
    if _is_locked(cls):
        return _reduce_locked
    # Pickle gives to `__init__` what an exception has in `args`, which may be less than it wants.
    if issubclass(cls, BaseException) and isinstance(cls.__init__, FunctionType):
        return _reduce_error
    return None


def _reduce_locked(value: Any) -> tuple[Any, ...]:
    return (_rebuild, (type(value), _attributes_of(value)))


def _reduce_error(error: BaseException) -> tuple[Any, ...]:
    reduced: Any = error.__reduce__()
    return (_rebuild_error, (type(error), reduced[1]), *reduced[2:])


def _rebuild_error(cls: Any, args: tuple[Any, ...]) -> BaseException:
    error: BaseException = cls.__new__(cls, *args)
    built_in: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    built_in.__init__(error, *args)
    return error


def _reduce_member(member: Any) -> tuple[Any, ...]:
    """Store a member by its name and its value, which both are in its key.

    Pickle stores one of them, by the Python.  Once two members have swapped their values, that
    finds the other one.
    """
    named = (type(member), member._name_)
    try:
        key_of(member._value_)
    except HashError:  # Then only the name is in the member's key.
        return (restore_member, named)
    return (restore_member, (*named, member._value_))


def _reduce_flag(value: Any) -> tuple[Any, ...]:
    return (restore_flag, (type(value), value._value_, tuple(flag_names(value))))


def restore_member(cls: Any, name: str, *value: Any) -> Any:
    """Return the member of an enumeration that was stored, if there still is such a one.

    Raises
    ------
    UnpicklingError
        None has that name, or it has another value.
    """
    member = cls.__members__.get(name)
    if (
        member is None
        or member._name_ != name
        or (value and key_of(value[0]) != key_of(member._value_))
    ):
        raise pickle.UnpicklingError(f"{cls.__qualname__}.{name} is no longer what it was")
    return member


def restore_flag(cls: Any, bits: Any, names: tuple[str, ...]) -> Any:
    """Return the flags that were stored, if they still have the same names.

    Raises
    ------
    UnpicklingError
        They have other names.
    """
    value = cls(bits)
    if tuple(flag_names(value)) != names:
        raise pickle.UnpicklingError(f"{cls.__qualname__}({bits}) is no longer what it was")
    return value


def _is_locked(cls: Any) -> bool:
    """Say whether nothing can set the attributes of a class's instances in the usual way."""
    parameters = getattr(cls, "__dataclass_params__", None)
    return (
        parameters is not None
        and parameters.frozen
        and bool(copyreg._slotnames(cls))  # type: ignore[attr-defined]
        and cls.__new__ is object.__new__
        and not hasattr(cls, "__setstate__")
    )


_REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]] | None] = {}


class ValueUnpickler(pickle.Unpickler):
    """Loads what the `ValuePickler` of any copy of this package wrote."""

    if IS_COPY:

        def find_class(self, module: str, name: str) -> Any:
            if module.partition(".")[0] == CANONICAL_PACKAGE:
                return find_package_global(f"{module}:{name}")
            return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return find_package_global(pid)


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
    except RecursionError:
        reason = f"{type(value).__name__} cannot be stored: it is nested too deeply"
        raise HashError(reason) from None
    except Exception as error:
        path, part = _unpicklable_part(pickler, value)
        reason = f"{type(part).__name__} cannot be stored ({type(error).__name__}: {error})"
        if isinstance(part, FunctionType):
            reason = (
                f"function {part.__qualname__} cannot be stored: it is found again by its name "
                "only, so define it at the top of a module, under a name of its own"
            )
        raise HashError(reason, path) from None
    return stream.getvalue()


def _unpicklable_part(pickler: Callable[..., pickle.Pickler], value: Any) -> tuple[str, Any]:
    """Return the innermost part of a value that cannot be pickled, and the path to it."""
    path = ""
    seen: set[int] = set()
    found = True
    while found:
        found = False
        seen.add(id(value))
        for label, part in _labelled_parts(value):
            if id(part) in seen:
                continue
            try:
                pickler(io.BytesIO(), PICKLE_PROTOCOL).dump(part)
            except Exception:
                path, value, found = path + label, part, True
                break
    return path, value


def _labelled_parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what pickle would store of a value, and what to write behind it for each."""
    cls = type(value)
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
        yield from (("{…}", key) for key in value)
    elif isinstance(value, (set, frozenset)):
        yield from (("{…}", part) for part in value)
    elif isinstance(value, (list, tuple)):
        names = [f".{name}" for name in getattr(value, "_fields", ())]
        yield from zip(names or map("[{}]".format, range(len(value))), value)
    if not isinstance(value, type) and not has_pickle_methods(cls):
        yield from ((f".{name}", part) for name, part in _attributes_of(value).items())


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
        return is_flat(value) or all(
            self.is_valid(leaf) for leaf in iter_nested(value) if type(leaf) not in ATOMS
        )

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
        """Return the value of a type that a command-line argument stands for.

        Raises
        ------
        UsageError
            It stands for none, or values of the type cannot be given there.

        Examples
        --------
        >>> TypeRegistry().parse_arg(int, "12")
        12
        """
        parser = _proxies.get(raw_type, raw_type)
        if hasattr(parser, "parse_arg"):
            return parser.parse_arg(raw_type, arg)
        try:
            return from_text(raw_type, arg)
        except ValueError:
            expected = describe_type(raw_type)
            raise UsageError(f"expected {expected}, got {arg!r}") from None

    def preprocess(self, value: Any, preprocess_args: dict[str, Any]) -> Any:
        """Apply `Value.preprocess` to every value in a nested value."""
        return map_nested(
            lambda leaf: (
                self.get_value(leaf).preprocess(preprocess_args)
                if isinstance(leaf, Value)
                else leaf
            ),
            value,
        )

    def postprocess(self, value: Any, postprocess_args: dict[str, Any]) -> Any:
        """Apply `Value.postprocess` to every value in a nested value."""
        return map_nested(
            lambda leaf: (
                self.get_value(leaf).postprocess(postprocess_args)
                if isinstance(leaf, Value)
                else leaf
            ),
            value,
        )


_registry = TypeRegistry()


def get_type_registry() -> TypeRegistry:
    """Return the registry that the engine uses."""
    return _registry
