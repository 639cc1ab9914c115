"""The tasks of tools."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from .case import BAD_INPUT, Fact, case
from .engine import Dir, File, copy_dir, copy_file, copy_files, debug_task, render_template

redun_namespace = "tools"


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def told(path):
    return Fact(f"{path}: {Path(path).read_text()!r}")


@case("debug_task stops, and goes on with the value", runs=1)
def debug():
    stdin = sys.stdin
    sys.stdin = io.StringIO("continue\n")
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            yield debug_task(5)
    finally:
        sys.stdin = stdin
    yield Fact(f"the debugger asked: {'(Pdb)' in said.getvalue()}")


@case("copy_file", jobs=True)
def file():
    write("from", "text")
    yield copy_file(File("from"), "to")
    yield copy_file(File("from"), "to")
    yield told("to")


@case("copy_file leaves a file that is there, if told so")
def file_there():
    write("from", "text")
    write("to", "other text")
    yield copy_file(File("from"), "to", skip_if_exists=True)
    yield told("to")


@case("copy_file of a file that is not there", runs=1)
def file_missing():
    return copy_file(File("from"), "to")


@case("copy_files", jobs=True)
def files():
    write("a", "1")
    write("b", "2")
    yield copy_files([File("a"), File("b")], ["c", "d"])
    yield told("c")
    yield told("d")


@case(
    "copy_files with fewer files than paths",
    runs=1,
    why=BAD_INPUT,
)
def files_uneven():
    write("a", "1")
    return copy_files([File("a")], ["c", "d"])


@case(
    "copy_dir",
    jobs=True,
    why="The jobs inside of `copy_dir` have other names.",
)
def directory():
    write("from/one", "1")
    write("from/deep/two", "2")
    yield copy_dir(Dir("from"), "to")
    yield copy_dir(Dir("from"), "to")
    yield told("to/one")
    yield told("to/deep/two")


@case(
    "render_template without jinja2",
    runs=1,
    why="The standard library's `string.Template` takes over.",
)
def template():
    write("template", "Hello $name")
    installed = sys.modules.get("jinja2")
    sys.modules["jinja2"] = None  # As if it were not installed.
    try:
        yield render_template("out", File("template"), {"name": "you"})
    finally:
        sys.modules["jinja2"] = installed
        if installed is None:
            del sys.modules["jinja2"]
