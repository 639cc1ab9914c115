"""A small language of workflows, to compare what the engine makes of one with what it should.

A program is nested tuples.  It is data, so it can be drawn by hypothesis, and be an argument of a
task, which builds the workflow that it describes in a scope of its own.  Each construct of the
language says three things: how one is drawn, how it is written as a workflow (`build`), and what it
comes to (`mean`), by plain evaluation that knows of no cache, no jobs and no order.

Parts come to numbers, so that each fits everywhere; values of all shapes are made around them.
Where a part has several errors in it, any of them may come up first: what it comes to is a set.

The world around a program is what may change from one run to the next: the code of some tasks,
what `look` sees, and the context.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Callable, NamedTuple

from hypothesis import reject
from hypothesis import strategies as st
from support import note, notes

from redun_lite import (
    File,
    JobInfo,
    apply_tags,
    catch,
    catch_all,
    cond,
    fork_thread,
    get_context,
    get_task_registry,
    join_thread,
    no_prov,
    quote,
    scheduler_task,
    seq,
    task,
    throw,
    with_export_options,
    wraps_task,
)
from redun_lite.functools import (
    apply_func,
    as_task,
    compose,
    const,
    delay,
    eval_,
    flat_map,
    flatten,
    force,
    identity,
    map_,
    starmap,
    zip_,
)

redun_namespace = "programs"

FOLDER = ""
"""Where tasks keep files; set by the tests before anything runs."""


# The world

VERSIONS = 3  # Of the code of each task that is edited.
_made: dict[str, list[Any]] = {}


class World(NamedTuple):
    """What may change from one run of a program to the next.

    Attributes
    ----------
    versions
        The version of each task that is edited, in the order of their names; 0 to 2.
    reading
        What `look` sees: a number, or if negative, an error.
    variable
        The context variable `a`.
    """

    versions: tuple[int, ...]
    reading: int = 5
    variable: int = 1

    @property
    def context(self) -> dict[str, Any]:
        return {"a": self.variable, "deep": {"b": 2}}

    def version(self, name: str) -> int:
        return self.versions[EDITED.index(name)]

    def come_true(self) -> World:
        """Make the tasks, and what is outside of them, what they are in this world."""
        for name, version in zip(EDITED, self.versions):
            for made in _made[name][version]:
                get_task_registry().add(made)
        Outside.reading = self.reading
        return self


class Outside:
    """What a task looks at without being given it."""

    reading = 5


def edited(define: Callable[[int], Any]) -> None:
    """Make the versions of a task that is edited."""
    versions = [define(version) for version in range(VERSIONS)]
    _made[versions[0].name] = [
        [made, *([] if made.wrapped is None else [made.wrapped])] for made in versions
    ]


# Errors


class Failed(Exception):
    """What a program raises."""


class Sharp(Failed):
    """A kind of it."""


class Dull(Failed):
    """Another kind."""


KINDS = {kind.__name__: kind for kind in (Failed, Sharp, Dull)}
CLASSES: list[Any] = [Failed, Sharp, Dull, (Sharp, Dull), Exception, KeyError]

Error = tuple  # Name of its class, message.


def matches(error: Any, classes: Any) -> bool:
    return issubclass(KINDS[error[0]], classes)


# Values


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True)
class Frame:
    inside: Any


WRAPPERS: dict[str, Callable[..., Any]] = {
    "list": lambda parts: [*parts],
    "tuple": lambda parts: (*parts,),
    "dict": lambda parts: {f"k{i}": part for i, part in enumerate(parts)},
    "set": lambda parts: {*parts},
    "frozenset": lambda parts: frozenset(parts),
    "namedtuple": lambda parts: Point(parts[0], [*parts[1:]]),
    "dataclass": lambda parts: Frame((*parts,)),
    "nested": lambda parts: [{"a": (*parts,), "b": None, 3: "text"}, {parts[0]}, Frame([b"1"])],
}
OPERATORS: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "r-": lambda a, b: 3 - (a - b),
    "abs": lambda a, b: abs(a) + abs(b),
    "neg": lambda a, b: -a + +b,
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"cache": False},
    {"cache_scope": "NONE"},
    {"cache_scope": "CSE"},
    {"limits": ["resource"]},
    {"limits": {"resource": 2, "other": 1}},
    {"memory": 3},
    {"allowed_cache_results": ["SINGLE"]},
    {"config_args": []},
    {"priority": 3},
    {"tags": [("drawn", 1)]},
    {"timeout": 600},
    {"retries": 1, "retry_delay": 0},
    {"executor": "threads"},
    {"prov": False},
    {"check_valid": "shallow"},
    {"allowed_cache_results": ["CSE", "ULTIMATE"], "check_valid": "shallow"},
]
EXPORTED: list[dict[str, Any]] = [
    {"memory": 3},
    {"priority": 2, "tags": {"exported": [1]}},
    {"cache": False},
    {"cache_scope": "NONE"},
    {"executor": "threads"},
    {"timeout": 600},
    {"prov": False},
    {"check_valid": "shallow"},
]


def is_shallow(options: dict[str, Any]) -> bool:
    return "check_valid" in options


def flat_sum(value: Any) -> int:
    """Return the sum of the numbers in a nested value."""
    if isinstance(value, dict):
        return sum(map(flat_sum, value.values()))
    if isinstance(value, Frame):
        return flat_sum(value.inside)
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(map(flat_sum, value))
    return int(value) if isinstance(value, int) else 0


# Tasks


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
def in_context(x, b=get_context("a"), *, c=get_context("deep.b", ident(9))):
    return x + 10 * b + 100 * c


@task(version="1")
def from_context(x):
    return add(get_context("deep.b"), x * get_context("a"))


@task(version="1", memory=get_context("a"), tags=[("deep", get_context("deep.b"))])
def by_context(x):
    return x


@task(version="1")
def several(*args, **kwargs):
    return sum(args) - sum(kwargs.values())


@task(version="1", nout=2)
def pair(a, b):
    return a + b, [a - b]


@task(version="1")
def point(x, y):
    return Point(x, {"y": y})


@task(version="1", config_args=["memory"])
def configured(x, memory):
    return x


@task(version="1")
def informed(x, *, job_info=JobInfo()):
    assert job_info.job_id
    assert job_info.execution_id
    return x


@task(version="1")
def fail(kind, message):
    raise KINDS[kind](message)


@task(version="1", cache=False)
def look(x):
    if Outside.reading < 0:
        raise Sharp("dark")
    return x + Outside.reading


def attempts_at(job_info: JobInfo) -> int:
    """Count another attempt at a job, and return how many there have been."""
    path = os.path.join(FOLDER, f"attempts-{job_info.job_id}")
    note(path, "tried")
    return len(notes(path))


@task(version="1", retry_delay=0)
def flaky(x, failures, retries, job_info=JobInfo()):
    # Equal calls share a result, whatever their options: so the retries are an argument too.
    assert job_info.options["retries"] == retries
    if attempts_at(job_info) <= failures:
        raise Dull("flaky")
    return x


@task(version="1")
def write(x):
    path = os.path.join(FOLDER, f"written-{x:d}")
    aside = f"{path}-{os.getpid()}-{threading.get_ident()}"  # Others may be writing the same.
    with open(aside, "w") as stream:
        stream.write(f"{x:d}")
    os.replace(aside, path)
    return File(path)


@task(version="1")
def read(file):
    return int(file.read())


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
    return get_task_registry().get(f"programs.{name}")


@task(version="1")
def call_with(f, x):
    return f(x)


@task(version="1")
def unquote(quoted):
    return quoted.eval()


@task(version="1")
def unquote_twice(quoted):
    return [quoted.eval(), ident(1), quoted.eval()]


@task(version="1")
def join_below(thread):
    return join_thread(thread)


@task(version="1")
def explain(error):
    return len(str(error))


@task(version="1")
def worsen(error):
    raise Dull(f"{error}!")


@task(version="1")
def reraise(number, error):
    raise error


@task(version="1")
def retry(error):
    return brittle_(len(str(error)))


@task(version="1")
def tally(value):
    return tallied(value)


def tallied(value: Any) -> int:
    return sum(100 + len(str(one)) if isinstance(one, Exception) else one for one in value)


@scheduler_task(version="1")
def rescue(scheduler, parent_job, sexpr, expr, instead):
    return scheduler.evaluate(expr, parent_job).then(None, lambda error: instead)


@scheduler_task(version="1")
def twice(scheduler, parent_job, sexpr, expr):
    return add(expr, expr)


@task(version="1", executor="threads")
async def awaits(program, mode):
    parts = build(program)
    if mode == "one":
        return await total(parts)
    if mode == "gather":
        return sum(await asyncio.gather(total(parts), ident(1), cond(True, ident(2), ident(3))))
    if mode == "rescue":
        try:
            return await total(parts)
        except Failed:
            return -1
    if mode == "raise":
        try:
            return await total(parts)
        except Failed as error:
            raise Dull("raised") from error
    if mode == "lazy":
        return total(parts) + await ident(2)
    first = await total(parts)
    return first + await add(first, 1)


AWAITED = ["one", "gather", "rescue", "raise", "lazy", "twice"]


# Tasks that are edited


@edited
def _(version):
    @task(version=str(version))
    def scale(x):
        return x * (version + 1)

    return scale


@edited
def _(version):
    @task(version=str(version))
    def brittle(x):
        if version == 0:
            raise Sharp("brittle")
        return x + version

    return brittle


@edited
def _(version):
    defaults = [fail("Dull", "default"), ident(4), 5]

    @task(version=str(version))
    def drift(x, y=defaults[version]):
        return x + y

    return drift


@edited
def _(version):
    @task(version=str(version))
    def mend(error):
        if version == 2:
            raise Sharp("mend")
        return len(str(error)) + 10 * version

    return mend


@edited
def _(version):
    @scheduler_task(version=str(version))
    def bend(scheduler, parent_job, sexpr, expr):
        if version == 0:
            return scheduler.evaluate(expr, parent_job).then(lambda value: value + 1)
        return ident(expr) if version == 1 else 5

    return bend


@edited
def _(version):
    @task(version=str(version))
    def detour(x):
        return [scale_, brittle_, ident][version](x)

    return detour


@edited
def _(version):
    @task(version=str(version), executor="threads")
    async def later(x):
        return x + version if version == 2 else await detour_(x) + version

    return later


@edited
def _(version):
    added, factor = [(1, 1), (2, 1), (1, 2)][version]

    @wraps_task(version=str(factor))
    def _scaled(inner):
        return lambda *args: inner.func(*args) * factor

    @_scaled
    @task(version=str(added))
    def wrapped(x):
        return x + added

    return wrapped


@edited
def _(version):
    @task(version=str(version))
    def listing(x):
        return [x, brittle_(x) if version == 0 else x + version]

    return listing


@edited
def _(version):
    # Its options are no part of its hash, and decide whether it fails.
    @task(version="1", retry_delay=0, retries=version)
    def patient(x, job_info=JobInfo()):
        if attempts_at(job_info) < 2:
            raise Sharp("patient")
        return x

    return patient


EDITED = sorted(_made)
FIRST = World(tuple(1 for _ in EDITED)).come_true()


def present(name: str) -> Any:
    """Return a task in its present version."""
    return get_task_registry().find(f"programs.{name}")


def scale_(x):
    return present("scale")(x)


def brittle_(x):
    return present("brittle")(x)


def detour_(x):
    return present("detour")(x)


# Meaning


class Meaning(NamedTuple):
    """What something may come to: any of these values, or any of these errors."""

    values: frozenset[Any]
    errors: frozenset[Error] = frozenset()

    def __or__(self, other: Any) -> Meaning:
        return Meaning(self.values | other.values, self.errors | other.errors)

    def then(self, function: Callable[[Any], Meaning]) -> Meaning:
        """Return what a function makes of it."""
        found = Meaning(frozenset(), self.errors)
        for value in self.values:
            found |= function(value)
        return found


NOTHING = Meaning(frozenset())
MOST_MEANINGS = 40


def value(found: Any) -> Meaning:
    return Meaning(frozenset({found}))


def error(kind: str, message: str) -> Meaning:
    return Meaning(frozenset(), frozenset({(kind, message)}))


def combinations(meanings: list[Any]) -> list[Any]:
    """Return all ways to take one of each; give up the program if there are too many."""
    found = list(islice(product(*meanings), MOST_MEANINGS + 1))
    if len(found) > MOST_MEANINGS:
        reject()
    return found


def apply(function: Callable[..., Any], meanings: list[Meaning]) -> Meaning:
    """Return what a function may make of arguments that are evaluated in any order."""
    errors = frozenset().union(*(meaning.errors for meaning in meanings))
    chosen = combinations([meaning.values for meaning in meanings])
    return Meaning(frozenset(function(*values) for values in chosen), errors)


class Scope(NamedTuple):
    """Where parts are evaluated.

    Attributes
    ----------
    world
        The world.
    context
        Context variables `a` and `deep.b`.
    shared
        The parts that a program uses several times.
    """

    world: World
    context: tuple[Any, Any]
    shared: tuple[Any, ...] = ()

    def mean(self, part: Any) -> Meaning:
        return CONSTRUCTS[part[0]].mean(self, *part[1:])

    def all(self, parts: Any) -> list[Meaning]:
        return [self.mean(part) for part in parts]

    def program(self, program: Any) -> Meaning:
        """Return what a program comes to, of the kind that makes a number."""
        _, shared, (wrapper, parts) = program
        scope = self._replace(shared=shared)
        return apply(lambda *values: flat_sum(WRAPPERS[wrapper](values)), scope.all(parts))

    def call(self, callee: Any, *args: Meaning) -> Meaning:
        return CALLEES[callee[0]].mean(self, args, *callee[1:])

    def task(self, name: str, *args: Meaning) -> Meaning:
        """Return what the call of a task with one argument comes to."""
        known = [arg for arg in args if arg is not None]
        version = self.world.version(name) if name in EDITED else 0
        if name == "bend":
            return [
                lambda: apply(lambda x: x + 1, known),
                lambda: known[0],
                lambda: value(5),
            ][version]()
        if name == "twice":
            return apply(lambda x, y: x + y, known * 2)
        if name == "drift" and version == 0:
            return error("Dull", "default") | Meaning(frozenset(), known[0].errors)
        found = NOTHING
        for (x,) in combinations([known[0].values]):
            found |= self._called(name, version, x)
        return found | Meaning(frozenset(), known[0].errors)

    def _called(self, name: str, version: int, x: Any) -> Meaning:
        if name == "brittle":
            return error("Sharp", "brittle") if version == 0 else value(x + version)
        if name == "patient":
            # Once it has succeeded, it may be cached; once it may be tried again, it must succeed.
            return value(x) | error("Sharp", "patient") if version == 0 else value(x)
        if name == "detour":
            return self.task(["scale", "brittle", "ident"][version], value(x))
        if name == "later":
            if version == 2:
                return value(x + 2)
            return apply(lambda y: y + version, [self.task("detour", value(x))])
        if name == "look":
            reading = self.world.reading
            return error("Sharp", "dark") if reading < 0 else value(x + reading)
        a, b = self.context
        return value(
            {
                "ident": lambda: x,
                "informed": lambda: x,
                "default": lambda: x + 670,
                "in_context": lambda: x + 10 * a + 100 * b,
                "from_context": lambda: b + x * a,
                "by_context": lambda: x,
                "several": lambda: x,
                "scale": lambda: x * (version + 1),
                "drift": lambda: x + 3 + version,
                "wrapped": lambda: [x + 1, x + 2, (x + 1) * 2][version],
            }[name]()
        )

    def handled(self, handler: str, failed: Error) -> Meaning:
        """Return what a handler makes of an error."""
        kind, message = failed
        if handler == "mend":
            version = self.world.version("mend")
            return error("Sharp", "mend") if version == 2 else value(len(message) + 10 * version)
        if handler == "retry":
            return self.task("brittle", value(len(message)))
        if handler == "worsen":
            return error("Dull", f"{message}!")
        if handler == "reraise":
            return error(kind, message)
        return value(len(message))

    def caught(self, failed: Error, pairs: Any) -> Meaning:
        """Return what the first handler that fits makes of an error."""
        for classes, handler in pairs:
            if matches(failed, CLASSES[classes]):
                return self.handled(handler, failed)
        return Meaning(frozenset(), frozenset({failed}))


HANDLERS: dict[str, Callable[[], Any]] = {
    "explain": lambda: explain,
    "mend": lambda: present("mend"),
    "worsen": lambda: worsen,
    "retry": lambda: retry,
    "reraise": lambda: reraise.partial(3),
    "picked": lambda: pick("explain"),
}
ARITY_ONE = [
    "brittle",
    "drift",
    "ident",
    "informed",
    "default",
    "in_context",
    "from_context",
    "by_context",
    "several",
    "twice",
    *(name for name in EDITED if name not in ("mend", "listing")),
]
SYNCHRONOUS = [name for name in ARITY_ONE if name != "later"]


# Drawing


class Drawer:
    """Draws parts of a program, the smaller ones the deeper.

    Attributes
    ----------
    size
        About how many parts there may be in one part.
    steady
        For each shared part there is, whether it comes to the same as long as no code is edited.
    is_steady
        Whether all that is drawn must be: what is replayed as a whole may not look around.
    known
        Parts that may be repeated.
    """

    def __init__(self, draw: Any, size: int) -> None:
        self.draw = draw
        self.size = size
        self.steady: list[bool] = []
        self.is_steady = False
        self.known: list[Any] = []

    def integer(self, least: int, most: int) -> int:
        return int(self.draw(st.integers(least, most)))

    def one_of(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def index(self, choices: Any) -> int:
        return self.integer(0, len(choices) - 1)

    def task(self, names: list[str]) -> str:
        """Draw the name of a task."""
        name = self.one_of(names)
        return "ident" if name == "patient" and self.is_steady else str(name)

    def part(self) -> Any:
        if self.size <= 1:
            number = ("number", *CONSTRUCTS["number"].draw(self))
            name = self.one_of([None, None, None, "brittle", "scale", "drift", "detour"])
            return number if name is None else ("called", name, 0, number)
        if self.known and not self.integer(0, 3):
            part = self.one_of(self.known)
            if not (self.is_steady and looks(part)):
                return part
        name = self.one_of(NAMES)
        whole, self.size = self.size, self.size // 2
        part = (name, *CONSTRUCTS[name].draw(self))
        self.size = whole
        if "('number', None" not in str(part):  # What is shared in one program is not in another.
            self.known.append(part)
        return part

    def parts(self, least: int = 1, most: int = 3) -> tuple[Any, ...]:
        return tuple(self.part() for _ in range(self.integer(least, most)))

    def steadily(self, function: Callable[[], Any], is_steady: bool = True) -> Any:
        """Draw something that has to be steady, if so said."""
        before, self.is_steady = self.is_steady, self.is_steady or is_steady
        try:
            return function()
        finally:
            self.is_steady = before

    def program(self, kind: str = "sum") -> Any:
        """Draw a program: parts that may be used several times, and what it comes to."""
        before, self.steady = self.steady, []
        shared = []
        for _ in range(self.integer(0, 2) if self.size > 3 else 0):
            is_steady = self.is_steady or bool(self.integer(0, 1))
            shared.append(self.steadily(self.part, is_steady))
            self.steady.append(is_steady)
        parts = self.parts()
        if self.integer(0, 2):  # Else most programs would come to an error.
            parts = tuple(("caught", (part,), ((0, "explain"),)) for part in parts)
        self.steady = before
        return (kind, tuple(shared), (self.one_of(sorted(WRAPPERS)), parts))

    def callee(self) -> Any:
        name = self.one_of(sorted(CALLEES))
        return (name, *CALLEES[name].draw(self))


def looks(program: Any) -> bool:
    """Say whether a program comes to something else for a reason that is no edited code."""
    text = str(program)
    return "('looked', 1" in text or "'patient'" in text


@st.composite
def programs(draw: Any, size: int = 20) -> Any:
    return Drawer(draw, size).program("value")


worlds = st.builds(
    lambda edits, reading, variable: World(
        tuple(edits.get(name, 1) for name in EDITED), reading, variable
    ),
    st.dictionaries(st.sampled_from(EDITED), st.integers(0, VERSIONS - 1), max_size=4),
    st.sampled_from([5, 6, -1]),
    st.sampled_from([1, 3]),
)


# Building


class Builder:
    """Builds the workflow that a program describes."""

    def __init__(self) -> None:
        self.shared: list[Any] = []

    def __call__(self, part: Any) -> Any:
        return CONSTRUCTS[part[0]].build(self, *part[1:])

    def all(self, parts: Any) -> list[Any]:
        return [self(part) for part in parts]

    def callee(self, callee: Any) -> Any:
        return CALLEES[callee[0]].build(self, *callee[1:])


def build(program: Any) -> Any:
    """Return the workflow that a program describes."""
    kind, shared, (wrapper, parts) = program
    make = Builder()
    for part in shared:  # Each may use those before it.
        make.shared.append(make(part))
    result = WRAPPERS[wrapper](make.all(parts))
    return total(result) if kind == "sum" else result


def interpret(program: Any, world: World) -> tuple[list[Any], frozenset[Error]]:
    """Return all values that a program may come to, and all errors that it may raise."""
    _, shared, (wrapper, parts) = program
    scope = Scope(world, (world.variable, 2), shared)
    meanings = scope.all(parts)
    errors = frozenset().union(*(meaning.errors for meaning in meanings))
    chosen = combinations([meaning.values for meaning in meanings])
    return [WRAPPERS[wrapper](values) for values in chosen], errors


# Constructs

CONSTRUCTS: dict[str, Any] = {}
CALLEES: dict[str, Any] = {}


def construct(cls: type) -> type:
    CONSTRUCTS[cls.__name__] = cls
    return cls


def called_as(cls: type) -> type:
    CALLEES[cls.__name__] = cls
    return cls


@construct
class number:
    """A number; or, where there is one to use again, a part that others use too."""

    def draw(d):
        usable = [i for i, steady in enumerate(d.steady) if steady or not d.is_steady]
        if usable and d.integer(0, 1):
            return (None, d.one_of(usable))
        return (d.integer(0, 4), None)

    def build(make, number, shared):
        return number if shared is None else make.shared[shared]

    def mean(scope, number, shared):
        return value(number) if shared is None else scope.mean(scope.shared[shared])


@construct
class called:
    """A task with one argument, called with options."""

    def draw(d):
        return (d.task(SYNCHRONOUS), d.index(OPTIONS), d.part())

    def build(make, name, options, x):
        return present(name).options(**OPTIONS[options])(make(x))

    def mean(scope, name, options, x):
        return scope.task(name, scope.mean(x))


@construct
class looked:
    """What a task sees that looks around: it is not cached."""

    def draw(d):
        return (0 if d.is_steady else 1, d.part())

    def build(make, looks, x):
        return (look if looks else ident)(make(x))

    def mean(scope, looks, x):
        return scope.task("look" if looks else "ident", scope.mean(x))


@construct
class added:
    def draw(d):
        return (d.index(OPTIONS), d.part(), d.part())

    def build(make, options, a, b):
        return add.options(**OPTIONS[options])(make(a), make(b))

    def mean(scope, options, a, b):
        return apply(lambda a, b: a + b, scope.all([a, b]))


@construct
class operator:
    def draw(d):
        return (d.one_of(sorted(OPERATORS)), d.part(), d.part())

    def build(make, name, a, b):
        return OPERATORS[name](make(a), make(b))

    def mean(scope, name, a, b):
        return apply(OPERATORS[name], scope.all([a, b]))


@construct
class failed:
    def draw(d):
        return (d.one_of(sorted(KINDS)), d.one_of(["one", "three"]), d.integer(0, 1))

    def build(make, kind, message, thrown):
        return throw(KINDS[kind](message)) if thrown else fail(kind, message)

    def mean(scope, kind, message, thrown):
        return error(kind, message)


@construct
class arguments:
    """Arguments by position, by name, and all that a function takes."""

    def draw(d):
        return (d.index(OPTIONS), d.part(), d.part())

    def build(make, options, a, b):
        x, y = make(a), make(b)
        return several.options(**OPTIONS[options])(x, x=y, y=x) + default(c=x, a=y, b=0)

    def mean(scope, options, a, b):
        return apply(lambda a, b: (a - b - a) + (b + 100 * a), scope.all([a, b]))


@construct
class items:
    """Parts of results: by index, slice, attribute, method, and unpacked."""

    def draw(d):
        return (d.integer(0, 5), d.part(), d.part())

    def build(make, way, a, b):
        x, y = make(a), make(b)
        if way == 0:
            return pair(x, y)[0] + pair.options(nout=None)(x, y)[1][0]
        if way == 1:
            first, second = pair(x, y)
            return first + second[0]
        if way == 2:
            return point(x, y).x * 2 + point(x, y).y["y"] * 0
        if way == 3:
            return total(ident([0, x, y])[1:])
        if way == 4:
            return ident([x, y]).index(x) + x + y
        return pick("add")(x, y)

    def mean(scope, way, a, b):
        functions = [
            lambda a, b: (a + b) + (a - b),
            lambda a, b: (a + b) + (a - b),
            lambda a, b: a * 2,
            lambda a, b: a + b,
            lambda a, b: a + b,
            lambda a, b: a + b,
        ]
        return apply(functions[way], scope.all([a, b]))


@construct
class totalled:
    """A nested value as an argument."""

    def draw(d):
        return (d.index(OPTIONS), d.one_of(sorted(WRAPPERS)), d.parts())

    def build(make, options, wrapper, parts):
        return total.options(**OPTIONS[options])(WRAPPERS[wrapper](make.all(parts)))

    def mean(scope, options, wrapper, parts):
        return apply(lambda *values: flat_sum(WRAPPERS[wrapper](values)), scope.all(parts))


@construct
class expanded:
    """A workflow in a workflow; as a nested value of lazy parts, or summed up."""

    def draw(d):
        options = d.index(OPTIONS)
        shallow = bool(d.integer(0, 1))
        steady = shallow or is_shallow(OPTIONS[options])
        kind = d.one_of(["sum", "value"])
        return (options, shallow, d.steadily(lambda: d.program(kind), steady))

    def build(make, options, shallow, program):
        return total((expand_shallow if shallow else expand).options(**OPTIONS[options])(program))

    def mean(scope, options, shallow, program):
        return scope.program(program)


@construct
class recursive:
    def draw(d):
        options = d.index(OPTIONS)
        steady = is_shallow(OPTIONS[options])
        return (options, d.integer(0, 3), d.steadily(d.program, steady))

    def build(make, options, n, program):
        return recurse.options(**OPTIONS[options])(n, program)

    def mean(scope, options, n, program):
        return apply(lambda found: found + n, [scope.program(program)])


@construct
class branched:
    """cond: conditions that are true or not, one branch for each, and one for else."""

    def draw(d):
        count = d.integer(1, 2)
        return (tuple((d.part(), d.part()) for _ in range(count)), d.part())

    def build(make, pairs, last):
        return cond(*[make(part) for pair in pairs for part in pair], make(last))

    def mean(scope, pairs, last):
        if not pairs:
            return scope.mean(last)
        (condition, branch), *rest = pairs

        def choose(found):
            return scope.mean(branch) if found else branched.mean(scope, rest, last)

        return scope.mean(condition).then(choose)


@construct
class rescued:
    """A user's own scheduler task that takes all errors."""

    def draw(d):
        return (d.part(), d.integer(0, 9))

    def build(make, part, instead):
        return rescue(make(part), instead)

    def mean(scope, part, instead):
        found = scope.mean(part)
        return Meaning(found.values) | (value(instead) if found.errors else NOTHING)


