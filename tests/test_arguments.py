"""From words on the command line to a task's arguments, by its type hints."""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import typing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NewType,
    Optional,
    TypeVar,
    Union,
)

import pytest

from redun_lite._client.arguments import help_lines, parse_arguments, takes_option
from redun_lite._errors import ArgumentError, UsageError
from redun_lite._file import Dir, File
from redun_lite._hints import describe_type, from_text, from_texts
from redun_lite._task import Task
from redun_lite._value import Value

if TYPE_CHECKING:
    from somewhere import Unknown

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = 1
    DARK_BLUE = "navy"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@dataclasses.dataclass
class Shape:
    name: str
    points: list[Point]
    colour: Optional[Colour] = None


class Temperature(Value):
    def __init__(self, celsius):
        self.celsius = celsius

    @classmethod
    def parse_arg(cls, raw_type, arg):
        if not arg.endswith("C"):
            raise ValueError(arg)
        return raw_type(float(arg[:-1]))


class Opaque(Value):
    pass


class Foreign:
    pass


def parse(func, line: str = "", *more: str):
    """Return what a task made of a function is called with, by parameter."""
    made = Task(func, func.__name__, "", version="1", options={})
    args, kwargs = parse_arguments(made, [*line.split(), *more])
    return made.signature.bind(*args, **kwargs).arguments


def error_of(func, line: str = "", *more: str) -> str:
    with pytest.raises(ArgumentError) as caught:
        parse(func, line, *more)
    return str(caught.value)


# One value


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "-3", -3),
        (float, "1e3", 1000.0),
        (complex, "1+2j", 1 + 2j),
        (str, "3", "3"),
        (bytes, "ab", b"ab"),
        (bool, "true", True),
        (bool, "No", False),
        (type(None), "None", None),
        (Optional[int], "3", 3),
        (Optional[int], "none", None),
        (Optional[str], "null", None),
        (Optional[str], "x", "x"),
        (Union[str, int], "3", 3),
        (Union[int, float], "0.5", 0.5),
        (Union[str, int], "three", "three"),
        (Literal["a", 1, None], "1", 1),
        (Literal["a", 1], "a", "a"),
        (Colour, "RED", Colour.RED),
        (Colour, "1", Colour.RED),
        (Colour, "navy", Colour.DARK_BLUE),
        (Level, "HIGH", Level.HIGH),
        (UserId, "7", 7),
        (datetime.datetime, "2024-02-03T04:05:06", datetime.datetime(2024, 2, 3, 4, 5, 6)),
        (
            datetime.datetime,
            "2024-02-03T04:05:06Z",
            datetime.datetime(2024, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
        ),
        (datetime.date, "2024-02-03", datetime.date(2024, 2, 3)),
        (datetime.time, "04:05", datetime.time(4, 5)),
        (datetime.timedelta, "P1DT2H30M", datetime.timedelta(days=1, hours=2, minutes=30)),
        (datetime.timedelta, "-PT0.5S", datetime.timedelta(seconds=-0.5)),
        (datetime.timedelta, "2 days, 1:02:03", datetime.timedelta(2, 3723)),
        (pathlib.Path, "a/b", pathlib.Path("a/b")),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (uuid.UUID, "0" * 32, uuid.UUID(int=0)),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[int, float], '{"1": 2}', {1: 2.0}),
        (Mapping[str, Any], "{'a': (1, 2)}", {"a": (1, 2)}),
        (dict, '{"a": [1]}', {"a": [1]}),
        (dict[str, list[int]], '{"a": [1]}', {"a": [1]}),
        (
            dict[Colour, datetime.date],
            '{"RED": "2024-02-03"}',
            {Colour.RED: datetime.date(2024, 2, 3)},
        ),
        (Point, '{"x": 1}', Point(1)),
        (
            Shape,
            '{"name": "s", "points": [{"x": 1, "y": 2}], "colour": "RED"}',
            Shape("s", [Point(1, 2.0)], Colour.RED),
        ),
        (Optional[Point], '{"x": 1}', Point(1)),
        (inspect.Parameter.empty, "[1, 'a']", [1, "a"]),
        (inspect.Parameter.empty, "plain words", "plain words"),
        (Any, "3", 3),
        (T, "3", 3),
        (object, "x", "x"),
    ],
)
def test_text_becomes_a_value_of_the_type(hint, text, value):
    made = from_text(hint, text)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "x"),
        (int, "1.5"),
        (float, "x"),
        (bool, "maybe"),
        (Optional[int], "x"),
        (Literal["a"], "b"),
        (Colour, "GREEN"),
        (datetime.date, "3.2.2024"),
        (datetime.timedelta, "P"),
        (dict[str, int], '{"a": "b"}'),
        (dict[str, int], "[1]"),
        (dict[str, int], "{a: 1}"),
        (Point, "[1]"),
        (Point, '{"x": "1"}'),
    ],
)
def test_text_that_does_not_fit_the_type_is_refused(hint, text):
    with pytest.raises(ValueError):  # noqa: PT011
        from_text(hint, text)


