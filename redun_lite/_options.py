"""Task options: what they are called, what they take, and the typed object that they become.

Options come from five places (executor, decorator, job above, call, scheduler) and are dicts of
whatever their author wrote.  They are merged as dicts, evaluated, and then parsed once into
`TaskOptions`; past that there are attributes, no keys.

An option is an attribute of `TaskOptions`, with its default, and a line in the table of parsers
below it.  What executors want (`memory`, `image`, …) has no attribute: they read it in the dict.
"""

from __future__ import annotations

import enum
import json
import math
from collections import Counter
from typing import Any, Callable

from ._errors import TaskError
from ._expr import expressions_in


class CacheScope(str, enum.Enum):
    """How far away a result may come from."""

    NONE = "NONE"
    """Nowhere: the task runs for every call."""

    CSE = "CSE"
    """An equal call in the same execution."""

    BACKEND = "BACKEND"
    """Any equal call that the repository knows."""


class CacheCheckValid(str, enum.Enum):
    """How much is checked before a result from the repository is reused."""

    FULL = "full"
    """Every call below: its task's code, and the values that it returned."""

    SHALLOW = "shallow"
    """The code of all tasks below, and the final result only."""


class CacheResult(str, enum.Enum):
    """Where a result came from."""

    CSE = "CSE"
    """An equal call in the same execution."""

    SINGLE = "SINGLE"
    """The first result of an earlier call, which may hold calls to look up in turn."""

    ULTIMATE = "ULTIMATE"
    """The final result of an earlier call."""

    MISS = "MISS"
    """The task had to run."""


# Options


class TaskOptions:
    """The options of a job, parsed.

    Parameters
    ----------
    options
        Evaluated options by name.
    where
        What to name in errors.
    parameters
        Names of the task's parameters.

    Raises
    ------
    TaskError
        A value is not one that the option takes.
    """

    allowed_cache_results: frozenset[CacheResult] | None = None
    cache: bool = True
    cache_scope: CacheScope = CacheScope.BACKEND
    check_valid: CacheCheckValid = CacheCheckValid.FULL
    config_args: tuple[str, ...] = ()
    executor: str = "default"
    limits: dict[str, int] = {}
    priority: float = 0
    prov: bool = True
    retries: int = 0
    retry_backoff: float = 2.0
    retry_delay: float = 1.0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    tags: tuple[tuple[str, Any], ...] = ()
    timeout: float | None = None

    def __init__(
        self, options: dict[str, Any], where: str, parameters: tuple[str, ...] = ()
    ) -> None:
        self.given = options
        for name, value in options.items():
            if value is not None and name in _PARSERS:
                setattr(self, name, _parsed(_PARSERS, name, value, where))
        if not self.cache and self.cache_scope is CacheScope.BACKEND:
            self.cache_scope = CacheScope.CSE
        if self.config_args:
            self.config_args = _names(self.config_args, parameters, where)

    def allows(self, result: CacheResult) -> bool:
        """Say whether a result may come from there."""
        allowed = self.allowed_cache_results
        return allowed is None or result in allowed


Parser = Callable[[Any], Any]
"""Returns a parsed value, or raises a `ValueError` that says what would be right, and perhaps as a
second argument which part is not."""


def _parsed(parsers: dict[str, Parser], name: str, value: Any, where: str) -> Any:
    try:
        return parsers[name](value)
    except ValueError as error:
        expected, culprit = (*error.args, value)[:2]
        raise TaskError(f"{where}: option {name} takes {expected}, not {culprit!r}") from None


_COLLECTIONS = (list, tuple, set, frozenset)


def _a(kind: type, *others: type) -> Parser:
    article = "an" if kind.__name__[0] in "aeiou" else "a"

    def parse(value: Any) -> Any:
        if isinstance(value, (kind, *others)):
            return value
        raise ValueError(f"{article} {kind.__name__}")

    return parse


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("an int of at least 0")


def _number(limit: str = "", fits: Callable[[float], bool] = math.isfinite) -> Parser:
    def parse(value: Any) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and fits(value):
            return float(value)
        raise ValueError(f"a number{limit}")

    return parse


