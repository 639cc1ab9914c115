"""How people write what they look for, and what is wrong with what cannot be looked for."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from redun_lite._errors import UsageError
from redun_lite._expr import key_of_expr
from redun_lite._filters import (
    EXECUTION_STATUSES,
    JOB_STATUSES,
    Filters,
    TagFilter,
    ValueFilter,
    parse_statuses,
    parse_time,
    split,
)

NOW = int(datetime(2024, 5, 10, 12, tzinfo=timezone.utc).timestamp()) * 1_000_000
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("text", "ago"),
    [("2h", 2), ("3d", 72), ("1w", 168), ("90m", 1.5), ("1d12h", 36), ("2 h", 2), ("2h ago", 2)],
)
def test_a_duration_is_so_long_ago(text, ago):
    assert parse_time(text, NOW) == NOW - ago * HOUR


def test_a_date_begins_at_midnight_and_as_an_end_ends_before_the_next():
    begin = datetime(2024, 5, 1).timestamp() * 1_000_000
    assert parse_time("2024-05-01", NOW) == begin
    assert parse_time("2024-05-01", NOW, is_end=True) == begin + 24 * HOUR - 1


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2024-05-01T13:30Z", 13), ("2024-05-01 13:30:00+00:00", 13), ("2024-05-01T13:30+02:00", 11)],
)
def test_a_time_may_say_its_zone(text, hour):
    moment = datetime(2024, 5, 1, hour, 30, tzinfo=timezone.utc)
    assert parse_time(text, NOW) == moment.timestamp() * 1_000_000


def test_days_have_names():
    today = datetime.fromtimestamp(NOW / 1_000_000).replace(hour=0, minute=0, second=0)
    assert parse_time("today", NOW) == today.timestamp() * 1_000_000
    assert parse_time("yesterday", NOW) == parse_time("today", NOW) - 24 * HOUR
    assert parse_time("now", NOW) == NOW


@pytest.mark.parametrize(
    "text", ["", "soon", "2024", "2024-05", "2024-13-01", "3 fortnights", "-2h"]
)
def test_what_is_no_time_is_an_error_that_shows_one(text):
    with pytest.raises(UsageError, match=r"is no time.*2024-05-01"):
        parse_time(text, NOW)


def test_statuses_come_in_any_case_and_with_commas():
    assert parse_statuses(["failed,Done", "DONE"], JOB_STATUSES, "x") == ("FAILED", "DONE")
    assert split(["a, b", "", "c,"]) == ["a", "b", "c"]


def test_a_status_that_there_is_not_is_an_error_that_names_the_likely_one():
    with pytest.raises(UsageError, match=r"--exec-status: no status 'FALED': did you mean FAILED"):
        parse_statuses(["FALED"], EXECUTION_STATUSES, "--exec-status")
    with pytest.raises(UsageError, match="no status 'CACHED'"):
        parse_statuses(["CACHED"], EXECUTION_STATUSES, "--exec-status")


def test_a_tag_is_a_key_or_a_key_with_a_value_as_json_or_text():
    assert TagFilter.parse("project") == TagFilter("project")
    assert TagFilter.parse("n=1").values == ("1", '"1"')
    assert TagFilter.parse("name=a=b").values == ('"a=b"',)
    assert TagFilter.parse("list=[1,2]").values == ("[1, 2]", '"[1,2]"')
    with pytest.raises(UsageError, match="expected a tag as KEY or KEY=VALUE, got '=1'"):
        TagFilter.parse("=1")


@pytest.mark.parametrize("text", ["3", "-1.5", "None", "[1, 'a']", "{'a': 1}", "'3'", "b'x'"])
def test_a_literal_stands_for_the_value_of_its_key(text):
    value = ValueFilter.parse(text)
    assert value.keys == (key_of_expr(eval(text)),)


def test_other_text_is_a_string_a_path_and_maybe_a_hash():
    bare = ValueFilter.parse("reads.fq")
    assert (bare.keys, bare.path, bare.prefix) == ((key_of_expr("reads.fq"),), "reads.fq", None)
    assert ValueFilter.parse("5C1F9a3e").prefix == "5c1f9a3e"
    assert ValueFilter.parse("12345678").prefix == "12345678"
    assert ValueFilter.parse("abcdef1").prefix is None


def test_an_argument_may_have_a_name_and_a_result_none():
    assert ValueFilter.parse("n=3", has_name=True)[:2] == ("n=3", "n")
    assert ValueFilter.parse("n=3").name is None
    assert ValueFilter.parse("'n=3'", has_name=True).name is None
    assert ValueFilter.parse("n==3", has_name=True).name is None


@pytest.mark.parametrize("text", ["[1, 2", "'open", "{1: f()}", "(1, x)"])
def test_what_begins_like_a_literal_and_is_none_is_an_error(text):
    with pytest.raises(UsageError, match=r"is no value: .*; write a Python literal"):
        ValueFilter.parse(text)


@pytest.mark.parametrize("text", ["", "n="])
def test_nothing_is_no_value(text):
    with pytest.raises(UsageError, match="an empty text is written as"):
        ValueFilter.parse(text, has_name=True)


def test_an_end_before_the_beginning_is_an_error():
    with pytest.raises(UsageError, match="`since` is later than `until`"):
        Filters(since=2, until=1).check()
    assert Filters(since=1, until=1).check().since == 1
