"""What is reused of earlier executions, and what makes it stale: arguments, code, files."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from dataclasses import dataclass

import pytest
from support import InlineExecutor, Lab

from redun_lite import (
    ContentFile,
    Dir,
    File,
    FileSet,
    IFile,
    ProxyValue,
    Scheduler,
    Value,
    get_task_registry,
    scheduler_task,
    task,
)
from redun_lite._errors import TaskError
from redun_lite._hash import key_of

redun_namespace = "test_cache"


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@dataclass
class Reads:
    names: list


class Box(list):
    """Gives each run's function a place to note that it ran."""


# Arguments


def test_a_second_run_replays_every_job(lab):
    @task
    def main():
        return [add(ident(1), ident(2)), {"k": ident("x")}]

    first = lab.run(main())
    assert lab.run(main()) == first == [3, {"k": "x"}]
    assert lab.jobs(1) == {"main": ["DONE"], "add": ["DONE"], "ident": ["DONE"] * 3}
    assert lab.jobs(2) == {"main": ["CACHED"], "add": ["CACHED"], "ident": ["CACHED"] * 3}
    lab.audit()


def test_other_arguments_are_another_call(lab):
    lab.run(add(1, 2))
    for expr in (add(2, 1), add(1, 2.0), add("1", "2"), add([1], [2])):
        lab.run(expr)
        assert lab.jobs() == {"add": ["DONE"]}


def test_it_does_not_matter_how_arguments_are_given(lab):
    @task
    def f(a, b=2, *, c=3, **others):
        return [a, b, c, others]

    lab.run(f(1, x=1, y=2))
    for expr in (f(1, 2, y=2, x=1), f(a=1, b=2, c=3, x=1, y=2), f(1, b=ident(2), y=2, x=1)):
        assert lab.run(expr) == [1, 2, 3, {"x": 1, "y": 2}]
        assert lab.jobs()["f"] == ["CACHED"]


def test_positional_and_other_arguments_are_not_confused(lab):
    @task
    def f(*args, **kwargs):
        return [args, kwargs]

    lab.run(f(1, 2))
    assert lab.run(f((1, 2))) == [((1, 2),), {}]
    assert lab.run(f(1, x=2)) == [(1,), {"x": 2}]


def test_a_changed_default_argument_is_another_argument(lab):
    @task(version="1")
    def f(a=1):
        return a

    lab.run(f())

    @task(version="1")
    def f(a=2):
        return a

    assert lab.run(f()) == 2


def test_arguments_named_in_config_args_do_not_count(lab):
    @task(config_args=["memory"])
    def f(x, memory):
        return [x, memory]

    assert lab.run(f(1, 10)) == [1, 10]
    assert lab.run(f(1, 20)) == [1, 10]
    assert lab.jobs() == {"f": ["CACHED"]}
    assert lab.run(f(2, 20)) == [2, 20]
    assert lab.run([f(3, 1), f(3, 2)]) == [[3, 1], [3, 1]]


def test_config_args_of_two_calls_do_not_make_different_arguments_equal(lab):
    @task
    def f(a, b):
        return {"a": a, "b": b}

    calls = [f.options(config_args=["a"])(1, 2), f.options(config_args=["b"])(2, 1)]
    assert lab.run(calls) == [{"a": 1, "b": 2}, {"a": 2, "b": 1}]


def test_config_args_that_name_no_parameter_are_an_error():
    def f(x, memory):
        return x

    with pytest.raises(TaskError, match=r"task test_cache\.f: option config_args .* \(x, memory\)"):
        task(config_args=["mem"])(f)


def test_a_task_that_changes_its_argument_does_not_change_what_is_recorded(lab):
    @task
    def spoil(values):
        values.append("spoilt")
        return len(values)

    @task
    def make():
        return [1, 2]

    assert lab.run(spoil([1, 2])) == 3
    assert lab.run(make()) == [1, 2]
    assert lab.run(make()) == [1, 2]
    assert lab.run(spoil([1, 2])) == 3
    assert lab.jobs() == {"spoil": ["CACHED"]}
    lab.audit()


