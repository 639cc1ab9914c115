"""What expressions come to, what runs on the way, and how it ends when something fails."""

from __future__ import annotations

import gc
import operator
import sys
import threading
import traceback
from dataclasses import InitVar, dataclass, field
from typing import Any, NamedTuple

import pytest
from support import InlineExecutor, SteeredExecutor

from redun_lite import (
    Config,
    Promise,
    Scheduler,
    Value,
    ValueExpression,
    catch,
    cond,
    get_task_registry,
    scheduler_task,
    script,
    task,
)
from redun_lite._errors import (
    ArgumentError,
    CyclicDependency,
    ExecutorError,
    HashError,
    RedunLiteError,
    ScriptError,
    TaskError,
    UnknownTask,
)
from redun_lite._expr import TaskExpression
from redun_lite._job import Reporter
from redun_lite._record import format_traceback, is_engine_file

redun_namespace = "test_engine"


def run(expr: Any, **arguments: Any) -> Any:
    """Run in memory, each job at once."""
    with Scheduler(executor=InlineExecutor("default")) as scheduler:
        return scheduler.run(expr, **arguments)


@task
def ident(x):
    return x


@task
def add(a, b):
    return a + b


@task
def divide(a, b):
    return a / b


@task
def fail(message="failed"):
    raise ValueError(message)


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Plain:
    a: Any
    b: Any


@dataclass(frozen=True)
class Frozen:
    a: Any


class Slotted:
    """As `@dataclass(slots=True)` makes them, which Python 3.9 does not know."""

    __slots__ = ("a",)
    __dataclass_fields__: Any

    def __init__(self, a):
        self.a = a

    def __eq__(self, other):
        return self.a == other.a

    __hash__ = None


Slotted.__dataclass_fields__ = {"a": Plain.__dataclass_fields__["a"]}


# Values


@pytest.mark.parametrize("value", [1, "a", None, [1, [2]], {"k": (1, {2})}, Pair(1, 2), Frozen(3)])
def test_a_value_without_expressions_comes_to_itself(value):
    assert run(value) == value


@pytest.mark.parametrize(
    ("nested", "expected"),
    [
        (lambda x: [x, [x]], [7, [7]]),
        (lambda x: (x, (x, 1)), (7, (7, 1))),
        (lambda x: {"k": x, "l": {"m": x}}, {"k": 7, "l": {"m": 7}}),
        (lambda x: {x: "key"}, {7: "key"}),
        (lambda x: {x, 1}, {7, 1}),
        (lambda x: frozenset({x}), frozenset({7})),
        (lambda x: Pair(x, [x]), Pair(7, [7])),
        (lambda x: Plain(x, Plain(1, x)), Plain(7, Plain(1, 7))),
        (lambda x: Frozen({"k": x}), Frozen({"k": 7})),
        (lambda x: Slotted([x]), Slotted([7])),
    ],
)
@pytest.mark.parametrize("place", ["top", "argument", "result"])
def test_expressions_are_evaluated_wherever_they_are_nested(nested, expected, place):
    @task
    def returns():
        return nested(add(3, 4))

    if place == "result":
        found = run(returns())
    else:
        found = run(nested(add(3, 4)) if place == "top" else ident(nested(add(3, 4))))
    assert found == expected
    assert type(found) is type(expected)


@dataclass
class Checked:
    """Looks at its fields once they are there, and derives others."""

    a: Any
    b: Any = 1
    derived: Any = field(init=False, default=None)

    def __post_init__(self):
        if isinstance(self.a, int) and self.a < 0:
            raise ValueError("a is below 0")
        if isinstance(self.a, str):
            self.a = int(self.a)
        self.b = self.b * 2
        self.derived = self.b + 1
        self.kind = type(self.a).__name__


@dataclass(frozen=True)
class CheckedFrozen:
    __slots__ = ("a", "derived")
    a: Any

    def __post_init__(self):
        object.__setattr__(self, "derived", type(self.a).__name__)


@dataclass
class Scaled:
    a: Any
    factor: InitVar[Any] = 1

    def __post_init__(self, factor):
        self.scaled = self.a * factor


@dataclass(init=False)
class MadeByHand:
    a: Any

    def __init__(self, number):
        self.a = number
        self.double = number * 2

    def __post_init__(self):
        raise AssertionError("nothing calls it")


def test_a_dataclass_with_lazy_fields_checks_its_values_once_they_are_there():
    with pytest.raises(ValueError, match="a is below 0"):
        run(Checked(add(-3, -4)))
    with pytest.raises(ValueError, match="a is below 0"):
        run(ident({"inside": [Checked(add(-3, -4))]}))
    assert str(run(catch(Checked(add(-3, -4)), ValueError, ident))) == "a is below 0"


