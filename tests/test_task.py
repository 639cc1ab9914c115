"""Tasks: what they are called, what their hash stands for, what calls of them are."""

from __future__ import annotations

import copy
import functools
import importlib.util
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Callable

import key_corpus
import pytest

from redun_lite import (
    CacheCheckValid,
    CacheResult,
    CacheScope,
    SchedulerExpression,
    TaskExpression,
    get_current_namespace,
    get_task_registry,
    namespace,
    scheduler_task,
    task,
)
from redun_lite._errors import ArgumentError, HashError, TaskError, UnknownTask
from redun_lite._expr import dumps_expr, key_of_expr, loads_expr
from redun_lite._hash import key_of
from redun_lite._options import TaskOptions
from redun_lite._value import dumps, loads

ROOT = Path(__file__).parent.parent


@pytest.fixture
def module(tmp_path) -> Callable[..., Any]:
    """Return a function that makes a module of source, each in a file of its own."""
    count = 0

    def module(source: str, name: str = "some_module", path: Path | None = None) -> Any:
        nonlocal count
        count += 1
        path = path or tmp_path / f"{name}_{count}.py"
        path.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, path)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return module


@pytest.fixture
def hash_of(module) -> Callable[..., str]:
    """Return a function that gives the hash of the task `f` in a source."""

    def hash_of(source: str) -> str:
        get_task_registry()._tasks.pop("f", None)
        found: str = module("from redun_lite import task\n" + textwrap.dedent(source)).f.hash
        return found

    return hash_of


def make(**options: Any) -> Any:
    @task(**options)
    def f(x: Any = 1) -> Any:
        return x

    return f


# Names


def test_a_task_is_called_as_its_function():
    assert make().name == make().fullname == "f"
    assert make().namespace == ""


def test_the_decorator_works_bare_and_with_options():
    @task
    def bare(x):
        """Does it."""
        return x

    @task()
    def called(x):
        return x

    assert bare.fullname == "bare"
    assert called.fullname == "called"
    assert bare.func(3) == 3
    assert bare.__doc__ == "Does it."


def test_a_function_may_be_given_to_the_decorator_together_with_options():
    made = task(make().func, cache=False, name="g", namespace="ns", version="5")
    assert (made.fullname, made.version) == ("ns.g", "5")
    assert made.get_task_options() == {"cache": False}


def test_a_scheduler_task_may_be_given_its_name_namespace_and_version_in_a_row():
    def function(scheduler, parent_job, sexpr, x):
        return x

    made = scheduler_task("g", "ns", "3", prov=False)(function)
    assert (made.fullname, made.version) == ("ns.g", "3")
    assert made.get_task_options() == {"prov": False}
    assert scheduler_task(function).fullname == "function"
    assert scheduler_task(function, namespace="ns").fullname == "ns.function"


def test_a_task_may_be_given_a_name_and_a_namespace():
    made = make(name="g", namespace="a.b")
    assert (made.name, made.namespace, made.fullname) == ("g", "a.b", "a.b.g")


def test_the_namespace_is_that_of_the_module(module):
    source = 'from redun_lite import task\nredun_namespace = "ns"\n@task\ndef f(): pass\n'
    assert module(source).f.fullname == "ns.f"


def test_the_namespace_of_a_wrapped_function_is_that_of_its_own_module(module):
    wraps = module(
        """
        import functools

        redun_namespace = "library"

        def loud(f):
            return functools.wraps(f)(lambda *args: f(*args))
        """
    )
    source = """
        from redun_lite import task

        redun_namespace = "ns"

        def decorate(loud):
            @task
            @loud
            def f(): pass
            return f
        """
    assert module(source).decorate(wraps.loud).fullname == "ns.f"


def test_the_namespace_that_was_set_holds_for_what_comes_after():
    namespace("early")
    assert get_current_namespace() == "early"
    assert make().fullname == "early.f"
    namespace("")
    assert make().fullname == "f"


def test_a_namespace_is_set_until_it_is_reset():
    for nothing in ((), (None,), ("",)):
        namespace("early")
        namespace(*nothing)
        assert get_current_namespace() == ""
        assert make().fullname == "f"
    with pytest.raises(
        TaskError, match=r"^namespace\(\): a namespace is letters, digits, .* 'a b'"
    ):
        namespace("a b")


