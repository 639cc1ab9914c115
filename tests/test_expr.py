"""Expressions: what Python's syntax makes of a lazy value, and the graphs that come of it."""

from __future__ import annotations

import copy
import math
import operator
import os
import pickle
import threading
from typing import Any

import key_corpus
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from key_corpus import Attributes, Frozen, Plain, Point
from support import run

import redun_lite
from redun_lite import (
    Expression,
    File,
    SchedulerExpression,
    SimpleExpression,
    TaskExpression,
    ValueExpression,
    task,
)
from redun_lite._errors import ExpressionError, HashError
from redun_lite._expr import (
    OPERATORS,
    dumps_expr,
    expressions_in,
    format_expr,
    is_valid_expr,
    key_of_expr,
    loads_expr,
    topological_order,
)
from redun_lite._hash import key_of
from redun_lite._value import map_nested

DEEP = 20_000  # Twice the most calls inside each other that any Python lets C functions make.


def evaluate(value: Any) -> Any:
    """Evaluate what operators have made of `ValueExpression`s."""
    if isinstance(value, ValueExpression):
        return value.value
    if isinstance(value, SimpleExpression):
        args, kwargs = evaluate((value.args, value.kwargs))
        return OPERATORS[value.func_name](*args, **kwargs)
    return map_nested(lambda leaf: evaluate(leaf) if isinstance(leaf, Expression) else leaf, value)


def call(name: str, *args: Any, **kwargs: Any) -> TaskExpression[Any]:
    return TaskExpression(name, args, kwargs)


# Operators

NUMERIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
INTEGRAL = ["lshift", "rshift", "xor"]
COMPARISONS = ["lt", "le", "eq", "ne", "gt", "ge"]


def outcome(function: Any, *args: Any) -> Any:
    """Return what a function returns, or the class of what it raises."""
    try:
        return function(*args)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", NUMERIC + INTEGRAL + COMPARISONS)
