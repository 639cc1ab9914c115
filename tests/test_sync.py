"""Sharing: files of records, and what two repositories tell each other."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import sys

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import Lab

from redun_lite import Config, File, Handle, apply_tags, catch, subrun, task
from redun_lite._absorb import _WRITERS, Absorber
from redun_lite._cli import main
from redun_lite._errors import RepositoryError, UsageError
from redun_lite._extract import Extract
from redun_lite._garbage import Keep, collect
from redun_lite._hash import key_of
from redun_lite._interchange import (
    _with_sum,
    key_of_stored,
    kind_of,
    line_of,
    lines_of,
    read_blocks,
)
from redun_lite._record import make_value_record
from redun_lite._sqlite import SqliteFile
from redun_lite._sync import copy_records, export_lines, import_lines, opened
from redun_lite._value_store import StorePlace


@task(namespace="sync", version="1")
def double(x):
    return 2 * x


@task(namespace="sync", version="1")
def total(numbers):
    return sum(numbers)


@task(namespace="sync", version="1")
def fail(x):
    raise ValueError(f"no {x}")


@task(namespace="sync", version="1")
def recover(error):
    return str(error)


@task(namespace="sync", version="1")
def write(path):
    file = File(path)
    file.write("reads")
    return {"file": file, "sizes": (1, 2)}


class Conn(Handle):
    def __init__(self, name):
        self.instance = None


@task(namespace="sync", version="1")
def use(conn):
    return conn


@task(namespace="sync", version="1", tags=[("step", "flaky")], retries=1)
def flaky(path):
    if not os.path.exists(path):
        File(path).write("tried")
        raise OSError("not yet")
    return "there"


@task(namespace="sync", version="1")
def everything(folder):
    return [
        total([double(i) for i in range(5)]),
        catch(fail(1), ValueError, recover),
        write(f"{folder}/out.txt"),
        use(use(Conn("db"))),
        flaky(f"{folder}/flag"),
        apply_tags(double(7), [("lucky", {"very": True})]),
        subrun(double(double(8)), "default"),
    ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A repository with every kind of record."""
    folder = tmp_path_factory.mktemp("recorded")
    lab = Lab(folder)
    lab.run(everything(str(folder)), tags=[("stage", "test")])
    return SqliteFile(str(lab.path))


@pytest.fixture(scope="module")
def exported(recorded):
    return list(export_lines(recorded))


def text_of(source):
    return b"".join(export_lines(source))


def empty(folder, name="other.db"):
    return SqliteFile(str(folder / name))


def signed(line, **changes):
    """Return a line with other fields, as if it had been exported so."""
    fields = {**json.loads(line), **changes}
    del fields["sum"]
    return line_of(fields)


def closed(lines):
    """Return lines without the last as a whole file."""
    blocks = []
    with pytest.raises(UsageError, match="cut off"):
        blocks.extend(block for _, block in read_blocks(lines[:-1], "x"))
    return list(lines_of(blocks))


# Files


def test_what_is_exported_imported_and_exported_again_is_the_same_to_the_byte(
    recorded, exported, tmp_path
):
    other = empty(tmp_path)
    import_lines(exported, "x", other)
    assert text_of(other) == b"".join(exported)


def test_an_export_has_every_kind_of_record(exported):
    kinds = {json.loads(line)["kind"] for line in exported}
    assert kinds == {
        *("redun_lite_export", "task", "task_set", "value", "subvalues", "call", "children"),
        *("upstreams", "execution", "job", "part", "tag", "handled", "handle_state"),
        *("handle_edges", "end"),
    }


def test_an_export_names_no_row_ids(recorded, exported, tmp_path):
    """A repository in which all has other row ids exports the same lines."""
    other = Lab(tmp_path)
    other.run(total([1, 2]))
    import_lines(exported, "x", SqliteFile(str(other.path)))
    ours = set(export_lines(SqliteFile(str(other.path))))
    assert set(exported[:-1]) <= ours


