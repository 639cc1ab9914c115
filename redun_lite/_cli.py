"""The command line: `python -m redun_lite COMMAND …`.

A command takes the words behind its name and returns the exit code: 0 if all went well, 1 if the
workflow or the repository failed, 2 if what was typed cannot work, 130 after Ctrl-C, and 141 if
whoever read the output has gone (as a shell has it for a signal).  Results go to standard output,
everything else to standard error; what a person can mend is one line.

Start-up is part of every run and of every completion in a shell.  So `--version` is answered before
anything is imported, and the commands import the rooms that they need themselves.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from ._version import VERSION

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any, Callable, Optional

    from ._config import Config

    Command = Callable[[list[str], Namespace], int]

PROGRAM = "redun_lite"

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

_LEVELS = ("ERROR", "WARN", "INFO", "DEBUG")


def main(argv: Optional[list[str]] = None) -> int:
    """Run a command and return the exit code.

    Parameters
    ----------
    argv
        The words of the command line, without the program's name.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if words in (["--version"], ["-V"]):
        print(f"{PROGRAM} {VERSION}")
        return OK
    return _guarded(words)


def _guarded(words: list[str]) -> int:
    """Run a command; turn errors into lines and exit codes."""
    from ._errors import RedunLiteError, UsageError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # Any text can be shown anywhere.
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except SystemExit as ended:  # argparse has shown the help.
        return ended.code if isinstance(ended.code, int) else OK
    except BrokenPipeError:
        _let_go_of_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except UsageError as error:
        sys.stderr.write(getattr(error, "traceback", ""))
        return _complain(str(error), USAGE)
    except RedunLiteError as error:
        return _complain(str(error), FAILED)
    except Exception:
        from ._workflow import shadowing_module

        shadowing = shadowing_module()
        if shadowing is None:
            raise
        return _complain(shadowing, USAGE)


def _complain(message: str, code: int) -> int:
    from ._display import one_line

    print(f"{PROGRAM}: error: {one_line(message)}", file=sys.stderr)
    return code


