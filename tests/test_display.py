"""How things look as text, and that showing a stored value runs nothing that it holds."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import io
import os
import pathlib
import pickle
import sys

import pytest

from redun_lite._display import (
    SCRIPT_TASK,
    Palette,
    clip,
    clip_middle,
    format_call,
    format_duration,
    format_job_line,
    format_job_table,
    format_size,
    format_table,
    format_time,
    one_line,
    printable,
    use_colour,
)
from redun_lite._expr import dumps_expr
from redun_lite._file import Dir, File
from redun_lite._format_value import (
    format_error,
    format_stored,
    format_stored_block,
    format_value,
)
from redun_lite._record import ErrorValue
from redun_lite._safe_load import MAX_SIZE, load_safely
from redun_lite._task import task
from redun_lite._value import Value


class Colour(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Sample:
    name: str
    reads: list


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: str


Point = collections.namedtuple("Point", "x y")


class Named(Value):
    def __init__(self, name):
        self.name = name
        self._secret = 1


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a = 1
        self.b = [2]


@dataclasses.dataclass(frozen=True)
class FrozenSlots:
    __slots__ = ("a",)
    a: object


class Refused(Exception):
    def __init__(self, reason, code):
        super().__init__(reason)


class Pairs(dict):
    pass


class Numbers(list):
    pass


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no")


@task(namespace="display", version="1")
def add(a, b):
    return a + b


def show(value: object, limit: int = 60) -> str:
    """Return how a value looks once it has been stored."""
    data = dumps_expr(value)
    return format_stored(f"{type(value).__module__}.{type(value).__name__}", len(data), data, limit)


def show_pickle(*parts: bytes) -> str:
    data = b"".join(parts)
    return format_stored("evil.Type", len(data), data)


# Values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-7, "-7"),
        (1.5, "1.5"),
        (2j, "complex(0.0, 2.0)"),
        ("it's", '"it\'s"'),
        (b"\x00", "b'\\x00'"),
        (bytearray(b"ab"), "bytearray(b'ab')"),
        ([], "[]"),
        ((1,), "(1,)"),
        ((1, [2, {"a": (3, 4)}]), "(1, [2, {'a': (3, 4)}])"),
        ({"b": 1, "a": [2]}, "{'b': 1, 'a': [2]}"),
        ({"b", "a"}, "{'a', 'b'}"),
        (set(), "set()"),
        (frozenset({1}), "frozenset({1})"),
        (Point(1, [2]), "Point(1, [2])"),
        (Sample("s1", [1]), "Sample(name='s1', reads=[1])"),
        (Frozen("s1"), "Frozen(name='s1')"),
        (Named("n"), "Named(name='n')"),
        (Slotted(), "Slotted(a=1, b=[2])"),
        (Pairs(a=1), "Pairs('a': 1)"),
        (Numbers([1, 2]), "Numbers(1, 2)"),
        (FrozenSlots(1), "FrozenSlots(a=1)"),
        (Refused("late", 5), "Refused('late')"),
        (Colour.RED, "Colour.RED"),
        (Access.READ | Access.WRITE, "Access.READ|WRITE"),
        (Access(0), "Access(0)"),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
        (pathlib.PurePosixPath("/a/b"), "PurePosixPath('/', 'a', 'b')"),
        (datetime.date(2024, 2, 3), "datetime.date(2024, 2, 3)"),
        (datetime.timedelta(days=1), "datetime.timedelta(days=1)"),
        (range(3), "range(0, 3, 1)"),
        (collections.OrderedDict(a=1), "{'a': 1}"),
        (collections.Counter("aab"), "{'a': 2, 'b': 1}"),
        (collections.defaultdict(list, a=[1]), "{'a': [1]}"),
        (collections.deque([1, 2]), "[1, 2]"),
        (len, "builtins.len"),
        (Sample, f"{__name__}.Sample"),
        (add, "Task(display.add)"),
        (add.partial(1), "PartialTask(task=Task(display.add), args=(1,), kwargs={})"),
        (ValueError("no", 1), "ValueError('no', 1)"),
    ],
)
def test_a_stored_value_looks_like_the_source_that_makes_it(value, text):
    if isinstance(value, pathlib.PurePath) and sys.version_info >= (3, 12):
        pytest.skip("its parts are joined when it is stored")
    assert show(value) == text


def test_a_stored_file_is_shown_with_its_path_and_the_start_of_its_hash(tmp_path):
    file = File(str(tmp_path / "a.txt"))
    file.write("hello")
    assert show(file, 1000) == repr(file)
    assert show([Dir(str(tmp_path))], 1000).startswith(f"[Dir(path={tmp_path}, hash=")


def test_a_stored_file_is_shown_without_looking_at_the_file(tmp_path):
    file = File(str(tmp_path / "a.txt"))
    file.write("hello")
    shown = show(file, 1000)
    data = dumps_expr(file)
    file.remove()
    assert format_stored("redun_lite.File", len(data), data, 1000) == shown


def test_a_stored_path_is_shown_as_one_path():
    assert show(pathlib.PosixPath("/a/b")) == "PosixPath('/a/b')"


def test_a_stored_error_is_shown_by_its_class_and_message():
    error = ErrorValue("builtins.ZeroDivisionError", "division by zero", "Traceback …")
    assert show(error) == "ZeroDivisionError('division by zero')"


def test_stored_expressions_are_shown_as_calls():
    shared = add(1, 2)
    assert show(add(shared, b=[shared])) == "display.add(display.add(1, 2), b=[display.add(1, 2)])"
    assert show(shared + 1) == "add(display.add(1, 2), 1)"


def test_an_expression_that_is_shared_a_thousandfold_is_cut_short():
    expr = add(1, 1)
    for _ in range(100):
        expr = add(expr, expr)
    assert show(expr).endswith("…")


def test_a_value_of_the_running_workflow_is_shown_the_same_way():
    value = {"sample": Sample("s1", [Frozen("f")]), "point": Point(1, 2), "call": add(1, 2)}
    assert format_value(value, 200) == (
        "{'sample': Sample(name='s1', reads=[Frozen(name='f')]), 'point': Point(x=1, y=2), "
        "'call': display.add(1, 2)}"
    )


def test_a_long_value_is_cut_without_writing_all_of_it():
    assert format_value(list(range(10**6)), 10) == "[0, 1, 2,…"
    assert format_value("x" * 10**8, 10) == "'xxxxxxxx…"
    assert format_value(1 << 10**7) == "<int of 10,000,001 bits>"


def test_a_value_whose_repr_raises_is_shown_by_its_type():
    assert format_value([Unshowable()]) == "<list: cannot be shown>"


def test_a_value_that_contains_itself_is_shown():
    value: list = [1]
    value.append(value)
    assert format_value(value) == "[1, [1, [1, [1, [1, [1, …]]]]]]"


def test_a_value_with_lines_becomes_one_line():
    class Frame:
        def __repr__(self):
            return "   a  b\n0  1  2"

    assert format_value(Frame()) == "a b 0 1 2"


def test_a_value_that_was_too_long_to_read_is_shown_by_type_and_size():
    assert format_stored("builtins.list", 4_200_000, None) == "<list: 4.2 MB>"


def test_a_long_value_takes_a_line_for_each_element():
    data = pickle.dumps({"a": "x" * 20, "b": "y" * 20}, 5)
    assert format_stored_block("builtins.dict", len(data), data, 40) == [
        "{",
        "  'a': 'xxxxxxxxxxxxxxxxxxxx',",
        "  'b': 'yyyyyyyyyyyyyyyyyyyy',",
        "}",
    ]


def test_of_a_very_long_value_the_first_elements_are_shown():
    data = pickle.dumps(list(range(1000)), 5)
    lines = format_stored_block("builtins.list", len(data), data, 40)
    assert lines[:2] == ["[", "  0,"]
    assert lines[-2:] == ["  … 970 more", "]"]


# Hostile values


class Execute:
    """Touches a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_a_stored_value_that_would_run_a_command_is_shown_as_the_call(tmp_path):
    data = pickle.dumps(Execute(tmp_path / "ran"), 5)
    assert format_stored("evil", len(data), data).startswith("system('touch ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_no_protocol_of_pickle_runs_anything(tmp_path, protocol):
    data = pickle.dumps([Execute(tmp_path / "ran")], protocol)
    format_stored("evil", len(data), data)
    assert not (tmp_path / "ran").exists()


def test_a_class_is_shown_without_importing_its_module(tmp_path, monkeypatch):
    (tmp_path / "trap_on_import.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert show_pickle(b"\x80\x05\x8c\x0etrap_on_import\x8c\x01C\x93.") == "trap_on_import.C"
    assert show_pickle(b"ctrap_on_import\nC\n.") == "trap_on_import.C"
    assert "trap_on_import" not in sys.modules


def test_a_class_with_an_extension_code_is_not_looked_up():
    assert show_pickle(pickle.EXT1, b"\x01.") == "<Type: cannot be shown>"


def test_no_constructor_or_state_hook_of_a_user_class_is_called():
    data = pickle.dumps(Trap(), 5)
    Trap.called = []
    assert format_stored("Trap", len(data), data) == "Trap(a=1)"
    assert Trap.called == []


class Trap:
    called: list = []

    def __init__(self):
        self.a = 1

    def __new__(cls):
        cls.called.append("new")
        return super().__new__(cls)

    def __setstate__(self, state):
        self.called.append("setstate")

    def __repr__(self):
        self.called.append("repr")
        return "Trap"


def test_a_huge_memo_index_allocates_nothing():
    assert show_pickle(b"\x80\x05K\x01r\xff\xff\xff\x7f.") == "1"


def test_a_huge_announced_length_allocates_nothing():
    huge = (1 << 50).to_bytes(8, "little")
    for code in (pickle.BYTEARRAY8, pickle.BINBYTES8, pickle.BINUNICODE8, pickle.FRAME):
        show_pickle(b"\x80\x05", code, huge, b"abc.")


def test_nested_references_that_would_grow_without_end_are_cut():
    laughs = b"]\x94" + b"".join(
        b"]\x94(" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"e"
        for level in range(50)
    )
    assert show_pickle(b"\x80\x05", laughs, b".").endswith("…")


def test_tuples_nested_without_end_as_a_key_do_not_crash_the_reader():
    deep = b"}" + b")" + b"\x85" * 50_000 + b"K\x01s."
    assert show_pickle(b"\x80\x05", deep) == "{(((((…,),),),),): 1}"


def test_a_name_that_would_be_repeated_without_end_is_refused():
    name = b"\x8c\xff" + b"a" * 255 + b"\x94"
    long = b"".join([b"X", (2000).to_bytes(4, "little"), b"b" * 2000])
    assert show_pickle(b"\x80\x05", name, long, b"\x93.") == "<Type: cannot be shown>"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        b"\x80\x05.",
        b"\x80\x05K\x01",
        b"E",
        b"E\x80\x05K\x01.",
        b"\x80\x05K\x01K\x02R.",
        b"\x80\x05K\x01}b.",
        b"\x80\x05h\x07.",
        b"I1\n.",
        b"\x80\x63.",
    ],
)
def test_a_broken_value_is_shown_by_its_type(data):
    assert show_pickle(data) in ("<Type: cannot be shown>", "1")