def test_a_task_is_found_by_its_hash():
    made = make(namespace="ns", version="1")
    assert get_task_registry().get(hash=made.hash) is made
    assert get_task_registry().get(hash="0" * 40) is None


def test_a_hash_can_be_computed_anew_when_what_it_stands_for_has_changed():
    made = make(version="1")
    made.version = "2"
    assert made.hash == make(version="1").hash
    made.recompute_hash()
    assert made.hash == make(version="2").hash


def test_the_nearest_namespace_wins(module):
    namespace("set")
    source = """
        from redun_lite import task
        redun_namespace = "of_the_module"
        @task(namespace="own")
        def f(): pass
        @task
        def g(): pass
        @task(namespace="")
        def h(): pass
        """
    loaded = module(source)
    assert [loaded.f.fullname, loaded.g.fullname, loaded.h.fullname] == [
        "own.f",
        "of_the_module.g",
        "h",
    ]


@pytest.mark.parametrize("name", ["a b", "a.b", "a-b", "é", "<lambda>", "1a"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(
        TaskError, match="a task's name is letters, digits and '_', and starts with no"
    ):
        make(name=name)


@pytest.mark.parametrize("space", [".a", "a b", "a-b"])
def test_a_namespace_that_is_none_is_refused(space):
    with pytest.raises(TaskError, match=r"a namespace is letters, digits, '_' and '\.'"):
        make(namespace=space)


@pytest.mark.parametrize(
    "thing", ["f", 3, len, str, functools.partial(make), make(), [].append, key_corpus.Plain]
)
def test_only_functions_can_be_tasks(thing):
    with pytest.raises(TaskError, match="@task decorates a function, not "):
        task(thing)


# The hash


BASE = "@task\ndef f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "source",
    [
        "@task()\ndef f(x):\n    return x + 1\n",
        "@task(\n    executor='process',\n    memory=4,\n)\ndef f(x):\n    return x + 1\n",
        "# A comment above.\n\n\n@task\n# And one between.\ndef f(x):\n    return x + 1\n",
        "import os\n\nLIMIT = 3\n\n@task\ndef f(x):\n    return x + 1\n\n\n# Behind.\n",
        "if True:\n    @task\n    def f(x):\n        return x + 1\n",
        "def other(): pass\n\n@task\ndef f(x):\n    return x + 1\n\ndef more(): pass\n",
    ],
)
def test_what_surrounds_a_function_does_not_matter_to_the_hash(hash_of, source):
    assert hash_of(source) == hash_of(BASE)


@pytest.mark.parametrize(
    "source",
    [
        "@task\ndef f(x):\n    return x + 2\n",
        "@task\ndef f(y):\n    return y + 1\n",
        "@task\ndef f(x):\n    # A comment inside.\n    return x + 1\n",
        "@task\ndef f(x: int):\n    return x + 1\n",
        "@task(name='g')\ndef f(x):\n    return x + 1\n",
        "@task(namespace='ns')\ndef f(x):\n    return x + 1\n",
        "@task(version='1')\ndef f(x):\n    return x + 1\n",
        "@task(hash_includes=[1])\ndef f(x):\n    return x + 1\n",
        "@task(source='')\ndef f(x):\n    return x + 1\n",
    ],
)
def test_name_code_version_and_what_is_included_matter_to_the_hash(hash_of, source):
    assert hash_of(source) != hash_of(BASE)


def test_a_version_stands_for_the_code(hash_of):
    one = "@task(version='1')\ndef f(x):\n    return x + 1\n"
    assert hash_of(one) == hash_of("@task(version='1')\ndef f(x, y):\n    return 7\n")
    assert hash_of(one) != hash_of(one.replace("'1'", "'2'"))


def test_what_a_hash_includes_may_be_values_functions_and_tasks():
    def hash_with(*includes: Any) -> str:
        made: str = make(hash_includes=includes).hash
        return made

    other, changed = make(name="g", version="1"), make(name="g", version="2")
    includes = [(1,), (1, 2), ([1, 2],), (key_corpus.function,), (make,), (other,), (changed,)]
    assert len({hash_with(*parts) for parts in includes}) == len(includes)
    assert hash_with({"b", "a"}) == hash_with({"a", "b"})
    assert hash_with() == make().hash


def test_of_a_class_that_a_hash_includes_the_source_counts(hash_of):
    text = "class C:\n    size = 1\n@task(hash_includes=[[C]])\ndef f(x):\n    return x\n"
    assert hash_of(text) != hash_of(text.replace("size = 1", "size = 2"))


def test_what_cannot_be_included_in_a_hash_is_named():
    with pytest.raises(TaskError, match=r"^task f: hash_includes\[1\]: cannot make a key of gener"):
        make(hash_includes=[1, (i for i in ())])


def test_a_hash_is_the_same_on_every_run():
    program = """
import sys
from redun_lite import task
@task(namespace="ns", version="1", hash_includes=[{"a", "b", "c"}])
def f(x):
    return x
print(f.hash)
"""
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in "12"
    }
    assert hashes == {"391e31d9836acdd36143e3df48f7a5908b7df607"}


