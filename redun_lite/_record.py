"""From a value or an error to what is stored of it, and back."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Callable

from ._digest import is_flat
from ._errors import HashError, ScriptError, unpicklable
from ._expr import dumps_expr, format_expr, key_of_expr, loads_expr
from ._handle import Handle
from ._hash import key_of
from ._names import global_name
from ._provenance import ValueRecord
from ._task import QuotedExpression
from ._value import PICKLE_PROTOCOL, Value, _rebuild_error, get_type_registry, iter_nested

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO = os.path.join(os.path.dirname(os.__file__), "asyncio", "")
_BUILTINS = (int, str, float, bool, bytes, complex, type(None), list, tuple, dict)
_FLAT_TYPE_NAMES = {cls: f"builtins.{cls.__name__}" for cls in _BUILTINS}
_MOST_SHOWN = 100  # Characters of an expression in a job's title.

REMOTE_TRACEBACK = "_redun_lite_traceback"
"""Attribute of an error that came from another process: its traceback, as text."""

ORIGIN = "_redun_lite_origin"
"""Attribute of an error that came out of a subrun: the jobs there that it went through.

Each is its id, as `log` takes it, and its call.  The first is the one whose function raised the
error, each other the one above.  Then come those of the subrun around, if there is one."""


class ErrorValue(Value):
    """What is recorded of an error.

    Parameters
    ----------
    error_type
        `module.Class` of the error.
    message
        Its text; of the error of a script, the line that says how that ended.
    traceback
        The traceback as Python prints it, with the user's frames only.

    Attributes
    ----------
    stdout, stderr
        Of the error of a script, the end of what that wrote; other errors have none.
    """

    type_name = "redun_lite.ErrorValue"

    def __init__(self, error_type: str, message: str, traceback: str) -> None:
        self.error_type = error_type
        self.message = message
        self.traceback = traceback

    @classmethod
    def from_error(cls, error: BaseException) -> ErrorValue:
        """Return what is to be recorded of an error."""
        name = global_name(type(error)).replace(":", ".")
        if not isinstance(error, ScriptError):
            return cls(name, message_of(error), format_traceback(error))
        value = cls(name, error.message, format_traceback(error))
        value.__dict__.update(stdout=error.stdout, stderr=error.stderr)
        return value

    def __repr__(self) -> str:
        return f"{self.error_type.rpartition('.')[2]}({self.message!r})"


class ScriptResult(Value):
    """The result of a script, together with what it wrote that is no part of that.

    It is recorded as what the job returned, while the job's result is `value`.  So what a script
    wrote to standard error can be looked up, and does not make its result another one.

    Parameters
    ----------
    value
        The result.
    stdout, stderr
        The end of what the script wrote; `stdout` is empty where it is the result.
    """

    type_name = "redun_lite.ScriptResult"

    def __init__(self, value: Any, stdout: bytes, stderr: bytes) -> None:
        self.value = value
        self.stdout = stdout
        self.stderr = stderr

    def is_valid(self) -> bool:
        return get_type_registry().is_valid_nested(self.value)

    def iter_subvalues(self) -> Iterator[Any]:
        if isinstance(self.value, Value):
            yield self.value
        yield from get_type_registry().iter_subvalues(self.value)


UNFINISHED = ErrorValue("redun_lite.Unfinished", "the job has not ended", "")
"""What is recorded as the result of a call while its job runs."""


def title_of(task_name: str, args: tuple[Any, ...]) -> str:
    """Return what to call a job in an error: the name of its task, or what its user wrote.

    The jobs of `subrun` and `federated_task` are calls of tasks that nobody has written.

    Examples
    --------
    >>> title_of("docs.align", ("reads.fq",))
    'docs.align'
    """
    if task_name == "redun_lite.subrun_root_task" and args:
        quoted = args[0]
        text = format_expr(quoted.eval()) if isinstance(quoted, QuotedExpression) else "…"
        return f"subrun({text if len(text) <= _MOST_SHOWN else f'{text[:_MOST_SHOWN]}…'})"
    if task_name == "redun_lite.federated_root_task" and args:
        return f"federated_task({args[0]!r})"
    return task_name


def message_of(error: BaseException) -> str:
    """Return the text of an error, which its class may be unable to give."""
    try:
        return str(error)
    except Exception:
        return "<exception str() failed>"  # As Python's own tracebacks say.


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an error as Python prints it, without the engine's frames."""
    remote = getattr(error, REMOTE_TRACEBACK, None)
    if remote is not None:
        return str(remote)
    formatted = traceback.TracebackException.from_exception(error)
    for part in _chain(formatted):
        part.stack = traceback.StackSummary.from_list(_users_frames(part.stack))
    lines = list(formatted.format())
    if not formatted.stack and formatted.__cause__ is None and formatted.__context__ is None:
        lines = list(formatted.format_exception_only())
    if sys.version_info < (3, 11):  # From then on, they are part of it.
        lines += [f"{note}\n" for note in getattr(error, "__notes__", ())]
    return "".join(lines)