def test_a_task_that_changes_its_argument_changes_it_for_nobody_else(lab):
    @task
    def make():
        return {"a": [3, 1, 2], "b": Reads(["z", "y"]), "c": ({5: [6]},)}

    @task
    def spoil(values):
        values["a"].sort()
        values["b"].names.sort()
        values["c"][0][5].append(7)
        return values

    @task
    def look(values, after):
        return values

    @task
    def main():
        made = make()
        given = [1, {"k": [2]}]
        spoilt = spoil(made)
        return [look(made, spoilt), extend(given), extend(given)]

    @task(cache_scope="NONE")
    def extend(values):
        values[1]["k"].append(3)
        return values

    expected = [
        {"a": [3, 1, 2], "b": Reads(["z", "y"]), "c": ({5: [6]},)},
        [1, {"k": [2, 3]}],
        [1, {"k": [2, 3]}],
    ]
    for _ in range(2):
        assert lab.run(main(), InlineExecutor("default")) == expected
    lab.audit()


# Code


def test_an_edited_task_reruns_alone_among_equal_results(lab):
    @task(version="1")
    def inner(x):
        return x + 1

    @task(version="1")
    def outer():
        return [ident(inner(1)), ident(5)]

    lab.run(outer())

    @task(version="2", name="inner")
    def edited(x):
        return 1 + x

    assert lab.run(outer()) == [2, 5]
    # What it gave is what it gave before, so the reader of that is cached as well.
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["DONE"], "ident": ["CACHED", "CACHED"]}


def test_an_edited_task_with_another_result_reruns_its_readers(lab):
    @task(version="1")
    def inner(x):
        return x + 1

    @task(version="1")
    def outer():
        return [ident(inner(1)), ident(5)]

    lab.run(outer())

    @task(version="2", name="inner")
    def edited(x):
        return x + 10

    assert lab.run(outer()) == [11, 5]
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["DONE"], "ident": ["CACHED", "DONE"]}
    assert lab.run(outer()) == [11, 5]
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["CACHED"], "ident": ["CACHED", "CACHED"]}
    lab.audit()


def test_an_edit_that_is_undone_finds_the_old_results(lab):
    def define(version):
        @task(version=version, name="inner")
        def inner(x):
            return [version, x]

        return inner

    @task(version="1")
    def outer():
        return get_task_registry().get("test_cache.inner")(1)

    define("1")
    lab.run(outer())
    define("2")
    lab.run(outer())
    define("1")
    assert lab.run(outer()) == ["1", 1]
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["CACHED"]}


@pytest.fixture
def module(tmp_path):
    """Return a function that writes a module anew and imports it."""
    name = f"cached_{tmp_path.name}".replace("-", "_")
    sys.path.insert(0, str(tmp_path))

    def module(source):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(source).replace("SPACE", name))
        os.utime(path, ns=(0, module.edits * 10**9))  # Else a quick edit passes unnoticed.
        module.edits += 1
        importlib.invalidate_caches()
        if name in sys.modules:
            return importlib.reload(sys.modules[name])
        return importlib.import_module(name)

    module.edits = 1
    yield module
    sys.path.remove(str(tmp_path))
    sys.modules.pop(name, None)


WORKFLOW = """
    from redun_lite import task

    redun_namespace = "SPACE"

    def helper(x):
        return x + 1

    @task()
    def inner(x):
        return helper(x)

    @task()
    def outer():
        return inner(1)
"""


def test_an_edit_in_the_source_of_a_task_is_noticed(lab, module):
    lab.run(module(WORKFLOW).outer())
    edited = WORKFLOW.replace("return helper(x)", "return helper(x) * 10")
    assert lab.run(module(edited).outer()) == 20
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["DONE"]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@task()", "# A comment above.\n\n    @task(memory=4)"),
        ("def helper", "NEW = 5\n\n    def helper"),
        ("x + 1", "x + 2"),  # Code that a task calls is not watched, unless it says so.
    ],
)
def test_an_edit_outside_the_source_of_a_task_is_none(lab, module, old, new):
    lab.run(module(WORKFLOW).outer())
    assert lab.run(module(WORKFLOW.replace(old, new)).outer()) == 2
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["CACHED"]}