def test_a_dataclass_with_lazy_fields_derives_from_values_what_it_derives():
    filled = run(Checked(add(3, 4), add(1, 2)))
    assert vars(filled) == {"a": 7, "b": 6, "derived": 7, "kind": "int"}
    assert run(CheckedFrozen(add(3, 4))).derived == "int"


def test_what_a_dataclass_makes_of_a_field_is_made_of_it_once():
    assert run(Checked(1, add(1, 2))).b == 6
    assert run(Checked(add(1, 2), 3)).b == 6
    assert run(Checked(add("1", "2"))).a == 12


def test_what_a_dataclass_makes_of_arguments_that_are_no_fields_is_evaluated():
    assert vars(run(Scaled(add(1, 2), 3))) == {"a": 3, "scaled": 9}
    assert vars(run(Scaled(3, add(1, 2)))) == {"a": 3, "scaled": 9}
    assert vars(run(MadeByHand(add(1, 2)))) == {"a": 3, "double": 6}


def test_parts_of_a_nested_value_without_expressions_are_kept_as_they_are():
    class Opaque:
        pass

    part = [Opaque()]
    assert run([add(1, 2), part])[1] is part


def test_a_value_expression_comes_to_its_value():
    assert run(ValueExpression(3) + 1) == 4


# Operators


ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "xor")
COMPARISONS = ("lt", "le", "eq", "ne", "gt", "ge")


@pytest.mark.parametrize("name", [*ARITHMETIC, *COMPARISONS])
def test_an_operator_on_expressions_computes_what_it_does_on_values(name):
    function = getattr(operator, name)
    assert run(function(ident(7), ident(2))) == function(7, 2)
    assert run(function(ident(7), 2)) == function(7, 2)
    assert run(function(7, ident(2))) == function(7, 2)


@pytest.mark.parametrize("name", ["neg", "pos", "invert", "abs"])
def test_an_operator_on_one_expression_computes_what_it_does_on_a_value(name):
    function = getattr(operator, name)
    assert run(function(ident(-7))) == function(-7)


def test_and_and_or_are_those_of_truth_and_not_of_bits():
    assert run([ident(1) & ident(2), ident(0) & ident(2), ident(4) | ident(1)]) == [2, 0, 4]
    assert run([3 & ident(0), 0 | ident("x")]) == [0, "x"]


def test_items_attributes_slices_and_calls_of_results_are_lazy():
    assert run(ident([10, 20, 30])[1]) == 20
    assert run(ident([10, 20, 30])[ident(1) : ident(3)]) == [20, 30]
    assert run(ident({"k": {"l": 5}})["k"]["l"]) == 5
    assert run(ident(Pair(1, 2)).right) == 2
    assert run(ident("a b").split()) == ["a", "b"]
    assert run(ident("a-b").split(sep=ident("-"))) == ["a", "b"]


def test_an_operator_whose_result_is_an_expression_comes_to_its_value():
    @task
    def choose():
        return add

    assert run(choose()(1, 2)) == 3
    assert run([choose()(choose()(1, 2), 3)]) == [6]
    assert run(ident(choose()(5, 5))) == 10

    @task
    def choose_partial():
        return add.partial(40)

    assert run(choose_partial()(2) + 1) == 43


def test_an_error_in_an_operator_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError):
        run(ident(1) / 0)
    with pytest.raises(KeyError, match="missing"):
        run(ident({})["missing"])


def test_a_task_with_nout_can_be_unpacked():
    @task(nout=2)
    def split(pair):
        return pair

    first, second = split((3, 4))
    assert run(first - second) == -1


# Arguments


def test_all_kinds_of_parameters_are_passed_on():
    @task
    def f(a, /, b, *rest, c, d=4, **others):
        return (a, b, rest, c, d, others)

    assert run(f(1, ident(2), 3, ident(3), c=ident(5), z=ident(6), y=7)) == (
        1,
        2,
        (3, 3),
        5,
        4,
        {"y": 7, "z": 6},
    )


def test_a_default_argument_may_be_an_expression():
    @task
    def f(a, b=add(1, 2)):
        return a + b

    assert run([f(10), f(10, 20), f(10, b=ident(1))]) == [13, 30, 11]


def test_a_call_that_does_not_fit_the_signature_says_so_at_once():
    with pytest.raises(ArgumentError, match=r"test_engine.add\(a, b\): missing .*'b'"):
        add(1)


def test_a_call_recorded_under_another_signature_fails_with_the_present_one():
    expr = TaskExpression("test_engine.add", (1, 2, 3))
    with pytest.raises(ArgumentError, match=r"test_engine\.add\(a, b\): too many positional"):
        run(expr)