GENERIC_HINTS = {
    **{cls.__name__: cls for cls in (dict, list, tuple, set, frozenset, type)},
    **{
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (typing, collections.abc, collections)
        for name in module.__all__
    },
}


@pytest.mark.parametrize("hint", GENERIC_HINTS.values(), ids=GENERIC_HINTS)
def test_every_hint_of_the_standard_library_has_a_name_and_takes_or_refuses_text(hint):
    hints = [hint, Optional[Literal["x"]]]
    for make in (lambda h: h[int], lambda h: h[str, int], lambda h: Optional[h], lambda h: list[h]):
        try:
            hints.append(make(hint))
        except Exception:  # Not all can be written so.
            continue
    for each in hints:
        assert describe_type(each)

        def f(x):
            pass

        f.__annotations__["x"] = each
        for text in ('{"lr": 1}', "[1]", "x"):
            with contextlib.suppress(ArgumentError):
                parse(f, "--x", text)


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (dict, "dict (JSON)"),
        (typing.Dict, "dict (JSON)"),  # noqa: UP006
        (Mapping, "dict (JSON)"),
        (Optional[dict], "dict (JSON) or none"),
        (list[dict], "list of dict (JSON)"),
        (dict[str, dict], "dict of str to dict (JSON)"),
        (T, "any value"),
    ],
)
def test_a_hint_without_members_is_named(hint, name):
    assert describe_type(hint) == name


def test_files_and_other_values_parse_themselves():
    assert repr(from_text(File, "a.txt")) == "File(path=a.txt)"
    assert repr(from_text(Dir, "a")) == "Dir(path=a)"
    assert from_text(Temperature, "20C").celsius == 20.0


def test_a_type_that_has_no_text_is_named():
    with pytest.raises(UsageError, match="Opaque cannot be given on the command line"):
        from_text(Opaque, "x")
    with pytest.raises(UsageError, match="a Foreign cannot be given on the command line"):
        from_text(Foreign, "x")


def test_an_unknown_field_of_a_dataclass_is_named():
    with pytest.raises(UsageError, match="Point has no 'z'"):
        from_text(Point, '{"x": 1, "z": 2}')


def test_a_missing_field_of_a_dataclass_is_named():
    with pytest.raises(UsageError, match="'x'"):
        from_text(Point, "{}")


# Many values


@pytest.mark.parametrize(
    ("hint", "texts", "value"),
    [
        (list[int], ["1", "-2"], [1, -2]),
        (list[int], ["[1, 2]"], [1, 2]),
        (list[int], ["[]"], []),
        (list, ["1", "a"], [1, "a"]),
        (list[str], ["[not json"], ["[not json"]),
        (list[str], ['["a", "b"]'], ["a", "b"]),
        (list[list[int]], ["[1]", "[2]"], [[1], [2]]),
        (list[list[int]], ["[[1], [2]]"], [[1], [2]]),
        (list[list[int]], ["[1]"], [[1]]),
        (Sequence[float], ["1"], [1.0]),
        (Iterable[int], ["1"], [1]),
        (tuple[int, str], ["1", "2"], (1, "2")),
        (tuple[int, ...], ["1", "2", "3"], (1, 2, 3)),
        (tuple[int, str], ['[1, "a"]'], (1, "a")),
        (set[int], ["1", "1"], {1}),
        (frozenset[str], ["a"], frozenset({"a"})),
        (Optional[list[int]], ["1"], [1]),
        (Optional[list[int]], ["none"], None),
        (Union[list[int], str], ["abc"], "abc"),
        (list[Colour], ["RED", "navy"], [Colour.RED, Colour.DARK_BLUE]),
        (list[Point], ['{"x": 1}', '{"x": 2}'], [Point(1), Point(2)]),
        (list[dict[str, int]], ['[{"a": 1}]'], [{"a": 1}]),
    ],
)
def test_words_become_a_collection_of_the_type(hint, texts, value):
    made = from_texts(hint, texts)
    assert made == value
    assert type(made) is type(value)


