"""Scripts: from what the author of a task wrote to a text that any shell runs, and back to a value.

A script task returns a command.  `script()` is a call of one such task, `redun_lite.script`, which
adds what brings files in and out.  Either way it comes to a `Script`: one text for `/bin/sh` that
does everything (a copy of each input, the command under its own interpreter, a look for each
output, a copy of each), and `Script.result`, which makes the job's result of what was written.  An
executor runs the text, wherever it does, and knows nothing else.

What goes into the key of a call of `script()` is the command, the places of inputs and outputs,
and the inputs' content: the argument `files`.  An output's content is not, since it is there only
afterwards; so a `File` among the outputs is replaced by its place (a staging from there to there)
before it becomes an argument.  The result holds the outputs as they were right after the command,
so a call is not replayed once one of them is gone or changed.

The arguments may be lazy, and are put into this form when they are evaluated: `_Form` is called
then, as an operator of the expression, which keeps track of where they came from.

An output is copied last, after the command has come out well, and a single file takes its place in
one step.  So what is there is complete, even if a script is killed at any moment.
"""

from __future__ import annotations

import os
import re
import signal
import textwrap
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import is_dataclass
from itertools import islice
from shlex import quote
from typing import TYPE_CHECKING, Any, Callable, TypeVar, overload

from ._errors import ExpressionError, ScriptError, TaskError, shorten
from ._expr import Expression, SimpleExpression, expressions_in
from ._file import Dir, File, FileSet, Staging, StagingFile
from ._fs import get_proto, place_of, shell_path
from ._fs_local import unfinished_path
from ._options import KNOWN_OPTIONS
from ._record import ScriptResult
from ._task import task
from ._value import Value, iter_nested, map_nested, parts_of

if TYPE_CHECKING:
    from ._job import Job
    from ._shell import RunningScript
    from ._signatures import OnlyAny

DEFAULT_SHELL = ("/usr/bin/env", "bash", "-exo", "pipefail")
"""What runs a command that names no interpreter: fails where any part fails, and traces.

Said here and not in a line before the command, so that line numbers are those of the command."""

STDOUT = "-"
"""Path of the `File` that stands for a script's standard output."""

MOST_KEPT = 100_000
"""Bytes of the end of what a script wrote that are kept where it is not the result."""

_MOST_SHOWN = 60  # Characters of a command that an error shows.


T = TypeVar("T", File, Dir)
K = TypeVar("K")

# What the user calls


@overload
def script(
    command: Any,
    inputs: Any = (),
    outputs: OnlyAny = ...,
    tempdir: bool = False,
    as_mount: bool = False,
    **task_options: Any,
) -> bytes: ...


@overload
def script(
    command: Any,
    inputs: Any = (),
    *,
    outputs: Staging[T],
    tempdir: bool = False,
    as_mount: bool = False,
    **task_options: Any,
) -> T: ...


@overload
def script(
    command: Any,
    inputs: Any = (),
    *,
    outputs: list[Staging[T]],
    tempdir: bool = False,
    as_mount: bool = False,
    **task_options: Any,
) -> list[T]: ...


@overload
def script(
    command: Any,
    inputs: Any = (),
    *,
    outputs: dict[K, Staging[T]],
    tempdir: bool = False,
    as_mount: bool = False,
    **task_options: Any,
) -> dict[K, T]: ...


@overload
def script(
    command: Any,
    inputs: Any = (),
    outputs: Any = ...,
    tempdir: bool = False,
    as_mount: bool = False,
    **task_options: Any,
) -> Any: ...


