"""Context: who sees which variables, and what runs again when they change."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support import Lab, note, notes, run

from redun_lite import (
    CacheCheckValid,
    JobInfo,
    catch,
    cond,
    get_context,
    scheduler_task,
    seq,
    task,
)
from redun_lite._context import value_at
from redun_lite._errors import ContextError, CyclicDependency, TaskError

redun_namespace = "test_context"

CONTEXT = {"a": {"b": 1, "c": 2}, "x": 5, "nothing": None}


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


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path, scheduler={"context": CONTEXT})
    yield lab
    if lab.path.exists():
        lab.audit()


def read(expr: Any, context: Any = CONTEXT, **arguments: Any) -> Any:
    return run(expr, context=context, **arguments)


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def body():
    return get_context("a.b")


@task(version="1")
def default(value=get_context("a.b")):
    return value


@task(version="1")
def above():
    return [body(), default()]


@task(version="1")
def everything(value=get_context("a")):
    return value


# Paths


@pytest.mark.parametrize(
    ("path", "value"), [("a.b", 1), ("a", {"b": 1, "c": 2}), ("x", 5), ("nothing", None)]
)
def test_a_dotted_path_leads_to_a_variable(path, value):
    assert read(get_context(path)) == value


@pytest.mark.parametrize("path", ["b", "a.z", "x.y", "a.b.c", ""])
def test_the_default_is_taken_where_there_is_no_variable(path):
    assert read(get_context(path, "default")) == "default"
    assert read(get_context(path, default=None)) is None


def test_a_variable_that_is_none_is_there():
    assert read(get_context("nothing", "default")) is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("q", "there is no context variable 'q': the context has no 'q'; known: "),
        ("a.z", "there is no context variable 'a.z': 'a' of the context has no 'z'; known: "),
        ("x.y", "there is no context variable 'x.y': 'x' of the context has no 'y'; none are "),
        ("a.b.c", "there is no context variable 'a.b.c': 'a.b' of the context has no 'c'; none"),
    ],
)
def test_a_missing_variable_is_one_line_that_says_where_it_was_looked_for(path, message):
    with pytest.raises(ContextError) as raised:
        read(get_context(path))
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_a_misspelt_variable_is_met_with_the_nearest():
    with pytest.raises(ContextError, match=r"did you mean platform\?"):
        read(get_context("bwa.platfrom"), context={"bwa": {"platform": 1, "memory": 2}})


def test_a_missing_variable_fails_the_job_that_asks_and_can_be_caught(lab):
    @task(version="1")
    def explain(error):
        return type(error).__name__

    @task(version="1")
    def asks():
        return get_context("missing")

    assert lab.run(catch(asks(), ContextError, explain)) == "ContextError"
    assert lab.jobs() == {"asks": ["FAILED"], "explain": ["DONE"]}


@pytest.mark.parametrize("path", [3, None, ["a", "b"]])
def test_a_path_that_is_no_text_is_one_line(path):
    with pytest.raises(ContextError, match=r"^get_context takes a dotted name, not "):
        read(get_context(path))


def test_a_path_may_be_lazy():
    assert read(get_context(add("a", ".b"))) == 1


def test_a_default_may_be_lazy_and_is_evaluated_only_if_it_is_needed(log):
    @task(version="1")
    def noted(x):
        note(log.path, x)
        return x

    both = [get_context("x", noted("not needed")), get_context("zz", [noted("needed")])]
    assert read(both) == [5, ["needed"]]
    assert log.take() == ["needed"]


def test_a_path_leads_through_dicts_only():
    assert value_at({"a": [10]}, "a.0", None) is None


# Where it may be asked for


def test_a_default_argument_and_a_body_may_ask_for_it():
    assert read(above()) == [1, 1]


def test_an_argument_may_ask_for_it():
    assert read(ident({"k": [get_context("x")]})) == {"k": [5]}


def test_an_option_may_ask_for_it():
    @task(version="1", memory=get_context("x"))
    def options(job_info=JobInfo()):
        return job_info.options

    @task(version="1")
    def calls():
        return options.options(vcpus=get_context("a.c"))()

    assert read(options()) == {"memory": 5}
    assert read(calls()) == {"memory": 5, "vcpus": 2}


def test_the_executor_and_the_cache_may_be_asked_for(lab):
    @task(executor=get_context("where"), check_valid=get_context("check"))
    def where(pid):
        return os.getpid() == pid

    context = {"where": "process", "check": CacheCheckValid.SHALLOW.value}
    assert lab.run(where(os.getpid()), context=context) is False
    assert lab.run(where(os.getpid()), context={**context, "where": "default"}, cache=False)


def test_it_may_be_computed_with():
    assert read(get_context("x") + get_context("a")["c"] * 10) == 25


def test_other_builtins_may_ask_for_it():
    assert read(cond(get_context("nothing"), 1, seq([get_context("x"), body()]))) == [5, 1]


def test_a_scheduler_task_may_look_it_up():
    @scheduler_task(version="1")
    def all_of_it(scheduler, parent_job, sexpr):
        return scheduler.context_of(parent_job)

    @task(version="1")
    def calls():
        return all_of_it()

    assert read([all_of_it(), calls.update_context(x=6)()]) == [CONTEXT, {**CONTEXT, "x": 6}]


# update_context


def test_a_call_with_another_context_and_all_below_see_it():
    assert read(above.update_context({"a": {"b": 100}})()) == [100, 100]


def test_siblings_and_callers_do_not_see_it():
    @task(version="1")
    def main():
        return [body(), body.update_context({"a": {"b": 7}})(), default(), above()]

    assert read(main()) == [1, 7, 1, [1, 1]]


def test_nested_variables_are_merged():
    updated = everything.update_context({"a": {"b": 100, "d": {"e": 1}}})
    assert read(updated()) == {"b": 100, "c": 2, "d": {"e": 1}}


def test_updates_are_merged_with_each_other():
    updated = everything.update_context({"a": {"b": 100}}).update_context({"a": {"c": 3}})
    assert read(updated()) == {"b": 100, "c": 3}


def test_variables_may_be_given_as_a_dict_and_by_name():
    assert read(everything.update_context({"a": {"b": 3}}, a={"c": 4})()) == {"b": 3, "c": 4}
    assert read(everything.update_context(a=7)()) == 7
    assert read(everything.update_context(context={"a": {"b": 3}}, a={"c": 4})()) == {
        "b": 3,
        "c": 4,
    }
    assert read(everything.partial().update_context(context={"a": 7})()) == 7


def test_an_update_is_merged_with_those_of_the_jobs_above():
    @task(version="1")
    def middle():
        return everything.update_context({"a": {"c": 30}})()

    assert read(middle.update_context({"a": {"b": 20}})()) == {"b": 20, "c": 30}


def test_the_defaults_of_a_call_see_its_own_context_and_its_arguments_do_not():
    @task(version="1")
    def both(given, value=get_context("a.b")):
        return [given, value, get_context("a.b")]

    assert read(both.update_context({"a": {"b": 100}})(get_context("a.b"))) == [1, 100, 100]


def test_the_options_of_a_task_see_the_context_of_the_call():
    @task(version="1", memory=get_context("x"))
    def options(job_info=JobInfo()):
        return job_info.options

    assert read(options.update_context(x=77)()) == {"memory": 77}


def test_variables_may_be_lazy(lab):
    assert lab.run(default.update_context({"a": {"b": add(50, 5)}})()) == 55
    assert lab.run(above.update_context(a={"b": ident(ident(3))})()) == [3, 3]


def test_lazy_variables_are_evaluated_in_the_context_of_the_caller():
    updated = default.update_context({"a": {"b": get_context("a.b") + 1}})
    assert read(updated()) == 2


def test_an_error_in_a_lazy_variable_is_that_of_the_job(lab):
    @task(version="1")
    def fail():
        raise ValueError("no variable")

    with pytest.raises(ValueError, match="no variable"):
        lab.run(default.update_context({"a": {"b": fail()}})())
    assert lab.jobs() == {"default": ["FAILED"], "fail": ["FAILED"]}


def test_a_partial_task_may_be_given_a_context():
    @task(version="1")
    def both(given, value=get_context("a.b")):
        return [given, value]

    assert read(both.partial(3).update_context({"a": {"b": 9}})()) == [3, 9]
    assert read(both.update_context({"a": {"b": 9}}).partial(3)()) == [3, 9]


def test_a_task_with_a_context_may_be_an_argument():
    @task(version="1")
    def call(function):
        return function()

    assert read([call(default.update_context({"a": {"b": 9}})), call(default)]) == [9, 1]


@pytest.mark.parametrize("context", [3, "a.b", ["a"], [("a", 1)]])
def test_a_context_that_is_no_dict_is_one_line(context):
    with pytest.raises(TaskError, match=r"update_context takes a dict of variables, not "):
        body.update_context(context)


def test_a_task_that_waits_for_itself_through_its_context_is_named():
    @task(version="1")
    def circle(value=0):
        return circle.update_context({"x": circle()})()

    with pytest.raises(CyclicDependency, match="circle"):
        read(circle())


def test_two_thousand_jobs_deep_the_context_is_still_there():
    @task(version="1")
    def count(n):
        return count(n - 1) if n else get_context("x")

    assert read(count.update_context(x="deep")(2_000)) == "deep"


# Executions


def test_the_context_of_a_run_is_merged_over_that_of_the_configuration(lab):
    assert lab.run(everything(), context={"a": {"b": 43}}) == {"b": 43, "c": 2}
    assert lab.run(get_context("x"), context={"a": {"b": 43}}) == 5


@task(version="1")
def noted_body(path):
    note(path, "body")
    return get_context("a.b")


@task(version="1")
def noted_default(path, value=get_context("a.b")):
    note(path, "default")
    return value


@task(version="1")
def noted_between(path):
    note(path, "between")
    return [noted_body(path), noted_default(path)]


def test_another_context_reruns_only_who_gets_another_value(lab, log):
    assert lab.run(noted_between(log.path)) == [1, 1]
    assert sorted(log.take()) == ["between", "body", "default"]
    assert lab.run(noted_between(log.path), context={"a": {"b": 3}}) == [3, 3]
    assert log.take() == ["default"]
    assert lab.jobs() == {
        "noted_between": ["CACHED"],
        "noted_body": ["CACHED"],
        "noted_default": ["DONE"],
    }


def test_a_variable_that_nobody_asks_for_reruns_nobody(lab, log):
    lab.run(noted_between(log.path))
    log.take()
    lab.run(noted_between(log.path), context={"unrelated": 1, "a": {"c": 9}})
    assert log.take() == []


def test_a_context_that_was_there_before_finds_its_results(lab, log):
    for value in (1, 2, 1, 2):
        assert lab.run(noted_default(log.path), context={"a": {"b": value}}) == value
    assert log.take() == ["default", "default"]


def test_an_update_in_the_code_is_as_good_as_another_context(lab, log):
    def main(value):
        @task(version=str(value))
        def sets():
            return noted_between.update_context({"a": {"b": value}})(log.path)

        return sets()

    assert lab.run(main(1)) == [1, 1]
    log.take()
    assert lab.run(main(2)) == [2, 2]
    assert log.take() == ["default"]


def test_equal_calls_under_two_contexts_come_out_each_in_its_own(lab):
    @task(version="1")
    def main():
        return [above(), above.update_context({"a": {"b": 7}})(), above()]

    for _ in range(2):
        assert lab.run(main()) == [[1, 1], [7, 7], [1, 1]]


def test_equal_calls_under_equal_contexts_share_one_evaluation(lab, log):
    @task(version="1")
    def main():
        updated = noted_body.update_context({"a": {"b": 7}})
        return [updated(log.path), updated(log.path), ident(updated(log.path))]

    assert lab.run(main()) == [7, 7, 7]
    assert log.take() == ["body"]


@pytest.mark.parametrize("place", ["itself", "below"])
def test_a_shallow_check_asks_for_the_context_anew(lab, log, place):
    """What came of a context cannot be taken as a whole, for the context is no part of the key."""

    @task(version="1", check_valid="shallow")
    def shallow():
        note(log.path, "shallow")
        return get_context("a.b") if place == "itself" else [ident(body())]

    wrap = (lambda value: value) if place == "itself" else (lambda value: [value])
    assert lab.run(shallow()) == wrap(1)
    assert lab.run(shallow(), context={"a": {"b": 2}}) == wrap(2)
    assert lab.run(shallow.update_context({"a": {"b": 3}})()) == wrap(3)
    assert log.take() == ["shallow"]


def test_a_shallow_check_asks_anew_though_the_first_result_was_replayed(lab, log):
    """The second execution records what it replayed; the third must not be misled by that."""

    @task(version="1", check_valid="shallow")
    def shallow():
        note(log.path, "shallow")
        return [body()]

    values = [lab.run(shallow(), context={"a": {"b": value}}) for value in (1, 1, 2, 2, 1)]
    assert values == [[1], [1], [2], [2], [1]]
    assert log.take() == ["shallow"]


def test_a_shallow_check_needs_no_context_where_only_an_argument_asked_for_it(lab, log):
    @task(version="1", check_valid="shallow")
    def shallow(value):
        note(log.path, value)
        return [ident(value)]

    for value in (1, 2, 1):
        assert lab.run(shallow(get_context("a.b")), context={"a": {"b": value}}) == [value]
    assert log.take() == ["1", "2"]
    assert lab.jobs() == {"shallow": ["CACHED"]}


def test_a_context_is_asked_anew_below_a_handled_error(lab):
    @task(version="1")
    def fail(value=get_context("a.b")):
        raise ValueError(value)

    @task(version="1")
    def recover(error):
        return [str(error), get_context("a.b")]

    @task(version="1")
    def main():
        return catch(fail(), ValueError, recover)

    assert lab.run(main()) == ["1", 1]
    assert lab.run(main(), context={"a": {"b": 2}}) == ["2", 2]


def test_what_asks_for_the_context_comes_to_the_same_in_processes(lab):
    options = {"executor": "process"}
    assert lab.run(above.update_context({"a": {"b": 7}})(), options=options) == [7, 7]


def test_a_context_may_hold_what_no_json_knows():
    value = {1, 2}
    assert read(get_context("it"), context={"it": value}) == value
    assert read(body.update_context(a={"b": value})()) == value


def test_a_context_that_cannot_be_told_from_another_is_one_line():
    with pytest.raises(
        Exception, match=r"^context of test_context.body\['a'\]\['b'\]: .*lock"
    ) as raised:
        read(body.update_context(a={"b": __import__("threading").Lock()})())
    assert "\n" not in str(raised.value)
