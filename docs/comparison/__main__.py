"""Runs topics on the engine that WORKFLOW_ENGINE names, and writes their outcomes as JSON.

WORKFLOW_ENGINE=redun_lite python -m comparison control context
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from .case import about, cases_of, outcome_of, topics
from .engine import engine_version


def main() -> None:
    """Run the topics that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="comparison", description=__doc__)
    parser.add_argument("topics", nargs="*", default=topics())
    parser.add_argument("-k", metavar="TEXT", default="", help="only cases with this in the name")
    parser.add_argument("--times", action="store_true", help="tell how long each case takes")
    arguments = parser.parse_args()
    told: dict[str, Any] = {"version": engine_version(), "topics": {}, "cases": {}}
    for topic in arguments.topics:
        told["topics"][topic] = about(topic)
        for each in cases_of(topic):
            if arguments.k not in each.name:
                continue
            begun = time.perf_counter()
            outcome = outcome_of(each)
            told["cases"][f"{topic}.{each.name}"] = {
                "shows": each.shows,
                "why": each.why,
                "outcome": outcome,
            }
            if arguments.times:
                print(f"{time.perf_counter() - begun:6.2f} {each.name}", file=sys.stderr)
    json.dump(told, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
