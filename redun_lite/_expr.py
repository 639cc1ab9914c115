"""Expressions: calls that have not happened yet, and the graphs that they form.

Calling a task or applying an operator to a lazy value builds an expression.  Expressions hold one
another in their arguments, so they form graphs: as deep as a workflow has steps in sequence, and
with nodes that are shared (`x = add(x, x)`).  Whatever walks a graph here does so over a flat list
of nodes in topological order, each shared node once, never by recursion.  That list is also how a
value with expressions in it is hashed and stored: a node refers to another by its index.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Collection, Container, Generator
from contextvars import ContextVar
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable, Generic, NoReturn, TypeVar

from ._digest import ATOMS, digest, flat_bytes, is_flat
from ._encoders import Parts, tag
from ._errors import ExpressionError, HashError
from ._hash import Canonicalizer, key_of, register_encoder
from ._names import IS_COPY, package_id
from ._value import (
    ValuePickler,
    ValueUnpickler,
    dumps,
    get_type_registry,
    iter_nested,
    loads,
    map_nested,
    parts_of,
    pickle_with,
)

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Awaitable

    class _Lazy(Awaitable[T], Any):  # type: ignore[misc]
        """For type checkers: what has `Any` among its bases is accepted wherever a value is."""

else:
    _Lazy = Generic

NO_OPTIONS: dict[str, Any] = {}
_NAMEDTUPLE = frozenset({"_asdict", "_fields", "_replace"})

awaiter: ContextVar[Any] = ContextVar("redun_lite_awaiter")
"""What `await expr` calls: it is set where a coroutine of a task runs."""


class Expression(_Lazy[T]):
    """A value that is still to be computed.

    Operators, attributes, items, slices and calls of an expression give further expressions.
    What would need the value at once (`if`, `for`, `len`) raises an error that says what to use
    instead.

    Examples
    --------
    >>> lazy = ValueExpression([1, 2])
    >>> lazy[0] + 10
    ValueExpression([1, 2])[0] + 10
    """

    __slots__ = ()

    def _held(self) -> list[Expression[Any]]:
        """Return the expressions in the arguments of this one, in order."""
        raise NotImplementedError

    def _stored(self) -> tuple[Any, ...]:
        """Return the arguments of the constructor, those at the end left out if default."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return (loads_expr, (dumps_expr(self),))

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise ExpressionError(
            f"the truth of {self!r} is not known yet: use cond(condition, then, else), or pass it "
            "to a task that decides"
        )

    def __format__(self, format_spec: str) -> str:
        raise ExpressionError(
            f"the text of {self!r} is not known yet: pass it to a task that makes the text "
            "(for what it looks like as an expression, write {expr!r})"
        )

    # Not said to be an iterator: mypy would take it for a future of nothing in asyncio.gather().
    def __iter__(self) -> Any:
        length = getattr(self, "_length", None)
        if length is None:
            raise ExpressionError(
                f"the items of {self!r} are not known yet: apply a task to each with map_, give "
                "nout=N to the task that they come from, or pass it to a task that iterates"
            )
        return (self[i] for i in range(length))

    def __len__(self) -> int:
        length = getattr(self, "_length", None)
        if length is None:
            raise ExpressionError(
                f"the length of {self!r} is not known yet: give its task nout=N, or pass it to a "
                "task that counts"
            )
        return int(length)

    def __int__(self) -> Any:
        not_known_yet(self)

    __index__ = __float__ = __fspath__ = __int__  # Of `range`, list items, `open`, `File`, …

    def __contains__(self, item: Any) -> bool:
        raise ExpressionError(
            f"what is in {self!r} is not known yet: pass it to a task that looks for {item!r}"
        )

    def __getattr__(self, name: str) -> Any:
        # Names in underscores are how Python and tools (copy, pickle, notebooks) ask what an
        # object can do: these must not look as if they were there.  All others are the value's;
        # so what an expression keeps for itself has an underscore, or a name that redun's has too.
        if name.startswith("_") and name not in _NAMEDTUPLE:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name == "add_done_callback":  # Asked of it by what takes futures, as asyncio.wait does.
            raise ExpressionError(f"{self!r} is no future: write asyncio.ensure_future(...) around")
        return SimpleExpression("getattr", (self, name))

    def __await__(self) -> Generator[Any, None, T]:
        wait_for = awaiter.get(None)
        if wait_for is None:
            raise ExpressionError(f"only async tasks can await {self!r}: write `async def`")
        waiting: Generator[Any, None, T] = wait_for(self)
        return waiting

    def __getitem__(self, key: Any) -> Any:
        key = tuple(map(_lazy_slice, key)) if type(key) is tuple else _lazy_slice(key)
        return SimpleExpression("getitem", (self, key))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return SimpleExpression("call", (self, *args), kwargs or NO_OPTIONS)


