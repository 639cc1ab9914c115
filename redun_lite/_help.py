"""The command `help`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._command import COMMANDS, OK, PROGRAM, Command, find_command
from ._display import format_table

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


class HelpCommand(Command):
    """`help [COMMAND]`."""

    description = "Show the commands, or what one of them takes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("topic", metavar="COMMAND", nargs="?", help="a command")

    def run(self, options: Namespace) -> int:
        if options.topic is not None:
            return find_command(options.topic).execute(["--help"], options)
        print("\n".join(_overview()))
        return OK


def _overview() -> list[str]:
    rows = [[f"  {name}", purpose] for name, (_, purpose) in sorted(COMMANDS.items())]
    return [
        f"usage: {PROGRAM} [--config DIR] [--version] COMMAND …",
        "",
        "Workflows as lazy expressions, cached and recorded.",
        "",
        "commands:",
        *format_table(rows, "<<"),
        "",
        f"`{PROGRAM} help COMMAND` says more.",
    ]