def test_long_lists_and_many_records_are_read_in_parts(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("redun_lite._extract._LIST", 2)
    monkeypatch.setattr("redun_lite._extract._BLOCK", 3)
    monkeypatch.setattr("redun_lite._interchange.BLOCK_RECORDS", 2)
    monkeypatch.setattr("redun_lite._sync._MOST_IN_MEMORY", 10)
    monkeypatch.setattr("redun_lite._absorb._MOST_REMEMBERED", 10)
    monkeypatch.setattr("redun_lite._absorb.TRANSACTION_RECORDS", 3)
    lines = list(export_lines(recorded))
    children = [json.loads(line)["children"] for line in lines if b'"kind":"children"' in line]
    assert max(map(len, children)) == 2
    for name, make in (("imported", import_lines), ("pushed", None)):
        (tmp_path / name).mkdir()
        other = SqliteFile(str(tmp_path / name / "lab.db"))
        if make is None:
            copy_records(recorded, other)
        else:
            make(lines, "x", other)
        assert list(export_lines(other)) == lines
        Lab(tmp_path / name).audit()


def test_importing_again_changes_nothing(exported, tmp_path):
    other = empty(tmp_path)
    first = import_lines(exported, "x", other)
    assert first["execution"] == 2
    assert import_lines(exported, "x", other) == {}


def test_what_was_imported_is_whole_and_told_true(exported, tmp_path):
    import_lines(exported, "x", SqliteFile(str(tmp_path / "lab.db")))
    Lab(tmp_path).audit()


def test_imported_results_are_replayed(exported, recorded, tmp_path):
    import_lines(exported, "x", SqliteFile(str(tmp_path / "lab.db")))
    lab = Lab(tmp_path)
    folder = os.path.dirname(recorded.address)
    lab.run(everything(folder))
    jobs = {name: set(statuses) for name, statuses in lab.jobs().items()}
    assert jobs["double"] == jobs["total"] == jobs["write"] == jobs["use"] == {"CACHED"}


def test_an_import_goes_beside_what_is_there(exported, tmp_path):
    lab = Lab(tmp_path)
    assert lab.run(total([double(i) for i in range(6)])) == 30
    new = import_lines(exported, "x", SqliteFile(str(lab.path)))
    assert new["execution"] == 2
    assert lab.query("SELECT count(*) FROM execution") == [3]
    lab.audit()


def test_an_execution_is_exported_with_all_that_it_needs_and_no_more(tmp_path):
    lab = Lab(tmp_path)
    lab.run(total([double(1)]), tags=[("run", 1)])
    first = lab.query("SELECT uuid FROM execution")[0]
    lab.run(total([double(2), double(1)]), tags=[("run", 2)])
    source = SqliteFile(str(lab.path))
    part = list(export_lines(source, [first]))
    (tmp_path / "part").mkdir()
    other = SqliteFile(str(tmp_path / "part" / "lab.db"))
    import_lines(part, "x", other)
    assert text_of(other) == b"".join(part)
    Lab(tmp_path / "part").audit()
    assert Lab(tmp_path / "part").query("SELECT value FROM tag WHERE key = 'run'") == ["1"]
    assert Lab(tmp_path / "part").query("SELECT count(*) FROM execution, job") == [2]


def test_a_handle_comes_with_its_states_though_a_later_execution_had_them_last(tmp_path):
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    own, other = Lab(tmp_path / "own"), Lab(tmp_path / "other")
    for _ in range(2):
        own.run(use(use(Conn("db"))))
    connection = sqlite3.connect(own.path)
    with connection:
        connection.execute("UPDATE handle_state SET execution_id = 2 WHERE valid")
    connection.close()
    first = own.query("SELECT uuid FROM execution ORDER BY id")[0]
    part = list(export_lines(SqliteFile(str(own.path)), [first]))
    import_lines(part, "x", SqliteFile(str(other.path)))
    other.run(use(use(Conn("db"))))
    assert other.jobs() == {"use": ["CACHED", "CACHED"]}


def test_a_part_of_an_execution_is_exported_with_the_whole(recorded, exported):
    part = next(json.loads(line)["execution"] for line in exported if b'"kind":"part"' in line)
    lines = list(export_lines(recorded, [part]))
    assert sum(b'"kind":"execution"' in line for line in lines) == 2


def test_a_value_is_exported_with_the_values_inside(recorded, exported):
    parent = next(json.loads(line) for line in exported if b'"kind":"subvalues"' in line)
    lines = list(export_lines(recorded, [parent["value"]]))
    values = {json.loads(line)["digest"] for line in lines if b'"kind":"value"' in line}
    assert values == {parent["value"], *parent["inside"]}


def test_an_execution_that_runs_elsewhere_stays_as_it_was_recorded(exported, tmp_path):
    line = next(line for line in exported if b'"kind":"execution"' in line)
    there = {"status": "RUNNING", "ended": None, "host": "far", "pid": 7, "heartbeat": 5}
    lines = [signed(ln, **there) if ln is line else ln for ln in exported]
    import_lines(closed(lines), "x", SqliteFile(str(tmp_path / "lab.db")))
    uuid = json.loads(line)["uuid"]
    row = "SELECT status, host, pid, heartbeat FROM execution WHERE uuid = ?"
    assert Lab(tmp_path).query(row, uuid) == [("RUNNING", "far", 7, 5)]
    # What became of it since is learned, and not forgotten again.
    import_lines(exported, "x", SqliteFile(str(tmp_path / "lab.db")))
    import_lines(closed(lines), "x", SqliteFile(str(tmp_path / "lab.db")))
    assert Lab(tmp_path).query(row, uuid)[0][0] == "DONE"


# Bad files


def refused(lines, folder, expected):
    """Check that a file is refused with a line number, and that nothing of it is imported."""
    other = empty(folder)
    with pytest.raises(UsageError, match=expected):
        import_lines(lines, "x.jsonl", other)
    assert not os.path.exists(other.address)


@pytest.mark.parametrize("keep", [1, 5, -1])
def test_a_file_that_is_cut_off_between_lines_is_refused(exported, tmp_path, keep):
    lines = exported[:keep]
    refused(lines, tmp_path, rf"^x.jsonl:{len(lines)}: it ends here.*nothing was imported$")


def test_a_file_that_is_cut_off_within_a_line_is_refused(exported, tmp_path):
    refused([*exported[:9], exported[9][:-9]], tmp_path, r"^x.jsonl:10: the line is cut off")


def test_what_comes_behind_the_last_line_is_refused(exported, tmp_path):
    number = len(exported) + 1
    expected = f"^x.jsonl:{number}: there is something behind the last record"
    refused([*exported, exported[1]], tmp_path, expected)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_line_that_is_wrong_is_told_however_many_are_read_together(
    exported, tmp_path, monkeypatch, size
):
    monkeypatch.setattr("redun_lite._interchange.BLOCK_RECORDS", size)
    for number in (2, 9, len(exported)):
        line = exported[number - 1]
        other = line[:-4] + (b"1" if line[-4:-3] == b"0" else b"0") + line[-3:]
        lines = [*exported[: number - 1], other, *exported[number:]]
        refused(lines, tmp_path, rf"^x.jsonl:{number}: the line is damaged")


def test_an_empty_file_is_refused(tmp_path):
    refused([], tmp_path, r"^x.jsonl: it is empty")


def test_any_changed_byte_is_found_in_its_line(exported, tmp_path):
    for number in range(0, len(exported), 7):
        line = exported[number]
        place = len(line) // 2
        changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        lines = [*exported[:number], changed, *exported[number + 1 :]]
        refused(lines, tmp_path, rf"^x.jsonl:{number + 1}: ")


def test_a_missing_line_is_noticed(exported, tmp_path):
    refused(exported[:3] + exported[4:], tmp_path, r"^x.jsonl:\d+: ")


def test_lines_out_of_order_are_refused(exported, tmp_path):
    lines = [exported[0], exported[2], exported[1], *exported[3:]]
    refused(lines, tmp_path, r"^x.jsonl:3: it does not follow the record before")


def test_a_line_of_two_records_is_refused(exported, tmp_path):
    lines = [exported[0], exported[1][:-1] + b"," + exported[2]]
    refused(lines, tmp_path, "^x.jsonl:2: not a line of JSON")


def test_a_record_of_two_lines_is_refused(exported, tmp_path):
    """Though lines are parsed many at a time, and this is as many records as lines."""
    task_line = exported[1][:-1].rpartition(b',"sum"')[0].decode()
    begun = _with_sum('{"kind":"subvalues","value":"00","inside":[{"kind":"a"')
    its_sum = begun[-19:-3].decode()
    ended = _with_sum(f'{{"kind":"b"}}],"sum":"{its_sum}"}},{task_line}')
    assert len(json.loads(b"[" + begun + b"," + ended + b"]")) == 2
    refused([exported[0], begun, ended], tmp_path, "^x.jsonl:2: not a line of JSON")


def test_a_wrong_digest_of_a_value_is_refused_though_its_sum_is_right(exported, tmp_path):
    number, line = next(
        (n, ln) for n, ln in enumerate(exported, 1) if b'"type":"builtins.int"' in ln
    )
    digest = json.loads(line)["digest"]
    wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    lines = [signed(ln, digest=wrong) if ln is line else ln for ln in exported]
    refused(lines, tmp_path, rf"^x.jsonl:{number}: wrong digest")


def test_other_data_under_the_digest_of_a_file_are_refused(exported, tmp_path):
    number, line = next(
        (n, ln) for n, ln in enumerate(exported, 1) if b'"type":"redun_lite.File"' in ln
    )
    other = File("/other")
    data = json.loads(lines_of_value(key_of(other), other)[1])["data"]
    lines = [signed(ln, data=data) if ln is line else ln for ln in exported]
    refused(lines, tmp_path, rf"^x.jsonl:{number}: wrong digest")


def lines_of_value(key, value):
    record = make_value_record(key, value)
    from redun_lite._interchange import ValueItem

    return list(lines_of([[ValueItem(key, record.type_name, record.path, record.data)]]))


def test_a_call_of_other_arguments_is_refused(exported, tmp_path):
    calls = [(n, ln) for n, ln in enumerate(exported, 1) if b'"kind":"call"' in ln]
    number, line = next((n, ln) for n, ln in calls if len(json.loads(ln)["arguments"]) == 1)
    call = json.loads(line)
    lines = [
        signed(ln, arguments=[[call["arguments"][0][0], call["task_set"]]]) if ln is line else ln
        for ln in exported
    ]
    refused(lines, tmp_path, rf"^x.jsonl:{number}: wrong digest: the call has other arguments")


def test_a_call_with_arguments_that_are_no_part_of_its_key_is_taken(tmp_path):
    @task(namespace="sync", version="1", config_args=["threads", "memory"])
    def heavy(x, threads, memory):
        return x

    lab = Lab(tmp_path)
    lab.run(heavy(1, 2, 3))
    lines = list(export_lines(SqliteFile(str(lab.path))))
    assert import_lines(lines, "x", empty(tmp_path))["call"] == 1


def test_a_reference_to_what_is_not_in_the_file_is_refused(exported, tmp_path):
    task_line = next(ln for ln in exported if b'"kind":"task"' in ln and b"sync.double" in ln)
    lines = closed([ln for ln in exported if ln is not task_line])
    refused(lines, tmp_path, r"^x.jsonl:\d+: task \w+ is referred to, but not in the file")


def test_a_newer_version_is_refused(exported, tmp_path):
    head = b'{"kind":"redun_lite_export","format":2,"sums":"others"}\n'
    expected = r"^x.jsonl:1: the export is of format 2, this program reads up to 1; use a newer"
    refused([head, *exported[1:]], tmp_path, expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"hello\n", "not a line of JSON"),
        (b"[1]\n", "expected a JSON object"),
        (b'{"kind":"task"}\n', "does not end with a sum"),
        (b'{"a":' + b"[" * 100_000 + b"\n", "not a line of JSON"),
        (b"\x80\x04.\n", "not a line of JSON"),
        (line_of({"kind": "thing"}), "not an export of redun_lite"),
        (line_of({"kind": "redun_lite_export", "format": "1"}), "not an export"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path, line, expected):
    refused([line], tmp_path, f"^x.jsonl:1: .*{expected}")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "thing"}, "unknown kind of record: 'thing'"),
        ({"extra": 1}, "expected the fields digest, fullname, version, source"),
        ({"digest": "abc"}, "digest of the task: expected 40 hexadecimal digits"),
        ({"digest": "A" * 40}, "digest of the task: expected 40 hexadecimal digits"),
        ({"fullname": 3}, "fullname of the task: expected text"),
        ({"fullname": "\ud800"}, "fullname of the task: "),
    ],
)
def test_a_field_that_is_not_as_it_should_be_is_named(exported, tmp_path, changes, expected):
    refused([exported[0], signed(exported[1], **changes)], tmp_path, f"^x.jsonl:2: {expected}")