@construct
class caught:
    """catch: with classes and handlers; of one part, or of a nested value."""

    def draw(d):
        count = d.integer(1, 2)
        pairs = tuple((d.index(CLASSES), d.one_of(sorted(HANDLERS))) for _ in range(count))
        return (d.parts(1, 2), pairs)

    def build(make, parts, pairs):
        given = [one for c, handler in pairs for one in (CLASSES[c], HANDLERS[handler]())]
        made = make.all(parts)
        return total(catch(made[0] if len(made) == 1 else made, *given))

    def mean(scope, parts, pairs):
        found = apply(lambda *values: sum(values), scope.all(parts))
        meaning = Meaning(found.values)
        for failure in found.errors:
            meaning |= scope.caught(failure, pairs)
        return meaning


@construct
class all_caught:
    """catch_all: all parts come to an end, whatever becomes of the others."""

    def draw(d):
        return (d.one_of([None, *range(len(CLASSES))]), d.parts(1, 3))

    def build(make, classes, parts):
        made = make.all(parts)
        handler = () if classes is None else (CLASSES[classes], tally)
        return total(catch_all(made, *handler))

    def mean(scope, classes, parts):
        found = NOTHING
        meanings = scope.all(parts)
        for outcomes in combinations(
            [
                [*((True, one) for one in part.values), *((False, one) for one in part.errors)]
                for part in meanings
            ]
        ):
            failures = [failure for well, failure in outcomes if not well]
            accepted = () if classes is None else CLASSES[classes]
            refused = [failure for failure in failures if not matches(failure, accepted)]
            if refused:
                found |= error(*refused[0])
            else:
                found |= value(sum(one if well else 100 + len(one[1]) for well, one in outcomes))
        return found


