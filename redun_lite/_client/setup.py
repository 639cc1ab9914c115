"""The scheduler that a command runs workflows with: made from the configuration, or by the user.

`[scheduler] setup_scheduler` names a function that takes the configuration and returns a scheduler,
perhaps with executors of its own.  What else the function takes is given on the command line, by
`--setup name=value`, and read by its type hints as a task's arguments are.
"""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

from .._errors import ArgumentError, RedunLiteError, UsageError, suggest
from .._scheduler import Scheduler
from .arguments import parse_words
from .workflow import ImportFailed, load_workflow, user_traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._config import Config

_OPTION = "setup_scheduler"


def make_scheduler(config: Config, words: Sequence[str] = ()) -> Scheduler:
    """Return the scheduler for a configuration.

    Parameters
    ----------
    words
        `name=value` for each argument that the user's function is given besides.

    Raises
    ------
    UsageError
        There is no such function, it takes other arguments, or returns no scheduler.
    ImportFailed
        It raised an error, or its script did.
    """
    path = config.scheduler.setup_scheduler
    if path is None:
        if words:
            raise UsageError(
                f"--setup {words[0]}: it is for the function that [scheduler] {_OPTION} names, and "
                "the configuration names none"
            )
        return Scheduler(config)
    function = _find(config, path)
    try:
        args, kwargs = _arguments(function, config, path, words)
    except ArgumentError as error:
        raise UsageError(f"--setup: {error}") from None
    try:
        scheduler = function(*args, **kwargs)
    except (RedunLiteError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ImportFailed(f"{path} failed: {error!r}", user_traceback(error)) from None
    if not isinstance(scheduler, Scheduler):
        raise config.error(
            f"expected {path} to return a Scheduler, got {type(scheduler).__name__}",
            "scheduler",
            _OPTION,
        )
    return scheduler


def _find(config: Config, path: str) -> Callable[..., Any]:
    place, _, name = path.rpartition("::")
    if place.endswith(".py") or os.sep in place:
        place = str(config.path(place))
    try:
        module = load_workflow(place)
    except ImportFailed:
        raise
    except UsageError as error:
        raise config.error(str(error), "scheduler", _OPTION) from None
    function = getattr(module, name, None)
    if not callable(function):
        functions = [other for other, value in vars(module).items() if inspect.isfunction(value)]
        raise config.error(
            f"there is no function {name} in {place}; {suggest(name, functions)}",
            "scheduler",
            _OPTION,
        )
    found: Callable[..., Any] = function
    return found


def _arguments(
    function: Callable[..., Any], config: Config, path: str, words: Sequence[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise config.error(f"expected {path} to take the configuration first", "scheduler", _OPTION)
    tokens = []
    for word in words:
        name, equals, _ = word.partition("=")
        if not (name.isidentifier() or name.replace("-", "_").isidentifier()) or not equals:
            raise UsageError(f"--setup: expected NAME=VALUE, got {word!r}")
        tokens.append(f"--{word}")
    return parse_words(path, function, tokens, ((config,), {}))