def not_known_yet(expr: Expression[Any]) -> NoReturn:
    """Raise the error of an expression that is used as if it was its value."""
    raise ExpressionError(
        f"the value of {expr!r} is not known yet: pass it to a task, which is called with it"
    )


def _lazy_slice(key: Any) -> Any:
    """Return a slice with lazy bounds as an expression: a slice is not looked into."""
    if isinstance(key, slice):
        bounds = _bounds(key)
        if any(isinstance(bound, Expression) for bound in bounds):
            return SimpleExpression("slice", bounds)
    return key


def _bounds(key: slice) -> tuple[Any, ...]:
    return (key.start, key.stop, key.step)


def lazy(value: T) -> Expression[T]:
    """Return a value as the expression that it is.

    To a type checker, what a call of a task gives is of the type of the result, which cannot be
    awaited.  This gives the same call the type that `await` and `asyncio.gather` take.

    Parameters
    ----------
    value
        An expression, which is returned as it is, or any other value, perhaps with expressions
        inside.

    Examples
    --------
    >>> from redun_lite import lazy, run, task
    >>> @task(namespace="docs", version="1")
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> @task(namespace="docs", version="1")
    ... async def first_above(limit: int) -> int:
    ...     x = 1
    ...     while x <= limit:
    ...         x = await lazy(double(x))
    ...     return x
    >>> run(first_above(10))
    16
    """
    if isinstance(value, Expression):
        return value
    if expressions_in(value):
        return SimpleExpression("call", (_itself, value))
    return ValueExpression(value)


def _itself(value: T) -> T:
    return value