def test_an_unknown_task_is_named_with_the_nearest_one_that_there_is():
    with pytest.raises(UnknownTask, match=r"'test_engine.adn': did you mean test_engine.add"):
        run(TaskExpression("test_engine.adn", (1, 2)))


def test_an_argument_that_cannot_be_stored_is_named_and_its_task_does_not_run(lab):
    ran = []

    @task
    def consume(pool, x):
        ran.append(x)

    with pytest.raises(HashError, match=r"argument 'pool' of test_engine.consume\['a'\]\[1\]"):
        lab.run(consume({"a": [0, threading.Lock()]}, 1))
    with pytest.raises(HashError, match=r"argument 'x' of test_engine\.consume"):
        lab.run(consume(1, lambda: 1))
    assert ran == []
    assert lab.jobs() == {"consume": ["FAILED"]}


def test_a_result_that_cannot_be_stored_is_named():
    @task
    def locks():
        return {"a": [0, threading.Lock()]}

    with pytest.raises(HashError, match=r"result of test_engine.locks\['a'\]\[1\]"):
        run(locks())


@pytest.mark.parametrize("hook", ["get_hash", "serialize", "preprocess", "postprocess"])
def test_an_error_in_a_hook_of_a_value_is_that_of_the_job(lab, hook):
    def broken(self, *args):
        raise OSError("the hook is broken")

    broken_class = type("Broken", (Value,), {hook: broken, "type_name": f"test.Broken.{hook}"})

    @task
    def make():
        return broken_class()

    expr = ident(broken_class()) if hook == "preprocess" else make()
    for _ in range(2):
        with pytest.raises((OSError, HashError), match="the hook is broken"):
            lab.run(expr)
        assert list(lab.jobs().values()) == [["FAILED"]]


class Traveller(Value):
    """Notes the hooks that it comes through, and the jobs that they are told of."""

    def __init__(self, *way):
        self.way = way

    def preprocess(self, preprocess_args):
        return Traveller(*self.way, "into", preprocess_args["job"].task.name)

    def postprocess(self, postprocess_args):
        return Traveller(*self.way, "out of", postprocess_args["job"].task.name)


def test_hooks_see_arguments_on_their_way_in_and_results_on_their_way_out():
    @task
    def visit(values):
        return [Traveller(*values[0].way, "there")]

    way = run(visit([Traveller()]))[0].way
    assert way == ("into", "visit", "there", "out of", "visit")


# One evaluation, or several


@task(cache_scope="NONE")
def tick(ticks):
    return f"tick {next(_ticks)}"


_ticks = iter(range(10**9))


def test_one_expression_object_is_evaluated_once_in_a_scope():
    @task
    def main():
        x = tick(0)
        return [x, {"k": x}, ident(x), x + "!"]

    first, second, third, fourth = run(main())
    assert {first, second["k"], third, fourth[:-1]} == {first}


def test_equal_but_distinct_objects_without_a_cache_scope_are_two_evaluations():
    assert len(set(run([tick(0), tick(0)]))) == 2


def test_one_object_in_two_scopes_is_two_evaluations():
    shared = tick(0)

    @task
    def inner(n):
        return shared

    assert len(set(run([inner(1), inner(2), shared]))) == 3


def test_equal_calls_share_one_evaluation(lab):
    @task
    def main():
        return [add(1, 2), add(1, b=2), add(a=1, b=2)]

    assert lab.run(main()) == [3, 3, 3]
    assert lab.jobs() == {"main": ["DONE"], "add": ["CACHED", "CACHED", "DONE"]}


def test_equal_calls_in_different_scopes_share_one_evaluation(lab):
    @task
    def inner(n):
        return add(1, 2)

    assert lab.run([inner(1), inner(2)]) == [3, 3]
    assert lab.jobs()["add"] == ["CACHED", "DONE"]


def test_a_call_equal_to_one_that_is_still_running_waits_for_it(lab):
    executor = SteeredExecutor()

    @task(executor="steered")
    def slow(x):
        return x

    @task(executor="steered")
    def release():
        return None

    def on_submit(job):
        if job.task is release:
            assert [held.task_name for held in executor.held] == [
                "test_engine.slow",
                "test_engine.release",
            ]
            executor.finish_all()

    executor.on_submit = on_submit
    assert lab.run([slow(1), slow(1), release()], executor) == [1, 1, None]
    assert lab.jobs()["slow"] == ["CACHED", "DONE"]


def test_an_expression_that_is_doubled_fifty_times_takes_one_job_for_each(lab):
    x = ident(1)
    for _ in range(50):
        x = add(x, x)
    assert lab.run(x, InlineExecutor("default")) == 2**50
    assert lab.jobs() == {"ident": ["DONE"], "add": ["DONE"] * 50}