def test_members_that_have_swapped_their_values_are_not_taken_for_each_other(lab, module):
    workflow = """
        import enum
        from redun_lite import task

        redun_namespace = "SPACE"

        class Strand(enum.Enum):
            PLUS = 1
            MINUS = 2

        @task(version="1")
        def plus():
            return Strand.PLUS

        @task(version="1")
        def name_of(strand):
            return strand.name
    """
    first = module(workflow)
    assert lab.run(first.name_of(first.plus())) == "PLUS"
    swapped = module(workflow.replace("= 1", "= 3").replace("= 2", "= 1").replace("= 3", "= 2"))
    assert lab.run(swapped.name_of(swapped.plus())) == "PLUS"
    assert lab.jobs() == {"plus": ["DONE"], "name_of": ["DONE"]}


def test_what_a_task_includes_in_its_hash_is_watched(lab, module):
    workflow = WORKFLOW.replace(
        "@task()\n    def inner", "@task(hash_includes=[helper])\n    def inner"
    )
    lab.run(module(workflow).outer())
    assert lab.run(module(workflow.replace("x + 1", "x + 2")).outer()) == 3
    assert lab.jobs() == {"outer": ["CACHED"], "inner": ["DONE"]}


def test_a_version_stands_for_the_code(lab, module):
    workflow = WORKFLOW.replace("@task()\n    def inner", '@task(version="1")\n    def inner')
    lab.run(module(workflow).outer())
    edited = workflow.replace("return helper(x)", "return helper(x) * 10")
    assert lab.run(module(edited).outer()) == 2
    assert lab.run(module(edited.replace('"1"', '"2"')).outer()) == 20


def test_tasks_of_the_same_name_in_two_namespaces_are_two(lab):
    @task(namespace="test_cache.one", name="f", version="1")
    def one():
        return 1

    @task(namespace="test_cache.two", name="f", version="1")
    def two():
        return 2

    assert lab.run([one(), two()]) == [1, 2]
    assert lab.run([two(), one()]) == [2, 1]


def test_a_call_of_a_task_that_is_no_more_is_not_replayed(lab):
    calls = Box()

    @task(version="1")
    def main():
        return calls[-1](1)

    @task(name="old_name", version="1")
    def old(x):
        return ("old", x)

    calls.append(old)
    assert lab.run(main()) == ("old", 1)
    del get_task_registry()._tasks["test_cache.old_name"]

    @task(name="new_name", version="1")
    def new(x):
        return ("new", x)

    calls.append(new)
    assert lab.run(main()) == ("new", 1)
    assert lab.jobs() == {"main": ["DONE"], "new_name": ["DONE"]}


def test_a_task_given_as_an_argument_is_watched(lab):
    @task(version="1")
    def apply(function, x):
        return function(x)

    def define(version):
        @task(name="passed", version=version)
        def passed(x):
            return [version, x]

        return passed

    assert lab.run(apply(define("1"), 5)) == ["1", 5]
    assert lab.run(apply(define("2"), 5)) == ["2", 5]
    assert lab.run(apply(define("1"), 5)) == ["1", 5]
    assert lab.jobs() == {"apply": ["CACHED"], "passed": ["CACHED"]}


def test_a_task_inside_a_recorded_call_is_watched(lab):
    calls = Box()

    @task(version="1")
    def apply(function, x):
        return function(x)

    @task(version="1")
    def main():
        return apply(calls[-1], 5)

    def define(version):
        @task(name="passed_below", version=version)
        def passed(x):
            return [version, x]

        calls.append(passed)

    define("1")
    assert lab.run(main()) == ["1", 5]
    define("2")
    assert lab.run(main()) == ["2", 5]


# Switching it off


def counting(**options):
    @task(version="1", **options)
    def counted(x):
        counted.calls.append(x)
        return len(counted.calls)

    counted.calls = Box()
    return counted


@pytest.mark.parametrize(
    "options",
    [{"cache": False}, {"cache_scope": "CSE"}, {"cache": False, "cache_scope": "BACKEND"}],
)
def test_a_task_that_is_not_cached_runs_once_in_each_execution(lab, options):
    counted = counting(**options)
    assert lab.run([counted(1), counted(1)]) == [1, 1]
    assert lab.run([counted(1), counted(1)]) == [2, 2]