@construct
class in_sequence:
    def draw(d):
        return (d.parts(0, 3),)

    def build(make, parts):
        return total(seq(make.all(parts)))

    def mean(scope, parts):
        if not parts:
            return value(0)
        first, *rest = parts

        def go_on(found):
            return apply(lambda more: found + more, [in_sequence.mean(scope, rest)])

        return scope.mean(first).then(go_on)


@construct
class mapped:
    """map_ over a list that is lazy as a whole, or holds lazy parts."""

    def draw(d):
        return (d.integer(0, 1), d.callee(), d.parts(0, 3))

    def build(make, lazily, callee, parts):
        made = make.all(parts)
        return total(map_(make.callee(callee), ident(made) if lazily else made))

    def mean(scope, lazily, callee, parts):
        def loop(meanings):
            return apply(lambda *xs: sum(xs), [scope.call(callee, one) for one in meanings])

        if lazily or is_lazy(callee):  # All of the list is there before the first call.
            whole = apply(lambda *xs: xs, scope.all(parts))
            return whole.then(lambda xs: loop(map(value, xs)))
        return loop(scope.all(parts))


@construct
class listed:
    """The other loops, and what goes with them: flat_map, flatten, zip_, starmap."""

    def draw(d):
        return (d.integer(0, 3), d.parts(1, 2))

    def build(make, way, parts):
        made = make.all(parts)
        if way == 0:
            return total(flat_map(present("listing"), made))
        if way == 1:
            return total(flatten([[part] for part in made]))
        if way == 2:
            return total(zip_(made, made))
        return total(starmap(add, [{"a": part, "b": made[0]} for part in made]))

    def mean(scope, way, parts):
        meanings = scope.all(parts)
        if way == 0:
            version = scope.world.version("listing")
            found = [
                part.then(
                    lambda x: (
                        apply(lambda y: x + y, [scope.task("brittle", value(x))])
                        if version == 0
                        else value(x + x + version)
                    )
                )
                for part in meanings
            ]
            return apply(lambda *values: sum(values), found)
        if way == 1:
            return apply(lambda *values: sum(values), meanings)
        if way == 2:
            return apply(lambda *values: 2 * sum(values), meanings)
        return apply(lambda *values: sum(values) + len(values) * values[0], meanings)