def test_a_doubled_expression_that_a_task_returns_is_recorded_and_replayed(lab):
    @task
    def main():
        x = ident(1)
        for _ in range(50):
            x = add(x, x)
        return x

    assert lab.run(main()) == 2**50
    assert lab.run(main()) == 2**50
    assert lab.jobs() == {"main": ["CACHED"], "ident": ["CACHED"], "add": ["CACHED"] * 50}
    lab.audit()


# Depth

DEPTH = 2_500  # Python lets a thousand calls be inside each other.


@task(version="1")
def count_down(n):
    return 0 if n == 0 else count_down(n - 1)


@task(version="1")
def count_up(n):
    return n + 1


@task(version="1")
def sequence(n):
    x = 0
    for _ in range(n):
        x = count_up(x)
    return x


@task(version="1")
def fail_below(n):
    return fail() if n == 0 else fail_below(n - 1)


@pytest.mark.parametrize(("expr", "value"), [(count_down(DEPTH), 0), (sequence(DEPTH), DEPTH)])
def test_depth_has_no_limit_cold_or_replayed(lab, expr, value):
    ran = []

    class Counting(InlineExecutor):
        def submit(self, job):
            ran.append(job)
            super().submit(job)

    assert lab.run(expr, Counting("default")) == value
    assert len(ran) == DEPTH + 1
    ran.clear()
    assert lab.run(expr, Counting("default")) == value
    assert ran == []


def test_a_sequence_of_operators_has_no_limit():
    x = ident(0)
    for _ in range(DEPTH):
        x = x + 1
    assert run(x) == DEPTH


def test_an_error_comes_up_from_any_depth(lab):
    with pytest.raises(ValueError, match="failed"):
        lab.run(fail_below(2_000), InlineExecutor("default"))
    assert lab.jobs() == {"fail": ["FAILED"], "fail_below": ["FAILED"] * 2_001}


class Counted:
    alive = 0

    def __init__(self):
        Counted.alive += 1

    def __del__(self):
        Counted.alive -= 1

    def __reduce__(self):
        return (Counted, ())


def test_what_a_run_made_is_freed_without_the_garbage_collector(lab):
    @task
    def make(n):
        return [Counted()]

    @task
    def nested(n):
        return [make(n), nested(n - 1)[:1], make(-n)[0]] if n else [Counted()]

    with lab.scheduler(InlineExecutor("default")) as scheduler:
        gc.collect()
        gc.disable()
        try:
            scheduler.run([make(n) for n in range(10)])
            scheduler.run(nested(10))
            assert Counted.alive == 0
        finally:
            gc.enable()


def test_an_argument_that_is_nested_too_deeply_is_an_error_in_one_line():
    value: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        value = [value]
    with pytest.raises(TaskError, match=r"an argument of test_engine\.ident is nested too deeply"):
        run(ident(value))


# Cycles


def test_a_task_that_returns_its_own_call_is_named():
    @task
    def forever():
        return forever()

    with pytest.raises(CyclicDependency, match=r"test_engine\.forever depends on itself"):
        run(forever())


def test_a_long_circle_is_named_in_a_short_line(lab):
    @task
    def even(n):
        return odd(n - 1) if n else even(2_000)

    @task
    def odd(n):
        return even(n - 1)

    with pytest.raises(CyclicDependency) as caught:
        lab.run(even(2_000))
    assert "even → test_engine.odd" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_circle_of_tasks_is_named_in_order():
    @task
    def a(x):
        return [b(x)]

    @task
    def b(x):
        return c(x) + 1

    @task
    def c(x):
        return {"k": a(x)}

    @task
    def outside():
        return a(1)

    with pytest.raises(CyclicDependency) as caught:
        run(outside())
    circle = "test_engine.a → test_engine.b → test_engine.c → test_engine.a"
    assert circle in str(caught.value)
    assert "outside" not in str(caught.value)


def test_a_circle_is_reported_once_the_other_jobs_have_ended(lab):
    @task
    def forever():
        return forever()

    executor = SteeredExecutor()

    class AtIdle(Reporter):
        def tick(self, engine):
            if executor.held and not engine.ready and not engine.lookups:
                executor.finish_all()

    steered = ident.options(executor="steered")
    with pytest.raises(CyclicDependency):
        lab.run([forever(), steered(1)], executor, reporter=AtIdle())
    assert lab.jobs() == {"forever": ["CANCELLED"], "ident": ["DONE"]}


def test_a_circle_of_coroutines_leaves_none_of_them_behind(lab):
    ended = threading.Event()

    @task
    async def forever():
        try:
            return await forever()
        finally:
            ended.set()

    with lab.scheduler() as scheduler:
        with pytest.raises(CyclicDependency):
            scheduler.run(forever())
        assert ended.wait(60)


