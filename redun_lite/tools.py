"""Tasks for chores that many workflows have: copying files, filling in templates, looking around.

Each file is copied by a job of its own, so that copies run in parallel, and only what has changed
is copied again.

A template is one of Python's own (`string.Template`), or one of jinja2, which this package does
without unless a template needs it.  Which of them a template is for follows from the template and
the call alone, never from what is installed: the same workflow must not come out differently
elsewhere.
"""

from __future__ import annotations

import errno
import os
import re
import string
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Optional, TypeVar, Union

from ._builtins import seq
from ._errors import ArgumentError, shorten, suggest
from ._file import Dir, File
from ._fs import join_path, place_of
from ._promise import Promise
from ._task import scheduler_task, task

T = TypeVar("T")

redun_namespace = "redun_lite"

__all__ = ["copy_dir", "copy_file", "copy_files", "debug_task", "render_template", "seq"]


# Copying


@task(version="1", config_args=["skip_if_exists"])
def copy_file(src_file: File, dest_path: str, skip_if_exists: bool = False) -> File:
    """Copy a file to another path, on any file system.

    Parameters
    ----------
    src_file
        The file.
    dest_path
        The path or URL of the copy.
    skip_if_exists
        Leave a file that is there already, whatever is in it.  It does not count as an argument
        when the result is looked up in the cache.

    Returns
    -------
    File
        The copy, of the same kind as `src_file`.

    Examples
    --------
    >>> import tempfile
    >>> from redun_lite import File, run
    >>> folder = tempfile.mkdtemp()
    >>> File(f"{folder}/a.txt").write("hello")
    >>> run(copy_file(File(f"{folder}/a.txt"), f"{folder}/copies/a.txt")).read()
    'hello'
    """
    _check_file(src_file, "copy_file")
    _check_path(dest_path, "copy_file")
    return src_file.copy_to(dest_path, skip_if_exists)


@task(version="1", config_args=["skip_if_exists", "copy_options"])
def copy_files(
    src_files: list[File],
    dest_paths: list[str],
    skip_if_exists: bool = False,
    copy_options: Optional[dict[str, Any]] = None,
) -> list[File]:
    """Copy files to other paths, in parallel.

    Parameters
    ----------
    src_files
        The files.
    dest_paths
        The paths or URLs of the copies, in the same order.
    skip_if_exists
        Leave files that are there already, whatever is in them.
    copy_options
        Task options for the copying of each file.

    Returns
    -------
    list of File
        The copies.

    Raises
    ------
    ArgumentError
        The lists differ in length, or two copies are in each other's way.

    Examples
    --------
    >>> import tempfile
    >>> from redun_lite import File, run
    >>> folder = tempfile.mkdtemp()
    >>> files = [File(f"{folder}/{name}") for name in ("a.txt", "b.txt")]
    >>> for file in files:
    ...     file.write("hello")
    >>> copies = run(copy_files(files, [f"{folder}/copies/{file.basename()}" for file in files]))
    >>> [copy.exists() for copy in copies]
    [True, True]
    """
    src_files, dest_paths = _list(src_files, "src_files"), _list(dest_paths, "dest_paths")
    for src_file, dest_path in zip(src_files, dest_paths):
        _check_file(src_file, "copy_files")
        _check_path(dest_path, "copy_files")
    if len(src_files) != len(dest_paths):
        raise ArgumentError(
            f"copy_files takes a path in dest_paths for each file in src_files; there are "
            f"{len(src_files)} files and {len(dest_paths)} paths"
        )
    _check_apart(src_files, dest_paths)
    return _copies(src_files, dest_paths, skip_if_exists, copy_options)


