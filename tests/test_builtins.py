"""The tasks that ship with the engine: what they come to, what runs, and what is replayed."""

from __future__ import annotations

import json
import os
import threading
from collections import namedtuple
from typing import Any

import pytest
from support import InlineExecutor, SteeredExecutor, note, notes

from redun_lite import (
    File,
    Handle,
    JobInfo,
    QuotedExpression,
    Scheduler,
    TaskError,
    apply_tags,
    catch,
    catch_all,
    cond,
    fork_thread,
    get_context,
    join_thread,
    no_prov,
    quote,
    seq,
    task,
    throw,
    with_export_options,
)
from redun_lite._builtins import Thread
from redun_lite._errors import CyclicDependency
from redun_lite._expr import key_of_expr

redun_namespace = "test_builtins"


def run(expr: Any, **arguments: Any) -> Any:
    """Run in memory, each job at once."""
    with Scheduler(executor=InlineExecutor("default")) as scheduler:
        return scheduler.run(expr, **arguments)


@pytest.fixture
def log(tmp_path):
    """A file that tasks note in what they really did; its lines are taken off when looked at."""

    class Log:
        path = str(tmp_path / "log")

        def take(self) -> list[str]:
            lines = notes(self.path)
            if lines:
                os.unlink(self.path)
            return lines

    return Log()


@pytest.fixture(autouse=True)
def audited(lab):
    """What every test leaves in its database is whole."""
    yield
    if lab.path.exists():
        lab.audit()


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def divide(a, b):
    return a / b


@task(version="1")
def fail(message="failed"):
    raise ValueError(message)


@task(version="1")
def noted(path, x):
    note(path, x)
    return x


@task(version="1")
def noted_failure(path, message="failed"):
    note(path, "fail", message)
    raise ValueError(message)


@task(version="1")
def explain(error):
    return f"{type(error).__name__}: {error}"


@task(version="1")
def noted_recovery(path, error):
    note(path, "recover", error)
    return "recovered"


Pair = namedtuple("Pair", ["left", "right"])


def upstream_tasks(lab, name: str) -> set[str]:
    """Return the names of the tasks whose calls the arguments of a task's calls were made of."""
    return {
        fullname.rpartition(".")[2]
        for fullname in lab.query(
            "SELECT source_task.fullname FROM upstream "
            "JOIN call ON call.id = call_id JOIN task ON task.id = call.task_id "
            "JOIN call AS source ON source.id = upstream_id "
            "JOIN task AS source_task ON source_task.id = source.task_id "
            "WHERE task.fullname = ?",
            f"{redun_namespace}.{name}",
        )
    }


def tags_of(lab, entity: str) -> list[tuple[str, Any]]:
    rows = lab.query("SELECT key, value FROM tag WHERE entity = ? ORDER BY id", entity)
    return [(key, json.loads(value)) for key, value in rows]


def job_id(lab, name: str) -> str:
    """Return the id of the last job of a task."""
    (found,) = lab.query(
        "SELECT substr(uuid, 1, 8) || '-' || (job.id & 0xffffffff) FROM job "
        "JOIN task ON task.id = task_id JOIN execution ON execution.id = job.id >> 32 "
        "WHERE fullname = ? ORDER BY job.id DESC LIMIT 1",
        f"{redun_namespace}.{name}",
    )
    return found


# cond


def test_cond_comes_to_the_branch_that_its_condition_chooses():
    assert run([cond(ident(x), "then", "else") for x in (True, False)]) == ["then", "else"]


def test_cond_evaluates_only_the_branch_that_it_takes(log):
    chosen = cond(ident(True), noted(log.path, "then"), noted(log.path, "else"))
    assert run(chosen) == "then"
    assert log.take() == ["then"]


@pytest.mark.parametrize(("first", "second", "expected"), [(1, 1, "a"), (0, 1, "b"), (0, 0, "c")])
def test_cond_with_several_conditions_takes_the_first_that_is_true(first, second, expected):
    assert run(cond(ident(first), "a", ident(second), "b", "c")) == expected


def test_cond_does_not_evaluate_conditions_behind_one_that_is_true(log):
    chosen = cond(noted(log.path, 1), "a", noted(log.path, 2), "b", "c")
    assert run(chosen) == "a"
    assert log.take() == ["1"]


@pytest.mark.parametrize(
    ("value", "truth"), [([], False), ([0], True), ("", False), (0.0, False), (None, False)]
)
def test_cond_takes_truth_as_python_does(value, truth):
    assert run(cond(ident(value), True, False)) is truth


def test_the_condition_may_be_a_value_or_hold_expressions():
    assert run([cond(1, "then", "else"), cond([ident(0)], "then", "else")]) == ["then", "then"]


def test_a_branch_may_be_a_nested_value_with_expressions():
    assert run(cond(True, {"k": [add(1, 2)]}, None)) == {"k": [3]}


def test_cond_without_a_last_branch_passes_if_a_condition_is_true():
    assert run(cond(False, "a", True, "b")) == "b"


def test_cond_without_a_last_branch_is_an_error_where_no_condition_is_true():
    with pytest.raises(TaskError, match=r"^no condition of .*cond\(.*is true: give it a last") as e:
        run(cond(ident(0), "a", 0, "b"))
    assert "\n" not in str(e.value)


def test_an_error_in_a_condition_is_that_of_cond():
    with pytest.raises(ValueError, match="failed"):
        run(cond(fail(), 1, 2))


def test_cond_may_be_nested_a_thousand_times():
    @task(version="1")
    def count(n):
        return cond(ident(n), count(n - 1), "zero")

    assert run(count(1000)) == "zero"


def test_a_thousand_conditions_are_looked_at_one_after_the_other():
    conditions = [part for i in range(1000) for part in (ident(i == 998), i)]
    assert run(cond(*conditions, "none")) == 998


def test_cond_asks_anew_where_its_condition_has_changed(lab):
    def define(answer):
        @task(version=str(answer))
        def ask():
            return answer

        @task(version="1")
        def main():
            return cond(ask(), ident("then"), ident("else"))

        return main

    assert lab.run(define(True)()) == "then"
    assert lab.run(define(False)()) == "else"
    assert lab.jobs() == {"main": ["CACHED"], "ask": ["DONE"], "ident": ["DONE"]}