@construct
class higher:
    """A task as a value: called lazily, by another task, or composed."""

    def draw(d):
        way = d.integer(0, 4)
        options = d.index(OPTIONS) if way == 1 else 0
        callee = d.steadily(d.callee, is_shallow(OPTIONS[options]))
        return (way, options, callee, d.part())

    def build(make, way, options, callee, x):
        made = make.callee(callee)
        if way == 0:
            return ident(made)(make(x))
        if way == 1:
            return call_with.options(**OPTIONS[options])(made, make(x))
        if way == 2:
            return compose(ident, made)(make(x))
        if way == 3:
            return compose(present("scale"), made, add.partial(1))(make(x))
        return force(delay(made(make(x))))

    def mean(scope, way, options, callee, x):
        def call(x):
            if way == 3:
                return scope.task("scale", scope.call(callee, apply(lambda x: x + 1, [x])))
            return scope.call(callee, x)

        found = scope.mean(x)
        if way in (0, 1) or is_lazy(callee):  # The argument is there before the call.
            return found.then(lambda x: call(value(x)))
        return call(found)


@construct
class in_functions:
    """Steps of redun_lite.functools that compute something."""

    def draw(d):
        return (d.integer(0, 4), d.part(), d.part())

    def build(make, way, a, b):
        x, y = make(a), make(b)
        if way == 0:
            return const(x, y)
        if way == 1:
            return identity(x) + identity(x) * 0 + 0 * y
        if way == 2:
            return apply_func(flat_sum, [x, {"y": y}])
        if way == 3:
            return as_task(max)(x, y)
        return eval_("a - b", y, pos_args=["b"], a=x)

    def mean(scope, way, a, b):
        functions = [
            lambda a, b: a,
            lambda a, b: a,
            lambda a, b: a + b,
            max,
            lambda a, b: a - b,
        ]
        return apply(functions[way], scope.all([a, b]))


