"""The tables of a repository, and the steps from one version of them to the next.

Content-addressed records (value, task, set of tasks, call node with its arguments and children)
are written once and never changed, so any number of processes may write, and repositories merge by
the union of their digests.  Digests are how a record is known outside; inside one database rows
refer to each other by small integers, which take less space and keep inserts sequential.

A call node is identified by `(key, outcome)`.  The key is the digest of the task's hash and its
arguments' keys: what the cache is asked for.  The outcome, 64 bits of a digest over the result
and the calls below, tells apart the few times that the same call came out differently.  One index
over the pair serves both identity and look-up, so a call costs one random index entry.

A job's id is its execution's id and its number therein, `execution << 32 | number`: jobs of an
execution lie together, in order, and are found by its id with no index of their own.
"""

from __future__ import annotations

from typing import NamedTuple

VERSION = 4
"""Version of the schema, in `PRAGMA user_version`."""

FIRST_WITH_JOB_INDEXES = 4
"""The first version in which jobs are found by call, task and parent."""

APPLICATION_ID = 0x72646C74
"""Marks a database as ours, in `PRAGMA application_id`: "rdlt"."""

JOB_NUMBER_BITS = 32


def job_ids(execution_id: int) -> tuple[int, int]:
    """Return the first and the last row id that a job of an execution may have."""
    first = execution_id << JOB_NUMBER_BITS
    return first, first + (1 << JOB_NUMBER_BITS) - 1


def job_number(job_id: int) -> int:
    """Return the number of a job in its execution, by its row id."""
    return job_id & ((1 << JOB_NUMBER_BITS) - 1)


_VERSION_1 = """
CREATE TABLE execution (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    argv TEXT NOT NULL,              -- JSON list
    started INTEGER NOT NULL,        -- microseconds since 1970, as all times here
    ended INTEGER,
    status TEXT NOT NULL,            -- RUNNING DONE FAILED CANCELLED
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL
);
CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    fullname TEXT NOT NULL,
    version TEXT,
    source TEXT NOT NULL
);
CREATE INDEX task_fullname ON task (fullname);
CREATE TABLE task_set (              -- the tasks at and below a call
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE
);
CREATE TABLE task_set_member (
    task_set_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    PRIMARY KEY (task_set_id, task_id)
) WITHOUT ROWID;
CREATE TABLE value_type (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE value (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    type_id INTEGER NOT NULL,
    data BLOB NOT NULL               -- empty if it is in a file: see stored_value
);
CREATE TABLE subvalue (
    parent_id INTEGER NOT NULL,
    child_id INTEGER NOT NULL,
    PRIMARY KEY (parent_id, child_id)
) WITHOUT ROWID;
CREATE INDEX subvalue_child ON subvalue (child_id);
CREATE TABLE file (
    value_id INTEGER PRIMARY KEY,
    path TEXT NOT NULL
);
CREATE INDEX file_path ON file (path);
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    outcome INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    single_id INTEGER,               -- what the function returned; NULL if it raised
    result_id INTEGER NOT NULL,      -- what that came to in the end, or the error
    task_set_id INTEGER NOT NULL,
    computed INTEGER NOT NULL,       -- when it last came out so; the latest wins
    UNIQUE (key, outcome)
);
CREATE INDEX call_result ON call (result_id);
CREATE TABLE argument (
    call_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    value_id INTEGER NOT NULL,
    PRIMARY KEY (call_id, position)
) WITHOUT ROWID;
CREATE INDEX argument_value ON argument (value_id);
CREATE TABLE upstream (              -- the calls whose results an argument was made of
    call_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    upstream_id INTEGER NOT NULL,
    PRIMARY KEY (call_id, position, upstream_id)
) WITHOUT ROWID;
CREATE TABLE call_child (
    call_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    child_id INTEGER NOT NULL,
    PRIMARY KEY (call_id, position)
) WITHOUT ROWID;
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    parent_id INTEGER,
    task_id INTEGER NOT NULL,
    call_id INTEGER,                 -- NULL until the job has ended
    status TEXT NOT NULL,            -- RUNNING FAILED CACHED DONE
    started INTEGER NOT NULL,
    ended INTEGER
);
CREATE TABLE tag (
    id INTEGER PRIMARY KEY,
    entity TEXT NOT NULL,            -- id of an execution, job, task or value
    key TEXT NOT NULL,
    value TEXT NOT NULL,             -- JSON
    UNIQUE (entity, key, value)
);
CREATE INDEX tag_key ON tag (key, value);
"""