@settings(max_examples=settings.default.max_examples // 3)  # For each of sixteen operators.
@given(
    st.integers(-50, 50) | st.floats(-50, 50), st.integers(-50, 50) | st.booleans() | st.just("a")
)
def test_an_operator_computes_what_python_computes(name, a, b):
    function = getattr(operator, name)
    expected = outcome(function, a, b)
    for lazy in (
        function(ValueExpression(a), b),
        function(a, ValueExpression(b)),
        function(ValueExpression(a), ValueExpression(b)),
    ):
        assert isinstance(lazy, SimpleExpression)
        assert outcome(evaluate, lazy) == expected


@pytest.mark.parametrize("name", ["neg", "pos", "invert", "abs"])
@given(st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_a_prefix_computes_what_python_computes(name, a):
    function = getattr(operator, name)
    assert outcome(evaluate, function(ValueExpression(a))) == outcome(function, a)


@given(st.sampled_from([0, 1, "", "a", None, (), (1,)]), st.sampled_from([0, 2, "", "b"]))
def test_and_and_or_are_those_of_conditions(a, b):
    """As in redun: `and` and `or` themselves cannot be made lazy."""
    assert evaluate(ValueExpression(a) & b) == (a and b)
    assert evaluate(a & ValueExpression(b)) == (a and b)
    assert evaluate(ValueExpression(a) | b) == (a or b)
    assert evaluate(a | ValueExpression(b)) == (a or b)


class Matrix:
    def __init__(self, name: str) -> None:
        self.name = name

    def __matmul__(self, other: Any) -> Any:
        return f"{self.name}@{getattr(other, 'name', other)}"

    def __rmatmul__(self, other: Any) -> Any:
        return f"{other}@{self.name}"


def test_matrices_can_be_multiplied():
    assert evaluate(ValueExpression(Matrix("a")) @ ValueExpression(Matrix("b"))) == "a@b"
    assert evaluate(ValueExpression(Matrix("a")) @ 2) == "a@2"
    assert evaluate(2 @ ValueExpression(Matrix("b"))) == "2@b"


def test_operators_apply_to_what_comes_from_operators():
    x = ValueExpression(3)
    assert evaluate(-((2 * x + 1) ** 2) % 5 == x - 2) is (-((2 * 3 + 1) ** 2) % 5 == 3 - 2)


def test_an_attribute_of_a_lazy_value_is_lazy():
    assert evaluate(ValueExpression(Point(1, Point(2, 3))).y.x) == 2


def test_a_name_in_underscores_is_no_lazy_attribute():
    x = ValueExpression(1)
    for name in ("_private", "__array__", "__aiter__", "_repr_html_", "_make"):
        assert not hasattr(x, name)


def test_the_methods_of_a_lazy_namedtuple_are_lazy():
    x = ValueExpression(Point(1, 2))
    assert evaluate(x._replace(y=5)) == Point(1, 5)
    assert evaluate(x._asdict()) == {"x": 1, "y": 2}
    assert evaluate(x._fields) == ("x", "y")


def test_an_attribute_of_a_call_is_that_of_its_result():
    for name in ("length", "options", "exported", "held"):
        lazy = getattr(call("f", 1), name)
        assert (lazy.func_name, lazy.args[1]) == ("getattr", name)


def test_a_lazy_value_may_stand_on_either_side_of_what_takes_numbers():
    x = ValueExpression(3)
    assert evaluate("ab" * x) == "ababab"
    assert evaluate([0] * x) == [0, 0, 0]
    assert evaluate(1.5 * x) == 4.5
    assert evaluate(1 << x) == 8


def test_an_item_of_a_lazy_value_is_lazy():
    x = ValueExpression({"a": [1, 2, 3]})
    assert evaluate(x["a"][-1]) == 3
    assert evaluate(x[ValueExpression("a")]) == [1, 2, 3]


@given(*[st.none() | st.integers(-6, 6).filter(bool)] * 3)
def test_a_slice_of_a_lazy_value_is_lazy(start, stop, step):
    x, values = ValueExpression(list(range(5))), list(range(5))
    expected = values[start:stop:step]
    assert evaluate(x[start:stop:step]) == expected
    lazy = [None if bound is None else ValueExpression(bound) for bound in (start, stop, step)]
    assert evaluate(x[lazy[0] : lazy[1] : lazy[2]]) == expected


class Keyed:
    def __getitem__(self, key: Any) -> Any:
        return key


def test_a_slice_in_several_dimensions_may_have_lazy_bounds():
    x = ValueExpression(Keyed())
    assert evaluate(x[ValueExpression(1) :, 0, ..., :2]) == (
        slice(1, None, None),
        0,
        ...,
        slice(None, 2, None),
    )


def test_a_lazy_value_can_be_called():
    def describe(*args: Any, **kwargs: Any) -> Any:
        return (args, kwargs)

    x = ValueExpression(describe)
    assert evaluate(x(1, ValueExpression(2), a=ValueExpression(3))) == ((1, 2), {"a": 3})
    assert evaluate(x(self=1, function=2)) == ((), {"self": 1, "function": 2})
    assert evaluate(ValueExpression("a-b").split("-")) == ["a", "b"]


# What needs the value at once


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (bool, r"the truth of f\(1\) is not known yet: use cond\(condition, then, else\), or"),
        (lambda x: 1 if x else 2, "the truth of"),
        (lambda x: x and 1, "the truth of"),
        (lambda x: 0 < x < 3, r"the truth of f\(1\) > 0"),
        (list, r"the items of f\(1\) are not known yet: apply a task to each with map_, give nout"),
        (lambda x: [*x], "nout=N"),
        (sum, "the items of"),
        (range, r"the value of f\(1\) is not known yet: pass it to a task"),
        (int, "the value of"),
        (float, "the value of"),
        (lambda x: [1, 2][x], "the value of"),
        (open, "the value of"),
        (File, "the value of"),
        (File("out.txt").write, "the value of"),
        (os.fspath, "the value of"),
        (len, r"the length of f\(1\) is not known yet: give its task nout=N"),
        (
            lambda x: f"{x}.txt",
            r"the text of f\(1\) is not known yet: pass it to a task that makes",
        ),
        (lambda x: 3 in x, r"what is in f\(1\) is not known yet: pass it to a task"),
    ],
)
def test_what_needs_the_value_at_once_is_an_error_with_advice(use, advice):
    with pytest.raises(ExpressionError, match=advice):
        use(call("f", 1))
    assert not File("out.txt").exists()
    with pytest.raises(TypeError):
        use(call("f", 1))


def test_a_call_of_known_length_can_be_unpacked():
    lazy = TaskExpression("f", (1,), length=2)
    first, second = lazy
    assert len(lazy) == 2
    assert [first.args, second.args] == [(lazy, 0), (lazy, 1)]
    assert [format_expr(item) for item in reversed(lazy)] == ["f(1)[1]", "f(1)[0]"]
    with pytest.raises(ValueError, match="too many values"):
        (_,) = lazy


