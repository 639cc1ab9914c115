"""`db check`: each thing that can be wrong is found and named, and nothing stored is run."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from collections import Counter, OrderedDict, deque
from contextlib import closing
from decimal import Decimal
from io import BytesIO
from pickle import UnpicklingError

import pytest
from support import Lab, audit, note, notes

from redun_lite import File, Value, apply_tags, catch, task
from redun_lite._check import Checker
from redun_lite._cli import main
from redun_lite._expr import key_of_expr
from redun_lite._hash import key_of
from redun_lite._recompute import NotPlain, key_of_plain
from redun_lite._record import load_value
from redun_lite._safe_load import _PlainUnpickler, load_if_plain
from redun_lite._sqlite import SqliteFile
from redun_lite._value import dumps

redun_namespace = "test_check"


@task(version="1")
def ident(value):
    return value


@task(version="1")
def add(a, b):
    return a + b


@task(version="1", config_args=["quickly", "loudly"])
def configured(a, quickly, loudly):
    return a


@task(version="1")
def whole(numbers):
    return add(ident(numbers[0]), add(numbers[1], 7))


@task(version="1", retries=1, retry_delay=0)
def stumble(path):
    note(path, "run")
    if len(notes(path)) < 2:
        raise ValueError("once")
    return 1


@task(version="1")
def fail():
    raise ValueError("no")


@task(version="1")
def recover(error):
    return 0


class Text(Value):
    def __init__(self, text):
        self.text = text


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A repository with something of everything."""
    lab = Lab(tmp_path_factory.mktemp("recorded"))
    store = {"value_store_path": str(lab.folder / "store"), "value_store_min_size": "1000"}
    lab.config = type(lab.config)({"backend": {"db_uri": f"sqlite:///{lab.path}", **store}})
    path = lab.folder / "file"
    path.write_text("1")
    with lab.scheduler() as scheduler:
        scheduler.run(whole([1, 2]), tags=[("project", "a")])
        scheduler.run(configured(1, True, loudly=False))
        scheduler.run([ident([Text("a"), {"k": {1, 2}, (1, 2): None}]), ident(File(str(path)))])
        scheduler.run(stumble(str(lab.folder / "notes")))
        scheduler.run(catch(fail(), ValueError, recover))
        scheduler.run(apply_tags(ident(8), [("a", 1)], job_tags=[("b", 1)]))
        scheduler.run(ident("large" * 1000))
    return lab


@pytest.fixture
def lab(recorded, tmp_path):
    """A copy of it, to be spoilt."""
    lab = Lab(tmp_path)
    shutil.copytree(recorded.folder / "store", tmp_path / "store")
    shutil.copy(recorded.path, lab.path)
    return lab


def problems(lab, **loading):
    database = SqliteFile(str(lab.path)).connect(read_only=True)
    try:
        checker = Checker(database, **loading)
        return [*checker.problems()], checker.result()
    finally:
        database.close()


def spoil(lab, *statements):
    connection = sqlite3.connect(lab.path)
    for sql in statements:
        assert connection.execute(sql).rowcount != 0, sql
    connection.commit()
    connection.close()


def test_a_repository_that_is_sound_has_no_problems(recorded):
    found, result = problems(recorded)
    assert found == []
    assert result.problems == 0
    assert result.rows["execution"] == 7
    assert set(result.unchecked) == {"of other classes", "that hold objects"}
    with closing(recorded.source.connect()) as database:
        audit(database, config_args=True)


def test_with_loading_all_values_are_compared(recorded):
    found, result = problems(recorded, load=load_value, key=key_of_expr)
    assert found == []
    assert result.unchecked == {}


