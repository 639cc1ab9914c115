"""The configuration: `redun_lite.ini`, read once into typed objects.

A configuration directory, `.redun_lite/`, holds `redun_lite.ini` and, unless that says otherwise,
the database.  What the file says is checked here, at the edge, and becomes attributes
(`config.scheduler.cache`, `config.backend.max_value_size`): no other room reads option names out of
a dict, and each mistake is one `ConfigError` that names the file and the line.

How the text of the file is read, and what `${name}` in it means, is said in `_ini.py`.

Sections that nothing here knows belong to the user and are left alone, unless their name is so near
a known one (`[executor.batch]`) that it must be a slip.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import ConfigError, UsageError, suggest
from ._ini import (
    DEFAULT,
    Section,
    count,
    json_object,
    lines,
    positive,
    read_sections,
    read_text,
    seconds,
    shown,
    words,
)
from ._merged import merged

if TYPE_CHECKING:
    from ._ini import Kind

CONFIG_DIR = ".redun_lite"
CONFIG_FILE = "redun_lite.ini"
CONFIG_ENV = "REDUN_LITE_CONFIG"

_SINGLE_SECTIONS = ("scheduler", "backend", "limits")
_NAMED_SECTIONS = ("executors", "repos", "federated_tasks")
_SLIP = 0.85  # How alike (see difflib) a section's name must be to a known one to count as a slip.

_SECRET_IN_QUERY = re.compile(r"[?&](user|username|password|passwd)=")

# Comments only, so that whoever reads the file while it is being written finds the same defaults.
_NEW_CONFIG = """\
# Configuration of redun_lite.  The lines that are commented out show what applies without them.

# [scheduler]
# cache = true
# job_status_interval = 20

# [backend]
# db_uri = sqlite:///redun_lite.db

# [executors.default]
# type = local
# mode = thread
# max_workers = 20

# Limits have no default.  At most 5 jobs of tasks with @task(limits=["web_api"]) at once:
# [limits]
# web_api = 5
"""


class SchedulerConfig(NamedTuple):
    """The section `[scheduler]`."""

    cache: bool = True
    """Whether results of earlier executions are used."""
    ignore_warnings: tuple[str, ...] = ()
    """Kinds of warnings not to show, such as `namespace`."""
    job_status_interval: float = 20.0
    """Seconds between two tables of job counts, where there is no live line."""
    setup_scheduler: str | None = None
    """`{file or module}::{function}` that makes the scheduler; a file relative to the config's."""
    context: Mapping[str, Any] = {}
    """The option `context`; `Config.context` adds what the file holds."""
    context_file: str | None = None
    """A JSON file with more context, relative to the config directory."""
    federated_configs: tuple[str, ...] = ()
    """Config directories whose executors and federated tasks are imported."""
    boto_config: Mapping[str, Any] = {}
    """Settings of the AWS client."""


class BackendConfig(NamedTuple):
    """The section `[backend]`."""

    db_uri: str = "sqlite:///redun_lite.db"
    """Where the database is; a relative SQLite path starts at the config directory."""
    automigrate: bool = True
    """Whether an older database is brought up to date; if not set, only SQLite is."""
    max_value_size: int = 1_000_000_000
    """The most bytes that one recorded value may have."""
    value_store_path: str | None = None
    """A directory for large values; a local one is relative to the config directory."""
    value_store_min_size: int = 1024
    """Values of more bytes than this go to the value store, if there is one."""
    db_retries: int = 3
    """How often an operation is tried again after the connection failed."""
    db_retries_backoff: float = 1.0
    """Seconds before the first retry, doubled for each further one."""
    db_retries_backoff_max: float = 60.0
    """The most seconds before a retry."""
    db_aws_secret_name: str | None = None
    """An AWS secret that gives the database's address and login instead of `db_uri`."""
    db_username_env: str = "REDUN_LITE_DB_USERNAME"
    """The environment variable that holds the database user's name."""
    db_password_env: str = "REDUN_LITE_DB_PASSWORD"
    """The environment variable that holds the database user's password."""


