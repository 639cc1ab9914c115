"""The command `init`."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from .._config import CONFIG_DIR, CONFIG_ENV, CONFIG_FILE, Config, init_config_dir
from .._database import database_source
from .._schema import VERSION
from .command import OK, Command

if TYPE_CHECKING:
    from argparse import Namespace


class InitCommand(Command):
    """`init`."""

    description = "Make a configuration directory with a database in it."

    def run(self, options: Namespace) -> int:
        folder = getattr(options, "config", None) or os.environ.get(CONFIG_ENV) or CONFIG_DIR
        is_new = init_config_dir(folder)
        source = database_source(Config.from_file(os.path.join(folder, CONFIG_FILE)))
        if not source.is_in_memory:
            source.create()
            with closing(source.connect()) as database:
                source.migrate(database, VERSION)
        state = "made" if is_new else "there already"
        print(f"{os.path.abspath(folder)}: {state}", file=sys.stderr)
        return OK