# Errors


def test_the_first_error_is_raised_with_its_type_and_message():
    class Custom(Exception):
        pass

    @task
    def custom():
        raise Custom("mine", 3)

    with pytest.raises(Custom) as caught:
        run([ident(1), [custom()]])
    assert caught.value.args == ("mine", 3)


def test_an_error_fails_the_jobs_above_and_none_beside(lab):
    @task
    def middle():
        return [fail(), ident(1)]

    @task
    def main():
        return middle()

    with pytest.raises(ValueError, match="failed"):
        lab.run(main(), InlineExecutor("default"))
    assert lab.jobs() == {
        "main": ["FAILED"],
        "middle": ["FAILED"],
        "fail": ["FAILED"],
        "ident": ["DONE"],
    }
    assert lab.statuses() == ["FAILED"]
    lab.audit()


def test_an_error_is_shared_by_equal_calls(lab):
    ran = []

    @task
    def broken():
        ran.append(1)
        raise ValueError("once")

    @scheduler_task
    def both(scheduler, parent_job, sexpr, *exprs):
        promises = [
            scheduler.evaluate(expr, parent_job).catch(lambda error: str(error)) for expr in exprs
        ]
        return Promise.all(promises)

    assert lab.run(both(broken(), broken())) == ["once", "once"]
    assert len(ran) == 1
    assert lab.jobs() == {"broken": ["FAILED", "FAILED"]}


def test_an_error_is_not_replayed_by_a_later_execution(lab):
    outcomes = iter([ValueError("first"), 5])

    @task
    def flaky():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError, match="first"):
        lab.run(flaky())
    assert lab.run(flaky()) == 5
    assert lab.jobs(1) == {"flaky": ["FAILED"]}
    assert lab.jobs(2) == {"flaky": ["DONE"]}


def test_an_argument_that_fails_keeps_its_reader_from_running(lab):
    ran = []

    @task
    def reader(x, y):
        ran.append(x)

    with pytest.raises(ValueError, match="failed"):
        lab.run(reader(ident(1), fail()))
    assert ran == []
    assert lab.jobs()["reader"] == ["FAILED"]


@pytest.mark.parametrize("expects", ["plain", "scoped"])
def test_after_the_first_error_running_jobs_end_and_no_others_start(lab, expects):
    executor = SteeredExecutor()

    @task(executor="steered")
    def running(x):
        return ident(x) if expects == "scoped" else x

    @task
    def after(x):
        return x

    def on_submit(job):
        if job.task is fail:
            executor.finish(job)

    class AtDraining(Reporter):
        def draining(self, engine):
            executor.finish_all()

    executor.on_submit = on_submit
    with pytest.raises(ValueError, match="failed"):
        lab.run(
            [after(running(1)), fail.options(executor="steered")(), running(2)],
            executor,
            reporter=AtDraining(),
        )
    # What the running ones returned is recorded, if that was all there was to do.
    ended = "DONE" if expects == "plain" else "CANCELLED"
    assert lab.jobs() == {"running": [ended, ended], "fail": ["FAILED"]}
    lab.audit()


def test_what_the_last_job_returned_beside_an_error_need_not_be_computed_again(lab):
    executor = SteeredExecutor()
    ran = []

    @task(executor="steered")
    def running():
        ran.append(1)
        return ident(1)

    def on_submit(job):
        if job.task is fail:
            executor.finish(job)

    class AtDraining(Reporter):
        def draining(self, engine):
            executor.finish_all()

    executor.on_submit = on_submit
    for _ in range(2):
        with pytest.raises(ValueError, match="failed"):
            lab.run(
                [fail.options(executor="steered")(), running()], executor, reporter=AtDraining()
            )
    assert len(ran) == 1
    lab.audit()


def test_siblings_of_a_failed_job_that_come_up_together_do_no_harm():
    @task
    def mixed(n):
        return [fail(), add(ident(n), 1), add(add(ident(n), 2), ident(3))]

    for n in range(20):
        with pytest.raises(ValueError, match="failed"):
            run(mixed(n))


@scheduler_task
def rescue(scheduler, parent_job, sexpr, expr, default):
    return scheduler.evaluate(expr, parent_job).catch(lambda error: default)


def test_jobs_beside_an_error_that_was_caught_go_on(lab):
    executor = SteeredExecutor()

    @task(executor="steered")
    def slow(x):
        return x

    @task
    def main():
        return rescue([fail(), add(add(slow(1), 1), 2)], "rescued")

    @task(executor="steered")
    def last(x):
        return x

    def on_submit(job):
        if job.task is last:
            executor.finish_all()

    executor.on_submit = on_submit
    # By the time that `slow` ends, the job in whose scope it is wanted has ended.
    assert lab.run([last(main()), slow(1)], executor) == ["rescued", 1]
    assert lab.jobs()["main"] == ["DONE"]
    lab.audit()


