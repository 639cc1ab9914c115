"""`export`, `import`, `push`, `pull`: what is recorded, shared by a file or with a repository."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .._config import Config
from .._database import database_source
from .._display import format_count
from .._errors import UsageError
from .._sync import copy_records, export_lines, import_lines
from .._value_store import StorePlace
from .command import (
    OK,
    Command,
    add_repository_option,
    existing_config,
    named_config,
    named_source,
    repository_source,
)
from .output import STREAM, open_input, read_ahead, write_output

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


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
            "-o", "--output", "-f", "--file", metavar="FILE", help="default: stdout"
        )
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        if options.all and options.ids:
            raise UsageError("export: --all is all records; leave out the ids, or --all")
        lines = export_lines(repository_source(options), options.ids)
        write_output(lines, options.output, is_private=True)
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
        with _Target(options, options.repo) as target:
            place = StorePlace.from_config(target.config)
            if file == STREAM:
                new = import_lines(
                    read_ahead(sys.stdin.buffer), "standard input", target.source, place
                )
            else:
                with open_input(file) as stream:
                    new = import_lines(stream, file, target.source, place)
        _tell("imported", new, f"into {target.source.address}" if new else f"in {file}")
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
        source = database_source(existing_config(options))
        with _Target(options, options.peer) as target:
            place = StorePlace.from_config(target.config)
            new = copy_records(source, target.source, options.ids, place)
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
        peer = named_source(existing_config(options), options.peer)
        with _Target(options) as target:
            place = StorePlace.from_config(target.config)
            new = copy_records(peer, target.source, options.ids, place)
        _tell("pulled", new, f"from {options.peer}")
        return OK


class _Target:
    """The repository that records go to, and that it is told if that has made it.

    The project's own is made where the configuration wants it, as a run would.  One that was named
    has to be there, or its folder has: another one is a typing error, and records that went there
    would not be looked for.

    Parameters
    ----------
    name
        As the user has named it; None for the project's own.
    """

    def __init__(self, options: Namespace, name: str | None = None) -> None:
        self._options = options
        config = existing_config(options)
        self.config, self.source = (
            (config, database_source(config)) if name is None else named_config(config, name)
        )
        self._is_new = not self.source.exists()
        self._is_own = name is None
        if self.source.is_in_memory:
            raise UsageError(f"{name or 'this repository'} is in memory: nothing would stay there")
        folder = os.path.dirname(self.source.address)
        if self._is_new and not self._is_own and not os.path.isdir(folder):
            raise UsageError(f"there is no repository {name}, and no folder {folder} to make it in")

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self._is_new:
            if self._is_own:
                Config.find(getattr(self._options, "config", None))
            print(f"made the repository {self.source.address}", file=sys.stderr)
