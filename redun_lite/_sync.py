"""Sharing what is recorded: by a file (`export`, `import`), or with another repository.

A file is checked as a whole before anything is written.  So one that is cut off or damaged changes
nothing, and no transaction lasts so long that executions beside it would wait.  What was checked
waits in a temporary file meanwhile, so that there is no end to how much it may be.

Nothing that is stored is loaded.  To take over records is to trust whoever made them all the same:
what they say is the result of a call is loaded when that call is made here.
"""

from __future__ import annotations

import marshal
import os
import re
import sys
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

from ._absorb import BLOCK_BYTES, Absorber
from ._command import (
    OK,
    Command,
    add_action,
    add_repository_option,
    existing_config,
    repository_source,
)
from ._config import CONFIG_FILE, Config
from ._display import format_count, format_table
from ._errors import RepositoryError, UsageError, suggest
from ._extract import Extract
from ._history import CallRow, ExecutionRow, FileRow, JobRow, TaskRow, ValueRow, open_history
from ._ini import read_sections, read_text
from ._interchange import (
    ValueItem,
    identity_of,
    item_of,
    kind_of,
    lines_of,
    read_items,
    references_of,
)
from ._plugins import database_source
from ._schema import VERSION
from ._sqlite import scratch_database
from ._value_store import StorePlace

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from ._database import Database, Source
    from ._interchange import Item

_MANY = 20_000  # Rows of the check for references that are written together.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

# Of the scratch database in which references are looked for.
CREATE_PRESENT = """
CREATE TABLE present (kind TEXT, identity, PRIMARY KEY (kind, identity)) WITHOUT ROWID
"""
CREATE_WANTED = "CREATE TABLE wanted (kind TEXT, identity, line INTEGER)"
INSERT_PRESENT = "INSERT INTO present VALUES (?, ?)"
INSERT_WANTED = "INSERT INTO wanted VALUES (?, ?, ?)"
SELECT_MISSING = """
SELECT line, kind, identity FROM wanted
WHERE NOT EXISTS (
    SELECT 1 FROM present WHERE present.kind = wanted.kind AND present.identity = wanted.identity
)
ORDER BY line LIMIT 1
"""


# Between databases and files


def export_lines(source: Source, ids: Iterable[str] = ()) -> Iterator[bytes]:
    """Yield the lines of an export.

    Parameters
    ----------
    source
        Where the repository is.
    ids
        What to export, as `log` takes it; if there are none, all.

    Raises
    ------
    UsageError
        An id stands for nothing, or for several records.
    """
    with ExitStack() as stack:
        database = stack.enter_context(opened(source, read_only=True))
        stack.enter_context(database.snapshot())
        extract = stack.enter_context(Extract(database))
        _choose(extract, source, list(ids))
        yield from lines_of(extract.items())


def import_lines(
    lines: Iterable[bytes], name: str, source: Source, place: StorePlace | None = None
) -> dict[str, int]:
    """Check the lines of a file, and write what they have into a repository.

    Parameters
    ----------
    lines
        The lines.
    name
        What errors call the file.
    source
        Where the repository is; it is made if there is none.
    place
        Where its large values go, if not into the database.

    Returns
    -------
    dict
        How many records of each kind are new.

    Raises
    ------
    UsageError
        Something is wrong with the file; the message names the line.
    """
    import tempfile

    with tempfile.TemporaryFile() as spool:
        _check_and_keep(lines, name, spool)
        spool.seek(0)
        with opened(source) as database:
            absorber = Absorber(database, place)
            absorber.absorb(_kept(spool))
    return absorber.new


def copy_records(
    source: Source, target: Source, ids: Iterable[str] = (), place: StorePlace | None = None
) -> dict[str, int]:
    """Write what one repository has and another lacks into that.

    Parameters
    ----------
    source, target
        Where they are.
    ids
        What to copy, as `log` takes it; if there are none, all.
    place
        Where large values of the target go, if not into its database.

    Returns
    -------
    dict
        How many records of each kind are new.
    """
    if source.address == target.address:
        raise UsageError(f"{source.address} is the repository itself; name another one")
    with ExitStack() as stack:
        from_database = stack.enter_context(opened(source, read_only=True))
        to_database = stack.enter_context(opened(target))
        reader = stack.enter_context(opened(target, read_only=True))
        stack.enter_context(from_database.snapshot())
        extract = stack.enter_context(Extract(from_database, reader))
        _choose(extract, source, list(ids))
        absorber = Absorber(to_database, place)
        absorber.absorb(extract.items())
    return absorber.new