def test_a_task_knows_its_source(module):
    loaded = module("from redun_lite import task\n@task\ndef f(x):\n    return x\n")
    assert loaded.f.source == "def f(x):\n    return x\n"
    assert str(loaded.f.signature) == "(x)"
    assert loaded.f.load_module == "some_module"
    assert loaded.f.defined_in == loaded.__file__


# The registry


def test_a_task_that_is_defined_anew_replaces_the_one_before():
    first, second = make(version="1"), make(version="2")
    assert get_task_registry().get("f") is second
    assert first in [first]
    assert not first.is_valid()
    assert second.is_valid()


def test_a_module_may_be_loaded_anew(module, tmp_path):
    path = tmp_path / "again.py"
    source = "from redun_lite import task\n@task\ndef f(x):\n    return x\n"
    module(source, path=path)
    second = module(source + "\n", path=path)
    assert get_task_registry().get("f") is second.f


def test_a_module_may_be_loaded_by_way_of_a_link(module, tmp_path):
    path = tmp_path / "real.py"
    source = "from redun_lite import task\n@task\ndef f(x):\n    return x\n"
    module(source, path=path)
    link = tmp_path / "link.py"
    link.symlink_to(path)
    second = module(source, path=link)
    assert get_task_registry().get("f") is second.f


def test_two_files_that_define_the_same_task_are_an_error_that_names_both(module):
    source = "from redun_lite import task\n@task(namespace='ns')\ndef f(x):\n    return x\n"
    first = module(source, "first")
    with pytest.raises(TaskError) as caught:
        module(source, "second")
    assert str(caught.value) == (
        f"task ns.f is defined twice: in {first.__file__} and in "
        f"{first.__file__.replace('first_1', 'second_2')}; "
        "give one of them another name or namespace"
    )
    assert get_task_registry().get("ns.f") is first.f


def test_a_task_of_a_notebook_can_be_defined_anew_in_another_cell(module):
    source = "from redun_lite import task\n@task\ndef f(x):\n    return {}\n"
    module(source.format(1), "__main__")
    second = module(source.format(2), "__main__")
    assert get_task_registry().get("f") is second.f


def test_a_task_can_be_typed_anew_at_a_prompt():
    made: dict[str, Any] = {"task": task, "__name__": "somewhere"}
    for i in range(2):
        exec(compile("@task\ndef f(x): return x", f"<python-input-{i}>", "exec"), made)
    assert get_task_registry().get("f") is made["f"]


def test_an_unknown_task_is_an_error_that_offers_the_nearest():
    make(name="compute_total", namespace="ns")
    with pytest.raises(UnknownTask, match=r"^unknown task 'ns.compute_totl': did you mean ns.comp"):
        get_task_registry().find("ns.compute_totl")
    assert get_task_registry().get("ns.compute_totl") is None


def test_the_registry_counts_its_changes():
    registry = get_task_registry()
    before = registry.version
    made = make()
    assert registry.version > before
    assert made in list(registry)


# Options