class ValueExpression(Expression[T]):
    """An expression that is a value already."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def _held(self) -> list[Expression[Any]]:
        return []

    def _stored(self) -> tuple[Any, ...]:
        return (self.value,)

    def __repr__(self) -> str:
        return f"ValueExpression({format_expr(self.value)})"


class SimpleExpression(Expression[T]):
    """An operator applied to lazy arguments.

    Parameters
    ----------
    func_name
        A name in `OPERATORS`.
    args, kwargs
        The operands; any of them may hold expressions.
    """

    __slots__ = ("args", "func_name", "kwargs")

    def __init__(
        self, func_name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = NO_OPTIONS
    ) -> None:
        self.func_name = func_name
        self.args = args
        self.kwargs = kwargs

    def _held(self) -> list[Expression[Any]]:
        held = expressions_in(self.args)
        return held + expressions_in(self.kwargs) if self.kwargs else held

    def _stored(self) -> tuple[Any, ...]:
        if self.kwargs:
            return (self.func_name, self.args, self.kwargs)
        return (self.func_name, self.args)

    def __repr__(self) -> str:
        return format_expr(self)


class TaskExpression(Expression[T]):
    """A call of a task.

    Parameters
    ----------
    task_name
        Full name of the task.
    args, kwargs
        The arguments; any of them may hold expressions.
    options
        Task options given with the call.
    exported
        Names of those options that the jobs below inherit.
    length
        Length of the result, where it is known (`nout`).
    """

    __slots__ = ("_exported", "_length", "_options", "args", "kwargs", "task_name")

    def __init__(
        self,
        task_name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] = NO_OPTIONS,
        options: dict[str, Any] = NO_OPTIONS,
        exported: tuple[str, ...] = (),
        length: int | None = None,
    ) -> None:
        self.task_name = task_name
        self.args = args
        self.kwargs = kwargs
        self._options = options
        self._exported = exported
        self._length = length

    def _held(self) -> list[Expression[Any]]:
        held = expressions_in(self.args)
        if self.kwargs:
            held = held + expressions_in(self.kwargs)
        if self._options:
            held = held + expressions_in(self._options)
        return held

    def _stored(self) -> tuple[Any, ...]:
        if self._length is not None or self._options or self._exported:
            return (
                self.task_name,
                self.args,
                self.kwargs,
                self._options,
                self._exported,
                self._length,
            )
        if self.kwargs:
            return (self.task_name, self.args, self.kwargs)
        return (self.task_name, self.args)

    def __repr__(self) -> str:
        return format_expr(self)


class SchedulerExpression(TaskExpression[T]):
    """A call of a scheduler task, which receives its arguments unevaluated."""

    __slots__ = ()


# Operators


def _call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


_BINARY: dict[str, tuple[Callable[..., Any], str]] = {
    "add": (operator.add, "+"),
    "sub": (operator.sub, "-"),
    "mul": (operator.mul, "*"),
    "truediv": (operator.truediv, "/"),
    "floordiv": (operator.floordiv, "//"),
    "mod": (operator.mod, "%"),
    "pow": (operator.pow, "**"),
    "matmul": (operator.matmul, "@"),
    "lshift": (operator.lshift, "<<"),
    "rshift": (operator.rshift, ">>"),
    "and": (lambda a, b: a and b, "&"),
    "or": (lambda a, b: a or b, "|"),
    "xor": (operator.xor, "^"),
}
_COMPARISONS: dict[str, tuple[Callable[..., Any], str]] = {
    "lt": (operator.lt, "<"),
    "le": (operator.le, "<="),
    "eq": (operator.eq, "=="),
    "ne": (operator.ne, "!="),
    "gt": (operator.gt, ">"),
    "ge": (operator.ge, ">="),
}
_UNARY: dict[str, tuple[Callable[..., Any], str]] = {
    "neg": (operator.neg, "-"),
    "pos": (operator.pos, "+"),
    "invert": (operator.invert, "~"),
    "abs": (abs, "abs"),
}
OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: function for name, (function, _) in {**_BINARY, **_COMPARISONS, **_UNARY}.items()},
    "getattr": getattr,
    "getitem": operator.getitem,
    "slice": slice,
    "call": _call,
}
"""What each `SimpleExpression.func_name` computes."""


def _add_operators() -> None:
    def define(method: str, name: str, reflected: bool = False) -> None:
        def binary(self: Expression[Any], other: Any) -> Any:
            return SimpleExpression(name, (self, other))

        def reflect(self: Expression[Any], other: Any) -> Any:
            return SimpleExpression(name, (other, self))

        function = reflect if reflected else binary
        function.__name__ = method
        setattr(Expression, method, function)

    def define_unary(name: str) -> None:
        def unary(self: Expression[Any]) -> Any:
            return SimpleExpression(name, (self,))

        unary.__name__ = f"__{name}__"
        setattr(Expression, unary.__name__, unary)

    for name in _BINARY:
        define(f"__{name}__", name)
        define(f"__r{name}__", name, reflected=True)
    for name in _COMPARISONS:
        define(f"__{name}__", name)
    for name in _UNARY:
        define_unary(name)


_add_operators()


# Graphs


def expressions_in(value: Any) -> list[Expression[Any]]:
    """Return the expressions in a nested value, in order; one may be there more than once.

    >>> expressions_in([ValueExpression(1), {"a": ValueExpression(2)}, 3])
    [ValueExpression(1), ValueExpression(2)]
    """
    if is_flat(value):
        return []
    if isinstance(value, Expression):
        return [value]
    if type(value) is tuple or type(value) is list:  # Most often atoms and expressions only.
        found = []
        for part in value:
            cls = type(part)
            if cls in _CODES:
                found.append(part)
            elif cls not in ATOMS:
                break
        else:
            return found
    return [leaf for leaf in iter_nested(value) if isinstance(leaf, Expression)]


def topological_order(value: Any, known: Container[int] = ()) -> list[Expression[Any]]:
    """Return all expressions that a value leads to, each once, after those that it holds.

    Parameters
    ----------
    known
        Ids of expressions to leave out, with what only they lead to.
    """
    order: list[Expression[Any]] = []
    placed: set[int] = set()
    opened: set[int] = set()
    stack = expressions_in(value)[::-1]
    while stack:
        expr = stack[-1]
        identity = id(expr)
        if identity in placed or identity in known:
            stack.pop()
            continue
        if identity not in opened:
            held = expr._held()
            if held:
                opened.add(identity)
                stack.extend([other for other in reversed(held) if id(other) not in opened])
                continue
        stack.pop()
        placed.add(identity)
        order.append(expr)
    return order


class Ref:
    """Stands for the expression at an index of a flat graph, or for the one of a key."""

    __slots__ = ("index",)

    def __init__(self, index: Any) -> None:
        self.index = index


_CLASSES: tuple[type[Expression[Any]], ...] = (
    TaskExpression,
    SchedulerExpression,
    SimpleExpression,
    ValueExpression,
)
_CODES = {cls: code for code, cls in enumerate(_CLASSES)}
GRAPH = b"E"
"""What a stored graph starts with; a pickle starts with 0x80."""


def _flatten(value: Any, order: list[Expression[Any]]) -> tuple[list[tuple[Any, ...]], Any]:
    """Return the nodes of a graph and the value around it, expressions replaced by `Ref`s."""
    refs = {id(expr): Ref(i) for i, expr in enumerate(order)}

    def refer(leaf: Any) -> Any:
        return refs[id(leaf)] if isinstance(leaf, Expression) else leaf

    nodes = []
    for expr in order:
        fields = expr._stored()
        if type(expr) is not ValueExpression:
            fields = _map_fields(refer, fields)
        nodes.append((_CODES[type(expr)], *fields))
    return nodes, map_nested(refer, value)


def _map_fields(function: Callable[[Any], Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Apply a function to what is no atom in the fields of an expression, as `map_nested` does."""
    mapped = []
    for field in values:
        if is_flat(field):
            mapped.append(field)
        elif type(field) is tuple:
            parts = [part if type(part) in ATOMS else map_nested(function, part) for part in field]
            mapped.append(tuple(parts))
        else:
            mapped.append(map_nested(function, field))
    return tuple(mapped)


