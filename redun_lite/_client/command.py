"""What commands of the command line have in common.

A command is a class in a room of this folder: `add_arguments` says what it takes, `run` does it
and returns the exit code.  The table of them names these rooms, which are imported when a command
is called.

Results go to standard output, everything else to standard error; what a person can mend is one
line.  Like mistakes are told alike: what every command may meet (nothing recorded, an empty word, a
file that cannot be written) has its words here.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError, UsageError, shorten, suggest
from .._names import PACKAGE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator
    from typing import Callable

    from .._config import Config
    from .._database import Source
    from .._history import History

PROGRAM = "redun_lite"

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

_ACTION = "ACTION"
_ABOUT_ONE = "argument "  # How argparse begins what it says of one argument.
_MISSING = "the following arguments are required"
_LEVELS = ("ERROR", "WARN", "INFO", "DEBUG")

COMMANDS = {
    "run": ("run:RunCommand", "Run a task of a workflow."),
    "log": ("log:LogCommand", "Show what was run: executions, jobs, values."),
    "why": ("why:WhyCommand", "Say why a job ran instead of being replayed."),
    "diff": ("diff:DiffCommand", "Show what changed between two executions."),
    "graph": ("graph:GraphCommand", "Draw an execution, or where a file or call came from."),
    "timeline": ("timeline:TimelineCommand", "Draw which jobs ran when."),
    "tag": ("tags:TagCommand", "Show and edit tags: tag list, add, update, rm."),
    "repl": ("repl:ReplCommand", "Ask the repository at a prompt of Python."),
    "export": ("sync:ExportCommand", "Write records to a file."),
    "import": ("sync:ImportCommand", "Take up records from a file."),
    "push": ("sync:PushCommand", "Send records to another repository."),
    "pull": ("sync:PullCommand", "Get records from another repository."),
    "repo": ("repositories:RepoCommand", "Name other repositories: repo list, add, remove."),
    "init": ("init:InitCommand", "Make a configuration and a database."),
    "db": (
        "maintenance:DbCommand",
        "Look after the database: db check, gc, backup, upgrade, …",
    ),
    "fs": ("transfer:FsCommand", "Copy files between file systems: fs cp."),
    "federated-server": (
        "federated_server:FederatedServerCommand",
        "Run federated tasks for those who ask over HTTP.",
    ),
    "completion": ("completion:CompletionCommand", "Print what lets a shell complete commands."),
    "help": ("help:HelpCommand", "Show what a command does."),
}
"""For each command its class, and in a line what it is for."""


class Command:
    """A command.

    Parameters
    ----------
    name
        The word that calls it.

    Attributes
    ----------
    description
        What `help NAME` says above the arguments.
    has_actions
        Whether a second word says what to do, on which `help NAME ACTION` says more.
    """

    description = ""
    has_actions = False

    def __init__(self, name: str) -> None:
        self.name = name

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Make a parser know what the command takes."""

    def run(self, options: Namespace) -> int:
        """Do what the command is for, and return the exit code."""
        raise NotImplementedError

    def parser(self) -> ArgumentParser:
        """Return the parser of the words behind the command's name."""
        parser = make_parser(self.name, self.description)
        self.add_arguments(parser)
        return parser

    def execute(self, words: list[str], options: Namespace) -> int:
        """Run the command with the words behind its name; `options` has what stood before it."""
        return self.run(self.parser().parse_args(words, options))