def test_the_traceback_shows_the_frames_of_tasks_and_none_of_the_engine():
    def helper():
        raise KeyError("deep")

    @task
    def broken():
        return helper()

    @task
    def main():
        return ident(broken())

    with Scheduler() as scheduler, pytest.raises(KeyError) as caught:
        scheduler.run(main())
    frames = traceback.extract_tb(caught.value.__traceback__)
    # Before Python 3.11 raising an error anew adds the frame of `Scheduler.run`, which was called.
    engine = [frame.name for frame in frames if is_engine_file(frame.filename)]
    assert engine == ([] if sys.version_info >= (3, 11) else ["run"])
    assert [frame.name for frame in frames][-2:] == ["broken", "helper"]


@task
def rows():
    return {"names": [1]}


@task
def missing_row():
    return ident(rows()["value"])


@task
def no_such_condition():
    return cond(rows()["names"][1:], "some")


@pytest.mark.parametrize(
    ("expr", "note"),
    [
        (missing_row(), "while evaluating test_engine.rows()['value'], in test_engine.missing_row"),
        (rows() + 1, "while evaluating test_engine.rows() + 1"),
        (
            no_such_condition(),
            "while evaluating redun_lite.cond(test_engine.rows()['names'][1:], 'some'), "
            "in test_engine.no_such_condition",
        ),
        ({ident([1])}, "while evaluating {test_engine.ident([1])}"),
    ],
)
def test_an_error_in_an_expression_says_which_it_was_and_in_which_task(expr, note):
    with pytest.raises((KeyError, TypeError, TaskError)) as caught:
        run(expr)
    assert caught.value.__notes__ == [note]
    assert format_traceback(caught.value).endswith(note + "\n")


def test_an_error_of_a_job_that_a_catch_passes_on_has_no_note(lab):
    @task
    def never(error):
        return error

    @task
    def guarded():
        return catch(script("exit 3"), KeyError, never)

    with pytest.raises(ScriptError) as caught:
        lab.run(guarded())
    assert not hasattr(caught.value, "__notes__")


def test_an_error_in_an_expression_is_stored_with_its_note(lab):
    @task
    def explain(error):
        return error.__notes__

    assert lab.run(catch(missing_row(), KeyError, explain)) == [
        "while evaluating test_engine.rows()['value'], in test_engine.missing_row"
    ]


def test_a_task_that_exits_ends_the_run_as_it_wanted(lab):
    @task
    def leave():
        sys.exit("enough")

    with pytest.raises(SystemExit, match="enough"):
        lab.run(leave())
    assert lab.jobs() == {"leave": ["FAILED"]}


def test_an_error_that_cannot_be_shown_is_still_recorded_and_raised(lab):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("I have no words")

    @task
    def mute():
        raise Mute

    with pytest.raises(Mute):
        lab.run(mute())
    assert lab.jobs() == {"mute": ["FAILED"]}
    lab.audit()


# Options


class Observing(InlineExecutor):
    """Keeps the options that each job came with."""

    def __init__(self):
        super().__init__("default")
        self.options = {}

    def submit(self, job):
        self.options[job.task.name] = job.get_options()
        super().submit(job)


def options_of(expr: Any, **arguments: Any) -> dict[str, Any]:
    executor = Observing()
    with Scheduler(executor=executor) as scheduler:
        scheduler.run(expr, **arguments)
    return executor.options


@task(memory=1, image="a", disk=10)
def leaf(x=0):
    return x


@task(export_options={"memory": 2, "image": "b"})
def exporter(**options):
    return leaf.options(**options)() if options else leaf()


@task
def above():
    return exporter()


def test_options_of_the_decorator_reach_the_executor():
    assert options_of(leaf())["leaf"] == {"memory": 1, "image": "a", "disk": 10}


def test_options_of_a_call_win_over_the_decorator():
    assert options_of(leaf.options(memory=3)())["leaf"] == {"memory": 3, "image": "a", "disk": 10}


def test_exported_options_win_over_the_decorator_of_the_tasks_below():
    found = options_of(above())
    assert found["exporter"] == {"memory": 2, "image": "b"}
    assert found["leaf"] == {"memory": 2, "image": "b", "disk": 10}
    assert found["above"] == {}


def test_options_of_a_call_win_over_exported_ones():
    assert options_of(exporter(memory=3))["leaf"] == {"memory": 3, "image": "b", "disk": 10}


