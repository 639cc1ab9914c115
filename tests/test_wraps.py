"""Wrapped tasks: their names, their hashes, and what runs when they are called."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from typing import Any

import pytest
from support import InlineExecutor, Lab, note, notes

from redun_lite import Scheduler, Task, get_task_registry, task, wraps_task
from redun_lite._errors import ArgumentError, TaskError

redun_namespace = "test_wraps"


def run(expr: Any, **arguments: Any) -> Any:
    """Run in memory, each job at once."""
    with Scheduler(executor=InlineExecutor("default")) as scheduler:
        return scheduler.run(expr, **arguments)


@task(version="1")
def ident(x):
    return x


def doubled():
    @wraps_task()
    def _doubled(inner_task):
        def double(*args, **kwargs):
            return 2 * inner_task.func(*args, **kwargs)

        return double

    return _doubled


def named(prefix):
    @wraps_task(wrapper_extra_hash_data=[prefix])
    def _named(inner_task):
        def name(*args, **kwargs):
            return [prefix, inner_task.func(*args, **kwargs)]

        return name

    return _named


@pytest.fixture
def define(tmp_path):
    """Define what a text says as a module would, and return its `main`."""
    count = 0

    def load(text: str) -> Any:
        nonlocal count
        count += 1
        path = tmp_path / f"wrapped_{count}.py"
        path.write_text("from redun_lite import task, wraps_task\n" + inspect.cleandoc(text))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        registry = get_task_registry()
        for known in list(registry):
            if known.load_module.startswith("wrapped_"):
                registry.remove(known)
        spec.loader.exec_module(module)
        return module.main

    return load


# Calls


def test_a_function_may_be_wrapped():
    @doubled()
    def increment(x):
        return x + 1

    assert isinstance(increment, Task)
    assert run(increment(20)) == 42


def test_a_task_may_be_wrapped():
    @doubled()
    @task(version="1")
    def increment(x):
        return x + 1

    assert run(increment(x=20)) == 42


def test_a_task_may_be_wrapped_more_than_once():
    @named("outer")
    @doubled()
    @doubled()
    def increment(x):
        return x + 1

    assert run(increment(1)) == ["outer", 8]


def test_a_call_of_a_wrapped_task_is_one_job(lab):
    @doubled()
    @doubled()
    @task(version="1")
    def increment(x):
        return x + 1

    assert lab.run(increment(1)) == 8
    assert lab.jobs() == {"increment": ["DONE"]}
    lab.audit()


def test_a_wrapper_may_call_what_it_wraps_as_a_task(lab):
    @wraps_task()
    def lazily(inner_task):
        def call(*args, **kwargs):
            return [inner_task(*args, **kwargs), "wrapped"]

        return call

    @lazily
    @task(version="1")
    def increment(x):
        return x + 1

    assert lab.run(increment(1)) == [2, "wrapped"]
    assert lab.query("SELECT fullname FROM job JOIN task ON task.id = task_id ORDER BY job.id") == [
        "test_wraps.increment",
        "test_wraps.lazily.increment",
    ]


def test_what_is_wrapped_may_return_expressions():
    @doubled()
    @task(version="1")
    def lazy(x):
        return ident(x)

    assert run(lazy(4)) == 8


def test_lazy_arguments_come_evaluated():
    @doubled()
    @task(version="1")
    def increment(x):
        return x + 1

    assert run(increment(ident(3))) == 8


def test_a_wrapped_task_is_replayed(lab, tmp_path):
    @doubled()
    @task(version="1")
    def noted(path):
        note(path, "ran")
        return 21

    path = str(tmp_path / "log")
    assert [lab.run(noted(path)), lab.run(noted(path))] == [42, 42]
    assert notes(path) == ["ran"]


def test_a_wrapped_task_runs_in_worker_processes(lab):
    @doubled()
    @task(version="1", executor="default")
    def increment(x):
        return x + 1

    assert lab.run(increment.options(executor="process")(20)) == 42


def test_a_wrapped_task_of_a_module_runs_in_spawned_processes(define, tmp_path):
    main = define(
        """
        def doubled():
            @wraps_task()
            def _doubled(inner):
                def double(*args, **kwargs):
                    return 2 * inner.func(*args, **kwargs)
                return double
            return _doubled

        @doubled()
        @task
        def main(x):
            return x + 1
        """
    )
    section = {"type": "local", "mode": "process", "start_method": "spawn", "max_workers": "1"}
    lab = Lab(tmp_path, **{"executors.spawned": section})
    assert lab.run(main.options(executor="spawned")(20)) == 42


def test_an_async_task_may_be_wrapped_by_an_async_function():
    @wraps_task()
    def traced(inner_task):
        async def trace(*args, **kwargs):
            return ["traced", await inner_task.func(*args, **kwargs)]

        return trace

    @traced
    @task(version="1")
    async def main(x):
        return await ident(x) + 1

    with Scheduler() as scheduler:
        assert scheduler.run(main(1)) == ["traced", 2]


def test_a_wrapped_task_takes_options_context_and_partial():
    @doubled()
    @task(version="1")
    def add(a, b):
        return a + b

    assert run(add.partial(1)(2)) == 6
    assert run(add.options(memory=3)(1, 2)) == 6
    assert run(add.update_context(x=1)(1, 2)) == 6


# Names


def test_the_outer_task_has_the_name_and_the_inner_one_hides_behind_the_wrappers():
    @doubled()
    @doubled()
    def increment(x):
        return x + 1

    assert increment.fullname == "test_wraps.increment"
    inner = increment.wrapped
    innermost = inner.wrapped
    assert inner.fullname == "test_wraps._doubled.increment"
    assert innermost.fullname == "test_wraps._doubled._doubled.increment"
    registry = get_task_registry()
    for known in (increment, inner, innermost):
        assert registry.get(known.fullname) is known


def test_a_given_name_and_namespace_are_kept():
    @doubled()
    @task(name="renamed", namespace="other.space")
    def increment(x):
        return x + 1

    assert increment.fullname == "other.space.renamed"
    assert increment.wrapped.fullname == "other.space._doubled.renamed"


def test_a_wrapper_may_be_given_a_name():
    @wraps_task(wrapper_name="shown")
    def _hidden(inner_task):
        def call(*args):
            return inner_task.func(*args)

        return call

    @_hidden
    def increment(x):
        return x + 1

    assert increment.wrapped.fullname == "test_wraps.shown.increment"


def test_the_inner_task_can_be_called_by_itself():
    @doubled()
    @task(version="1")
    def increment(x):
        return x + 1

    assert run(increment.wrapped(1)) == 2


def test_a_wrapped_task_has_the_documentation_of_what_it_wraps():
    @doubled()
    def increment(x):
        """Return the next number."""
        return x + 1

    assert increment.__doc__ == "Return the next number."


# Signatures


def test_a_wrapped_task_has_the_parameters_of_what_it_wraps():
    @doubled()
    @task(version="1")
    def increment(x, by=1):
        return x + by

    assert list(increment.signature.parameters) == ["x", "by"]
    with pytest.raises(ArgumentError, match=r"^test_wraps\.increment\(x, by=1\): missing a requi"):
        increment()


def test_how_arguments_are_given_does_not_matter_to_the_cache(lab, tmp_path):
    @doubled()
    @task(version="1")
    def noted(path, by=1):
        note(path, by)
        return by

    path = str(tmp_path / "log")
    for call in (noted(path), noted(path, 1), noted(path=path, by=1)):
        assert lab.run(call) == 2
    assert notes(path) == ["1"]


def test_a_wrapper_may_have_parameters_of_its_own():
    @wraps_task(use_wrapper_signature=True)
    def repeated(inner_task):
        def repeat(times, x):
            return [inner_task.func(x)] * times

        return repeat

    @repeated
    @task(version="1")
    def increment(x):
        return x + 1

    assert list(increment.signature.parameters) == ["times", "x"]
    assert run(increment(2, 1)) == [2, 2]


# Options


def test_options_of_the_wrapper_are_those_of_the_outer_task():
    def limited():
        @wraps_task(memory=4, version="5")
        def _limited(inner_task):
            def call(*args):
                return inner_task.func(*args)

            return call

        return _limited

    @limited()
    @task(version="1", cache=False, memory=9, vcpus=2)
    def increment(x):
        return x + 1

    assert increment.get_task_options() == {"memory": 4}
    assert increment.version == "5"
    assert increment.wrapped.get_task_options() == {"cache": False, "memory": 9, "vcpus": 2}


def test_a_misspelt_option_of_the_wrapper_is_one_line():
    @wraps_task(excutor="process")
    def _wrong(inner_task):
        def call(*args):
            return inner_task.func(*args)

        return call

    with pytest.raises(TaskError, match=r"^task test_wraps\.increment, wrapped by _wrong: .*exec"):

        @_wrong
        @task(version="1")
        def increment(x):
            return x + 1


def test_a_wrapper_that_returns_no_function_is_one_line():
    @wraps_task()
    def _nothing(inner_task):
        return 3

    with pytest.raises(TaskError, match=r"_nothing: the wrapper has to return a function, not 3$"):

        @_nothing
        @task(version="1")
        def increment(x):
            return x + 1


@pytest.mark.parametrize("thing", [3, "text", None])
def test_only_functions_and_tasks_can_be_wrapped(thing):
    with pytest.raises(TaskError, match=r"^@task decorates a function, not "):
        doubled()(thing)


# Hashes

WRAPPED = """
def wrapper():
    @wraps_task(wrapper_extra_hash_data={extra}, wrapper_hash_includes={includes})
    def _wrapper(inner):
        def call(*args):
            return {wrapper}
        return call
    return _wrapper