def test_a_value_that_is_too_long_is_not_taken_apart():
    data = pickle.dumps(b"x" * (MAX_SIZE + 1), 5)
    with pytest.raises(pickle.UnpicklingError):
        load_safely(data)


def test_a_graph_that_refers_to_no_node_is_shown_by_its_type():
    value, refer = pickle.dumps([], 5)[:-1], b"K\x07Q"
    data = b"E" + value + refer + b"\x86."
    assert format_stored("Type", len(data), data) == "<Type: cannot be shown>"


def test_control_sequences_in_names_of_a_value_are_escaped():
    data = pickle.dumps({"a": 1}, 5)
    assert "\x1b" not in format_stored("evil.\x1b[2J", len(data), None)
    assert "\x1b" not in show_pickle(b"\x80\x05\x8c\x04\x1b[2J\x8c\x01C\x93.")


# Text, numbers, times


def test_text_keeps_line_breaks_and_loses_control_sequences():
    assert printable("a\tb\n\x1b[31mc\r\x07\u202e\ud800") == (
        "a\tb\n\\x1b[31mc\\r\\x07\\u202e\\ud800"
    )
    assert one_line("a\n  b\x00") == "a b\\x00"


def test_text_in_any_script_is_cut_in_its_middle():
    text = "the script 'sort … | uniq' ended with exit status 3"
    assert clip_middle(text, 30) == "the script 'sort …xit status 3"
    assert clip_middle("日本語日本語日本語", 9) == "日本…語"
    assert clip_middle("日本語", 6) == "日本語"


