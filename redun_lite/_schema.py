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
execution lie together, in order, with no index of their own.
"""

from __future__ import annotations

VERSION = 2
"""Version of the schema, in `PRAGMA user_version`."""

APPLICATION_ID = 0x72646C74
"""Marks a database as ours, in `PRAGMA application_id`: "rdlt"."""

JOB_NUMBER_BITS = 32

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
    data BLOB NOT NULL
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

MIGRATIONS = [_VERSION_1, _VERSION_2]
"""`MIGRATIONS[v]` brings a database from version v to version v + 1."""