def _let_go_of_stdout() -> None:
    """Let Python's last flush go nowhere, since nobody reads it."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    from argparse import REMAINDER

    from ._errors import UsageError, suggest

    parser = make_parser("", "Workflows as lazy expressions, cached and recorded.", add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-V", "--version", action="store_true")
    parser.add_argument("command", nargs="?")
    parser.add_argument("words", nargs=REMAINDER)
    options = parser.parse_args(words)
    options.argv = words
    if options.version:
        return main(["--version"])
    if options.help or options.command is None:
        return _help([], options)
    command = COMMANDS.get(options.command)
    if command is None:
        raise UsageError(
            f"unknown command {options.command!r}: {suggest(options.command, COMMANDS)}"
        )
    return command(options.words, options)


def make_parser(command: str, description: str, add_help: bool = True) -> ArgumentParser:
    """Return a parser that raises `UsageError`s, with the options that every command has."""
    from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter

    from ._errors import UsageError

    class Parser(ArgumentParser):
        def error(self, message: str) -> Any:
            where = f"{command}: " if command else ""
            shown = f"help {command}".strip()
            raise UsageError(f"{where}{message}; `{shown}` lists what there is")

    parser = Parser(
        prog=f"{PROGRAM} {command}".strip(),
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )
    # SUPPRESS: what was given before the command stays, unless it is given again.
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
    return parser


# Commands


def _help(words: list[str], options: Namespace) -> int:
    """Show what a command does."""
    from ._display import format_table

    if words:
        return _dispatch([*words[:1], "--help"])
    rows = [
        [f"  {name}", (command.__doc__ or "").partition("\n")[0]] for name, command in _ordered()
    ]
    print(f"usage: {PROGRAM} [--config DIR] [--version] COMMAND …")
    print("\nWorkflows as lazy expressions, cached and recorded.\n\ncommands:")
    print("\n".join(format_table(rows, "<<")))
    print(f"\n`{PROGRAM} help COMMAND` says more.")
    return OK


def _ordered() -> list[tuple[str, Command]]:
    return sorted(COMMANDS.items())


def _federated_server(words: list[str], options: Namespace) -> int:
    """Run federated tasks for those who ask over HTTP."""
    import os

    from ._errors import UsageError
    from ._federated import TOKEN_ENV
    from ._federated_server import DEFAULT_MAX_RUNS, DEFAULT_PORT, FederatedServer, serve
    from ._workflow import put_on_path

    parser = make_parser(
        "federated-server",
        "Run federated tasks for those who ask by rest_federated_task.\n\n"
        f"Requests need the token that the environment has as {TOKEN_ENV}. Who can write to the\n"
        "scratch folder can run code as the user of the server.",
    )
    parser.add_argument(
        "configs",
        metavar="NAME=DIR",
        nargs="+",
        help="a directory with a configuration, and what requests call it",
    )
    parser.add_argument(
        "--scratch", metavar="DIR", required=True, help="the folder that arguments come from"
    )
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any that is free")
    parser.add_argument(
        "--max-runs", type=int, default=DEFAULT_MAX_RUNS, help="executions at a time"
    )
    parser.parse_args(words, options)
    configs = dict(word.partition("=")[::2] for word in options.configs)
    if not all(name and folder for name, folder in configs.items()):
        raise UsageError(f"federated-server: expected NAME=DIR, got {' '.join(options.configs)}")
    put_on_path(os.getcwd())  # Configurations may name executors of the user's.
    token = os.environ.get(TOKEN_ENV, "")
    where = (options.host, options.port, options.max_runs)
    serve(FederatedServer(configs, options.scratch, token, *where))
    return OK


def _init(words: list[str], options: Namespace) -> int:
    """Make a configuration and a database."""
    import os

    from ._config import CONFIG_DIR, CONFIG_ENV, CONFIG_FILE, Config, init_config_dir
    from ._db import Repository
    from ._sqlite import MEMORY

    make_parser("init", "Make a configuration directory with a database in it.").parse_args(
        words, options
    )
    folder = getattr(options, "config", None) or os.environ.get(CONFIG_ENV) or CONFIG_DIR
    is_new = init_config_dir(folder)
    config = Config.from_file(os.path.join(folder, CONFIG_FILE))
    if config.db_path() != MEMORY:
        Repository(config.db_path()).close()
    state = "made" if is_new else "there already"
    print(f"{os.path.abspath(folder)}: {state}", file=sys.stderr)
    return OK


def _run(words: list[str], options: Namespace) -> int:
    """Run a task of a workflow."""
    from ._run import add_options, run

    parser = make_parser(
        "run",
        "Run a task of a workflow, and print its result.\n\n"
        "SCRIPT is a Python file or a module, TASK the name of a task in it;\n"
        "`run SCRIPT TASK --help` lists the arguments that the task takes.",
    )
    add_options(parser)
    return OK if run(parser, words, options) else FAILED


def _log(words: list[str], options: Namespace) -> int:
    """Show what was run: executions, jobs, values."""
    from ._display import Palette, terminal_width, use_colour
    from ._log import log_lines

    parser = make_parser(
        "log",
        "Show the latest executions, or one record.\n\n"
        "ID is `-` for the latest execution, the start of an execution's id, a job's id\n"
        "(5c1f9a3e-12), the start of the hash of a call, value or task, or a task's name.\n\n"
        "On a terminal long lists are cut, and equal jobs folded into one line; elsewhere all is\n"
        "shown, as with --all.",
    )
    parser.add_argument("id", metavar="ID", nargs="?", help="what to show")
    parser.add_argument("--all", action="store_true", help="every record, however many there are")
    parser.parse_args(words, options)
    path = _existing_config(options).db_path()
    width = terminal_width(sys.stdout)
    show_all = options.all or width is None
    palette = Palette(use_colour(sys.stdout))
    for line in log_lines(path, options.id, palette, width, show_all):
        print(line)
    return OK


def _db(words: list[str], options: Namespace) -> int:
    """Show where the database is and what it holds: db info."""
    from ._display import format_count, format_size, format_table
    from ._history import open_history

    parser = make_parser("db", "Look at the database.")
    parser.add_argument("action", choices=["info"], help="info: where it is and what it holds")
    parser.parse_args(words, options)
    config = _existing_config(options)
    path = config.db_path()
    rows = [[PROGRAM, VERSION], ["config", str(config.config_dir)], ["database", path]]
    history = open_history(path)
    if history is None:
        rows[-1][1] += "  (not there yet: `init` or the first run makes it)"
    else:
        with history:
            rows.append(["size", format_size(_size_on_disk(path))])
            rows.append(["schema", str(history.version)])
            rows += [[f"{name}s", format_count(n)] for name, n in history.count_rows().items()]
    for line in format_table(rows, "<<"):
        print(line)
    return OK


def _size_on_disk(path: str) -> int:
    import os

    files = (path + end for end in ("", "-wal"))
    return sum(os.path.getsize(file) for file in files if os.path.exists(file))


def _existing_config(options: Namespace) -> Config:
    """Read the configuration that applies, for commands that only look: they make none."""
    import os
    from pathlib import Path

    from ._config import CONFIG_FILE, Config, find_config_dir

    folder = find_config_dir(getattr(options, "config", None), Path.cwd(), os.environ)
    file = folder / CONFIG_FILE
    return Config.from_file(file) if file.is_file() else Config({}, folder)


COMMANDS: dict[str, Command] = {
    "db": _db,
    "federated-server": _federated_server,
    "help": _help,
    "init": _init,
    "log": _log,
    "run": _run,
}
"""The commands by name; the first line of a command's docstring is its help."""