class _GraphPickler(ValuePickler):
    def persistent_id(self, obj: Any) -> Any:
        if type(obj) is Ref:
            return obj.index
        return package_id(obj) if IS_COPY else None


class _GraphUnpickler(ValueUnpickler):
    def persistent_load(self, pid: Any) -> Any:
        return Ref(pid) if type(pid) is int else super().persistent_load(pid)


def dumps_expr(value: Any) -> bytes:
    """Return the bytes that store a value that may hold expressions.

    Raises
    ------
    HashError
        Something in it cannot be pickled; the message names the call and the part.
    """
    order = topological_order(value)
    if not order:
        return dumps(value)
    graph = _flatten(value, order)
    try:
        return GRAPH + pickle_with(_GraphPickler, graph)
    except HashError as error:
        raise _at_call(error, value, order, dumps) from error.__cause__


def loads_expr(data: bytes) -> Any:
    """Return the value that `dumps_expr` stored."""
    if data[:1] != GRAPH:
        return loads(data)
    nodes, value = _GraphUnpickler(io.BytesIO(data[1:])).load()
    built: list[Expression[Any]] = []

    def resolve(leaf: Any) -> Any:
        return built[leaf.index] if type(leaf) is Ref else leaf

    for code, *stored in nodes:
        expr = _CLASSES[code](*_map_fields(resolve, tuple(stored)))
        built.append(expr)  # Before the next one, which may refer to it.
    return map_nested(resolve, value)


def key_of_expr(value: Any) -> bytes:
    """Return the key of a value that may hold expressions."""
    order = topological_order(value)
    if not order:
        return key_of(value)
    try:
        return _key_of_graph(value, order)
    except HashError as error:
        raise _at_call(error, value, order, key_of) from error.__cause__


def is_valid_expr(value: Any, find_task: Callable[[str], Any]) -> bool:
    """Say whether a value from the cache still holds, with what its expressions are given.

    A call of a task with a file is only worth replaying while the file is what it was, and a call
    of a task that is no more is worth nothing.

    Parameters
    ----------
    value
        The value.
    find_task
        Returns the task of a full name, or None.
    """
    if is_flat(value):
        return True
    is_valid = get_type_registry().is_valid_nested
    for expr in topological_order(value):
        if isinstance(expr, TaskExpression) and find_task(expr.task_name) is None:
            return False
        for field in expr._stored():
            if not is_flat(field) and not is_valid(field):
                return False
    return is_valid(value)