def find_command(name: str) -> Command:
    """Return a command by its name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    from importlib import import_module

    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}: {suggest(name, COMMANDS)}")
    room, _, class_name = COMMANDS[name][0].partition(":")
    command: Command = getattr(import_module(f".{room}", __package__), class_name)(name)
    return command


def import_root() -> str:
    """Return the folder, or zip file, from which Python imports this package."""
    place = os.path.abspath(__file__)
    for _ in range(PACKAGE.count(".") + 3):  # This file, its folder, the package.
        place = os.path.dirname(place)
    return place


def make_parser(command: str, description: str, add_help: bool = True) -> ArgumentParser:
    """Return a parser that raises `UsageError`s, with the options that every command has."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    class Parser(ArgumentParser):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.register("type", None, _not_empty)  # What has no `type` of its own.
            self.actions: Any = None
            self.is_action = False

        def parse_args(self, *args: Any, **kwargs: Any) -> Any:
            found, left = self.parse_known_args(*args, **kwargs)
            if left:
                self.refuse(left[0])
            return found

        def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
            found, left = super().parse_known_args(*args, **kwargs)
            if left and self.is_action:  # Else the command's parser would be told, and complain.
                self.refuse(left[0])
            return found, left

        def refuse(self, word: str) -> None:
            option = word.partition("=")[0]
            if option.startswith("--"):
                known = [name for action in self._actions for name in action.option_strings]
                long = (name for name in known if name.startswith("--"))
                self.error(f"unknown option {option}: {suggest(option, long)}")
            self.error(f"unexpected {word!r}; {self.hint()}")

        def words(self) -> str:
            return self.prog[len(PROGRAM) :].strip()  # Those of an action have two.

        def hint(self) -> str:
            return f"`{f'help {self.words()}'.strip()}` lists what there is"

        def error(self, message: str) -> Any:
            if message.startswith(_ABOUT_ONE):  # It says itself what would be right.
                message = message[len(_ABOUT_ONE) :]
            elif message.startswith(_MISSING):
                message = f"{message}; {self.hint()}"
                if self.actions is not None:
                    known = ", ".join(self.actions.choices)
                    message = f"say what to do: {known}; `help {self.words()}` says more"
            raise UsageError(f"{self.words()}: {message}" if self.words() else message)

        def print_help(self, file: Any = None) -> None:
            print(self.format_help(), end="", file=file)  # argparse lets no error of it through.

    parser = Parser(
        prog=f"{PROGRAM} {command}".strip(),
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )
    add_common_options(parser)
    return parser


def _not_empty(text: str) -> str:
    """Return a word as it is; an empty one is most often a variable that a script has not set."""
    from argparse import ArgumentTypeError

    if not text:
        raise ArgumentTypeError("it is empty")
    return text


def number_from(
    least: int = 0, most: int | None = None, kind: type[float] = int
) -> Callable[[str], Any]:
    """Return what reads a number within some bounds, as the `type` of an argument."""
    from argparse import ArgumentTypeError

    def read(text: str) -> float:
        try:
            found = kind(text)
        except (ValueError, OverflowError):
            found = kind(least - 1)
        if not found >= least or (most is not None and found > most):  # NaN is neither.
            sort = "a whole number" if kind is int else "a number"
            end = "on" if most is None else f"to {most}"
            raise ArgumentTypeError(f"expected {sort} from {least} {end}, got {shorten(text)}")
        return found

    return read


def add_actions(parser: Any, required: bool = True) -> Any:
    """Return what `add_action` adds the actions of a command to."""
    actions = parser.add_subparsers(dest="action", metavar=_ACTION, required=required)
    actions.type = str  # An empty word behind the action is for the action to complain of.
    parser.actions = actions
    return actions


def add_action(actions: Any, name: str, purpose: str, description: str = "") -> Any:
    """Return the parser of an action, with the options that every command has.

    Parameters
    ----------
    actions
        What `add_actions` has returned.
    name
        The word that calls it.
    purpose
        What the help of the command says in a line.
    description
        What the help of the action says above the arguments, if that is more.
    """
    parser = actions.add_parser(
        name,
        help=purpose,
        description=description or f"{purpose[0].upper()}{purpose[1:]}.",
        allow_abbrev=False,
    )
    parser.is_action = True
    add_common_options(parser)
    return parser


def add_common_options(parser: ArgumentParser) -> None:
    """Make a parser know the options that every command has."""
    from argparse import SUPPRESS

    # What was given before the command stays, unless it is given again.
    parser.add_argument(
        "-c", "--config", metavar="DIR", default=SUPPRESS, help="directory of redun_lite.ini"
    )
    parser.add_argument(
        "--log-level",
        metavar="LEVEL",
        choices=_LEVELS,
        default=SUPPRESS,
        help=f"what to show: {', '.join(_LEVELS)}",
    )


# Which repository


def add_repository_option(parser: ArgumentParser, default: str | None = None) -> None:
    """Make a parser know `--repo`, for commands that read or write a repository."""
    parser.add_argument(
        "--repo",
        metavar="REPO",
        default=default,
        help="another repository: its name in the configuration, its path or its URI",
    )


