"""Expressions: calls that have not happened yet, and the graphs that they form.

Calling a task or applying an operator to a lazy value builds an expression.  Expressions hold one
another in their arguments, so they form graphs: as deep as a workflow has steps in sequence, and
with nodes that are shared (`x = add(x, x)`).  Whatever walks a graph here does so over a flat list
of nodes in topological order, each shared node once, never by recursion.  That list is also how a
value with expressions in it is hashed and stored: a node refers to another by its index.
"""

from __future__ import annotations

import io
import marshal
import operator
from itertools import islice
from typing import Any, Callable, Generic, Iterator, TypeVar

from ._errors import ExpressionError
from ._hash import _MARSHAL_VERSION, Canonicalizer, _tag, digest, is_flat, key_of, register_encoder
from ._value import (
    ValuePickler,
    ValueUnpickler,
    dumps,
    get_type_registry,
    iter_nested,
    loads,
    map_nested,
    pickle_with,
)

T = TypeVar("T")

_NO_OPTIONS: dict[str, Any] = {}


class Expression(Generic[T]):
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

    def held(self) -> list[Expression[Any]]:
        """Return the expressions in the arguments of this one, in order."""
        raise NotImplementedError

    def _fields(self) -> tuple[Any, ...]:
        """Return the arguments of the constructor, those at the end left out if default."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return (loads_expr, (dumps_expr(self),))

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise ExpressionError(
            f"the truth of {self!r} is not known yet: use cond(condition, then, otherwise), "
            "or pass it to a task that decides"
        )

    def __iter__(self) -> Iterator[Any]:
        length = getattr(self, "length", None)
        if length is None:
            raise ExpressionError(
                f"the length of {self!r} is not known yet: give its task nout=N, use "
                "map_(task, values), or pass it to a task that iterates"
            )
        return (self[i] for i in range(length))

    def __len__(self) -> int:
        length = getattr(self, "length", None)
        if length is None:
            raise ExpressionError(
                f"the length of {self!r} is not known yet: give its task nout=N, or pass it to a "
                "task that counts"
            )
        return int(length)

    def __getattr__(self, name: str) -> Any:
        # Names in underscores are how Python and tools (copy, pickle, notebooks) ask what an
        # object can do: these must not look as if they were there.
        if name.startswith("_") or name == "length":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return SimpleExpression("getattr", (self, name))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            bounds = (key.start, key.stop, key.step)
            if any(isinstance(bound, Expression) for bound in bounds):
                key = SimpleExpression("slice", bounds)
        return SimpleExpression("getitem", (self, key))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return SimpleExpression("call", (self, *args), kwargs)


class ValueExpression(Expression[T]):
    """An expression that is a value already."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def held(self) -> list[Expression[Any]]:
        return []

    def _fields(self) -> tuple[Any, ...]:
        return (self.value,)

    def __repr__(self) -> str:
        return f"ValueExpression({self.value!r})"


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
        self, func_name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] = _NO_OPTIONS
    ) -> None:
        self.func_name = func_name
        self.args = args
        self.kwargs = kwargs

    def held(self) -> list[Expression[Any]]:
        return expressions_in((self.args, self.kwargs))

    def _fields(self) -> tuple[Any, ...]:
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

    __slots__ = ("args", "exported", "kwargs", "length", "options", "task_name")

    def __init__(
        self,
        task_name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] = _NO_OPTIONS,
        options: dict[str, Any] = _NO_OPTIONS,
        exported: tuple[str, ...] = (),
        length: int | None = None,
    ) -> None:
        self.task_name = task_name
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.exported = exported
        self.length = length

    def held(self) -> list[Expression[Any]]:
        held = expressions_in(self.args)
        if self.kwargs:
            held = held + expressions_in(self.kwargs)
        if self.options:
            held = held + expressions_in(self.options)
        return held

    def _fields(self) -> tuple[Any, ...]:
        if self.length is not None or self.options or self.exported:
            return (
                self.task_name,
                self.args,
                self.kwargs,
                self.options,
                self.exported,
                self.length,
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


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
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
    """Return the expressions in a nested value, in order, with repetitions.

    >>> lazy = ValueExpression(1)
    >>> expressions_in([lazy, {"a": lazy}, 3]) == [lazy, lazy]  # doctest: +SKIP
    True
    """
    if is_flat(value):
        return []
    if isinstance(value, Expression):
        return [value]
    return [leaf for leaf in iter_nested(value) if isinstance(leaf, Expression)]


def topological_order(value: Any) -> list[Expression[Any]]:
    """Return all expressions that a value leads to, each once, after those that it holds."""
    order: list[Expression[Any]] = []
    placed: set[int] = set()
    opened: set[int] = set()
    stack = expressions_in(value)[::-1]
    while stack:
        expr = stack[-1]
        identity = id(expr)
        if identity in placed:
            stack.pop()
            continue
        if identity not in opened:
            held = expr.held()
            if held:
                opened.add(identity)
                stack.extend([other for other in reversed(held) if id(other) not in opened])
                continue
        stack.pop()
        placed.add(identity)
        order.append(expr)
    return order


class Ref:
    """Stands for the expression at an index of a flat graph."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


_CLASSES: tuple[type[Expression[Any]], ...] = (
    TaskExpression,
    SchedulerExpression,
    SimpleExpression,
    ValueExpression,
)
_CODES = {cls: code for code, cls in enumerate(_CLASSES)}
_GRAPH = b"E"  # What a stored graph starts with; a pickle starts with 0x80.


def _flatten(value: Any, order: list[Expression[Any]]) -> tuple[list[tuple[Any, ...]], Any]:
    """Return the nodes of a graph and the value around it, expressions replaced by `Ref`s."""
    index = {id(expr): i for i, expr in enumerate(order)}

    def refer(leaf: Any) -> Any:
        return Ref(index[id(leaf)]) if isinstance(leaf, Expression) else leaf

    nodes = []
    for expr in order:
        fields = expr._fields()
        if type(expr) is not ValueExpression and not all(map(is_flat, fields)):
            fields = map_nested(refer, fields)
        nodes.append((_CODES[type(expr)], *fields))
    return nodes, map_nested(refer, value)


class _GraphPickler(ValuePickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.index if type(obj) is Ref else super().persistent_id(obj)


class _GraphUnpickler(ValueUnpickler):
    def persistent_load(self, pid: Any) -> Any:
        return Ref(pid) if type(pid) is int else super().persistent_load(pid)


def dumps_expr(value: Any) -> bytes:
    """Return the bytes that store a value that may hold expressions."""
    order = topological_order(value)
    if not order:
        return dumps(value)
    return _GRAPH + pickle_with(_GraphPickler, _flatten(value, order))


def loads_expr(data: bytes) -> Any:
    """Return the value that `dumps_expr` stored."""
    if data[:1] != _GRAPH:
        return loads(data)
    nodes, value = _GraphUnpickler(io.BytesIO(data[1:])).load()
    built: list[Expression[Any]] = []

    def resolve(leaf: Any) -> Any:
        return built[leaf.index] if type(leaf) is Ref else leaf

    for code, *fields in nodes:
        if not all(map(is_flat, fields)):
            fields = map_nested(resolve, fields)
        built.append(_CLASSES[code](*fields))
    return map_nested(resolve, value)


def key_of_expr(value: Any) -> bytes:
    """Return the key of a value that may hold expressions."""
    order = topological_order(value)
    return _key_of_graph(value, order) if order else key_of(value)


def is_valid_expr(value: Any) -> bool:
    """Say whether a value from the cache still holds, with what its expressions are given.

    A call of a task with a file is only worth replaying while the file is what it was.
    """
    if is_flat(value):
        return True
    is_valid = get_type_registry().is_valid_nested
    if not all(
        is_valid(field)
        for expr in topological_order(value)
        for field in expr._fields()
        if not is_flat(field)
    ):
        return False
    return is_valid(value)


def _key_of_graph(value: Any, order: list[Expression[Any]]) -> bytes:
    nodes, around = _flatten(value, order)
    parts = Canonicalizer()
    keys = [
        digest(b"@node" + marshal.dumps(node, _MARSHAL_VERSION))
        if all(map(is_flat, node))
        else parts.key(node)
        for node in nodes
    ]
    return digest(b"@graph" + parts.key(around) + b"".join(keys))


def _encode_expression(_: Canonicalizer, value: Expression[Any]) -> bytes:
    return b"@expression" + key_of_expr(value)


def _encode_ref(_: Canonicalizer, value: Ref) -> bytes:
    return _tag("ref", str(value.index))


register_encoder(Expression, _encode_expression)
register_encoder(Ref, _encode_ref)


# Display

_MAX_REPR_DEPTH = 4
_MAX_REPR_ITEMS = 6


def format_expr(value: Any, depth: int = _MAX_REPR_DEPTH) -> str:
    """Return an expression as the source that made it, cut short where it is deep or long."""
    if isinstance(value, Expression):
        if depth == 0:
            return "…"
        if isinstance(value, TaskExpression):
            return f"{value.task_name}({_format_args(value.args, value.kwargs, depth - 1)})"
        if isinstance(value, SimpleExpression):
            return _format_operator(value, depth - 1)
        return repr(value)
    if type(value) in (list, tuple, set, frozenset) and value:
        items = [format_expr(item, depth) for item in islice(value, _MAX_REPR_ITEMS)]
        items += ["…"] if len(value) > _MAX_REPR_ITEMS else []
        opening, closing = ("[", "]") if type(value) is list else ("{", "}")
        opening, closing = ("(", ")") if type(value) is tuple else (opening, closing)
        comma = "," if type(value) is tuple and len(items) == 1 else ""
        return f"{opening}{', '.join(items)}{comma}{closing}"
    if type(value) is dict:
        pairs = islice(value.items(), _MAX_REPR_ITEMS)
        items = [f"{key!r}: {format_expr(item, depth)}" for key, item in pairs]
        items += ["…"] if len(value) > _MAX_REPR_ITEMS else []
        return f"{{{', '.join(items)}}}"
    return repr(value)


def _format_args(args: tuple[Any, ...], kwargs: dict[str, Any], depth: int) -> str:
    parts = [format_expr(arg, depth) for arg in args]
    parts += [f"{name}={format_expr(arg, depth)}" for name, arg in kwargs.items()]
    return ", ".join(parts)


def _format_operator(expr: SimpleExpression[Any], depth: int) -> str:
    name = expr.func_name
    first = format_expr(expr.args[0], depth)
    if isinstance(expr.args[0], SimpleExpression) and expr.args[0].func_name in _INFIX:
        first = f"({first})"
    if name == "getattr":
        return f"{first}.{expr.args[1]}"
    if name == "getitem":
        return f"{first}[{_format_key(expr.args[1], depth)}]"
    if name == "slice":
        return f"slice({_format_args(expr.args, {}, depth)})"
    if name == "call":
        return f"{first}({_format_args(expr.args[1:], expr.kwargs, depth)})"
    if name in _UNARY:
        return f"abs({first})" if name == "abs" else f"{_UNARY[name][1]}{first}"
    second = format_expr(expr.args[1], depth)
    if isinstance(expr.args[1], SimpleExpression) and expr.args[1].func_name in _INFIX:
        second = f"({second})"
    return f"{first} {_INFIX[name][1]} {second}"


def _format_key(key: Any, depth: int) -> str:
    if isinstance(key, slice):
        bounds = ["" if part is None else format_expr(part, depth) for part in (key.start, key.stop)]
        step = "" if key.step is None else f":{format_expr(key.step, depth)}"
        return ":".join(bounds) + step
    return format_expr(key, depth)


_INFIX = {**_BINARY, **_COMPARISONS}