def test_the_older_spelling_of_types_means_the_same():
    assert from_texts(typing.List[int], ["1"]) == [1]  # noqa: UP006
    assert from_texts(typing.Tuple[int, str], ["1", "2"]) == (1, "2")  # noqa: UP006
    assert from_text(typing.Dict[str, int], '{"a": 1}') == {"a": 1}  # noqa: UP006
    assert from_texts(typing.List, ["1"]) == [1]  # noqa: UP006


def test_a_tuple_of_fixed_length_takes_so_many_words():
    with pytest.raises(ValueError):  # noqa: PT011
        from_texts(tuple[int, int], ["1"])


# The words


def test_arguments_are_given_by_name():
    def f(a: int, b: str = "x"):
        pass

    assert parse(f, "--a 1 --b 2") == {"a": 1, "b": "2"}
    assert parse(f, "--a=1") == {"a": 1}


def test_dashes_and_underscores_are_the_same():
    def f(read_length: int):
        pass

    assert parse(f, "--read-length 5") == parse(f, "--read_length 5") == {"read_length": 5}


def test_a_negative_number_is_a_value():
    def f(a: int, b: list[float]):
        pass

    assert parse(f, "--a -1 --b -1 -2.5") == {"a": -1, "b": [-1.0, -2.5]}


def test_a_value_may_be_empty_or_start_with_dashes_behind_an_equals_sign():
    def f(a: str, b: str = ""):
        pass

    assert parse(f, "--a=--b --b=") == {"a": "--b", "b": ""}


def test_a_list_takes_what_follows_and_may_be_repeated():
    def f(a: list[int]):
        pass

    assert parse(f, "--a 1 2 --a 3 --a=4") == {"a": [1, 2, 3, 4]}


def test_the_last_of_a_repeated_single_value_counts():
    def f(a: int):
        pass

    assert parse(f, "--a 1 --a 2") == {"a": 2}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("--fast", True),
        ("--no-fast", False),
        ("--no_fast", False),
        ("--fast true", True),
        ("--fast=off", False),
        ("--no-fast --fast", True),
    ],
)
def test_a_bool_is_a_flag(line, value):
    def f(fast: bool = False):
        pass

    def g(fast: Optional[bool] = None):
        pass

    assert parse(f, line) == parse(g, line) == {"fast": value}


def test_an_argument_may_be_called_no_something():
    def f(no_cache: bool = False, cache: bool = True):
        pass

    assert parse(f, "--no-cache") == {"no_cache": True}


def test_extra_arguments_go_to_args_and_kwargs():
    def f(a: int = 1, *rest: int, **options: float):
        pass

    assert parse(f, "--rest 1 2 --first 0.5 --second-one 2") == {
        "a": 1,
        "rest": (1, 2),
        "options": {"first": 0.5, "second_one": 2.0},
    }


def test_keyword_only_and_positional_only_arguments_are_given_alike():
    def f(*, a: int):
        pass

    namespace: dict = {}
    exec("def g(a: int, /): pass", namespace)
    namespace["g"].__module__ = __name__
    assert parse(f, "--a 1") == {"a": 1}
    assert parse(namespace["g"], "--a 1") == {"a": 1}


def test_defaults_stay_with_the_task():
    def f(a: int = 1):
        pass

    assert parse(f) == {}


def test_given_arguments_are_overridden_by_those_typed():
    def f(a: int, b: int, c: int = 0):
        pass

    made = Task(f, "f", "", version="1", options={})
    assert parse_arguments(made, ["--b", "5"], ((1, 2), {"c": 3})) == ((1, 5, 3), {})


def test_given_arguments_that_do_not_fit_are_named():
    def f(a: int):
        pass

    made = Task(f, "f", "", version="1", options={})
    with pytest.raises(ArgumentError, match="task f: the arguments given as input do not fit"):
        parse_arguments(made, [], ((1, 2), {}))


# Hints that cannot be resolved


def test_a_name_that_only_a_type_checker_knows_leaves_the_other_hints():
    def f(a: int, b: Unknown):
        pass

    assert parse(f, "--a 1 --b 2") == {"a": 1, "b": 2}


