"""What type checkers see: each file in tests/typing is checked by mypy and by pyright.

So are the blocks of the page about types, as one file.  Comments say what has to come out, for the
line that they are on, or for the last line with code where they are on a line of their own:

===========================  =======================================================================
`# reveals: int`             what `reveal_type` shows, names without their modules
`# error: part of message`   an error, whose message has this in it
`# mypy reveals: …`          the same of one checker, where they differ; `# pyright error: …` and so
                             on likewise
===========================  =======================================================================

An error on a line without such a comment is a failure, and so is a comment that does not come true.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tokenize
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pages import blocks_of
from support import ROOT

import redun_lite

FILES = sorted((ROOT / "tests" / "typing").glob("*.py"))
PAGE = ROOT / "docs" / "explanation" / "typing.md"

_MARK = re.compile(r"#\s*(?:(mypy|pyright) )?(error|reveals): (.*)")
_REVEALED = re.compile(r'Revealed type is "(.*)"|Type of ".*" is "(.*)"', re.DOTALL)
_MODULE = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])")

Line = tuple[str, int]


class Said(NamedTuple):
    """What a checker says of a line, or is expected to say."""

    kind: str
    text: str


@pytest.fixture
def cases(tmp_path):
    page = tmp_path / "page_about_types.py"
    page.write_text(code_of(PAGE.read_text("utf-8")), "utf-8")
    return [*FILES, page]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_see_what_the_cases_say(checker, cases):
    pytest.importorskip(checker)
    said = defaultdict(list)
    for line, one in {"mypy": mypy, "pyright": pyright}[checker](cases):
        said[line].append(one)
    expected = marks(cases, checker)
    differences = [
        f"{file}:{number}: {difference}"
        for file, number in sorted({*said, *expected})
        for difference in compare(expected[file, number], said[file, number])
    ]
    assert not differences, "\n" + "\n".join(differences)


def test_each_case_says_what_it_expects(cases):
    expected = {file for file, _ in marks(cases, "mypy")}
    assert expected == {path.name for path in cases}


@pytest.mark.parametrize(
    ("expected", "said", "told"),
    [
        ([], [], []),
        ([Said("reveals", "int")], [Said("reveals", "int")], []),
        ([Said("error", "an int")], [Said("error", "wants an int"), Said("error", "so no")], []),
        ([Said("error", "int")], [], ["there is no `error: int`"]),
        ([], [Said("error", "wants an int")], ["there is `error: wants an int`"]),
        ([], [Said("reveals", "int")], ["there is `reveals: int`"]),
        (
            [Said("reveals", "int")],
            [Said("reveals", "int | str")],
            ["there is no `reveals: int`", "there is `reveals: int | str`"],
        ),
    ],
)
def test_a_difference_either_way_is_told(expected, said, told):
    assert list(compare(expected, said)) == told


@pytest.mark.parametrize(
    "hint",
    [
        "Task[[int, str], float]",
        "Task[..., Any]",
        "Task[[], None]",
        "SchedulerTask[[int], str]",
        "PartialTask[int]",
        "Expression[list[int]]",
        "TaskExpression[int]",
        "QuotedExpression[int]",
        "Thread[int]",
        "Promise[int]",
        "Optional[list[Task[[int], str]]]",
        "Callable[[Task[..., int]], PartialTask[int]]",
    ],
)
def test_what_type_checkers_take_as_a_hint_can_be_evaluated(hint):
    def function(value):
        return value

    function.__annotations__["value"] = hint
    names = dict(vars(typing))
    names.update((name, getattr(redun_lite, name)) for name in redun_lite.__all__)
    assert typing.get_type_hints(function, names)["value"]


def code_of(text: str) -> str:
    """Return the Python of a page, each line at its place."""
    lines = [""] * text.count("\n")
    for block in blocks_of(text):
        if block.fence == "python":
            code = block.text.splitlines()
            lines[block.line : block.line + len(code)] = code
    return "\n".join([*lines, ""])


def marks(cases: list[Path], checker: str) -> dict[Line, list[Said]]:
    """Return what the comments in all cases expect of a checker."""
    expected = defaultdict(list)
    for path in cases:
        last = 0
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
            if token.type == tokenize.COMMENT:
                mark = _MARK.fullmatch(token.string)
                if mark and mark[1] in (None, checker):
                    expected[path.name, last].append(Said(mark[2], mark[3]))
            elif token.type not in (tokenize.NL, tokenize.NEWLINE):
                last = token.end[0]
    return expected


def compare(expected: list[Said], said: list[Said]) -> Iterator[str]:
    """Yield in what way a checker says something else of a line than is expected."""
    for one in expected:
        if not any(other.kind == one.kind and is_met(one, other) for other in said):
            yield f"there is no `{one.kind}: {one.text}`"
    kinds = {one.kind for one in expected}
    for other in said:
        if other.kind == "error" and other.kind in kinds:
            continue  # Checkers say some things twice; one comment will do.
        if not any(other.kind == one.kind and is_met(one, other) for one in expected):
            yield f"there is `{other.kind}: {other.text}`"


def is_met(one: Said, other: Said) -> bool:
    return one.text in other.text if one.kind == "error" else one.text == other.text


def mypy(cases: list[Path]) -> Iterator[tuple[Line, Said]]:
    """Yield what mypy says, with the options of the project and all strictness."""
    done = run(sys.executable, "-m", "mypy", "--strict", "--output=json", *map(str, cases))
    for line in done.splitlines():
        found = json.loads(line)
        where = Path(found["file"]).name, found["line"]
        yield from say(where, found["severity"] == "error", found["message"])


def pyright(cases: list[Path]) -> Iterator[tuple[Line, Said]]:
    """Yield what pyright says."""
    done = run(sys.executable, "-m", "pyright", "--outputjson", *map(str, cases))
    for found in json.loads(done)["generalDiagnostics"]:
        where = Path(found["file"]).name, found["range"]["start"]["line"] + 1
        yield from say(where, found["severity"] != "information", found["message"])


def say(where: Line, is_error: bool, message: str) -> Iterator[tuple[Line, Said]]:
    revealed = _REVEALED.fullmatch(message)
    if revealed:
        yield where, Said("reveals", _MODULE.sub("", revealed[1] or revealed[2]))
    elif is_error:
        yield where, Said("error", message)


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout
