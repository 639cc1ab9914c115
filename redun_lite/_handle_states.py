"""The states of handles in the repository: how they were derived, and which are valid.

States form a graph: `handle_state` has its nodes, `handle_edge` leads from each to those that were
derived from it.  Only a state that a call gave has a flag that says whether it is valid.  Forks and
merges are names for what calls gave: they are as valid as that, and have no flag (NULL).

To invalidate what was derived from a state, its descendants are followed through forks, merges and
valid states.  Not through invalid ones: what is below those was invalidated with them, or will be
when a call gives that state again.  So however long a chain is, running all of it again follows
each edge once.  Nor through what the present execution has made or replayed, which stands.  If the
state is that of a merge, or of a fork of one, then what was merged is where it begins: what follows
another merge of the same branches is invalidated too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._database import Database
    from ._handle import HandleChange

_BELOW = """
WITH RECURSIVE above (id) AS (
    SELECT id FROM handle_state WHERE digest = ?
    UNION
    SELECT parent_id
    FROM above
        JOIN handle_state ON handle_state.id = above.id
        JOIN handle_edge ON handle_edge.child_id = above.id
    WHERE valid IS NULL
), origin (id) AS (
    SELECT id FROM handle_state WHERE digest = ?
    UNION
    SELECT parent_id
    FROM above
        JOIN handle_state ON handle_state.id = above.id
        JOIN handle_edge ON handle_edge.child_id = above.id
    WHERE kind = 'merge'
), below (id) AS (
    SELECT child_id FROM origin JOIN handle_edge ON handle_edge.parent_id = origin.id
    UNION
    SELECT handle_edge.child_id
    FROM below
        JOIN handle_state ON handle_state.id = below.id
        JOIN handle_edge ON handle_edge.parent_id = below.id
    WHERE valid IS NULL OR (valid = 1 AND coalesce(execution_id, 0) <> ?)
)
"""
_VALID_BELOW = "valid = 1 AND coalesce(execution_id, 0) <> ? AND id IN (SELECT id FROM below)"
UPDATE_BELOW = f"{_BELOW} UPDATE handle_state SET valid = 0 WHERE {_VALID_BELOW}"
SELECT_BELOW = f"{_BELOW} SELECT 1 FROM handle_state WHERE {_VALID_BELOW} LIMIT 1"
INSERT_STATE = """
INSERT INTO handle_state (digest, fullname, kind, valid) VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
INSERT_EDGE = """
INSERT INTO handle_edge (parent_id, child_id)
SELECT parent.id, child.id FROM handle_state AS parent, handle_state AS child
WHERE parent.digest = ? AND child.digest = ?
ON CONFLICT DO NOTHING
"""
UPDATE_CONFIRMED = "UPDATE handle_state SET execution_id = ? WHERE digest = ?"
UPDATE_MADE = "UPDATE handle_state SET valid = 1, execution_id = ? WHERE digest = ?"
SELECT_ABOVE = """
WITH RECURSIVE above (id, valid) AS (
    SELECT id, valid FROM handle_state WHERE digest = ?
    UNION
    SELECT handle_state.id, handle_state.valid
    FROM above
        JOIN handle_edge ON handle_edge.child_id = above.id
        JOIN handle_state ON handle_state.id = handle_edge.parent_id
    WHERE above.valid IS NULL
)
SELECT count(*), coalesce(min(valid), 1) FROM above
"""


def write_change(database: Database, change: HandleChange) -> None:
    """Record what a job has done, or is about to do, to what handles stand for."""
    execute = database.execute
    execution = change.execution
    named = {state for _, state, _, _ in change.steps}
    for kind, state, fullname, parents in change.steps:
        for parent in parents:
            if parent not in named:  # A call gave it: here, else nobody knows if it is valid.
                execute(INSERT_STATE, bytes.fromhex(parent), fullname, "call", 0)
        execute(INSERT_STATE, bytes.fromhex(state), fullname, kind, None)
        for parent in parents:
            execute(INSERT_EDGE, bytes.fromhex(parent), bytes.fromhex(state))
    for state in change.confirmed:
        execute(UPDATE_CONFIRMED, execution, bytes.fromhex(state))
    for state in change.origins:
        execute(UPDATE_BELOW, *_origin(state, execution))
    for state in change.made:
        execute(UPDATE_MADE, execution, bytes.fromhex(state))


def would_invalidate(database: Database, change: HandleChange) -> bool:
    """Say whether a change invalidates any state."""
    return any(
        database.rows(SELECT_BELOW, *_origin(state, change.execution)) for state in change.origins
    )


def are_valid(database: Database, states: Sequence[str]) -> bool:
    """Say whether all states are known, and the states of calls that they stand for are valid."""
    for state in states:
        ((known, valid),) = database.rows(SELECT_ABOVE, bytes.fromhex(state))
        if not (known and valid):
            return False
    return True


def _origin(state: str, execution: int) -> tuple[bytes, bytes, int, int]:
    """Return the parameters of `_BELOW` and `_VALID_BELOW`."""
    origin = bytes.fromhex(state)
    return origin, origin, execution, execution
