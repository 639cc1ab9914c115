"""`export`, `import`, `push`, `pull`: what is recorded, shared by a file or with a repository."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .._config import Config
from .._database import database_source
from .._display import format_count
from .._errors import UsageError
from .._sync import copy_records, export_lines, import_lines
from .._value_store import StorePlace
from .command import OK, Command, add_repository_option, existing_config, repository_source

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable


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
