"""From one version of the tables to another, up or down.

The steps are in `_schema`.  Whoever knows how a kind of database marks its version runs them in one
transaction: either all of them are done, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._schema import STEPS
from ._value_store import bring_back, count_lost, home_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._database import Database

FIRST_WITH_STORE = 3
"""The first version in which values may be in files."""


class Loss(NamedTuple):
    """Records that a lower version has no place for."""

    kind: str
    number: int


def migrate_tables(database: Database, version: int, target: int) -> None:
    """Run the steps from one version to another, within a transaction.

    What is in files of the value store comes back into the database when it goes to a version that
    knows of none; what cannot be read is left empty, and so a miss to whoever looks it up.
    """
    if version >= FIRST_WITH_STORE > target:
        bring_back(database, home_of(database.address))
    for statement in _statements(version, target):
        database.execute(statement)


def _statements(version: int, target: int) -> Iterator[str]:
    if version <= target:
        scripts = [step.up for step in STEPS[version:target]]
    else:
        scripts = [step.down for step in reversed(STEPS[target:version])]
    for script in scripts:
        yield from (statement for statement in script.split(";\n") if statement.strip())


def losses(database: Database, version: int, target: int) -> list[Loss]:
    """Return what would be lost on the way down from one version to another."""
    found = []
    if version >= FIRST_WITH_STORE > target:
        lost = count_lost(database, home_of(database.address))
        found.append(Loss("value whose file is missing or damaged", lost))
    for step in STEPS[target:version]:
        found += [Loss(kind, database.rows(sql)[0][0]) for kind, sql in step.counts]
    return [loss for loss in found if loss.number]
