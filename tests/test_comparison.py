"""The comparisons with redun: what it did is kept, and what we do is checked against it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support import commands

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path.insert(0, str(DOCS))

import compare_with_redun as comparison  # noqa: E402


@pytest.mark.parametrize("topic", comparison.topics())
def test_workflows_come_out_as_on_redun_or_as_the_page_says(topic, tmp_path):
    kept = comparison.read_kept()
    done = commands.python(
        ("-m", "comparison", topic), tmp_path, comparison.environment("redun_lite")
    )
    assert done.returncode == 0, done.stderr
    ours = comparison.Found(**json.loads(done.stdout))
    assert ours.cases
    assert comparison.problems(ours, kept.redun, kept.redun_lite) == []
    page = comparison.PAGE.read_text(encoding="utf-8").splitlines()
    for name, each in ours.cases.items():
        assert comparison.row(each, kept.redun[name]) in page


def test_nothing_is_kept_or_shown_of_cases_that_are_gone():
    kept = comparison.read_kept()
    assert {name.partition(".")[0] for name in kept.redun} == set(comparison.topics())
    assert set(kept.redun_lite) <= set(kept.redun)
    page = comparison.PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in page if " | same | " in line or " | differs | " in line]
    assert len(rows) == len(kept.redun)
    assert sum(" | differs | " in row for row in rows) == len(kept.redun_lite)


def test_a_case_that_comes_out_otherwise_is_told():
    ours = comparison.Found(
        "",
        {},
        {
            "topic.same": {"shows": "", "why": None, "outcome": ["1"]},
            "topic.other": {"shows": "", "why": None, "outcome": ["1"]},
            "topic.meant": {"shows": "", "why": "because", "outcome": ["1"]},
            "topic.no_longer": {"shows": "", "why": "because", "outcome": ["2"]},
            "topic.changed": {"shows": "", "why": "because", "outcome": ["3"]},
            "topic.new": {"shows": "", "why": None, "outcome": ["1"]},
        },
    )
    theirs = {f"topic.{name}": ["2"] for name in ("other", "meant", "no_longer", "changed")} | {
        "topic.same": ["1"]
    }
    meant = {"topic.meant": ["1"], "topic.changed": ["1"]}
    told = [problem.split()[0] for problem in comparison.problems(ours, theirs, meant)]
    assert told == ["topic.other", "topic.no_longer", "topic.changed", "topic.new"]