def test_what_cond_takes_comes_from_condition_and_branch(lab):
    assert lab.run(explain(cond(ident(1), add(1, 2), divide(1, 2)))) == "int: 3"
    assert upstream_tasks(lab, "explain") == {"ident", "add"}


# throw


def test_throw_raises_lazily():
    assert run(cond(True, "fine", throw(ValueError("never")))) == "fine"
    with pytest.raises(ValueError, match=r"^now$"):
        run(cond(False, "fine", throw(ValueError("now"))))


def test_throw_takes_a_class_as_raise_does():
    with pytest.raises(KeyError):
        run(throw(KeyError))


def test_throw_takes_an_error_that_a_task_gave():
    with pytest.raises(ValueError, match=r"^given$"):
        run(throw(ident(ValueError("given"))))


@pytest.mark.parametrize("thing", [3, "text", int])
def test_throw_of_something_else_is_one_line(thing):
    with pytest.raises(TaskError, match=r"^throw takes an exception, not .*"):
        run(throw(thing))


def test_an_error_that_was_thrown_can_be_caught():
    assert run(catch(throw(ValueError("x")), ValueError, explain)) == "ValueError: x"


# catch


def test_catch_comes_to_the_value_where_nothing_fails(log):
    assert run(catch(divide(1, 2), ZeroDivisionError, noted_recovery.partial(log.path))) == 0.5
    assert log.take() == []


def test_catch_hands_the_error_to_the_task():
    assert run(catch(divide(1, 0), ZeroDivisionError, explain)) == (
        "ZeroDivisionError: division by zero"
    )


def test_a_handler_gets_the_error_itself_with_its_attributes():
    class Numbered(Exception):
        pass

    seen = []

    @task(version="1", cache_scope="NONE")
    def raise_numbered():
        error = Numbered("text")
        error.number = 7
        raise error

    @task(version="1")
    def look(error):
        seen.append((type(error), error.number))

    globals()["Numbered"] = Numbered
    Numbered.__qualname__ = "Numbered"
    try:
        run(catch(raise_numbered(), Numbered, look))
    finally:
        del globals()["Numbered"]
    assert seen == [(Numbered, 7)]


def test_catch_takes_the_first_pair_that_fits():
    pairs = (KeyError, ident, ArithmeticError, explain, ZeroDivisionError, ident)
    assert run(catch(divide(1, 0), *pairs)).startswith("ZeroDivisionError")


def test_one_handler_may_be_for_several_classes():
    assert run(catch(fail(), (KeyError, ValueError), explain)) == "ValueError: failed"


def test_an_error_that_no_pair_fits_goes_up():
    with pytest.raises(ValueError, match=r"^failed$"):
        run(catch(fail(), KeyError, explain))


def test_catch_without_handlers_is_what_it_is_given():
    assert run(catch(add(1, 2))) == 3
    with pytest.raises(ValueError, match=r"^failed$"):
        run(catch(fail()))


def test_a_handler_may_return_expressions():
    @task(version="1")
    def recover(error):
        return [add(1, 2), {"again": ident("x")}]

    assert run(catch(fail(), ValueError, recover)) == [3, {"again": "x"}]


def test_a_handler_may_be_a_partial_task():
    @task(version="1")
    def recover(prefix, error):
        return f"{prefix} {error}"

    assert run(catch(fail(), ValueError, recover.partial("it"))) == "it failed"


@pytest.mark.parametrize(
    "failing",
    [
        lambda: ident(fail()),
        lambda: ident(1) + "text",
        lambda: ident([1])[5],
        lambda: ident(3).nothing,
        lambda: [1, {"deep": ident(divide(1, 0))}],
    ],
)
def test_errors_of_arguments_and_operators_are_caught(failing):
    caught = (ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError)
    assert run(catch(failing(), caught, ident.partial())).args


def test_an_error_in_a_nested_value_is_caught_and_siblings_that_run_are_recorded(lab):
    begun, go_on = threading.Event(), threading.Event()

    @task(version="1")
    def fail_beside():
        assert begun.wait(30)
        raise ValueError("failed")

    @task(version="1")
    def beside():
        begun.set()
        assert go_on.wait(30)

    @task(version="1")
    def recover(error):
        go_on.set()
        return str(error)

    assert lab.run(catch([fail_beside(), beside()], ValueError, recover)) == "failed"
    assert lab.jobs() == {"fail_beside": ["FAILED"], "beside": ["DONE"], "recover": ["DONE"]}


def test_an_error_in_a_handler_goes_up_past_the_other_pairs():
    @task(version="1")
    def worse(error):
        raise KeyError("worse")

    with pytest.raises(KeyError, match="worse"):
        run(catch(fail(), ValueError, worse, KeyError, explain))


def test_an_error_in_a_handler_is_caught_by_the_catch_around():
    @task(version="1")
    def worse(error):
        raise KeyError("worse")

    inner = catch(fail(), ValueError, worse)
    assert run(catch(inner, KeyError, explain)) == "KeyError: 'worse'"


def test_an_error_is_shared_by_equal_calls_and_caught_by_one_of_them_only():
    with pytest.raises(ValueError, match=r"^failed$"):
        run([catch(fail(), ValueError, explain), fail()])


def test_catching_an_error_shows_failed_jobs_below_and_done_ones_above(lab):
    @task(version="1")
    def middle():
        return fail()

    @task(version="1")
    def main():
        return catch(middle(), ValueError, explain)

    assert lab.run(main()) == "ValueError: failed"
    assert lab.statuses() == ["DONE"]
    assert lab.jobs() == {
        "main": ["DONE"],
        "middle": ["FAILED"],
        "fail": ["FAILED"],
        "explain": ["DONE"],
    }


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_is_caught_where_it_is_asked_for(lab, raised):
    @task(version="1")
    def leave():
        raise raised("bye")

    @task(version="1")
    def stay(error):
        return f"stayed: {error}"

    assert lab.run(catch(leave(), raised, stay)) == "stayed: bye"
    with pytest.raises(raised):
        lab.run(catch(leave(), Exception, stay))


class Locked(ValueError):
    def __init__(self, url):
        super().__init__(f"{url} is locked")
        self.url = url
        self.lock = threading.Lock()