@pytest.mark.parametrize(
    "options", [{"cache_scope": "NONE"}, {"cache": False, "cache_scope": "NONE"}]
)
def test_a_task_without_a_cache_scope_runs_for_each_call(lab, options):
    counted = counting(**options)
    assert sorted(lab.run([counted(1), counted(1)])) == [1, 2]
    assert lab.run(counted(1)) == 3


def test_the_cache_may_be_left_out_by_a_call(lab):
    counted = counting()
    assert lab.run(counted(1)) == 1
    assert lab.run(counted.options(cache=False)(1)) == 2
    assert lab.run(counted(1)) == 2  # The latest is replayed.


def test_a_run_may_leave_out_the_cache_but_shares_equal_calls(lab):
    counted = counting()
    assert lab.run([counted(1), counted(1)], cache=False) == [1, 1]
    assert lab.run([counted(1), counted(1)], cache=False) == [2, 2]
    assert lab.run(counted(1)) == 2


def test_the_configuration_may_leave_out_the_cache(tmp_path):
    lab = Lab(tmp_path, scheduler={"cache": False})
    counted = counting()
    assert [lab.run(counted(1)) for _ in range(2)] == [1, 2]


def test_a_result_that_is_not_looked_up_is_recorded_all_the_same(lab):
    counted = counting()
    assert lab.run(counted.options(cache=False)(1)) == 1
    assert lab.run(counted(1)) == 1


@pytest.mark.parametrize(
    ("allowed", "same_run", "later_run"),
    [
        (["CSE"], "CACHED", "DONE"),
        (["SINGLE"], "DONE", "CACHED"),
        (["SINGLE", "CSE"], "CACHED", "CACHED"),
        (["ULTIMATE"], "DONE", "DONE"),
        ([], "DONE", "DONE"),
    ],
)
def test_only_the_allowed_kinds_of_cached_results_are_taken(lab, allowed, same_run, later_run):
    restricted = ident.options(allowed_cache_results=allowed)
    # Without a result in this execution, and with one.
    lab.run(add(restricted(1), 0))
    assert lab.jobs()["ident"] == ["DONE"]
    lab.run(add(restricted(1), 1))
    assert lab.jobs()["ident"] == [later_run]
    lab.run([ident(2), add(ident(2), add(restricted(2), ident(3)))], cache=False)
    assert sorted(lab.jobs()["ident"]) == sorted(["DONE", "CACHED", same_run, "DONE"])


def test_an_ultimate_result_is_taken_only_where_that_is_allowed(lab):
    @task(version="1", check_valid="shallow")
    def outer():
        return ident(1)

    lab.run(outer())
    lab.run(outer.options(allowed_cache_results=["ULTIMATE"])())
    assert lab.jobs() == {"outer": ["CACHED"]}
    lab.run(outer.options(allowed_cache_results=["SINGLE"])())
    assert lab.jobs() == {"outer": ["CACHED"], "ident": ["CACHED"]}


# Shallow and full


def shallow(lab, result, define_inner):
    """Run a shallow task over another over a third."""

    @task(version="1", name="shallow_top", check_valid="shallow")
    def top():
        return get_task_registry().get("test_cache.shallow_middle")()

    @task(version="1", name="shallow_middle")
    def middle():
        return [get_task_registry().get("test_cache.shallow_inner")()]

    define_inner("1", result)
    return top


def define_inner(version, result):
    @task(version=version, name="shallow_inner")
    def inner():
        return result


def test_a_shallow_check_replays_the_last_result_and_nothing_below(lab):
    top = shallow(lab, 5, define_inner)
    assert lab.run(top()) == [5]
    assert lab.run(top()) == [5]
    assert lab.jobs() == {"shallow_top": ["CACHED"]}