@contextmanager
def opened(source: Source, read_only: bool = False) -> Generator[Database, None, None]:
    """Open a repository of the present version; make it if it is to be written."""
    if not read_only:
        source.create()
    elif not source.exists():
        raise RepositoryError(f"{source.address}: there is no repository to read from")
    database = source.connect(read_only)
    try:
        version = source.version(database)
        if version == 0 and not read_only:
            source.migrate(database)
        elif version != VERSION:
            raise RepositoryError(
                f"{source.address} has schema version {version}, this program writes {VERSION}; "
                "`db upgrade` brings it up to date"
                if version
                else f"{source.address} has no tables yet: nothing is recorded there"
            )
        yield database
    finally:
        database.close()


def _choose(extract: Extract, source: Source, ids: list[str]) -> None:
    """Choose what ids stand for, or all."""
    if not ids:
        extract.choose_all()
        return
    executions: list[int] = []
    others: dict[str, list[int]] = {}
    history = open_history(source)
    if history is None:
        raise UsageError(f"nothing is recorded yet in {source.address}, so there is no {ids[0]!r}")
    kinds = {CallRow: "call", ValueRow: "value", TaskRow: "task"}
    with history:
        for text in ids:
            found = history.find(text)
            if isinstance(found, ExecutionRow):
                executions.append(found.id)
            elif isinstance(found, JobRow):
                executions.append(found.execution_id)
            elif isinstance(found, FileRow):
                others.setdefault("value", []).append(found.value.id)
            else:
                others.setdefault(kinds[type(found)], []).append(found.id)
    extract.choose(executions, others)


def _check_and_keep(lines: Iterable[bytes], name: str, spool: IO[bytes]) -> None:
    """Write the records of a file to another, after checks; each has to refer to some in it."""
    scratch = scratch_database()
    try:
        scratch.execute(CREATE_PRESENT)
        scratch.execute(CREATE_WANTED)
        present: list[Any] = []
        wanted: dict[Any, int] = {}
        kept: list[Any] = []

        def write() -> None:
            scratch.execute_many(INSERT_PRESENT, present)
            scratch.execute_many(INSERT_WANTED, [(*key, line) for key, line in wanted.items()])
            data = marshal.dumps(kept)
            spool.write(len(data).to_bytes(8, "big"))
            spool.write(data)
            for notes in (present, wanted, kept):
                notes.clear()

        size = 0
        for line, item in read_items(lines, name):
            kind = kind_of(item)
            identity = identity_of(item)
            if len(identity) == 1:
                present.append((kind, *identity))
            for reference in references_of(item):
                wanted.setdefault(reference, line)
            kept.append((kind, tuple(item)))
            size += len(item.data) if isinstance(item, ValueItem) else 0
            if len(kept) > _MANY or size > BLOCK_BYTES:
                write()
                size = 0
        write()
        for line, kind, identity in scratch.rows(SELECT_MISSING):
            shown = identity.hex()[:12] if isinstance(identity, bytes) else identity
            raise UsageError(
                f"{name}:{line}: {kind.replace('_', ' ')} {shown} is referred to, but not in the "
                "file; nothing was imported"
            )
    finally:
        scratch.close()


def _kept(spool: IO[bytes]) -> Iterator[Item]:
    """Yield the records that `_check_and_keep` wrote."""
    while size := spool.read(8):  # `marshal.load` would read by the byte.
        for kind, fields in marshal.loads(spool.read(int.from_bytes(size, "big"))):
            yield item_of(kind, fields)


# Commands


def _tell(verb: str, new: dict[str, int], where: str) -> None:
    """Say on standard error what is new."""
    shown = [
        f"{format_count(new[kind])} {word if new[kind] == 1 else word + 's'}"
        for kind, word in _WORDS.items()
        if kind in new
    ]
    print(
        f"{verb} {', '.join(shown)} {where}" if shown else f"nothing new {where}", file=sys.stderr
    )


