"""Every exception the package raises, and the words its messages share.

They are in one file, below every other room, so that a caller can tell at a glance what may go
wrong, and catch a family by its base: `RedunLiteError` for anything from here, `UsageError` for
what a person can mend by changing what they typed or wrote.  The command line prints a
`UsageError` as one line and exits with 2.

Each class takes its message (and `HashError` a path) and nothing else.  Errors travel: out of
worker processes by pickle, into the database and back.  An exception whose constructor wants more
than `Exception` keeps comes out of pickle as a `TypeError`, so what an error has to say is in its
message.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where the path is right, and there is no room for more."""

_MOST_NAMES = 8  # More names than this, and a line is no longer read.
_MOST_CHARACTERS = 60  # The same for a value.
_MOST_COMPARED = 200  # The same for a name that others are likened to.
_MOST_LINES = 12  # Lines of a script's standard error that its error shows.
_LONGEST_LINE = 500  # Characters of each.


class RedunLiteError(Exception):
    """The base of every exception of this package.  Nothing raises it bare."""


class UsageError(RedunLiteError):
    """Something a person typed or wrote is wrong, and they can mend it.

    Its message is one line that names what was wrong, where, and what would be right.
    """


class ConfigError(UsageError):
    """The configuration cannot be used.

    Raised for a file that is not INI, an unknown option, a value of the wrong type, a directory
    that cannot be made.  The message names the file and the line: mend that line.
    """


class TaskError(UsageError):
    """A task is defined in a way that cannot work.

    For example, two files define tasks of the same full name, so that a call would be ambiguous.
    The message names both: give one of them another `name` or `namespace`.
    """


class UnknownTask(TaskError):
    """A task is asked for by a name that nothing defined.

    The message offers the nearest names.  Look for a typing error, a missing namespace
    (`namespace.name`), or a module that has not been imported.
    """


class ArgumentError(UsageError):
    """A task's argument is missing, unexpected, or not of the type that its hint asks for.

    The message names the task, the argument, the type expected and what came.
    `run SCRIPT TASK --help` lists the arguments a task takes.
    """


class ContextError(UsageError):
    """A context variable is asked for that is not set, and no default is given.

    The message offers those that are set where it looked.  Set it in `[scheduler] context`, by
    `--context`, or by `Task.update_context`, or give `get_context` a default.
    """