def test_nothing_that_is_imported_is_loaded(exported, tmp_path):
    import base64

    payload = f"cos\nsystem\n(S'touch {tmp_path}/pwned'\ntR.".encode()
    line = next(ln for ln in exported if b'"type":"redun_lite.ErrorValue"' in ln)
    data = base64.b64encode(payload).decode()
    lines = closed([signed(ln, data=data) if ln is line else ln for ln in exported])
    import_lines(lines, "x", empty(tmp_path))
    copy_records(empty(tmp_path), empty(tmp_path, "third.db"))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "value",
    [1, "text", None, 1.5, b"bytes", [1, [2]], (1,), {"a": {"b": [None]}}, {1, 2}, frozenset("ab")],
    ids=lambda value: type(value).__name__,
)
def test_the_key_of_a_stored_value_is_told_without_loading_it(value):
    record = make_value_record(key_of(value), value)
    assert key_of_stored(record.type_name, record.data) == record.key


def test_the_key_of_what_only_looks_like_a_list_or_dict_is_not_told():
    from collections import Counter, OrderedDict, deque

    for value in (deque([1]), OrderedDict(a=1), [Counter("a")]):
        record = make_value_record(key_of(value), value)
        assert key_of_stored(record.type_name, record.data) is None


# Two repositories


