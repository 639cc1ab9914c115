"""Task options: what they are called, what they take, and the typed object that they become.

Options come from five places (executor, decorator, job above, call, scheduler) and are dicts of
whatever their author wrote.  They are merged as dicts, evaluated, and then parsed once into
`TaskOptions`; past that there are attributes, no keys.
"""

from __future__ import annotations

import enum
import json
import math
from typing import Any

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
        Evaluated options by name.  What an executor may want (`memory`, `image`, …) is kept in
        `extra`.
    where
        What to name in errors.
    parameters
        Names of the task's parameters.

    Raises
    ------
    TaskError
        A value is not one that the option takes.
    """

    __slots__ = (
        "allowed_cache_results",
        "cache_scope",
        "check_valid",
        "config_args",
        "context",
        "executor",
        "extra",
        "given",
        "limits",
        "priority",
        "prov",
        "retries",
        "retry_backoff",
        "retry_delay",
        "retry_on",
        "tags",
        "timeout",
    )

    def __init__(
        self, options: dict[str, Any], where: str, parameters: tuple[str, ...] = ()
    ) -> None:
        self.executor: str = _checked(options, "executor", "default", str, where)
        scope = _choice(options, "cache_scope", CacheScope.BACKEND, CacheScope, where)
        if not _checked(options, "cache", True, bool, where) and scope is CacheScope.BACKEND:
            scope = CacheScope.CSE
        self.cache_scope: CacheScope = scope
        self.check_valid: CacheCheckValid = _choice(
            options, "check_valid", CacheCheckValid.FULL, CacheCheckValid, where
        )
        allowed = options.get("allowed_cache_results")
        self.allowed_cache_results: frozenset[CacheResult] | None = (
            None if allowed is None else _parse_allowed(allowed, where)
        )
        self.config_args: tuple[str, ...] = _parse_config_args(
            options.get("config_args") or (), where, parameters
        )
        self.limits: dict[str, int] = _parse_limits(options.get("limits") or {}, where)
        self.priority: float = _number(options, "priority", 0, None, where)
        self.retries: int = _checked(options, "retries", 0, int, where)
        if self.retries < 0:
            raise TaskError(f"{where}: option retries takes a count, not {self.retries!r}")
        self.retry_delay: float = _number(options, "retry_delay", 1.0, 0, where)
        self.retry_backoff: float = _number(options, "retry_backoff", 2.0, 1, where)
        self.retry_on: tuple[type[BaseException], ...] = _parse_retry_on(
            options.get("retry_on"), where
        )
        self.timeout: float | None = None
        if options.get("timeout") is not None:
            self.timeout = _number(options, "timeout", 0.0, 0, where)
            if self.timeout == 0:
                raise TaskError(f"{where}: option timeout takes more than 0 seconds")
        self.tags: tuple[tuple[str, Any], ...] = parse_tags(options.get("tags") or (), where)
        self.prov: bool = _checked(options, "prov", True, bool, where)
        self.context: dict[str, Any] = _checked(options, CONTEXT_OPTION, {}, dict, where)
        self.given: dict[str, Any] = options
        self.extra: dict[str, Any] = {
            name: value for name, value in options.items() if name not in KNOWN_OPTIONS
        }

    def allows(self, result: CacheResult) -> bool:
        """Say whether a result may come from there."""
        allowed = self.allowed_cache_results
        return allowed is None or result in allowed


CONTEXT_OPTION = "_context"
"""The option that `Task.update_context` sets: context variables for the job and those below."""

KNOWN_OPTIONS = frozenset(
    {
        "allowed_cache_results",
        "cache",
        "cache_scope",
        "check_valid",
        "config_args",
        CONTEXT_OPTION,
        "executor",
        "limits",
        "priority",
        "prov",
        "retries",
        "retry_backoff",
        "retry_delay",
        "retry_on",
        "tags",
        "timeout",
    }
)
DEFINITION_OPTIONS = (
    "export_options",
    "hash_includes",
    "load_module",
    "name",
    "namespace",
    "nout",
    "script",
    "source",
    "version",
)


DEFINITION_TYPES: dict[str, tuple[type, ...]] = {
    "export_options": (dict,),
    "hash_includes": (list, tuple),
    "load_module": (str,),
    "name": (str,),
    "namespace": (str,),
    "nout": (int,),
    "source": (str,),
}


def _checked(options: dict[str, Any], name: str, default: Any, kind: type, where: str) -> Any:
    value = options.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise TaskError(f"{where}: option {name} takes a {kind.__name__}, not {value!r}")
    return value


def _choice(options: dict[str, Any], name: str, default: Any, kind: Any, where: str) -> Any:
    value = options.get(name)
    if value is None:
        return default
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(repr(member.value) for member in kind)
        raise TaskError(f"{where}: option {name} takes {choices}, not {value!r}") from None


def _number(
    options: dict[str, Any], name: str, default: float, least: float | None, where: str
) -> float:
    value = options.get(name)
    if value is None:
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and (least is None or value >= least)):
        limit = "" if least is None else f" of at least {least}"
        raise TaskError(f"{where}: option {name} takes a number{limit}, not {value!r}")
    return float(value)


_COLLECTIONS = (list, tuple, set, frozenset)


def _parse_allowed(allowed: Any, where: str) -> frozenset[CacheResult]:
    try:
        if isinstance(allowed, _COLLECTIONS):
            return frozenset(map(CacheResult, allowed))
    except ValueError:
        pass
    choices = ", ".join(repr(member.value) for member in CacheResult)
    raise TaskError(
        f"{where}: option allowed_cache_results takes a list of {choices}, not {allowed!r}"
    )


def _parse_config_args(names: Any, where: str, parameters: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(names, _COLLECTIONS) and all(name in parameters for name in names):
        return tuple(names)
    raise TaskError(
        f"{where}: option config_args takes a list of the task's parameters "
        f"({', '.join(parameters) or 'it has none'}), not {names!r}"
    )


def _parse_limits(limits: Any, where: str) -> dict[str, int]:
    if isinstance(limits, dict):
        wanted = limits
    elif isinstance(limits, _COLLECTIONS):
        listed = list(limits)
        wanted = {str(name): listed.count(name) for name in listed}
        if not all(isinstance(name, str) for name in listed):
            wanted = {"": 0}
    else:
        wanted = {"": 0}
    for name, units in wanted.items():
        if not (isinstance(name, str) and name and isinstance(units, int) and units >= 0):
            raise TaskError(
                f"{where}: option limits takes a list of resource names, or a dict of resource "
                f"names to units, not {limits!r}"
            )
    return dict(wanted)


def _parse_retry_on(classes: Any, where: str) -> tuple[type[BaseException], ...]:
    if classes is None:
        return (Exception,)
    listed = tuple(classes) if isinstance(classes, _COLLECTIONS) else (classes,)
    for cls in listed:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise TaskError(
                f"{where}: option retry_on takes a class of exceptions, or a list of them, "
                f"not {cls!r}"
            )
    return listed


def parse_tags(tags: Any, where: str) -> tuple[tuple[str, Any], ...]:
    """Return tags, given as a dict or as pairs, as pairs.

    Raises
    ------
    TaskError
        They are neither, or a value is not one that JSON knows.
    """
    if isinstance(tags, dict):
        tags = list(tags.items())
    pairs = []
    for pair in tags if isinstance(tags, _COLLECTIONS) else [tags]:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TaskError(f"{where}: tags are pairs (key, value), not {pair!r}")
        try:
            json.dumps(pair[1])
        except (TypeError, ValueError):
            raise TaskError(
                f"{where}: the value of tag {pair[0]!r} has to be one that JSON knows, "
                f"not {pair[1]!r}"
            ) from None
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def check_option_names(options: dict[str, Any], where: str, definition: bool = False) -> None:
    """Raise a `TaskError` for an option whose name is that of another, misspelt.

    Executors have options of their own, so a name that is like no other passes.

    Parameters
    ----------
    definition
        Whether a task is being defined; else it is called, and what defines it is out of place.
    """
    known = {*KNOWN_OPTIONS, *DEFINITION_OPTIONS}
    unknown = [name for name in options if name not in known]
    if unknown:
        from difflib import get_close_matches

        for name in unknown:
            near = get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                raise TaskError(f"{where}: unknown option {name!r}; did you mean {near[0]!r}?")
    if not definition:
        for name in options:
            if name in DEFINITION_OPTIONS and name != "nout":
                raise TaskError(f"{where}: option {name!r} is set where a task is defined only")


def holds_expressions(options: dict[str, Any]) -> bool:
    """Say whether options have to be evaluated before they can be parsed."""
    return bool(options) and bool(expressions_in(list(options.values())))