def script(
    command: Any,
    inputs: Any = (),
    outputs: Any = File(STDOUT),  # noqa: B008
    tempdir: bool = False,
    as_mount: bool = False,
    **task_options: Any,
) -> Any:
    """Return the expression of a script's run, with its files copied in and out.

    All arguments may be lazy.

    Parameters
    ----------
    command
        A shell script, or a list of words to be run as they are.  Common indentation and blank
        lines around are dropped.  A first line `#!` names an interpreter; without one it is bash,
        with `set -exo pipefail`.
    inputs
        Stagings (`File.stage`, `Dir.stage`) in any nested value: each is copied from its remote to
        its local path before the command runs.  Files and other values in it are not copied.
        When any of them changes, the script runs again.  A path that is text is refused, since
        the content of its file would not count.
    outputs
        Stagings in any nested value: each is copied from its local to its remote path after the
        command has come out well.  A `File` or `Dir` stands for what the command leaves in its
        very place, and `File("-")` for standard output.  Other values come back as they are; of
        nothing but text, which could only come from taking a path for a file, there has to be none.
    tempdir
        Run in a directory of its own, which is removed afterwards.  Local paths are relative to
        it, remote ones to the directory of the workflow.
    as_mount
        Prefer the places where remote file systems are mounted, if they are.
    **task_options
        Task options, such as `executor`, `memory` or `timeout`.

    Returns
    -------
    Any
        A lazy value of the same shape as `outputs`: remote files and directories in the place of
        stagings, and bytes in that of standard output.

    Raises
    ------
    TaskError
        The command or the files cannot be, or a task option has a name like that of an argument,
        or holds a file.  What is lazy is looked at in the job, which fails so.

    Examples
    --------
    >>> from redun_lite import File, run, script
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> File(f"{folder}/names").write("Grace\\nAda\\n")
    >>> run(script("cat"))
    b''
    >>> ordered = script(
    ...     "sort unsorted > sorted",
    ...     inputs=File(f"{folder}/names").stage("unsorted"),
    ...     outputs=[File(f"{folder}/ordered").stage("sorted"), "and so on"],
    ...     tempdir=True,
    ... )
    >>> file, more = run(ordered)
    >>> file.read(), more
    ('Ada\\nGrace\\n', 'and so on')
    """
    _check_options(task_options)
    call = _script.options(**task_options) if task_options else _script
    arguments = (
        _Form("command").apply(command),
        inputs,
        _Form("outputs").apply(outputs),
        _Form("files").apply(inputs),
        tempdir,
        as_mount,
    )
    if not expressions_in(arguments):
        _script.func(*arguments)  # Raises what is wrong here, where the author can see it.
    return call(*arguments)


def _check_options(options: dict[str, Any]) -> None:
    """Raise a `TaskError` for a task option that was meant to be an argument of `script`.

    Executors have options of their own, so that a name is not known says nothing.  But files in
    what is no input would not be looked at, and the result would stay what it was without them.
    """
    unknown = options.keys() - KNOWN_OPTIONS
    if not unknown:
        return
    from difflib import get_close_matches

    for name in sorted(unknown):
        near = get_close_matches(name, _ARGUMENTS, n=1, cutoff=0.8)
        if near:
            raise TaskError(f"script: unknown argument {name!r}; did you mean {near[0]!r}?")
        for leaf in iter_nested(options[name]):
            if isinstance(leaf, (File, FileSet, Staging)):
                raise TaskError(
                    f"script: option {name!r} holds {leaf!r}; a script's files are its inputs or "
                    "outputs"
                )


_ARGUMENTS = ("command", "inputs", "outputs", "tempdir", "as_mount")


def shell_quote(value: Any) -> str:
    """Return a value as words that a shell takes as they are, to be put into a command.

    Parameters
    ----------
    value
        A string, a number, a path, a `File` or `Dir` (its path), a staging (its local path), or a
        list of such.

    Examples
    --------
    >>> pattern, files = "it's", [File("my reads.fq"), File("-n")]
    >>> print(f"grep {shell_quote(pattern)} {shell_quote(files)}")
    grep 'it'"'"'s' 'my reads.fq' ./-n

    Raises
    ------
    ExpressionError
        The value is lazy: it is not known before the workflow runs.
    TaskError
        It is nothing that has one form as text.
    """
    if isinstance(value, Staging):
        value = value.local
    if isinstance(value, (File, Dir)):
        return shell_path(value.path)
    if isinstance(value, (list, tuple)):
        return " ".join(map(shell_quote, value))
    if isinstance(value, (str, int, float)):
        return quote(str(value))
    if isinstance(value, Expression):
        raise ExpressionError(
            f"{value!r} is lazy, so what to write into a command is not known yet: pass it to a "
            "task that returns the command, or calls script()"
        )
    if isinstance(value, os.PathLike):
        return shell_path(os.fsdecode(value))
    raise TaskError(
        f"a command takes strings, numbers, paths and files, not {type(value).__name__} {value!r}"
    )


# The arguments of a call


class _Form(Value):
    """Puts an argument of `script()` into the form in which the task gets it."""

    type_name = "redun_lite.script_argument"

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"script_{self.name}"

    def __call__(self, value: Any) -> Any:
        return _FORMS[self.name](value)

    def apply(self, value: Any) -> Any:
        """Return the argument in that form, lazily if it is lazy."""
        if expressions_in(value):
            return SimpleExpression("call", (self, value))
        return self(value)