class HashError(RedunLiteError):
    """A value has no stable key, or cannot be pickled, so it can be neither cached nor recorded.

    One gets here by passing a task (or returning from one) something bound to this process: a
    lock, an open socket, a generator.  The message names the path to it inside the value.  Pass
    what it is made from instead, or wrap it in a class with a `get_hash()` and `__getstate__()`
    of its own.

    Examples
    --------
    >>> raise HashError("cannot pickle a lock").within("[0]").within("argument 'pool'")
    Traceback (most recent call last):
        ...
    redun_lite.HashError: argument 'pool'[0]: cannot pickle a lock
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def within(self, where: str) -> HashError:
        """Return the error as seen from the value around."""
        return type(self)(self.reason, where + self.path)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class ValueTooLarge(HashError):
    """An argument or a result has more bytes than `[backend] max_value_size` lets be recorded.

    The message names the task, which value it is, and its size.  Return a `File` that holds it, or
    raise the limit, best together with a value store (`value_store_path`).
    """


class ExpressionError(RedunLiteError, TypeError):
    """A lazy expression was used where its value must be known already.

    `if expr:`, `for x in expr:` and `len(expr)` run while the workflow is being written, before any
    task has.  Move the decision into a task, or use `cond` to branch, `map_` to loop, and the
    task option `nout` to unpack.
    """


class CyclicDependency(RedunLiteError):
    """The result of a task depends on itself, so waiting for it would never end.

    A task that returns a call of itself with equal arguments does this.  The message names the
    tasks of the circle: change an argument from turn to turn, or end the recursion.
    """


class RepositoryError(RedunLiteError):
    """The database of executions cannot be used."""


class NotARepository(RepositoryError, UsageError):
    """The file at the database's path is not a redun_lite repository.

    It is no SQLite database, or one that another program made (redun's, for example).  It is left
    untouched.  Point `[backend] db_uri` at another path, or move the file away.
    """


class DamagedRepository(RepositoryError):
    """The database is one of redun_lite, and what is in its file is broken.

    It was cut off while it was copied, say, or the disk lost a part of it.  Bring a copy back
    (`db backup` makes them), or move it away and run again; `db check` lists what is broken.
    """


class NewerRepository(RepositoryError):
    """The repository was written by a newer version of the program than this one.

    It is left untouched, since this version cannot know what it would break.  Upgrade redun_lite,
    or use another repository.
    """


class RepositoryWriteError(RepositoryError):
    """The repository cannot be written.

    The disk is full, or the file is read-only, or another process holds it for too long: what was
    committed before stays valid.  Make room, grant write access, or let the other process end, and
    run again: the run resumes from what was recorded.  Or the file was deleted or replaced while it
    was in use: then what was recorded since is lost.
    """


class RepositoryNotOpened(RepositoryWriteError, UsageError):
    """There is no database where one is named, or it may not be opened.

    The path is that of a folder, or its folder does not exist, or the user has no permission.
    Correct the path, which is that of `[backend] db_uri` or was typed.
    """


class ExecutionIdTaken(RepositoryError, UsageError):
    """The id that was given for an execution is that of another one.

    Leave it out, or give one that was not used before.
    """


class StoredValueError(RepositoryError):
    """The file of a value in the value store is missing or damaged.

    A run takes the value as if it had not been recorded: what made it runs again, and the file is
    written anew.  `db check` lists all such values.  Bring the file back, if there is a copy.
    """


class ExecutorError(RedunLiteError):
    """An executor could not run a job, for a reason that lies outside the task's own code."""


class WorkerDied(ExecutorError):
    """The process that ran a job ended before it gave a result.

    The message names the signal or the exit status.  SIGKILL usually means that memory ran out:
    give the task fewer neighbours (`limits`, `max_workers`) or a machine with more memory.
    SIGSEGV points to a fault in a native extension.  Only this job fails, the pool goes on.
    """


class TaskTimeout(ExecutorError, TimeoutError):
    """A task took longer than its option `timeout` allows.

    The message says what became of it: a worker process or a script is killed, a coroutine is
    cancelled, a thread cannot be stopped and is left to itself.  Raise the limit, or run the task
    where it can be killed (`executor="process"`).
    """


class ResultError(ExecutorError):
    """A task's result, or the class of the error it raised, cannot be pickled to bring it back.

    The message names the path inside the result: return plain data, or a `File` that holds it.
    An error's class is found again if it is defined at the top of a module.
    """


class ScriptError(RedunLiteError):
    """A script ended with another exit status than 0.

    Its text is one line that says which script and how it ended, and below it the last lines of
    what the script wrote to standard error: they most often say why.  `log JOB` shows all that was
    kept.  Status 127 means that a program was not found.

    Parameters
    ----------
    message
        Which script, and how it ended.
    returncode
        Exit status, or minus the number of the signal that ended it.
    stdout, stderr
        The end of what it wrote.
    """

    def __init__(
        self, message: str, returncode: int = 1, stdout: bytes = b"", stderr: bytes = b""
    ) -> None:
        super().__init__(message, returncode, stdout, stderr)
        self.message = message
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        lines = self.stderr.decode("utf-8", "replace").splitlines()
        left_out = len(lines) - _MOST_LINES
        shown = [_end_of(line) for line in lines[-_MOST_LINES:]]
        if left_out > 0:
            shown.insert(0, f"… {left_out:,} line{'' if left_out == 1 else 's'} before these")
        return "\n".join([self.message, *shown])


def _end_of(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"…{line[-_LONGEST_LINE:]}"


class DryRunResult(RedunLiteError):
    """A dry run met a job that is not cached, so a real run would run it.

    This ends the dry run, since what would follow depends on that job's result.
    """


class NoCurrentScheduler(RedunLiteError):
    """Something needs the scheduler that runs the present task, and no task is running.

    Call it from inside a task, or create a `Scheduler` and pass the expression to its `run`.
    """


class FileSystemError(RedunLiteError):
    """A file cannot be reached by the path or URL given.

    Most often the URL's scheme belongs to no file system that is known: the message lists those
    that are.  Mend the scheme, or install the package that provides it.
    """


def without_our_frame(error: BaseException) -> BaseException:
    """Return an error without the first frame of its traceback: that of what called a task.

    To be called where it was caught, in that very frame, which is none of the user's business.
    """
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    return error


for _value in list(globals().values()):
    if isinstance(_value, type) and issubclass(_value, RedunLiteError):
        _value.__module__ = __name__.rpartition(".")[0]  # Where people import it from.


def unpicklable(name: str, message: str) -> ResultError:
    """Return what stands for an error that cannot be pickled.

    Parameters
    ----------
    name, message
        Its class and its text.
    """
    return ResultError(f"{name}: {message} (the error itself could not be pickled)")


def add_note(error: BaseException, note: str) -> None:
    """Add a line to an error that tracebacks show below it, once.

    Python 3.11 calls this `BaseException.add_note`; where Python does not show notes, ours do.
    """
    notes = getattr(error, "__notes__", None)
    if not isinstance(notes, list):
        notes = error.__notes__ = []  # type: ignore[attr-defined]
    if note not in notes:
        notes.append(note)


def shorten(value: object) -> str:
    """Return how a value looks in an error's line: its repr, without the middle of a long one.

    >>> shorten(list(range(1000)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    from reprlib import Repr

    short = Repr()
    short.maxstring = short.maxother = _MOST_CHARACTERS
    return short.repr(value)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error's line about an unknown name: what could have been meant.

    Parameters
    ----------
    name
        What was given.
    known
        The names that would have been right.

    Examples
    --------
    >>> suggest("max_worker", ["start_method", "max_workers", "mode"])
    'did you mean max_workers? Known: max_workers, mode, start_method'
    >>> suggest("x", [])
    'none are known'
    """
    import difflib  # Costs more to import than all of this file: only errors pay for it.

    name = name[:_MOST_COMPARED]
    names = sorted(set(known))
    if not names:
        return "none are known"
    ordered = difflib.get_close_matches(name, names, n=len(names), cutoff=0.0)
    more = ", …" if len(ordered) > _MOST_NAMES else ""
    listed = f"Known: {', '.join(ordered[:_MOST_NAMES])}{more}"
    if difflib.get_close_matches(name, ordered[:1]):
        return f"did you mean {ordered[0]}? {listed}"
    return listed[0].lower() + listed[1:]
