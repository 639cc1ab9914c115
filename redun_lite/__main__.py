"""`python -m redun_lite`.

Python puts the current folder first on `sys.path`, where a workflow called `json.py` would be found
in place of the standard library's.  So it is taken away while this package is imported; what loads
workflows puts it back.
"""

from __future__ import annotations

import os
import sys


def _present_folder() -> str:
    """Return the current folder as Python has it on the path, which is empty if it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    if sys.path and sys.path[0] == _present_folder():
        del sys.path[0]
    from ._cli import main

    sys.exit(main())