def test_a_call_of_known_length_has_no_known_truth():
    with pytest.raises(ExpressionError, match="the truth of"):
        bool(TaskExpression("f", (1,), length=0))


def test_a_lazy_value_can_be_a_member_of_a_set_and_a_key():
    x, y = call("f", 1), call("f", 1)
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1


# Graphs


def test_the_expressions_in_a_value_are_found_wherever_they_are_nested():
    a, b, c, d = (call("f", i) for i in range(4))
    found = expressions_in([a, {"k": (b, {1})}, Plain(Frozen(c), {d: 1}), 5])
    assert list(map(id, found)) == list(map(id, [a, b, c, d]))
    assert list(map(id, expressions_in((a, 1, b)))) == [id(a), id(b)]
    assert expressions_in([1, "a", {2}]) == []


def test_what_is_no_nested_value_is_not_looked_into():
    assert expressions_in([Attributes(lazy=call("f")), key_corpus.MyList([call("f")])]) == []


def test_an_expression_comes_after_those_that_it_holds():
    leaf = call("leaf")
    left, right = call("left", leaf), call("right", [leaf])
    top = TaskExpression("top", (left,), {"k": {"a": right}}, {"memory": leaf + 1})
    order = topological_order({"x": (top, leaf)})
    assert [expr._stored()[0] for expr in order] == ["leaf", "left", "right", "add", "top"]


def shared(times: int) -> Any:
    x = call("f", 1)
    for _ in range(times):
        x = call("add", x, x)
    return x


def test_a_shared_expression_is_one_node():
    assert len(topological_order(shared(50))) == 51


@given(st.data())
def test_an_order_is_topological_and_complete(data):
    made: list[Any] = []
    for _ in range(data.draw(st.integers(1, 20))):
        held = data.draw(st.lists(st.sampled_from(made), max_size=3)) if made else []
        nested = data.draw(st.sampled_from([list, tuple, lambda held: {"k": held}]))
        made.append(call("f", nested(held), len(made)))
    order = topological_order(made)
    places = {id(expr): i for i, expr in enumerate(order)}
    assert len(places) == len(order) == len(made)
    assert all(places[id(inner)] < places[id(expr)] for expr in order for inner in expr._held())


def chain(depth: int) -> Any:
    x = call("step", 0)
    for i in range(depth):
        x = call("step", x, i)
    return x


def operators(depth: int) -> Any:
    x = ValueExpression(0)
    for _ in range(depth):
        x = x + 1
    return x


@pytest.mark.parametrize("make", [chain, operators])
def test_a_deep_graph_is_ordered_stored_loaded_and_keyed_without_recursion(make):
    x = make(DEEP)
    assert len(topological_order(x)) == DEEP + 1
    data = dumps_expr(x)
    loaded = loads_expr(data)
    assert type(loaded) is type(x)
    assert key_of_expr(loaded) == key_of_expr(x) == key_of_expr(make(DEEP))


def test_a_deep_graph_can_be_shown():
    assert repr(chain(DEEP)) == "step(step(step(step(step(…, 19995), 19996), 19997), 19998), 19999)"


