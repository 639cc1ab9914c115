"""Limits: nobody holds more than there is, nobody waits for ever, nobody waits for nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from redun_lite._errors import TaskError
from redun_lite._limits import Limits


class Queue:
    """Limits, and the jobs that hold units."""

    def __init__(self, **available: int) -> None:
        self.available = available
        self.limits: Limits[str] = Limits(available)
        self.wanted: dict[str, dict[str, int]] = {}
        self.running: list[str] = []
        self.started: list[str] = []

    def submit(self, name: str, **wanted: int) -> bool:
        self.wanted[name] = wanted
        starts = self.limits.acquire(name, wanted)
        if starts:
            self._start(name)
        return starts

    def end(self, name: str) -> list[str]:
        """End a job; return those that start in its place."""
        self.running.remove(name)
        self.limits.release(self.wanted[name])
        started = list(self.limits.startable())
        for other in started:
            self._start(other)
        return started

    def _start(self, name: str) -> None:
        self.running.append(name)
        self.started.append(name)

    @property
    def held(self) -> Counter[str]:
        held: Counter[str] = Counter()
        for name in self.running:
            held.update(self.wanted[name])
        return held

    def finish(self) -> None:
        """End all jobs, those that have run longest first."""
        while self.running:
            self.end(self.running[0])


def test_a_job_starts_when_there_is_enough():
    queue = Queue(db=2)
    assert queue.submit("a", db=1)
    assert queue.submit("b", db=1)
    assert not queue.submit("c", db=1)
    assert queue.limits.waiting == 1
    assert queue.end("a") == ["c"]
    assert queue.limits.waiting == 0


def test_a_resource_that_is_not_listed_has_one_unit():
    queue = Queue()
    assert queue.submit("a", printer=1)
    assert not queue.submit("b", printer=1)


def test_no_units_of_a_resource_are_always_there():
    queue = Queue(db=1)
    assert queue.submit("a", db=1)
    assert queue.submit("b", db=0)
    assert queue.submit("c")


def test_more_than_there_will_ever_be_is_an_error_that_says_how_many_there_are():
    queue = Queue(db=2)
    with pytest.raises(TaskError, match=r"^3 units of 'db' are wanted but \[limits\] allows 2"):
        queue.submit("a", db=3)
    with pytest.raises(TaskError, match=r"^2 units of 'gpu' are wanted but \[limits\] allows 1"):
        queue.submit("b", db=1, gpu=2)
    assert queue.submit("c", db=2)


def test_equal_jobs_start_in_the_order_in_which_they_came():
    queue = Queue(db=1)
    for name in "abcde":
        queue.submit(name, db=1)
    queue.finish()
    assert queue.started == list("abcde")


def test_a_job_that_wants_much_is_not_overtaken_by_those_that_want_little():
    queue = Queue(mem=10)
    assert queue.submit("small 1", mem=2)
    assert not queue.submit("large", mem=10)
    for i in range(2, 9):
        assert not queue.submit(f"small {i}", mem=2)
    assert queue.end("small 1") == ["large"]
    assert queue.end("large") == [f"small {i}" for i in range(2, 7)]


def test_a_job_that_waits_for_one_resource_does_not_keep_another():
    queue = Queue(db=1, gpu=1)
    assert queue.submit("trains", gpu=1)
    assert not queue.submit("needs both", gpu=1, db=1)
    for i in range(5):
        assert queue.submit(f"query {i}", db=1)
        assert not queue.submit(f"query behind {i}", db=1)
        assert queue.end(f"query {i}") == [f"query behind {i}"]
        assert queue.end(f"query behind {i}") == []


def test_a_job_that_lacks_a_resource_holds_back_nobody_who_does_not_want_it():
    queue = Queue(db=1, gpu=1)
    assert queue.submit("a", db=1)
    assert not queue.submit("b", db=1)
    assert queue.submit("c", gpu=1)


def test_a_job_whose_resources_come_free_by_turns_gets_them_in_the_end():
    queue = Queue(db=1, gpu=1)
    queue.submit("query 0", db=1)
    queue.submit("train 0", gpu=1)
    queue.submit("both", db=1, gpu=1)
    for i in range(10):  # There is always somebody behind who wants one of the two.
        queue.submit(f"query {i + 1}", db=1)
        queue.submit(f"train {i + 1}", gpu=1)
        for name in (f"query {i}", f"train {i}"):
            if name in queue.running:
                queue.end(name)
        if "both" in queue.started:
            break
    assert queue.started.index("both") <= 4
    queue.finish()
    assert queue.limits.waiting == 0


def test_who_was_kept_waiting_starts_once_the_one_before_has_started():
    queue = Queue(db=2, gpu=1)
    queue.submit("trains", gpu=1)
    queue.submit("queries", db=2)
    queue.submit("both", db=1, gpu=1)
    queue.end("queries")
    queue.submit("queries on", db=2)
    queue.submit("little", db=1)
    assert queue.running == ["trains", "queries on"]
    assert queue.end("queries on") == ["little"]
    assert queue.end("trains") == ["both"]


def test_many_lines_are_served_without_looking_at_all_of_them():
    """Each file is a resource: a line for each, of which a released one concerns one only."""
    limits: Limits[int] = Limits({})
    looked_at = 0

    class Counting(type(limits)):  # type: ignore[misc]
        def _may_start(self, wanted: Any, arrival: int) -> bool:
            nonlocal looked_at
            looked_at += 1
            return bool(super()._may_start(wanted, arrival))

    counting = Counting({"cpu": 10})
    jobs = [{"cpu": 1, f"file {i % 500}": 1} for i in range(1000)]
    running = [job for i, job in enumerate(jobs) if counting.acquire(i, job)]
    ended = 0
    looked_at = 0
    while running:
        counting.release(running.pop(0))
        ended += 1
        running += [jobs[i] for i in counting.startable()]
    assert ended == 1000
    assert looked_at < 10 * 1000


NAMES = ["a", "b", "c"]
AVAILABLE = st.fixed_dictionaries({name: st.integers(1, 5) for name in NAMES})
WANTED = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5), max_size=3)


class Workload(RuleBasedStateMachine):
    """Jobs come and end in any order."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(a=1, b=3, c=5)
        self.waiting: list[str] = []
        self.count = 0

    @rule(target=jobs, wanted=WANTED)
    def submit(self, wanted: dict[str, int]) -> str:
        self.count += 1
        name = f"job {self.count}"
        wanted = {key: min(units, self.queue.available[key]) for key, units in wanted.items()}
        if not self.queue.submit(name, **wanted):
            self.waiting.append(name)
        return name

    @rule(job=consumes(jobs))
    def end(self, job: str) -> None:
        if job in self.queue.running:
            for started in self.queue.end(job):
                self.waiting.remove(started)

    @invariant()
    def nobody_holds_more_than_there_is(self) -> None:
        assert all(units <= self.queue.available[name] for name, units in self.queue.held.items())

    @invariant()
    def who_is_not_running_is_waiting(self) -> None:
        assert self.queue.limits.waiting == len(self.waiting)

    @invariant()
    def somebody_runs_while_somebody_waits(self) -> None:
        assert self.queue.running or not self.waiting

    @invariant()
    def who_came_first_lacks_something(self) -> None:
        if self.waiting:
            wanted, held = self.queue.wanted[self.waiting[0]], self.queue.held
            assert any(
                held[name] + units > self.queue.available[name] for name, units in wanted.items()
            )

    @invariant()
    def who_wants_what_nobody_before_wants_lacks_something(self) -> None:
        held, before = self.queue.held, set()
        for job in self.waiting:
            wanted = self.queue.wanted[job]
            assert before.intersection(wanted) or any(
                held[name] + units > self.queue.available[name] for name, units in wanted.items()
            )
            before.update(wanted)

    def teardown(self) -> None:
        self.queue.finish()
        assert self.queue.limits.waiting == 0
        assert sorted(self.queue.started) == sorted(self.queue.wanted)
        assert not +self.queue.held


test_any_jobs_in_any_order = Workload.TestCase
test_any_jobs_in_any_order.settings = settings(max_examples=settings.default.max_examples // 2)


@given(AVAILABLE, st.lists(WANTED, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_a_job_is_served_however_many_come_after_it(available, others, random):
    """The jobs that come after it never stop coming, and always end in the worst order."""
    queue = Queue(**available)
    others = [{k: min(v, available[k]) for k, v in wanted.items()} for wanted in others]
    for i, wanted in enumerate(others):
        queue.submit(f"before {i}", **wanted)
    patient = dict(available)
    queue.submit("patient", **patient)
    came = 0
    for _ in range(2000):
        if "patient" in queue.started:
            break
        if queue.running:
            queue.end(random.choice(queue.running))
        for wanted in others:
            came += 1
            queue.submit(f"after {came}", **wanted)
            if len(queue.running) > 50:
                break
    assert "patient" in queue.started