def _key_of_graph(value: Any, order: list[Expression[Any]]) -> bytes:
    """Return the key of a graph: the digest of its nodes, which name each other by their index.

    So whether a call is shared is part of the key, as it is part of what the graph computes: two
    equal calls of a task with `cache_scope=NONE` run twice.
    """
    parts = Canonicalizer()
    names: dict[int, int | bytes] = {id(expr): i for i, expr in enumerate(order)}
    try:
        nodes = [_plain_node(expr, names, parts) for expr in order]
        return digest(b"@graph" + _bytes_of((nodes, _plain(value, names, parts)), parts))
    except _Unordered:
        return _key_of_unordered(value, order)


def _key_of_unordered(value: Any, order: list[Expression[Any]]) -> bytes:
    """Return the key of a graph with calls in a set, which have no index: keys name them."""
    parts = Canonicalizer()
    names: dict[int, int | bytes] = {}
    for expr in order:
        node = _plain_node(expr, names, parts, unordered=True)
        names[id(expr)] = digest(b"@node" + _bytes_of(node, parts))
    around = _plain(value, names, parts, unordered=True)
    return digest(b"@unordered graph" + _bytes_of(around, parts))


class _Unordered(Exception):
    """Several expressions are in one set."""


def _plain_node(
    expr: Expression[Any],
    names: dict[int, int | bytes],
    parts: Canonicalizer,
    unordered: bool = False,
) -> tuple[Any, ...]:
    if type(expr) is ValueExpression:
        value = expr.value
        return (_CODES[ValueExpression], value if is_flat(value) else (..., parts.key(value)))
    fields = [_plain(field, names, parts, unordered) for field in expr._stored()]
    return (_CODES[type(expr)], *fields)


_MAX_PLAIN_DEPTH = 3


def _plain(
    value: Any,
    names: dict[int, int | bytes],
    parts: Canonicalizer,
    unordered: bool = False,
    depth: int = _MAX_PLAIN_DEPTH,
) -> Any:
    """Return what `flat_bytes` takes for a value: itself, with expressions and objects replaced.

    In their place stand tuples of `...`, which is found in no flat value, and a name or a key.
    """
    cls = type(value)
    if cls in ATOMS:
        return value
    if cls in _CODES:
        return (..., names[id(value)])
    if is_flat(value):
        return value
    if depth:
        depth -= 1
        if cls is tuple:
            return tuple([_plain(part, names, parts, unordered, depth) for part in value])
        if cls is list:
            return [_plain(part, names, parts, unordered, depth) for part in value]
        if cls is dict and set(map(type, value)) == {str}:
            return {
                key: _plain(part, names, parts, unordered, depth) for key, part in value.items()
            }
    if not unordered and _has_unordered(value):
        raise _Unordered

    def refer(leaf: Any) -> Any:
        return Ref(names[id(leaf)]) if isinstance(leaf, Expression) else leaf

    return (..., parts.key(map_nested(refer, value)))


