"""The command `db`: looking after a repository."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._command import (
    OK,
    PROGRAM,
    Command,
    add_repository_option,
    existing_config,
    repository_source,
)
from ._display import format_count, format_size, format_table
from ._history import open_history
from ._version import VERSION

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


class DbCommand(Command):
    """`db info`."""

    description = "Look at the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["info"], help="info: where it is and what it holds")
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        config = existing_config(options)
        source = repository_source(options)
        rows = [[PROGRAM, VERSION], ["config", str(config.config_dir)]]
        rows.append(["database", source.address])
        history = open_history(source)
        if history is None:
            rows[-1][1] += "  (not there yet: `init` or the first run makes it)"
        else:
            with history:
                rows.append(["size", format_size(_size_on_disk(source.address))])
                rows.append(["schema", str(history.version)])
                counts = history.count_rows().items()
                rows += [[f"{name}s", format_count(count)] for name, count in counts]
        print("\n".join(format_table(rows, "<<")))
        return OK


def _size_on_disk(path: str) -> int:
    files = (path + end for end in ("", "-wal"))
    return sum(os.path.getsize(file) for file in files if os.path.exists(file))