@task(version="1")
def lock(url):
    raise Locked(url)


@task(version="1")
def url_of(error):
    return error.url


@pytest.mark.parametrize("executor", ["default", "process"])
def test_an_error_that_cannot_be_stored_as_a_whole_reaches_its_handler_all_the_same(lab, executor):
    call = lock.options(executor=executor)("here")
    assert lab.run(catch(call, Locked, url_of)) == "here"


def test_an_error_of_a_class_that_cannot_be_found_reaches_the_handler_in_words(lab):
    class Local(Locked):
        pass

    @task(version="1")
    def lock_locally():
        raise Local("here")

    assert "Local: here is locked" in lab.run(catch(lock_locally(), ValueError, explain))


# What catch replays


def failing_workflow(log, fail_version="1", recover_version="1", **options):
    @task(version=fail_version, **options)
    def breaks():
        note(log.path, "breaks")
        raise ValueError("broken")

    @task(version="1")
    def leads_to_it():
        note(log.path, "leads")
        return breaks()

    @task(version=recover_version)
    def recover(error):
        note(log.path, "recover")
        return f"{recover_version}: {error}"

    @task(version="1")
    def main():
        return catch(leads_to_it(), ValueError, recover)

    return main()


def test_a_handled_error_is_not_met_again_by_later_executions(lab, log):
    assert lab.run(failing_workflow(log)) == "1: broken"
    assert log.take() == ["leads", "breaks", "recover"]
    assert lab.run(failing_workflow(log)) == "1: broken"
    assert log.take() == []
    assert lab.statuses() == ["DONE", "DONE"]


def test_a_handled_error_at_the_top_is_not_met_again(lab, log):
    expr = catch(noted_failure(log.path), ValueError, explain)
    assert [lab.run(expr), lab.run(expr)] == ["ValueError: failed"] * 2
    assert log.take() == ["fail failed"]


def test_an_error_that_was_handled_in_a_nested_value_is_not_met_again(lab, log):
    @task(version="1")
    def main():
        parts = [noted_failure(log.path), noted(log.path, 1)]
        return catch(parts, ValueError, explain)

    assert [lab.run(main()), lab.run(main())] == ["ValueError: failed"] * 2
    assert sorted(log.take()) == ["1", "fail failed"]


def test_a_task_that_failed_runs_again_once_its_code_has_changed(lab, log):
    lab.run(failing_workflow(log))
    log.take()
    assert lab.run(failing_workflow(log, fail_version="2")) == "1: broken"
    assert log.take() == ["breaks"]


def test_another_handler_does_not_run_again_what_it_handles(lab, log):
    lab.run(failing_workflow(log))
    log.take()
    assert lab.run(failing_workflow(log, recover_version="2")) == "2: broken"
    assert log.take() == ["recover"]


def test_a_failing_task_that_is_not_to_be_cached_fails_anew(lab, log):
    lab.run(failing_workflow(log, cache=False))
    log.take()
    assert lab.run(failing_workflow(log, cache=False)) == "1: broken"
    assert log.take() == ["breaks"]


def test_a_run_without_the_cache_meets_handled_errors_again(lab, log):
    lab.run(failing_workflow(log))
    log.take()
    assert lab.run(failing_workflow(log), cache=False) == "1: broken"
    assert log.take() == ["leads", "breaks", "recover"]


def test_an_error_whose_handler_failed_is_met_again(lab, log):
    @task(version="1")
    def worse(error):
        note(log.path, "worse")
        raise KeyError("worse")

    @task(version="1")
    def main():
        return catch(noted_failure(log.path), ValueError, worse)

    for _ in range(2):
        with pytest.raises(KeyError, match="worse"):
            lab.run(main())
        assert log.take() == ["fail failed", "worse"]


def test_an_error_whose_handler_failed_is_not_met_again_if_that_was_handled(lab, log):
    @task(version="1")
    def worse(error):
        note(log.path, "worse")
        raise KeyError("worse")

    @task(version="1")
    def main():
        return catch(catch(noted_failure(log.path), ValueError, worse), KeyError, explain)

    assert [lab.run(main()), lab.run(main())] == ["KeyError: 'worse'"] * 2
    assert log.take() == ["fail failed", "worse"]


def test_an_error_that_no_pair_fits_is_met_again(lab, log):
    for _ in range(2):
        with pytest.raises(ValueError, match="failed"):
            lab.run(catch(noted_failure(log.path), KeyError, explain))
        assert log.take() == ["fail failed"]


def test_an_error_that_was_handled_elsewhere_is_met_again_without_the_catch(lab, log):
    lab.run(catch(noted_failure(log.path), ValueError, explain))
    log.take()
    with pytest.raises(ValueError, match="failed"):
        lab.run(noted_failure(log.path))
    assert log.take() == ["fail failed"]


def test_a_replayed_error_is_handled_by_its_class_and_attributes(lab, log):
    @task(version="1")
    def breaks():
        note(log.path, "breaks")
        raise FileNotFoundError(2, "No such file", "missing.txt")

    @task(version="1", cache_scope="NONE")
    def look(error):
        return (error.errno, error.filename)

    for _ in range(2):
        assert lab.run(catch(breaks(), OSError, look)) == (2, "missing.txt")
    assert log.take() == ["breaks"]


def test_what_a_replayed_handler_returned_is_looked_at_anew(lab, log, tmp_path):
    @task(version="1")
    def write(error):
        note(log.path, "write")
        file = File(str(tmp_path / "out.txt"))
        file.write(str(error))
        return file

    expr = catch(fail(), ValueError, write)
    lab.run(expr)
    lab.run(expr)
    assert log.take() == ["write"]
    (tmp_path / "out.txt").unlink()
    assert lab.run(expr).read() == "failed"
    assert log.take() == ["write"]


def test_what_a_catch_came_to_comes_from_what_failed_and_from_the_handler(lab):
    assert lab.run(ident(catch(ident(fail()), ValueError, explain))) == "ValueError: failed"
    assert "explain" in upstream_tasks(lab, "ident")


