"""wraps_task, and scheduler tasks that users write."""

from __future__ import annotations

from .case import SAID_EARLY, Fact, case, ran
from .engine import (
    Promise,
    Task,
    catch,
    get_task_registry,
    identity,
    map_,
    scheduler_task,
    task,
    wraps_task,
)

redun_namespace = "wrapping"


def doubled():
    @wraps_task()
    def _doubled(inner_task: Task):
        def do_doubling(*args, **kwargs):
            ran("do_doubling")
            return 2 * inner_task.func(*args, **kwargs)

        return do_doubling

    return _doubled


def beside():
    @wraps_task()
    def _beside(inner_task: Task):
        def do_beside(*args, **kwargs):
            return [inner_task(*args, **kwargs), "beside"]

        return do_beside

    return _beside


def labelled(label, extra=None):
    @wraps_task(wrapper_extra_hash_data=extra)
    def _labelled(inner_task: Task):
        def do_label(*args, **kwargs):
            ran("do_label")
            return [label, inner_task.func(*args, **kwargs)]

        return do_label

    return _labelled


@doubled()
def once(number: int):
    ran("once")
    return number + 1


@doubled()
@task(name="renamed", namespace="elsewhere")
def named(number):
    return number + 1


@doubled()
@doubled()
def twice(number):
    return number + 1


@doubled()
def lazily(number):
    return identity(number)


@beside()
def inner_call(number):
    ran("inner_call")
    return number + 100


@task
def see(value):
    ran(f"see({value!r})")
    return value


@task
def recover(error):
    return "recovered"


def names_of(*parts):
    known = [each.fullname for each in get_task_registry()]
    own = [name for name in known if name.startswith(("wrapping.", "elsewhere."))]
    return sorted(name for name in own if any(part in name for part in parts))


@case("A wrapped task runs its wrapper")
def wrapped():
    return [once(3), once(number=4)]


@case("Wrapped twice", runs=1)
def wrapped_twice():
    return twice(3)


@case("The wrapper has the name of the task, which is hidden below the wrapper's")
def names():
    yield Fact(", ".join(names_of("once", "renamed", "twice")))


@case("A wrapped task is one job", runs=1, jobs=True)
def wrapped_jobs():
    return twice(3)


@case("A wrapped task that returns a call", runs=1)
def wrapped_lazily():
    return lazily(3)


@case("A wrapper may call the task as a task", jobs=True)
def wrapped_call():
    return inner_call(3)


@case("Options of the wrapper and of the wrapped", runs=1)
def wrapped_options():
    def configured():
        @wraps_task(memory=4)
        def _configured(inner_task: Task):
            def do_configured(*args):
                return inner_task.func(*args)

            return do_configured

        return _configured

    @configured()
    @task(memory=9, colour="red")
    def with_options(value):
        return value

    for name in names_of("with_options"):
        options = get_task_registry().get(name).get_task_options()
        told = {key: options[key] for key in ("memory", "colour") if key in options}
        yield Fact(f"{name}: {told}")


@case("When the wrapped task changes, it runs again")
def wrapped_changes():
    for version in "aab":

        @doubled()
        @task(name="changing", version=version)
        def changing(number):
            ran("changing")
            return number

        yield changing(3)


@case(
    "When the extra data for the hash change, it runs again",
    why="redun's documentation has it, in redun it has no effect.",
)
def extra_data():
    for label in "aab":

        @labelled(label, [label])
        @task(name="with_data")
        def with_data(number):
            return number

        yield with_data(3)


@case("Without extra data, what the wrapper was given does not count")
def no_extra_data():
    for label in "aab":

        @labelled(label)
        @task(name="without_data")
        def without_data(number):
            return number

        yield without_data(3)


@case(
    "Missing arguments",
    runs=1,
    why=SAID_EARLY,
)
def missing_arguments():
    return once()


# Scheduler tasks


@scheduler_task()
def choose(scheduler, parent_job, sexpr, condition, value):
    ran("choose")

    def go_on(held):
        return scheduler.evaluate(value, parent_job=parent_job) if held else "nothing"

    return scheduler.evaluate(condition, parent_job=parent_job).then(go_on)


@scheduler_task(name="all_of", namespace="elsewhere")
def collect(scheduler, parent_job, sexpr, *args, **kwargs):
    return scheduler.evaluate([list(args), kwargs], parent_job=parent_job)


@scheduler_task()
def constant(scheduler, parent_job, sexpr, ignored):
    return 5


@scheduler_task()
def give_call(scheduler, parent_job, sexpr, ignored):
    return see(7)


@scheduler_task()
def promise_call(scheduler, parent_job, sexpr, value):
    return scheduler.evaluate(value, parent_job=parent_job).then(lambda number: see(number + 1))


@scheduler_task()
def fail(scheduler, parent_job, sexpr, ignored):
    raise ValueError


@case("Its name, namespace and version in a row")
def scheduler_task_in_a_row():
    @scheduler_task("first_of", "elsewhere", "2")
    def made(scheduler, parent_job, sexpr, values):
        return scheduler.evaluate(values[0], parent_job).then(resolver=lambda value: [value])

    yield Fact(f"{made.fullname} {made.version}")
    yield made([see(1), see(2)])


@case("It may settle a promise of its own")
def scheduler_task_settles():
    @scheduler_task(name="settles", version="1")
    def settles(scheduler, parent_job, sexpr, value):
        return Promise(lambda resolve, reject: resolve(value))

    return settles(3)


@case("A scheduler task gets its arguments unevaluated, and runs each time")
def scheduler_tasks():
    return [choose(see(1), see(2)), choose(see(0), see(3))]


@case("Its name, and any arguments", runs=1)
def scheduler_task_arguments():
    yield Fact(collect.fullname)
    yield collect(see(1), 2, more=see(3))


@case("Partial, mapped, and inside of an expression", runs=1)
def scheduler_task_values():
    return [collect.partial(1)(2), map_(collect, [1, 2]), choose(see(1), see(2)) + 1]


@case("It may return a value", runs=1)
def scheduler_task_value():
    return constant(see(1))


@case(
    "It may return a call",
    runs=1,
    why="What it returns is evaluated, as for other tasks.",
)
def scheduler_task_call():
    return give_call(see(1))


@case(
    "It may return a promise of a call",
    runs=1,
    why="What it comes to is evaluated too.",
)
def scheduler_task_promise():
    return promise_call(see(1))


@case("It may raise", runs=1)
def scheduler_task_error():
    return fail(see(1))


@case(
    "What it raises can be caught",
    runs=1,
    why="An error can be caught wherever it comes from.",
)
def scheduler_task_error_caught():
    return catch(fail(see(1)), ValueError, recover)


@case("What becomes of its promise can be caught", runs=1)
def scheduler_task_promise_caught():
    @task
    def raise_error():
        raise ValueError

    return catch(choose(raise_error(), 1), ValueError, recover)


@case("It leaves no job", runs=1, jobs=True)
def scheduler_task_jobs():
    @task(name="choose_main")
    def main():
        return choose(see(1), see(2))

    return main()
