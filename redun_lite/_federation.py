"""What other projects publish: executors, and tasks that can be called without their code.

A project publishes a folder with a `redun_lite.ini`, whose sections `[executors.NAME]` and
`[federated_tasks.NAME]` others import by naming the folder in `[scheduler] federated_configs`.
Nothing else of it is imported, so that a published configuration cannot change how those who import
it run and record.  Names are taken as they are; where two are alike, one would silently stand for
the other, so that is an error.

Imports of imports are followed: whoever publishes can put together what others publish.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._config import CONFIG_FILE, Config
from ._ini import json_or_text

if TYPE_CHECKING:
    from ._config import ExecutorConfig
    from ._errors import ConfigError
    from ._ini import Section

_REQUIRED = ("namespace", "task_name", "load_module", "executor", "config_dir")
_DESCRIPTION = ("description", "task_signature")
_FLAGS: dict[str, Any] = dict.fromkeys(("cache", "new_execution", "prov"), bool)


class FederatedTask(NamedTuple):
    """A task of another project, and how to call it: what a section says, checked."""

    fullname: str
    """Full name of the task."""
    load_module: str
    """Module that defines it."""
    executor: str
    """Name of the executor that has the project's code."""
    config_dir: Path
    """The project's own configuration directory."""
    options: dict[str, Any]
    """What is passed on to `subrun`: task options, and `new_execution`."""


class FederatedTaskConfig:
    """A section `[federated_tasks.NAME]`.

    It is checked when the task is called: it may have been published by others, whose mistakes in
    tasks that are not called are nobody's business here.

    Attributes
    ----------
    name : str
        What it is called by: `federated_task(NAME)`.

    Examples
    --------
    >>> entry = {"namespace": "reads", "task_name": "align", "load_module": "aligner"}
    >>> entry.update(executor="aligner", config_dir="/data/aligner/.redun_lite", memory="8")
    >>> config = Config({"federated_tasks.align": entry})
    >>> task = federation_of(config).tasks["align"].parse()
    >>> task.fullname, task.options
    ('reads.align', {'memory': 8})
    """

    __slots__ = ("_config", "_section", "name")

    def __init__(self, name: str, section: Section, config: Config) -> None:
        self.name = name
        self._section = section
        self._config = config

    @property
    def where(self) -> str:
        """The file and line of the section."""
        return self._section.where()

    def error(self, message: str, option: str | None = None) -> ConfigError:
        """Return a `ConfigError` about the section, or about an option of it."""
        return self._section.error(message, option)

    def parse(self) -> FederatedTask:
        """Return what the section says.

        Raises
        ------
        ConfigError
            An option is missing, or not of its type.
        """
        section = self._section
        missing = [option for option in _REQUIRED if option not in section]
        if missing:
            needed = ", ".join(_REQUIRED)
            raise section.error(f"it has no {', '.join(missing)}; a federated task needs {needed}")
        given = {option: section.read(option, str).strip() for option in _REQUIRED}
        for option, text in given.items():
            if not text and option != "namespace":
                raise section.error("expected a name, got nothing", option)
        options = {
            option: section.read(option, _FLAGS.get(option, json_or_text))
            for option in section.written()
            if option not in given and option not in _DESCRIPTION
        }
        return FederatedTask(
            ".".join(part for part in (given["namespace"], given["task_name"]) if part),
            given["load_module"],
            given["executor"],
            self._config.path(given["config_dir"]),
            options,
        )


class Federation(NamedTuple):
    """What a configuration has of its own and imports from others, by name."""

    executors: dict[str, ExecutorConfig]
    tasks: dict[str, FederatedTaskConfig]


def federation_of(config: Config, reserved: Collection[str] = ()) -> Federation:
    """Return the executors and federated tasks of a configuration, with those it imports.

    Parameters
    ----------
    reserved
        Names of executors that cannot be imported.

    Raises
    ------
    ConfigError
        A configuration is not there, some import each other, or two have a name in common.
    """
    found = Federation(dict(config.executors), {})
    _add_tasks(found, config)
    for imported in _imports_of(config):
        for name, executor in imported.executors.items():
            known = found.executors.get(name)
            if known is not None:
                raise executor.error(f"{known.where} has one of that name; rename one of them")
            if name in reserved:
                raise executor.error("every scheduler has one of that name; rename this one")
            found.executors[name] = executor
        _add_tasks(found, imported)
    return found


def _add_tasks(found: Federation, config: Config) -> None:
    for name, section in config.federated_tasks.items():
        task = FederatedTaskConfig(name, section, config)
        known = found.tasks.setdefault(name, task)
        if known is not task:
            raise task.error(f"{known.where} has one of that name; rename one of them")


def _imports_of(config: Config) -> list[Config]:
    """Return the configurations that one imports, with those that they import, each once."""
    found: dict[Path, Config] = {}

    def visit(importer: Config, above: list[Path]) -> None:
        for folder, line in _named_by(importer):
            file = folder / CONFIG_FILE
            if folder in above:
                circle = [*above[above.index(folder) :], folder]
                told = " → ".join(map(str, circle))
                raise _import_error(importer, f"they import each other: {told}", line)
            if folder not in found:
                if not file.is_file():
                    raise _import_error(importer, f"there is no {file}", line)
                found[folder] = Config.from_file(file)
                visit(found[folder], [*above, folder])

    visit(config, [] if config.config_dir is None else [config.config_dir.resolve()])
    return list(found.values())


def _named_by(config: Config) -> Iterator[tuple[Path, int]]:
    """Yield the folders that `federated_configs` names, and on which line of its value."""
    if config.scheduler.federated_configs:
        written = config["scheduler"]["federated_configs"]
        for line, name in enumerate(written.split("\n") if isinstance(written, str) else written):
            if name:
                yield config.path(name).resolve(), line


def _import_error(config: Config, message: str, line: int) -> ConfigError:
    error: ConfigError = config["scheduler"].error(message, "federated_configs", line)
    return error