class ExecutorConfig:
    """A section `[executors.NAME]`: which class the executor is of, and its options.

    Attributes
    ----------
    name : str
        What tasks call it: `@task(executor=NAME)`.
    type : str or None
        The name of a kind of executor, such as `local`.
    class_path : str or None
        `my_module.MyExecutor`, where the section has `class` instead of `type`.

    Examples
    --------
    >>> config = Config({"executors.big": {"type": "local", "max_workers": "40"}})
    >>> big = config.executors["big"]
    >>> big.type, big.options, big.parse({"max_workers": int, "mode": ("thread", "process")})
    ('local', {'max_workers': '40'}, {'max_workers': 40})
    """

    __slots__ = ("_section", "class_path", "name", "type")

    def __init__(self, name: str, section: Section) -> None:
        self.name = name
        self.type: str | None = section.read("type", str)
        self.class_path: str | None = section.read("class", str)
        self._section = section
        if bool(self.type) == bool(self.class_path):
            problem = "it has both type and class" if self.type else "it has no type"
            for option in () if self.type else section:
                likely = suggest(option, ("type", "class"))
                if likely.startswith("did you mean"):
                    raise section.error(f"{problem}, but {option}: {likely}")
            raise section.error(f"{problem}; write type = local, or class = my_module.MyExecutor")

    @property
    def where(self) -> str:
        """The file and line of the section."""
        return self._section.where()

    @property
    def options(self) -> dict[str, Any]:
        """The options as text; `parse` returns them checked and typed."""
        return {
            option: self._section[option]
            for option in self._section
            if option not in ("type", "class")
        }

    def parse(self, spec: Mapping[str, Kind]) -> dict[str, Any]:
        """Return the options that are set, converted as `spec` says; see `Section.parse`."""
        options = self._section.parse({**spec, "type": str, "class": str})
        return {option: options[option] for option in options if option in spec}

    def error(self, message: str, option: str | None = None) -> ConfigError:
        """Return a `ConfigError` about this executor, or about an option of it."""
        return self._section.error(message, option)


