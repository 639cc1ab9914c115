"""Reading a repository back: what ran, how it stands, and which record an id means."""

from __future__ import annotations

import os
import pickle
import sqlite3
import uuid

import pytest
from support import Lab, SteeredExecutor

from redun_lite import File, ScriptError, script, task
from redun_lite._client.log import log_lines
from redun_lite._errors import NewerRepository, NotARepository, RepositoryError, UsageError
from redun_lite._expr import dumps_expr
from redun_lite._history import (
    CallRow,
    ExecutionRow,
    JobRow,
    TaskRow,
    ValueRow,
    open_history,
)
from redun_lite._job_tree import children, job_tree
from redun_lite._record import ErrorValue
from redun_lite._timers import now

redun_namespace = "test_history"

FIRST = "5c1f9a3e-0000-4000-8000-000000000001"
SECOND = "5c1f9a3e-0000-4000-8000-000000000002"


@task
def add(a, b=2):
    return a + b


@task
def total(numbers):
    return sum(numbers)


@task
def many(n):
    return total([add(i) for i in range(n)])


@task
def boom(x):
    raise ValueError(f"cannot take {x}")


@task
def careless(x):
    return [add(x), boom(x)]


@task
def inner(x):
    return boom(word(x) + 1)


@task
def word(x):
    return str(x)


@task
def outer(x):
    return inner(x)


@task
def many_args(x, y):
    return boom(x + y)


@task
def countdown(n):
    return n if n == 0 else countdown(n - 1)


@task(executor="steered")
def held(x):
    return x


@task
def write(path):
    file = File(path)
    file.write("hello")
    return file


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.fixture
def history(lab):
    """Return a function that opens the lab's history."""
    opened = []

    def history():
        found = open_history(str(lab.path))
        assert found is not None
        opened.append(found)
        return found

    yield history
    for found in opened:
        found.close()


def change(lab: Lab, sql: str, *parameters: object) -> None:
    """Change the database behind the program's back."""
    connection = sqlite3.connect(lab.path)
    with connection:
        connection.execute(sql, parameters)
    connection.close()


def fail(lab: Lab, expr: object, **arguments: object) -> None:
    with pytest.raises(ValueError, match="cannot take"):
        lab.run(expr, **arguments)


def tree_of(lab: Lab, **options: object) -> list[str]:
    """Return the tree of the last execution's jobs: status, indentation, call."""
    lines = list(log_lines(str(lab.path), "-", **options))
    table = next(i for i, line in enumerate(lines) if line.startswith("TASK "))
    lines = lines[lines.index("", table) + 1 :]
    margin = lines[0].index("test_history.")
    return [f"{line[:9].strip()}|{line[margin:]}" for line in lines]


# Opening


def test_there_is_no_history_where_nothing_was_recorded(tmp_path):
    assert open_history(str(tmp_path / "missing.db")) is None
    assert open_history(":memory:") is None
    (tmp_path / "empty.db").touch()
    assert open_history(str(tmp_path / "empty.db")) is None


def test_looking_does_not_make_a_database(tmp_path):
    list(log_lines(str(tmp_path / "missing.db"), None))
    assert not (tmp_path / "missing.db").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "text.db").write_text("hello" * 1000)
    with pytest.raises(NotARepository, match="is not a redun_lite database"):
        open_history(str(tmp_path / "text.db"))


def test_a_newer_database_is_refused(lab):
    lab.run(add(1))
    change(lab, "PRAGMA user_version = 99")
    with pytest.raises(NewerRepository):
        open_history(str(lab.path))


def test_a_history_cannot_be_written(lab, history):
    lab.run(add(1))
    with pytest.raises(RepositoryError, match="readonly"):
        history().database.execute("DELETE FROM job")


# Executions