def _form_command(command: Any) -> str:
    if isinstance(command, (list, tuple)):
        for word in command:
            if isinstance(word, (File, FileSet, Staging)):
                # It would be half an input: in the command, but not in the key.
                raise TaskError(
                    f"script: a list of words holds {word!r}; give its path, and list the file "
                    "in inputs or outputs"
                )
    return plain_command(command, "script")


def _form_output(leaf: Any) -> Any:
    if isinstance(leaf, (File, Dir)):
        return leaf.stage(leaf.path)
    if isinstance(leaf, FileSet):
        raise TaskError(f"script: outputs holds {leaf!r}; give a Dir, or each File")
    return leaf


def _form_outputs(outputs: Any) -> Any:
    text = next(_texts(outputs), None)
    if text is not None and not any(
        isinstance(leaf, (File, FileSet, Staging)) for leaf in iter_nested(outputs)
    ):
        raise TaskError(
            f"script: outputs is to hold a File, Dir or File(…).stage(…), and holds the text "
            f"{shorten(text)} only; did you mean File({shorten(text)})?"
        )
    return map_nested(_form_output, outputs)


def _form_files(inputs: Any) -> list[File | Dir]:
    for text in _texts(inputs):
        raise TaskError(
            f"script: inputs takes File, Dir or File(…).stage(…) in any nested shape, not the text "
            f"{shorten(text)}; did you mean File({shorten(text)})?"
        )
    # Anew: a staging stands for what is at its remote path, whatever was there when it was made.
    return [_fresh(staging.remote) for staging in _stagings(inputs)]


def _texts(value: Any) -> Iterator[str]:
    """Yield the text and paths that stand where a file could, and so may be taken for one.

    Keys of dicts do not, nor fields of classes: that a sample has a name beside its files is why
    there is a class for it.
    """
    stack = [value]
    seen: set[int] = set()
    while stack:
        part = stack.pop()
        if isinstance(part, (str, os.PathLike)):
            yield os.fsdecode(part)
        elif id(part) not in seen:
            seen.add(id(part))
            is_class = is_dataclass(part) or hasattr(part, "_fields")
            inner = part.values() if isinstance(part, dict) else parts_of(part) or ()
            listed = [
                leaf for leaf in inner if not (is_class and isinstance(leaf, (str, os.PathLike)))
            ]
            stack += reversed(listed)


_FORMS: dict[str, Callable[[Any], Any]] = {
    "command": _form_command,
    "files": _form_files,
    "outputs": _form_outputs,
}


@task(namespace="redun_lite", name="script", version="1", script=True)
def _script(
    command: str, inputs: Any, outputs: Any, files: list[Any], tempdir: bool, as_mount: bool
) -> Any:
    """Run a command, with files copied in and out: the task that `script()` calls."""
    given = list(_stagings(inputs))
    made = [staging for staging in _stagings(outputs) if not _is_stdout(staging)]
    _check(given, made, tempdir)
    text = shell_text(command, given, made, tempdir, as_mount)
    return Script(_title(command), text, outputs)


def _title(command: str) -> str:
    """Return what to call a script in errors: its interpreter and the first line that tells."""
    lines = [line.strip() for line in command.split("\n") if not line.startswith("#!")]
    telling = [line for line in lines if not _TELLS_NOTHING.match(line)]
    first = next(filter(None, telling + lines), command)
    shown = first if len(first) <= _MOST_SHOWN else f"{first[:_MOST_SHOWN]}…"
    words = _interpreter(command)
    program = "" if words is DEFAULT_SHELL else f"{os.path.basename(_programs(words)[-1])} "
    return f"the {program}script {shown!r}"


# Lines that are much the same in all scripts: blank ones, comments, imports, settings of the shell.
_TELLS_NOTHING = re.compile(r"$|#|//|--|(?:import|from|use|require|library|set|shopt)[ \t(]")


def _stagings(value: Any) -> Iterator[Staging[Any]]:
    return (leaf for leaf in iter_nested(value) if isinstance(leaf, Staging))


def _fresh(file: File | Dir) -> File | Dir:
    """Return an equal file or directory that has not been looked at."""
    return type(file)(file.path)


def _is_stdout(leaf: Any) -> bool:
    return isinstance(leaf, StagingFile) and leaf.local.path == leaf.remote.path == STDOUT


# What is wrong with the files