def test_push_sends_what_the_other_side_lacks(recorded, tmp_path):
    other = empty(tmp_path)
    assert copy_records(recorded, other)["execution"] == 2
    assert text_of(other) == text_of(recorded)
    assert copy_records(recorded, other) == {}


def test_push_asks_before_it_walks_down(recorded, tmp_path, monkeypatch):
    """Of an execution that the other side has nothing is read but that it has it."""
    other = empty(tmp_path)
    copy_records(recorded, other)
    asked = []
    monkeypatch.setattr(
        "redun_lite._extract.Extract._follow_calls", lambda self, ids: asked.append(ids)
    )
    copy_records(recorded, other)
    assert asked == []


def test_push_and_pull_converge(recorded, tmp_path):
    lab = Lab(tmp_path)
    lab.run(total([double(i) for i in range(3)]))
    lab.run(use(Conn("db")))
    ours = SqliteFile(str(lab.path))
    theirs = empty(tmp_path)
    copy_records(recorded, theirs)
    copy_records(ours, theirs)
    copy_records(theirs, ours)
    assert text_of(ours) == text_of(theirs)
    lab.audit()


@pytest.mark.parametrize("kind", _WRITERS, ids=lambda kind: kind.__name__)
def test_a_push_that_was_interrupted_is_completed_by_the_next(
    recorded, tmp_path, monkeypatch, kind
):
    def interrupted(*_):
        raise KeyboardInterrupt

    other = SqliteFile(str(tmp_path / "lab.db"))
    with monkeypatch.context() as patch:
        patch.setitem(_WRITERS, kind, interrupted)
        with pytest.raises(KeyboardInterrupt):
            copy_records(recorded, other)
    copy_records(recorded, other)
    assert text_of(other) == text_of(recorded)
    assert copy_records(recorded, other) == {}
    Lab(tmp_path).audit()