def test_the_latest_execution_comes_first(lab, history):
    lab.run(add(1), execution_id=FIRST, exec_argv=["run", "a b"], tags=[("n", 1), ("k", "v")])
    fail(lab, boom(1), execution_id=SECOND)
    second, first = history().executions(10)
    assert (first.uuid, first.status, first.argv) == (FIRST, "DONE", ["run", "a b"])
    assert (second.uuid, second.status) == (SECOND, "FAILED")
    assert history().tags([FIRST, SECOND]) == {FIRST: [("k", "v"), ("n", 1)], SECOND: []}


def test_no_more_executions_are_read_than_asked_for(lab, history):
    for _ in range(3):
        lab.run(add(1))
    assert len(history().executions(2)) == 2


def test_an_execution_that_runs_is_running(lab, history):
    seen = []

    def look(job):
        (execution,) = history().executions(1)
        seen.append(execution.status)
        executor.finish(job)

    executor = SteeredExecutor(on_submit=look)
    lab.run(held(1), executor)
    assert seen == ["RUNNING"]


def make_running(lab: Lab, **columns: object) -> None:
    """Make the last execution, and its last job, look as if they had not ended."""
    values = {"status": "RUNNING", "ended": None, "heartbeat": now(), **columns}
    change(lab, f"UPDATE execution SET {', '.join(f'{c} = ?' for c in values)}", *values.values())
    change(
        lab,
        "UPDATE job SET status = 'RUNNING', ended = NULL, call_id = NULL "
        "WHERE id = (SELECT max(id) FROM job)",
    )


def test_an_execution_whose_process_is_gone_was_killed(lab, history):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    lab.run(add(1))
    make_running(lab, pid=pid)
    (execution,) = history().executions(1)
    assert execution.status == "KILLED"
    assert [entry.job.status for entry in job_tree(history(), execution).entries] == ["KILLED"]
    assert job_tree(history(), execution).counts == {"KILLED": {"test_history.add": 1}}


def test_an_execution_elsewhere_without_a_heartbeat_was_killed(lab, history):
    lab.run(add(1))
    make_running(lab, host="elsewhere", heartbeat=now() - 61_000_000)
    assert history().executions(1)[0].status == "KILLED"


def test_an_execution_elsewhere_with_a_heartbeat_is_running(lab, history):
    lab.run(add(1))
    make_running(lab, host="elsewhere", heartbeat=now() - 30_000_000)
    assert history().executions(1)[0].status == "RUNNING"


def test_a_process_that_took_the_number_of_another_does_not_keep_its_execution_alive(lab, history):
    lab.run(add(1))
    make_running(lab, pid=os.getpid(), heartbeat=now() - 61_000_000)
    assert history().executions(1)[0].status == "KILLED"


# The tree of jobs


def test_jobs_are_shown_below_those_that_led_to_them(lab):
    lab.run(many(2))
    assert tree_of(lab) == [
        "DONE|test_history.many(n=2)",
        "DONE|  test_history.total(numbers=[2, 3])",
        "DONE|  test_history.add(a=0, b=2)",
        "DONE|  test_history.add(a=1, b=2)",
    ]


def test_many_equal_siblings_become_one_line(lab):
    lab.run(many(3))
    lab.run(many(1000))
    assert tree_of(lab)[2] == "|  test_history.add ×1,000  (3 cached, 997 done)"
    assert list(log_lines(str(lab.path), "-"))[-1] == (
        "`log --detail -` lists every job, `log JOB` what one led to"
    )


def test_all_jobs_are_shown_one_by_one_where_all_are_asked_for(lab):
    lab.run(many(1200))
    tree = tree_of(lab, show_all=True)
    assert len(tree) == 1202
    assert tree[2] == "DONE|  test_history.add(a=0, b=2)"
    assert tree[-1] == "DONE|  test_history.add(a=1199, b=2)"


def test_a_deep_chain_is_shown_down_to_its_end_where_all_is_asked_for(lab):
    lab.run(countdown(99))
    tree = tree_of(lab, show_all=True)
    assert tree[-1].endswith("  test_history.countdown(n=0)")
    assert len(tree) == 100