def _users_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return the frames without the engine's, and without asyncio's that lead to the user's.

    Where asyncio is what raised, its frames say so.
    """
    frames: list[traceback.FrameSummary] = []
    leads_on = False
    for frame in reversed(stack):
        is_asyncio = frame.filename.startswith(_ASYNCIO)
        if is_engine_file(frame.filename) or (is_asyncio and leads_on):
            continue
        frames.append(frame)
        leads_on = leads_on or not is_asyncio
    return frames[::-1]


def _chain(formatted: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    part: traceback.TracebackException | None = formatted
    while part is not None:
        yield part
        part = part.__cause__ or part.__context__


def is_engine_file(filename: str) -> bool:
    """Say whether a file belongs to this package."""
    return filename.startswith(_HERE)


class RemoteTraceback(Exception):
    """The traceback that an error had in another process; shown as the error's cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def show_remote_traceback(error: BaseException) -> None:
    """Make Python print the traceback that an error brought from another process."""
    remote = getattr(error, REMOTE_TRACEBACK, None)
    if remote is not None and error.__cause__ is None:
        error.__cause__ = RemoteTraceback(remote)


def trim_traceback(error: BaseException) -> BaseException:
    """Drop the engine's frames from the top of an error's traceback; return the error."""
    frames = error.__traceback__
    while frames is not None and is_engine_file(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    error.__traceback__ = frames
    return error


def storable_error(error: BaseException, keyed: bool = False) -> BaseException:
    """Return an error as it can be stored or sent: itself, or one of its class that lacks a part.

    What is left out is what cannot be pickled (a connection, a lock); a note on the error says so.
    It stays an instance of its class, since whether `catch` and `except` fit must not depend on
    where a task runs.  Only where the class itself cannot be found again, it is told in words.

    Parameters
    ----------
    keyed
        Whether it also has to have a key, as an argument of a task does.

    Examples
    --------
    >>> import threading
    >>> error = storable_error(OSError(5, threading.Lock(), "name"))
    >>> error.errno, error.filename, error.__notes__
    (5, 'name', ['incomplete: could not be pickled: .args[1] (a lock)'])
    """

    def fits(value: Any) -> bool:
        try:
            if keyed:
                key_of_expr(value)
            loads_expr(dumps_expr(value))
        except Exception:
            return False
        return True

    if fits(error):
        return error
    try:
        incomplete = _without_parts(error, fits)
        if fits(incomplete):
            return incomplete
    except Exception:  # Its class may have a `__new__` or `__setstate__` that wants everything.
        pass
    return unpicklable(type(error).__qualname__, message_of(error))


def _without_parts(error: BaseException, fits: Callable[[Any], bool]) -> BaseException:
    """Return an error of the same class without the parts that do not fit.

    `__init__` of the class is not called.  An argument becomes its text, which most often is the
    error's message.
    """
    missing = []
    args = []
    reduced: Any = error.__reduce__()
    for index, arg in enumerate(reduced[1]):
        kept = fits(arg)
        args.append(arg if kept else str(arg))
        missing += [] if kept else [f".args[{index}] (a {type(arg).__name__})"]
    made = _rebuild_error(type(error), tuple(args))
    for name, value in vars(error).items():
        if fits(value):
            setattr(made, name, value)
        else:
            missing.append(f".{name} (a {type(value).__name__})")
    note = f"incomplete: could not be pickled: {', '.join(missing)}"
    made.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(error.__traceback__)


def has_hooks(value: Any) -> bool:
    """Say whether a nested value holds Values."""
    return any(isinstance(leaf, Value) for leaf in iter_nested(value))


def make_value_record(key: bytes, value: Any) -> ValueRecord:
    """Return the record of a value whose key is known.

    Raises
    ------
    HashError
        It cannot be pickled.
    """
    if is_flat(value):
        return ValueRecord(key, _FLAT_TYPE_NAMES[type(value)], pickle.dumps(value, PICKLE_PROTOCOL))
    registry = get_type_registry()
    wrapped = registry.get_value(value)
    try:
        subvalues = tuple(
            make_value_record(key_of(child), child) for child in registry.iter_subvalues(value)
        )
        if isinstance(value, Value) or type(wrapped).serialize is not _PROXY_SERIALIZE:
            data = wrapped.serialize()
        else:
            data = dumps_expr(value)
    except HashError:
        raise
    except Exception as error:  # The author's own hooks may raise anything.
        reason = f"{type(value).__name__} cannot be stored ({type(error).__name__}: {error})"
        raise HashError(reason) from error
    # Not of a handle, which would open what it stands for to be asked.
    has_path = isinstance(value, Value) and not isinstance(value, Handle)
    path = getattr(value, "path", None) if has_path else None
    return ValueRecord(
        key,
        registry.get_type_name(type(value)),
        data,
        subvalues,
        path if isinstance(path, str) else None,
    )


_PROXY_SERIALIZE = type(get_type_registry().get_value(0)).serialize


def load_value(type_name: str, data: bytes) -> Any:
    """Return the value that `make_value_record` stored."""
    cls = get_type_registry().parse_type_name(type_name)
    if cls is not None and cls.deserialize.__func__ is not Value.deserialize.__func__:  # type: ignore[attr-defined]
        return cls.deserialize(getattr(cls, "type", None) or cls, data)
    return loads_expr(data)