def test_the_tasks_below_a_handled_error_are_known_to_the_call(lab, log):
    """Else a shallow check would not notice that the task which failed has been mended."""

    def define(version):
        @task(version=version)
        def breaks():
            note(log.path, "breaks")
            if version == "1":
                raise ValueError("broken")
            return "mended"

        @task(version="1", check_valid="shallow")
        def main():
            return catch(breaks(), ValueError, explain)

        return main()

    assert lab.run(define("1")) == "ValueError: broken"
    assert lab.run(define("1")) == "ValueError: broken"
    assert lab.jobs() == {"main": ["CACHED"]}
    assert lab.run(define("2")) == "mended"


def test_what_a_catch_shares_with_others_runs_once_also_when_its_error_is_replayed(lab, log):
    @task(version="1", cache=False)
    def draw():
        note(log.path, "draw")
        return 1

    @task(version="1")
    def main():
        drawn = draw()
        return [catch(noted_failure(log.path, ident(drawn)), ValueError, explain), ident(drawn)]

    assert lab.run(main()) == ["ValueError: 1", 1]
    assert log.take() == ["draw", "fail 1"]
    assert lab.run(main()) == ["ValueError: 1", 1]
    assert log.take() == ["draw"]


def test_a_call_that_fails_inside_a_catch_and_beside_it_runs_for_the_one_beside(lab, log):
    lab.run(catch(noted_failure(log.path), ValueError, explain))
    log.take()
    both = [catch(noted_failure(log.path), ValueError, explain), ident(noted_failure(log.path))]
    with pytest.raises(ValueError, match="failed"):
        lab.run(both, InlineExecutor("default"))
    assert log.take() == ["fail failed"]


def test_what_became_of_a_replayed_error_is_no_result_for_equal_calls_elsewhere(lab, log):
    @task(version="1")
    def tolerant():
        return catch_all([noted_failure(log.path)], ValueError, explain_all)

    @task(version="1")
    def explain_all(values):
        return [str(value) for value in values]

    @task(version="1")
    def strict(values):
        raise TypeError(values)

    inside = catch([tolerant(), noted_failure(log.path)], ValueError, explain)
    assert lab.run(inside) == "ValueError: failed"
    log.take()
    assert lab.run([inside, tolerant()]) == ["ValueError: failed", ["failed"]]
    assert log.take() == ["fail failed"]


@pytest.mark.parametrize("options", [{"cache": False}, {"cache_scope": "CSE"}])
def test_a_catch_that_is_not_to_be_cached_meets_its_errors_again(lab, log, options):
    expr = catch.options(**options)(noted_failure(log.path), ValueError, explain)
    for _ in range(2):
        assert lab.run(expr) == "ValueError: failed"
        assert log.take() == ["fail failed"]


def test_an_error_in_how_a_task_is_called_is_met_again_once_the_call_fits(lab):
    def define(default):
        @task(version=str(default), name="inner")
        def wants_one(x):
            return x

        @task(version=str(default), name="inner")
        def wants_two(x, y=0):
            return x + y

        @task(version="1")
        def outer():
            return (wants_two if default else wants_one)(1, 2)

        return catch(outer(), Exception, explain)

    assert lab.run(define(0)).startswith("ArgumentError: ")
    assert lab.run(define(1)) == 3


def test_calls_of_a_handle_have_the_same_numbers_when_an_error_is_replayed(lab, log):
    def root():
        place = Place("db")
        return [
            look(place, 2),
            catch(use(place, log.path), ValueError, explain),
        ]

    assert lab.run(root()) == [2, "ValueError: used"]
    assert lab.run(root()) == [2, "ValueError: used"]
    assert log.take() == ["use"]


class Place(Handle):
    type_name = "test_builtins.Place"

    def __init__(self, name):
        self.instance = None


@task(version="1")
def look(place, x):
    return x


@task(version="1")
def use(place, path):
    note(path, "use")
    raise ValueError("used")


def test_catches_inside_each_other_may_be_many(lab):
    expr = ident(0)
    for _ in range(1_500):
        expr = catch(ident(expr), ValueError, explain)
    assert lab.run([expr, catch(fail(), ValueError, explain)]) == [0, "ValueError: failed"]
    assert lab.run(expr) == 0


# Bad input for catch


@pytest.mark.parametrize("handler", [3, "recover", lambda error: 1, print, None])
def test_a_handler_that_is_no_task_is_named_even_if_nothing_fails(handler):
    with pytest.raises(TaskError, match=r"^catch takes a task to handle errors, not .*") as e:
        run(catch(add(1, 2), ValueError, handler))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("classes", [3, "ValueError", int, (ValueError, int), [ValueError]])
def test_a_class_that_is_none_of_exceptions_is_named(classes):
    with pytest.raises(TaskError, match=r"^catch takes classes of exceptions to handle, not .*"):
        run(catch(add(1, 2), classes, explain))


def test_a_class_without_a_handler_is_named():
    with pytest.raises(TaskError, match=r"^catch takes pairs .*ValueError.* is alone"):
        run(catch(add(1, 2), ValueError))


def test_a_lazy_handler_that_is_no_task_is_named_when_it_is_needed():
    assert run(catch(add(1, 2), ValueError, ident(3))) == 3
    with pytest.raises(TaskError, match=r"^catch takes a task to handle errors, not 3"):
        run(catch(fail(), ValueError, ident(3)))


def test_classes_and_handlers_may_be_lazy():
    assert run(catch(fail(), ident(ValueError), ident(explain))) == "ValueError: failed"


def test_a_circle_through_a_handler_is_named():
    @task(version="1")
    def again():
        return catch(fail(), ValueError, recover)

    @task(version="1")
    def recover(error):
        return again()

    with pytest.raises(CyclicDependency, match=r"again.*recover|recover.*again") as e:
        run(again())
    assert "\n" not in str(e.value)


# catch_all


def test_catch_all_comes_to_the_values_where_nothing_fails(log):
    handled = catch_all([add(1, 2), 7], ValueError, noted_recovery.partial(log.path))
    assert run(handled) == [3, 7]
    assert log.take() == []


@task(version="1")
def describe(values):
    return repr(values)


