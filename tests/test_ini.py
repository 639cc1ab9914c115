"""INI text: the grammar, variables, typed values, and the place each error names."""

from __future__ import annotations

import configparser
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redun_lite._errors import ConfigError
from redun_lite._ini import (
    Section,
    count,
    json_object,
    lines,
    positive,
    read_sections,
    read_text,
    seconds,
    words,
)


def section(text: str) -> Section:
    """Return the section [s] of an INI text."""
    return read_sections(text, "x.ini")["s"]


def refused(text: str) -> str:
    """Return the error's line for text that is not INI."""
    with pytest.raises(ConfigError) as caught:
        read_sections(text, "x.ini")
    return str(caught.value)


def refused_value(value: object, kind: object) -> str:
    """Return the error's line for a value that is not of its kind."""
    with pytest.raises(ConfigError) as caught:
        Section("s", {"a": value}).parse({"a": kind})
    return str(caught.value)


# The grammar


def test_options_are_written_with_an_equals_sign_or_a_colon():
    assert dict(section("[s]\na = 1\nb: 2\nc=x=y:z")) == {"a": "1", "b": "2", "c": "x=y:z"}


def test_a_value_goes_on_in_indented_lines_past_comments_and_blank_lines():
    assert section("[s]\na =\n  x\n  # no\n\n  y = 1\n\nb = 2")["a"] == "\nx\n\ny = 1"


def test_a_comment_starts_a_line_with_a_hash_or_semicolon():
    assert dict(section("; one\n[s] # two\n# three\na = 1 # not a comment")) == {
        "a": "1 # not a comment"
    }


def test_option_names_keep_their_case():
    assert dict(section("[s]\nDB = 1\ndb = 2")) == {"DB": "1", "db": "2"}


def test_a_line_that_is_not_ini_is_named_with_what_is_expected():
    assert refused("[s]\na = 1\n}\n") == (
        "x.ini:3: expected a [section], or option = value, whose further lines are indented; "
        "got '}'"
    )


def test_an_option_before_any_section_is_an_error():
    assert refused("\nmax_workers = 2\n") == "x.ini:2: expected a [section], got 'max_workers = 2'"


def test_a_second_section_of_the_same_name_is_an_error_that_names_both_lines():
    assert refused("[s]\n[t]\n[s]\n") == "x.ini:3: [s] is a second one; join it to x.ini:1"


def test_a_second_option_of_the_same_name_is_an_error_that_names_both_lines():
    assert refused("[s]\na = 1\na = 2\n") == "x.ini:3: [s] a: already set at x.ini:2"


def test_a_long_line_is_cut_in_the_error():
    assert len(refused("x" * 10_000)) < 120


_INI_LINES = [
    "[a]",
    "[b.c]",
    "[c] ; x",
    "[unclosed",
    "[] = 1",
    "  [in]",
    "k = v",
    "K: w",
    "n=",
    "a b = c d",
    "'=' = 3",
    "= 4",
    "é = ü",
    "alone",
    "  more",
    "\tx = 1",
    "",
    "# c",
    "  ; c",
]


@given(st.lists(st.sampled_from(_INI_LINES), max_size=12).map("\n".join))
@example("[a]\nk = v\n\n  more\n\n# c\n  x\n\n[b.c]\n  k = 1\n   2\n")
def test_text_that_configparser_reads_is_read_the_same(text):
    reference = configparser.ConfigParser(
        interpolation=None, default_section="", allow_no_value=False
    )
    reference.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        reference.read_string(text)
        expected = {name: dict(reference[name]) for name in reference.sections()}
    except configparser.Error:
        with pytest.raises(ConfigError):
            read_sections(text, "x.ini")
    else:
        assert {k: dict(v) for k, v in read_sections(text, "x.ini").items()} == expected


@given(st.text())
def test_any_text_gives_sections_or_a_config_error(text):
    with suppress(ConfigError):
        read_sections(text, "x.ini")


def test_a_byte_order_mark_is_skipped(tmp_path: Path):
    (tmp_path / "x.ini").write_bytes(b"\xef\xbb\xbf[s]\r\na = 1\r\n")
    assert read_text(tmp_path / "x.ini") == "[s]\na = 1\n"


def test_a_file_that_is_not_text_is_an_error_that_says_so(tmp_path: Path):
    (tmp_path / "x.ini").write_bytes(b"\xff\xfe[")
    with pytest.raises(ConfigError, match=r"x\.ini: expected text in UTF-8$"):
        read_text(tmp_path / "x.ini")


def test_a_file_that_is_missing_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"x\.ini: cannot be read: No such file"):
        read_text(tmp_path / "x.ini")


# Variables


def test_a_variable_is_an_option_of_the_same_section(monkeypatch):
    monkeypatch.setenv("name", "environment")
    text = "[DEFAULT]\nname = default\n[s]\nname = section\na = <${name}>"
    assert section(text)["a"] == "<section>"


def test_a_variable_is_else_an_option_of_the_default_section(monkeypatch):
    monkeypatch.setenv("name", "environment")
    assert section("[DEFAULT]\nname = default\n[s]\na = <${name}>")["a"] == "<default>"


def test_a_variable_is_else_an_environment_variable(monkeypatch):
    monkeypatch.setenv("name", "environment")
    assert section("[s]\na = <${name}>")["a"] == "<environment>"


def test_a_variable_may_name_an_option_of_another_section():
    assert section("[s]\na = ${t.u:b}\n[t.u]\nb = 1")["a"] == "1"


def test_a_variable_in_a_default_is_looked_up_in_the_section_that_uses_it():
    assert section("[DEFAULT]\na = <${b}>\n[s]\nb = 1")["a"] == "<1>"