def _one_of(kind: Any) -> Parser:
    def parse(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(_choices(kind)) from None

    return parse


def _some_of(kind: Any) -> Parser:
    def parse(value: Any) -> frozenset[Any]:
        try:
            if isinstance(value, _COLLECTIONS):
                return frozenset(map(kind, value))
        except ValueError:
            pass
        raise ValueError(f"a list of {_choices(kind)}")

    return parse


def _choices(kind: Any) -> str:
    return ", ".join(repr(member.value) for member in kind)


def _names(value: Any, parameters: tuple[str, ...], where: str) -> tuple[str, ...]:
    if isinstance(value, _COLLECTIONS) and all(name in parameters for name in value):
        return tuple(value)
    raise TaskError(
        f"{where}: option config_args takes a list of the task's parameters "
        f"({', '.join(parameters) or 'it has none'}), not {value!r}"
    )


def _limits(value: Any) -> dict[str, int]:
    units: Any = value
    if isinstance(value, _COLLECTIONS) and all(isinstance(name, str) for name in value):
        units = Counter(value)
    if isinstance(units, dict) and all(
        isinstance(name, str) and name and type(count) is int and count > 0
        for name, count in units.items()
    ):
        return dict(units)
    raise ValueError("a list of resource names, or a dict of resource names to units above 0")


def _classes(value: Any) -> tuple[type[BaseException], ...]:
    listed = tuple(value) if isinstance(value, _COLLECTIONS) else (value,)
    for cls in listed:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ValueError("a class of exceptions, or a list of them", cls)
    return listed


def _tags(value: Any) -> tuple[tuple[str, Any], ...]:
    pairs = list(value.items()) if isinstance(value, dict) else value
    for pair in pairs if isinstance(pairs, _COLLECTIONS) else [pairs]:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ValueError("pairs (key, value)", pair)
        try:
            json.dumps(pair[1])
        except (TypeError, ValueError):
            raise ValueError("pairs of a key and a value that JSON knows", pair) from None
    return tuple((key, content) for key, content in pairs)


def parse_tags(tags: Any, where: str) -> tuple[tuple[str, Any], ...]:
    """Return tags, given as a dict or as pairs, as pairs.

    Raises
    ------
    TaskError
        They are neither, or a value is not one that JSON knows.
    """
    try:
        return _tags(tags)
    except ValueError as error:
        expected, culprit = error.args
        raise TaskError(f"{where}: tags are {expected}, not {culprit!r}") from None


_PARSERS: dict[str, Parser] = {
    "allowed_cache_results": _some_of(CacheResult),
    "cache": _a(bool),
    "cache_scope": _one_of(CacheScope),
    "check_valid": _one_of(CacheCheckValid),
    "config_args": _a(object),  # It takes the parameters to tell.
    "executor": _a(str),
    "limits": _limits,
    "priority": _number(),
    "prov": _a(bool),
    "retries": _count,
    "retry_backoff": _number(" of at least 1", lambda factor: factor >= 1),
    "retry_delay": _number(" of at least 0", lambda seconds: seconds >= 0),
    "retry_on": _classes,
    "tags": _tags,
    "timeout": _number(" above 0", lambda seconds: seconds > 0),
}
_DEFINITION_PARSERS: dict[str, Parser] = {
    "export_options": _a(dict),
    "hash_includes": _a(list, tuple),
    "load_module": _a(str),
    "name": _a(str),
    "namespace": _a(str),
    "nout": _count,
    "script": _a(bool),
    "source": _a(str),
    "version": _a(object),
}
KNOWN_OPTIONS = frozenset(_PARSERS)
DEFINITION_OPTIONS = frozenset(_DEFINITION_PARSERS)
CONTEXT_OPTION = "_context"
"""The option that `Task.update_context` sets: context variables for the job and those below."""

# What executors take is known to them only; these are what is most often written.
_EXECUTOR_OPTIONS = ("gpus", "image", "job_name", "memory", "queue", "role", "vcpus")
_EXECUTOR_ONLY = ("max_workers", "start_method")  # Of the pool that tasks share.
_SLIP, _SLIP_OF_EXECUTOR = 0.75, 0.85  # How alike (see difflib) two names are that mean the same.


def parse_definition(definition: dict[str, Any], where: str) -> tuple[dict[str, Any], ...]:
    """Return what defines a task, parsed, and the other options that the decorator was given.

    Raises
    ------
    TaskError
        A value is not one that it takes.
    """
    known = {
        name: _parsed(_DEFINITION_PARSERS, name, value, where)
        for name, value in definition.items()
        if name in DEFINITION_OPTIONS and value is not None
    }
    return known, {name: definition[name] for name in definition if name not in DEFINITION_OPTIONS}


def check_option_names(options: dict[str, Any], where: str, definition: bool = False) -> None:
    """Raise a `TaskError` for an option whose name is that of another, misspelt.

    Executors have options of their own, so a name that is like no other passes.

    Parameters
    ----------
    definition
        Whether a task is being defined; else it is called, and what defines it is out of place.
    """
    for name in options:
        if name in DEFINITION_OPTIONS:
            if not definition and name != "nout":
                raise TaskError(f"{where}: option {name!r} is set where a task is defined only")
        elif name in _EXECUTOR_ONLY:
            raise TaskError(f"{where}: {name!r} is no option of a task; set it in [executors.NAME]")
        elif name not in KNOWN_OPTIONS and name not in _EXECUTOR_OPTIONS and name[0] != "_":
            meant = _meant(name)
            if meant:
                raise TaskError(f"{where}: unknown option {name!r}; did you mean {meant!r}?")
    if options.get("nout") is not None:
        _parsed(_DEFINITION_PARSERS, "nout", options["nout"], where)


def _meant(name: str) -> str | None:
    """Return the option that a name is most likely meant for."""
    from difflib import get_close_matches

    ours = KNOWN_OPTIONS | DEFINITION_OPTIONS
    for known, cutoff in ((ours, _SLIP), (_EXECUTOR_OPTIONS, _SLIP_OF_EXECUTOR)):
        for near in get_close_matches(name, known, n=1, cutoff=cutoff):
            if not name.startswith(near + "_"):  # `memory_gb` says more than `memory`.
                return near
    return None


def exported_names(options: dict[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the options that jobs below inherit; `prov=False` always is one."""
    if options.get("prov") is False:
        names = (*names, "prov")
    return tuple(dict.fromkeys(names))


def holds_expressions(options: dict[str, Any]) -> bool:
    """Say whether options have to be evaluated before they can be parsed."""
    return bool(options) and bool(expressions_in(list(options.values())))
