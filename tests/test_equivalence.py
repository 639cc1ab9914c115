"""A workflow comes to the same value however it is run.

Random programs in a small language are built as workflows, run in several ways, and compared with
what a plain interpreter of the language makes of them.  A program is data, so it can be an
argument of a task, which builds the workflow that it describes in a scope of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support import InlineExecutor, audit

from redun_lite import Config, LocalExecutor, Scheduler, get_task_registry, scheduler_task, task
from redun_lite._db import Repository

redun_namespace = "test_equivalence"

common = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True)
class Frame:
    inside: Any


# The language

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
}
WRAPPERS = {
    "list": lambda parts: [*parts],
    "tuple": lambda parts: (*parts,),
    "dict": lambda parts: {f"k{i}": part for i, part in enumerate(parts)},
    "set": lambda parts: {*parts},
    "frozenset": lambda parts: frozenset(parts),
    "namedtuple": lambda parts: Point(parts[0], [*parts[1:]]),
    "dataclass": lambda parts: Frame((*parts,)),
    "nested": lambda parts: [{"a": (*parts,)}, {parts[0]}],
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"cache": False},
    {"cache_scope": "NONE"},
    {"cache_scope": "CSE"},
    {"check_valid": "shallow"},
    {"limits": ["resource"]},
    {"limits": {"resource": 2, "other": 1}},
    {"memory": 3},
    {"allowed_cache_results": ["SINGLE"]},
    {"allowed_cache_results": ["CSE", "ULTIMATE"], "check_valid": "shallow"},
    {"config_args": []},
]


class Failed(Exception):
    """What a program raises."""


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def total(value):
    return flat_sum(value)


@task(version="1")
def default(a, b=add(3, 4), *, c=ident(5) + 1):
    return a + 10 * b + 100 * c


@task(version="1")
def several(*args, **kwargs):
    return sum(args) - sum(kwargs.values())


@task(version="1")
def fail(message):
    raise Failed(message)


@task(version="1")
def expand(program):
    return build(program)


@task(version="1", check_valid="shallow")
def expand_shallow(program):
    return build(program)


@task(version="1")
def recurse(n, program):
    return build(program) if n == 0 else recurse(n - 1, program) + 1


@task(version="1")
def pick(name):
    return get_task_registry().get(f"test_equivalence.{name}")


@scheduler_task
def rescue(scheduler, parent_job, sexpr, expr, instead):
    return scheduler.evaluate(expr, parent_job).then(None, lambda error: instead)


def define_scale(factor):
    """Define the one task whose code changes."""

    @task(name="scale", version=str(factor))
    def scale(x):
        return x * factor


define_scale(1)


def flat_sum(value):
    if isinstance(value, dict):
        return sum(map(flat_sum, value.values()))
    if isinstance(value, Frame):
        return flat_sum(value.inside)
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(map(flat_sum, value))
    return int(value)


def build(program):
    """Return the workflow that a program describes."""
    shared: list[Any] = []

    def make(part):
        kind, *rest = part
        if kind == "number":
            return rest[0]
        if kind == "shared":
            return shared[rest[0]]
        if kind == "operator":
            name, a, b = rest
            return OPERATORS[name](make(a), make(b))
        if kind == "fail":
            return fail(rest[0])
        if kind == "rescue":
            return rescue(make(rest[0]), rest[1])
        if kind == "item":
            index, *parts = rest
            return ident([make(part) for part in parts])[index]
        if kind == "choose":
            return pick("add")(make(rest[0]), make(rest[1]))
        if kind == "option":
            return ident.options(memory=make(rest[0]), disk=[make(rest[0])])(make(rest[1]))
        if kind == "export":
            return expand.export_options(memory=make(rest[0]), priority=2)(rest[1])
        wanted, *rest = rest
        options = OPTIONS[wanted]
        if kind in ("expand", "expand_shallow"):
            return (expand if kind == "expand" else expand_shallow).options(**options)(rest[0])
        if kind == "recurse":
            return recurse.options(**options)(*rest)
        if kind == "total":
            wrapper, *parts = rest
            return total.options(**options)(WRAPPERS[wrapper]([make(part) for part in parts]))
        if kind == "several":
            return several.options(**options)(make(rest[0]), x=make(rest[1]), y=make(rest[0]))
        called = get_task_registry().get(f"test_equivalence.{kind}")
        return called.options(**options)(*map(make, rest))

    shared.extend(map(make, program[1]))  # Each may use those before it.
    wrapper, parts = program[2]
    result = [make(part) for part in parts]
    return total(WRAPPERS[wrapper](result)) if program[0] == "sum" else WRAPPERS[wrapper](result)


class Interpreted(NamedTuple):
    """What a program comes to, or all the errors of which it raises one."""

    value: Any
    errors: frozenset[str]


def interpret(program, factor):
    """Return what a program comes to."""
    shared: dict[int, Interpreted] = {}

    def meaning(part):
        kind, *rest = part
        if kind == "number":
            return Interpreted(rest[0], frozenset())
        if kind == "shared":
            if rest[0] not in shared:
                shared[rest[0]] = meaning(program[1][rest[0]])
            return shared[rest[0]]
        if kind == "fail":
            return Interpreted(None, frozenset({rest[0]}))
        if kind == "rescue":
            found = meaning(rest[0])
            return Interpreted(rest[1], frozenset()) if found.errors else found
        if kind == "operator":
            return apply(OPERATORS[rest[0]], rest[1:])
        if kind == "item":
            return apply(lambda *parts: parts[rest[0]], rest[1:])
        if kind == "choose":
            return apply(lambda a, b: a + b, rest)
        if kind == "option":
            return apply(lambda memory, x: x, rest)
        if kind == "export":
            memory, inner = meaning(rest[0]), interpret(rest[1], factor)
            return Interpreted(inner.value, memory.errors | inner.errors)
        rest = rest[1:]
        if kind in ("expand", "expand_shallow"):
            return interpret(rest[0], factor)
        if kind == "recurse":
            found = interpret(rest[1], factor)
            return found if found.errors else Interpreted(found.value + rest[0], frozenset())
        if kind == "total":
            return apply(lambda *parts: flat_sum(WRAPPERS[rest[0]](parts)), rest[1:])
        return apply(
            {
                "ident": lambda x: x,
                "add": lambda a, b: a + b,
                "default": lambda a, b=7: a + 10 * b + 600,
                "several": lambda a, b: a - b - a,
                "scale": lambda x: x * factor,
            }[kind],
            rest,
        )

    def apply(function, parts):
        found = [meaning(part) for part in parts]
        errors = frozenset().union(*(part.errors for part in found))
        return Interpreted(None if errors else function(*(p.value for p in found)), errors)

    wrapper, parts = program[2]
    found = apply(lambda *values: WRAPPERS[wrapper](values), parts)
    if program[0] == "sum" and not found.errors:
        return Interpreted(flat_sum(found.value), frozenset())
    return found


# Random programs

numbers = st.integers(-3, 9).map(lambda n: ("number", n))
options = st.integers(0, len(OPTIONS) - 1)


def parts(shared, depth):
    """Return a strategy for parts that come to a number."""
    leaves = numbers
    if shared:
        leaves = st.one_of(leaves, st.integers(0, shared - 1).map(lambda i: ("shared", i)))
    if depth == 0:
        return leaves
    inner = parts(shared, depth - 1)
    below = programs("sum", depth - 1)
    several_parts = st.lists(inner, min_size=1, max_size=3)

    def kinds(*choices):
        return st.one_of(*(st.tuples(*(_constant(part) for part in choice)) for choice in choices))

    return st.one_of(
        leaves,
        kinds(
            ("ident", options, inner),
            ("add", options, inner, inner),
            ("scale", options, inner),
            ("default", options, inner),
            ("default", options, inner, inner),
            ("several", options, inner, inner),
            ("choose", inner, inner),
            ("option", inner, inner),
        ),
        kinds(
            ("operator", st.sampled_from(sorted(OPERATORS)), inner, inner),
            ("rescue", inner, st.integers(0, 9)),
            ("expand", options, below),
            ("expand_shallow", options, below),
            ("export", inner, below),
            ("recurse", options, st.integers(0, 3), below),
        ),
        st.tuples(st.just("fail"), st.sampled_from(["one", "two", "three"])),
        st.tuples(options, st.sampled_from(sorted(WRAPPERS)), several_parts).map(
            lambda drawn: ("total", drawn[0], drawn[1], *drawn[2])
        ),
        several_parts.flatmap(
            lambda found: st.integers(0, len(found) - 1).map(lambda i: ("item", i, *found))
        ),
    )


def _constant(part):
    return st.just(part) if isinstance(part, str) else part


@st.composite
def programs(draw, kind="value", depth=3):
    """Draw parts that may be used several times, and what the program comes to."""
    count = draw(st.integers(0, 2)) if depth else 0
    shared = [draw(parts(i, depth - 1)) for i in range(count)]
    body = draw(st.lists(parts(len(shared), depth), min_size=1, max_size=3))
    return (kind, tuple(shared), (draw(st.sampled_from(sorted(WRAPPERS))), tuple(body)))


# Running

CONFIG = Config({"limits": {"resource": 2}})


def outcome(scheduler, program, **arguments):
    try:
        return scheduler.run(build(program), **arguments)
    except Failed as error:
        return error


def check(found, expected):
    if expected.errors:
        assert isinstance(found, Failed)
        assert str(found) in expected.errors
    else:
        assert found == expected.value
        assert type(found) is type(expected.value)


@common
@given(program=programs())
def test_a_workflow_comes_to_the_same_with_the_cache_and_without_it_and_replayed(program):
    define_scale(2)
    expected = interpret(program, 2)
    repository = Repository()
    with Scheduler(CONFIG, backend=repository, executor=InlineExecutor("default")) as scheduler:
        check(outcome(scheduler, program, cache=False), expected)
        check(outcome(scheduler, program), expected)
        check(outcome(scheduler, program), expected)
    audit(repository._reader)
    with Scheduler(CONFIG, executor=InlineExecutor("default")) as scheduler:
        check(outcome(scheduler, program), expected)
    repository.close()


@common
@given(
    runs=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans()), min_size=2, max_size=5
    ),
    choices=st.lists(programs(depth=2), min_size=3, max_size=3),
)
def test_the_cache_changes_nothing_while_programs_and_code_are_edited(runs, choices):
    repository = Repository()
    with Scheduler(CONFIG, backend=repository, executor=InlineExecutor("default")) as scheduler:
        for choice, factor, cache in runs:
            define_scale(factor)
            program = choices[choice]
            check(outcome(scheduler, program, cache=cache), interpret(program, factor))
    audit(repository._reader)
    repository.close()


@common
@given(program=programs())
def test_a_workflow_comes_to_the_same_in_threads(program):
    define_scale(3)
    expected = interpret(program, 3)
    repository = Repository()
    with Scheduler(
        CONFIG, backend=repository, executor=LocalExecutor("default", max_workers=3)
    ) as scheduler:
        check(outcome(scheduler, program), expected)
        check(outcome(scheduler, program), expected)
    audit(repository._reader)
    repository.close()


@pytest.fixture(scope="module")
def workers():
    define_scale(1)
    executor = LocalExecutor("default", mode="process", max_workers=2)
    with Scheduler(CONFIG, executor=executor) as scheduler:
        yield scheduler


@common
@given(program=programs())
def test_a_workflow_comes_to_the_same_in_processes(workers, program):
    expected = interpret(program, 1)
    check(outcome(workers, program), expected)
    check(outcome(workers, program, cache=False), expected)


@common
@given(program=programs(depth=2))
def test_nothing_that_was_cached_runs_again(program):
    define_scale(2)
    assume("fail" not in str(program))  # Errors are not cached.
    ran: list[str] = []

    class Noting(InlineExecutor):
        def submit(self, job):
            if job.options.cache_scope == "BACKEND":
                ran.append(job.task.name)
            super().submit(job)

    with Scheduler(CONFIG, executor=Noting("default")) as scheduler:
        outcome(scheduler, program)
        ran.clear()
        outcome(scheduler, program)
    assert ran == []