@pytest.mark.parametrize(
    ("nest", "expected"),
    [
        (lambda a, b: [a, b], "[ValueError('failed'), 3]"),
        (lambda a, b: (a, b), "(ValueError('failed'), 3)"),
        (lambda a, b: {"a": a, "b": [b]}, "{'a': ValueError('failed'), 'b': [3]}"),
        (lambda a, b: Pair(a, b), "Pair(left=ValueError('failed'), right=3)"),
        (lambda a, b: [[a], [b]], "[[ValueError('failed')], [3]]"),
    ],
)
def test_errors_stand_where_the_values_are_missing(nest, expected):
    assert run(catch_all(nest(fail(), add(1, 2)), ValueError, describe)) == expected


def test_a_single_expression_that_fails_is_one_error():
    assert run(catch_all(ident([fail()]), ValueError, explain)) == "ValueError: failed"


def test_catch_all_lets_the_others_end(lab):
    executor = SteeredExecutor("default")

    @task(version="1")
    def main():
        return catch_all([fail(), add(1, 2), add(3, 4)], ValueError, describe)

    steps = []

    def steer(job):
        steps.append(job.task_name.rpartition(".")[2])
        if steps == ["main"] or steps == ["main", "fail", "add", "add"]:
            executor.finish_all()
        elif "describe" in steps:
            executor.finish(job)

    executor.on_submit = steer
    with Scheduler(lab.config, executor=executor) as scheduler:
        assert scheduler.run(main()) == "[ValueError('failed'), 3, 7]"
    assert lab.jobs()["add"] == ["DONE", "DONE"]


def test_without_a_handler_the_first_error_is_raised_after_all_have_ended(lab):
    with pytest.raises(ValueError, match=r"^one$"):
        lab.run(catch_all([fail("one"), add(1, 2), fail("two")]))
    assert lab.jobs() == {"fail": ["FAILED", "FAILED"], "add": ["DONE"]}


def test_an_error_of_another_class_is_raised_after_all_have_ended(lab, log):
    handler = noted_recovery.partial(log.path)
    with pytest.raises(ZeroDivisionError):
        lab.run(catch_all([fail(), divide(1, 0), add(1, 2)], ValueError, handler))
    assert log.take() == []
    assert lab.jobs() == {"fail": ["FAILED"], "divide": ["FAILED"], "add": ["DONE"]}


def test_catch_all_may_be_given_several_classes():
    failing = [fail(), divide(1, 0)]
    assert run(catch_all(failing, (ValueError, ZeroDivisionError), describe)) == (
        "[ValueError('failed'), ZeroDivisionError('division by zero')]"
    )


def test_an_exception_that_is_a_value_is_no_error():
    values = run(catch_all([ident(ValueError("a value")), KeyError("another")], Exception, fail))
    assert [str(value) for value in values] == ["a value", "'another'"]


def test_an_error_that_looks_false_is_an_error_all_the_same():
    assert run(catch_all([raise_falsy()], Falsy, describe)) == "[Falsy()]"


class Falsy(Exception):
    def __bool__(self):
        return False


@task(version="1")
def raise_falsy():
    raise Falsy


def test_errors_of_catch_all_are_met_again(lab, log):
    expr = catch_all([noted_failure(log.path), noted(log.path, 1)], ValueError, describe)
    assert lab.run(expr) == "[ValueError('failed'), 1]"
    assert sorted(log.take()) == ["1", "fail failed"]
    assert lab.run(expr) == "[ValueError('failed'), 1]"
    assert log.take() == ["fail failed"]
    assert lab.jobs()["describe"] == ["CACHED"]


def test_an_error_in_the_handler_of_catch_all_goes_up():
    @task(version="1")
    def count(values):
        raise RuntimeError(f"{sum(isinstance(v, Exception) for v in values)} errors")

    with pytest.raises(RuntimeError, match=r"^2 errors$"):
        run(catch_all([fail("one"), fail("two"), add(1, 2)], ValueError, count))


def test_catch_all_of_nothing_is_nothing():
    assert run([catch_all([]), catch_all({}), catch_all(3)]) == [[], {}, 3]


def test_a_thousand_errors_are_handed_over_together():
    @task(version="1")
    def count(values):
        return sum(isinstance(value, ValueError) for value in values)

    assert run(catch_all([fail(str(i)) for i in range(1000)], ValueError, count)) == 1000


@pytest.mark.parametrize("handler", [3, lambda values: 1])
def test_a_handler_of_catch_all_that_is_no_task_is_named(handler):
    with pytest.raises(TaskError, match=r"^catch_all takes a task to handle errors, not .*"):
        run(catch_all([add(1, 2)], ValueError, handler))


def test_a_class_of_catch_all_that_is_none_is_named():
    with pytest.raises(TaskError, match=r"^catch_all takes classes of exceptions .*not 'x'"):
        run(catch_all([add(1, 2)], "x", describe))


def test_what_catch_all_comes_to_comes_from_all_of_it(lab):
    lab.run(ident(catch_all([add(1, 2), divide(1, 2)], ValueError, describe)))
    assert upstream_tasks(lab, "ident") == {"add", "divide"}


# seq


def test_seq_comes_to_the_list_of_values():
    assert run(seq([add(1, 2), 7, [ident("x")]])) == [3, 7, ["x"]]
    assert run([seq([]), seq((add(1, 2),))]) == [[], [3]]


def test_seq_evaluates_one_after_the_other_with_all_that_each_leads_to(lab, log):
    @task(version="1")
    def step(name):
        note(log.path, name, "begins")
        return end(name, noted(log.path, f"{name} goes on"))

    @task(version="1")
    def end(name, _):
        note(log.path, name, "ends")

    lab.run(seq([step(name) for name in "abc"]))
    assert log.take() == [
        f"{name} {what}" for name in "abc" for what in ("begins", "goes on", "ends")
    ]


def test_nothing_behind_an_error_is_evaluated(lab, log):
    with pytest.raises(ValueError, match=r"^failed$"):
        lab.run(seq([noted(log.path, 1), noted_failure(log.path), noted(log.path, 2)]))
    assert log.take() == ["1", "fail failed"]


def test_an_error_in_seq_can_be_caught():
    assert run(catch(seq([add(1, 2), fail()]), ValueError, explain)) == "ValueError: failed"


def test_seq_takes_thousands_of_steps():
    assert run(seq([ident(i) for i in range(2_000)])) == list(range(2_000))


def test_a_step_may_come_more_than_once(log):
    step = noted(log.path, 1)
    assert run(seq([step, step, noted(log.path, 1)])) == [1, 1, 1]
    assert log.take() == ["1"]