@wrapper()
@task({options})
def main():
    return {inner}
"""
PLAIN = {
    "extra": "[]",
    "includes": "[]",
    "wrapper": "inner.func(*args)",
    "options": "",
    "inner": "1",
}


@pytest.mark.parametrize(
    "change",
    [
        {"inner": "2"},
        {"wrapper": "[inner.func(*args)]"},
        {"extra": "[1]"},
        {"includes": "[1]"},
        {"options": "version='1'"},
        {"options": "name='other'"},
    ],
    ids=str,
)
def test_the_hash_stands_for_the_wrapper_and_all_that_is_wrapped(define, change):
    before = define(WRAPPED.format(**PLAIN)).hash
    assert define(WRAPPED.format(**{**PLAIN, **change})).hash != before
    assert define(WRAPPED.format(**PLAIN)).hash == before


def test_a_wrapper_that_names_itself_after_the_function_counts_by_its_own_source(define):
    text = WRAPPED.replace("def call", "@functools.wraps(inner.func)\n        def call")
    text = "import functools\n" + text
    before = define(text.format(**PLAIN)).hash
    assert define(text.format(**{**PLAIN, "wrapper": "[inner.func(*args)]"})).hash != before


def test_the_hash_of_a_wrapped_task_is_not_that_of_the_task(define):
    text = "@task\ndef main():\n    return 1\n"
    assert define(WRAPPED.format(**PLAIN)).hash != define(text).hash


def test_arguments_of_a_wrapper_that_are_in_its_hash_make_other_tasks(lab):
    def make(prefix):
        @named(prefix)
        @task(version="1")
        def main():
            return "x"

        return main

    assert [lab.run(make(prefix)()) for prefix in "aba"] == [["a", "x"], ["b", "x"], ["a", "x"]]
    assert lab.jobs() == {"main": ["CACHED"]}


def test_a_change_deep_inside_reruns_the_wrapped_task(lab, define):
    two = WRAPPED.replace("@wrapper()", "@wrapper()\n@wrapper()")
    assert lab.run(define(two.format(**PLAIN))()) == 1
    assert lab.run(define(two.format(**{**PLAIN, "inner": "2"}))()) == 2
    assert lab.run(define(two.format(**PLAIN))()) == 1
    assert lab.jobs() == {"main": ["CACHED"]}
    lab.audit()


def test_a_wrapped_task_can_be_defined_anew():
    for answer in (1, 2):

        @doubled()
        @task(version=str(answer))
        def again(answer=answer):
            return answer

        assert run(again()) == 2 * answer


def test_two_tasks_may_share_a_wrapper():
    shared = doubled()

    @shared
    @task(version="1")
    def one():
        return 1

    @shared
    @task(version="1")
    def two():
        return 2

    assert run([one(), two()]) == [2, 4]


def test_the_module_of_what_is_wrapped_is_what_a_worker_loads():
    @doubled()
    @task(version="1", load_module="somewhere.else")
    def increment(x):
        return x + 1

    assert increment.load_module == "somewhere.else"


def test_the_source_of_a_wrapped_task_is_that_of_the_wrapper():
    @doubled()
    @task(version="1")
    def increment(x):
        return x + 1

    assert "def double" in increment.source
    assert "def increment" in increment.wrapped.source
    assert sys.modules[__name__].__file__ == increment.defined_in