def test_options_are_parsed_with_their_defaults():
    options = make().default_options()
    assert options.executor == "default"
    assert options.cache_scope is CacheScope.BACKEND
    assert options.check_valid is CacheCheckValid.FULL
    assert options.allowed_cache_results is None
    assert (options.config_args, options.limits, options.retries) == ((), {}, 0)
    assert all(map(options.allows, CacheResult))


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"cache": False}, "cache_scope", CacheScope.CSE),
        ({"cache": True}, "cache_scope", CacheScope.BACKEND),
        ({"cache": False, "cache_scope": "NONE"}, "cache_scope", CacheScope.NONE),
        ({"cache": False, "cache_scope": "BACKEND"}, "cache_scope", CacheScope.CSE),
        ({"cache_scope": CacheScope.NONE}, "cache_scope", CacheScope.NONE),
        ({"check_valid": "shallow"}, "check_valid", CacheCheckValid.SHALLOW),
        ({"check_valid": CacheCheckValid.SHALLOW}, "check_valid", CacheCheckValid.SHALLOW),
        ({"allowed_cache_results": {"CSE"}}, "allowed_cache_results", {CacheResult.CSE}),
        ({"allowed_cache_results": [CacheResult.MISS]}, "allowed_cache_results", {"MISS"}),
        ({"config_args": ["x"]}, "config_args", ("x",)),
        ({"limits": ["a", "b", "a"]}, "limits", {"a": 2, "b": 1}),
        ({"limits": {"a": 3}}, "limits", {"a": 3}),
        ({"executor": "process"}, "executor", "process"),
        ({"executor": None}, "executor", "default"),
        ({"memory": 4, "executor": None}, "given", {"memory": 4, "executor": None}),
    ],
)
def test_an_option_is_parsed(given, name, value):
    assert getattr(make(**given).default_options(), name) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cache": "no"}, "task f: option cache takes a bool, not 'no'"),
        ({"executor": 3}, "task f: option executor takes a str, not 3"),
        (
            {"check_valid": "deep"},
            "task f: option check_valid takes 'full', 'shallow', not 'deep'",
        ),
        ({"cache_scope": "ALL"}, "option cache_scope takes 'NONE', 'CSE', 'BACKEND', not 'ALL'"),
        ({"allowed_cache_results": "CSE"}, "option allowed_cache_results takes a list of 'CSE'"),
        ({"allowed_cache_results": ["X"]}, "option allowed_cache_results takes a list of 'CSE'"),
        ({"config_args": "x"}, "option config_args takes a list of the task's parameters (x)"),
        ({"config_args": ["y"]}, "option config_args takes a list of the task's parameters (x)"),
        ({"config_args": [["x"]]}, "option config_args takes a list of the task's parameters (x)"),
        ({"limits": "db"}, "option limits takes a list of resource names, or a dict"),
        ({"limits": {"db": "1"}}, "option limits takes a list of resource names, or a dict"),
        ({"limits": {"db": -1}}, "option limits takes a list of resource names, or a dict"),
        ({"limits": [["db"]]}, "option limits takes a list of resource names, or a dict"),
        ({"limits": [1]}, "option limits takes a list of resource names, or a dict"),
        ({"limits": 3}, "option limits takes a list of resource names, or a dict"),
        ({"limits": {"db": 0}}, "resource names to units above 0, not {'db': 0}"),
        ({"retries": True}, "option retries takes an int of at least 0, not True"),
        ({"nout": "2"}, "task f: option nout takes an int of at least 0, not '2'"),
        ({"nout": -1}, "task f: option nout takes an int of at least 0, not -1"),
        ({"script": "yes"}, "task f: option script takes a bool, not 'yes'"),
        ({"name": 3}, "task f: option name takes a str, not 3"),
        ({"namespace": ["a"]}, "task f: option namespace takes a str, not ['a']"),
        ({"hash_includes": "abc"}, "task f: option hash_includes takes a list, not 'abc'"),
        ({"export_options": ["memory"]}, "task f: option export_options takes a dict"),
    ],
)
def test_an_option_of_the_wrong_type_is_an_error_that_says_what_it_takes(given, message):
    with pytest.raises(TaskError) as caught:
        make(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("executer", "executor"),
        ("check_vaild", "check_valid"),
        ("cache_scop", "cache_scope"),
        ("namespaces", "namespace"),
        ("versions", "version"),
        ("hash_include", "hash_includes"),
        ("limit", "limits"),
        ("retrys", "retries"),
        ("retry", "retry_on"),
        ("memmory", "memory"),
        ("vcpu", "vcpus"),
    ],
)
def test_a_misspelt_option_is_an_error_that_offers_the_right_one(misspelt, meant):
    for misuse in (
        lambda: make(**{misspelt: "x"}),
        lambda: make().options(**{misspelt: "x"}),
        lambda: make().export_options(**{misspelt: "x"}),
        lambda: make(export_options={misspelt: "x"}),
    ):
        with pytest.raises(TaskError, match=f"^task f: unknown option '{misspelt}'; .*'{meant}'"):
            misuse()


