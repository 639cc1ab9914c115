"""Partial tasks."""

from __future__ import annotations

from .case import SAID_EARLY, case, ran
from .engine import JobInfo, identity, map_, task

redun_namespace = "partials"


@task
def join(a, b, c=3, *, d=4):
    ran("join")
    return [a, b, c, d]


@task
def see(value):
    ran(f"see({value!r})")
    return value


@task
def apply(callable_task, value):
    return callable_task(value)


@task
def give():
    return join.partial(1)


@task
def memory(a, info: JobInfo = JobInfo()):
    return {name: info.options.get(name) for name in ("memory", "colour")}


@case("Arguments come after those that are there")
def positional():
    return join.partial(1)(2)


@case("Keywords", runs=1)
def keywords():
    return [join.partial(b=1)(2), join.partial(d=0)(1, 2, c=9)]


@case("Keywords of the call win", runs=1)
def keywords_override():
    return join.partial(1, b=2, c=9)(c=5)


@case("A partial of a partial", runs=1)
def twice():
    return [join.partial(1).partial(2)(c=0), join.partial(b=1).partial(b=2)(0)]


@case("Its arguments are evaluated when it is called")
def lazy_arguments():
    return [identity(join.partial(see(1))), join.partial(see(2))(see(3))]


@case("Partial tasks are arguments and results")
def as_values():
    return [apply(join.partial(1, c=see(8)), 5), give()(2)]


@case("map_ takes a partial task", runs=1)
def mapped():
    return map_(join.partial(0), [1, see(2)])


@case("Options before and after", runs=1)
def options():
    return [
        memory.options(memory=1).partial()(1),
        memory.partial(2).options(memory=2)(),
        memory.options(memory=1).partial(3).options(memory=3, colour="red")(),
        memory.options(memory=1).partial(4).options(memory=3).partial().options(colour="red")(),
    ]


@case(
    "An argument given twice",
    runs=1,
    why=SAID_EARLY,
)
def given_twice():
    return join.partial(1, b=2)(7)


@case(
    "Too many arguments",
    runs=1,
    why=SAID_EARLY,
)
def too_many():
    return join.partial(1, 2, 3, 4)(5)


@case(
    "An unknown keyword",
    runs=1,
    why=SAID_EARLY,
)
def unknown_keyword():
    return join.partial(zz=5)(1, 2)


@case("A partial task that is never called complains of nothing", runs=1)
def never_called():
    return identity(join.partial(1, 2, 3, 4, 5, zz=6))