def test_all_children_of_a_job_are_shown_where_all_are_asked_for(lab):
    lab.run(many(50), execution_id=FIRST)
    folded, each = (
        list(log_lines(str(lab.path), "5c1f9a3e-1", show_all=show_all))
        for show_all in (False, True)
    )
    assert any("test_history.add ×50" in line for line in folded)
    assert sum("test_history.add(a=" in line for line in each) == 50


def test_all_executions_are_listed_where_all_are_asked_for(lab):
    for _ in range(32):
        lab.run(add(1))
    lines = list(log_lines(str(lab.path), None))
    assert len(lines) == 32
    assert lines[-1] == "… and 2 more: `log --limit 0` lists them"
    assert len(list(log_lines(str(lab.path), None, show_all=True))) == 33


def test_among_folded_siblings_the_failed_ones_are_shown(lab, history):
    lab.run(many(100))
    change(lab, "UPDATE job SET status = 'FAILED' WHERE id & 0xffff = 50")
    tree = job_tree(history(), history().executions(1)[0])
    folded = [entry for entry in tree.entries if entry.counts]
    assert [entry.counts for entry in folded] == [{"DONE": 99}]
    assert [entry.job.number for entry in tree.entries if entry.job.status == "FAILED"] == [50]


def test_a_deep_chain_is_cut_and_the_rest_counted(lab, history):
    lab.run(countdown(99))
    tree = job_tree(history(), history().executions(1)[0])
    assert [entry.depth for entry in tree.entries] == list(range(30))
    assert tree.left_out == 70
    assert tree.counts == {"DONE": {"test_history.countdown": 100}}


def test_an_error_is_shown_where_it_was_raised_and_not_above(lab):
    fail(lab, careless(1))
    lines = [line for line in log_lines(str(lab.path), "-") if line.startswith("FAILED")]
    assert [line.rpartition("  ")[2] for line in lines] == [
        "test_history.careless(x=1)",
        "ValueError: cannot take 1",
    ]


def test_an_error_in_an_expression_is_shown_at_the_job_that_the_expression_is_in(lab):
    with pytest.raises(TypeError):
        lab.run(outer(1), execution_id=FIRST)
    assert [line for line in tree_of(lab) if line.startswith("FAILED")] == [
        "FAILED|test_history.outer(x=1)",
        'FAILED|  test_history.inner(x=1)  TypeError: can only concatenate str (not "int") to str',
        "FAILED|    test_history.boom(…)",
    ]
    lines = list(log_lines(str(lab.path), "5c1f9a3e-3"))
    told = lines[lines.index("Error") :]
    assert told[1].startswith(
        "  not called, since test_history.inner 5c1f9a3e-2 failed: TypeError: "
    )


def test_lines_fit_the_terminal(lab):
    fail(lab, many_args("x" * 50, "y" * 50), exec_argv=["run", "z" * 90], execution_id=FIRST)
    for text in (None, "-", "test_history.boom"):
        lines = list(log_lines(str(lab.path), text, width=70))
        whole = ("  Command", "  ValueError")  # What was typed, and what was said.
        assert max(len(line) for line in lines if not line.startswith(whole)) == 70
    call = "FAILED    5c1f9a3e-2"
    (at,) = [i for i, line in enumerate(lines) if line.startswith(call)]
    assert lines[at + 1].startswith("          ValueError: cannot take xx")


def test_tags_that_have_no_room_are_left_out(lab):
    lab.run(add(1), exec_argv=["run", "wf.py"], tags=[("project", "some")])
    assert list(log_lines(str(lab.path), None))[1].endswith("run wf.py  (project=some)")
    assert list(log_lines(str(lab.path), None, width=66))[1].endswith("run wf.py")


