"""`repo`: the other repositories that the configuration names."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from .._config import CONFIG_FILE, Config, init_config_dir
from .._database import database_source
from .._display import format_table
from .._errors import ConfigError, UsageError, suggest
from .._ini import read_sections, read_text
from .command import OK, Command, add_action, add_actions, existing_config

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class RepoCommand(Command):
    """Edits the list of other repositories."""

    description = "Other repositories that `push`, `pull` and `--repo` know by name."
    has_actions = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = add_actions(parser, required=False)
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
            address = add_repository(existing_config(options), options.name, options.where)
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
    # Read before it is written, so that a wrong one is refused: a login in the URI is, too.
    new = Config(read_sections(section, f"repo add {name}"), config.config_dir)
    try:
        address = database_source(new.repository(name)).address
    except ConfigError as error:
        reason = str(error).rpartition(f"{option}: ")[2]
        raise UsageError(f"repo add {name}: {reason}") from None
    file = _config_file(config)
    init_config_dir(file.parent)
    text = read_text(file)
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
