"""What else is recorded of an execution, a task, a call: where to look next."""

from __future__ import annotations

import pytest

from redun_lite import catch, task
from redun_lite._history import open_history
from redun_lite._schema import FIRST_WITH_JOB_INDEXES
from redun_lite._sqlite import SqliteFile
from redun_lite._uses import jobs_of_task, latest_jobs_of, origin_of_failure, versions_of_task

redun_namespace = "test_uses"


@task
def boom(x):
    raise ValueError(f"cannot take {x}")


@task
def recover(error):
    return str(error)


@task
def middle(x):
    return boom(x)


@task
def handled_first(x):
    return [catch(boom(i), ValueError, recover) for i in range(x)] + [middle(-1)]


@task
def add(a):
    return a + 1


def origin(lab):
    with open_history(str(lab.path)) as history:
        job = origin_of_failure(history, history.executions(1)[0])
        if job is None:
            return None
        arguments = history.arguments([job.call_id])[job.call_id]
        return job.task_name, [bytes(argument.value.data) for argument in arguments]


@pytest.mark.parametrize("most", [200, 2])
def test_the_origin_of_a_failure_is_where_its_error_was_raised_first(lab, monkeypatch, most):
    monkeypatch.setattr("redun_lite._uses._MAX_FAILED", most)
    with pytest.raises(ValueError, match="cannot take 7"):
        lab.run(middle(7))
    assert origin(lab)[0] == "test_uses.boom"


def test_an_error_that_was_handled_is_not_the_origin(lab):
    with pytest.raises(ValueError, match="cannot take -1"):
        lab.run(handled_first(5))
    with open_history(str(lab.path)) as history:
        job = origin_of_failure(history, history.executions(1)[0])
        above = history.job(history.ancestors(job)[0])
    assert (job.task_name, above.task_name) == ("test_uses.boom", "test_uses.middle")


def test_where_nothing_failed_there_is_no_origin(lab):
    lab.run(add(1))
    assert origin(lab) is None


def test_a_task_has_its_versions_in_order_with_their_uses(lab):
    lab.run([add(1), add(2)])
    with open_history(str(lab.path)) as history:
        ((version),) = versions_of_task(history, "test_uses.add")
        assert (version.task.fullname, version.jobs) == ("test_uses.add", 2)
        assert version.first <= version.last
        assert versions_of_task(history, "test_uses.nothing") == []


def test_a_call_has_the_job_that_ran_it_not_those_that_were_cached(lab):
    for _ in range(3):
        lab.run(add(1))
    with open_history(str(lab.path)) as history:
        ((_, (job, count)),) = latest_jobs_of(history, [1]).items()
        assert (job.status, count) == ("DONE", 3)
        assert latest_jobs_of(history, [99]) == {}


@pytest.mark.parametrize("is_indexed", [True, False])
def test_the_latest_jobs_of_a_task_come_first_whatever_their_status_and_version(lab, is_indexed):
    lab.run([add(n) for n in range(3)])
    lab.run([add(1), add(7)])
    lab.run([add(n) for n in range(2)])
    with pytest.raises(ValueError, match="cannot take 1"):
        lab.run(boom(1))
    if not is_indexed:
        source = SqliteFile(str(lab.path))
        database = source.connect()
        source.migrate(database, FIRST_WITH_JOB_INDEXES - 1)
        database.close()
    with open_history(str(lab.path)) as history:
        every = [job.id for job in jobs_of_task(history, "test_uses.add", None)]
        assert every == sorted(every, reverse=True)
        assert len(every) == 7
        for limit in (1, 3, 100):
            latest = jobs_of_task(history, "test_uses.add", limit)
            assert [job.id for job in latest] == every[:limit]
        before = jobs_of_task(history, "test_uses.add", 2, before=every[2])
        assert [job.id for job in before] == every[3:5]
        assert [job.status for job in jobs_of_task(history, "test_uses.boom", 5)] == ["FAILED"]
