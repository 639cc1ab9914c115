"""Loops, compositions and small steps over lazy values."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from support import InlineExecutor, run, run_examples

import redun_lite.functools
from redun_lite import Dir, File, PartialTask, Task, task
from redun_lite._errors import ArgumentError, HashError
from redun_lite._hash import key_of
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

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "functools.md"
redun_namespace = "test_functools"

TASKS = [value for value in vars(redun_lite.functools).values() if isinstance(value, Task)]


def exclaim(word: str, mark: str = "!") -> str:
    return word + mark


@task(version="1")
def numbers(count):
    return list(range(count))


@task(version="1")
def double(x):
    return 2 * x


@task(version="1")
def add(a, b=10):
    return a + b


@task(version="1")
def fail():
    raise ValueError("no luck")


@task(version="1")
def doubling():
    return double


# The public names


@pytest.mark.parametrize("name", redun_lite.functools.__all__)
def test_the_example_of_each_name_runs(name):
    found = getattr(redun_lite.functools, name)
    if name != "compose_apply":
        run_examples(found.__doc__, name, vars(redun_lite.functools))


def test_the_examples_of_the_reference_run():
    run_examples(PAGE.read_text(), PAGE.name)


def test_the_reference_has_all_names():
    headings = [line[4:].split("(")[0].strip("`") for line in PAGE.read_text().splitlines()]
    names = set(redun_lite.functools.__all__) - {"compose_apply"}
    assert names <= set(headings)


@pytest.mark.parametrize("each", TASKS, ids=lambda each: each.name)
def test_the_hash_of_a_task_does_not_depend_on_how_its_source_is_laid_out(each):
    assert each.namespace == "redun_lite"
    assert each.version == "1"


# map_


def test_map_calls_a_task_with_each_value_in_order():
    assert run(map_(double, [3, 1, 2])) == [6, 2, 4]


def test_map_of_nothing_is_nothing():
    assert run(map_(double, [])) == []


def test_map_takes_a_lazy_list():
    assert run(map_(double, numbers(3))) == [0, 2, 4]


def test_map_takes_lazy_elements():
    assert run(map_(double, [double(1), 5])) == [4, 10]


def test_map_takes_a_lazy_task():
    assert run(map_(doubling(), [double(1), 5])) == [4, 10]


@pytest.mark.parametrize("values", [(1, 2), range(1, 3), identity((1, 2)), {1: 0, 2: 0}.values()])
def test_map_takes_whatever_has_an_order(values):
    assert len(run(map_(double, values))) == 2


def test_map_takes_the_files_of_a_directory(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    assert run(map_(as_task(File.read), Dir(tmp_path))) == ["hello"]


def test_map_takes_a_partial_task_with_lazy_arguments():
    assert run(map_(add.partial(b=double(1)), numbers(3))) == [2, 3, 4]


def test_map_is_a_task_to_map():
    assert run(map_(map_.partial(double), [[1, 2], [3]])) == [[2, 4], [6]]


def test_the_options_of_a_mapped_task_are_kept(lab):
    run_here = {"executor": "inline"}
    assert lab.run(map_(double.options(**run_here), numbers(2)), InlineExecutor()) == [0, 2]


def test_a_mapped_call_does_not_wait_for_the_elements_of_others(lab):
    executor = InlineExecutor()
    submitted = []

    @task(version="1", executor="inline")
    def late():
        submitted.append("late")
        return 1

    @task(version="1", executor="inline")
    def use(x):
        submitted.append(x)
        return x

    assert lab.run(map_(use, [late(), 2]), executor) == [1, 2]
    assert submitted.index(2) < submitted.index(1)


def test_map_takes_long_lists():
    assert run(map_(double, numbers(5000))) == [2 * i for i in range(5000)]


def test_mapped_calls_are_found_in_the_cache(lab):
    @task(version="1")
    def main(count):
        return map_(double, numbers(count))

    assert lab.run(main(2)) == [0, 2]
    assert lab.run(main(2)) == [0, 2]
    assert lab.jobs() == {"main": ["CACHED"], "numbers": ["CACHED"], "double": ["CACHED"] * 2}
    assert lab.run(main(3)) == [0, 2, 4]
    assert lab.jobs() == {
        "main": ["DONE"],
        "numbers": ["DONE"],
        "double": ["CACHED"] * 2 + ["DONE"],
    }
    lab.audit()


def test_what_uses_a_mapped_list_is_downstream_of_the_calls(lab):
    lab.run(double(map_(double, numbers(2))))
    upstream = lab.query(
        "SELECT source.fullname FROM upstream "
        "JOIN call AS used ON used.id = upstream_id JOIN task AS source ON source.id = used.task_id"
    )
    assert sorted(name.partition(".")[2] for name in upstream) == ["double", "double", "numbers"]


def test_an_error_of_a_mapped_call_is_the_error_of_the_whole():
    with pytest.raises(ValueError, match=r"^no luck$"):
        run(map_(double, [1, fail()]))


LINES = {
    "map_ of a function": (
        lambda: map_(len, [1]),
        "map_ takes a task, not <built-in function len>; as_task() makes one of a function",
    ),
    "map_ of a lazy number": (lambda: map_(double(1), [1]), "map_ takes a task, not 2"),
    "map_ over a number": (lambda: map_(double, 3), "map_ takes a list, not 3"),
    "map_ over a lazy number": (lambda: map_(double, double(1)), "map_ takes a list, not 2"),
    "map_ over text": (lambda: map_(double, "ab"), "map_ takes a list, not 'ab'"),
    "map_ over a dict": (lambda: map_(double, {"a": 1}), "map_ takes a list, not {'a': 1}"),
    "map_ over a set": (
        lambda: map_(double, {1, 2}),
        "map_ takes a list, and a set has no order: give it sorted(…)",
    ),
    "map_ of a task of two": (
        lambda: map_(const, [1]),
        "redun_lite.const(x, _): missing a required argument: '_'",
    ),
    "starmap of a function": (
        lambda: starmap(len, [{}]),
        "starmap takes a task, not <built-in function len>; as_task() makes one of a function",
    ),
    "starmap over a dict": (lambda: starmap(add, {"a": 1}), "starmap takes a list, not {'a': 1}"),
    "starmap over tuples": (
        lambda: starmap(add, [{"a": 1}, (1, 2)]),
        "starmap takes a list of dicts of keyword arguments; item 1 is (1, 2)",
    ),
    "starmap over lazy items": (
        lambda: starmap(add, [{"a": 1}, double(1)]),
        "starmap takes a list of dicts of keyword arguments; item 1 is 2",
    ),
    "starmap with an unknown argument": (
        lambda: starmap(add, [{"a": 1}, {"a": 1, "z": 1}]),
        "starmap, item 1: test_functools.add(a, b=10): got an unexpected keyword argument 'z'",
    ),
    "starmap with what is no name": (
        lambda: starmap(add, [{1: 2}]),
        "starmap, item 0: 1 is not the name of an argument",
    ),
    "flatten a number": (lambda: flatten(3), "flatten takes a list, not 3"),
    "flatten texts": (lambda: flatten([[], "ab"]), "flatten, item 1: takes a list, not 'ab'"),
    "flat_map of what returns no list": (
        lambda: flat_map(double, [1]),
        "flatten, item 0: takes a list, not 2",
    ),
    "zip_ a number": (lambda: zip_([1], 3), "zip_, argument 2: takes a list, not 3"),
    "compose a lazy number": (
        lambda: compose(double, double(1))(1),
        "compose takes a task, not 2",
    ),
    "force a number": (lambda: force(3), "force takes what delay() gave, not 3"),
    "force a lazy number": (lambda: force(double(1)), "force takes what delay() gave, not 2"),
    "eval_ no expression": (
        lambda: eval_("a = 1"),
        "eval_ takes a Python expression, not 'a = 1': invalid syntax",
    ),
    "eval_ too many values": (
        lambda: eval_("a", 1, 2, pos_args=["a"]),
        "eval_: pos_args names each value that is given by position; they are 2, and the names "
        "['a']",
    ),
    "eval_ a value twice": (
        lambda: eval_("a", 1, a=1, pos_args=["a"]),
        "eval_ was given 'a' both by position and by name",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_bad_input_gets_one_line(case):
    make, line = LINES[case]
    with pytest.raises(ArgumentError) as caught:
        run(make())
    assert str(caught.value) == line


def test_an_iterator_is_no_list_since_it_can_be_gone_through_only_once():
    with pytest.raises(ArgumentError, match=r"^map_ takes a list, not <generator object"):
        run(map_(double, (i for i in [1])))


# starmap


def test_starmap_calls_a_task_with_each_dict_as_keyword_arguments():
    assert run(starmap(add, [{"a": 1}, {"b": 1, "a": 1}])) == [11, 2]


def test_starmap_without_dicts_is_empty():
    assert run(starmap(add)) == []


def test_starmap_takes_a_lazy_list_lazy_dicts_and_lazy_values():
    assert run(starmap(add, identity([{"a": double(1)}]))) == [12]
    assert run(starmap(add, kwargs=[identity({"a": 1}), {"a": double(1)}])) == [11, 12]


def test_starmap_takes_a_lazy_task_and_a_partial_one():
    assert run(starmap(doubling(), [{"x": 2}])) == [4]
    assert run(starmap(add.partial(1), [{"b": 2}])) == [3]


# flatten, flat_map, zip_


def test_flatten_takes_one_level_away():
    assert run(flatten([numbers(2), (5,), [], [[6]]])) == [0, 1, 5, [6]]


def test_flat_map_puts_the_results_into_one_list():
    assert run(flat_map(numbers, identity([2, 0, 1]))) == [0, 1, 0]


def test_flat_map_takes_a_lazy_task():
    assert run(flat_map(identity(numbers), [2])) == [0, 1]


def test_zip_is_as_long_as_the_shortest_list():
    assert run(zip_(numbers(3), ["a", double("b")])) == [(0, "a"), (1, "bb")]
    assert run(zip_()) == []


# compose


def test_composed_tasks_are_called_from_the_last_to_the_first():
    assert run(compose(add, double)(1)) == 12
    assert run(compose(double, add)(1)) == 22


def test_the_last_of_composed_tasks_takes_any_arguments():
    @task(version="1")
    def tell(tasks, scheduler=None):
        return f"{tasks} {scheduler}"

    assert run(compose(double, tell)(double(1), scheduler=3)) == "2 32 3"
    assert run(compose(double, tell)(tasks=1)) == "1 None1 None"


def test_a_single_task_is_composed_to_itself():
    assert run(compose(add)(1, b=2)) == 3


def test_partial_composed_and_lazy_tasks_can_be_composed():
    assert run(compose(compose(double, doubling()), add.partial(b=1))(1)) == 8


def test_a_composed_task_is_a_value_like_a_task(lab):
    @task(version="1")
    def main():
        return map_(compose(double, add.partial(b=1)), numbers(2))

    assert lab.run(main()) == [2, 4]
    assert lab.run(main()) == [2, 4]
    assert {status for statuses in lab.jobs().values() for status in statuses} == {"CACHED"}


def test_composing_makes_no_job_of_its_own(lab):
    lab.run(compose(double, add)(1))
    assert lab.jobs() == {"add": ["DONE"], "double": ["DONE"]}


def test_a_long_composition_does_not_recurse():
    assert run(compose(*[add.partial(b=1)] * 2000)(0)) == 2000


def test_a_function_is_not_composed():
    with pytest.raises(ArgumentError, match=r"^compose takes a task, not .*; as_task\(\) makes"):
        compose(double, len)


# identity, const, delay, force


def test_const_waits_for_what_it_drops(lab):
    assert lab.run(const("kept", [double(1), double(2)])) == "kept"
    assert lab.jobs() == {"const": ["DONE"], "double": ["DONE"] * 2}
    with pytest.raises(ValueError, match="no luck"):
        run(const("kept", fail()))


def test_what_is_delayed_is_not_evaluated_until_it_is_forced(lab):
    assert lab.run(const("kept", delay(fail()))) == "kept"
    assert lab.jobs() == {"const": ["DONE"]}
    with pytest.raises(ValueError, match="no luck"):
        run(force(delay(fail())))


def test_a_value_and_a_nested_value_can_be_delayed():
    assert run(force(delay(3))) == 3
    assert run(force(delay([double(1), {"a": double(2)}]))) == [2, {"a": 4}]


def test_what_is_delayed_can_be_passed_on_and_forced_elsewhere(lab):
    @task(version="1")
    def choose(condition, then, otherwise):
        return force(then if condition else otherwise)

    assert lab.run(choose(double(1), delay(double(3)), delay(fail()))) == 6
    assert lab.run(choose(double(0), delay(fail()), delay(double(4)))) == 8
    assert lab.run(force(identity(delay(double(5))))) == 10


def test_what_is_forced_twice_is_evaluated_once(lab):
    put_off = delay(double(1))
    assert lab.run([force(put_off), force(put_off)]) == [2, 2]
    assert lab.jobs()["double"] == ["DONE"]


def test_force_calls_any_task_without_arguments():
    assert run(force(doubling)) == double
    assert run(force(add.partial(1))) == 11


# apply_func, as_task, eval_


def test_a_function_is_called_with_lazy_arguments():
    assert run(apply_func(sorted, numbers(3), reverse=True)) == [2, 1, 0]
    assert run(apply_func(exclaim, double("a"), mark=double("?"))) == "aa??"


def test_a_function_may_have_an_argument_named_func(tmp_path, monkeypatch):
    (tmp_path / "has_func.py").write_text("def apply(func):\n    return func\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("has_func")
    assert run(apply_func(module.apply, func=1)) == 1
    assert run(as_task(module.apply)(func=2)) == 2


def test_a_function_is_called_anew_when_its_code_changes(tmp_path, monkeypatch, lab):
    path = tmp_path / "own_function.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path.write_text("def price(x):\n    return x + 1\n")
    module = importlib.import_module("own_function")
    assert lab.run(apply_func(module.price, 1)) == 2
    assert lab.run(apply_func(module.price, 1)) == 2
    assert lab.jobs() == {"apply_func": ["CACHED"]}
    path.write_text("def price(x):\n    return x + 10\n")
    module = importlib.reload(module)
    assert lab.run(apply_func(module.price, 1)) == 11
    assert lab.jobs() == {"apply_func": ["DONE"]}


def test_a_function_made_a_task_can_be_used_as_one():
    assert isinstance(as_task(str), PartialTask)
    assert run(map_(as_task(exclaim), ["a", "b"])) == ["a!", "b!"]
    assert run(flat_map(as_task(range), [1, 2])) == [0, 0, 1]
    assert key_of(as_task(exclaim)) != key_of(as_task(len))


def test_a_function_without_a_name_to_find_it_by_is_no_task():
    def local(x):
        return x

    for func in (local, lambda x: x):
        with pytest.raises(ArgumentError, match=r"^as_task: function .* is found again by its"):
            as_task(func)
        with pytest.raises(HashError, match=r"^argument 'func' of .*: function .* is found again"):
            run(apply_func(func, 1))


@pytest.mark.parametrize("value", [3, "len", None])
def test_what_is_no_function_is_not_made_a_task(value):
    with pytest.raises(ArgumentError, match=rf"^as_task takes a function, not {value!r}$"):
        as_task(value)


def test_an_expression_is_evaluated_with_lazy_variables():
    assert run(eval_("x + y", x=double(1), y=1)) == 3
    assert run(eval_("x - y", double(1), 1, pos_args=["x", "y"])) == 1
    assert run(eval_(identity("x"), x=1)) == 1


def test_variables_are_seen_in_comprehensions_and_lambdas():
    assert run(eval_("[x * k for x in xs]", xs=numbers(3), k=2)) == [0, 2, 4]
    assert run(eval_("(lambda: len(xs))()", xs=numbers(3))) == 3


def test_an_expression_may_be_indented_over_several_lines():
    code = """
        [
            x
            for x in xs
        ]
    """
    assert run(eval_(code, xs=numbers(2))) == [0, 1]


def test_an_expression_sees_nothing_of_the_module():
    with pytest.raises(NameError, match="'os' is not defined"):
        run(eval_("os.getcwd()"))


def test_an_expression_may_call_tasks():
    assert run(eval_("f(3)", f=double)) == 6