@construct
class from_around:
    """A context variable where it is: an argument, perhaps with a default."""

    def draw(d):
        return (d.one_of(["none", "a", "deep.b"]), d.part())

    def build(make, path, part):
        return get_context(path, make(part))

    def mean(scope, path, part):
        return {"a": value(scope.context[0]), "deep.b": value(scope.context[1])}.get(
            path
        ) or scope.mean(part)


@construct
class with_context:
    """Other context variables for a call and all below it."""

    def draw(d):
        options = d.index(OPTIONS)
        shallow = is_shallow(OPTIONS[options])
        program = d.steadily(d.program, shallow)
        return (d.one_of([None, "quoted"]), options, d.part(), d.one_of([None, d.part()]), program)

    def build(make, quoted, options, a, b, program):
        changed = {} if b is None else {"deep": {"b": make(b)}}
        called, given = (expand, program) if quoted is None else (unquote, quote(build(program)))
        return called.options(**OPTIONS[options]).update_context(changed, a=make(a))(given)

    def mean(scope, quoted, options, a, b, program):
        a = scope.mean(a)
        b = value(scope.context[1]) if b is None else scope.mean(b)
        found = Meaning(frozenset(), a.errors | b.errors)
        for context in combinations([a.values, b.values]):
            found |= scope._replace(context=context).program(program)
        return found