def existing_config(options: Namespace) -> Config:
    """Read the configuration that applies, for commands that only look: they make none."""
    from pathlib import Path

    from .._config import CONFIG_FILE, Config, find_config_dir

    folder = find_config_dir(getattr(options, "config", None), Path.cwd(), os.environ)
    file = folder / CONFIG_FILE
    return Config.from_file(file) if os.path.isfile(file) else Config({}, folder)


def repository_source(options: Namespace) -> Source:
    """Return where the repository is that a command reads or changes.

    Raises
    ------
    UsageError
        `--repo` names one that is not there.  The project's own may be yet to come.
    """
    from .._database import database_source

    config = existing_config(options)
    name = getattr(options, "repo", None)
    if name is None:
        return database_source(config)
    return named_source(config, name)


def named_config(config: Config, name: str) -> tuple[Config, Source]:
    """Return the configuration with a repository that was named, and where that is.

    Raises
    ------
    UsageError
        There can be none of that name or URI.
    """
    from .._database import database_source

    try:
        named = config.repository(name)
        return named, database_source(named)
    except ConfigError as error:
        if "://" not in name or name in config.repos:
            raise
        # It was typed, and is in no file; it may hold a password, so it is not shown.
        reason = str(error).rpartition("db_uri: ")[2]
        raise UsageError(f"the URI of a repository: {reason}") from None


def named_source(config: Config, name: str) -> Source:
    """Return where the repository is that was named, which has to be there.

    Raises
    ------
    UsageError
        There is none.
    """
    _, source = named_config(config, name)
    if not source.exists():
        where = "" if name == source.address else f": there is no {source.address}"
        raise UsageError(f"there is no repository {name}{where}")
    return source


def open_repository(options: Namespace) -> History | None:
    """Open the repository that a command is about, to read it; None if nothing is recorded."""
    from .._history import open_history

    return open_history(repository_source(options))


def tell_nothing_recorded(options: Namespace) -> int:
    """Say that a list is empty since nothing is recorded, and return the exit code."""
    from .._history import nothing_recorded

    return tell_nothing(str(nothing_recorded(repository_source(options).address)))


def tell_nothing(line: str) -> int:
    """Say that nothing was found, and return the exit code: as `grep` has it."""
    from .._display import one_line

    print(f"{PROGRAM}: {one_line(line)}", file=sys.stderr)
    return FAILED


def recorded(options: Namespace, missing: str = "") -> History:
    """Open the repository that a command is about, which has to have records.

    Parameters
    ----------
    missing
        What there is not, if there are none: the end of a message.

    Raises
    ------
    UsageError
        Nothing is recorded.
    """
    from .._history import nothing_recorded

    history = open_repository(options)
    if history is None:
        raise nothing_recorded(repository_source(options).address, missing)
    return history


# Output


def add_pager_option(parser: ArgumentParser) -> None:
    """Make a parser know `--no-pager`."""
    parser.add_argument("--no-pager", action="store_true", help="never hand long output to a pager")


def page(lines: Iterable[str], options: Namespace) -> None:
    """Print lines: through the user's pager if a terminal is too small for them."""
    iterator = iter(lines)
    if getattr(options, "no_pager", False) or not sys.stdout.isatty():
        for line in iterator:
            print(line)
        return
    import shutil

    height = shutil.get_terminal_size().lines
    first = []
    for line in iterator:
        first.append(line)
        if len(first) >= height:
            break
    else:
        print(*first, sep="\n", end="\n" if first else "")
        return
    _show_in_pager(first, iterator)


def _show_in_pager(first: list[str], rest: Iterator[str]) -> None:
    import shlex
    import subprocess
    from itertools import chain

    environ = {**os.environ, "LESS": os.environ.get("LESS", "FRX")}
    try:
        words = shlex.split(os.environ.get("PAGER", "")) or ["less"]
        pager = subprocess.Popen(words, stdin=subprocess.PIPE, env=environ)
    except (OSError, ValueError):  # There is none of that name.
        for line in chain(first, rest):
            print(line)
        return
    assert pager.stdin is not None
    try:
        for line in chain(first, rest):
            pager.stdin.write(f"{line}\n".encode(errors="backslashreplace"))
        pager.stdin.close()
    except BrokenPipeError:
        pass  # Who reads has seen enough.
    finally:
        _wait_for(pager)


def _wait_for(pager: Any) -> None:
    """Wait until the user leaves the pager, whom Ctrl-C belongs to meanwhile."""
    while True:
        try:
            pager.wait()
            return
        except KeyboardInterrupt:
            continue