def test_a_shallow_check_looks_at_the_code_of_all_tasks_below(lab):
    top = shallow(lab, 5, define_inner)
    lab.run(top())
    define_inner("2", 6)
    assert lab.run(top()) == [6]
    assert lab.jobs() == {
        "shallow_top": ["CACHED"],
        "shallow_middle": ["CACHED"],
        "shallow_inner": ["DONE"],
    }
    assert lab.run(top()) == [6]
    assert lab.jobs() == {"shallow_top": ["CACHED"]}
    define_inner("1", 5)
    assert lab.run(top()) == [5]
    assert lab.jobs() == {"shallow_top": ["CACHED"]}
    lab.audit()


def test_a_shallow_check_looks_at_tasks_that_were_replayed_below(lab):
    # `inner` is recorded by one execution, and found by that which records `top`.
    top = shallow(lab, 5, define_inner)
    lab.run(get_task_registry().get("test_cache.shallow_middle")())
    lab.run(top())
    define_inner("2", 6)
    assert lab.run(top()) == [6]


def test_a_shallow_check_looks_at_tasks_that_were_shared_below(lab):
    top = shallow(lab, 5, define_inner)
    lab.run([get_task_registry().get("test_cache.shallow_middle")(), top()])
    define_inner("2", 6)
    assert lab.run(top()) == [6]


def test_a_shallow_check_looks_at_tasks_below_an_error_that_was_caught(lab):
    @scheduler_task
    def rescue(scheduler, parent_job, sexpr, expr):
        return scheduler.evaluate(expr, parent_job).catch(lambda error: "rescued")

    @task(version="1", check_valid="shallow")
    def top():
        return [rescue(outer())]

    @task(version="1")
    def outer():
        return get_task_registry().get("test_cache.breaks")()

    @task(version="1", name="breaks")
    def broken():
        raise ValueError("broken")

    assert lab.run(top()) == ["rescued"]

    @task(version="2", name="breaks")
    def mended():
        return "mended"

    assert lab.run(top()) == ["mended"]


def test_a_shallow_check_does_not_look_at_files_below(lab, tmp_path):
    path = tmp_path / "out.txt"

    @task(version="1")
    def write():
        path.write_text("text")
        return File(path)

    @task(version="1")
    def size(file):
        return file.size()

    @task(version="1", check_valid="shallow")
    def main():
        return size(write())

    assert lab.run(main()) == 4
    path.unlink()
    assert lab.run(main()) == 4
    assert lab.jobs() == {"main": ["CACHED"]}
    assert lab.run(main.options(check_valid="full")()) == 4
    assert lab.jobs() == {"main": ["CACHED"], "write": ["DONE"], "size": ["DONE"]}


def test_a_shallow_check_looks_at_files_in_the_last_result(lab, tmp_path):
    path = tmp_path / "out.txt"

    @task(version="1")
    def write():
        path.write_text("text")
        return [File(path)]

    @task(version="1", check_valid="shallow")
    def main():
        return write()

    lab.run(main())
    path.unlink()
    assert lab.run(main())[0].read() == "text"
    assert lab.jobs() == {"main": ["CACHED"], "write": ["DONE"]}


# Files


def write(path, text, seconds=[0]):  # noqa: B006
    """Write a file with a time of its own: an edit within one tick of the clock is no edit."""
    seconds[0] += 1
    path.write_text(text)
    os.utime(path, ns=(0, seconds[0] * 10**9))


@task(version="1")
def read(file):
    return file.read()


