"""The command `repl`: what can be asked at its prompt."""

from __future__ import annotations

import io
import os
import sys

import pytest

from redun_lite import File, task
from redun_lite._cli import main
from redun_lite._client.repl import Records
from redun_lite._config import Config
from redun_lite._history import ExecutionRow, JobRow, ValueRow, open_history
from redun_lite._scheduler import Scheduler
from redun_lite._sqlite import SqliteFile


@task(namespace="repl", version="1")
def double(x):
    return 2 * x


@task(namespace="repl", version="1")
def fail(x):
    raise ValueError(f"no {x}")


@task(namespace="repl", version="1")
def pair(x):
    return {"twice": double(x), "file": File("reads")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a configuration and two executions."""
    folder = tmp_path_factory.mktemp("repl")
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["init"]) == 0
        (folder / "reads").write_text("ACGT")
        with Scheduler(Config.from_dir(folder / ".redun_lite")) as scheduler:
            with pytest.raises(ValueError, match="no 1"):
                scheduler.run(fail(1), tags=[("stage", "test")])
            scheduler.run(pair(4), exec_argv=["run", "flow.py", "pair"])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def records(folder):
    source = SqliteFile(str(folder / ".redun_lite" / "redun_lite.db"))
    with open_history(source) as history:
        yield Records(history, source)


@pytest.fixture
def repl(folder, monkeypatch, capsys):
    """Runs lines as if they came over a pipe; returns exit code, output and what was said."""

    def run(*lines):
        monkeypatch.chdir(folder)
        monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, ""])))
        code = main(["repl"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_line_over_a_pipe_is_answered_without_prompts(repl):
    assert repl("1 + 1") == (0, "2\n", "")


def test_an_execution_is_shown_as_a_line(repl):
    code, shown, _ = repl("query('-')")
    assert code == 0
    assert shown.startswith("Execution ")
    assert shown.endswith(" run flow.py pair\n")


def test_records_of_a_model_are_listed_the_latest_first(repl):
    _, shown, _ = repl("query(Job, task='repl.*')")
    assert [line.rpartition(" ")[2] for line in shown.splitlines()] == [
        "repl.double",
        "repl.pair",
        "repl.fail",
    ]
    assert all(line.startswith("Job ") for line in shown.splitlines())


def test_filters_narrow_a_query(records):
    models = records.names()
    (failed,) = records.query(models["Job"], status="failed")
    assert isinstance(failed, JobRow)
    assert failed.task_name == "repl.fail"
    (execution,) = records.query(models["Execution"], tag="stage=test")
    assert isinstance(execution, ExecutionRow)
    assert execution.status == "FAILED"
    assert records.query(models["CallNode"], result=8)[0].task_name == "repl.double"
    assert records.query(models["CallNode"], arg="x=4", task="double")
    assert records.query(models["File"], path="*reads")[0].path == "reads"
    assert records.query(models["Task"], limit=1)[0].fullname.startswith("repl.")
    assert records.query(models["Job"], until="2001-01-01") == []
    assert records.count(models["Job"]) == 3


def test_what_a_job_was_given_and_came_to_is_shown_without_being_loaded(repl, monkeypatch):
    def refuse(*_):
        raise AssertionError("a value was loaded")

    monkeypatch.setattr("redun_lite._client.repl.load_value", refuse)
    code, shown, told = repl(
        "job = query(Job, task='pair')[0]", "arguments(job)", "result(job)", "result(job).data[:1]"
    )
    assert (code, told) == (0, "")
    lines = shown.splitlines()
    assert lines[0].startswith("x: Value ")
    assert lines[0].endswith(" builtins.int 5 bytes: 4")
    assert "{'twice': 8, 'file': File(path=reads, hash=" in lines[1]


def test_a_value_is_loaded_by_a_call_that_says_so_only(records):
    value = records.result(records.query(records.names()["Job"], task="pair")[0])
    assert isinstance(value, ValueRow)
    loaded = records.load_trusted(value)
    assert loaded["twice"] == 8
    assert isinstance(loaded["file"], File)
    assert records.load_trusted(value.digest.hex())["twice"] == 8
    assert records.load_trusted(records.query(records.names()["Job"], task="double")[0]) == 8


def test_show_prints_what_log_prints(repl, folder, capsys):
    shown = repl("show('-')")[1]
    main(["log", "-"])
    assert shown == capsys.readouterr().out
    assert "repl.pair" in shown


def test_show_takes_records_of_any_model(repl):
    models = ("Execution", "Job", "CallNode", "Task", "Value", "File")
    code, shown, told = repl(*(f"show(query({model}, limit=1)[0])" for model in models))
    assert (code, told) == (0, "")
    assert shown.count("repl.") > 5


def test_children_are_the_jobs_that_a_job_led_to(records):
    (job,) = records.query(records.names()["Job"], task="pair")
    assert [child.task_name for child in records.children(job)] == ["repl.double"]
    assert len(records.children("-")) == 2
    assert len(records.children("-", limit=1)) == 1


def test_tags_of_a_record_come_as_python_values(records):
    (execution,) = records.query(records.names()["Execution"], tag="stage")
    assert records.tags(execution) == [("stage", "test")]


def test_sql_reads(repl):
    assert repl("sql('SELECT count(*) FROM job WHERE status = ?', 'FAILED')")[1] == "[(1,)]\n"


def test_sql_cannot_write(repl):
    code, _, told = repl('sql("DELETE FROM job")')
    assert (code, told) == (1, "redun_lite: error: sql: the database is open for reading only\n")


@pytest.mark.parametrize("limit", ["-1", "'x'", "1.5"])
def test_a_limit_that_is_no_number_is_one_line(repl, limit):
    code, shown, told = repl(f"query(Job, limit={limit})")
    assert (code, shown) == (1, "")
    assert told.startswith("redun_lite: error: query: limit: expected a number from 0 on, got ")


def test_an_unknown_id_is_one_line_and_the_prompt_goes_on(repl):
    code, shown, told = repl("query('feed')", "'still ' + 'here'")
    assert code == 1
    assert told.startswith("redun_lite: error: no execution")
    assert told.count("\n") == 1
    assert shown == "'still here'\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("query(Job, colour='red')", "no filter 'colour'; there are status, execution"),
        ("query('-', status='DONE')", "filters are for a model"),
        ("query(Job, status='GOOD')", "no status 'GOOD'"),
        ("result('-')", "expected a job or a call, got Execution"),
        ("load_trusted('-')", "load_trusted: expected a value, got Execution"),
        ("count(3)", "expected one of Execution, Job"),
    ],
)
def test_what_cannot_be_asked_is_one_line(repl, line, expected):
    code, _, told = repl(line)
    assert code == 1
    assert expected in told
    assert told.count("\n") == 1


def test_errors_of_python_have_their_traceback(repl):
    code, _, told = repl("1 / 0")
    assert code == 1
    assert "ZeroDivisionError" in told
    assert repl("1 +")[0] == 1


def test_blocks_of_several_lines_end_with_an_empty_one(repl):
    code, shown, _ = repl("for i in range(2):", "    print(i)", "", "_ = 3")
    assert (code, shown) == (0, "0\n1\n")


def test_exit_ends_it(repl):
    assert repl("exit(3)", "print('no')")[:2] == (3, "")


def test_the_prompt_leaves_python_as_it_was(repl):
    before = sys.displayhook
    repl("1")
    assert sys.displayhook is before
    assert not hasattr(sys, "ps1")


def test_a_hostile_value_is_shown_without_effect(folder, tmp_path, repl):
    import sqlite3

    payload = f"cposix\nmkdir\n(S'{tmp_path}/pwned'\ntR.".encode()
    connection = sqlite3.connect(folder / ".redun_lite" / "redun_lite.db")
    with connection:
        connection.execute(
            "INSERT INTO value (digest, type_id, data) VALUES (?, 1, ?) "
            "ON CONFLICT (digest) DO NOTHING",
            (b"\xfe" * 20, payload),
        )
    connection.close()
    repl(f"value = query('{'fe' * 20}')", "value", "show(value)", "[value]", "{'a': value}")
    assert not (tmp_path / "pwned").exists()


def test_where_nothing_is_recorded_there_is_nothing_to_ask(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["repl"]) == 2
    assert "nothing is recorded yet" in capsys.readouterr().err
