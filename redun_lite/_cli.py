"""The command line: `python -m redun_lite COMMAND …`.

A command returns the exit code.  0: all went well.  1: what was typed is right, and it failed, or
nothing was found.  2: what was typed is wrong, or what it names is; nothing was done.  130: Ctrl-C.
141: whoever read the output has gone (as a shell has it for a signal).

Which error leads to which is told by its class: a `UsageError` to 2, any other `RedunLiteError`
to 1.

Start-up is part of every run and of every completion in a shell.  So `--version` is answered before
anything is imported, and a command's room is imported when it is called.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from ._version import VERSION

if TYPE_CHECKING:
    from typing import Optional

_LONGEST = 2_000  # Characters of an error's line: a word of the command line may have 100,000.


def main(argv: Optional[list[str]] = None) -> int:
    """Run a command and return the exit code.

    Parameters
    ----------
    argv
        The words of the command line, without the program's name.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if words in (["--version"], ["-V"]):
        try:
            print(f"redun_lite {VERSION}", flush=True)
        except OSError:
            pass  # To be said below.
        else:
            return 0
    return _guarded(words)


def _guarded(words: list[str]) -> int:
    """Run a command; turn errors into lines and exit codes."""
    from ._client.command import BROKEN_PIPE, FAILED, INTERRUPTED, OK, PROGRAM, USAGE
    from ._errors import NO_ROOM, RedunLiteError, UsageError

    _fill_gaps()
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # Any text can be shown anywhere.
        try:
            code = _dispatch(words)
        except SystemExit as ended:  # argparse has shown the help.
            code = ended.code if isinstance(ended.code, int) else OK
        sys.stdout.flush()
        return code
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
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            _let_go_of_stdout()
            return _complain(f"cannot write standard output: {error.strerror}", FAILED)
        if isinstance(error, FileNotFoundError) and not _is_somewhere():
            return _complain("the folder that this runs in is gone: go to another one", USAGE)
        from ._client.workflow import shadowing_module

        shadowing = shadowing_module()
        if shadowing is None:
            raise
        return _complain(shadowing, USAGE)


def _fill_gaps() -> None:
    """Give the program the standard streams that it was started without.

    Else a database would get the number of one of them, and what a program that a task starts
    prints would be written into it.
    """
    import os

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def _is_somewhere() -> bool:
    """Say whether the present folder is there: it may have been removed."""
    import os

    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _complain(message: str, code: int) -> int:
    from ._client.command import PROGRAM
    from ._display import one_line

    line = one_line(message)
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
    print(f"{PROGRAM}: error: {line}", file=sys.stderr)
    return code


def _let_go_of_stdout() -> None:
    """Let Python's last flush go nowhere, since nobody reads it."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    from argparse import REMAINDER

    from ._client.command import find_command, make_parser
    from ._errors import UsageError

    parser = make_parser("", "Workflows as lazy expressions, cached and recorded.", add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-V", "--version", action="store_true")
    parser.add_argument("--setup", action="append", default=[])
    parser.add_argument("-r", "--repo")
    parser.add_argument("command", nargs="?", default="help")
    parser.add_argument("words", nargs=REMAINDER, type=str)  # Its own parser looks at them.
    options = parser.parse_args(words)
    options.argv = words
    if options.version:
        print(f"redun_lite {VERSION}")
        return 0
    if options.help:
        options.command, options.words = "help", []
    if options.setup and options.command != "run":
        raise UsageError(f"--setup {options.setup[0]}: it is for `run`, which makes a scheduler")
    if options.repo is not None and options.command == "run":
        raise UsageError(
            f"--repo {options.repo}: `run` records where its configuration says; "
            "`--config DIR` names another one"
        )
    if options.repo is not None:  # As redun has it; each command looks for it behind its name.
        at = options.words.index("--") if "--" in options.words else len(options.words)
        options.words[at:at] = [f"--repo={options.repo}"]
    return find_command(options.command).execute(options.words, options)