def test_a_stored_error_hides_what_was_noted_on_it():
    error = ZeroDivisionError("division by zero")
    error._noted = "Traceback …"
    stored = load_safely(pickle.dumps(error))
    assert format_value(stored) == "ZeroDivisionError('division by zero')"


def test_clipping_counts_columns_not_characters():
    assert clip("日本語", 6) == "日本語"
    assert clip("日本語", 5) == "日本…"
    assert clip("e\u0301te\u0301", 3) == "e\u0301te\u0301"


def test_lengths_of_time_are_readable():
    shown = [format_duration(s) for s in (0, 0.0096, 0.9999, 59.96, 3599.6, 86400)]
    assert shown == ["0 µs", "9.6 ms", "1.0 s", "1m 00s", "1h 00m", "1d 00h"]


def test_sizes_are_readable():
    shown = [format_size(n) for n in (0, 1, 999, 1000, 999_960, 10**15)]
    assert shown == ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "1.0 MB", "1000.0 TB"]


def test_times_are_local(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert format_time(0) == "1970-01-01 02:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_impossible_time_is_a_question_mark():
    assert format_time(10**30) == "?"


# Colour


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colours_are_for_terminals(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert use_colour(Terminal())
    assert not use_colour(io.StringIO())


def test_no_color_turns_colours_off(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour(Terminal())


def test_a_dumb_terminal_gets_no_colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert not use_colour(Terminal())


# Lines and tables


def test_a_job_line_is_aligned_and_coloured_by_status():
    line = format_job_line("FAILED", "5c1f9a3e-12", "add(a=1)", 0.5, 2, 14, Palette(True))
    assert line == "\x1b[1;31mFAILED   \x1b[0m 5c1f9a3e-12      500 ms      add(a=1)"


def test_a_job_line_fits_with_its_note_beside_the_call_or_below():
    def line(call, width):
        return format_job_line("FAILED", "5c1f9a3e-1", call, note="ValueError: no", width=width)

    head = "FAILED    5c1f9a3e-1             "
    assert line("add(a=1)", 60) == head + "add(a=1)  ValueError: no"
    assert line("add(a=1000)", 50) == head + "add(a=1000)\n          ValueError: no"
    assert line("add(a=" + "1" * 80 + ")", 50).split("\n")[0] == head + "add(a=1111111111…"
    assert line("add(a=" + "1" * 80 + ")", None) == (
        head + "add(a=" + "1" * 80 + ")  ValueError: no"
    )


def test_in_a_deep_tree_the_call_still_has_room():
    line = format_job_line("DONE", "5c1f9a3e-1", "x" * 100, depth=50, width=70)
    assert len(line) == 70
    assert line.endswith(" " + "x" * 23 + "…")


def test_an_error_is_one_line():
    assert format_error("m.Broken", "\nno way\nat all") == "Broken: no way"
    assert format_error("Broken", "") == "Broken"
    assert format_error("Broken", "\x1b[2J") == "Broken: \\x1b[2J"


def test_of_a_script_what_goes_without_saying_is_left_out():
    defaults = {
        "inputs": (),
        "outputs": File("-").stage("-"),
        "files": [],
        "tempdir": False,
        "as_mount": False,
    }
    given = {"inputs": [File("a").stage("b")], "files": [File("a")], "tempdir": True}

    def line(arguments):
        return format_call(SCRIPT_TASK, [(k, format_value(v)) for k, v in arguments.items()])

    assert line({"command": "ls", **defaults}) == "redun_lite.script(command='ls')"
    assert line({"command": "ls", **defaults, **given}) == (
        "redun_lite.script(command='ls', inputs=[StagingFile(local=b, remote=a)], tempdir=True)"
    )


def test_a_call_whose_arguments_are_not_known_says_so():
    assert format_call("align", None) == "align(…)"


def test_a_table_is_as_wide_as_its_cells():
    assert format_table([["A", "B"], ["long", "1"], ["x", "1,000"]], "<>") == [
        "A         B",
        "long      1",
        "x     1,000",
    ]


def test_the_table_of_jobs_has_the_columns_that_matter():
    lines = format_job_table({"DONE": {"a": 1}, "RUNNING": {"b": 2}, "CANCELLED": {}})
    assert lines == [
        "TASK  RUNNING  FAILED  CACHED  DONE  TOTAL",
        "ALL         2       0       0     1      3",
        "a           0       0       0     1      1",
        "b           2       0       0     0      2",
    ]


def test_the_table_of_no_jobs_is_a_table():
    assert format_job_table({})[1].split() == ["ALL", "0", "0", "0", "0"]


def test_the_table_of_many_tasks_is_cut():
    lines = format_job_table({"DONE": {f"task{i:03}": 1 for i in range(100)}})
    assert lines[1].split()[-1] == "100"
    assert lines[-1] == "… 60 more tasks"
