"""Runs the workflows of `comparison/` on redun and on redun_lite, and tells where they differ.

    python docs/compare_with_redun.py --redun PYTHON [--write] [TOPIC ...]

PYTHON is an interpreter that has redun.  Each topic runs in a process of its own on either engine,
each case in a fresh folder with a fresh database.  A case that differs says why it is meant to, and
what redun_lite did then is kept.  All else is listed, and the exit status is 1.

With `--write`, what both did is kept in `comparison/outcomes.json`, for the tests, and the table in
`differences-from-redun.md` is renewed.  Without `--redun`, redun_lite is compared with what was
kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
KEPT = DOCS / "comparison" / "outcomes.json"
PAGE = DOCS / "differences-from-redun.md"
BEGIN, END = "<!-- The table begins. -->", "<!-- The table ends. -->"
NOT_TOPICS = ("__init__", "__main__", "case", "engine")

Outcomes = dict[str, list[str]]


class Kept(NamedTuple):
    """What was kept of a comparison.

    Parameters
    ----------
    version
        redun's.
    redun
        What redun did.
    redun_lite
        What redun_lite did in the cases that are meant to differ.
    """

    version: str
    redun: Outcomes
    redun_lite: Outcomes


class Found(NamedTuple):
    """What an engine did.

    Parameters
    ----------
    version
        The engine's.
    topics
        What each topic is about.
    cases
        By topic and name: what it `shows`, `why` it differs, its `outcome`.
    """

    version: str
    topics: dict[str, str]
    cases: dict[str, dict[str, Any]]

    def outcomes(self) -> Outcomes:
        """Return the outcomes alone."""
        return {name: each["outcome"] for name, each in self.cases.items()}


def topics() -> list[str]:
    """Return the names of all topics."""
    names = {path.stem for path in (DOCS / "comparison").glob("*.py")}
    return sorted(names.difference(NOT_TOPICS))


def environment(engine: str) -> dict[str, str]:
    """Return the environment that topics need to run on an engine."""
    path = [str(DOCS), *([] if engine == "redun" else [str(DOCS.parent)])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WORKFLOW_ENGINE": engine,
    }


def run_topics(python: str, engine: str, names: list[str]) -> Found:
    """Run topics on an engine, each in a process of its own."""
    found = Found("", {}, {})
    for name in names:
        done = subprocess.run(
            [python, "-m", "comparison", name],
            env=environment(engine),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        told = json.loads(done.stdout)
        found = Found(
            told["version"],
            {**found.topics, **told["topics"]},
            {**found.cases, **told["cases"]},
        )
    return found


def read_kept() -> Kept:
    """Return what was kept."""
    return Kept(**json.loads(KEPT.read_text(encoding="utf-8")))


def problems(ours: Found, theirs: Outcomes, meant: Outcomes | None) -> list[str]:
    """Return what to say of cases that came out otherwise than they are meant to.

    Parameters
    ----------
    meant
        What is kept of cases that are meant to differ; None if that is not looked at.
    """
    found = []
    for name, each in ours.cases.items():
        outcome = each["outcome"]
        if name not in theirs:
            found.append(f"{name} was never run on redun: give --redun and --write")
        elif each["why"] is None and outcome != theirs[name]:
            found.append(_told(f"{name} differs: {each['shows']}", theirs[name], outcome))
        elif each["why"] is not None and outcome == theirs[name]:
            found.append(_told(f"{name} says why it differs, and does not", theirs[name], outcome))
        elif each["why"] is not None and meant is not None and outcome != meant.get(name):
            found.append(
                _told(f"{name} differs otherwise than before", meant.get(name, []), outcome)
            )
    return found


def _told(problem: str, expected: list[str], outcome: list[str]) -> str:
    return "\n".join(
        [problem, *(f"  - {line}" for line in expected), *(f"  + {line}" for line in outcome)]
    )


# The page


def table(version: str, theirs: Outcomes, ours: Found) -> str:
    """Return the tables of all topics as Markdown."""
    differ = sum(each["why"] is not None for each in ours.cases.values())
    parts = [
        f"{len(ours.cases)} workflows, run on redun {version}: {len(ours.cases) - differ} come to "
        f"the same, {differ} differ."
    ]
    for topic, about in ours.topics.items():
        parts.append(f"\n### {about}\n")
        parts.append("| | | redun | redun_lite, where it differs |\n|---|---|---|---|")
        for name, each in ours.cases.items():
            if name.startswith(topic + "."):
                parts.append(row(each, theirs[name]))
    return "\n".join(parts)


def row(each: dict[str, Any], theirs: list[str]) -> str:
    """Return the row of a case in its table."""
    parts = [each["shows"], "same", _cell(theirs), ""]
    if each["why"] is not None:
        parts[1] = "differs"
        parts[3] = f"{_cell(each['outcome'])}<br>{each['why']}"
    return "| " + " | ".join(parts) + " |"


def _cell(lines: list[str]) -> str:
    quoted = (line.rstrip("\n").replace("|", "\\|") for line in lines)
    return "<br>".join(f"`{line}`" for line in quoted)


def write(version: str, theirs: Outcomes, ours: Found) -> None:
    """Keep the outcomes, and renew the table in the page."""
    meant = {name: each["outcome"] for name, each in ours.cases.items() if each["why"] is not None}
    kept = Kept(version, theirs, meant)._asdict()
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    new = f"{before}{BEGIN}\n\n{table(version, theirs, ours)}\n\n{END}{after}"
    PAGE.write_text(new, encoding="utf-8")


def main() -> int:
    """Compare, and tell."""
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(topics()))
    parser.add_argument("--redun", metavar="PYTHON", help="an interpreter that has redun")
    parser.add_argument("--write", action="store_true", help="renew the table, keep the outcomes")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.topics).difference(topics()))
    if unknown:
        parser.error(f"no topic is called {unknown[0]!r}; there are {', '.join(topics())}")
    if arguments.write and (arguments.topics or not arguments.redun):
        parser.error("--write needs --redun, and all topics")

    names = arguments.topics or topics()
    kept = read_kept() if KEPT.exists() else Kept("", {}, {})
    version, theirs = kept.version, kept.redun
    if arguments.redun:
        told = run_topics(arguments.redun, "redun", names)
        version, theirs = told.version, told.outcomes()
    ours = run_topics(sys.executable, "redun_lite", names)
    found = problems(ours, theirs, None if arguments.write else kept.redun_lite)
    for text in found:
        print(text, end="\n\n")
    differ = sum(each["why"] is not None for each in ours.cases.values())
    print(f"redun {version}: {len(ours.cases)} workflows, {differ} meant to differ")
    if arguments.write:
        write(version, theirs, ours)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