class Config:
    """The configuration of a scheduler.

    Parameters
    ----------
    config_dict
        Options by section, as in `redun_lite.ini`; values may be text or of the option's type.
    config_dir
        The directory that relative paths start at.  Without one they start at the current
        directory, and the database is in memory unless `db_uri` says otherwise.

    Raises
    ------
    ConfigError
        Something in it is unknown or of the wrong type.

    Attributes
    ----------
    scheduler : SchedulerConfig
    backend : BackendConfig
    limits : dict of str to int
        How many units of each resource there are.
    executors : dict of str to ExecutorConfig
    repos, federated_tasks : dict of str to Section
        Other repositories, and tasks defined elsewhere, by name.
    config_dir : Path or None

    Examples
    --------
    >>> config = Config({"limits": {"db": "10"}, "scheduler": {"cache": False}, "mine": {"a": "b"}})
    >>> config.limits, config.scheduler.cache, config["mine"]["a"]
    ({'db': 10}, False, 'b')
    """

    def __init__(
        self,
        config_dict: Mapping[str, Mapping[str, Any]] | None = None,
        config_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.config_dir = None if config_dir is None else Path(config_dir).absolute()
        self._sections: dict[str, Section] = {}
        for name, options in (config_dict or {}).items():
            if not isinstance(options, Mapping):
                raise ConfigError(f"config: [{name}]: expected a dict, got {shown(options)}")
            if not isinstance(options, Section):
                options = Section(name, options, self._sections)
            self._sections[name] = options
            _check_section_name(options)

        limits = self._section("limits")
        self.scheduler = _scheduler_config(self._section("scheduler"))
        self.backend = _backend_config(self._section("backend"), in_memory=config_dir is None)
        self.limits: dict[str, int] = limits.parse(dict.fromkeys(limits.written(), positive))
        self.executors = {
            name: ExecutorConfig(name, section)
            for name, section in self._sections_under("executors").items()
        }
        self.repos = self._sections_under("repos")
        self.federated_tasks = self._sections_under("federated_tasks")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Config:
        """Read a `redun_lite.ini`; relative paths in it start at its directory."""
        file = Path(path)
        return cls(read_sections(read_text(file), str(path)), file.absolute().parent)

    @classmethod
    def from_dir(cls, path: str | os.PathLike[str]) -> Config:
        """Read the `redun_lite.ini` of a config directory, making both if they are not there."""
        init_config_dir(path)
        return cls.from_file(Path(path, CONFIG_FILE))

    @classmethod
    def find(
        cls,
        explicit: str | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Config:
        """Read the configuration that applies here, creating one if there is none.

        `find_config_dir` says where it is looked for, and what the parameters are.
        """
        return cls.from_dir(find_config_dir(explicit, cwd or Path.cwd(), environ))

    def __repr__(self) -> str:
        return f"<Config of {self.config_dir or 'a dict'}: {', '.join(self._sections)}>"

    def __getitem__(self, name: str) -> Any:
        """Return a section; for what stands before a dot, a dict of the sections under it."""
        if name in self._sections:
            return self._sections[name]
        sections = self._sections_under(name)
        if not sections:
            raise KeyError(name)
        return sections

    def __contains__(self, name: str) -> bool:
        return name in self._sections or bool(self._sections_under(name))

    def get(self, name: str, default: Any = None) -> Any:
        """Return `config[name]`, or `default` if there is no such section."""
        try:
            return self[name]
        except KeyError:
            return default

    def get_config_dict(self) -> dict[str, dict[str, Any]]:
        """Return the options by section as written, so without secrets of the environment.

        `Config(config.get_config_dict(), config.config_dir)` says the same as `config`.
        """
        return {name: section.written() for name, section in self._sections.items()}

    def path(self, path: str | os.PathLike[str]) -> Path:
        """Return the absolute path of one that is relative to the config directory."""
        return Path(os.path.abspath(os.path.join(self.config_dir or os.getcwd(), path)))

    def error(self, message: str, section: str, option: str | None = None) -> ConfigError:
        """Return a `ConfigError` that names the file and line of a section or option."""
        return self._section(section).error(message, option)

    def db_scheme(self) -> str:
        """Return which kind of database it is, such as `sqlite` or `postgresql`."""
        if self.backend.db_aws_secret_name is not None:
            return "postgresql"
        return re.split(r"[+:]", self.backend.db_uri, maxsplit=1)[0]

    def db_path(self) -> str:
        """Return the absolute path of the SQLite database, or `:memory:`.

        Raises
        ------
        ConfigError
            The database is not SQLite.

        Examples
        --------
        >>> Config({"backend": {"db_uri": "sqlite:////data/jobs.db"}}).db_path()
        '/data/jobs.db'
        """
        if self.db_scheme() != "sqlite":
            message = f"expected sqlite:///PATH, got a database of {self.db_scheme()}"
            raise self.error(message, "backend", "db_uri")
        path = self.backend.db_uri.partition(":///")[2]
        return ":memory:" if path in ("", ":memory:") else str(self.path(path))

    def repository(self, name: str) -> Config:
        """Return the configuration with another repository in place of its own.

        Parameters
        ----------
        name
            The NAME of a section `[repos.NAME]`, which has `db_uri`, or the `config_dir` whose
            repository it is; or such a folder; or the URI or path of a database.  One that does
            not exist yet has a slash in its path, or ends with .db.

        Raises
        ------
        UsageError
            It is none of these.
        """
        section = self.repos.get(name)
        if section is None:
            if "://" in name:
                return Config({"backend": {"db_uri": name}}, self.config_dir)
            if name and os.path.isfile(os.path.join(name, CONFIG_FILE)):
                return Config.from_file(Path(name, CONFIG_FILE).absolute())
            if os.path.isdir(name):
                raise UsageError(
                    f"{name} is a folder without a {CONFIG_FILE}; name a database, or the folder "
                    "of a configuration"
                )
            if os.path.exists(name) or os.sep in name or name.endswith(".db"):
                uri = f"sqlite:///{os.path.abspath(name)}"
                return Config({"backend": {"db_uri": uri}}, self.config_dir)
            raise UsageError(f"there is no repository {name!r}: {suggest(name, self.repos)}")
        written = section.written()
        if "config_dir" in written:
            folder = self.path(written["config_dir"])
            if not os.path.isfile(folder / CONFIG_FILE):
                raise section.error(f"there is no {folder / CONFIG_FILE}", "config_dir")
            return Config.from_file(folder / CONFIG_FILE)
        if "db_uri" not in written and "db_aws_secret_name" not in written:
            raise section.error("expected db_uri, or the config_dir whose repository it is")
        # The section itself, which knows its file and lines.
        return Config({"backend": section}, self.config_dir)

    def context(self) -> dict[str, Any]:
        """Return what the options `context` and `context_file` say, merged.

        Objects are merged key by key, at every depth; where both give a value, that of `context`
        is taken.

        Raises
        ------
        ConfigError
            The file cannot be read, or does not hold a JSON object.
        """
        if self.scheduler.context_file is None:
            return dict(self.scheduler.context)
        file = self.path(self.scheduler.context_file)
        if not os.path.isfile(file):
            raise self.error(f"there is no file {file}", "scheduler", "context_file")
        try:
            from_file = json_object(read_text(file))
        except ValueError as error:
            raise ConfigError(f"{file}:{getattr(error, 'line', 0) + 1}: expected {error}") from None
        return merged(from_file, self.scheduler.context)

    def _section(self, name: str) -> Section:
        return self._sections.get(name, Section(name, {}, self._sections))

    def _sections_under(self, name: str) -> dict[str, Section]:
        start = len(name) + 1
        return {
            full_name[start:]: section
            for full_name, section in self._sections.items()
            if full_name.startswith(name + ".")
        }


def find_config_dir(explicit: str | None, cwd: Path, environ: Mapping[str, str]) -> Path:
    """Return the config directory that applies; it may not exist yet.

    Parameters
    ----------
    explicit
        What `--config` says, if given.  It must exist: a path typed by hand that holds no
        configuration is most likely a typing error.
    cwd
        Where the search starts that goes up through the parent directories.
    environ
        The environment, of which `REDUN_LITE_CONFIG` goes before the search.

    Raises
    ------
    ConfigError
        The explicit directory holds no `redun_lite.ini`, or the one that the search found may
        have been made by a stranger.
    """
    if explicit is not None:
        config_dir = cwd / explicit
        if not os.path.isfile(config_dir / CONFIG_FILE):
            if os.path.isfile(config_dir):
                why = f"it is a file; name the directory of a {CONFIG_FILE}"
            else:
                is_there = os.path.isdir(config_dir)
                what = f"no {CONFIG_FILE} in it" if is_there else "no such directory"
                why = f"there is {what}; `init --config {explicit}` makes one"
            raise ConfigError(f"--config {explicit}: {why}")
        return config_dir
    if environ.get(CONFIG_ENV):
        return cwd / environ[CONFIG_ENV]
    for directory in (cwd, *cwd.parents):
        found = directory / CONFIG_DIR
        if os.path.isdir(found):
            if _may_be_planted(found):
                raise ConfigError(
                    f"{found} belongs to another user, in a folder where anyone can make one, and "
                    f"a configuration can run code; if you trust it, say --config {found}"
                )
            return found
    return cwd / CONFIG_DIR


def _may_be_planted(directory: Path) -> bool:
    """Say whether a stranger may have made a directory for others to stumble upon."""
    if not hasattr(os, "getuid"):
        return False
    is_ours = directory.stat().st_uid in (0, os.getuid())
    return not is_ours and bool(directory.parent.stat().st_mode & stat.S_IWOTH)


def init_config_dir(path: str | os.PathLike[str]) -> bool:
    """Make a config directory, private to the user, and its `redun_lite.ini`, if not there yet.

    Returns
    -------
    bool
        Whether a `redun_lite.ini` was made.

    Raises
    ------
    ConfigError
        It cannot be made, for example because the file system is read-only.
    """
    file = Path(path, CONFIG_FILE)
    if os.path.isfile(file):
        return False
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        with open(file, "x", encoding="utf-8") as stream:
            stream.write(_NEW_CONFIG)
    except FileExistsError:
        if os.path.isfile(file):  # Another process made it in the meantime.
            return False
        wrong = f"{file}: expected a file, got a directory"
        if not os.path.isdir(file):
            wrong = f"{path}: expected a directory, got a file"
        raise ConfigError(wrong) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot make the config directory: {error.strerror}; "
            f"choose another one with --config or {CONFIG_ENV}"
        ) from None
    return True


def _check_section_name(section: Section) -> None:
    """Raise an error for a section whose name is not a known one but should be."""
    name, dot, part = section.name.partition(".")
    if name in _NAMED_SECTIONS:
        if not part:
            raise section.error(f"it needs a name of its own, as in [{name}.NAME]")
    elif name in _SINGLE_SECTIONS:
        if dot:
            raise section.error(f"there is only one such section; write [{name}]")
    elif name != DEFAULT:
        import difflib  # Only sections of the user's own pay for it.

        known = (*_SINGLE_SECTIONS, *_NAMED_SECTIONS)
        near = difflib.get_close_matches(name.lower(), known, 1, _SLIP)
        if near:
            meant = f"{near[0]}.{part or 'NAME'}" if near[0] in _NAMED_SECTIONS else near[0]
            raise section.error(
                f"unknown section; did you mean [{meant}]? "
                "(One of your own needs a name less like it.)"
            )


def _scheduler_config(section: Section) -> SchedulerConfig:
    return SchedulerConfig(
        **section.parse(
            {
                "cache": bool,
                "ignore_warnings": words,
                "job_status_interval": seconds,
                "setup_scheduler": _function_path,
                "context": dict,
                "context_file": str,
                "federated_configs": lines,
                "boto_config": dict,
            }
        )
    )


def _backend_config(section: Section, *, in_memory: bool) -> BackendConfig:
    options = section.parse(
        {
            "db_uri": str,
            "automigrate": bool,
            "max_value_size": count,
            "value_store_path": str,
            "value_store_min_size": count,
            "db_retries": count,
            "db_retries_backoff": seconds,
            "db_retries_backoff_max": seconds,
            "db_aws_secret_name": str,
            "db_username_env": str,
            "db_password_env": str,
        }
    )
    if in_memory:
        options.setdefault("db_uri", "sqlite://")
    backend = BackendConfig(**options)
    _check_db_uri(section, backend)
    local = backend.db_uri.startswith("sqlite:") and backend.db_aws_secret_name is None
    return backend._replace(automigrate=options.get("automigrate", local))


def _check_db_uri(section: Section, backend: BackendConfig) -> None:
    """Raise an error for a URI that is none, or that holds a login.  It is never shown."""
    scheme, separator, rest = backend.db_uri.partition("://")
    if not (scheme and separator):
        raise section.error("expected a URI such as sqlite:///redun_lite.db", "db_uri")
    if scheme == "sqlite":
        if rest and (not rest.startswith("/") or "?" in rest):
            message = "expected sqlite:///relative/path, or sqlite:////absolute/path"
            raise section.error(message, "db_uri")
    elif "@" in rest or _SECRET_IN_QUERY.search(rest):
        raise section.error(
            "expected no user name or password, since configurations are shared; give them in "
            f"the environment as {backend.db_username_env} and {backend.db_password_env}",
            "db_uri",
        )


def _function_path(value: Any) -> str:
    if isinstance(value, str):
        place, _, function = value.rpartition("::")
        if place and function.isidentifier():
            return value
    raise ValueError("file.py::function or module::function")
