"""Looking for records: every filter, for every kind of record, page by page."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest
from support import Lab

from redun_lite import File, task
from redun_lite._errors import UsageError
from redun_lite._filters import Filters, TagFilter, ValueFilter
from redun_lite._history import open_history
from redun_lite._query import Kind, Query, TagRow

redun_namespace = "test_query"

GOOD = "5c1f9a3e-0000-4000-8000-000000000001"
BAD = "5c1f9a3f-0000-4000-8000-000000000002"
VALUE = ValueFilter.parse
TAG = TagFilter.parse


@task
def write(path: str, text: str) -> File:
    file = File(path)
    file.write(text)
    return file


@task(tags={"stage": "counting"})
def count(file: File) -> int:
    return len(file.read())


@task
def total(numbers: list) -> int:
    return sum(numbers)


@task
def boom(x: int) -> int:
    raise ValueError(f"cannot take {x}")


@task
def bundle(files: list) -> list:
    return files


@task
def good(folder: str) -> int:
    files = [write(f"{folder}/{name}.txt", name * 3) for name in ("a", "bb")]
    return total([count(file) for file in files])


@task
def bad(folder: str) -> list:
    return [boom(41), count(write(f"{folder}/a.txt", "aaa"))]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A repository with one execution that came out well and one that failed."""
    folder = tmp_path_factory.mktemp("query")
    lab = Lab(folder)
    lab.run(good(str(folder)), execution_id=GOOD, tags=[("project", "x"), ("n", 1)])
    lab.run(bundle([write(f"{folder}/c.fq", "c")]), tags=[("project", "y")])
    with pytest.raises(ValueError, match="cannot take"):
        lab.run(bad(str(folder)), execution_id=BAD, tags=[("project", "y")])
    history = open_history(str(lab.path))
    yield SimpleNamespace(history=history, folder=folder, lab=lab)
    history.close()


@pytest.fixture
def find(recorded):
    """Return a function that returns what a query finds, in words."""
    history = recorded.history

    def word(row):
        name = type(row).__name__
        if name == "ExecutionRow":
            return row.uuid[:8] if row.uuid in (GOOD, BAD) else "other"
        if name == "FileRow":
            return row.path.rpartition("/")[2]
        if name == "ValueRow":
            return row.type_name
        return (row.fullname if name == "TaskRow" else row.task_name).rpartition(".")[2]

    def find(kind, **filters):
        query = Query(history, Filters(**filters))
        found = [word(row) for row in query.page(kind, 1000).rows]
        assert [word(row) for row in query.iterate(kind)] == found
        assert query.count(kind) == len(found)
        return sorted(found)

    return find


# Each kind


def test_without_filters_everything_is_there_the_latest_first(recorded, find):
    assert len(find(Kind.EXECUTION)) == 3
    assert Query(recorded.history).executions(1).rows[0].uuid == BAD
    names = [row.task_name.rpartition(".")[2] for row in Query(recorded.history).jobs().rows]
    assert names[-1] == "good"
    assert find(Kind.FILE) == ["a.txt", "bb.txt", "c.fq"]
    assert find(Kind.TASK) == ["bad", "boom", "bundle", "count", "good", "total", "write"]
    assert Query(recorded.history).calls().rows
    assert Query(recorded.history).values().rows


def test_pages_follow_each_other_and_the_last_says_so(recorded):
    query = Query(recorded.history)
    whole = [row.id for row in query.jobs().rows]
    pages, after = [], None
    while True:
        page = query.jobs(3, after)
        pages += [row.id for row in page.rows]
        assert len(page.rows) <= 3
        after = page.after
        if after is None:
            break
    assert pages == whole == sorted(whole, reverse=True)


# Executions


def test_executions_are_found_by_status(find):
    assert find(Kind.EXECUTION, execution_statuses=("FAILED",)) == ["5c1f9a3f"]
    assert find(Kind.EXECUTION, execution_statuses=("DONE",)) == ["5c1f9a3e", "other"]
    assert find(Kind.EXECUTION, execution_statuses=("RUNNING",)) == []
    assert find(Kind.EXECUTION, execution_statuses=("KILLED",)) == []
    assert find(Kind.JOB, execution_statuses=("FAILED",), task_names=("bad",)) == ["bad"]


def test_executions_are_found_by_the_start_of_their_ids(find):
    assert find(Kind.EXECUTION, executions=("5c1f9a3e",)) == ["5c1f9a3e"]
    assert find(Kind.EXECUTION, executions=("5c1f9a3e", "-")) == ["5c1f9a3e", "5c1f9a3f"]
    assert find(Kind.TASK, executions=("5c1f9a3e",)) == ["count", "good", "total", "write"]


