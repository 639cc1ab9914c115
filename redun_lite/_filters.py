"""What is looked for in a repository, and how people write it.

A filter is text on a command line or in a call: a status, a time, a tag, a value.  Here it becomes
something definite, or one line that says what is wrong with it, before any query runs.  `_query`
turns the whole into SQL.

A value is looked for by its key, so `--arg 3` asks for the very key that recording 3 gave; nothing
that is stored has to be loaded and compared.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ._errors import HashError, UsageError, shorten, suggest
from ._ini import value_of_word
from ._status import CACHED, CANCELLED, DONE, FAILED, KILLED, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ._history import Found

EXECUTION_STATUSES = (RUNNING, DONE, FAILED, CANCELLED, KILLED)
JOB_STATUSES = (RUNNING, DONE, CACHED, FAILED, CANCELLED, KILLED)

_MIN_HASH = 8  # Digits from which on a text may be the start of a hash, and no number.
_EARLIEST = -(1 << 62)  # What a database can compare.
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:\d+[smhdw])+")
_DURATION_PART = re.compile(r"(\d+)([smhdw])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MONTH = re.compile(r"\d{4}(-\d\d)?")
_HASH = re.compile(rf"[0-9a-fA-F]{{{_MIN_HASH},40}}")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(?!=)(.*)", re.DOTALL)
_OPENING = "[({'\""


class TagFilter(NamedTuple):
    """A tag that records have: of a key, with one of some values or with any."""

    key: str
    values: tuple[str, ...] = ()
    """In JSON, as they are stored; none: any value will do."""

    @classmethod
    def parse(cls, text: str) -> TagFilter:
        """Read `key` or `key=value`; a value is JSON or text, and matches both.

        >>> TagFilter.parse("sample=7")
        TagFilter(key='sample', values=('7', '"7"'))
        """
        key, equals, value = text.partition("=")
        if not key:
            raise UsageError(f"expected a tag as KEY or KEY=VALUE, got {text!r}")
        if not equals:
            return cls(key)
        forms = (json.dumps(value_of_word(value)), json.dumps(value))
        return cls(key, tuple(dict.fromkeys(forms)))


class ValueFilter(NamedTuple):
    """A value that calls take or give: of a hash, or equal to one, or a file of a path.

    Attributes
    ----------
    text
        As it was written.
    name
        Name of the parameter, if it matters.
    prefix
        Start of the hash, if the text may be one.
    keys
        Keys of the values that the text may stand for.
    path
        Path of the file that the text may stand for.
    """

    text: str
    name: str | None = None
    prefix: str | None = None
    keys: tuple[bytes, ...] = ()
    path: str | None = None

    @classmethod
    def parse(cls, text: str, has_name: bool = False) -> ValueFilter:
        """Read a hash, a Python literal, a path, or bare text; with `has_name` also NAME=VALUE.

        Raises
        ------
        UsageError
            It begins like a literal, and is none.
        """
        named = _NAMED.fullmatch(text) if has_name else None
        name, content = (named.group(1), named.group(2)) if named else (None, text)
        if not content:
            raise UsageError(f"expected a value, got {text!r}; an empty text is written as \"''\"")
        prefix = content.lower() if _HASH.fullmatch(content) else None
        is_literal, value = _literal(content)
        if not is_literal:
            return cls(text, name, prefix, (_key(content, content),), content)
        path = value if isinstance(value, str) and value else None
        return cls(text, name, prefix, (_key(value, content),), path)


def _literal(text: str) -> tuple[bool, object]:
    """Return whether text is a literal, and which value it is."""
    import ast

    try:
        return True, ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        if text.lstrip()[:1] in _OPENING:
            why = error.msg if isinstance(error, SyntaxError) else "only literals can be looked for"
            raise UsageError(
                f"{text!r} is no value: {why}; write a Python literal, a hash, or a path"
            ) from None
    return False, None


def _key(value: object, text: str) -> bytes:
    from ._expr import key_of_expr

    try:
        return key_of_expr(value)
    except HashError as error:
        raise UsageError(f"{text!r} is no value that can be looked for: {error}") from None


@dataclass(frozen=True)
class Filters:
    """What records have to fulfil; what is left empty does not matter.

    Attributes
    ----------
    executions
        Starts of the UUIDs of executions, one of which it is.
    execution_statuses, job_statuses
        One of these.
    execution_tags
        All of these, on the execution.
    task_names
        One of these: full or bare names, `*` standing for any characters.
    task_hashes
        Starts of the hashes of tasks, one of which it is.
    value_types
        Names of classes, full or bare, one of which it is.
    file_paths
        One of these; `*` stands for any characters.
    arguments
        All of these are arguments of the call.
    results
        One of these is its result.
    tags
        All of these, on the record itself.
    since, until
        When executions and jobs began, and calls were computed: microseconds since 1970.
    related
        A record that has to do with it.
    """

    executions: tuple[str, ...] = ()
    execution_statuses: tuple[str, ...] = ()
    execution_tags: tuple[TagFilter, ...] = ()
    job_statuses: tuple[str, ...] = ()
    task_names: tuple[str, ...] = ()
    task_hashes: tuple[str, ...] = ()
    value_types: tuple[str, ...] = ()
    file_paths: tuple[str, ...] = ()
    arguments: tuple[ValueFilter, ...] = ()
    results: tuple[ValueFilter, ...] = ()
    tags: tuple[TagFilter, ...] = ()
    since: int | None = None
    until: int | None = None
    related: Found | None = None

    def check(self) -> Filters:
        """Return these filters, unless no record can fulfil them.

        Raises
        ------
        UsageError
            Two of them contradict each other.
        """
        if self.since is not None and self.until is not None and self.since > self.until:
            raise UsageError("`since` is later than `until`, so nothing can be found")
        return self


def parse_statuses(texts: Iterable[str], known: Iterable[str], what: str) -> tuple[str, ...]:
    """Read statuses, several with commas between them, in whatever case.

    Raises
    ------
    UsageError
        There is no such status.
    """
    statuses = []
    for text in split(texts):
        status = text.upper()
        if status not in known:
            raise UsageError(f"{what}: no status {text!r}: {suggest(status, known)}")
        statuses.append(status)
    return tuple(dict.fromkeys(statuses))


def split(texts: Iterable[str]) -> list[str]:
    """Return the words of texts that may hold several, with commas between them."""
    return [word for text in texts for word in map(str.strip, text.split(",")) if word]


def parse_time(text: str, now: int, is_end: bool = False) -> int:
    """Read a time: an ISO date or date and time, or how long ago (`2h`, `3d12h`).

    Parameters
    ----------
    now
        The present, in microseconds since 1970.
    is_end
        Whether a date without a time means the end of its day.

    Raises
    ------
    UsageError
        It is neither.

    Examples
    --------
    >>> parse_time("1h30m", 10_000_000_000)
    4600000000
    """
    text = text.strip()
    word = text.lower().replace(" ", "")
    word = word[:-3] if word.endswith("ago") else word
    if _DURATION.fullmatch(word):
        seconds = sum(int(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(word))
        return max(now - seconds * 1_000_000, _EARLIEST)
    from datetime import datetime, timedelta

    try:
        if word in ("today", "yesterday"):
            day = datetime.fromtimestamp(now / 1_000_000) - timedelta(days=word == "yesterday")
            text = day.date().isoformat()
        elif word == "now":
            return now
        elif _MONTH.fullmatch(text):
            raise ValueError("the day is missing")
        moment = datetime.fromisoformat(_with_offset(text))
        if is_end and _DATE.fullmatch(text):
            moment += timedelta(days=1, microseconds=-1)
        return _microseconds(moment)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{shorten(text)} is no time: expected a date (2024-05-01, 2024-05-01T13:30) or how "
            "long ago (90m, 2h, 3d)"
        ) from None


def _with_offset(text: str) -> str:
    """Return an ISO time as Python 3.9 reads it, which knows no Z."""
    return f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
