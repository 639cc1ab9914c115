"""The tests of the repository once more, on PostgreSQL: all that ask for a `lab`, here one there.

Those that know the database to be a file are marked so, and left out.
"""

from __future__ import annotations

from test_cache import *  # noqa: F403
from test_database import *  # noqa: F403
from test_db import *  # noqa: F403
from test_garbage import *  # noqa: F403
from test_handle import *  # noqa: F403