def test_a_deep_graph_can_be_pickled_and_copied():
    x = chain(DEEP // 10)
    assert key_of_expr(pickle.loads(pickle.dumps([x]))) == key_of_expr([x])
    assert key_of_expr(copy.copy(x)) == key_of_expr(x)


# Expressions for type checkers


def test_lazy_gives_an_expression_as_it_is():
    expr = call("f", 1)
    assert redun_lite.lazy(expr) is expr


def test_lazy_makes_an_expression_of_a_value():
    assert isinstance(redun_lite.lazy([1, 2]), ValueExpression)
    assert run(redun_lite.lazy([1, 2])) == [1, 2]


def test_lazy_makes_one_expression_of_all_that_are_in_a_value():
    @task
    def double(x):
        return 2 * x

    @task
    async def awaiting(x):
        return sum(await redun_lite.lazy([double(x), {"a": double(x)}["a"], 1]))

    assert isinstance(redun_lite.lazy([double(1), 2]), Expression)
    assert run([redun_lite.lazy([double(1), 2]), awaiting(3)]) == [[2, 2], 13]


# Storage and keys


@task(namespace="test_expr", version="1")
def step(x: Any) -> Any:
    return x


GRAPHS = {
    "call": call("f", 1, "a", k=[1]),
    "call with options": TaskExpression("f", (1,), {}, {"memory": 4}, ("memory",), 2),
    "call with lazy options": TaskExpression("f", (), {}, {"memory": call("size")}),
    "call with a length": TaskExpression("f", (1,), length=0),
    "scheduler call": SchedulerExpression("cond", (call("f"), call("g"), [call("h")])),
    "operator": call("f") + 1,
    "lazy method": call("f").name.strip("a", sep=call("g")),
    "lazy slice": call("f")[call("g") : 2, 0],
    "value": ValueExpression({"a": [1, {2}]}),
    "value of a task": ValueExpression(step),
    "beside others": [1, {"a": call("f")}, (call("g", [call("h")]),)],
    "in records": Plain(Frozen(call("f")), Point(call("g"), {call("h"): [call("i")]})),
    "in sets": {call("f"), call("g"), frozenset({call("h")}), 1},
    "in an object": Attributes(lazy=call("f", [call("g")])),
    "with objects": call("f", {1, 2}, Plain(1), [Frozen({"a", "b"})], key_corpus.Color.RED),
    "with a partial task": call("f", step.partial(call("g"))),
    "shared": [shared(50), {"again": shared(3)}],
    "deeply nested": call("f", [[[[[call("g")]]]]], {"a": {"b": {"c": {"d": call("h")}}}}),
    "with other keys": call("f", {1: call("g"), (2, call("h")): 3}),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_comes_back_from_storage_as_it_was(graph):
    loaded = loads_expr(dumps_expr(graph))
    assert type(loaded) is type(graph)
    assert key_of_expr(loaded) == key_of_expr(graph)
    assert len(topological_order(loaded)) == len(topological_order(graph))
    if not isinstance(graph, (set, Attributes)) and graph is not GRAPHS["with objects"]:
        assert format_expr(loaded) == format_expr(graph)  # Sets have no order to be shown in.


def test_graphs_that_differ_have_keys_of_their_own():
    f, g = call("f", 1), call("f", 1)
    graphs = [
        *GRAPHS.values(),
        call("f"), call("g"), call("f", 1), call("f", a=1), call("f", "1"), call("f", [1]),
        SchedulerExpression("f", (1,)), SimpleExpression("f", (1,)), ValueExpression(1),
        TaskExpression("f", (1,), {}, {"memory": 1}), TaskExpression("f", (1,), {}, {"memory": 2}),
        TaskExpression("f", (1,), {}, {"memory": 1}, ("memory",)),
        TaskExpression("f", (1,), length=1),
        f + 1, 1 + f, f - 1, f.a, f["a"], f("a"), f(a="a"), f[1:], [f], (f,), {"a": f}, {f: 1},
        call("f", f), call("f", [f]), call("f", (f,)), call("f", {"a": f}), call("f", k=f),
        call("f", 0), call("f", (..., 0)), call("f", ...), {f}, frozenset({f}), Plain(f), Frozen(f),
        [f, f], [f, g], [f, 1], [1, f], [[[[f]]]], [[[f]]], [[f]], {f, g}, {f, g, 1},
    ]  # fmt: skip
    assert len(set(map(key_of_expr, graphs))) == len(graphs)


def test_a_set_of_calls_has_one_key_whatever_its_order():
    def graph(order: Any) -> Any:
        base = call("base")
        return call("sum", {call("f", i, base) for i in order}, [frozenset({(call("g"), 1), base})])

    keep = []  # The order of a set of expressions is that of their addresses.
    keys = set()
    for i in range(20):
        keep.append([object() for _ in range(i)])
        keys.add(key_of_expr(graph(range(9))))
        keys.add(key_of_expr(graph(reversed(range(9)))))
    assert len(keys) == 1


def test_a_value_without_expressions_has_its_own_key():
    assert key_of_expr([1, {2}]) == key_of([1, {2}])
    assert loads_expr(dumps_expr([1, {2}])) == [1, {2}]


def test_a_negative_nan_in_a_call_is_any_nan():
    assert key_of_expr(call("f", math.nan)) == key_of_expr(call("f", -math.nan))


def test_sharing_of_values_does_not_change_the_key_of_a_call():
    def make(part: Any, other: Any) -> Any:
        return call("f", [part, call("g")], {"k": other})

    part = (1, ["a"])
    assert key_of_expr(make(part, part)) == key_of_expr(make(part, copy.deepcopy(part)))


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        (call("g", call("f", 1, [LOCK])), "f(…).args[1][0]"),
        (call("g", call("f", pool={"a": LOCK})), "f(…).kwargs['pool']['a']"),
        (TaskExpression("f", (), {}, {"memory": LOCK}), "f(…).options['memory']"),
        (call("f") + LOCK, "add(…).args[1]"),
        ([ValueExpression([LOCK])], "value(…)[0]"),
        ([call("f"), {"a": LOCK}], "[1]['a']"),
        (call("f", {call("g"), (call("h"), LOCK)}), "f(…).args[0]{…}[1]"),
    ],
)
def test_a_part_without_a_key_or_that_cannot_be_stored_is_named_by_its_call(graph, path):
    for function in (key_of_expr, dumps_expr):
        with pytest.raises(HashError) as caught:
            function(graph)
        assert caught.value.path in (path, path.replace("{…}[1]", "{…}"))