ADD = """
(SELECT min(call.id) FROM call JOIN task ON task.id = task_id WHERE fullname = 'test_check.add')
"""


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE job SET task_id = 99", "job with id 4294967297: task_id 99 is not in task"),
        (f"UPDATE call SET result_id = 999 WHERE id = {ADD}", ": result_id 999 is not in value"),
        (
            f"UPDATE argument SET value_id = 999 WHERE call_id = {ADD}",
            ": value_id 999 is not in value",
        ),
        ("UPDATE upstream SET upstream_id = 999", ": upstream_id 999 is not in call"),
        (
            "UPDATE call_child SET child_id = 999 WHERE position = 0",
            ": child_id 999 is not in call",
        ),
        ("UPDATE subvalue SET child_id = 999", ": child_id 999 is not in value"),
        (
            "INSERT INTO file VALUES (999, 'x')",
            "file with value_id 999: value_id 999 is not in value",
        ),
        ("UPDATE attempt SET error_id = 999 WHERE number = 1", ": error_id 999 is not in value"),
        ("INSERT INTO handle_edge VALUES (1, 2)", ": parent_id 1 is not in handle_state"),
        ("DELETE FROM execution WHERE id = 1", "of execution 1): there is no such execution"),
        (
            "UPDATE job SET ended = NULL WHERE id = 4294967297",
            "(number 1 of execution 1): it has not",
        ),
        ("UPDATE job SET call_id = NULL WHERE id = 4294967297", ": it is DONE, but has no call"),
        ("UPDATE job SET parent_id = id WHERE id = 4294967298", "is missing or comes after it"),
        ("UPDATE execution SET parent_job_id = 5 WHERE id = 2", "execution 2: the job 5 "),
        ("DELETE FROM attempt WHERE number = 1", ": its attempts are not numbered from 1"),
        (
            "UPDATE value SET data = x'80054B052E' WHERE data = x'80054B072E'",
            ": its data has another",
        ),
        ("UPDATE value SET data = x'8005' WHERE data = x'80054B072E'", ": its data is no int: "),
        ("UPDATE value SET data = x'' WHERE data = x'80054B072E'", ": its data is no int: "),
        (
            f"UPDATE call SET key = zeroblob(20) WHERE id = {ADD}",
            "is not that of its task and argum",
        ),
        (
            f"DELETE FROM argument WHERE call_id = {ADD} AND position = 1",
            "is not that of its task and",
        ),
        (
            "UPDATE task_set SET digest = zeroblob(20) WHERE id = 1",
            "task_set 1 (000000000000): its dig",
        ),
        ("DELETE FROM task_set_member", "): it has no tasks"),
        (
            "DELETE FROM task_set_member",
            "its own task is not among the tasks at and below it",
        ),
        (
            "UPDATE tag SET entity = '5c1f9a3e-1' WHERE key = 'b'",
            "(b): it is on 5c1f9a3e-1, which is n",
        ),
        ("UPDATE tag SET entity = '" + "0" * 40 + "' WHERE key = 'a'", "which is nothing recorded"),
        (
            "UPDATE tag SET entity = 'x' WHERE key = 'project'",
            "(project): it is on x, which is nothing",
        ),
        (
            "UPDATE stored_value SET value_id = 999",
            "stored_value with value_id 999: value_id 999 is",
        ),
        ("UPDATE stored_value SET size = 3", "is damaged: it has 5018 bytes, not 3"),
    ],
)
def test_each_problem_is_a_line_that_names_the_row(lab, sql, problem):
    spoil(lab, sql)
    found, result = problems(lab)
    assert any(problem in line for line in found), found
    assert result.problems == len(found)


def test_a_call_that_does_not_know_the_tasks_below_it_is_found(lab):
    (own, call) = lab.query(
        "SELECT task_id, call.id FROM call JOIN task ON task.id = task_id "
        "WHERE fullname = 'test_check.whole'"
    )[0]
    (leaf,) = lab.query(
        "SELECT task_set_id FROM task_set_member GROUP BY task_set_id "
        f"HAVING count(*) = 1 AND min(task_id) <> {own} LIMIT 1"
    )
    spoil(
        lab,
        f"UPDATE call SET task_set_id = {leaf} WHERE id = {call}",
        f"INSERT INTO task_set_member VALUES ({leaf}, {own})",
    )
    found, _ = problems(lab)
    assert f"call {call}: it does not know all tasks below it" in found


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_lost_files_of_values_are_found(lab, how):
    (file,) = (path for path in (lab.folder / "store").rglob("*") if path.is_file())
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(bytes(file.stat().st_size))
    (line,) = problems(lab)[0]
    assert f"its file {file} is {how}" in line
    assert line.startswith("value ")


