"""The command `tag`: what people say of records, and which records they said it of.

A tag is a key and a value of any JSON type.  It is on an execution, a job, a call, a task or a
value (also one that is a file), and a record may have several of one key.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._database import ALL
from .._display import format_count, format_table, one_line
from .._errors import UsageError
from .._filters import TagFilter
from .._history import (
    CallRow,
    ExecutionRow,
    FileRow,
    JobRow,
    TaskRow,
    ValueRow,
    nothing_recorded,
)
from .._ini import value_of_word
from .._sqlite import storable
from .._sync import opened
from .command import (
    OK,
    Command,
    add_action,
    add_actions,
    add_pager_option,
    add_repository_option,
    open_repository,
    page,
    recorded,
    repository_source,
    tell_nothing,
    tell_nothing_recorded,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from .._history import Found, History

_MOST_KEYS = 1_000  # Lines of the list of keys, or of keys and values.
_MOST_TAGS = 10_000
_MOST_TASKS = 20_000  # Tasks whose tags are told from those of values.
_BLOCK = 500

KINDS = ("execution", "job", "call", "value", "task")
_NAMES = {
    ExecutionRow: "execution",
    JobRow: "job",
    CallRow: "call",
    ValueRow: "value",
    FileRow: "file",
    TaskRow: "task",
}

# Statements.  What kind of record has a tag is told by the length of its id.

_KIND = """CASE length(entity)
    WHEN 36 THEN 'execution' WHEN 40 THEN 'value' WHEN 56 THEN 'call' ELSE 'job'