def test_seq_of_a_lazy_list_is_the_list():
    assert run(seq(ident((1, 2)))) == [1, 2]


@pytest.mark.parametrize("thing", [3, {"a": 1}, "ab", None])
def test_seq_of_something_else_is_one_line(thing):
    with pytest.raises(TaskError, match=r"^seq takes a list of expressions, not"):
        run(seq(thing))


def test_seq_is_replayed_step_by_step(lab, log):
    @task(version="1")
    def main():
        return seq([noted(log.path, 1), noted(log.path, 2)])

    assert [lab.run(main()), lab.run(main())] == [[1, 2], [1, 2]]
    assert log.take() == ["1", "2"]
    assert lab.jobs() == {"main": ["CACHED"], "noted": ["CACHED", "CACHED"]}


def test_what_seq_comes_to_comes_from_its_steps(lab):
    lab.run(ident(seq([add(1, 2), divide(1, 2)])))
    assert upstream_tasks(lab, "ident") == {"add", "divide"}


# apply_tags


def test_tags_of_a_value_are_recorded_for_the_value(lab):
    assert lab.run(apply_tags(add(1, 2), tags=[("unit", "cm"), ("exact", True)])) == 3
    assert tags_of(lab, key_of_expr(3).hex()) == [("unit", "cm"), ("exact", True)]


def test_a_value_that_is_tagged_is_recorded_though_no_call_has_it(lab):
    @task(version="1")
    def main():
        return {"height": apply_tags(20.5, tags={"unit": "cm"})}

    lab.run(main())
    entity = key_of_expr(20.5)
    assert tags_of(lab, entity.hex()) == [("unit", "cm")]
    assert lab.query("SELECT count(*) FROM value WHERE digest = ?", entity) == [1]


def test_tags_of_a_job_are_those_of_the_job_that_returned_the_call(lab):
    @task(version="1")
    def main():
        return ident(inner())

    @task(version="1")
    def inner():
        return apply_tags(add(1, 2), job_tags=[("step", 1)])

    assert lab.run(main()) == 3
    assert tags_of(lab, job_id(lab, "inner")) == [("step", 1)]
    assert tags_of(lab, job_id(lab, "main")) == []


def test_tags_of_an_execution_are_recorded_for_it(lab):
    @task(version="1")
    def main():
        return apply_tags(1, execution_tags=[("project", "acme")])

    lab.run(main())
    assert tags_of(lab, lab.query("SELECT uuid FROM execution")[0]) == [("project", "acme")]


def test_job_tags_without_a_job_are_those_of_the_execution(lab):
    lab.run(apply_tags(1, job_tags=[("a", 1)]))
    assert tags_of(lab, lab.query("SELECT uuid FROM execution")[0]) == [("a", 1)]


def test_a_replay_tags_its_own_job_and_execution(lab):
    @task(version="1")
    def main():
        return apply_tags(1, tags=[("v", 1)], job_tags=[("j", 1)], execution_tags=[("e", 1)])

    lab.run(main())
    lab.run(main())
    assert lab.jobs() == {"main": ["CACHED"]}
    assert tags_of(lab, job_id(lab, "main")) == [("j", 1)]
    assert tags_of(lab, lab.query("SELECT uuid FROM execution WHERE id = 2")[0]) == [("e", 1)]
    assert tags_of(lab, key_of_expr(1).hex()) == [("v", 1)]


def test_a_tag_may_be_whatever_json_knows_and_lazy(lab):
    content = {"a": [1, None, True, 2.5], "b": "ä"}
    lab.run(apply_tags(0, tags=[("all", ident(content)), (ident("key"), 1)]))
    assert dict(tags_of(lab, key_of_expr(0).hex())) == {"all": content, "key": 1}


def test_tags_may_be_applied_one_in_another(lab):
    assert lab.run(apply_tags(apply_tags(7, tags=[("a", 1)]), tags=[("b", 2)])) == 7
    assert tags_of(lab, key_of_expr(7).hex()) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["env"], r"tags are pairs \(key, value\), not 'env'"),
        ([("a", 1, 2)], r"tags are pairs \(key, value\), not \('a', 1, 2\)"),
        ([(1, 2)], r"tags are pairs \(key, value\), not \(1, 2\)"),
        ("env", r"tags are pairs \(key, value\), not 'env'"),
        ([("a", {1})], r"tags are pairs of a key and a value that JSON knows, not \('a', \{1\}\)"),
    ],
)
@pytest.mark.parametrize("kind", ["tags", "job_tags", "execution_tags"])
def test_a_tag_that_is_none_is_one_line(kind, tags, message):
    with pytest.raises(TaskError, match=rf"^apply_tags: {message}\nwhile evaluating "):
        run(apply_tags(1, **{kind: tags}))


def test_tags_of_a_task_are_on_the_task_and_on_each_of_its_jobs(lab):
    @task(version="1", tags=[("team", "a")])
    def tagged():
        return 1

    lab.run(tagged())
    lab.run(tagged())
    assert lab.jobs() == {"tagged": ["CACHED"]}
    assert tags_of(lab, job_id(lab, "tagged")) == [("team", "a")]
    assert tags_of(lab, tagged.hash) == [("team", "a")]


def test_tags_of_a_call_are_those_of_its_job_and_not_of_the_task(lab):
    @task(version="1", tags=[("team", "a")])
    def tagged():
        return 1

    lab.run(tagged.options(tags=[("call", 2)])())
    assert tags_of(lab, job_id(lab, "tagged")) == [("call", 2)]
    assert ("call", 2) not in tags_of(lab, tagged.hash)


def test_a_tagged_value_comes_from_what_made_it(lab):
    lab.run(ident(apply_tags(add(1, 2), tags=[("a", 1)])))
    assert upstream_tasks(lab, "ident") == {"add"}


# fork_thread, join_thread


def test_a_thread_is_joined_for_its_result():
    @task(version="1")
    def main():
        return join_thread(fork_thread(add(1, 2)))

    assert run(main()) == 3


@task(version="1")
def fork(expr):
    return fork_thread(expr.eval())


@task(version="1")
def join(thread):
    return join_thread(thread)