def test_files_that_only_the_database_names_are_not_opened(lab):
    spoil(lab, "UPDATE stored_value SET path = 'http://127.0.0.1:9/value'")
    found, result = problems(lab)
    assert found == []
    assert result.unchecked["in files that [backend] value_store_path does not lead to"] == 1
    (line,) = problems(lab, root="http://127.0.0.1:9")[0]
    assert "its file http://127.0.0.1:9/value cannot be read" in line


def test_a_database_that_is_broken_as_such_is_told(lab):
    spoil(lab, "PRAGMA writable_schema = ON")
    connection = sqlite3.connect(lab.path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master "
        "WHERE name = 'file_path') WHERE name = 'argument_value'"
    )
    connection.commit()
    connection.close()
    assert any(line.startswith("database: ") for line in problems(lab)[0])


def test_nothing_that_is_stored_is_run(lab):
    mark = lab.folder / "run"
    hostile = pickle.dumps(Hostile(str(mark)), 5).hex()
    spoil(lab, f"UPDATE value SET data = x'{hostile}'", "DELETE FROM stored_value")
    found, _ = problems(lab)
    assert not mark.exists()
    assert found == []  # Nobody knows what it would come to, unless it is loaded.


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


# Plain data


SHARED = [1]


@pytest.mark.parametrize(
    "value",
    [
        None,
        -(1 << 70),
        b"\x00",
        [1.5, True, "ü"],
        {"k": [{"l": ()}], (1, "a"): {1, 2}, frozenset({1}): 0},
        [set(), frozenset({"a"}), {}],
        [SHARED, SHARED],
        {"n": {n: n for n in range(100)}},
    ],
)
def test_plain_data_gets_its_key_without_being_loaded(value):
    assert key_of_plain(dumps(value)) == key_of(value)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05cos\nsystem\n.",
        b"\x80\x05\x8c\x02os\x94\x8c\x06system\x94\x93.",
        b"\x80\x05]r\xff\xff\xff\xff.",
        b"\x80\x05]\x94h\x00a.",
        b"\x80\x05}(K\x01\x85K\x02u.K\x01.",
        b"\x80\x05\x8c\xffreads.",
        b"\x80\x05B\xff\xff\xff\xff.",
        dumps(list(range(1000))),
        b"",
    ],
)
def test_nothing_but_small_plain_data_is_loaded(data):
    assert load_if_plain(data) is NotImplemented


def test_the_loader_of_plain_data_knows_no_names():
    with pytest.raises(UnpicklingError, match=r"os\.system in plain data"):
        _PlainUnpickler(BytesIO(b"cos\nsystem\n.")).load()


def circle():
    value = []
    value.append(value)
    return value


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *(Text("a"), [Decimal(1)], print, 1j, circle(), nested(300), set(range(10_000))),
        *([deque([1])], [OrderedDict(a=1)], [Counter("a")]),  # They only look like plain data.
    ],
)
def test_what_is_more_than_plain_data_is_left(value):
    with pytest.raises(NotPlain):
        key_of_plain(dumps(value))


def test_shared_parts_cost_what_they_are():
    value = 1
    for _ in range(100):
        value = [value, value]
    assert key_of_plain(dumps(value)) == key_of(value)


# The command


def test_the_command_tells_problems_and_ends_with_1(lab, capsys):
    words = ["db", "check", "--repo", str(lab.path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("0 problems in 7 executions, ")
    assert "not compared with their digests: " in out
    spoil(lab, "UPDATE job SET task_id = 99 WHERE id = 4294967297")
    assert main(words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "job with id 4294967297: task_id 99 is not in task"
    assert lines[1].startswith("1 problem in ")


def test_the_command_loads_values_only_if_asked_to(lab, capsys):
    assert main(["db", "check", "--repo", str(lab.path), "--load"]) == 0
    assert "not compared" not in capsys.readouterr().out
    assert main(["db", "check", "--repo", str(lab.path), "--load", "none.py"]) == 2
    assert "there is no script none.py" in capsys.readouterr().err