def test_options_of_executors_pass():
    made = make(memory=4, vcpus=2, image="x", batch_tags={"a": "b"}, job_def_extra=None)
    assert make(memory_gb=4, job_name="x", timeout_margin=2).get_task_option("memory_gb") == 4
    assert made.get_task_option("vcpus") == 2
    assert made.options(vcpus=3).get_task_option("vcpus") == 3
    assert made.get_task_option("gpus", 0) == 0


@pytest.mark.parametrize("name", ["version", "name", "namespace", "source", "hash_includes"])
def test_what_defines_a_task_is_no_option_of_its_calls(name):
    with pytest.raises(TaskError, match=f"^task f: option '{name}' is set where a task is defined"):
        make().options(**{name: "x"})


def test_what_is_set_for_an_executor_is_no_option_of_a_task():
    with pytest.raises(
        TaskError, match=r"^task f: 'max_workers' is no option of a task; set it in"
    ):
        make(max_workers=3)


def test_the_length_of_a_result_is_no_negative_number():
    with pytest.raises(TaskError, match=r"^task f: option nout takes an int of at least 0, not -1"):
        make().options(nout=-1)


def test_options_may_be_lazy():
    size = make(name="size")
    made = make(memory=size(), executor=size())
    assert made.base_options["memory"].task_name == "size"


def test_options_of_a_call_leave_the_task_as_it_is():
    made = make(memory=1)
    large = made.options(memory=2).options(vcpus=3).export_options(gpus=1)
    assert made(1)._options == {}
    assert large(1)._options == {"memory": 2, "vcpus": 3, "gpus": 1}
    assert large(1)._exported == ("gpus",)
    assert large.get_task_options() == {"memory": 2, "vcpus": 3, "gpus": 1}
    assert made.get_task_options() == {"memory": 1}
    assert large.hash == made.hash


def test_options_for_all_below_are_options_of_the_task_too():
    made = make(export_options={"memory": 3}, vcpus=1)
    assert made.exported == ("memory",)
    assert made.base_options == {"memory": 3, "vcpus": 1}


# Calls


def test_a_call_is_an_expression():
    lazy = make(nout=2)(5)
    assert type(lazy) is TaskExpression
    assert (lazy.task_name, lazy.args, lazy.kwargs, len(lazy)) == ("f", (5,), {}, 2)
    assert len(make().options(nout=3)(5)) == 3


def test_a_scheduler_task_is_called_without_what_the_engine_gives_it():
    @scheduler_task(namespace="ns")
    def f(scheduler, parent_job, sexpr, x):
        return x

    assert type(f(1)) is SchedulerExpression
    with pytest.raises(ArgumentError, match=r"ns.f\(x\): missing a required argument: 'x'"):
        f()


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "ns.f(a, b=2, *, c): missing a required argument: 'a'"),
        ((1,), {}, "ns.f(a, b=2, *, c): missing a required "),
        ((1, 2, 3), {"c": 1}, "ns.f(a, b=2, *, c): too many positional arguments"),
        ((1,), {"c": 1, "d": 2}, "ns.f(a, b=2, *, c): got an unexpected keyword argument 'd'"),
        ((1,), {"a": 2, "c": 1}, "ns.f(a, b=2, *, c): multiple values for argument 'a'"),
    ],
)
def test_a_call_with_wrong_arguments_is_an_error_that_shows_the_signature(args, kwargs, message):
    @task(namespace="ns")
    def f(a: int, b: int = 2, *, c: str) -> int:
        return a

    with pytest.raises(ArgumentError) as caught:
        f(*args, **kwargs)
    assert str(caught.value).startswith(message)


def test_parameters_may_have_any_name():
    @task
    def f(self, /, func=1, *, args=2, options=3, **kwargs):
        return (self, func, args, options, kwargs)

    assert f(1, func=2, args=3, options=4, name=5).kwargs == {
        "func": 2, "args": 3, "options": 4, "name": 5,
    }  # fmt: skip
    assert f.partial(1, self=2, func=3)().kwargs == {"self": 2, "func": 3}


