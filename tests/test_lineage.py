"""Lineage: what a value was made from, and what was made with it."""

from __future__ import annotations

import sqlite3

import pytest
from support import Lab

from redun_lite import File, _lineage_records, task
from redun_lite._history import CallRow, History, open_history
from redun_lite._lineage import CALL, VALUE, Limits, trace_down, trace_up, tree_of

redun_namespace = "test_lineage"


@task
def fetch(path, text):
    file = File(path)
    file.write(text)
    return file


@task
def copy(source, target):
    file = File(target)
    file.write(source.read())
    return file


@task
def join(parts, target):
    file = File(target)
    file.write("".join(part.read() for part in parts))
    return file


@task
def prepare(source, folder):
    """Hand on what another has made, of what it was given."""
    return copy(copy(source, f"{folder}/middle"), f"{folder}/prepared")


@task
def collect(source, folder, n):
    pieces = [copy(prepare(source, folder), f"{folder}/piece{i}") for i in range(n)]
    return join(pieces, f"{folder}/whole")


@task
def same(file):
    return file


@task
def number(n):
    return n


@task
def add(a, b):
    return a + b


@task
def climb(n):
    return number(0) if n == 0 else add(climb(n - 1), 1)


@task
def descend(n):
    return number(0) if n == 0 else descend(n - 1)


@task
def add_all(numbers):
    return sum(numbers)