@construct
class in_options:
    """Options that are lazy."""

    def draw(d):
        return (d.integer(0, 1), d.part(), d.part())

    def build(make, way, option, x):
        lazy, made = make(option), make(x)
        if way == 0:
            return ident.options(memory=lazy, disk=[lazy, get_context("a")])(made)
        return ident.options(cache=ident(lazy) == 3, tags=[("lazy", lazy)])(made)

    def mean(scope, way, option, x):
        return apply(lambda option, x: x, scope.all([option, x]))


@construct
class exported:
    """Options for all below."""

    def draw(d):
        options = d.index(EXPORTED)
        return (options, d.part(), d.steadily(d.program, is_shallow(EXPORTED[options])))

    def build(make, options, lazy, program):
        return expand.export_options(**EXPORTED[options], disk=make(lazy))(program)

    def mean(scope, options, lazy, program):
        return apply(lambda lazy, found: found, [scope.mean(lazy), scope.program(program)])


@construct
class quoted:
    """Parts that are evaluated somewhere else."""

    def draw(d):
        way = d.integer(0, 4)
        options = d.index(EXPORTED)
        return (way, options, d.steadily(d.part, way == 2 or is_shallow(EXPORTED[options])))

    def build(make, way, options, part):
        made = make(part)
        if way == 0:
            return unquote(quote(made))
        if way == 1:
            return unquote_twice(quote(made))[2]
        if way == 2:
            return no_prov(made)
        if way == 3:
            return with_export_options(made, EXPORTED[options])
        return with_export_options(quote(made), ident(EXPORTED[options]))

    def mean(scope, way, options, part):
        return scope.mean(part)