def test_an_id_of_no_execution_or_of_several_is_an_error(recorded):
    with pytest.raises(UsageError, match="no execution 'ffff' in"):
        Query(recorded.history, Filters(executions=("ffff",)))
    with pytest.raises(UsageError, match=f"'5c1f9a3' may mean execution .*{GOOD}.*; give more"):
        Query(recorded.history, Filters(executions=("5c1f9a3",)))


def test_executions_are_found_by_their_tags(find):
    assert find(Kind.EXECUTION, execution_tags=(TAG("project=x"),)) == ["5c1f9a3e"]
    assert find(Kind.EXECUTION, tags=(TAG("project=x"),)) == ["5c1f9a3e"]
    assert find(Kind.EXECUTION, execution_tags=(TAG("project"), TAG("n=1"))) == ["5c1f9a3e"]
    assert find(Kind.EXECUTION, execution_tags=(TAG("project=z"),)) == []
    assert find(Kind.JOB, execution_tags=(TAG("project=x"),), task_names=("total",)) == ["total"]


def test_executions_are_found_by_what_their_jobs_did(find):
    assert find(Kind.EXECUTION, task_names=("total",)) == ["5c1f9a3e"]
    assert find(Kind.EXECUTION, arguments=(VALUE("41"),)) == ["5c1f9a3f"]
    assert find(Kind.EXECUTION, job_statuses=("FAILED",)) == ["5c1f9a3f"]
    assert find(Kind.EXECUTION, file_paths=("*.fq",)) == ["other"]
    assert find(Kind.EXECUTION, value_types=("ErrorValue",)) == ["5c1f9a3f"]


def test_executions_are_found_by_when_they_began(recorded, find):
    first, *_ = reversed(Query(recorded.history).executions().rows)
    assert find(Kind.EXECUTION, until=first.started) == ["5c1f9a3e"]
    assert find(Kind.EXECUTION, since=first.started + 1) == ["5c1f9a3f", "other"]
    assert find(Kind.JOB, until=first.started - 1) == []


# Jobs


def test_jobs_are_found_by_status(find):
    assert find(Kind.JOB, job_statuses=("FAILED",)) == ["bad", "boom"]
    assert find(Kind.JOB, job_statuses=("FAILED", "DONE"), task_names=("boom",)) == ["boom"]
    assert find(Kind.JOB, job_statuses=("RUNNING", "KILLED")) == []


def test_jobs_and_tasks_are_found_by_name_full_bare_or_pattern(find):
    assert find(Kind.JOB, task_names=("total",)) == ["total"]
    assert find(Kind.JOB, task_names=("test_query.total", "boom")) == ["boom", "total"]
    assert find(Kind.TASK, task_names=("*ou*",)) == ["count"]
    assert find(Kind.TASK, task_names=("test_query.b*",)) == ["bad", "boom", "bundle"]


def test_of_a_task_that_never_was_there_is_nothing_and_a_hint_names_a_likely_one(recorded):
    query = Query(recorded.history, Filters(task_names=("totl",)))
    assert query.count(Kind.JOB) == 0
    (hint,) = query.hints
    assert hint.startswith("no task totl is recorded: did you mean total?")


def test_jobs_are_found_by_the_start_of_their_tasks_hash(recorded, find):
    assert find(Kind.JOB, task_hashes=(total.hash[:10],)) == ["total"]
    with pytest.raises(UsageError, match="no task with hash 00000000 is recorded"):
        Query(recorded.history, Filters(task_hashes=("00000000",)))
    with pytest.raises(UsageError, match=r"may mean .* test_query\..*; give more digits"):
        Query(recorded.history, Filters(task_hashes=("",)))
    with pytest.raises(UsageError, match=r"is of task test_query.total, which is not count"):
        Query(recorded.history, Filters(task_names=("count",), task_hashes=(total.hash,)))


def test_jobs_and_calls_are_found_by_arguments(recorded, find):
    digest = VALUE("41").keys[0].hex()
    for kind in (Kind.JOB, Kind.CALL, Kind.TASK):
        assert find(kind, arguments=(VALUE("41"),)) == ["boom"]
        assert find(kind, arguments=(VALUE("x=41", True),)) == ["boom"]
        assert find(kind, arguments=(VALUE("y=41", True),)) == []
        assert find(kind, arguments=(VALUE(digest[:12]),)) == ["boom"]
        assert find(kind, arguments=(VALUE("42"),)) == []
    assert find(Kind.CALL, arguments=(VALUE("aaa"), VALUE(f"{recorded.folder}/a.txt"))) == ["write"]
    assert find(Kind.CALL, arguments=(VALUE("aaa"), VALUE("x=41", True))) == []