def test_one_execution_can_be_pushed_alone(recorded, tmp_path):
    lab = Lab(tmp_path)
    lab.run(double(1))
    lab.run(double(2))
    other = empty(tmp_path)
    assert copy_records(SqliteFile(str(lab.path)), other, ["-"]) == {
        **dict.fromkeys(("execution", "job", "call", "task", "task_set"), 1),
        "value": 2,
    }


def test_a_tag_that_came_later_is_pushed(tmp_path):
    lab = Lab(tmp_path)
    lab.run(double(1))
    ours, other = SqliteFile(str(lab.path)), empty(tmp_path)
    copy_records(ours, other)
    with lab.scheduler() as scheduler:
        scheduler.run(apply_tags(double(1), [("good", True)]))
    new = copy_records(ours, other)
    assert (new["tag"], new["job"]) == (1, 1)


def test_the_result_of_a_union_does_not_depend_on_its_order(tmp_path_factory):
    calls = st.lists(
        st.one_of(
            st.integers(0, 3).map(double),
            st.integers(0, 3).map(lambda n: double(double(n))),
            st.lists(st.integers(0, 3), max_size=3).map(lambda ns: total([double(n) for n in ns])),
            st.integers(0, 2).map(lambda n: catch(fail(n), ValueError, recover)),
            st.integers(0, 2).map(lambda n: use(use(Conn(f"db{n}")))),
            st.integers(0, 1).map(lambda n: apply_tags(double(n), [("n", n)])),
        ),
        min_size=1,
        max_size=3,
    )

    @settings(max_examples=4, phases=[Phase.generate])
    @given(calls, calls)
    def check(first, second):
        folder = tmp_path_factory.mktemp("union")
        sources = []
        for name, expressions in (("a", first), ("b", second)):
            (folder / name).mkdir()
            lab = Lab(folder / name)
            with lab.scheduler() as scheduler:
                for expression in expressions:
                    scheduler.run(expression)
            sources.append(SqliteFile(str(lab.path)))
        texts = []
        for order in (sources, sources[::-1]):
            union = empty(folder, f"{len(texts)}.db")
            for source in order:
                import_lines(list(export_lines(source)), "x", union)
            texts.append(text_of(union))
        copy_records(sources[0], sources[1])
        copy_records(sources[1], sources[0])
        assert texts[0] == texts[1]
        assert text_of(sources[0]) == text_of(sources[1]) == texts[0]

    check()


