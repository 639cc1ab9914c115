"""Context: variables that reach deep into a workflow without being passed on from call to call.

They come from the configuration, the command line or `Scheduler.run`, and from
`Task.update_context` for a call and all below it.  Only who asks for a variable depends on it, and
since `get_context` is evaluated anew in each execution, a change reruns those jobs and no others.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

from ._digest import digest
from ._errors import ContextError, TaskError, suggest
from ._expr import Expression, key_of_expr
from ._merged import merged
from ._task import scheduler_task

T = TypeVar("T")


class Context:
    """The context variables of a job.

    Parameters
    ----------
    variables
        Nested dicts.
    key
        What tells it from others in an execution; empty for that of the execution itself.
    errors
        Errors that are replayed, by the key of the call that raised them: around is a catch that
        has handled them before.
    """

    __slots__ = ("errors", "key", "variables")

    def __init__(
        self,
        variables: dict[str, Any],
        key: bytes = b"",
        errors: dict[bytes, BaseException] | None = None,
    ) -> None:
        self.variables = variables
        self.key = key
        self.errors = errors

    def updated(self, variables: Any) -> Context:
        """Return the context with other variables; nested dicts are merged."""
        if not isinstance(variables, dict):
            raise TaskError(f"update_context takes a dict of variables, not {variables!r}")
        both = merged(self.variables, variables)
        return Context(both, digest(self.key + key_of_expr(both)), self.errors)

    def expecting(self, errors: dict[bytes, BaseException]) -> Context:
        """Return the context in which further errors are replayed."""
        return Context(self.variables, self.key, {**(self.errors or {}), **errors})


_MISSING: Any = object()


@scheduler_task(name="get_context", namespace="redun_lite", version="1")
def context_task(
    scheduler: Any, parent_job: Any, sexpr: Any, var_path: Any, default: Any = _MISSING
) -> Any:
    """Return a context variable of the job."""

    def look_up(path: Any) -> Any:
        return value_at(scheduler.context_of(parent_job), path, default)

    if isinstance(var_path, Expression):
        return scheduler.evaluate(var_path, parent_job).then(
            lambda path: scheduler.evaluate(look_up(path), parent_job)
        )
    return look_up(var_path)


context_task.depends_on_run = True  # The context is no part of any key.


@overload
def get_context(var_path: str) -> Any: ...


@overload
def get_context(var_path: str, default: T) -> T: ...


def get_context(var_path: str, default: Any = _MISSING) -> Any:
    """Return the expression of a context variable: for defaults, arguments, options and results.

    Parameters
    ----------
    var_path
        Name of the variable; dots lead into objects: `"aligner.memory"`.
    default
        What is taken where it is not set.

    Raises
    ------
    ContextError
        When it is evaluated: it is not set, and there is no default.

    Examples
    --------
    >>> from redun_lite import get_context, run, task
    >>> @task(namespace="docs", version="1")
    ... def align(reads, platform=get_context("aligner.platform", "illumina")):
    ...     return f"{reads} on {platform}"
    >>> run(align("r1"), context={"aligner": {"platform": "nanopore"}})
    'r1 on nanopore'
    """
    if default is _MISSING:
        return context_task(var_path)
    return context_task(var_path, default)


def value_at(context: dict[str, Any], var_path: str, default: Any = _MISSING) -> Any:
    """Return what is at a dotted path in nested dicts.

    >>> value_at({"a": {"b": 1}}, "a.b"), value_at({"a": {"b": 1}}, "a.c", 2)
    (1, 2)
    """
    if not isinstance(var_path, str):
        raise ContextError(f"get_context takes a dotted name, not {var_path!r}")
    value: Any = context
    passed: list[str] = []
    for name in var_path.split("."):
        if not isinstance(value, dict) or name not in value:
            if default is not _MISSING:
                return default
            where = f"{'.'.join(passed)!r} of the context" if passed else "the context"
            known = [str(key) for key in value] if isinstance(value, dict) else []
            raise ContextError(
                f"there is no context variable {var_path!r}: {where} has no {name!r}; "
                f"{suggest(name, known)}"
            )
        value = value[name]
        passed.append(name)
    return value