def test_who_forks_does_not_wait_and_who_joins_does(lab):
    executor = SteeredExecutor("steered")
    order = []

    @task(version="1", executor="steered")
    def slow(x):
        return x

    @task(version="1", executor="steered")
    def look(thread):
        assert isinstance(thread, Thread)
        return join_thread(thread)

    def steer(job):
        order.append(job.task_name.rpartition(".")[2])
        if "look" in order:
            executor.finish_all()

    executor.on_submit = steer
    with lab.scheduler(executor) as scheduler:
        assert scheduler.run(look(fork(quote(slow(5))))) == 5
    assert order == ["slow", "look"]


def test_a_thread_may_be_joined_more_than_once(log):
    @task(version="1")
    def main(thread):
        return [join_thread(thread), join(thread), join_thread(thread) + 1]

    assert run(main(fork(quote(noted(log.path, 1))))) == [1, 1, 2]
    assert log.take() == ["1"]


def test_an_execution_lasts_until_threads_that_nobody_joins_have_ended(lab):
    @task(version="1")
    def main():
        return [fork_thread(ident(add(1, 2))), "main"]

    thread, result = lab.run(main())
    assert result == "main"
    assert repr(thread) == "Thread(test_builtins.ident(test_builtins.add(1, 2)))"
    assert lab.jobs() == {"main": ["DONE"], "add": ["DONE"], "ident": ["DONE"]}


def test_a_thread_may_fork_others_and_all_are_waited_for(lab):
    @task(version="1")
    def spawn(n):
        return [n, fork_thread(spawn(n - 1))] if n else [0]

    lab.run(spawn(5))
    assert lab.jobs() == {"spawn": ["DONE"] * 6}


def test_an_interrupt_while_a_thread_is_waited_for_is_no_success(lab):
    @task(version="1", executor="steered")
    def first(x):
        return second(x)

    @task(version="1", executor="steered")
    def second(x):
        return x

    @task(version="1")
    def main():
        return ["main", fork_thread(first(1))]

    def press(job):
        job.run.interrupt()
        executor.finish(job)

    executor = SteeredExecutor("steered", press)
    with pytest.raises(KeyboardInterrupt):
        lab.run(main(), executor)
    assert lab.statuses() == ["CANCELLED"]
    assert lab.jobs() == {"main": ["DONE"], "first": ["CANCELLED"]}


def test_an_error_in_a_thread_that_nobody_joins_fails_nobody(lab):
    @task(version="1")
    def main():
        return ["fine", fork_thread(fail())]

    assert lab.run(main())[0] == "fine"
    assert lab.statuses() == ["DONE"]
    assert lab.jobs() == {"main": ["DONE"], "fail": ["FAILED"]}


def test_an_error_in_a_thread_is_raised_where_it_is_joined(lab):
    with pytest.raises(ValueError, match=r"^failed$"):
        lab.run(join(fork(quote(fail()))))
    assert run(catch(join(fork(quote(fail()))), ValueError, explain)) == "ValueError: failed"


def test_a_fork_in_a_cached_run_is_forked_anew_and_replayed(lab, log):
    expr = join(fork(quote(noted(log.path, 1))))
    assert [lab.run(expr), lab.run(expr)] == [1, 1]
    assert log.take() == ["1"]
    assert lab.jobs()["fork"] == ["CACHED"]


def test_a_fork_that_nobody_joins_is_replayed(lab, log):
    @task(version="1")
    def main():
        return ["fine", fork_thread(noted(log.path, 1))]

    for _ in range(2):
        assert lab.run(main())[0] == "fine"
    assert log.take() == ["1"]
    assert lab.jobs() == {"main": ["CACHED"], "noted": ["CACHED"]}


def test_a_thread_that_failed_unjoined_is_tried_again(lab, log):
    @task(version="1")
    def main():
        return ["fine", fork_thread(noted_failure(log.path))]

    lab.run(main())
    lab.run(main())
    assert log.take() == ["fail failed", "fail failed"]


def test_a_shallow_task_with_a_thread_in_its_result_forks_anew(lab, log):
    @task(version="1", check_valid="shallow")
    def shallow_fork():
        return fork_thread(noted(log.path, 1))

    assert [lab.run(join(shallow_fork())), lab.run(join(shallow_fork()))] == [1, 1]


def test_a_value_may_be_forked():
    assert run(join(fork(quote([1, add(1, 2)])))) == [1, 3]


@pytest.mark.parametrize("thing", [3, None, "thread"])
def test_joining_what_is_no_thread_is_one_line(thing):
    with pytest.raises(TaskError, match=r"^join_thread takes what fork_thread returned, not"):
        run(join_thread(thing))


def test_what_is_joined_comes_from_the_thread(lab):
    lab.run(describe(join(fork(quote(add(1, 2))))))
    assert upstream_tasks(lab, "describe") == {"join"}
    assert "fork" in upstream_tasks(lab, "join")


def test_a_thread_that_waits_for_itself_is_named():
    @task(version="1")
    def main():
        return join_thread(fork_thread(main()))

    with pytest.raises(CyclicDependency, match="main"):
        run(main())


# quote


def test_a_quoted_expression_is_passed_on_unevaluated(log):
    quoted = run(ident(quote(noted(log.path, 1))))
    assert isinstance(quoted, QuotedExpression)
    assert log.take() == []


def test_a_quoted_expression_is_evaluated_where_it_is_returned(log):
    @task(version="1")
    def use(quoted):
        return [quoted.eval(), quoted.eval()]

    assert run(use(quote(noted(log.path, 1)))) == [1, 1]
    assert log.take() == ["1"]


def test_a_quote_that_a_task_returns_can_be_evaluated_lazily():
    @task(version="1")
    def give():
        return quote(add(1, 2))

    assert run(give().eval()) == 3


def test_equal_quotes_are_equal_arguments(lab, log):
    @task(version="1")
    def use(quoted):
        note(log.path, "use")
        return quoted.eval()

    assert [lab.run(use(quote(add(1, 2)))), lab.run(use(quote(add(1, 2))))] == [3, 3]
    assert lab.run(use(quote(add(1, 3)))) == 4
    assert log.take() == ["use", "use"]