@construct
class in_background:
    """Work that is joined here, or in another job, or not at all."""

    def draw(d):
        way = d.integer(0, 2)
        return (way, d.index(OPTIONS), d.part())

    def build(make, way, options, part):
        thread = fork_thread(make(part))
        if way == 0:
            return join_thread(thread)
        if way == 1:
            return join_below.options(**OPTIONS[options])(thread)
        return const(3, thread)

    def mean(scope, way, options, part):
        return value(3) if way == 2 else scope.mean(part)


@construct
class tagged:
    def draw(d):
        return (d.part(), d.integer(0, 3))

    def build(make, part, tag):
        made = make(part)
        tags = [("value", tag)]
        return apply_tags(made, tags, job_tags=[("job", made)], execution_tags={"run": tag})

    def mean(scope, part, tag):
        return scope.mean(part)


@construct
class with_config:
    """An argument that is no part of the key."""

    def draw(d):
        return (d.part(), d.integer(0, 9))

    def build(make, x, memory):
        return configured(make(x), memory=memory)

    def mean(scope, x, memory):
        return scope.mean(x)


@construct
class tried_again:
    """A task that fails some times, and is tried some times."""

    def draw(d):
        return (d.integer(0, 2), d.integer(0, 2), d.part())

    def build(make, failures, retries, x):
        return flaky.options(retries=retries, retry_on=Dull)(make(x), failures, retries)

    def mean(scope, failures, retries, x):
        found = scope.mean(x)
        if failures <= retries or not found.values:
            return found
        return Meaning(frozenset(), found.errors) | error("Dull", "flaky")


