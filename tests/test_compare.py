"""What differs between stored values, sources and files."""

from __future__ import annotations

import collections
import dataclasses
import pickle

import pytest
from hostile_pickles import BIG, CORPUS

from redun_lite import ContentFile, File, FileSet, IFile
from redun_lite._compare import (
    ABSENT,
    AS_RECORDED,
    CHANGED,
    GONE,
    UNKNOWN,
    differences,
    externals_in,
    present_state,
    source_diff,
)
from redun_lite._expr import dumps_expr
from redun_lite._safe_load import load_safely


@dataclasses.dataclass
class Sample:
    name: str
    reads: object = None


Point = collections.namedtuple("Point", "x y")


def taken_apart(value):
    return load_safely(dumps_expr(value))


def parts(before, after):
    found = differences(taken_apart(before), taken_apart(after))
    return [(part.path, part.before, part.after) for part in found]


@pytest.mark.parametrize(
    "value",
    [1, "a", [1, (2, {"a": {3}})], Sample("s"), Point(1, 2), float("nan"), {"b", "a", "c"}],
)
def test_equal_values_do_not_differ(value):
    assert parts(value, value) == []


def test_sets_have_no_order():
    one, other = set(), set()
    one.update(["a", "b", "c", "d"])
    other.update(["d", "c", "b", "a"])
    assert (
        differences(
            load_safely(b"\x80\x05\x8f(K\x01K\x02\x90."),
            load_safely(b"\x80\x05\x8f(K\x02K\x01\x90."),
        )
        == []
    )
    assert parts(one, other) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (1, 2, [("", 1, 2)]),
        (1, True, [("", 1, True)]),
        ([1, 2, 3], [1, 5, 3], [("[1]", 2, 5)]),
        ([1, 2], [1, 2, 3], [("[2]", ABSENT, 3)]),
        ([1, 2], [0, 1, 2], [("[0]", ABSENT, 0)]),
        ([1, 2, 3], [1, 3], [("[1]", 2, ABSENT)]),
        ({"a": 1}, {"a": 2}, [("['a']", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("['a']", 1, ABSENT), ("['b']", ABSENT, 1)]),
        ({1: "a"}, {True: "a"}, [("[1]", "a", ABSENT), ("[True]", ABSENT, "a")]),
        ({"a"}, {"b"}, [("{…}", "a", ABSENT), ("{…}", ABSENT, "b")]),
        (Sample("a", [1]), Sample("a", [2]), [(".reads[0]", 1, 2)]),
        (Point(1, 2), Point(1, 3), [("[1]", 2, 3)]),
        ([{"s": Sample("a")}], [{"s": Sample("b")}], [("[0]['s'].name", "a", "b")]),
    ],
)
def test_the_innermost_parts_that_differ_are_found(before, after, found):
    assert parts(before, after) == found


def test_of_many_differences_some_are_returned():
    assert len(parts(list(range(1000)), list(range(1, 2000, 2)))) == 13


def test_values_that_are_too_large_to_compare_differ_as_a_whole():
    before, after = [[1] * 200_000], [[1] * 200_000]
    assert [part.path for part in differences(before, after)] == [""]


def test_files_are_compared_as_a_whole(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    before = taken_apart([File(str(path))])
    path.write_text("22")
    ((place, *_),) = [(part.path,) for part in differences(before, taken_apart([File(str(path))]))]
    assert place == "[0]"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [*CORPUS, *BIG])
def test_hostile_values_are_compared_in_bounded_time(name):
    data = {**CORPUS, **BIG}[name]
    try:
        one, other = load_safely(data), load_safely(data)
    except Exception:
        return
    differences(one, other)
    differences(one, [other])
    for value in externals_in(one):
        present_state(value)


# Sources


def test_a_diff_shows_what_came_and_what_went():
    assert source_diff("a\nb\n", "a\nc\n") == [" a", "-b", "+c"]


def test_a_diff_of_several_places_says_where_they_are():
    before = [str(n) for n in range(40)]
    after = ["x", *before[1:-1], "y"]
    lines = source_diff("\n".join(before), "\n".join(after))
    assert sum(line.startswith("@@") for line in lines) == 2


# Files


def test_a_file_is_as_recorded_changed_or_gone(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    recorded = taken_apart(File(str(path)))
    assert present_state(recorded).state == AS_RECORDED
    path.write_text("22")
    assert present_state(recorded).state == CHANGED
    path.unlink()
    assert present_state(recorded).state == GONE


def test_what_never_changes_is_as_recorded(tmp_path):
    assert present_state(taken_apart(IFile(str(tmp_path / "none")))).state == AS_RECORDED


def test_what_would_take_long_to_look_at_is_not_looked_at(tmp_path):
    pattern = FileSet(str(tmp_path / "*"))
    assert present_state(taken_apart(pattern)).state == UNKNOWN
    device = ContentFile("/dev/zero")
    device._hash = "a" * 40
    assert present_state(taken_apart(device)).state == UNKNOWN
    remote = File("http://127.0.0.1:9/a")
    remote._hash = "a" * 40
    assert present_state(taken_apart(remote)).state == UNKNOWN


def test_files_are_found_wherever_they_are(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    value = taken_apart({"a": [Sample("s", File(str(path)))]})
    assert [found.text("path") for found in externals_in(value)] == [str(path)]


def test_a_class_that_is_no_file_is_not_made():
    data = pickle.dumps(1, 5)
    assert externals_in(load_safely(data)) == []
