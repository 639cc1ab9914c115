"""What the examples in docstrings need: a folder of their own, where `run` keeps its results."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def folder_of_an_example(request, monkeypatch):
    """Change to a new folder for each docstring."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