def test_a_repository_of_another_schema_version_is_refused(recorded, tmp_path, monkeypatch):
    other = empty(tmp_path)
    copy_records(recorded, other)
    with sqlite3.connect(other.address) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    for pair in ((recorded, other), (other, recorded)):
        with pytest.raises(RepositoryError, match="has schema version 1, this program writes"):
            copy_records(*pair)


@pytest.mark.parametrize("table", ["task", "value"])
def test_what_refers_to_something_that_is_gone_is_not_exported_without_it(
    recorded, tmp_path, table
):
    other = empty(tmp_path)
    copy_records(recorded, other)
    connection = sqlite3.connect(other.address)
    with connection:
        connection.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT {table}_id FROM argument, job)"
        )
    connection.close()
    with pytest.raises(RepositoryError, match=f"row .* of the table {table} is referred to, but"):
        list(export_lines(other))


def test_a_repository_cannot_be_pushed_to_itself(recorded):
    with pytest.raises(UsageError, match="is the repository itself"):
        copy_records(recorded, recorded)


def test_an_execution_goes_on_beside_an_import(exported, tmp_path):
    """Between two transactions of an import others can write."""
    lab = Lab(tmp_path)
    lab.run(double(1))
    source = SqliteFile(str(lab.path))

    def lines():
        yield from exported
        assert lab.run(double(99)) == 198  # All was read, nothing written.

    import_lines(lines(), "x", source)
    assert lab.query("SELECT count(*) FROM execution") == [4]
    lab.audit()


@pytest.mark.parametrize("passed", ["value", "call"])
def test_an_import_finds_that_garbage_was_collected_beside_it(
    recorded, tmp_path, monkeypatch, passed
):
    """What is written and not referred to yet is garbage; so the ids of rows are looked up anew."""
    monkeypatch.setattr("redun_lite._absorb.TRANSACTION_RECORDS", 1)
    lab = Lab(tmp_path)
    lab.run(double(1))

    def blocks(extract):
        last = ""
        for block in extract.blocks():
            if last == passed != kind_of(block):
                with opened(SqliteFile(str(lab.path))) as other:
                    collect(other, Keep(last=1))
            last = kind_of(block)
            yield block

    target = SqliteFile(str(lab.path))
    with opened(recorded, True) as source, opened(target) as database, Extract(source) as extract:
        extract.choose_all()
        with pytest.raises(RepositoryError, match="if garbage was collected meanwhile, do it"):
            Absorber(database).absorb(blocks(extract))
    lab.audit()


