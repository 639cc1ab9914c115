"""What type checkers see: each file in tests/typing is checked by mypy and by pyright.

Comments in these files say what has to come out, for the line that they are on, or for the last
line with code where they are on a line of their own:

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
import os
import re
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "typing"
FILES = sorted(path for path in CASES.rglob("*.py") if path.name != "conftest.py")

_MARK = re.compile(r"#\s*(?:(mypy|pyright) )?(error|reveals): (.*)")
_REVEALED = re.compile(r'Revealed type is "(.*)"|Type of ".*" is "(.*)"', re.DOTALL)
_MODULE = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])")

Line = tuple[str, int]


class Said(NamedTuple):
    """What a checker says of a line, or is expected to say."""

    kind: str
    text: str


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_see_what_the_cases_say(checker):
    pytest.importorskip(checker)
    said = defaultdict(list)
    for line, one in {"mypy": mypy, "pyright": pyright}[checker]():
        said[line].append(one)
    expected = marks(checker)
    differences = [
        f"{file}:{number}: {difference}"
        for file, number in sorted({*said, *expected})
        for difference in compare(expected[file, number], said[file, number])
    ]
    assert not differences, "\n" + "\n".join(differences)


def test_each_case_says_what_it_expects():
    expected = {file for file, _ in marks("mypy")}
    assert expected == {path.name for path in FILES}


def marks(checker: str) -> dict[Line, list[Said]]:
    """Return what the comments in all cases expect of a checker."""
    expected = defaultdict(list)
    for path in FILES:
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


def mypy() -> Iterator[tuple[Line, Said]]:
    """Yield what mypy says, with the options of the project and all strictness."""
    done = run(sys.executable, "-m", "mypy", "--strict", "--output=json", str(CASES))
    for line in done.splitlines():
        found = json.loads(line)
        where = Path(found["file"]).name, found["line"]
        yield from say(where, found["severity"] == "error", found["message"])


def pyright() -> Iterator[tuple[Line, Said]]:
    """Yield what pyright says."""
    done = run(sys.executable, "-m", "pyright", "--outputjson", str(CASES))
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