def _check(inputs: list[Staging[Any]], outputs: list[Staging[Any]], tempdir: bool) -> None:
    """Raise a `TaskError` for files that cannot be, or would get in each other's way."""
    for staging in (*inputs, *outputs):
        _check_local(staging, tempdir)
    staged: dict[str, Staging[Any]] = {}
    for staging in inputs:
        known = staged.setdefault(place_of(staging.local.path), staging)
        if known.remote.path != staging.remote.path:
            raise TaskError(
                f"script: two inputs are staged to {staging.local.path!r}: "
                f"{known.remote.path} and {staging.remote.path}"
            )
    _check_outputs(outputs, tempdir)


def _check_outputs(outputs: list[Staging[Any]], tempdir: bool) -> None:
    """Raise a `TaskError` where one output is at the place of another, in it or around it."""
    taken: dict[str, Staging[Any]] = {}
    around: dict[str, Staging[Any]] = {}
    for staging in outputs:
        places = {place_of(staging.remote.path)}
        if tempdir and _is_copied(staging, tempdir):
            places.add("tempdir:" + os.path.normpath(f"/{staging.local.path}").rstrip("/"))
        else:
            places.add(place_of(staging.local.path))
        directories = {directory for place in places for directory in _directories(place)}
        for place in sorted(places | directories):
            other = taken.get(place) or (around.get(place) if place in places else None)
            if other is not None:
                raise TaskError(
                    f"script: outputs overlap: {_describe(other)} and {_describe(staging)}; "
                    "each needs a place of its own"
                )
        taken.update(dict.fromkeys(places, staging))
        around.update(dict.fromkeys(directories, staging))


def _check_local(staging: Staging[Any], tempdir: bool) -> None:
    path = staging.local.path
    if not _is_copied(staging, tempdir):
        return
    outside = os.path.normpath(path).split("/")[0] == ".." or (tempdir and os.path.isabs(path))
    if get_proto(path) != "local":
        problem = "is a URL; a local path is one that the command finds files at"
    elif outside and tempdir:
        problem = "leads out of the temporary directory; give a path inside it"
    elif outside:
        problem = "leads out of the script's directory; give a path inside it, or an absolute one"
    elif isinstance(staging, StagingFile) and os.path.basename(path) in ("", ".", ".."):
        problem = "names no file"
    else:
        return
    raise TaskError(f"script: {_describe(staging)}: the local path {path!r} {problem}")


def _is_copied(staging: Staging[Any], tempdir: bool) -> bool:
    """Say whether a script's file is at another place than the workflow's."""
    path = staging.local.path
    if path != staging.remote.path:
        return True
    return tempdir and get_proto(path) == "local" and not os.path.isabs(path)


def _directories(place: str) -> Iterator[str]:
    """Yield the directories around a place."""
    head = os.path.dirname(place)
    while head and head != place:
        yield head
        place, head = head, os.path.dirname(head)


def _is_elsewhere(staging: Staging[Any]) -> bool:
    """Say whether the command itself puts an output where no shell can look for it."""
    path = staging.remote.path
    return path == staging.local.path and get_proto(path) != "local"


def _not_written(staging: Staging[Any]) -> str:
    return f"its output {_describe(staging)} was not written"


def _describe(staging: Staging[Any]) -> str:
    kind = "File" if isinstance(staging, StagingFile) else "Dir"
    if staging.local.path == staging.remote.path:
        return f"{kind}({staging.remote.path!r})"
    return f"{kind}({staging.remote.path!r}).stage({staging.local.path!r})"


# The text