def _has_unordered(value: Any) -> bool:
    """Say whether a nested value has a set that leads to several expressions."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        part = stack.pop()
        inner = parts_of(part)
        if inner is None or id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (set, frozenset)) and len(expressions_in(part)) > 1:
            return True
        stack.extend(inner)
    return False


def _bytes_of(plain: Any, parts: Canonicalizer) -> bytes:
    try:
        return flat_bytes(plain)
    except ValueError:  # An atom of more than 2 GiB.
        return parts.key(plain)


def _at_call(
    error: HashError, value: Any, order: list[Expression[Any]], check: Callable[[Any], Any]
) -> HashError:
    """Return the error of a graph as that of the field of an expression that it comes from."""

    def forget(leaf: Any) -> Any:
        return None if isinstance(leaf, Expression) else leaf

    for expr in order:
        for label, field in zip(_LABELS[type(expr)], expr._stored()):
            try:
                check(map_nested(forget, field))
            except HashError as found:
                name = "value" if isinstance(expr, ValueExpression) else expr._stored()[0]
                return found.within(f"{name}(…){label}")
    try:
        check(map_nested(forget, value))
    except HashError as found:
        return found
    return error


_LABELS: dict[type, tuple[str, ...]] = {
    **dict.fromkeys(_CLASSES, ("", ".args", ".kwargs", ".options", "", "")),
    ValueExpression: ("",),
}


def _encode_expression(_: Parts, value: Expression[Any]) -> bytes:
    return b"@expression" + key_of_expr(value)


def _encode_ref(_: Parts, value: Ref) -> bytes:
    return tag("ref", repr(value.index))


register_encoder(Expression, _encode_expression)
register_encoder(Ref, _encode_ref)


# Display

_MAX_REPR_DEPTH = 5
_MAX_REPR_ITEMS = 6


def format_expr(value: Any, depth: int = _MAX_REPR_DEPTH) -> str:
    """Return an expression as the source that made it, cut short where it is deep or long."""
    is_expr = isinstance(value, Expression)
    if depth == 0 and (is_expr or parts_of(value)):
        return "…"
    depth -= 1
    if isinstance(value, TaskExpression):
        return f"{value.task_name}({_format_args(value.args, value.kwargs, depth)})"
    if isinstance(value, SimpleExpression):
        return _format_operator(value, depth)
    if is_expr or not parts_of(value):
        return repr(value)
    name = type(value).__name__
    if isinstance(value, dict):
        pairs = islice(value.items(), _MAX_REPR_ITEMS)
        items = [f"{format_expr(key, depth)}: {format_expr(item, depth)}" for key, item in pairs]
        items += ["…"] if len(value) > _MAX_REPR_ITEMS else []
        shown = f"{{{', '.join(items)}}}"
        return shown if type(value) is dict else f"{name}({shown})"
    if type(value) in _BRACKETS:
        opening, closing = _BRACKETS[type(value)]
        comma = "," if type(value) is tuple and len(value) == 1 else ""
        return f"{opening}{_format_args(value, {}, depth)}{comma}{closing}"
    names = getattr(value, "_fields", None) or [
        field.name for field in fields(value) if hasattr(value, field.name)
    ]
    return f"{name}({_format_args((), {name: getattr(value, name) for name in names}, depth)})"


_BRACKETS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def _format_args(args: Collection[Any], kwargs: dict[str, Any], depth: int) -> str:
    parts = [format_expr(arg, depth) for arg in islice(args, _MAX_REPR_ITEMS)]
    named = islice(kwargs.items(), max(0, _MAX_REPR_ITEMS - len(args)))
    parts += [f"{name}={format_expr(arg, depth)}" for name, arg in named]
    parts += ["…"] if len(args) + len(kwargs) > _MAX_REPR_ITEMS else []
    return ", ".join(parts)


def _format_operator(expr: SimpleExpression[Any], depth: int) -> str:
    name = expr.func_name
    operands = [_format_operand(arg, depth) for arg in expr.args]
    if name in _INFIX and len(operands) == 2:
        return f"{operands[0]} {_INFIX[name][1]} {operands[1]}"
    if name in _PREFIX and len(operands) == 1:
        return _PREFIX[name] + operands[0]
    if name == "getattr":
        return f"{operands[0]}.{expr.args[1]}"
    if name == "getitem":
        return f"{operands[0]}[{_format_key(expr.args[1], depth)}]"
    if name == "call":
        return f"{operands[0]}({_format_args(expr.args[1:], expr.kwargs, depth)})"
    return f"{name}({_format_args(expr.args, expr.kwargs, depth)})"


def _format_operand(value: Any, depth: int) -> str:
    shown = format_expr(value, depth)
    if isinstance(value, SimpleExpression) and value.func_name in _OPEN:
        return f"({shown})"
    return shown


def _format_key(key: Any, depth: int) -> str:
    if type(key) is tuple and any(map(_bounds_of_slice, key)):
        return ", ".join(_format_key(part, depth) for part in key)
    bounds = _bounds_of_slice(key)
    if bounds is None:
        return format_expr(key, depth)
    shown = ["" if part is None else format_expr(part, depth) for part in bounds]
    return ":".join(shown if bounds[-1] is not None else shown[:-1])


def _bounds_of_slice(key: Any) -> tuple[Any, ...] | None:
    if isinstance(key, SimpleExpression) and key.func_name == "slice" and len(key.args) == 3:
        return key.args
    return _bounds(key) if isinstance(key, slice) else None


_INFIX = {**_BINARY, **_COMPARISONS}
_PREFIX = {name: sign for name, (_, sign) in _UNARY.items() if name != "abs"}
_OPEN = {*_INFIX, *_PREFIX}
