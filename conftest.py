"""What tests and the examples in docstrings share: no task outlives the one that defines it."""

from __future__ import annotations

import pytest

from redun_lite import get_task_registry, namespace
from redun_lite._task import get_current_namespace


@pytest.fixture(autouse=True)
def fresh_tasks():
    """Forget the tasks and the namespace that a test has set."""
    registry = get_task_registry()
    known, space = registry.snapshot(), get_current_namespace()
    yield
    registry.restore(known)
    namespace(space)


@pytest.fixture(autouse=True)
def folder_of_an_example(request, monkeypatch):
    """Change to a new folder for each docstring, where `run` keeps its results."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