def test_options_of_the_run_win_over_all_others():
    found = options_of(exporter(memory=3), options={"memory": 4})
    assert found["leaf"] == {"memory": 4, "image": "b", "disk": 10}
    assert found["exporter"]["memory"] == 4


def test_options_exported_by_a_call_reach_all_jobs_below():
    @task
    def middle():
        return above()

    found = options_of(middle.export_options(disk=5, priority=1)())
    assert found["middle"] == {"disk": 5, "priority": 1}
    assert found["above"] == {"disk": 5, "priority": 1}
    assert found["leaf"] == {"memory": 2, "image": "b", "disk": 5, "priority": 1}


def test_an_option_of_a_call_is_not_handed_down():
    @task
    def middle():
        return leaf()

    assert options_of(middle.options(memory=9)())["leaf"]["memory"] == 1


def test_an_option_that_overrides_an_exported_one_is_not_handed_down():
    @task
    def middle():
        return leaf()

    @task(export_options={"memory": 2})
    def top():
        return middle.options(memory=9)()

    found = options_of(top())
    assert (found["middle"]["memory"], found["leaf"]["memory"]) == (9, 2)


def test_options_may_be_expressions():
    @task(memory=add(1, 1))
    def computed():
        return None

    assert options_of(computed())["computed"] == {"memory": 2}
    found = options_of(leaf.options(memory=add(2, 3), disk={"a": [ident(1)]})())
    assert found["leaf"] == {"memory": 5, "image": "a", "disk": {"a": [1]}}


def test_an_exported_option_that_is_an_expression_is_evaluated_once():
    @task
    def top():
        return [leaf(1), leaf(2)]

    found = options_of(top.export_options(memory=tick(0))())
    assert found["leaf"]["memory"] == found["top"]["memory"]


def test_an_option_that_fails_fails_its_job(lab):
    with pytest.raises(ValueError, match="no memory"):
        lab.run(leaf.options(memory=fail("no memory"))())
    assert lab.jobs() == {"leaf": ["FAILED"], "fail": ["FAILED"]}


def test_the_executor_may_be_an_expression():
    executor = InlineExecutor("other")
    with Scheduler() as scheduler:
        scheduler.add_executor(executor)
        assert scheduler.run(leaf.options(executor=add("oth", "er"))(3)) == 3
    assert executor.starts == 1