class Script:
    """A script to run, and how to make a result of what it wrote.

    Parameters
    ----------
    where
        What to call it in errors.
    text
        For `/bin/sh`.  It may be given a directory for the script's own files; without one it
        makes one, and removes it.
    outputs
        The result, with stagings where files will be.

    Attributes
    ----------
    most_stdout
        How many bytes of its standard output are needed, from the end; None for all.
    """

    def __init__(self, where: str, text: str, outputs: Any) -> None:
        self.where = where
        self.text = text
        self.outputs = outputs
        self.most_stdout = None if any(map(_is_stdout, iter_nested(outputs))) else MOST_KEPT

    def result(self, returncode: int, stdout: bytes, stderr: bytes) -> Any:
        """Return the result of the job, with what the script wrote if that is not all of it.

        Parameters
        ----------
        returncode
            Exit status, or minus the number of the signal that ended it.
        stdout, stderr
            What it wrote, at least the last `most_stdout` and `MOST_KEPT` bytes.

        Raises
        ------
        ScriptError
            It did not come out well.
        """
        stderr = stderr[-MOST_KEPT:]
        if returncode != 0:
            raise self._error(returncode, stdout[-MOST_KEPT:], stderr)

        def made(leaf: Any) -> Any:
            if _is_stdout(leaf):
                return stdout
            if not isinstance(leaf, Staging):
                return leaf
            remote = _fresh(leaf.remote)
            if _is_elsewhere(leaf) and not remote.exists():
                message = f"{self.where}: {_not_written(leaf)}"
                raise ScriptError(message, returncode, stdout[-MOST_KEPT:], stderr)
            remote.update_hash()  # Here, and not in the engine's thread, for it may take long.
            return remote

        value = map_nested(made, self.outputs)
        rest = b"" if self.most_stdout is None else stdout
        return ScriptResult(value, rest, stderr) if rest or stderr else value

    def _error(self, returncode: int, stdout: bytes, stderr: bytes) -> ScriptError:
        start, sign, reason = stderr.rpartition(_SIGN)
        if sign and reason.endswith(b"\n") and reason.count(b"\n") == 1:
            # Not the command has failed, but something around it.
            message = f"{self.where}: {reason.strip().decode('utf-8', 'replace')}"
            return ScriptError(message, returncode, stdout, start)
        message = f"{self.where} {_describe_end(returncode)}"
        return ScriptError(message, returncode, stdout, stderr)