@task(version="1", config_args=["skip_if_exists", "copy_options"])
def copy_dir(
    src_dir: Dir,
    dest_path: str,
    skip_if_exists: bool = False,
    copy_options: Optional[dict[str, Any]] = None,
) -> Dir:
    """Copy all files of a directory into another one, in parallel.

    Parameters
    ----------
    src_dir
        The directory.
    dest_path
        The path or URL of the other one.  Files that only it has stay.
    skip_if_exists
        Leave files that are there already, whatever is in them.
    copy_options
        Task options for the copying of each file.

    Returns
    -------
    Dir
        The other directory as it is once all is copied, of the same kind as `src_dir`.

    Raises
    ------
    ArgumentError
        A copy would be in `src_dir` itself.
    FileNotFoundError
        There is no directory to copy.

    Examples
    --------
    >>> import tempfile
    >>> from redun_lite import Dir, run
    >>> folder = tempfile.mkdtemp()
    >>> Dir(f"{folder}/a").file("b/c.txt").write("hello")
    >>> run(copy_dir(Dir(f"{folder}/a"), f"{folder}/copy")).file("b/c.txt").read()
    'hello'
    """
    if not isinstance(src_dir, Dir):
        raise ArgumentError(f"copy_dir takes a Dir, not {shorten(src_dir)}")
    _check_path(dest_path, "copy_dir")
    dest_dir = type(src_dir)(dest_path)
    files = src_dir.files()
    if not files and not src_dir.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), src_dir.path)
    dest_paths = [dest_dir.file(src_dir.rel_path(file.path)).path for file in files]
    source = place_of(src_dir.path).rstrip("/") + "/"
    for dest in dest_paths:
        if place_of(dest).startswith(source):
            # It would be a file of the source, to be copied the next time, and so on.
            raise ArgumentError(
                f"copy_dir cannot copy {src_dir.path!r} to {dest_dir.path!r}: {dest!r} would be "
                f"in {src_dir.path!r} itself"
            )
    return copied_dir(src_dir, dest_path, _copies(files, dest_paths, skip_if_exists, copy_options))


@task(version="1")
def copied_dir(src_dir: Dir, dest_path: str, copies: list[File]) -> Dir:
    """Return the directory that files were copied into, when all of them are there."""
    dest_dir = type(src_dir)(dest_path)
    dest_dir.mkdir()
    return dest_dir


def _copies(
    src_files: list[File],
    dest_paths: list[str],
    skip_if_exists: bool,
    copy_options: dict[str, Any] | None,
) -> list[File]:
    """Return the calls that copy files."""
    if not isinstance(copy_options, (dict, type(None))):
        raise ArgumentError(f"copy_options takes a dict of options, not {shorten(copy_options)}")
    copy = copy_file.options(**copy_options) if copy_options else copy_file
    return [
        copy(src_file, dest_path, skip_if_exists)
        for src_file, dest_path in zip(src_files, dest_paths)
    ]


def _check_apart(src_files: list[File], dest_paths: list[str]) -> None:
    """Raise an error if one copy would overwrite another, or what is still to be copied."""
    sources = {place_of(src_file.path): src_file.path for src_file in src_files}
    written: dict[str, str] = {}
    for src_file, dest_path in zip(src_files, dest_paths):
        place = place_of(File(dest_path).path)
        if place in written:
            raise ArgumentError(
                f"copy_files cannot copy both {written[place]!r} and {src_file.path!r} to "
                f"{dest_path!r}"
            )
        written[place] = src_file.path
        if place in sources and place != place_of(src_file.path):
            raise ArgumentError(
                f"copy_files cannot copy {src_file.path!r} to {dest_path!r}, which is to be "
                "copied itself"
            )


def _list(value: Any, name: str) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping, File)) or not isinstance(value, Iterable):
        raise ArgumentError(f"copy_files takes a list as {name}, not {shorten(value)}")
    return list(value)


def _check_file(value: Any, where: str) -> None:
    if not isinstance(value, File):
        raise ArgumentError(f"{where} takes a File, not {shorten(value)}")


def _check_path(value: Any, where: str) -> None:
    if not isinstance(value, (str, os.PathLike)):
        raise ArgumentError(f"{where} takes a path to write to, not {shorten(value)}")


# Debugging