def test_a_changed_input_file_reruns_its_readers_alone(lab, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    write(a, "A")
    write(b, "B")

    @task(version="1")
    def main(files):
        return [ident(read(file)) for file in files]

    lab.run(main([File(a), File(b)]))
    write(a, "A2")
    assert lab.run(main([File(a), File(b)])) == ["A2", "B"]
    assert lab.jobs() == {"main": ["DONE"], "read": ["CACHED", "DONE"], "ident": ["CACHED", "DONE"]}


PLACES = {
    "argument": lambda file: read(file),
    "nested": lambda file: ident({"k": [(read(file),)]}),
    "inside a value": lambda file: first([{"k": file}]),
    "keyword": lambda file: read(file=file),
    "beside": lambda file: [file, read(file)],
    "deep": lambda file: ident(ident(read(file))),
    "operator": lambda file: ident([file])[0].read(),
}


@task(version="1")
def first(values):
    return values[0]["k"].read()


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_a_task_names_is_looked_at_when_the_task_is_replayed(lab, tmp_path, place):
    path = tmp_path / "in.txt"

    @task(version=place)
    def main():
        return PLACES[place](File(path))

    def content(value):
        while not isinstance(value, str):
            value = value["k"] if isinstance(value, dict) else value[-1]
        return value

    write(path, "one")
    assert content(lab.run(main())) == "one"
    write(path, "other")
    assert content(lab.run(main())) == "other"
    lab.run(main())
    assert {status for statuses in lab.jobs().values() for status in statuses} == {"CACHED"}


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_an_output_file_that_is_not_what_it_was_is_written_again(lab, tmp_path, change):
    path = tmp_path / "out.txt"

    @task(version="1")
    def produce(text):
        write(path, text)
        return {"files": [File(path)]}

    @task(version="1")
    def main():
        return read(produce("content")["files"][0])

    lab.run(main())
    if change == "remove":
        path.unlink()
    else:
        write(path, "something else")
    assert lab.run(main()) == "content"
    assert path.read_text() == "content"
    assert lab.jobs()["main"] == ["CACHED"]
    assert lab.jobs()["produce"] == ["DONE"]


def test_an_output_file_that_is_as_it_was_again_is_found_again(lab, tmp_path):
    path = tmp_path / "out.txt"

    @task(version="1")
    def produce():
        write(path, "content")
        return File(path)

    lab.run(produce())
    times = os.stat(path).st_mtime_ns
    write(path, "another")
    lab.run(produce())
    assert lab.jobs() == {"produce": ["DONE"]}
    path.write_text("content")
    os.utime(path, ns=(0, times))
    lab.run(produce())
    assert lab.jobs() == {"produce": ["CACHED"]}


def test_a_file_by_content_may_be_touched(lab, tmp_path):
    path = tmp_path / "in.txt"
    write(path, "content")
    lab.run(read(ContentFile(path)))
    write(path, "content")
    lab.run(read(ContentFile(path)))
    assert lab.jobs() == {"read": ["CACHED"]}
    write(path, "Content")
    assert lab.run(read(ContentFile(path))) == "Content"


def test_an_immutable_file_is_never_looked_at(lab, tmp_path):
    path = tmp_path / "out.txt"

    @task(version="1")
    def produce():
        write(path, "content")
        return IFile(path)

    lab.run(produce())
    path.unlink()
    lab.run(produce())
    assert lab.jobs() == {"produce": ["CACHED"]}


@pytest.mark.parametrize("kind", [Dir, lambda folder: FileSet(f"{folder}/*.txt")])
def test_a_folder_is_changed_by_what_is_in_it(lab, tmp_path, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.txt", "A")

    @task(version="1")
    def names(files):
        return sorted(file.basename() for file in files)

    @task(version="1")
    def main():
        return names(kind(str(folder)))

    assert lab.run(main()) == ["a.txt"]
    lab.run(main())
    assert lab.jobs() == {"main": ["CACHED"], "names": ["CACHED"]}
    write(folder / "b.txt", "B")
    assert lab.run(main()) == ["a.txt", "b.txt"]


def test_a_file_in_the_argument_of_a_task_that_writes_it_is_recorded_as_it_came(lab, tmp_path):
    path = tmp_path / "data.txt"
    write(path, "1")

    @task(version="1")
    def append(file):
        write(path, file.read() + "1")
        file.update_hash()
        return file

    before = key_of(File(path))
    assert key_of(lab.run(append(File(path)))) != before
    assert lab.query("SELECT digest FROM argument JOIN value ON value.id = value_id") == [before]
    lab.audit()


# Values of the user's own


class Reading(Value):
    """Holds while the class says so."""

    valid = True

    def __init__(self, celsius):
        self.celsius = celsius

    def is_valid(self):
        return Reading.valid


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [{"k": (value,)}]])
def test_a_value_that_does_not_hold_any_more_is_made_again(lab, monkeypatch, wrap):
    @task(version="1")
    def measure():
        return wrap(Reading(20))

    lab.run(measure())
    lab.run(measure())
    assert lab.jobs() == {"measure": ["CACHED"]}
    monkeypatch.setattr(Reading, "valid", False)
    lab.run(measure())
    assert lab.jobs() == {"measure": ["DONE"]}


