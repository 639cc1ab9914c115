"""Runs the code blocks of a page of Markdown in order, as a reader does who pastes them.

    python3 -S tests/pages.py docs/tutorial.md EMPTY_FOLDER SOCKET

The socket is that of a server for commands, see `zygote`.  A process of its own for each page, on
the standard library alone: what a page defines is nobody else's, and what it imports from elsewhere
is missing, as it is for the reader.

What is done with a block is said by its fence and its first line:

==================================  ================================================================
`python`, from `# name.py` on       is written to that file, as `ini`, `json` and others are
`python`, from `# in name.py` on    takes the place of what has the same names in that file
`python`, with `>>>`                runs as a doctest
`python`                            runs as a script; all of a page share one namespace
`sh`                                runs in bash, on a terminal; the next one starts where it ended
`sh fails`                          the same, and ends with another status than 0
`text`                              is what the block before it shows
==================================  ================================================================

Other fences (`sh not run`, or none) are for the eye.  In expected output `…` stands for anything,
on a line of its own for any lines.  Ids, hashes, times and durations may be others; an id that a
later command refers to is replaced by the one that came in its place.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import doctest
import io
import linecache
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_ASK = ROOT / "tests" / "ask.py"

_FENCE = re.compile(r"^(`{3,})([^`\n]*)\n(.*?)^\1`*[ \t]*$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (in )?([\w./-]+\.\w+)\n")
_LIVE_LINE = re.compile(r"\r[^\r\n]*?\x1b\[K")

# What differs from run to run, and by what it is recognized.
_VARIABLE = re.compile(
    r"(?P<anything>…)"
    r"|(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
    r"|(?P<duration> *\b[\d.]+ (?:µs|ms|s)\b)"
    r"|(?P<process>(?<=Process   )\d+ on \S+)"
    r"|(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b[0-9a-f]{40}\b|\b[0-9a-f]{8}(?:-\d+)?\b) *"
)
_PATTERNS = {
    "anything": r".*?",
    "time": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "duration": r" *[\d.]+ (?:µs|ms|s)",
    "process": r"\d+ on \S+",
    "id": r"([0-9a-f]{8}[0-9a-f-]*) *",
}


class Block(NamedTuple):
    """A fenced block."""

    fence: str
    text: str
    line: int


class Failed(Exception):
    """A block does not do what the page says."""


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(found[2].strip(), found[3], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


class Page:
    """A page whose blocks are run.

    Parameters
    ----------
    file
        The page.
    folder
        Where its reader is at the beginning.
    commands
        The socket of a server that runs commands.
    """

    def __init__(self, file: Path, folder: Path, commands: str) -> None:
        self._file = file
        self._folder = folder
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._output: str | None = None  # Of the last block, until it is compared.
        self._ids: dict[str, str] = {}
        self._terminal = Terminal(folder, commands)

    def run(self) -> None:
        """Run all blocks."""
        for block in blocks_of(self._file.read_text(encoding="utf-8")):
            os.chdir(self._terminal.folder)
            try:
                self._run(block)
            except Failed as error:
                raise Failed(f"{self._file}:{block.line}: {error}") from None

    def _run(self, block: Block) -> None:
        file = _FILE.match(block.text)
        if block.fence in ("sh", "sh fails"):
            self._run_sh(block)
        elif block.fence == "text":
            if self._output is not None:
                self._ids.update(compare(block.text, self._output))
            self._output = None
        elif block.fence and file is not None:
            self._write(Path(file[2]), block.text, is_part=bool(file[1]))
        elif block.fence == "python":
            self._run_python(block)

    def _run_sh(self, block: Block) -> None:
        text = re.sub(r"\b[0-9a-f]{8}(-\d+)?\b", lambda found: self._actual(found[0]), block.text)
        status, self._output = self._terminal.run(text)
        if (status != 0) != (block.fence == "sh fails"):
            raise Failed(f"ended with status {status}\n{self._output}")

    def _actual(self, shown: str) -> str:
        """Return the id that came in the place of one on the page."""
        execution, dash, number = shown.partition("-")
        return self._ids.get(shown) or self._ids.get(execution, execution) + dash + number

    def _write(self, path: Path, text: str, is_part: bool) -> None:
        if is_part:
            text = replace_definitions(path.read_text(encoding="utf-8"), text.split("\n", 1)[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _run_python(self, block: Block) -> None:
        name = f"{self._file.name}:{block.line}"
        if block.text.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.text, {}, name, name, block.line)
            test.globs = self._names
            told: list[str] = []
            runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
            runner.run(test, out=told.append, clear_globs=False)
            if told:
                raise Failed("".join(told))
            return
        linecache.cache[name] = (len(block.text), None, block.text.splitlines(True), name)
        with contextlib.redirect_stdout(io.StringIO()) as written:
            exec(compile(block.text, name, "exec"), self._names)
        self._output = written.getvalue()


class Terminal:
    """Runs blocks of shell commands, each from the folder that the one before ended in.

    They see a terminal, since that is what the reader has.  `python3` is the running Python without
    site-packages, and finds the package; `python3 -m redun_lite` asks a server, see `zygote`.

    Parameters
    ----------
    folder
        The first folder.
    commands
        The server's socket.
    """

    def __init__(self, folder: Path, commands: str) -> None:
        self.folder = folder
        own = folder.parent / f"{folder.name}.terminal"
        own.mkdir()
        self._end = own / "folder"
        write_python(own / "python3", commands)
        kept = {name: value for name, value in os.environ.items() if "REDUN" not in name}
        self._environ = {
            "PAGER": "cat",
            **kept,
            "HOME": str(own),
            "PATH": f"{own}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TERM": "xterm",
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "LOGNAME": "ada",
            "TZ": "UTC",
        }

    def run(self, commands: str) -> tuple[int, str]:
        """Run commands up to the first that fails; return the exit status and what was shown."""
        head = f"trap 'pwd > {self._end}' EXIT\n"
        main, terminal = os.openpty()
        with open(main, "rb", buffering=0) as screen:
            process = subprocess.Popen(
                ["bash", "-e", "-c", head + commands],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )
            os.close(terminal)
            shown = b""
            try:
                while piece := screen.read(65536):
                    shown += piece
            except OSError:
                pass  # Linux says so that nobody has the terminal any more.
            status = process.wait()
        self.folder = Path(self._end.read_text(encoding="utf-8").strip())
        text = shown.decode("utf-8", "replace").replace("\r\n", "\n")
        return status, _LIVE_LINE.sub("", text)


def write_python(path: Path, commands: str) -> None:
    """Write a program that is Python without site-packages, and asks a server for our commands."""
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1 $2" = "-m redun_lite" ]; then\n'
        f'  exec "{sys.executable}" -I -S "{_ASK}" "{commands}" "$@"\n'
        "fi\n"
        f'exec "{sys.executable}" -S "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)


def compare(expected: str, actual: str) -> dict[str, str]:
    """Compare what a page says with what came; return the ids that came in the place of others."""
    expected_lines = [line.rstrip() for line in expected.strip("\n").split("\n")]
    lines = [line.rstrip() for line in actual.strip("\n").split("\n")]
    ids: list[str] = []
    pattern = "".join(_pattern_of(line, ids) for line in expected_lines)
    found = re.fullmatch(pattern, "".join(f"{line}\n" for line in lines))
    if found is None:
        told = difflib.unified_diff(expected_lines, lines, "the page", "the terminal", lineterm="")
        raise Failed("\n".join(["shows something else", *told]))
    actual_ids = dict(zip(ids, found.groups()))
    return {**{id[:8]: came[:8] for id, came in actual_ids.items()}, **actual_ids}


def _pattern_of(line: str, ids: list[str]) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*?"
    parts = []
    end = 0
    for found in _VARIABLE.finditer(line):
        kind = found.lastgroup
        assert kind is not None
        if kind == "id":
            ids.append(found["id"])
        parts += [re.escape(line[end : found.start()]), _PATTERNS[kind]]
        end = found.end()
    return "".join([*parts, re.escape(line[end:]), r"\n"])


def replace_definitions(source: str, part: str) -> str:
    """Return Python source with some definitions replaced by others of the same names.

    One that is new comes before what follows it in `part`, an import after the other imports.
    """
    part_lines = part.splitlines()
    following = ""
    for node in reversed(ast.parse(part).body):
        first, last = _span(node)
        text = part_lines[first:last]
        lines = source.splitlines()
        places = {_name_of(known): _span(known) for known in ast.parse(source).body}
        name = _name_of(node)
        if name in places:
            start, end = places[name]
            lines[start:end] = text
        elif name.startswith("import "):
            end = max(end for known, (_, end) in places.items() if known.startswith("import "))
            lines[end:end] = text
        elif following in places:
            start, _ = places[following]
            lines[start:start] = [*text, ""]
        else:
            lines += ["", *text]
        source = "\n".join([*lines, ""])
        following = name
    return source


def _name_of(node: ast.stmt) -> str:
    """Return what a statement of a module defines."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        return f"import {module}"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return getattr(node, "name", "") or ast.unparse(node)


def _span(node: ast.stmt) -> tuple[int, int]:
    """Return the lines of a statement, with its decorators, as a slice."""
    first = min([node, *getattr(node, "decorator_list", [])], key=lambda part: part.lineno).lineno
    assert node.end_lineno is not None
    return first - 1, node.end_lineno


def main(page: str, folder: str, commands: str) -> None:
    """Run a page; end with what went wrong, if anything did."""
    sys.path[:1] = ["", str(ROOT)]  # What is here comes first, wherever that is.
    try:
        Page(Path(page).resolve(), Path(folder).resolve(), commands).run()
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