def test_an_option_that_refers_to_itself_means_the_environment(monkeypatch):
    monkeypatch.setenv("a", "environment")
    assert section("[s]\na = ${b}\nb = ${a}")["a"] == "environment"


def test_two_dollar_signs_are_one():
    assert section("[s]\na = $${b} costs 5$$")["a"] == "${b} costs 5$"


def test_a_lone_dollar_sign_is_an_error_that_says_how_to_write_one():
    with pytest.raises(ConfigError, match=r"^x\.ini:2: \[s\] a: a \$ alone; write \$\$ for"):
        section("[s]\na = $HOME")["a"]


def test_a_variable_that_is_not_set_is_an_error_only_where_it_is_used(monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    found = section("[s]\na = 1\nb = ${NOWHERE}")
    assert found["a"] == "1"
    assert "b" in found
    with pytest.raises(ConfigError) as caught:
        found["b"]
    assert str(caught.value) == (
        "x.ini:3: [s] b: ${NOWHERE} is neither an option here nor an environment variable"
    )


def test_a_variable_of_another_section_that_is_not_there_is_an_error():
    with pytest.raises(ConfigError, match=r"\$\{t:b\} is no option of this configuration"):
        section("[s]\na = ${t:b}")["a"]


def test_an_error_shows_a_value_as_written_and_not_the_secret_of_its_variable(monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    for text in ("[s]\na = ${SECRET}", "[DEFAULT]\na = ${SECRET}\n[s]"):
        with pytest.raises(ConfigError) as caught:
            section(text).parse({"a": int})
        assert str(caught.value) == "x.ini:2: [s] a: expected a whole number, got '${SECRET}'"


# Defaults


def test_options_of_the_default_section_are_in_every_section():
    found = section("[DEFAULT]\na = 1\nb = 2\n[s]\nb = 3")
    assert dict(found) == {"b": "3", "a": "1"}
    assert len(found) == 2
    assert found.written() == {"b": "3"}


def test_an_unknown_option_of_the_default_section_is_no_error_where_it_is_not_used():
    assert section("[DEFAULT]\na = 1\nz = 2\n[s]").parse({"a": int}) == {"a": 1}


def test_a_bad_default_is_reported_at_its_own_line():
    with pytest.raises(ConfigError, match=r"^x\.ini:2: \[s\] a: expected a whole number"):
        section("[DEFAULT]\na = x\n[s]").parse({"a": int})


# Typed values


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("4", int, 4),
        (4, int, 4),
        ("0.5", float, 0.5),
        (2, float, 2.0),
        ("Yes", bool, True),
        ("off", bool, False),
        (True, bool, True),
        ("text", str, "text"),
        ('{"a": [1]}', dict, {"a": [1]}),
        ({"a": 1}, json_object, {"a": 1}),
        ("[1, 2]", list, [1, 2]),
        ((1, 2), list, [1, 2]),
        ("fork", ("fork", "spawn"), "fork"),
        ("a\n b  c", words, ("a", "b", "c")),
        (["a b"], words, ("a b",)),
        ("\na b\nc", lines, ("a b", "c")),
        ("3", positive, 3),
        ("0", count, 0),
        ("0", seconds, 0.0),
    ],
)
def test_a_value_is_converted_to_its_kind(value, kind, expected):
    parsed = Section("s", {"a": value}).parse({"a": kind})
    assert parsed == {"a": expected}
    assert type(parsed["a"]) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("many", int, "a whole number, got 'many'"),
        ("1.5", int, "a whole number, got '1.5'"),
        (True, int, "a whole number, got True"),
        ("fast", float, "a number, got 'fast'"),
        ("nan", float, "a number, got 'nan'"),
        ("maybe", bool, "true or false, got 'maybe'"),
        (1, str, "text, got 1"),
        ("[1]", dict, "a JSON object, got '[1]'"),
        ("{}", list, "a list, got '{}'"),
        ("threads", ("thread", "process"), "thread or process, got 'threads'"),
        ("0", positive, "a whole number of at least 1, got '0'"),
        ("-1", count, "a whole number of at least 0, got '-1'"),
        ("-1", seconds, "a number of seconds, at least 0, got '-1'"),
        ([1], words, "text, got [1]"),
    ],
)
def test_a_value_of_another_kind_is_an_error_with_what_is_expected(value, kind, expected):
    assert refused_value(value, kind) == f"config: [s] a: expected {expected}"


def test_a_kind_may_be_any_function_that_says_what_it_expects():
    def date(value):
        raise ValueError("a date")

    assert refused_value("x", date) == "config: [s] a: expected a date, got 'x'"


def test_a_comment_behind_a_value_is_pointed_out():
    assert refused_value("20 ; twenty", int).endswith("(a comment needs a line of its own)")


def test_an_error_in_json_names_the_line_inside_the_value():
    text = '[s]\na = {\n  "x": 1,\n  # comment\n  "y": oops\n  }'
    with pytest.raises(ConfigError, match=r"^x\.ini:5: \[s\] a: expected JSON \(Expecting value\)"):
        section(text).parse({"a": dict})


def test_json_nested_beyond_reason_is_an_error():
    assert "nested too deeply" in refused_value("[" * 100_000, list)


def test_options_that_are_not_set_are_left_out():
    assert section("[s]\na = 1").parse({"a": int, "b": int}) == {"a": 1}


def test_an_unknown_option_names_file_line_and_nearest_option():
    with pytest.raises(ConfigError) as caught:
        section("[s]\n\nmax_worker = 1").parse({"mode": str, "max_workers": int})
    assert str(caught.value) == (
        "x.ini:3: [s] max_worker: unknown option; "
        "did you mean max_workers? Known: max_workers, mode"
    )