def run_script(
    job: Job, script: RunningScript, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run the script of a job on this machine; return the job's result.

    Parameters
    ----------
    job
        The job of a script task.
    script
        What runs it.
    args, kwargs
        What the task's function is called with.
    """
    task = job.task
    assert task is not None
    with script:
        made = make_script(task.func(*args, **kwargs), task.fullname)
        return made.result(*script.run(made.text, made.most_stdout, MOST_KEPT))


def make_script(returned: Any, task_name: str) -> Script:
    """Return the script of what the function of a script task has returned.

    Parameters
    ----------
    returned
        A command, or a `Script`.
    task_name
        Full name of the task.

    Raises
    ------
    TaskError
        It is no command.
    """
    if isinstance(returned, Script):
        return returned
    where = f"the script of task {task_name}"
    if isinstance(returned, Coroutine):
        returned.close()
        raise TaskError(f"{where}: a script task cannot be async; define it with a plain def")
    return Script(where, shell_text(plain_command(returned, where)), File(STDOUT).stage(STDOUT))


def plain_command(command: Any, where: str) -> str:
    """Return a command as text, without indentation and blank lines around it.

    Parameters
    ----------
    command
        Text, or a list of words.
    where
        What to name in errors.

    Raises
    ------
    TaskError
        It is neither, or empty.

    Examples
    --------
    >>> plain_command('''
    ...     if true; then
    ...         echo yes
    ...     fi
    ... ''', "script")
    'if true; then\\n    echo yes\\nfi'
    >>> plain_command(["grep", "-c", "it's", 3], "script")
    'grep -c \\'it\\'"\\'"\\'s\\' 3'
    """
    if isinstance(command, (list, tuple)):
        try:
            text = " ".join(map(shell_quote, command))
        except (ExpressionError, TaskError) as error:
            raise type(error)(f"{where}: {error}") from None
    elif isinstance(command, str):
        text = _BLANK_LINES_AROUND.sub("", textwrap.dedent(command))
    else:
        raise TaskError(
            f"{where}: a script is text or a list of words, not {type(command).__name__} "
            f"{command!r:.200}"
        )
    if not text:
        raise TaskError(f"{where}: the command is empty")
    if "\0" in text:
        raise TaskError(f"{where}: the command holds a NUL character, which no shell takes")
    if text.startswith("#!") and not text.split("\n", 1)[0][2:].strip():
        raise TaskError(f"{where}: the first line, #!, names no interpreter")
    return text


_BLANK_LINES_AROUND = re.compile(r"\A(?:[ \t]*\n)+|\s+\Z")


def shell_text(
    command: str,
    inputs: Iterable[Staging[Any]] = (),
    outputs: Iterable[Staging[Any]] = (),
    tempdir: bool = False,
    as_mount: bool = False,
) -> str:
    """Return one text for `/bin/sh` that copies files in, runs a command, and copies files out.

    Parameters
    ----------
    command
        What `plain_command` returned.
    inputs, outputs
        What is to be copied, or to be there afterwards.
    tempdir
        Whether to run it in a directory of its own.
    as_mount
        Whether to prefer the places where file systems are mounted.
    """
    mark = _mark(command)
    lines = [_HEAD, f"cat > \"$scratch/script\" <<'{mark}'", command, mark]
    if tempdir:
        lines += ['mkdir "$scratch/work"', 'cd "$scratch/work"']
    fixed = _with_fixed_remote if tempdir else _as_it_is
    for staging in inputs:
        copy = fixed(staging).render_stage(as_mount)
        if copy:
            lines += _step(copy, f"cannot copy the input {_describe(staging)}")
    lines += _interpreted(command)
    for staging in outputs:
        local = staging.local.path
        if get_proto(local) == "local":
            test = f"test {'-e' if isinstance(staging, StagingFile) else '-d'} {shell_path(local)}"
            lines += _step(test, _not_written(staging))
        copy = _unstaging(fixed(staging), as_mount)
        if copy:
            lines += _step(copy, f"cannot copy the output {_describe(staging)}")
    return "\n".join([*lines, ""])


_SIGN = b"redun_lite: "  # How a line of our own starts.
_HEAD = """\
set -e
fail() { printf 'redun_lite: %s\\n' "$1" >&2; exit "${2:-1}"; }
scratch=$1
if test -z "$scratch"; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi"""


def _mark(command: str) -> str:
    """Return a line that the command does not hold, to end it with."""
    mark = "END_OF_SCRIPT"
    lines = set(command.split("\n"))
    while mark in lines:
        mark += "_"
    return mark


def _step(commands: str, message: str) -> list[str]:
    """Return the lines of a step whose output is none of the script's."""
    return ["{", commands, f"}} >&2 || fail {quote(message)}"]


def _interpreter(command: str) -> tuple[str, ...]:
    """Return what runs a command: a program and its arguments, of a first line `#!` one at most."""
    if not command.startswith("#!"):
        return DEFAULT_SHELL
    return tuple(command.split("\n", 1)[0][2:].strip().split(None, 1))


def _programs(words: tuple[str, ...]) -> list[str]:
    """Return the programs that have to be there: also the one that `env` is to look for."""
    first, *arguments = words
    if os.path.basename(first) != "env":
        return [first]
    named = (word for word in " ".join(arguments).split() if not re.match("-|.*=", word))
    return [first, *islice(named, 1)]


def _interpreted(command: str) -> list[str]:
    """Return the lines that run a command from its file, which need not be executable."""
    words = _interpreter(command)
    checks = [
        f"command -v {shell_path(name)} > /dev/null || "
        f"fail {quote(f'the interpreter {name!r} does not exist')} 127"
        for name in _programs(words)
    ]
    run = [shell_path(words[0]), *map(quote, words[1:]), '"$scratch/script"']
    return [*checks, " ".join(run)]


def _as_it_is(staging: Staging[Any]) -> Staging[Any]:
    return staging


def _with_fixed_remote(staging: Staging[Any]) -> Staging[Any]:
    """Return a staging with a remote path that is the same from everywhere on this machine."""
    path = staging.remote.path
    if get_proto(path) != "local" or os.path.isabs(path):
        return staging
    return type(staging)(staging.local, type(staging.remote)(os.path.abspath(path)))


def _unstaging(staging: Staging[Any], as_mount: bool) -> str:
    """Return the command that copies an output; a local file is there whole or not at all."""
    copy = staging.render_unstage(as_mount)
    path = staging.remote.path
    if not copy or not isinstance(staging, StagingFile) or get_proto(path) != "local":
        return copy
    unfinished = unfinished_path(path)
    beside = type(staging)(staging.local, unfinished).render_unstage(as_mount)
    there, temporary = shell_path(path), shell_path(unfinished)
    # Links and pipes are written through, as `cp` does.
    return (
        f"if test -L {there} || {{ test -e {there} && ! test -f {there}; }}; then {copy}\n"
        f"else {{ {beside}\n}} && mv -f {temporary} {there} || {{ rm -f {temporary}; false; }}\nfi"
    )


def _describe_end(returncode: int) -> str:
    """Return how a script ended, in words."""
    number = -returncode if returncode < 0 else returncode - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = ""
    if returncode < 0:
        return f"was killed by {name or f'signal {number}'}"
    hint = f", as after {name}" if name else ""
    return f"ended with exit status {returncode}{hint}"