def test_a_path_as_an_argument_is_the_text_and_the_file(recorded, find):
    found = find(Kind.CALL, arguments=(VALUE(f"{recorded.folder}/bb.txt"),))
    assert found == ["count", "write"]


def test_calls_are_found_by_results(find):
    assert find(Kind.CALL, results=(VALUE("9"),)) == ["good", "total"]
    assert find(Kind.JOB, results=(VALUE("9"), VALUE("6"))) == ["count", "good", "total"]
    assert find(Kind.JOB, results=(VALUE("41"),)) == []


def test_a_hash_that_many_values_begin_with_is_an_error(recorded):
    digests = sorted(recorded.lab.query("SELECT lower(hex(digest)) FROM value"))
    assert len(digests) > 1
    wanted = ValueFilter("", prefix="")
    with pytest.raises(UsageError, match=r"may mean values .*; give more digits"):
        Query(recorded.history, Filters(results=(wanted,)))


# Values and files


def test_values_are_found_by_type_full_or_bare(find):
    assert set(find(Kind.VALUE, value_types=("ErrorValue",))) == {"redun_lite.ErrorValue"}
    assert find(Kind.VALUE, value_types=("redun_lite.File",)) == ["redun_lite.File"] * 3
    assert set(find(Kind.VALUE, value_types=("i*t", "str"))) == {"builtins.int", "builtins.str"}


def test_of_a_type_that_is_not_there_is_nothing_and_a_hint_names_a_likely_one(recorded):
    query = Query(recorded.history, Filters(value_types=("Fil",)))
    assert query.values().rows == []
    (hint,) = query.hints
    assert hint.startswith("no value of type Fil is recorded: did you mean File?")


def test_files_are_found_by_path_or_pattern(recorded, find, monkeypatch):
    assert find(Kind.FILE, file_paths=(f"{recorded.folder}/a.txt",)) == ["a.txt"]
    assert find(Kind.FILE, file_paths=("*.txt",)) == ["a.txt", "bb.txt"]
    assert find(Kind.FILE, file_paths=("*/a.txt", "*/c*q")) == ["a.txt", "c.fq"]
    assert find(Kind.FILE, file_paths=("*.TXT",)) == []
    assert find(Kind.FILE, file_paths=("*_.txt",)) == []
    assert find(Kind.FILE, file_paths=("*B*t",)) == []
    monkeypatch.chdir(recorded.folder)
    assert find(Kind.FILE, file_paths=("./a.txt",)) == ["a.txt"]


def test_calls_that_read_or_wrote_a_file_are_found_also_where_it_is_within_a_list(find):
    assert find(Kind.CALL, file_paths=("*/bb.txt",)) == ["count", "write"]
    assert find(Kind.CALL, file_paths=("*.fq",)) == ["bundle", "write"]


def test_values_are_found_by_the_calls_that_had_them(find):
    found = find(Kind.VALUE, task_names=("total",))
    assert sorted(found) == ["builtins.int", "builtins.list"]
    assert find(Kind.FILE, task_names=("count",)) == ["a.txt", "bb.txt"]
    assert find(Kind.FILE, task_names=("bundle",)) == ["c.fq"]
    assert find(Kind.FILE, execution_tags=(TAG("project=x"),)) == ["a.txt", "bb.txt"]
    assert find(Kind.FILE, job_statuses=("FAILED",)) == []


# Tags


def test_records_are_found_by_their_own_tags(recorded, find):
    assert find(Kind.JOB, tags=(TAG("stage=counting"),)) == ["count"] * 3
    assert find(Kind.TASK, tags=(TAG("stage"),)) == ["count"]
    assert find(Kind.JOB, tags=(TAG("stage=other"),)) == []
    assert find(Kind.VALUE, tags=(TAG("stage"),)) == []
    assert find(Kind.JOB, tags=(TAG("stage"), TAG("nothing"))) == []


def test_tags_are_listed(recorded):
    query = Query(recorded.history, Filters(tags=(TAG("project=x"), TAG("n"))))
    assert sorted(tag[1:] for tag in query.tags().rows) == [(GOOD, "n", 1), (GOOD, "project", "x")]
    assert [tag[2:] for tag in query.tags(BAD).rows] == []
    everything = Query(recorded.history)
    page = everything.tags(limit=1)
    assert isinstance(page.rows[0], TagRow)
    assert len(everything.tags(after=page.after).rows) == len(everything.tags().rows) - 1


# Related records