_VERSION_2 = """
-- The job whose execution it extends, if it is a subrun.
ALTER TABLE execution ADD COLUMN parent_job_id INTEGER;
CREATE TABLE attempt (               -- of a job that was tried more than once
    job_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    error_id INTEGER,                -- the value that stands for its error; NULL if there was none
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
CREATE TABLE handled (               -- errors that a catch has handled
    place BLOB NOT NULL,             -- digest of what was caught
    key BLOB NOT NULL,               -- key of the call whose function raised
    error BLOB NOT NULL,             -- the exception, pickled
    PRIMARY KEY (place, key)
) WITHOUT ROWID;
CREATE TABLE handle_state (          -- a state of what a handle stands for; see `_handle_states`
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    fullname TEXT NOT NULL,          -- of the handle
    kind TEXT NOT NULL,              -- new fork call merge
    valid INTEGER,                   -- whether what a call did still stands; NULL: no call gave it
    execution_id INTEGER             -- the last one that made or replayed it
);
CREATE TABLE handle_edge (           -- from a state to one that was derived from it
    parent_id INTEGER NOT NULL,
    child_id INTEGER NOT NULL,
    PRIMARY KEY (parent_id, child_id)
) WITHOUT ROWID;
CREATE INDEX handle_edge_child ON handle_edge (child_id);
"""

# What a version before knows nothing of is dropped.  A column is dropped by making its table anew,
# for SQLite can do nothing else before 3.35.
_BACK_TO_1 = """
CREATE TABLE execution_before (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    argv TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    status TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL
);
INSERT INTO execution_before (id, uuid, argv, started, ended, status, host, pid, heartbeat)
SELECT id, uuid, argv, started, ended, status, host, pid, heartbeat FROM execution;
DROP TABLE execution;
ALTER TABLE execution_before RENAME TO execution;
DROP TABLE attempt;
DROP TABLE handled;
DROP TABLE handle_edge;
DROP TABLE handle_state;
"""

_VERSION_3 = """
CREATE TABLE stored_value (          -- a value whose data is in a file; see `_value_store`
    value_id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,            -- of the file's content
    size INTEGER NOT NULL,
    path TEXT NOT NULL               -- starts at the database's folder if it is no URL or absolute
);
CREATE INDEX stored_value_digest ON stored_value (digest);
CREATE TABLE property (              -- what there is to know of the repository as a whole
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""

_BACK_TO_2 = """
DROP TABLE stored_value;
DROP TABLE property;
"""

# Jobs and calls are recorded in about the order in which they happened, so these indexes grow at
# few places at a time, and cost little.
_VERSION_4 = """
CREATE INDEX job_call ON job (call_id);
CREATE INDEX job_status ON job (status, task_id);
CREATE INDEX job_parent ON job (parent_id, status, task_id);
CREATE INDEX call_child_child ON call_child (child_id);
CREATE INDEX upstream_upstream ON upstream (upstream_id);
"""

_BACK_TO_3 = """
DROP INDEX job_call;
DROP INDEX job_status;
DROP INDEX job_parent;
DROP INDEX call_child_child;
DROP INDEX upstream_upstream;
"""


class Step(NamedTuple):
    """A step to a version of the schema, and back from it.

    Attributes
    ----------
    brings
        What there is from that version on.
    up, down
        The statements, separated by `;` at the end of a line.
    counts
        What the step down drops: for each kind of record a query that counts them.
    """

    brings: str
    up: str
    down: str = ""
    counts: tuple[tuple[str, str], ...] = ()


STEPS = (
    Step("executions, jobs, calls, values, tasks, files, tags", _VERSION_1),
    Step(
        "subruns, attempts, handled errors, states of handles",
        _VERSION_2,
        _BACK_TO_1,
        (
            (
                "link from a subrun to its job",
                "SELECT count(*) FROM execution WHERE parent_job_id IS NOT NULL",
            ),
            ("attempt", "SELECT count(*) FROM attempt"),
            ("handled error", "SELECT count(*) FROM handled"),
            ("handle state", "SELECT count(*) FROM handle_state"),
        ),
    ),
    Step("large values in files of the value store", _VERSION_3, _BACK_TO_2),
    Step("indexes of jobs by call, task and parent; of what calls led to", _VERSION_4, _BACK_TO_3),
)
"""`STEPS[v]` brings a database from version v to version v + 1, and back."""

MIGRATIONS = [step.up for step in STEPS]
"""`MIGRATIONS[v]` brings a database from version v to version v + 1."""