# Partial tasks


@pytest.fixture
def power() -> Any:
    @task(namespace="ns", version="1")
    def power(base: Any, exponent: Any, *, modulo: Any = None) -> Any:
        return pow(base, exponent, modulo)

    return power


def test_a_partial_task_is_called_with_the_rest(power):
    assert repr(power.partial(2)(3)) == "ns.power(2, 3)"
    assert repr(power.partial(exponent=2)(5)) == "ns.power(5, exponent=2)"
    assert repr(power.partial(2).partial(3, modulo=5)()) == "ns.power(2, 3, modulo=5)"
    assert repr(power.partial(2, modulo=5)(3, modulo=7)) == "ns.power(2, 3, modulo=7)"


def test_a_partial_task_with_too_much_is_an_error_when_it_is_called(power):
    with pytest.raises(ArgumentError, match="too many positional"):
        power.partial(1, 2)(3)


def test_a_partial_task_can_be_given_options(power):
    lazy = power.partial(2).options(memory=3)(3)
    assert lazy._options == {"memory": 3}
    assert power.partial(2).fullname == "ns.power"


def test_a_partial_task_shows_what_it_was_given(power):
    lazy = make()(1)
    assert repr(power.partial(lazy, modulo=2)) == "PartialTask(ns.power, f(1), modulo=2)"


def test_partial_tasks_differ_by_task_and_arguments(power):
    partials = [
        power.partial(), power.partial(1), power.partial(2), power.partial(base=1),
        make().partial(1), power.partial(make()(1)), power.options(memory=3).partial(1), power,
    ]  # fmt: skip
    assert len(set(map(key_of, partials))) == len(partials)
    assert key_of(power.partial({"a", "b"})) == key_of(power.partial({"b", "a"}))


class Perishable(key_corpus.Temperature):
    def is_valid(self) -> bool:
        return self.celsius < 5


def test_a_partial_task_holds_while_task_and_arguments_do(power):
    partial = power.partial([Perishable(3)])
    assert partial.is_valid()
    assert not power.partial([Perishable(9)]).is_valid()
    assert not power.partial(make()(Perishable(9))).is_valid()

    @task(name="power", namespace="ns", version="2")
    def changed(base, exponent):
        return 0

    assert not partial.is_valid()


# Tasks as values


def test_a_task_is_stored_by_name_and_hash(power):
    assert loads(dumps(power)) is power
    assert pickle.loads(pickle.dumps(power)) is power
    assert copy.deepcopy([power]) == [power]


def test_a_task_that_has_changed_since_is_not_loaded(power):
    stored = dumps(power)

    @task(name="power", namespace="ns", version="2")
    def changed(base, exponent):
        return 0

    with pytest.raises(UnknownTask, match=r"^task ns\.power [0-9a-f]{8} is not defined as it was"):
        loads(stored)


def test_a_task_is_stored_with_the_options_for_its_calls(power):
    stored = loads(dumps(power.options(memory=3).export_options(image="x")))
    assert stored(1, 2)._options == {"memory": 3, "image": "x"}
    assert stored(1, 2)._exported == ("image",)
    assert key_of(power.options(memory=3)) == key_of(power.options(memory=3))
    assert (
        len({key_of(power), key_of(power.options(memory=3)), key_of(power.options(memory=4))}) == 3
    )
    assert key_of(power.options(a=1, b=2)) == key_of(power.options(b=2, a=1))
    assert key_of(power.options(a=1)) != key_of(power.export_options(a=1))


def test_a_partial_task_with_lazy_arguments_comes_back_from_storage(power):
    partial = power.partial(make()(1), modulo=[make()(2)])
    stored = loads_expr(dumps_expr(partial))
    assert repr(stored) == repr(partial)
    assert key_of_expr(stored) == key_of_expr(partial)


def test_what_a_task_is_called_with_has_a_key_or_an_error_that_says_why(power):
    with pytest.raises(HashError, match=r"^ns.power\(…\)\.args\[1\]: cannot make a key of gener"):
        key_of_expr(power(1, (i for i in ())))


def test_options_know_where_they_were_written():
    with pytest.raises(TaskError, match=r"^the command line: option cache takes a bool"):
        TaskOptions({"cache": 3}, "the command line")