def test_the_children_of_a_job_are_one_level(lab, history):
    lab.run(countdown(5))
    first = history().find(f"{history().executions(1)[0].uuid[:8]}-1")
    assert [entry.job.number for entry in children(history(), first)] == [2]


def test_the_callers_of_a_job_come_from_near_to_far(lab, history):
    lab.run(countdown(5))
    fourth = history().find(f"{history().executions(1)[0].uuid[:8]}-4")
    assert [job_id & 0xFFFFFFFF for job_id in history().ancestors(fourth)] == [3, 2, 1]


def test_of_many_callers_of_a_job_the_nearest_and_the_first_are_shown(lab):
    lab.run(countdown(9), execution_id=FIRST)
    (callers,) = [line for line in log_lines(str(lab.path), "5c1f9a3e-9") if "Called by" in line]
    words = callers.split("  Called by ")[1].split(" ← ")
    assert [word.rpartition("-")[2] for word in words] == ["8", "7", "6", "5", "… 3 more", "1"]


# One record


def test_a_job_is_shown_with_arguments_result_and_source(lab):
    lab.run(add(40), execution_id=FIRST, exec_argv=["run", "wf.py"])
    text = "\n".join(log_lines(str(lab.path), "5c1f9a3e-1"))
    assert "Job 5c1f9a3e-1  DONE  test_history.add" in text
    assert "Execution 5c1f9a3e  run wf.py" in text
    assert "a = 40" in text
    assert "b = 2" in text
    assert "Result\n" in text
    assert "  42" in text
    assert "  def add(a, b=2):\n      return a + b" in text


def test_a_failed_job_is_shown_with_the_traceback(lab):
    fail(lab, careless(1), execution_id=FIRST)
    lines = list(log_lines(str(lab.path), "5c1f9a3e-3"))
    assert "  Called by test_history.careless 5c1f9a3e-1" in lines
    assert "  ValueError: cannot take 1" in lines
    assert any(line.endswith("in boom") for line in lines)
    assert not any("redun_lite/_" in line for line in lines)


def test_a_job_that_was_tried_again_is_shown_with_its_attempts(lab):
    fail(lab, boom.options(retries=1, retry_delay=0)(1), execution_id=FIRST)
    lines = list(log_lines(str(lab.path), "5c1f9a3e-1"))
    start = lines.index("Attempts")
    told = [line.split()[0] + " " + line.split("  ")[-1] for line in lines[start + 1 : start + 3]]
    assert told == ["1 ValueError: cannot take 1", "2 ValueError: cannot take 1"]


def test_a_value_is_shown_with_the_calls_it_belongs_to(lab):
    lab.run(many(2))
    (digest,) = lab.query(
        "SELECT lower(hex(digest)) FROM value WHERE data = ?", pickle.dumps([2, 3], 5)
    )
    lines = list(log_lines(str(lab.path), digest))
    assert "  [2, 3]" in lines
    assert lines[-2] == "Argument of"
    assert lines[-1].endswith("test_history.total(numbers=[2, 3])")


def test_a_file_is_shown_with_its_path(lab, tmp_path):
    lab.run(write(str(tmp_path / "a.txt")), execution_id=FIRST)
    text = "\n".join(log_lines(str(lab.path), "5c1f9a3e-1"))
    assert f"File(path={tmp_path / 'a.txt'}, hash=" in text


def test_a_call_is_shown_by_its_hash(lab):
    lab.run(add(1))
    (key,) = lab.query("SELECT lower(hex(key)) FROM call")
    lines = list(log_lines(str(lab.path), key[:12]))
    assert lines[0].startswith(f"Call {key}")
    assert "Arguments" in lines


def test_a_task_is_shown_by_its_name_as_it_was_last_with_its_latest_jobs(lab):
    for number in range(12):
        lab.run(add(number))
    lines = list(log_lines(str(lab.path), "test_history.add"))
    start = lines.index("Source")
    assert lines[start + 1 : start + 5] == [
        "  def add(a, b=2):",
        "      return a + b",
        "",
        "Jobs (the latest 10 of 12)",
    ]
    *jobs, hint = (line.rpartition("  ")[2] for line in lines[start + 5 :])
    assert hint == "`log --job --task-name test_history.add` lists them all"
    assert jobs == [f"test_history.add(a={number}, b=2)" for number in range(11, 1, -1)]


