"""What the engine records of an execution: jobs, calls, values, tags, attempts.

The engine decides what comes of a job; here that becomes records, in the shape that the repository
wants them.  Nothing here waits, and nothing decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from ._db import Repository
from ._digest import digest, is_flat
from ._errors import HashError, RedunLiteError, ValueTooLarge
from ._expr import key_of_expr
from ._hash import key_of
from ._job import Job, NestedEvaluation, OperatorEvaluation, TaskEvaluation
from ._options import holds_expressions, parse_tags
from ._promise import Promise
from ._provenance import (
    UNCACHED_TAG,
    AttemptRecord,
    CachedCall,
    CallNode,
    CallRecord,
    JobRecord,
    TaskSet,
    ValueRecord,
)
from ._record import UNFINISHED, ErrorValue, ScriptResult, make_value_record
from ._schema import job_number
from ._task import Task, TaskCode
from ._timers import now

Tags = Collection[tuple[str, Any]]


class PartOf(NamedTuple):
    """What an execution is a part of, in the same repository."""

    execution_id: int
    """Row id of the whole, which is no part of any other."""
    uuid: str
    """UUID of the whole."""
    parent_job: int
    """Row id of the job that it belongs to."""
    job_id: str
    """How people call that job."""


class Recorder:
    """Records one execution.

    Parameters
    ----------
    repository
        Where.
    dryrun
        Whether to record nothing.
    execution_uuid
        UUID of the execution.
    part_of
        What the execution is a part of, if it is none of its own.

    Attributes
    ----------
    whole_uuid
        UUID of the execution that this one is a part of, else its own.
    """

    def __init__(
        self,
        repository: Repository,
        dryrun: bool,
        execution_uuid: str,
        part_of: PartOf | None,
    ) -> None:
        self.repository = repository
        self._dryrun = dryrun
        self._execution_uuid = execution_uuid
        self.whole_uuid = execution_uuid if part_of is None else part_of.uuid
        # What is tagged where no job is.
        self._outside = execution_uuid if part_of is None else part_of.job_id
        self._leaf_sets: dict[bytes, TaskSet] = {}
        self._used_sets: dict[bytes, TaskSet] = {}
        self._uncached: set[str] = set()

    def record_attempt(self, job: Job, error: BaseException | None) -> None:
        if not job.shown:
            job.shown = True
            self.record_job(job, None)  # An attempt at nothing would be no record.
        record = None
        if error is not None:
            record = self._error_record(ErrorValue.from_error(error))
        if not self._dryrun and job.options is not None and job.options.prov:
            self.repository.record_attempt(
                AttemptRecord(job.number, job.attempt, job.started, now(), record)
            )

    def record_job(self, job: Job, ended: int | None) -> None:
        if self._dryrun or job.task is None or not has_provenance(job):
            return
        parent = job.parent
        call = job.evaluation.call
        if call is None and job.early is not None:
            call = job.early.node
        self.repository.record_job(
            JobRecord(
                job.number,
                parent.number or None if parent is not None else None,
                job.task,
                call,
                job.status,
                job.begun or job.started,
                ended,
            )
        )
        if ended is not None and job.options is not None and job.options.tags:
            self._record_task_tags(job)

    def record_tags(
        self, job: Job | None, value: Any, tags: Tags, job_tags: Tags, execution_tags: Tags
    ) -> None:
        """Tag a value, a job, and the execution; without a job its tags are the execution's."""
        if self._dryrun or (job is not None and not has_provenance(job)):
            return
        record = self.repository.record_tag
        if tags:
            key = key_of_expr(value)
            self.repository.record_value(self._value_record(key, value))
            for name, content in tags:
                record(key.hex(), name, content)
        entity = self.job_id(job) if job is not None and job.number else self._outside
        for name, content in job_tags:
            record(entity, name, content)
        for name, content in execution_tags:
            record(self.whole_uuid, name, content)

    def _record_task_tags(self, job: Job) -> None:
        assert job.task is not None and job.options is not None
        for key, value in job.options.tags:
            self.repository.record_tag(self.job_id(job), key, value)
        own = job.task.base_options.get("tags")
        if own is not None and not holds_expressions({"tags": own}):
            for key, value in parse_tags(own, job.task_name):
                self.repository.record_tag(job.task.hash, key, value)

    def note_uncached(self, job: Job, whole_run: bool) -> None:
        """Tag the execution with the task of a job for which no result is looked for.

        Once for each task and option: which of the jobs it is follows from their options, which are
        not recorded.
        """
        assert job.options is not None
        if whole_run:
            note = "*: cache=False"
        elif not job.options.cache:
            note = f"{job.task_name}: cache=False"
        else:
            note = f"{job.task_name}: cache_scope={job.options.cache_scope.value}"
        if note not in self._uncached and not self._dryrun and has_provenance(job):
            self._uncached.add(note)
            self.repository.record_tag(self.whole_uuid, UNCACHED_TAG, note)

    def job_id(self, job: Job) -> str:
        """Return how people call a job."""
        return f"{self._execution_uuid[:8]}-{job_number(job.number)}"

    def make_call(self, job: Job, value: Any) -> CallNode:
        """Return the call node of a job that came out well, and record it if it is new."""
        task = job.task
        key = job.key
        cached = job.cached
        assert task is not None and key is not None and job.keys is not None
        children = job.children
        if children is None and job.scope is None and job.used is None:
            task_set = self._leaf_set(task)
            if cached is not None:
                return self.recorded_node(job, cached, task_set)
            single = result = self._result_record(job, value)
            if job.early is not None:
                self._take_early(job)
            outcome = int.from_bytes(result.key[:8], "little", signed=True)
            calls: list[CallNode] = []
        else:
            calls = _calls_of(children)
            task_set = self._task_set(job, calls)
            result_key = self._result_key(job, value)
            # What a script wrote tells two runs apart as well.
            told = job.single if type(job.single) is ScriptResult else None
            told_key = result_key if told is None else self._result_key(job, told)
            outcome = _outcome(told_key, calls, task_set)
            if cached is not None:
                if cached.outcome == outcome:
                    return self.recorded_node(job, cached, task_set)
                single = ValueRecord(cached.digest, "", None, id=cached.single_id)
            else:
                single = self._take_early(job) or self._result_record(job, job.single)
            try:
                result = self._checked_record(result_key, value)
            except ValueTooLarge as error:
                raise error.within(f"result of {job.task_name}") from None
        node = CallNode(key, outcome, task_set)
        if not has_provenance(job):
            self._note_unrecorded(task)
            return node
        if self._dryrun:
            return node
        call = CallRecord(
            node,
            task,
            single,
            result,
            job.names,
            job.records or self.argument_records(job),
            self._upstream_calls(job),
            calls,
            job.started,
        )
        self.repository.record_call(call)
        return node

    def recorded_node(self, job: Job, cached: CachedCall, task_set: TaskSet) -> CallNode:
        assert job.key is not None
        return CallNode(job.key, cached.outcome, task_set, cached.id)

    def record_failed_call(self, job: Job, error: BaseException, has_returned: bool) -> None:
        """Record the call of a job that failed, with what its function returned if it did."""
        assert job.task is not None and job.key is not None
        record = self._error_record(ErrorValue.from_error(error))
        calls = _calls_of(job.children)
        task_set = self._task_set(job, calls)
        outcome = _outcome(digest(b"@error" + record.key), calls, task_set)
        single = self._take_early(job)
        if has_returned and single is None:
            single = self._single_record(job)
        node = CallNode(job.key, outcome, task_set)
        job.evaluation.call = node
        if not has_provenance(job):
            self._note_unrecorded(job.task)
        elif not self._dryrun:
            try:
                arguments: Sequence[ValueRecord] = job.records or self.argument_records(job)
            except HashError:
                arguments = ()  # The job has an error already, which says more.
            self.repository.record_call(
                CallRecord(
                    node,
                    job.task,
                    single,
                    record,
                    job.names,
                    arguments,
                    self._upstream_calls(job),
                    calls,
                    job.started,
                )
            )

    def _single_record(self, job: Job) -> ValueRecord | None:
        """Return the record of what a function returned, if that can be replayed."""
        cached = job.cached
        if cached is not None:
            return ValueRecord(cached.digest, "", None, id=cached.single_id)
        if job.task is None or job.task.evaluates_within:
            return None
        try:
            return self._result_record(job, job.single)
        except RedunLiteError:
            return None  # That may be why the job fails.

    def note_failed_call(self, job: Job) -> None:
        """Let the jobs above know the tasks of one that failed before it had a key.

        What they come to, if they handle the error, depends on those tasks all the same.
        """
        assert job.task is not None
        self._note_unrecorded(job.task)
        task_set = self._task_set(job, _calls_of(job.children))
        job.evaluation.call = CallNode(job.key or b"", 0, task_set)

    def record_unfinished_call(self, job: Job, has_returned: bool) -> None:
        """Record the call of a job that has not ended, with what its function returned if it did.

        If this process dies, one can see what it was about, and a function that has returned need
        not run again.
        """
        if job.records is None or not has_provenance(job):
            return
        assert job.task is not None and job.key is not None
        single = self._single_record(job) if has_returned else None
        if job.early is not None and single is None:
            return  # It is recorded, as far as it can be.
        self._take_early(job)
        task_set = self._leaf_set(job.task)
        # Of this job alone, since it is forgotten when this job ends.
        name = f"@unfinished {self._execution_uuid} {job.number} {single is not None}"
        node = CallNode(job.key, _outcome(digest(name.encode()), [], task_set), task_set)
        job.early = CallRecord(
            node,
            job.task,
            single,
            self._error_record(UNFINISHED),
            job.names,
            job.records,
            self._upstream_calls(job),
            (),
            job.started,
        )
        self.repository.record_call(job.early)

    def _take_early(self, job: Job) -> ValueRecord | None:
        """Forget the record of a job's call that another takes the place of.

        Return what it had of what the function returned.
        """
        if job.early is None:
            return None
        if not self._dryrun:
            self.repository.forget_call(job.early.node)
        return job.early.single

    def _error_record(self, value: ErrorValue) -> ValueRecord:
        return self._value_record(key_of(value), value)

    def argument_records(self, job: Job) -> list[ValueRecord]:
        name = ""
        records = []
        try:
            for name, key, value in zip(job.names, job.keys or (), job.values):  # noqa: B007
                records.append(self._checked_record(key, value))
        except HashError as error:
            raise error.within(f"argument {name!r} of {job.task_name}") from None
        return records

    def _result_key(self, job: Job, value: Any) -> bytes:
        try:
            return key_of_expr(value)
        except HashError as error:
            raise error.within(f"result of {job.task_name}") from None

    def _result_record(self, job: Job, value: Any) -> ValueRecord:
        key = key_of(value) if is_flat(value) else self._result_key(job, value)
        try:
            return self._checked_record(key, value)
        except HashError as error:
            raise error.within(f"result of {job.task_name}") from None

    def _checked_record(self, key: bytes, value: Any) -> ValueRecord:
        """Return the record of an argument or a result, if it may be so large."""
        record = self._value_record(key, value)
        data = record.data  # None once it is written: then it was not too large.
        if data is not None and len(data) > self.repository.max_value_size:
            self.repository.known_values.pop(key, None)
            raise ValueTooLarge(
                f"{type(value).__name__} of {len(data):,} bytes is more than [backend] "
                f"max_value_size = {self.repository.max_value_size} lets be recorded; return a "
                "File that holds it, or raise the limit (value_store_path keeps large values out "
                "of the database)"
            )
        return record

    def _value_record(self, key: bytes, value: Any) -> ValueRecord:
        repository = self.repository
        record = repository.known_values.get(key)
        if record is None:
            record = make_value_record(key, value)
            repository.remember(record)
        return record

    def _upstream_calls(self, job: Job) -> list[list[CallNode]]:
        if job.upstreams is None:
            return []
        return [_source_calls(evaluations) for evaluations in job.upstreams]

    def _note_unrecorded(self, task: Task[Any, Any]) -> None:
        """Record the task of a job that is not: the sets of tasks of those above refer to it."""
        if task.key not in self._used_sets:
            self._used_set(task.code)

    def _used_set(self, code: TaskCode) -> TaskSet:
        """Return the set of one task that has no job of its own."""
        task_set = self._used_sets.get(code.key)
        if task_set is None:
            task_set = self.repository.task_set(frozenset((code.key,)))
            self._used_sets[code.key] = task_set
            if not self._dryrun:
                self.repository.record_task(code)
        return task_set

    def _leaf_set(self, task: Task[Any, Any]) -> TaskSet:
        task_set = self._leaf_sets.get(task.key)
        if task_set is None:
            task_set = self.repository.task_set(frozenset((task.key,)))
            self._leaf_sets[task.key] = task_set
        return task_set

    def _task_set(self, job: Job, calls: Iterable[CallNode]) -> TaskSet:
        assert job.task is not None
        below = {call.task_set for call in calls}
        if job.used is not None:
            below.update(map(self._used_set, job.used.values()))
        own = self._leaf_set(job.task)
        below.add(own)
        if len(below) == 1:
            return own
        return self.repository.task_set(frozenset().union(*(part.tasks for part in below)))