_WORDS = {
    "execution": "execution",
    "job": "job",
    "call": "call",
    "value": "value",
    "task": "task",
    "tag": "tag",
    "handle_state": "handle state",
}


class ExportCommand(Command):
    """Writes records to a file."""

    description = (
        "Write executions, or other records, as lines of JSON that `import` reads.\n\n"
        "ID is as for `log`. An execution comes with all that it needs, a job with its execution,\n"
        "a call or value with what it was made of. Without an ID, all is exported."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", metavar="ID", nargs="*", help="what to export")
        parser.add_argument("--all", action="store_true", help="all that is recorded (the default)")
        parser.add_argument(
            "-o", "--output", "-f", "--file", metavar="FILE", default="-", help="default: stdout"
        )
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        if options.all and options.ids:
            raise UsageError("export: --all is all records; leave out the ids, or --all")
        lines = export_lines(repository_source(options), options.ids)
        if options.output == "-":
            sys.stdout.flush()
            for line in lines:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        else:
            _write_file(options.output, lines)
        return OK


class ImportCommand(Command):
    """Takes up records from a file."""

    description = (
        "Take up the records that `export` has written.\n\n"
        "What is here already stays as it is. The whole file is checked before anything is\n"
        "written. Import only from those whose code you would run: a recorded result is loaded,\n"
        "by pickle, when the call that it belongs to is made here."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", nargs="?", help="- for standard input")
        parser.add_argument("-f", "--file", dest="option", metavar="FILE", help="the same")
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        if bool(options.file) == bool(options.option):
            raise UsageError("import: name one file, or - for standard input")
        file = options.file or options.option
        config = _own_config(options)
        source, place = database_source(config), StorePlace.from_config(config)
        if file == "-":
            new = import_lines(sys.stdin.buffer, "standard input", source, place)
        else:
            try:
                stream = open(file, "rb")
            except OSError as error:
                raise UsageError(f"import {file}: cannot be read: {error.strerror}") from None
            with stream:
                new = import_lines(stream, file, source, place)
        _tell("imported", new, f"into {source.address}" if new else f"in {file}")
        return OK


class PushCommand(Command):
    """Sends records to another repository."""

    description = (
        "Send what another repository lacks.\n\n"
        "REPO is the name of one in the configuration (`repo list`), a path or a URI; ID as for\n"
        "`export`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("peer", metavar="REPO", help="the other repository")
        parser.add_argument(
            "ids", metavar="ID", nargs="*", default=[], help="what to send; default: all"
        )

    def run(self, options: Namespace) -> int:
        config = existing_config(options)
        peer = config.repository(options.peer)
        place = StorePlace.from_config(peer)
        new = copy_records(database_source(config), database_source(peer), options.ids, place)
        _tell("pushed", new, f"to {options.peer}")
        return OK


class PullCommand(Command):
    """Gets records from another repository."""

    description = (
        "Get what another repository has and this one lacks.\n\n"
        "REPO is the name of one in the configuration (`repo list`), a path or a URI; ID as for\n"
        "`export`, looked up there. Pull only from those whose code you would run: a recorded\n"
        "result is loaded, by pickle, when the call that it belongs to is made here."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("peer", metavar="REPO", help="the other repository")
        parser.add_argument(
            "ids", metavar="ID", nargs="*", default=[], help="what to get; default: all"
        )

    def run(self, options: Namespace) -> int:
        peer = existing_config(options).repository(options.peer)
        own = _own_config(options)
        place = StorePlace.from_config(own)
        new = copy_records(database_source(peer), database_source(own), options.ids, place)
        _tell("pulled", new, f"from {options.peer}")
        return OK


class RepoCommand(Command):
    """Edits the list of other repositories."""

    description = "Other repositories that `push`, `pull` and `--repo` know by name."
    has_actions = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION")
        add_action(actions, "list", "show them")
        add = add_action(actions, "add", "give a name to one")
        add.add_argument("name", metavar="NAME")
        add.add_argument(
            "where", metavar="WHERE", help="the URI or path of a database, or a config directory"
        )
        remove = add_action(actions, "remove", "forget a name; the repository stays")
        remove.add_argument("name", metavar="NAME")

    def run(self, options: Namespace) -> int:
        if options.action == "add":
            config = Config.find(getattr(options, "config", None))
            address = add_repository(config, options.name, options.where)
            print(f"added {options.name}: {address}", file=sys.stderr)
        elif options.action == "remove":
            remove_repository(existing_config(options), options.name)
            print(f"removed {options.name}", file=sys.stderr)
        else:
            config = existing_config(options)
            rows = [["default", database_source(config).address]]
            for name in config.repos:
                try:
                    rows.append([name, database_source(config.repository(name)).address])
                except UsageError as error:
                    rows.append([name, f"cannot be used: {error}"])
            print("\n".join(format_table(rows, "<<")))
        return OK


def _own_config(options: Namespace) -> Config:
    """Return the configuration of where to write; it is made if there is none."""
    config = Config.find(getattr(options, "config", None))
    name = getattr(options, "repo", None)
    return config if name is None else config.repository(name)


def _write_file(path: str, lines: Iterable[bytes]) -> None:
    """Write a file, which is there as a whole or not at all."""
    import tempfile

    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".export-", delete=False) as stream:
            temporary = stream.name
            stream.writelines(lines)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UsageError(f"export: cannot write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            os.unlink(temporary)


# The list of repositories


def add_repository(config: Config, name: str, where: str) -> str:
    """Add a section `[repos.NAME]` to the configuration, and return the repository's address.

    The rest of the file stays as it is written.

    Raises
    ------
    UsageError
        The name is taken or none, or `where` cannot be a repository.
    """
    if name == "default":
        raise UsageError("repo add default: that is the repository here; choose another name")
    if not where:
        raise UsageError(f"repo add {name}: expected the path or URI of a repository, got ''")
    if not _NAME.fullmatch(name):
        raise UsageError(f"repo add {name!r}: a name is of letters, digits, - _ and .")
    if name in config.repos:
        raise UsageError(f"repo add {name}: it is there already; `repo remove {name}` forgets it")
    option, value = "db_uri", where
    if "://" not in where:
        path = os.path.abspath(where)
        if os.path.isdir(path):
            if not os.path.isfile(os.path.join(path, CONFIG_FILE)):
                raise UsageError(f"repo add {name}: {where} is a folder without a {CONFIG_FILE}")
            option, value = "config_dir", path
        else:
            value = f"sqlite:///{path}"
    if "\n" in value:
        raise UsageError(f"repo add {name}: a URI is one line")
    section = f"[repos.{name}]\n{option} = {value.replace('$', '$$')}\n"
    file = _config_file(config)
    text = read_text(file)
    # Read before it is written, so that a wrong one is refused: a login in the URI is, too.
    new = Config(read_sections(section, f"repo add {name}"), config.config_dir)
    address = database_source(new.repository(name)).address
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    _replace_text(file, text + gap + section)
    return address


def remove_repository(config: Config, name: str) -> None:
    """Remove a section `[repos.NAME]` from the configuration, and nothing else.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in config.repos:
        known = suggest(name, config.repos) if config.repos else "the configuration names none"
        raise UsageError(f"repo remove {name}: there is no such repository; {known}")
    file = _config_file(config)
    lines = read_text(file).split("\n")
    first, last = config.repos[name].span()
    del lines[first - 1 : last]
    if lines[first - 1 :] == [""] and lines[first - 2 : first - 1] == [""]:
        del lines[first - 2]  # It was the last, with a gap before it.
    while first < len(lines) and not lines[first - 1].strip():
        del lines[first - 1]  # The gap behind it.
    _replace_text(file, "\n".join(lines))


def _config_file(config: Config) -> Path:
    assert config.config_dir is not None
    return config.config_dir / CONFIG_FILE


def _replace_text(file: Path, text: str) -> None:
    """Write a file as a whole, with the permissions that it has."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(temporary, "x", encoding="utf-8", newline="") as stream:
            os.chmod(temporary, file.stat().st_mode & 0o777)
            stream.write(text)
        os.replace(temporary, file)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None