END"""
COUNT_KEYS = f"""
SELECT key, '', kind, count(*) FROM (SELECT key, {_KIND} AS kind FROM tag) AS tagged
GROUP BY key, kind
"""
COUNT_VALUES = f"""
SELECT key, value, kind, count(*) FROM (SELECT key, value, {_KIND} AS kind FROM tag) AS tagged
GROUP BY key, value, kind
"""
TASK_DIGESTS = "SELECT digest FROM task ORDER BY id LIMIT ?"
TAGS_OF = "SELECT entity, key, value FROM tag WHERE entity IN ({ids}) ORDER BY id"
HAS_KEY = "SELECT 1 FROM tag WHERE key = ? LIMIT 1"
TAGGED = """
SELECT id, entity, key, value FROM tag WHERE key = ? AND id < ? ORDER BY id DESC LIMIT ?
"""
TASKS_AMONG = "SELECT digest FROM task WHERE digest IN ({ids})"
INSERT_TAG = """
INSERT INTO tag (entity, key, value) VALUES (?, ?, ?) ON CONFLICT (entity, key, value) DO NOTHING
"""
DELETE_TAG = "DELETE FROM tag WHERE entity = ? AND key = ? AND value = ?"
DELETE_KEY = "DELETE FROM tag WHERE entity = ? AND key = ?"
DELETE_OTHERS = "DELETE FROM tag WHERE entity = ? AND key = ? AND value <> ?"


class TagCommand(Command):
    """Shows and edits tags."""

    description = (
        "Tags of executions, jobs, calls, tasks, values and files.\n\n"
        "ID is as for `log`. A VALUE is JSON, or else text: step=3 is a number, step='\"3\"' text."
    )
    has_actions = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = add_actions(parser)
        show = add_action(actions, "list", "the keys there are, a record's tags, or who has some")
        show.add_argument("what", metavar="ID|KEY|KEY=VALUE", nargs="*")
        show.add_argument("--values", action="store_true", help="count values, not keys only")
        show.add_argument("--format", choices=["text", "json"], default="text")
        add_pager_option(show)
        add_repository_option(show)
        for action, words, purpose in (
            ("add", "KEY=VALUE", "add tags"),
            ("update", "KEY=VALUE", "add tags in place of those of the same keys"),
            ("rm", "KEY[=VALUE]", "remove tags: of a value, or all of a key"),
        ):
            change = add_action(actions, action, purpose)
            change.add_argument("ids", metavar="ID", nargs=1)
            change.add_argument("tags", metavar=words, nargs="+")
            add_repository_option(change)

    def run(self, options: Namespace) -> int:
        if options.action == "list":
            return _list(options)
        tags = [_parsed(word, options.action) for word in options.tags]
        with recorded(options, repr(options.ids[0])) as history:
            entities = {entity_of(history, history.find(text)): text for text in options.ids}
        with opened(repository_source(options)) as database, database.transaction():
            for entity, text in entities.items():
                for key, value in tags:
                    told = _change(database, options.action, entity, key, value)
                    print(f"{text}: {told}", file=sys.stderr)
        return OK


# Changing


def _parsed(word: str, action: str) -> tuple[str, str | None]:
    """Return a key and a value in JSON, as they are stored."""
    key, equals, text = word.partition("=")
    if not key or not (equals or action == "rm"):
        wanted = "KEY or KEY=VALUE" if action == "rm" else "KEY=VALUE"
        raise UsageError(f"tag {action}: expected {wanted}, got {word!r}")
    if not equals:
        return storable(key), None
    return storable(key), json.dumps(value_of_word(text))


def _change(database: Any, action: str, entity: str, key: str, value: str | None) -> str:
    """Change one tag, and return what that came to."""
    if action == "rm":
        removed = (
            database.execute(DELETE_KEY, entity, key)
            if value is None
            else database.execute(DELETE_TAG, entity, key, value)
        )
        shown = one_line(key) if value is None else _shown(key, value)
        return f"removed {shown}" if removed else f"there was no {shown}"
    if action == "update":
        database.execute(DELETE_OTHERS, entity, key, value)
    added = database.execute(INSERT_TAG, entity, key, value)
    shown = _shown(key, value or "null")
    return f"{'set' if action == 'update' else 'added'} {shown}" if added else f"{shown} as before"


def entity_of(history: History, record: Found) -> str:
    """Return what the tags of a record are on."""
    if isinstance(record, ExecutionRow):
        return record.uuid
    if isinstance(record, JobRow):
        return history.job_id(record)
    if isinstance(record, FileRow):
        return record.value.digest.hex()
    return record.digest.hex()


# Showing


def _list(options: Namespace) -> int:
    """Show the keys there are, the tags of records, or the records that have some."""
    if options.values and options.what:
        raise UsageError("tag list: --values counts those of all keys: leave it out, or the names")
    history = open_repository(options)
    if history is None:
        if not any(map(_may_be_id, options.what)):
            return tell_nothing_recorded(options)
        raise nothing_recorded(repository_source(options).address, repr(options.what[0]))
    with history:
        lines = _listed(history, options)
        page(lines, options)
    if lines and lines != ["[]"]:
        return OK
    asked = f" with {' or '.join(options.what)}" if options.what else ""
    return tell_nothing(f"no tags{asked} in {history.address}")


def _may_be_id(word: str) -> bool:
    return "=" not in word


def _listed(history: History, options: Namespace) -> list[str]:
    """Return the lines; there are none if there are no tags, in JSON an empty list."""
    if not options.what:
        return _keys(history, options.values, options.format == "json")
    rows = list(islice(_found(history, options.what), _MOST_TAGS + 1))
    is_cut = len(rows) > _MOST_TAGS
    del rows[_MOST_TAGS:]
    if options.format == "json":
        return _as_json(
            {"kind": kind, "id": entity, "key": key, "value": _value_of(value)}
            for kind, entity, key, value in rows
        )
    if not rows:
        return []
    table = [[kind, _short(entity), _shown(key, value)] for kind, entity, key, value in rows]
    lines = format_table([["RECORD", "ID", "TAG"], *table], "<<<")
    return [*lines, f"… these are the latest {format_count(_MOST_TAGS)}"] if is_cut else lines


def _short(entity: str) -> str:
    return entity if entity[8:9] == "-" and len(entity) < 36 else entity[:8]


def _value_of(text: str) -> Any:
    """Return what the JSON of a tag says, or the text if it is none: others may have written it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _shown(key: str, text: str) -> str:
    """Return a tag as one line, with the characters that its JSON may have escaped."""
    value = json.dumps(_value_of(text), ensure_ascii=False)
    return one_line(f"{key}={value}" if key else value)