def _outcome(result_key: bytes, calls: list[CallNode], task_set: TaskSet) -> int:
    """Return the 64 bits that tell apart equal calls which came out differently.

    The set of tasks is part of it, since it may hold some that have no calls: scheduler tasks.
    """
    below = {call.key + call.outcome.to_bytes(8, "little", signed=True) for call in calls}
    whole = digest(result_key + b"".join(sorted(below)) + task_set.digest)
    return int.from_bytes(whole[:8], "little", signed=True)


def _calls_of(evaluations: list[TaskEvaluation] | None) -> list[CallNode]:
    """Return the calls of those evaluations that have ended."""
    return [node.call for node in evaluations or () if node.call is not None]


def _source_calls(evaluations: Iterable[Promise[Any]]) -> list[CallNode]:
    """Return the calls whose results some evaluations are made of, each once."""
    calls = []
    seen: set[int] = set()
    stack = list(evaluations)[::-1]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, TaskEvaluation):
            if node.call is not None:
                calls.append(node.call)
        elif isinstance(node, (OperatorEvaluation, NestedEvaluation)):
            stack.extend(reversed(node.sources_in))
        else:
            stack.extend(node.sources())
    return calls


def has_provenance(job: Job) -> bool:
    """Say whether a job is recorded; one that fails before it has options, as the one above."""
    if job.options is not None:
        return job.options.prov
    return job.parent is None or has_provenance(job.parent)
