"""Why a job ran: the reason, what it is compared with, and where a change began."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import Lab

from redun_lite import ContentFile, Dir, File, catch, subrun, task
from redun_lite import _why as reasons
from redun_lite._cli import main as command_line
from redun_lite._client.why import WhyJson, WhyText, find_job
from redun_lite._compare import CHANGED, GONE, UNKNOWN
from redun_lite._display import Palette
from redun_lite._errors import UsageError
from redun_lite._history import open_history
from redun_lite._task import get_task_registry
from redun_lite._uses import jobs_of_task
from redun_lite._why import Why, explain

redun_namespace = "test_why"

ORIGINAL = "def step(x, scale=1):\n    return x * scale\n"
EDITED = "def step(x, scale=1):\n    return x + scale\n"


def define(source: str = ORIGINAL, **options):
    """Return the task `step` as it is with one of the two sources."""

    @task(name="step", namespace="test_why", source=source, **options)
    def step(x, scale=1):
        return x * scale if source == ORIGINAL else x + scale

    return step


@task(version="1")
def double(x):
    return [x, x]


@task(version="1")
def read(file):
    return file.read()


@task(version="1")
def write(path, text):
    file = File(path)
    file.write(text)
    return file


@task(version="1")
def write_content(path):
    file = ContentFile(path)
    file.write("content")
    return file


@task(version="1")
def boom(x):
    raise ValueError(f"cannot take {x}")


@task(version="1")
def pair(sample, reference="hg38"):
    return (sample, reference)


@task(version="1")
def uncached(x):
    return x


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.fixture
def why(lab):
    """Return a function that explains the latest job of a task, or the job of an id."""

    def why(name: str, page: bool = False) -> Why:
        with open_history(str(lab.path)) as history:
            found = explain(history, find_job(history, name))
            why.text = "\n".join(
                WhyText(history, SimpleNamespace(paint=lambda t, _: t), 100).lines(found)
            )
            why.json = WhyJson(history).why(found)
            json.dumps(why.json)
            why.id = history.job_id
        return found

    return why


def test_the_first_call_of_a_task_has_none_before_it(lab, why):
    lab.run(double(1))
    assert why("double").reason == reasons.FIRST
    assert "no earlier call of its task is recorded" in why.text


def test_other_calls_of_the_same_execution_are_no_earlier_ones(lab, why):
    lab.run([double(1), double(2)])
    assert why("double").reason == reasons.FIRST


def test_of_changed_code_the_difference_is_shown(lab, why):
    lab.run(define()(2))
    lab.run(define(EDITED)(2))
    found = why("step")
    assert found.reason == reasons.CALL
    assert found.change.code.what == "source"
    assert found.change.arguments == []
    assert "-    return x * scale\n  +    return x + scale" in why.text
    assert why.json["code"]["diff"][-2:] == ["-    return x * scale", "+    return x + scale"]


def test_a_changed_version_is_told_from_changed_code(lab, why):
    lab.run(define(version="1")(2))
    lab.run(define(EDITED, version="2")(2))
    assert why("step").change.code.what == "version"
    assert "before  1\n  now     2" in why.text


def test_what_a_task_includes_in_its_hash_is_told_from_its_own_code(lab, why):
    lab.run(define(hash_includes=[1])(2))
    lab.run(define(hash_includes=[2])(2))
    assert why("step").change.code.what == "hash_includes"
    assert "hash_includes" in why.text


def test_the_argument_that_changed_is_named_with_both_values(lab, why):
    lab.run(pair("a"))
    lab.run(pair("a", reference="hg19"))
    found = why("pair")
    assert [change.name for change in found.change.arguments] == ["reference"]
    assert found.change.equal == 1
    assert "before  'hg38'\n  now     'hg19'" in why.text


def test_in_a_nested_argument_the_parts_that_changed_are_shown(lab, why):
    lab.run(double({"samples": ["a", "b"], "n": 1}))
    lab.run(double({"samples": ["a", "c"], "n": 1}))
    (change,) = why("double").change.arguments
    assert [part.path for part in change.parts] == ["['samples'][1]"]
    assert "x['samples'][1]\n  before  'b'\n  now     'c'" in why.text


def test_a_parameter_that_a_task_has_now_is_a_new_argument(lab, why):
    lab.run(define()(2))

    @task(name="step", namespace="test_why", source=ORIGINAL)
    def step(x, factor=7):
        return x

    lab.run(step(2))
    names = {(a.name, a.before is None, a.after is None) for a in why("step").change.arguments}
    assert names == {("factor", True, False), ("scale", False, True)}
    assert "it has a new argument factor and it has no argument scale any more" in why.text


def test_arguments_that_do_not_count_are_not_told(lab, why):
    options = {"config_args": ["scale"]}
    lab.run(define(**options)(2, scale=1))
    lab.run(define(**options)(3, scale=5))
    assert [a.name for a in why("step").change.arguments] == ["x"]


def test_the_call_that_has_most_arguments_in_common_is_the_one_to_compare_with(lab, why):
    lab.run([pair("a", "x"), pair("b", "y"), pair("c", "z")])
    lab.run(pair("b", "w"))
    (change,) = why("pair").change.arguments
    assert (change.name, change.parts[0].before) == ("reference", "y")


def test_among_calls_that_have_nothing_in_common_it_is_the_one_at_the_same_place(lab, why):
    lab.run([double(n) for n in (1, 2, 3)])
    lab.run([double(n) for n in (1, 20, 3)])
    with open_history(str(lab.path)) as history:
        (ran,) = [
            job for job in jobs_of_task(history, "test_why.double", 3) if job.status == "DONE"
        ]
        found = explain(history, ran)
        assert found.earlier_job.number == ran.number
    assert found.change.arguments[0].parts[0].before == 2


# Files


def test_a_changed_file_is_told_with_its_state_on_disk(lab, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("in.txt")
    path.write_text("one")
    lab.run(read(File(str(path))))
    path.write_text("another")
    lab.run(read(File(str(path))))
    path.write_text("the third of them")
    (change,) = why("read").change.arguments
    assert change.files[0].state == CHANGED
    assert f"before  File(path={path}, hash=" in why.text
    path.unlink()
    assert why("read").change.arguments[0].files[0].state == GONE
    assert "at present there is none" in why.text


def test_a_file_that_was_not_there_is_told_to_have_been_missing(lab, why, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("abc")
    lab.run(read(File(str(path))))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        lab.run(read(File(str(path))))
    why("read")
    before, now = why.text.splitlines()[4:6]
    assert "not there" not in before
    assert now.endswith(", which was not there")


def test_a_result_that_was_changed_is_told_with_the_file(lab, why, tmp_path):
    path = tmp_path / "out.txt"
    lab.run(write(str(path), "one"))
    path.write_text("changed by hand")
    lab.run(write(str(path), "one"))
    found = why("write")
    assert found.reason == reasons.INVALID
    assert [state.state for state in found.files] == [CHANGED]
    assert "which this job has written" in why.text


def test_a_result_that_is_gone_is_told_with_the_file(lab, why, tmp_path):
    path = tmp_path / "out.txt"
    lab.run(write(str(path), "one"))
    path.unlink()
    lab.run(write(str(path), "one"))
    path.unlink()
    assert [state.state for state in why("write").files] == [GONE]


def test_a_result_that_has_been_made_again_as_it_was_is_no_wrong_accusation(lab, why, tmp_path):
    path = tmp_path / "out.txt"
    lab.run(write_content(str(path)))
    path.unlink()
    lab.run(write_content(str(path)))
    found = why("write_content")
    assert found.reason == reasons.UNKNOWN_REASON
    assert "the same call is recorded" in why.text


def test_what_is_not_on_this_machine_is_not_looked_at(lab, why, tmp_path):
    @task(namespace="test_why", name="remote", version="1")
    def remote(file):
        return 1

    def pinned(digit):
        file = File("http://127.0.0.1:9/reads.fq")
        file._hash = digit * 40
        return file

    lab.run(remote(pinned("a")))
    lab.run(remote(pinned("b")))
    (change,) = why("remote").change.arguments
    assert [state.state for state in change.files] == [UNKNOWN]


def test_a_directory_is_looked_at(lab, why, tmp_path):
    @task(namespace="test_why", name="count", version="1")
    def count(folder):
        return len(list(folder))

    folder = tmp_path / "reads"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_text(name)
        lab.run(count(Dir(str(folder))))
    (folder / "c").write_text("c")
    assert [state.state for state in why("count").change.arguments[0].files] == [CHANGED]


# Where a change comes from


def run_pipeline(lab: Lab, n: int = 2, source: str = ORIGINAL, name: str = "r") -> None:
    step = define(source)

    @task(namespace="test_why", name="pipeline", version="1")
    def pipeline(n, name):
        return pair(double(step(n)), name)

    lab.run(pipeline(n, name), exec_argv=["run", "flow.py", "pipeline", "--n", str(n)])


def way(why: Why) -> list[tuple[str, str, str, str]]:
    return [
        (step.task_name.rpartition(".")[2], step.cause, step.argument, step.source)
        for step in why.steps
    ]


def test_a_changed_result_is_followed_to_the_code_that_changed(lab, why):
    run_pipeline(lab)
    run_pipeline(lab, source=EDITED)
    found = why("pair")
    assert way(found) == [
        ("pair", "argument", "sample", "result"),
        ("double", "argument", "x", "result"),
        ("step", "code", "", ""),
    ]
    assert why.text.endswith(f"`why {why.id(found.steps[-1].job)}` goes on from there")


def test_a_changed_argument_is_followed_to_the_job_that_gave_it_and_its_command(lab, why):
    run_pipeline(lab)
    run_pipeline(lab, name="s")
    assert way(why("pair")) == [
        ("pair", "argument", "reference", "parent"),
        ("pipeline", "argument", "name", "command line"),
    ]
    assert "given by `run flow.py pipeline --n 2`" in why.text


def test_a_changed_argument_is_followed_through_results_and_callers(lab, why):
    run_pipeline(lab)
    run_pipeline(lab, n=3)
    assert way(why("pair")) == [
        ("pair", "argument", "sample", "result"),
        ("double", "argument", "x", "result"),
        ("step", "argument", "x", "parent"),
        ("pipeline", "argument", "n", "command line"),
    ]


def test_a_change_below_a_replayed_call_is_found(lab, why):
    @task(namespace="test_why", name="around", version="1")
    def around(x):
        return get_task_registry().get("test_why.step")(x)

    define()
    lab.run(double(around(2)))
    define(EDITED)
    lab.run(double(around(2)))
    assert way(why("double")) == [
        ("double", "argument", "x", "result"),
        ("around", "result-below", "", ""),
        ("step", "code", "", ""),
    ]


def test_a_changed_file_is_where_a_change_began(lab, why, tmp_path):
    path = tmp_path / "in.txt"
    for text in ("one", "another"):
        path.write_text(text)
        lab.run(double(read(File(str(path)))))
    found = why("double")
    assert way(found) == [
        ("double", "argument", "x", "result"),
        ("read", "argument", "file", "files"),
    ]
    assert found.steps[-1].places == (str(path),)


def test_of_several_arguments_of_a_caller_the_one_of_the_same_name_is_followed(lab, why):
    @task(namespace="test_why", name="caller", version="1")
    def caller(first, sample):
        return pair(sample)

    for number in "12":
        lab.run(caller(f"f{number}", f"s{number}"), exec_argv=["run", "flow.py", "caller"])
    assert way(why("pair")) == [
        ("pair", "argument", "sample", "parent"),
        ("caller", "argument", "sample", "command line"),
    ]


def test_of_many_differences_of_an_argument_some_are_shown(lab, why):
    lab.run(double(list(range(50))))
    lab.run(double(list(range(1, 100, 2))))
    why("double")
    assert why.text.count("before  ") == 4
    assert "… and more" in why.text


# Caching off


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cache": False}, "cache=False"),
        ({"cache_scope": "CSE"}, "cache_scope=CSE"),
        ({"cache_scope": "NONE"}, "cache_scope=NONE"),
    ],
)
def test_the_option_that_turns_caching_off_is_named(lab, why, options, told):
    for _ in range(2):
        lab.run([uncached.options(**options)(1), double(1)])
    found = why("uncached")
    assert (found.reason, found.detail) == (reasons.UNCACHED, told)
    assert why("double").reason == reasons.REPLAYED


def test_a_run_without_the_cache_says_so_of_all_its_jobs(lab, why):
    lab.run(double(1))
    lab.run(double(1), cache=False)
    assert (why("double").reason, why("double").detail) == (reasons.UNCACHED, "cache=False")


def test_an_execution_is_tagged_once_for_each_task_that_is_not_looked_up(lab):
    lab.run([uncached.options(cache=False)(n) for n in range(5)])
    tags = lab.query("SELECT value FROM tag WHERE key = 'redun_lite.uncached'")
    assert tags == ['"test_why.uncached: cache=False"']


# Earlier calls that are of no use


def test_errors_are_not_replayed(lab, why):
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot take"):
            lab.run(boom(1))
    assert why("boom").reason == reasons.FAILED_BEFORE
    assert "ValueError: cannot take 1" in why.text


def test_a_call_that_did_not_end_before_is_told(lab, why):
    lab.run(double(1))
    lab.run(double(1))
    connection = sqlite3.connect(lab.path)
    with connection:
        (value,) = connection.execute(
            "SELECT id FROM value WHERE id = (SELECT result_id FROM call)"
        ).fetchone()
        from redun_lite._expr import dumps_expr
        from redun_lite._record import ErrorValue

        data = dumps_expr(ErrorValue("redun_lite.Unfinished", "the job has not ended", ""))
        connection.execute("UPDATE value SET data = ? WHERE id = ?", (data, value))
        connection.execute("UPDATE call SET single_id = NULL")
        connection.execute("UPDATE job SET status = 'DONE'")
    connection.close()
    assert why("double").reason == reasons.UNFINISHED


def test_a_changed_task_below_an_async_task_is_told(lab, why):
    @task(namespace="test_why", name="around", version="1")
    async def around(x):
        return await get_task_registry().get("test_why.step")(x)

    define()
    lab.run(around(2))
    define(EDITED)
    lab.run(around(2))
    found = why("around")
    assert found.reason == reasons.BELOW
    assert [change.after.fullname for change in found.below] == ["test_why.step"]


def test_a_job_whose_argument_failed_was_not_called(lab, why):
    with pytest.raises(ValueError, match="cannot take"):
        lab.run(double(boom(1)))
    assert why("double").reason == reasons.NOT_CALLED


# Jobs that did not run


def test_of_a_replayed_job_it_is_told_whose_result_it_was_given(lab, why):
    lab.run(double(1))
    lab.run(double(1))
    lab.run(double(1))
    found = why("double")
    assert found.reason == reasons.REPLAYED
    assert found.earlier_job.execution_id == 1


def test_of_an_equal_job_it_is_told_which_one_ran(lab, why):
    @task(namespace="test_why", name="both", version="1")
    def both():
        return [double(1), double(1)]

    lab.run(both())
    with open_history(str(lab.path)) as history:
        latest = history.job_id(next(jobs_of_task(history, "test_why.double", 1)))
    found = why(latest)
    assert found.reason == reasons.SHARED
    assert found.earlier_job.number < found.job.number
    assert "an equal job of this execution was" in why.text


def test_a_job_that_was_replayed_while_one_below_ran_is_told_apart(lab, why):
    run_pipeline(lab)
    run_pipeline(lab, source=EDITED)
    found = why("pipeline")
    assert found.reason == reasons.STEPWISE
    assert found.earlier_job.execution_id == 1


def test_of_a_replayed_job_that_failed_the_one_below_is_named(lab, why):
    @task(namespace="test_why", name="above", version="1")
    def above():
        return pair(boom(1))

    for _ in range(2):
        with pytest.raises(ValueError, match="cannot take 1"):
            lab.run(above())
    found = why("above")
    assert found.reason == reasons.REPLAYED
    assert found.failed is not None
    assert found.failed.task_name == "test_why.boom"
    name = why.id(found.failed)
    first, *_, last = why.text.splitlines()
    assert first.endswith("FAILED  was replayed, and failed since a job below it did")
    assert f"  test_why.boom {name}: ValueError: cannot take 1" in why.text
    assert last == f"`log {name}` shows that one"
    assert why.json["failed"]["job_id"] == name


def test_an_answer_that_is_too_long_for_its_line_is_put_below(lab):
    lab.run(double(1))
    lab.run(double(2))
    with open_history(str(lab.path)) as history:
        found = explain(history, find_job(history, "double"))
        lines = list(WhyText(history, Palette(False), 50).lines(found))
    assert lines[0].endswith("  DONE")
    assert lines[1] == "  ran, since its argument x is another one"


def test_a_job_of_a_subrun_is_explained(lab, why):
    for source in (ORIGINAL, EDITED):
        lab.run(subrun(define(source)(2), executor="default"))
    assert why("step").change.code is not None


def test_an_error_that_a_handler_was_given_again_is_no_run(lab, why):
    @task(namespace="test_why", name="handle", version="1")
    def handle(error):
        return 0

    for _ in range(2):
        lab.run(catch(boom(1), ValueError, handle))
    assert why("boom").job.status == "CACHED"
    assert why("boom").reason in (reasons.REPLAYED, reasons.SHARED)


# Which job


def test_a_job_is_named_by_its_id_its_task_or_the_latest_execution(lab):
    lab.run(double(1))
    lab.run([double(2), pair("a")])
    with open_history(str(lab.path)) as history:
        latest = find_job(history, "test_why.double")
        assert latest.execution_id == 2
        assert find_job(history, history.job_id(latest)) == latest
        assert find_job(history, "-", "double") == latest


def test_of_the_jobs_of_a_task_the_one_that_ran_is_meant(lab):
    lab.run([double(1), double(2), double(3)])
    lab.run([double(1), double(4), double(2)])
    with open_history(str(lab.path)) as history:
        assert find_job(history, "double").status == "DONE"
        assert find_job(history, "-", "double").execution_id == 2
        assert find_job(history, "-", "double").status == "DONE"


def test_of_jobs_that_were_all_replayed_the_latest_is_meant(lab):
    lab.run([double(1), double(2)])
    lab.run([double(1), double(2)])
    with open_history(str(lab.path)) as history:
        found = find_job(history, "double")
        assert found == next(jobs_of_task(history, "test_why.double", 1))
        assert (found.execution_id, found.status) == (2, "CACHED")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-"], "name a task of the latest execution"),
        (["-", "pair"], "the latest execution has no job of test_why.pair"),
        (["-", "nobody"], "no execution, job"),
        (["nobody"], "no execution, job"),
    ],
)
def test_what_is_no_job_is_an_error(lab, words, message):
    lab.run(pair("a"))
    lab.run(double(1))
    with open_history(str(lab.path)) as history, pytest.raises(UsageError, match=message):
        find_job(history, *words)


def test_what_is_another_record_is_named(lab):
    lab.run(double(1))
    (uuid,) = lab.query("SELECT uuid FROM execution")
    with open_history(str(lab.path)) as history, pytest.raises(UsageError, match="is an execution"):
        find_job(history, uuid)


# The command


def test_the_command_prints_the_answer_as_text_or_as_json(lab, capsys):
    lab.run(pair("a"))
    lab.run(pair("b"))
    words = ["why", "--repo", str(lab.path), "pair"]
    assert command_line(words) == 0
    assert "ran, since its argument sample is another one" in capsys.readouterr().out
    assert command_line([*words, "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["reason"], shown["task_name"]) == ("another-call", "test_why.pair")
    assert shown["args"][0]["differences"] == [{"path": "", "before": "'a'", "after": "'b'"}]


def test_the_command_says_if_nothing_is_recorded(tmp_path, capsys):
    assert command_line(["why", "--repo", str(tmp_path / "none.db"), "main"]) != 0
    assert "redun_lite: error:" in capsys.readouterr().err


def test_two_jobs_are_one_too_many(lab, capsys):
    lab.run(pair("a"))
    assert command_line(["why", "--repo", str(lab.path), "pair", "double"]) == 2