@construct
class written:
    """A file that one task writes and another reads."""

    def draw(d):
        return (d.part(),)

    def build(make, x):
        return read(write(make(x)))

    def mean(scope, x):
        return scope.mean(x)


@construct
class awaited:
    """An async task that awaits what a program comes to."""

    def draw(d):
        return (d.one_of(AWAITED), d.steadily(d.program))

    def build(make, mode, program):
        return awaits(program, mode)

    def mean(scope, mode, program):
        found = scope.program(program)
        if mode == "rescue":
            return Meaning(found.values) | (value(-1) if found.errors else NOTHING)
        if mode == "raise":
            return Meaning(found.values) | (error("Dull", "raised") if found.errors else NOTHING)
        added = {"one": 0, "gather": 3, "lazy": 2}
        if mode in added:
            return apply(lambda x: x + added[mode], [found])
        return apply(lambda x: 2 * x + 1, [found])


NAMES = [*CONSTRUCTS, "called", "caught", "caught", "expanded", "awaited"]


def is_lazy(callee: Any) -> bool:
    """Say whether a task itself is lazy, so that arguments are evaluated before it is called."""
    return bool(callee[0] == "picked")


# Tasks as values


@called_as
class named:
    def draw(d):
        return (d.task(ARITY_ONE),)

    def build(make, name):
        return present(name)

    def mean(scope, args, name):
        return scope.task(name, *args)


@called_as
class picked:
    """A task that a task returns."""

    def draw(d):
        return (d.task(SYNCHRONOUS),)

    def build(make, name):
        return pick(name)

    def mean(scope, args, name):
        return scope.task(name, *args)


@called_as
class partial:
    """A task with lazy arguments, of which a later one replaces an earlier one."""

    def draw(d):
        return (d.index(OPTIONS), d.integer(0, 1), d.part())

    def build(make, options, named, part):
        made = make(part)
        if named:
            first = add.options(**OPTIONS[options]).partial(b=fail("Dull", "replaced"))
            return first.partial(b=made)
        return add.partial(made).options(**OPTIONS[options])

    def mean(scope, args, options, named, part):
        return apply(lambda a, b: a + b, [scope.mean(part), *args])


@called_as
class in_a_row:
    def draw(d):
        return (d.task(SYNCHRONOUS), d.task(ARITY_ONE))

    def build(make, first, second):
        return compose(present(first), present(second))

    def mean(scope, args, first, second):
        return scope.task(first, scope.task(second, *args))


@called_as
class with_variables:
    """A task that sees other context variables."""

    def draw(d):
        return (d.one_of(["in_context", "from_context", "by_context"]), d.part())

    def build(make, name, part):
        return present(name).update_context(a=make(part))

    def mean(scope, args, name, part):
        found = Meaning(frozenset(), scope.mean(part).errors)
        for a in scope.mean(part).values:
            found |= scope._replace(context=(a, scope.context[1])).task(name, *args)
        return found