@task(version="1", cache_scope="CSE")
def debug_task(value: T) -> T:
    """Return the value that it is given, after a stop in Python's debugger, pdb.

    `value` is there to look at; `continue` goes on, and `quit` ends the run as Ctrl-C does.  No
    further jobs start meanwhile, and those that run go on.  An equal value stops once in an
    execution.

    Examples
    --------
    Instead of `report(count(file))`, for a look at what was counted:

    >>> from redun_lite import task
    >>> @task(namespace="docs", version="1")
    ... def count(text):
    ...     return len(text.split())
    >>> debug_task(count("to be or not"))
    redun_lite.debug_task(docs.count('to be or not'))
    """
    return stop_in_debugger(value)  # type: ignore[no-any-return]


@scheduler_task(version="1")
def stop_in_debugger(scheduler: Any, parent_job: Any, sexpr: Any, value: Any) -> Any:
    """Run the debugger in the engine's thread; `debug_task` calls it.

    That thread is the one that draws on the terminal and starts jobs, so nothing is drawn over the
    prompt and no other prompt comes in between, as there would with a prompt in each worker.
    """
    from bdb import BdbQuit

    engine = parent_job.run
    if not engine.is_interrupted:
        scheduler.backend.sync()  # Nobody commits while the engine waits for a person.
        try:
            return _stop(value)
        except BdbQuit:
            engine.interrupt()
    return Promise()  # Which nothing settles: the run ends.


def _stop(value: Any) -> Any:
    """The frame in which the debugger stops."""
    from pdb import Pdb

    Pdb(nosigint=True).set_trace()  # Ctrl-C goes on to belong to the run.
    return value


# Templates

_JINJA_SUFFIXES = (".j2", ".jinja", ".jinja2")
_JINJA_MARKS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")


@task(version="1")
def render_template(
    out_path: str,
    template: File,
    context: dict[str, Any],
    template_dir: Union[str, Dir, None] = None,
    engine: Optional[str] = None,
) -> File:
    """Write a template, with its variables filled in, to a file.

    A template is one of Python's `string.Template`: `$name` and `${name}` stand for variables,
    `${name.part}` for an entry of a dict or an attribute, `$$` for a dollar sign.  It is one of
    jinja2, which has to be installed then, if its name ends in `.j2`, `.jinja` or `.jinja2`, if it
    has marks like `{{ name }}` or `{% if name %}`, or if `template_dir` is given.

    Parameters
    ----------
    out_path
        Where to write.
    template
        The template.
    context
        The variables by name.
    template_dir
        Where a jinja2 template finds the templates that it extends or includes; by default beside
        it.  Given as a `Dir`, a change of any file in it is noticed.
    engine
        "string" or "jinja2", where what was said above does not fit.

    Returns
    -------
    File
        What was written.

    Raises
    ------
    ArgumentError
        The template cannot be rendered: a variable is not in `context`, the template is malformed,
        or jinja2 is missing.  The message names the line.

    Examples
    --------
    >>> import tempfile
    >>> from redun_lite import File, run
    >>> folder = tempfile.mkdtemp()
    >>> template = File(f"{folder}/letter.txt")
    >>> template.write("Dear $name, your ${order.item} is ready.")
    >>> context = {"name": "Ada", "order": {"item": "loom"}}
    >>> run(render_template(f"{folder}/letter-to-ada.txt", template, context)).read()
    'Dear Ada, your loom is ready.'
    """
    _check_path(out_path, "render_template")
    _check_file(template, "render_template")
    if not isinstance(context, Mapping):
        raise ArgumentError(f"render_template takes a dict as context, not {shorten(context)}")
    text = template.read()
    why_jinja = _why_jinja(template, text, template_dir, engine)
    if why_jinja is None:
        rendered = _render_string(template.path, text, context)
    else:
        rendered = _render_jinja(template, text, context, template_dir, why_jinja)
    out_file = File(out_path)
    out_file.write(rendered)
    return out_file