def test_a_script_is_shown_with_its_text_and_what_it_wrote_once(lab):
    command = "echo one\necho two >&2\nexit 3"
    with pytest.raises(ScriptError):
        lab.run(script(command), execution_id=FIRST)
    text = "\n".join(log_lines(str(lab.path), "5c1f9a3e-1"))
    assert text.endswith("Script\n  echo one\n  echo two >&2\n  exit 3")
    assert text.count("+ echo two") == 1
    assert "ended with exit status 3\n" in text
    assert "Source" not in text
    assert "Arguments" not in text


def test_a_call_that_has_not_ended_is_shown_with_its_arguments_and_no_error(lab):
    lab.run(add(40), execution_id=FIRST)
    unfinished = ErrorValue("redun_lite.Unfinished", "what it led to has not ended", "")
    change(
        lab,
        "UPDATE value SET data = ? WHERE id = (SELECT result_id FROM call)",
        dumps_expr(unfinished),
    )
    change(lab, "UPDATE job SET status = 'CANCELLED'")
    assert tree_of(lab) == ["CANCELLED|test_history.add(a=40, b=2)"]
    text = "\n".join(log_lines(str(lab.path), "5c1f9a3e-1"))
    assert "a = 40" in text
    assert "Result\n  none: what it led to has not ended" in text
    assert "Error" not in text


def test_a_value_of_many_bytes_is_not_read(lab, history):
    lab.run(add("x" * 3_000_000, "y"), execution_id=FIRST)
    assert "<str: 3.0 MB>" in "\n".join(log_lines(str(lab.path), "5c1f9a3e-1"))


# Ids


@pytest.fixture
def two(lab):
    """Run the same twice, under ids that start alike."""
    lab.run(add(1), execution_id=FIRST)
    lab.run(add(1), execution_id=SECOND)
    return lab


def test_a_dash_is_the_latest_execution(two, history):
    assert history().find("-").uuid == SECOND


def test_every_kind_of_record_is_found_by_the_start_of_its_id(two, history):
    (call,) = two.query("SELECT lower(hex(key)) FROM call")
    (task_digest,) = two.query("SELECT lower(hex(digest)) FROM task")
    value = two.query("SELECT lower(hex(digest)) FROM value")[0]
    found = [history().find(text) for text in (SECOND, call, task_digest[:20], value[:21])]
    assert [type(record) for record in found] == [ExecutionRow, CallRow, TaskRow, ValueRow]


def test_a_job_is_found_by_its_execution_and_number(two, history):
    job = history().find(f"{SECOND}-1")
    assert isinstance(job, JobRow)
    assert job.execution_id == 2


def test_an_id_may_be_written_in_capitals(two, history):
    assert history().find(SECOND.upper()).uuid == SECOND


def test_an_ambiguous_id_lists_what_it_may_mean(two, history):
    with pytest.raises(UsageError) as caught:
        history().find("5c1f9a3e")
    assert str(caught.value) == (
        f"'5c1f9a3e' may mean execution {FIRST}, execution {SECOND}; give more digits"
    )
    with pytest.raises(UsageError, match=f"job {FIRST}-1, job {SECOND}-1"):
        history().find("5c1f9a3e-1")


def test_a_job_goes_before_an_execution_whose_id_starts_alike(lab, history):
    lab.run(add(1), execution_id="5c1f9a3e-1000-4000-8000-000000000001")
    assert isinstance(history().find("5c1f9a3e-1"), JobRow)
    assert isinstance(history().find("5c1f9a3e-10"), ExecutionRow)