def test_a_nested_value_may_be_quoted():
    @task(version="1")
    def use(quoted):
        return quoted.eval()

    assert run([use(quote([add(1, 2), {"k": ident(5)}])), use(quote(7))]) == [[3, {"k": 5}], 7]


# with_export_options


@task(version="1", memory=1)
def options_of(x=0, job_info=JobInfo()):
    return job_info.options


@task(version="1")
def options_below(x=0):
    return options_of(x)


def test_exported_options_reach_all_that_an_expression_leads_to():
    found = run(with_export_options(options_below(), {"memory": 8, "color": "red"}))
    assert found == {"memory": 8, "color": "red"}


def test_a_quoted_expression_is_taken_as_well():
    assert run(with_export_options(quote(options_below()), {"memory": 8})) == {"memory": 8}


def test_exported_options_do_not_reach_beside_the_expression():
    both = [with_export_options(options_below(1), {"memory": 8}), options_below(2)]
    assert run(both) == [{"memory": 8}, {"memory": 1}]


def test_exported_options_may_be_lazy():
    lazily = [
        with_export_options(options_below(1), {"memory": add(3, 4)}),
        with_export_options(options_below(2), ident({"memory": 9})),
    ]
    assert run(lazily) == [{"memory": 7}, {"memory": 9}]


def test_exporting_that_nothing_is_cached_runs_all_of_it_again(lab, log):
    expr = with_export_options(ident(noted(log.path, 1)), {"cache": False})
    lab.run(expr)
    lab.run(expr)
    assert log.take() == ["1", "1"]


@pytest.mark.parametrize("options", [3, ["memory"], None])
def test_options_that_are_no_dict_are_one_line(options):
    with pytest.raises(TaskError, match=r"^with_export_options takes a dict of options, not"):
        run(with_export_options(add(1, 2), options))


def test_an_exported_option_with_a_wrong_value_is_one_line():
    with pytest.raises(TaskError, match=r"option cache takes a bool, not 3$"):
        run(with_export_options(add(1, 2), {"cache": 3}))


# no_prov


def test_only_one_job_stands_for_all_without_provenance(lab):
    @task(version="1")
    def main():
        return no_prov([add(ident(1), 2), divide(1, 2)])

    assert lab.run(main()) == [3, 0.5]
    assert lab.jobs() == {"main": ["DONE"], "no_prov": ["DONE"]}
    assert lab.query("SELECT count(*) FROM call") == [2]


def test_work_without_provenance_is_replayed_as_a_whole(lab, log):
    expr = no_prov([noted(log.path, i) for i in range(3)])
    assert [lab.run(expr), lab.run(expr)] == [[0, 1, 2]] * 2
    assert sorted(log.take()) == ["0", "1", "2"]
    assert lab.jobs() == {"no_prov": ["CACHED"]}


@pytest.mark.parametrize("place", ["named in the expression", "below it"])
def test_work_without_provenance_runs_again_once_its_code_has_changed(lab, log, place):
    def define(version):
        @task(version=version)
        def leaf():
            note(log.path, version)
            return version

        @task(version="1")
        def above():
            return leaf()

        return no_prov(leaf() if place == "named in the expression" else above())

    assert [lab.run(define("1")), lab.run(define("2")), lab.run(define("2"))] == ["1", "2", "2"]
    assert log.take() == ["1", "2"]


def test_an_error_without_provenance_goes_up_and_can_be_caught(lab):
    assert lab.run(catch(no_prov([ident(1), fail()]), ValueError, explain)) == "ValueError: failed"
    assert lab.jobs() == {"no_prov": ["FAILED"], "explain": ["DONE"]}


def test_equal_calls_without_provenance_are_shared(log):
    expr = [no_prov(noted(log.path, 1)), no_prov([noted(log.path, 1), noted(log.path, 1)])]
    assert run(expr) == [1, [1, 1]]
    assert log.take() == ["1"]


def test_work_without_provenance_may_be_nested(lab):
    assert lab.run(no_prov(ident(no_prov(add(1, 2))))) == 3
    assert lab.jobs() == {"no_prov": ["DONE"]}


@pytest.mark.parametrize("how", ["decorator", "call"])
def test_a_task_without_provenance_is_not_recorded_nor_what_it_leads_to(lab, log, how):
    options = {"prov": False}

    @task(version="1", **(options if how == "decorator" else {}))
    def hidden():
        note(log.path, "hidden")
        return noted(log.path, 1)

    call = hidden if how == "decorator" else hidden.options(prov=False)
    for _ in range(2):
        assert lab.run(ident([call(), call()])) == [1, 1]
        assert log.take() == ["hidden", "1"]
    assert lab.jobs() == {"ident": ["CACHED"]}


def test_what_comes_from_work_without_provenance_has_the_job_that_stands_for_it_upstream(lab):
    lab.run(describe(no_prov(add(1, 2))))
    (name,) = upstream_tasks(lab, "describe")
    assert name == "no_prov"


def test_a_context_variable_is_asked_anew_under_no_prov(lab):
    @task(version="1")
    def greet():
        return get_context("name")

    assert lab.run(no_prov(greet()), context={"name": "Ada"}) == "Ada"
    assert lab.run(no_prov(greet()), context={"name": "Bob"}) == "Bob"


# All together


@task(version="1")
def workflow(path, n):
    return seq(
        [
            cond(n, catch(divide(1, n - n), ZeroDivisionError, explain), noted(path, "zero")),
            join_thread(fork_thread(noted(path, f"forked {n}"))),
            catch_all([fail(), noted(path, "all")], ValueError, describe),
            apply_tags(no_prov(add(n, 1)), tags=[("n", n)], job_tags=[("n", n)]),
        ]
    )


def test_all_of_them_together_replay_what_they_came_to(lab, log):
    first = lab.run(workflow(log.path, 1))
    assert first == [
        "ZeroDivisionError: division by zero",
        "forked 1",
        "[ValueError('failed'), 'all']",
        2,
    ]
    assert sorted(log.take()) == ["all", "forked 1"]
    assert lab.run(workflow(log.path, 1)) == first
    assert log.take() == []


def test_all_of_them_together_come_to_the_same_in_processes(lab, log):
    in_threads = lab.run(workflow(log.path, 1), cache=False)
    options = {"executor": "process"}
    assert lab.run(workflow(log.path, 1), cache=False, options=options) == in_threads
