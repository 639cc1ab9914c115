"""Batches of records: what becomes of them when they cannot be written."""

from __future__ import annotations

import pytest
from support import audit

from redun_lite import Scheduler, _writer, task
from redun_lite._db import Repository
from redun_lite._errors import RepositoryWriteError

redun_namespace = "test_writer"


@task(version="1")
def pair(n):
    return [n, {"of": "some length"}]


@task(version="1")
def pairs(count):
    return [pair(n) for n in range(count)]


@pytest.mark.parametrize("statement", ["INSERT_JOB", "INSERT_ARGUMENT", "INSERT_CALL"])
def test_records_of_a_transaction_that_was_taken_back_are_written_with_those_after_it(
    monkeypatch, statement
):
    """They have lost the ids that they had got in it, which others may get."""
    repository = Repository()
    database = repository.database
    names = ("insert", "insert_new")

    def failing(insert):
        def call(sql, *arguments):
            if sql == getattr(_writer, statement):
                raise RepositoryWriteError("full")
            return insert(sql, *arguments)

        return call

    with Scheduler(backend=repository) as scheduler:
        assert scheduler.run(pair(0)) == pair.func(0)
        with monkeypatch.context() as full:
            for name in names:
                full.setattr(database, name, failing(getattr(database, name)), raising=False)
            with pytest.raises(RepositoryWriteError, match="full"):
                scheduler.run(pairs(30))
        assert scheduler.run(pairs(30)) == [pair.func(n) for n in range(30)]
    audit(database)
    assert database.rows("SELECT count(*) FROM job WHERE status = 'DONE'") == [(31,)]
    repository.close()