def test_a_union_is_written_either_way():
    def f(a: int | None = None, b: list[int] | str = ""):
        pass

    assert parse(f, "--a 1 --b 2") == {"a": 1, "b": [2]}
    assert parse(f, "--a none --b x") == {"a": None, "b": "x"}


# Errors


def test_an_ill_typed_argument_is_named_with_its_type_and_what_came():
    def align(threads: int):
        pass

    assert error_of(align, "--threads four") == "task align: --threads: expected int, got 'four'"


def test_an_ill_typed_element_is_named_with_all_that_came():
    def f(a: list[int]):
        pass

    assert error_of(f, "--a 1 x") == "task f: --a: expected list of int, got '1' 'x'"


def test_missing_arguments_are_all_named():
    def f(a: int, b: Colour, c: int = 0):
        pass

    assert error_of(f) == "task f: missing --a (int), --b (one of RED, DARK_BLUE)"


def test_an_unknown_argument_gets_a_suggestion():
    def f(threads: int = 1):
        pass

    assert error_of(f, "--thread 4") == (
        "task f: unknown --thread: did you mean --threads? Known: --threads"
    )


def test_a_task_without_arguments_says_so():
    def f():
        pass

    assert error_of(f, "--thread 4") == "task f: unknown --thread: it takes no arguments"


def test_a_word_without_a_name_is_unexpected():
    def f(a: int = 1):
        pass

    assert error_of(f, "5") == "task f: unexpected '5'; arguments are given as --name value"


def test_a_value_that_is_missing_or_one_too_many_is_said():
    def f(a: int = 1, b: int = 1):
        pass

    assert error_of(f, "--a --b 1") == "task f: --a: expected one int, got nothing"
    assert error_of(f, "--a 1 2") == "task f: --a: expected one int, got '1' '2'"


def test_a_list_without_elements_says_how_to_write_an_empty_one():
    def f(a: list[int]):
        pass

    assert error_of(f, "--a") == (
        "task f: --a: expected list of int, got nothing; '[]' is an empty list"
    )


def test_a_flag_that_is_turned_off_takes_no_value():
    def f(a: bool = True):
        pass

    assert error_of(f, "--no-a yes") == "task f: --no-a takes no value, got 'yes'"


def test_whatever_a_class_raises_is_an_argument_error():
    def f(a: Temperature):
        pass

    assert error_of(f, "--a 20F") == "task f: --a: expected Temperature, got '20F'"


def test_a_type_that_cannot_be_typed_is_named_with_its_argument():
    def f(a: Foreign):
        pass

    assert error_of(f, "--a x") == (
        "task f: --a: a Foreign cannot be given on the command line; see run --input"
    )


# Help


def test_help_lists_arguments_with_type_and_default():
    def align(reads: list[str], threads: int = 4, fast: bool = False, *more: int, **options):
        """Align reads.

        Slowly.
        """

    made = Task(align, "align", "", version="1", options={})
    assert help_lines(made, "run wf.py align") == [
        "usage: run wf.py align --reads … […]",
        "",
        "Align reads.",
        "",
        "arguments:",
        "  --reads            list of str        required",
        "  --threads          int                default 4",
        "  --fast, --no-fast  true or false      default False",
        "  --more             any number of int  default none",
        "  --NAME             any value          any further arguments",
    ] or help_lines(made, "run wf.py align")[5].split() == [
        "--reads",
        "list",
        "of",
        "str",
        "required",
    ]


def test_help_of_a_task_without_arguments_is_short():
    def main():
        pass

    made = Task(main, "main", "", version="1", options={})
    assert help_lines(made, "run wf.py main") == ["usage: run wf.py main"]


def test_types_are_called_by_names_a_person_knows():
    assert describe_type(Optional[list[Colour]]) == "list of one of RED, DARK_BLUE or none"
    assert describe_type(tuple[int, ...]) == "tuple of int"
    assert describe_type(Literal["a", 1]) == "one of 'a', 1"
    assert describe_type(Point) == "Point (JSON: x, y)"
    assert describe_type(datetime.date) == "date (ISO 8601)"
    assert describe_type(UserId) == "int"


def test_an_option_belongs_to_the_task_that_has_an_argument_of_the_name():
    def f(user: str, dry_run: bool = False, **options):
        pass

    made = Task(f, "f", "", version="1", options={})
    assert takes_option(made, "--user=x")
    assert takes_option(made, "--no-dry-run")
    assert not takes_option(made, "--other")
    assert not takes_option(made, "-u")