@pytest.mark.parametrize("text", ["0" * 40, "zz", "5c1f9a3e-77", "", "test_history.nothing", "%"])
def test_an_unknown_id_is_one_line(two, history, text):
    with pytest.raises(UsageError, match="no execution, job, call, value, task or file"):
        history().find(text)


def test_a_task_is_found_by_its_bare_name_if_no_other_has_it(two, history):
    assert history().find("add").fullname == "test_history.add"


def test_a_bare_name_of_two_tasks_lists_their_full_names(lab, history):
    lab.run(add(1))
    lab.run(total([2]))
    change(lab, "UPDATE task SET fullname = 'other.add' WHERE fullname = 'test_history.total'")
    with pytest.raises(UsageError, match=r"may mean task other\.add \w+, task test_history\.add "):
        history().find("add")


@pytest.mark.parametrize(("text", "name"), [("test_history.ad", "test_history.add"), ("ad", "add")])
def test_a_misspelt_task_gets_a_suggestion(two, history, text, name):
    with pytest.raises(UsageError, match=f"did you mean {name}"):
        history().find(text)


def test_a_dash_without_executions_is_one_line(lab, history):
    lab.run(add(1))
    change(lab, "DELETE FROM execution")
    with pytest.raises(UsageError, match="no execution is recorded yet in "):
        history().find("-")


def test_nothing_recorded_is_one_line(tmp_path):
    path = str(tmp_path / "missing.db")
    assert list(log_lines(path, None)) == [f"nothing is recorded yet in {path}"]
    with pytest.raises(UsageError, match="nothing is recorded yet"):
        list(log_lines(path, "-"))


# Damaged and hostile databases


def test_a_missing_record_is_named(lab):
    lab.run(add(1), execution_id=FIRST)
    change(lab, "DELETE FROM call")
    with pytest.raises(RepositoryError, match="call 1 is referred to but missing"):
        list(log_lines(str(lab.path), "5c1f9a3e-1"))


def test_a_command_line_that_is_no_list_is_shown_as_it_is(lab, history):
    lab.run(add(1))
    change(lab, "UPDATE execution SET argv = ?", "not json")
    assert history().executions(1)[0].argv == ["not json"]


def test_control_sequences_in_any_text_are_escaped(lab):
    lab.run(add(1), execution_id=FIRST, tags=[("\x1b[1mk", "\x1b[2mv")], exec_argv=["\x1b[3m"])
    change(lab, "UPDATE task SET fullname = ?, source = ?, version = ?", *["\x1b[4m\r"] * 3)
    change(lab, "UPDATE value_type SET name = ?", "x.\x1b[5m")
    change(lab, "UPDATE value SET data = ?", b"broken")
    change(lab, "UPDATE argument SET name = ?", "\x1b[6m")
    (call,) = lab.query("SELECT lower(hex(key)) FROM call")
    (value, *_) = lab.query("SELECT lower(hex(digest)) FROM value")
    for text in (None, "-", "5c1f9a3e-1", call, value):
        assert "\x1b" not in "".join(log_lines(str(lab.path), text))


class Execute:
    """Touches a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_showing_hostile_values_runs_nothing(lab, tmp_path):
    fail(lab, careless(1), execution_id=FIRST)
    lab.run(add(1), execution_id=str(uuid.UUID(int=7)))
    change(lab, "UPDATE value SET data = ?", pickle.dumps(Execute(tmp_path / "ran"), 5))
    for name in ("redun_lite.File", "redun_lite.ErrorValue", "os.system"):
        change(lab, "UPDATE value_type SET name = ? || id", name)
        ids = lab.query("SELECT lower(hex(key)) FROM call")
        ids += lab.query("SELECT lower(hex(digest)) FROM value")
        for text in (None, "-", FIRST, "5c1f9a3e-1", "5c1f9a3e-3", *ids):
            list(log_lines(str(lab.path), text))
    assert not (tmp_path / "ran").exists()