def _as_json(rows: Iterable[dict[str, Any]]) -> list[str]:
    return json.dumps(list(rows), indent=2).splitlines()


def _found(history: History, words: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield kind, id, key and value of the tags of records, and of those that filters ask for."""
    for word in words:
        key, equals, _ = word.partition("=")
        if equals or history.database.rows(HAS_KEY, storable(key)):
            yield from _tagged(history, TagFilter.parse(word))
            continue
        record = history.find(word)
        entity = entity_of(history, record)
        for _, tag, value in sorted(set(history.database.rows_in(TAGS_OF, [entity]))):
            yield _NAMES[type(record)], entity, tag, value


def _tagged(history: History, wanted: TagFilter) -> Iterator[tuple[str, str, str, str]]:
    """Yield the tags of a key, or of one of some values of it, the latest first."""
    last = ALL
    while rows := history.database.rows(TAGGED, storable(wanted.key), last, _BLOCK):
        last = rows[-1][0]
        tasks = _tasks_among(history, {entity for _, entity, _, _ in rows if len(entity) == 40})
        for _, entity, key, value in rows:
            if not wanted.values or value in wanted.values:
                yield ("task" if entity in tasks else _kind_of(entity)), entity, key, value


def _kind_of(entity: str) -> str:
    return {36: "execution", 40: "value", 56: "call"}.get(len(entity), "job")


def _tasks_among(history: History, entities: set[str]) -> set[str]:
    digests = [bytes.fromhex(entity) for entity in entities]
    found = history.database.rows_in(TASKS_AMONG, digests)
    return {bytes(digest).hex() for (digest,) in found}


def _keys(history: History, with_values: bool, as_json: bool) -> list[str]:
    """Return a line for each key, or each key and value: how many records of which kind have it."""
    counts = _counts(history, with_values)
    shown = sorted(counts.items())[:_MOST_KEYS]
    if as_json:
        return _as_json(
            {"key": key, **({"value": _value_of(value)} if with_values else {}), **kinds}
            for (key, value), kinds in shown
        )
    if not shown:
        return []
    rows = [["KEY", "VALUE", "ON"] if with_values else ["KEY", "ON"]]
    for (key, value), kinds in shown:
        on = ", ".join(
            f"{format_count(kinds[kind])} {kind}{'' if kinds[kind] == 1 else 's'}"
            for kind in KINDS
            if kinds.get(kind)
        )
        rows.append([one_line(key), _shown("", value), on] if with_values else [one_line(key), on])
    lines = format_table(rows, "<" * len(rows[0]))
    left_out = len(counts) - len(shown)
    return [*lines, f"… and {format_count(left_out)} more"] if left_out else lines


def _counts(history: History, with_values: bool) -> dict[tuple[str, str], dict[str, int]]:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    sql = COUNT_VALUES if with_values else COUNT_KEYS
    for key, value, kind, count in history.database.rows(sql):
        counts.setdefault((key, value), {})[kind] = count
    tasks = [digest for (digest,) in history.database.rows(TASK_DIGESTS, _MOST_TASKS)]
    names = [bytes(digest).hex() for digest in tasks]
    for _, key, value in set(history.database.rows_in(TAGS_OF, names)):
        kinds = counts[key, value if with_values else ""]
        kinds["value"] -= 1
        kinds["task"] = kinds.get("task", 0) + 1
    return counts