def test_an_execution_leads_to_all_that_it_had(recorded, find):
    execution = recorded.history.find("5c1f9a3f")
    assert find(Kind.EXECUTION, related=execution) == ["5c1f9a3f"]
    assert find(Kind.TASK, related=execution) == ["bad", "boom", "count", "write"]
    assert find(Kind.JOB, related=execution) == ["bad", "boom", "count", "write"]
    assert find(Kind.FILE, related=execution) == ["a.txt"]
    assert find(Kind.JOB, related=execution, executions=("5c1f9a3e",)) == []


def test_a_job_leads_to_its_execution_call_values_and_children(recorded, find):
    job = recorded.history.find("5c1f9a3e-1")
    assert find(Kind.EXECUTION, related=job) == ["5c1f9a3e"]
    assert find(Kind.CALL, related=job) == ["good"]
    assert find(Kind.TASK, related=job) == ["good"]
    assert find(Kind.JOB, related=job) == ["count", "count", "good", "total", "write", "write"]
    assert find(Kind.VALUE, related=job) == ["builtins.int", "builtins.str"]


def test_a_call_a_task_a_value_and_a_file_lead_to_their_jobs(recorded, find):
    history = recorded.history
    (call,) = Query(history, Filters(task_names=("total",))).calls().rows
    assert find(Kind.JOB, related=call) == ["total"]
    assert find(Kind.EXECUTION, related=call) == ["5c1f9a3e"]
    assert find(Kind.VALUE, related=call) == ["builtins.int", "builtins.list"]
    assert find(Kind.JOB, related=history.find("total")) == ["total"]
    assert find(Kind.EXECUTION, related=history.find("write")) == ["5c1f9a3e", "5c1f9a3f", "other"]
    nine = history.results([call.id])[call.id]
    assert find(Kind.JOB, related=nine) == ["good", "total"]
    file = history.find("bb.txt")
    assert find(Kind.JOB, related=file) == ["count", "write"]
    assert find(Kind.EXECUTION, related=file) == ["5c1f9a3e"]
    assert find(Kind.FILE, related=file) == ["bb.txt"]


# Many


def test_what_is_true_of_many_rows_is_found_as_well_as_of_few(recorded, find, monkeypatch):
    """Sets that are too large for a list of ids are looked into from each row."""
    cases = [
        (Kind.EXECUTION, dict(task_names=("count",))),
        (Kind.EXECUTION, dict(value_types=("int",))),
        (Kind.JOB, dict(file_paths=("*.txt",))),
        (Kind.JOB, dict(arguments=(VALUE("aaa"),))),
        (Kind.JOB, dict(results=(VALUE("9"),))),
        (Kind.JOB, dict(tags=(TAG("stage=counting"),))),
        (Kind.CALL, dict(execution_tags=(TAG("project"),))),
        (Kind.CALL, dict(file_paths=("*.fq",))),
        (Kind.TASK, dict(arguments=(VALUE("aaa"),))),
        (Kind.VALUE, dict(task_names=("bundle",))),
        (Kind.FILE, dict(execution_tags=(TAG("project=y"),))),
        (Kind.FILE, dict(task_names=("bundle",))),
    ]
    few = [find(kind, **filters) for kind, filters in cases]
    monkeypatch.setattr("redun_lite._query._MAX_INLINE", 0)
    assert [find(kind, **filters) for kind, filters in cases] == few
    assert all(few)


def test_too_many_tagged_values_are_an_error_that_says_what_to_do(recorded, monkeypatch):
    monkeypatch.setattr("redun_lite._query._MAX_INLINE", 0)
    with pytest.raises(UsageError, match="have tag stage; look for one with a value"):
        Query(recorded.history, Filters(tags=(TAG("stage"),))).tasks()


def test_jobs_that_a_dead_process_left_behind_are_killed_not_running(tmp_path, recorded):
    path = tmp_path / "copy.db"
    source = sqlite3.connect(recorded.lab.path)
    copy = sqlite3.connect(path)
    source.backup(copy)
    copy.execute("UPDATE execution SET status = 'RUNNING' WHERE uuid = ?", (BAD,))
    copy.execute("UPDATE job SET status = 'RUNNING' WHERE status = 'FAILED'")
    copy.execute("UPDATE execution SET heartbeat = 0")
    copy.commit()
    with open_history(str(path)) as history:
        for kind, status in ((Kind.EXECUTION, "execution_statuses"), (Kind.JOB, "job_statuses")):
            assert Query(history, Filters(**{status: ("RUNNING",)})).count(kind) == 0
            killed = Query(history, Filters(**{status: ("KILLED",)})).page(kind).rows
            assert {row.status for row in killed} == {"KILLED"}
            both = Query(history, Filters(**{status: ("KILLED", "RUNNING", "DONE", "CACHED")}))
            assert both.count(kind) == Query(history).count(kind)
    source.close()
    copy.close()
