"""What all tests share: the same examples in each run, and a place to run workflows in."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest
from hypothesis import settings
from support import Lab

from redun_lite import _sqlite

gc.disable()  # Until all is collected, since next to nothing of that is garbage.

collect_ignore = ["typing"]  # For type checkers to read: see test_typing.py.

# Deterministic, so that a failure is a change of the code; more examples where one asks for them:
# HYPOTHESIS_PROFILE=search.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# No test pulls the plug, and what a process has written outlives it: nobody waits for the disk.
_sqlite._PRAGMAS = tuple(pragma.replace("NORMAL", "OFF") for pragma in _sqlite._PRAGMAS)

# Who runs this in the background has it ignored, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Keep the garbage collector from what pytest holds of thousands of tests.

    And keep the bytecode of tests only: a workflow that a test writes again within a second, as
    long as it was, would be taken for the one before.
    """
    gc.freeze()
    gc.enable()
    sys.dont_write_bytecode = True


@pytest.fixture
def lab(tmp_path):
    """A place where workflows are run on a database of their own, and looked at afterwards."""
    return Lab(tmp_path)