def test_a_list_that_holds_itself_may_be_an_argument():
    def make() -> Any:
        turn: list[Any] = [1]
        turn.append(turn)
        return call("f", turn)

    assert key_of_expr(make()) == key_of_expr(make())
    loaded = loads_expr(dumps_expr(make()))
    assert loaded.args[0][1] is loaded.args[0]


class Fragile(key_corpus.Temperature):
    def is_valid(self) -> bool:
        return self.celsius > 0


def test_a_graph_holds_while_its_values_hold_and_its_tasks_are_known():
    def known(name: str) -> Any:
        return None if name == "gone" else step

    assert is_valid_expr([1, call("f", [call("g", Fragile(1))])], known)
    assert not is_valid_expr([1, call("f", [call("g", Fragile(-1))])], known)
    assert not is_valid_expr([call("f"), Fragile(-1)], known)
    assert not is_valid_expr([1, call("f", [call("gone")])], known)
    assert is_valid_expr(shared(50), known)


# Display


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda f: f, "f(1)"),
        (lambda f: call("ns.g", f, "a", k=[f, 2]), "ns.g(f(1), 'a', k=[f(1), 2])"),
        (lambda f: f + 1, "f(1) + 1"),
        (lambda f: 1 - f, "1 - f(1)"),
        (lambda f: (f + 1) * -f, "(f(1) + 1) * (-f(1))"),
        (lambda f: -(f**2), "-(f(1) ** 2)"),
        (lambda f: (-f) ** 2, "(-f(1)) ** 2"),
        (lambda f: (f + 1).real, "(f(1) + 1).real"),
        (lambda f: (-f)[0], "(-f(1))[0]"),
        (lambda f: abs(f + 1), "abs(f(1) + 1)"),
        (lambda f: f == 1, "f(1) == 1"),
        (lambda f: f.a.b(f, k=2)["x"], "f(1).a.b(f(1), k=2)['x']"),
        (lambda f: f[1:], "f(1)[1:]"),
        (lambda f: f[::2], "f(1)[::2]"),
        (lambda f: f[:f, 0], "f(1)[:f(1), 0]"),
        (lambda f: call("g", (f,), {f}, {"k": f}, set()), "g((f(1),), {f(1)}, {'k': f(1)}, set())"),
        (
            lambda f: call("g", Plain(f, 1), Point(f, 2)),
            "g(Plain(a=f(1), b=1), Point(x=f(1), y=2))",
        ),
        (lambda f: call("g", *range(9)), "g(0, 1, 2, 3, 4, 5, …)"),
        (lambda f: call("g", [*range(9)]), "g([0, 1, 2, 3, 4, 5, …])"),
        (lambda f: call("g", [[[[[[f]]]]]]), "g([[[[…]]]])"),
        (lambda f: SimpleExpression("of_a_later_version", (f, 1)), "of_a_later_version(f(1), 1)"),
        (lambda f: ValueExpression([f]), "ValueExpression([f(1)])"),
    ],
)
def test_an_expression_is_shown_as_the_source_that_made_it(make, shown):
    assert repr(make(call("f", 1))) == shown


def test_a_wide_and_shared_graph_is_shown_at_once():
    x = call("f", 1)
    for _ in range(50):
        x = call("f", *[Plain(x, [x, x])] * 10)
    assert len(repr(x)) < 100_000