@task
def measure(file):
    return add_all([number(len(file.read())), number(1000)])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return a place with a few workflows that have run; the tests only look."""
    folder = tmp_path_factory.mktemp("lineage")
    (folder / "raw").write_text("text")
    lab = Lab(folder)
    lab.run(collect(File(str(folder / "raw")), str(folder), 3))
    (folder / "many").mkdir()
    lab.run(collect(File(str(folder / "raw")), str(folder / "many"), 40))
    lab.run(climb(12))
    lab.run(descend(70))
    lab.run(copy(File(str(folder / "whole")), str(folder / "second")))  # Of another execution.
    lab.run(copy(same(File(str(folder / "second"))), str(folder / "third")))
    lab.run(measure(File(str(folder / "raw"))))
    return lab


@pytest.fixture
def history(lab):
    with open_history(str(lab.path)) as history:
        yield history


def file(history: History, lab: Lab, name: str):
    return history.files_at(str(lab.folder / name))[0].value


def call(history: History, name: str) -> CallRow:
    """Return the first call of a task."""
    rows = history.database.rows(
        "SELECT call_id FROM job JOIN task ON task.id = task_id WHERE fullname = ? "
        "ORDER BY job.id LIMIT 1",
        f"test_lineage.{name}",
    )
    return history.call(rows[0][0])


def drawn(lineage, lab) -> list[str]:
    """Return a lineage as an indented list: argument, task or file, how many."""
    lines = []
    for depth, node, edge, is_repeated in tree_of(lineage):
        name = node.name.replace(f"{lab.folder}/", "").replace("test_lineage.", "")
        argument = f"{edge.name}: " if edge is not None and edge.name else ""
        count = f" ×{node.total}" if node.total > 1 else ""
        lines.append("  " * depth + argument + name + count + (" …" if is_repeated else ""))
    return lines


# Up


def test_a_file_leads_back_through_calls_to_the_raw_file(history, lab):
    assert drawn(trace_up(history, file(history, lab, "whole")), lab) == [
        "whole",
        "  join",
        "    parts: copy",
        "      source: copy",
        "        source: copy",
        "          source: raw",
        "    parts: copy",
        "      source: copy …",
        "    parts: copy",
        "      source: copy …",
    ]


def test_tasks_that_only_handed_a_result_on_are_named_on_the_way(history, lab):
    lineage = trace_up(history, file(history, lab, "piece0"))
    assert [edge.via for edge in lineage.edges if edge.via] == [("test_lineage.prepare",)]
    assert "test_lineage.prepare" not in [node.name for node in lineage.nodes]


def test_a_call_leads_back_like_its_result(history, lab):
    lineage = trace_up(history, call(history, "collect"))
    assert drawn(lineage, lab)[:3] == ["collect", "  join", "    parts: copy"]


def test_many_equal_calls_are_one_node_with_a_count(history, lab):
    lineage = trace_up(history, file(history, lab, "many/whole"))
    assert drawn(lineage, lab) == [
        "many/whole",
        "  join",
        "    parts: copy ×40",
        "      source: copy",
        "        source: copy",
        "          source: raw",
    ]
    assert [edge.total for edge in lineage.edges if edge.name == "parts"] == [40]


def test_as_many_equal_calls_as_asked_for_are_shown_one_by_one(history, lab):
    limits = Limits(fold=40)
    lineage = trace_up(history, file(history, lab, "many/whole"), limits)
    assert sum(edge.name == "parts" for edge in lineage.edges) == 40
    assert not lineage.cut


def test_a_recursion_is_folded_from_its_third_turn_on(history, lab):
    lineage = trace_up(history, call(history, "climb"))
    assert drawn(lineage, lab) == [
        "climb",
        "  add",
        "    a: add",
        "      a: add ×10",
        "        a: add ×10 …",
        "        a: number",
    ]
    assert not lineage.cut


def test_a_result_that_was_handed_on_too_often_is_said_to_be(history, lab):
    lineage = trace_up(history, call(history, "descend"))
    assert lineage.cut == ["what was handed on through more than 50 calls"]


def test_a_file_that_another_execution_has_made_is_no_raw_input(history, lab):
    lines = drawn(trace_up(history, file(history, lab, "second")), lab)
    assert lines[:4] == ["second", "  copy", "    source: join", "      parts: copy"]


def test_a_call_that_returns_the_file_it_was_given_has_not_made_it(history, lab):
    lines = drawn(trace_up(history, file(history, lab, "second")), lab)
    assert "same" not in "\n".join(lines)


def test_what_a_call_returned_unchanged_is_followed_where_it_was_used(history, lab):
    lines = drawn(trace_up(history, file(history, lab, "third")), lab)
    assert lines[:5] == [
        "third",
        "  copy",
        "    source: same",
        "      file: copy",
        "        source: join",
    ]


def test_a_file_that_was_never_made_is_its_own_lineage(history, lab):
    lineage = trace_up(history, file(history, lab, "raw"))
    assert [node.kind for node in lineage.nodes] == [VALUE]
    assert (lineage.edges, lineage.cut) == ([], [])


def test_values_that_are_no_files_are_followed_by_what_was_recorded(history, lab):
    lines = drawn(trace_up(history, call(history, "measure")), lab)
    assert lines == ["measure", "  add_all", "    numbers: number", "    numbers: number"]


def test_a_trace_stops_where_it_is_told_to_and_says_so(history, lab):
    start = file(history, lab, "many/whole")
    near = trace_up(history, start, Limits(levels=1))
    assert [node.name for node in near.nodes[2:]] == ["test_lineage.copy"]
    assert near.cut == ["what is more than 1 steps away"]
    small = trace_up(history, start, Limits(nodes=10, fold=1000))
    assert len(small.nodes) == 10
    assert small.cut == ["what is beyond 10 nodes"]


# Down


def test_what_was_made_with_a_file(history, lab):
    lines = drawn(trace_down(history, file(history, lab, "middle")), lab)
    assert lines[:2] == ["middle", "  source: copy"]
    assert "      parts: join" in lines


def test_calls_that_only_hand_a_value_down_are_left_out(history, lab):
    lineage = trace_down(history, file(history, lab, "raw"))
    names = {node.name for node in lineage.nodes}
    assert "test_lineage.prepare" not in names
    assert "test_lineage.collect" not in names


def test_what_was_made_in_other_executions_is_found(history, lab):
    names = [line.strip() for line in drawn(trace_down(history, file(history, lab, "piece1")), lab)]
    assert names[:2] == ["piece1", "parts: join"]
    assert {"source: copy", "file: same"} < set(names)


def test_many_users_of_a_value_are_one_node(history, lab):
    lineage = trace_down(history, file(history, lab, "many/prepared"))
    assert [(n.name, n.total) for n in lineage.nodes[1:]] == [
        ("test_lineage.copy", 40),
        ("test_lineage.join", 1),
    ]


# Bounds


def test_a_level_takes_as_many_queries_however_many_calls_it_has(history, lab):
    counts = []
    for name in ("whole", "many/whole"):
        database = Counting(history.database)
        counted = History(database, history.version)
        trace_up(counted, file(history, lab, name), Limits(fold=1000))
        counts.append(database.queries)
    assert counts[0] == counts[1] < 100


def test_what_more_records_than_can_be_read_say_is_left_out_and_told(history, lab, monkeypatch):
    monkeypatch.setattr(_lineage_records, "_MAX_ROWS", 10)
    monkeypatch.setattr(
        _lineage_records, "SOURCES", _lineage_records.SOURCES.replace("20000", "10")
    )
    lineage = trace_up(history, file(history, lab, "many/whole"))
    assert lineage.cut == ["what is beyond 10 records of a kind"]
    # Files are also found as results, so some of those left out may be here all the same.
    folded = [node for node in lineage.nodes if node.total > 1]
    assert folded
    assert all(node.at_least for node in folded)


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, database):
        self._database = database
        self.queries = 0

    def __getattr__(self, name):
        self.queries += name in ("rows", "rows_in", "iterate")
        return getattr(self._database, name)


def test_calls_that_lead_to_each_other_end_a_trace(tmp_path):
    lab = Lab(tmp_path)
    (tmp_path / "raw").write_text("text")
    lab.run(collect(File(str(tmp_path / "raw")), str(tmp_path), 2))
    connection = sqlite3.connect(lab.path)
    with connection:
        calls = [id for (id,) in connection.execute("SELECT id FROM call")]
        connection.execute("DELETE FROM call_child")
        connection.execute("DELETE FROM upstream")
        for a in calls:
            for position, b in enumerate(calls):
                connection.execute("INSERT INTO call_child VALUES (?, ?, ?)", (a, position, b))
                connection.execute("INSERT INTO upstream VALUES (?, 0, ?)", (a, b))
    connection.close()
    with open_history(str(lab.path)) as history:
        start = history.files_at(str(tmp_path / "whole"))[0].value
        assert trace_up(history, start).nodes[0].kind == VALUE
        assert trace_down(history, history.call(calls[0])).nodes[0].kind == CALL