def _why_jinja(
    template: File, text: str, template_dir: str | Dir | None, engine: str | None
) -> str | None:
    """Return what makes a template one of jinja2, or None if it is none."""
    if engine not in (None, "string", "jinja2"):
        raise ArgumentError(
            f"render_template takes 'string' or 'jinja2' as engine, not {shorten(engine)}"
        )
    if engine is not None:
        return "engine is 'jinja2'" if engine == "jinja2" else None
    if template_dir is not None:
        return "template_dir is given"
    for suffix in _JINJA_SUFFIXES:
        if template.path.endswith(suffix):
            return f"its name ends in {suffix}"
    mark = _JINJA_MARKS.search(text)
    return f"it has {mark.group()!r}" if mark else None


class _StringTemplate(string.Template):
    """The syntax of `string.Template`, with dots inside braces."""

    braceidpattern = r"(?a:[_a-z][_a-z0-9]*(?:\.[_a-z0-9]+)*)"


def _render_string(path: str, text: str, context: Mapping[str, Any]) -> str:
    def fill_in(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "$"
        name = match["named"] or match["braced"]
        line = text.count("\n", 0, match.start()) + 1
        if name is None:
            raise ArgumentError(
                f"render_template: {path}, line {line}: '$' without the name of a variable; "
                "write '$$' for the sign itself"
            )
        try:
            return str(_look_up(name, context))
        except KeyError as missing:
            known = suggest(missing.args[0], missing.args[1])
            raise ArgumentError(
                f"render_template: {path}, line {line}: variable {name!r} is not in context: "
                f"{known}"
            ) from None

    return _StringTemplate.pattern.sub(fill_in, text)


def _look_up(name: str, context: Mapping[str, Any]) -> Any:
    """Return a variable; a `KeyError` holds the part of its name that is missing and the others."""
    value: Any = context
    for part in name.split("."):
        if isinstance(value, Mapping):
            if part not in value:
                raise KeyError(part, list(map(str, value)))
            value = value[part]
        elif part.startswith("_") or not hasattr(value, part):
            raise KeyError(part, [known for known in dir(value) if not known.startswith("_")])
        else:
            value = getattr(value, part)
    return value


def _render_jinja(
    template: File,
    text: str,
    context: Mapping[str, Any],
    template_dir: str | Dir | None,
    why_jinja: str,
) -> str:
    where = f"render_template: {template.path}"
    try:
        # By name, since nothing outside the standard library is imported where Python would see it.
        jinja2: Any = import_module("jinja2")
    except ModuleNotFoundError:
        raise ArgumentError(
            f"{where} is a template of jinja2 ({why_jinja}), which is not installed: install it, "
            "or write $name for variables and give engine='string'"
        ) from None
    if isinstance(template_dir, Dir):
        directory = template_dir.path
    else:
        directory = template_dir or template.dirname() or "."
    used = {template.path}

    def load(name: str) -> tuple[str, str, None] | None:
        if name == template.path:
            return text, name, None
        if name.startswith("/") or ".." in name.split("/"):
            return None
        file = File(join_path(directory, name))
        used.add(file.path)
        return (file.read(), file.path, None) if file.isfile() else None

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load), undefined=jinja2.StrictUndefined
    )
    try:
        rendered: str = environment.get_template(template.path).render(context)
    except jinja2.TemplateSyntaxError as error:
        place = f"render_template: {error.filename}, line {error.lineno}"
        raise ArgumentError(f"{place}: {error.message} ({why_jinja})") from None
    except jinja2.TemplateNotFound as error:
        raise ArgumentError(
            f"{where}: there is no template {error.name!r} in {directory}"
        ) from None
    except jinja2.UndefinedError as error:
        known = f"context has {', '.join(map(str, context))}" if context else "context is empty"
        raise ArgumentError(f"{_jinja_place(error, used)}: {error}; {known}") from None
    return rendered


def _jinja_place(error: BaseException, templates: set[str]) -> str:
    """Return the file and line of a template that an error comes from."""
    where = ""
    traceback = error.__traceback__
    while traceback is not None:  # A frame of a template has its file and line.
        filename = traceback.tb_frame.f_code.co_filename
        if filename in templates:
            where = f"render_template: {filename}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return where