def test_large_values_leave_their_store_and_go_to_that_of_the_other_side(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    backend = {"value_store_path": str(tmp_path / "store"), "value_store_min_size": "10"}
    lab = Lab(tmp_path / "a")
    lab.config = Config({"backend": {"db_uri": f"sqlite:///{lab.path}", **backend}})
    lab.run(double("reads " * 9))
    ours = SqliteFile(str(lab.path))
    lines = list(export_lines(ours))
    assert max(len(line) for line in lines if b'"kind":"value"' in line) > 200
    place = StorePlace(str(tmp_path / "b" / "store"), 10)
    other = Lab(tmp_path / "b")
    import_lines(lines, "x", SqliteFile(str(other.path)), place)
    assert other.query("SELECT count(*) FROM stored_value") == [2]
    assert text_of(SqliteFile(str(other.path))) == b"".join(lines)
    third = empty(tmp_path)
    copy_records(SqliteFile(str(other.path)), third)
    assert text_of(third) == b"".join(lines)


# The commands


@pytest.fixture
def here(recorded, tmp_path, monkeypatch):
    """A folder with a configuration and a repository that has all kinds of records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    assert main(["init"]) == 0
    copy_records(recorded, SqliteFile(str(tmp_path / ".redun_lite" / "redun_lite.db")))
    return tmp_path


def run_command(capsys, *words):
    capsys.readouterr()
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_export_writes_a_file_that_import_reads(here, capsys):
    assert run_command(capsys, "export", "-o", "all.jsonl")[0] == 0
    assert not [name for name in os.listdir(here) if name.endswith(".unfinished")]
    code, _, told = run_command(capsys, "import", "all.jsonl", "--repo", "sqlite:///new.db")
    assert code == 0
    made, imported = told.splitlines()
    assert made == f"made the repository {here / '.redun_lite' / 'new.db'}"
    assert imported.startswith("imported 2 executions, ")
    code, _, told = run_command(capsys, "import", "-f", "all.jsonl")
    assert (code, told) == (0, "nothing new in all.jsonl\n")


def test_export_and_import_work_over_a_pipe(here, capsysbinary, monkeypatch):
    assert main(["export", "-"]) == 0
    text = capsysbinary.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main(["import", "-", "--repo", "sqlite:///new.db"]) == 0
    assert b"\nimported 2 executions, " in capsysbinary.readouterr().err


def test_export_of_an_unknown_id_writes_no_file(here, capsys):
    code, _, told = run_command(capsys, "export", "feed", "-o", "some.jsonl")
    assert code == 2
    assert "'feed' in " in told
    assert not os.path.exists("some.jsonl")


def test_import_of_a_damaged_file_exits_with_2(here, capsys):
    (here / "bad.jsonl").write_text("{}\n")
    code, _, told = run_command(capsys, "import", "bad.jsonl")
    assert code == 2
    assert told.startswith("redun_lite: error: bad.jsonl:1: ")
    code, _, told = run_command(capsys, "import", "none.jsonl")
    assert (code, told) == (
        2,
        "redun_lite: error: cannot read none.jsonl: there is no such file\n",
    )


def test_push_and_pull_name_a_repository(here, capsys):
    assert run_command(capsys, "repo", "add", "team", str(here / "team.db"))[0] == 0
    code, _, told = run_command(capsys, "push", "team")
    assert code == 0
    made, pushed = told.splitlines()
    assert made == f"made the repository {here / 'team.db'}"
    assert re.fullmatch(r"pushed 2 executions, \d+ jobs, .* to team", pushed)
    assert run_command(capsys, "push", "team")[2] == "nothing new to team\n"
    assert run_command(capsys, "pull", "team")[2] == "nothing new from team\n"
    code, _, told = run_command(capsys, "pull", "tema")
    assert code == 2
    assert "did you mean team" in told


def test_reading_commands_look_into_a_repository_by_name(here, capsys, recorded):
    main(["repo", "add", "team", recorded.address])
    code, shown, _ = run_command(capsys, "log", "--repo", "team")
    assert code == 0
    assert "DONE" in shown


def test_repo_add_keeps_what_is_written_in_the_configuration(here, capsys):
    file = here / ".redun_lite" / "redun_lite.ini"
    file.write_text("# mine\n[scheduler]\ncache = yes\n\n# last words\n")
    os.chmod(file, 0o640)
    before = file.read_text()
    assert run_command(capsys, "repo", "add", "team", "sqlite:////data/$x.db")[0] == 0
    assert file.read_text() == before + "\n[repos.team]\ndb_uri = sqlite:////data/$$x.db\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert run_command(capsys, "repo", "remove", "team")[0] == 0
    assert file.read_text() == before


def test_repo_remove_removes_its_section_only(here, capsys):
    file = here / ".redun_lite" / "redun_lite.ini"
    file.write_text(
        "[repos.a]\ndb_uri =\n  sqlite:///a.db\n\n# about b\n[repos.b]\ndb_uri = sqlite:///b.db\n"
    )
    assert run_command(capsys, "repo", "remove", "a")[0] == 0
    assert file.read_text() == "# about b\n[repos.b]\ndb_uri = sqlite:///b.db\n"


def test_repo_list_shows_where_each_is(here, capsys):
    main(["repo", "add", "team", str(here / "team.db")])
    (here / "they").mkdir()
    main(["-c", "they", "init"])
    main(["repo", "add", "they", "they"])
    code, shown, _ = run_command(capsys, "repo", "list")
    assert code == 0
    assert [line.split() for line in shown.splitlines()] == [
        ["default", str(here / ".redun_lite" / "redun_lite.db")],
        ["team", str(here / "team.db")],
        ["they", str(here / "they" / "redun_lite.db")],
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a b", "x.db"], "a name is of letters"),
        (["default", "x.db"], "repo add default: that is the repository here"),
        (["team", ""], "repo add: WHERE: it is empty"),
        (["team", "postgresql://ada:pw@host/db"], "expected no user name or password"),
        (["team", "sqlite://x?y"], "expected sqlite:///"),
        (["team", "."], "is a folder without a redun_lite.ini"),
    ],
)
def test_repo_add_refuses_what_cannot_be_a_repository(here, capsys, words, expected):
    before = (here / ".redun_lite" / "redun_lite.ini").read_text()
    code, _, told = run_command(capsys, "repo", "add", *words)
    assert code == 2
    assert expected in told
    assert "pw" not in told
    assert (here / ".redun_lite" / "redun_lite.ini").read_text() == before


def test_a_name_is_given_to_one_repository_only(here, capsys):
    assert main(["repo", "add", "team", "a.db"]) == 0
    code, _, told = run_command(capsys, "repo", "add", "team", "b.db")
    assert code == 2
    assert "`repo remove team` forgets it" in told
    code, _, told = run_command(capsys, "repo", "remove", "tema")
    assert (code, "did you mean team" in told) == (2, True)


def test_a_configuration_with_repositories_can_be_read_again(here):
    main(["repo", "add", "team", "sqlite:////data/x.db"])
    config = Config.from_dir(here / ".redun_lite")
    assert config.repository("team").db_path() == "/data/x.db"


def test_a_name_may_have_dots_and_dashes_but_no_spaces(here, capsys):
    assert run_command(capsys, "repo", "add", "a-b.c", "x.db")[0] == 0
    code, _, told = run_command(capsys, "repo", "add", "a b", "x.db")
    assert (code, "a name is of letters, digits, - _ and ." in told) == (2, True)


@pytest.mark.parametrize("command", ["push", "pull"])
def test_only_the_repository_is_said_to_be_missing(here, capsys, command):
    code, _, told = run_command(capsys, command)
    assert code == 2
    assert "the following arguments are required: REPO;" in told


def test_a_repository_may_have_any_name_of_a_file(here, capsys):
    name = b"caf\xe9.db".decode("utf-8", "surrogateescape")
    assert run_command(capsys, "push", name)[0] == 0
    code, shown, _ = run_command(capsys, "log", "--repo", name)
    assert code == 0
    assert "EXECUTION" in shown
