"""What tasks really did, noted in a file from any process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def note(path: Any, *words: Any) -> None:
    """Add a line to a file, from any process: what a task really did."""
    line = " ".join(map(str, words)) + "\n"
    stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(stream, line.encode())
    finally:
        os.close(stream)


def notes(path: Any) -> list[str]:
    """Return the lines of a file that `note` wrote."""
    return Path(path).read_text().splitlines() if os.path.exists(path) else []