def test_a_foreign_class_may_be_given_a_say_by_a_proxy(lab, monkeypatch):
    class Foreign:
        pass

    Foreign.__qualname__ = "Foreign"
    monkeypatch.setitem(globals(), "Foreign", Foreign)

    class ForeignProxy(ProxyValue):
        type = Foreign
        valid = True

        def is_valid(self):
            return ForeignProxy.valid

    @task(version="1")
    def make():
        return [Foreign()]

    lab.run(make())
    lab.run(make())
    assert lab.jobs() == {"make": ["CACHED"]}
    ForeignProxy.valid = False
    lab.run(make())
    assert lab.jobs() == {"make": ["DONE"]}


class Fragile:
    """Can be recorded, and perhaps not be read again."""

    def __init__(self):
        self.state = 1

    def __setstate__(self, state):
        self.__dict__.update(state)


@pytest.mark.parametrize("problem", ["gone", "unreadable"])
def test_a_recorded_value_that_cannot_be_loaded_is_made_again(lab, monkeypatch, problem):
    @task(version="1")
    def make():
        return [Fragile()] if Fragile.__name__ == "Fragile" else []

    def fail(self, state):
        raise RuntimeError("cannot be read any more")

    lab.run(make())
    if problem == "gone":
        monkeypatch.setitem(globals(), "Fragile", int)
    else:
        monkeypatch.setattr(Fragile, "__setstate__", fail)
    lab.run(make())
    assert lab.jobs() == {"make": ["DONE"]}


# Scheduler tasks


def test_what_a_scheduler_task_gave_is_asked_anew_when_its_caller_is_replayed(lab):
    settings = {"colour": "red"}

    @scheduler_task
    def setting(scheduler, parent_job, sexpr, name):
        return settings[name]

    @task(version="1")
    def main():
        return [setting("colour"), ident(setting("colour"))]

    assert lab.run(main()) == ["red", "red"]
    settings["colour"] = "blue"
    assert lab.run(main()) == ["blue", "blue"]
    assert lab.jobs() == {"main": ["CACHED"], "ident": ["DONE"]}


def test_a_caller_with_nothing_but_a_scheduler_task_asks_it_anew(lab):
    settings = {"colour": "red"}

    @scheduler_task
    def setting_alone(scheduler, parent_job, sexpr, name):
        return settings[name]

    @task(version="1")
    def main():
        return setting_alone("colour")

    assert lab.run(main()) == "red"
    settings["colour"] = "blue"
    assert lab.run(main()) == "blue"
    assert lab.jobs() == {"main": ["CACHED"]}
    lab.audit()


# Errors


def test_a_task_that_failed_runs_again_and_those_that_ended_do_not(lab):
    works = Box()

    @task(version="1")
    def flaky(x):
        if not works:
            raise ValueError("not yet")
        return x

    @task(version="1")
    def main():
        return add(flaky(ident(1)), ident(2))

    with pytest.raises(ValueError, match="not yet"):
        lab.run(main(), InlineExecutor("default"))
    works.append(True)
    assert lab.run(main()) == 3
    # What `main` itself returned was worth keeping, though it came to nothing.
    assert lab.jobs() == {
        "main": ["CACHED"],
        "flaky": ["DONE"],
        "add": ["DONE"],
        "ident": ["CACHED", "CACHED"],
    }


def test_a_result_is_found_by_a_scheduler_that_is_open_already(lab):
    with lab.scheduler() as one, lab.scheduler() as two:
        two.run(ident(0))
        one.run(ident(1))
        two.run(ident(1))
    assert lab.jobs() == {"ident": ["CACHED"]}


def test_a_scheduler_keeps_results_in_memory_without_a_configuration():
    counted = counting()
    with Scheduler() as scheduler:
        assert [scheduler.run(counted(1)) for _ in range(2)] == [1, 1]
    with Scheduler() as scheduler:
        assert scheduler.run(counted(1)) == 2