@pytest.mark.parametrize(
    "options",
    [
        {"cache_scope": "FAR"},
        {"check_valid": "deep"},
        {"cache": "no"},
        {"executor": 3},
        {"limits": 5},
        {"limits": {"db": "many"}},
        {"allowed_cache_results": ["LATER"]},
        {"allowed_cache_results": 5},
        {"config_args": 5},
        {"config_args": ["memory"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["decorator", "call"])
def test_an_option_with_a_wrong_value_is_named_with_its_task(options, place):
    def define_and_run():
        @task(**(options if place == "decorator" else {}))
        def f(x):
            return x

        return run(f.options(**options)(1) if place == "call" else f(1))

    name = next(iter(options))
    with pytest.raises(TaskError, match=rf"task test_engine\.f: .*{name}"):
        define_and_run()


def test_an_executor_that_does_not_exist_is_named_with_the_nearest(lab):
    with pytest.raises(ExecutorError, match=r"'procss': did you mean process\?"):
        lab.run(ident.options(executor="procss")(1))
    assert lab.jobs() == {"ident": ["FAILED"]}


# Limits


class Crowd(SteeredExecutor):
    """Lets the jobs that it holds end together, whenever the engine has nothing else to do."""

    def __init__(self):
        super().__init__("default")
        self.crowds: list[list[Any]] = []

    def release(self, engine):
        if (
            self.held
            and not engine.ready
            and not engine.lookups
            and not engine.dispatcher.inbox.qsize()
        ):
            self.crowds.append([job.args[0] for job in self.held])
            self.finish_all()


class AtIdle(Reporter):
    def __init__(self, crowd):
        self.crowd = crowd

    def tick(self, engine):
        self.crowd.release(engine)


def crowds(exprs: list[Any], **limits: int) -> list[list[Any]]:
    """Return which jobs ran together."""
    crowd = Crowd()
    config = Config({"limits": limits})
    with Scheduler(config, executor=crowd, reporter=AtIdle(crowd)) as scheduler:
        scheduler.run(exprs)
    return crowd.crowds


def wanting(n: int, limits: Any) -> Any:
    return ident.options(limits=limits)(n)


def test_jobs_without_limits_run_together():
    assert crowds([ident(n) for n in range(5)]) == [[0, 1, 2, 3, 4]]


def test_no_more_jobs_run_than_a_limit_allows():
    assert crowds([wanting(n, ["db"]) for n in range(5)], db=2) == [[0, 1], [2, 3], [4]]


def test_a_resource_that_is_not_named_has_one_unit():
    assert crowds([wanting(n, ["gpu"]) for n in range(3)]) == [[0], [1], [2]]


def test_a_job_may_want_several_units():
    found = crowds([wanting(0, {"db": 3}), wanting(1, {"db": 1}), wanting(2, {"db": 2})], db=3)
    assert found == [[0], [1, 2]]


def test_a_job_that_wants_many_units_is_not_overtaken_for_ever():
    found = crowds(
        [wanting(0, {"db": 1}), wanting(1, {"db": 2}), *[wanting(n, {"db": 1}) for n in (2, 3, 4)]],
        db=2,
    )
    assert found == [[0], [1], [2, 3], [4]]


def test_jobs_that_want_another_resource_are_not_held_back():
    found = crowds([wanting(0, ["db"]), wanting(1, ["db"]), wanting(2, ["web"]), ident(3)])
    assert found == [[0, 2, 3], [1]]


def test_a_job_that_fails_gives_its_units_back(lab):
    expr = [rescue(fail.options(limits=["db"])(str(n)), n) for n in range(3)]
    assert lab.run(expr) == [0, 1, 2]


def test_more_units_than_there_are_is_an_error_that_names_both():
    with pytest.raises(TaskError, match=r"task test_engine.ident: 3 units of 'db' .* allows 2"):
        crowds([wanting(0, {"db": 3})], db=2)


def test_a_job_that_is_cached_needs_no_units(lab):
    lab.run(wanting(1, {"db": 1}))
    executor = SteeredExecutor()

    def on_submit(job):
        assert lab_scheduler.run  # It holds the only unit.

    with lab.scheduler(executor) as lab_scheduler:
        executor.on_submit = on_submit
        held = ident.options(executor="steered", limits=["db"])(2)

        @task
        def release(x):
            executor.finish_all()
            return x

        assert lab_scheduler.run([held, release(wanting(1, {"db": 1}))]) == [2, 1]


# Scheduler tasks


def test_a_scheduler_task_gets_its_arguments_unevaluated():
    seen = []

    @scheduler_task
    def lazy(scheduler, parent_job, sexpr, expr, default=None):
        seen.append((parent_job, sexpr, expr, default))
        return 5

    expr = fail()
    lazy_expr = lazy(expr, default=2)
    assert run(lazy_expr) == 5
    assert seen == [(None, lazy_expr, expr, 2)] or seen[0][2] is expr


def test_what_a_scheduler_task_returns_is_evaluated():
    @scheduler_task
    def swap(scheduler, parent_job, sexpr, a, b):
        return add(b, a)

    @task
    def main():
        return [swap("a", "b"), ident(swap("c", ident("d")))]

    assert run(main()) == ["ba", "dc"]


def test_an_error_in_a_scheduler_task_is_raised():
    @scheduler_task
    def broken(scheduler, parent_job, sexpr):
        raise KeyError("here")

    @task
    def main():
        return broken()

    with pytest.raises(KeyError, match="here"):
        run(main())


def test_a_promise_that_nothing_will_settle_is_an_error_that_says_what_waits():
    @scheduler_task
    def never(scheduler, parent_job, sexpr):
        return Promise()

    @task
    def main():
        return ident(never())

    for expr in (never(), main()):
        with pytest.raises(RedunLiteError, match=r"test_engine\.never"):
            run(expr)


def test_expressions_made_one_after_the_other_in_one_scope_are_not_mixed_up():
    # An expression that is dropped may leave its id to the next one.
    @scheduler_task
    def in_turn(scheduler, parent_job, sexpr, n):
        def step(i):
            if i == n:
                return []
            return scheduler.evaluate(ident([i]), parent_job).then(
                lambda value: step(i + 1).then(lambda rest: value + rest) if i + 1 < n else value
            )

        return step(0)

    @task
    def main(n):
        return in_turn(n)

    assert run(main(200)) == list(range(200))
    assert run(in_turn(200)) == list(range(200))


# Tasks as values


def test_a_task_may_be_an_argument_and_a_result():
    @task
    def apply(function, x):
        return function(x)

    @task
    def choose(name):
        return {"ident": ident, "double": add.partial(10)}[name]

    assert run(apply(ident, 3)) == 3
    assert run(apply(choose("double"), 3)) == 13
    assert run(apply(add.partial(b=1), 3)) == 4


def test_a_task_that_was_defined_anew_is_called_as_it_is_now():
    @task(name="redefined")
    def first():
        return 1

    expr = first()

    @task(name="redefined")
    def second():
        return 2

    assert run(expr) == 2
    assert get_task_registry().get("test_engine.redefined") is second
