"""Context variables: get_context, update_context."""

from __future__ import annotations

from .case import TOP, case, ran
from .engine import JobInfo, Run, get_context, identity, task

redun_namespace = "context"

CONFIG = {"scheduler": {"context": '{"a": {"b": 1, "c": 2}, "x": 5, "n": null}'}}


@task
def read():
    return [get_context("a"), get_context("a.b"), get_context("x")]


@task
def outer():
    return read()


@task
def default(value=get_context("a.b")):
    ran(f"default({value})")
    return value


@task
def body():
    ran("body")
    return get_context("a.b")


@task
def both(value):
    return [value, get_context("a.b")]


@task(memory=get_context("x"))
def option(info: JobInfo = JobInfo()):
    return info.options["memory"]


@case("A path leads into the context", config=CONFIG)
def paths():
    return read()


@case("A default stands for a key that is missing", config=CONFIG)
def missing_with_default():
    return [get_context("a.zz", 7), get_context("q.r", default="d"), get_context("x.y", [1])]


@case(
    "A key that is missing, without a default",
    runs=1,
    config=CONFIG,
    why="With None, a misspelt path would go on to be somebody else's error.",
)
def missing():
    return get_context("q.r")


@case(
    "A path through what is no dict",
    runs=1,
    config=CONFIG,
    why="As above.",
)
def through_number():
    return get_context("x.y")


@case("A null in the context is a value, not a missing key", runs=1, config=CONFIG)
def null():
    return get_context("n", "default")


@case(
    "A lazy default",
    runs=1,
    config=CONFIG,
    why="Arguments of `get_context` are evaluated like those of other tasks.",
)
def lazy_default():
    @task
    def main():
        return get_context("zz", identity(9))

    return main()


@case(
    "A lazy path",
    runs=1,
    config=CONFIG,
    why="As above.",
)
def lazy_path():
    return get_context(identity("a.b"))


@case("update_context merges deeply, for the task and what it calls", config=CONFIG)
def update():
    return [outer.update_context({"a": {"b": 100}})(), outer()]


@case("update_context takes keywords", config=CONFIG)
def update_keywords():
    return outer.update_context({"a": {"b": 9}}, x=8)()


@case("update_context takes its dict by name", config=CONFIG)
def update_by_name():
    return outer.update_context(context={"a": {"b": 9}})()


@case("Updates add up", config=CONFIG)
def update_twice():
    return outer.update_context({"a": {"b": 100}}).update_context({"a": {"c": 3}})()


@case("A value may take the place of a dict", runs=1, config=CONFIG)
def update_replaces():
    @task
    def main():
        return [get_context("a"), get_context("a.b", "gone")]

    return main.update_context({"a": 1})()


@case(
    "An updated value may be lazy",
    runs=1,
    config=CONFIG,
    why=TOP,
)
def update_lazy():
    return read.update_context({"a": {"b": identity(55)}})()


@case(
    "A lazy context as a whole",
    runs=1,
    config=CONFIG,
    why="redun drops it without a word; the names of variables must be known when it is written.",
)
def update_lazy_whole():
    return read.update_context(identity({"a": {"b": 55}}))()


@case("A partial task's context can be updated", runs=1, config=CONFIG)
def update_partial():
    return both.partial(3).update_context({"a": {"b": 9}})()


@case("A default argument sees the context of its call", config=CONFIG)
def default_argument():
    return [default(), default.update_context({"a": {"b": 100}})()]


@case("An argument belongs to the caller's context", config=CONFIG)
def argument():
    return both.update_context({"a": {"b": 100}})(get_context("a.b"))


@case("Options are read from the context", config=CONFIG)
def options():
    @task
    def main():
        return [option(), option.options(memory=get_context("a.c"))()]

    return [main(), identity(1)][0]


@case(
    "Options and the update of their own call",
    runs=1,
    config=CONFIG,
    why="Options see the context that default arguments and the body see.",
)
def option_updated():
    @task
    def main():
        return option.update_context(x=77)()

    return main()


@case(
    "An option of the call that is run, read from the context",
    runs=1,
    config=CONFIG,
    why=TOP,
)
def option_of_top():
    return option()


@case("run takes a context, over that of the configuration", config=CONFIG)
def context_of_run():
    yield Run(outer())
    yield Run(outer(), {"context": {"a": {"b": 43}}})


@case("When the context changes, a task that gets it as an argument runs again", config=CONFIG)
def change_of_argument():
    for number in (1, 1, 2, 1):
        yield Run(default(), {"context": {"a": {"b": number}}})


@case("A task that returns get_context does not run again, and gives the new value", config=CONFIG)
def change_of_body():
    for number in (1, 2, 1):
        yield Run(body(), {"context": {"a": {"b": number}}})


@case("One call in two contexts of one run", config=CONFIG)
def two_contexts():
    @task
    def main():
        return [body(), body.update_context({"a": {"b": 7}})()]

    return main()


@case("A shallow task above, in another context", config=CONFIG)
def change_below_shallow():
    @task(check_valid="shallow")
    def main():
        ran("main")
        return body()

    for number in (1, 1, 2):
        yield Run(main(), {"context": {"a": {"b": number}}})
