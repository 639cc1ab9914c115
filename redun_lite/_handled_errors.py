"""Errors that a catch has handled, which later executions need not meet again.

An error is no result: it may have gone by the next run.  But a workflow that has handled one has
foreseen it, and should not run into it anew each time.  So where a catch has handled an error, it
is recorded which call raised it.  In a later execution all below that catch is evaluated as always,
step by step, and only where that very call would *run* is the error raised in its place.  An edited
task has another key, and runs; so does the same call elsewhere in the workflow.

A *place* is what a catch was given, by its key.  Keys are computed once an error has come up, or is
known to the repository, and each expression's once: nested catches share most of what they hold.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ._db import Repository
from ._digest import digest
from ._errors import ArgumentError, ExecutorError, HashError, RedunLiteError
from ._expr import Expression, Ref, dumps_expr, loads_expr, topological_order
from ._handle import JobHandles
from ._hash import key_of
from ._job import Evaluation, Job
from ._options import CacheResult, CacheScope
from ._value import map_nested


def _may_replay(job: Job) -> bool:
    """Say whether an error that a job raised in an earlier execution may be taken for it.

    Whoever asks for retries says that errors come and go.
    """
    options = job.options
    assert options is not None
    is_cached = options.cache_scope is CacheScope.BACKEND and options.allows(CacheResult.SINGLE)
    return is_cached and options.retries == 0


def _follows_from_key(job: Job, error: BaseException) -> bool:
    """Say whether an error of a job's function follows from the job's key."""
    assert job.task is not None
    if isinstance(error, (ExecutorError, ArgumentError)) or not isinstance(error, Exception):
        return False  # It says more of the time and the place, or of another task.
    # What was evaluated within is no part of the key; an async task may have awaited nothing.
    return not job.task.evaluates_within or (job.task.is_async and not job.scope)


class _Origin:
    """What is known of an error in this execution.

    Attributes
    ----------
    error
        The error, so that its id is no other's.
    key
        Key of the call whose function raised it; empty if that is not worth keeping.
    is_replayed
        Whether it came from the repository.
    replaced
        Errors whose handlers raised it, and where: they are handled when it is.
    """

    __slots__ = ("error", "is_replayed", "key", "replaced")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.key = b""
        self.is_replayed = False
        self.replaced: list[tuple[Place, BaseException]] = []


class HandledErrors:
    """What an execution knows of errors that were handled.

    Parameters
    ----------
    repository
        Where they are looked up and recorded.
    are_replayed
        Whether those of earlier executions are replayed.
    are_recorded
        Whether those of this one are recorded.
    """

    def __init__(self, repository: Repository, are_replayed: bool, are_recorded: bool) -> None:
        self.repository = repository
        self.are_replayed = are_replayed
        self.are_recorded = are_recorded
        self._origins: dict[int, _Origin] = {}  # By the id of the error.
        self._keys: dict[int, tuple[Expression[Any], bytes]] = {}  # By the id of the expression.
        # By evaluation: keys of the calls below whose errors were replayed.
        self._met: dict[Evaluation, set[bytes]] = {}
        self._are_any: bool | None = None

    def clear(self) -> None:
        """Let go of errors and expressions."""
        self._origins.clear()
        self._keys.clear()
        self._met.clear()

    # For catches

    def at(self, expr: Any, is_cached: bool = True) -> Place:
        """Return the place of a catch that was given an expression.

        Parameters
        ----------
        is_cached
            Whether its errors are to be kept.
        """
        return Place(self, expr, is_cached)

    def key_of_place(self, expr: Any) -> bytes | None:
        """Return the key of what a catch was given; None if it has none."""
        keys = self._keys

        def refer(leaf: Any) -> Any:
            return Ref(keys[id(leaf)][1]) if isinstance(leaf, Expression) else leaf

        try:
            for inner in topological_order(expr, keys):
                fields = [map_nested(refer, field) for field in inner._stored()]
                keys[id(inner)] = (inner, key_of((type(inner).__name__, fields)))
            return digest(b"@catch" + key_of(map_nested(refer, expr)))
        except (HashError, RecursionError):
            return None  # Evaluating it will say so better.

    def look_up(self, key: bytes) -> dict[bytes, BaseException]:
        """Return the errors that were handled at a place, by the call that raised them."""
        errors = {}
        for call_key, data in self.repository.look_up_handled(key):
            try:
                errors[call_key] = loads_expr(data)
            except Exception:
                continue  # Its class is gone: as good as not recorded.
        return errors

    def are_any(self) -> bool:
        """Say whether the repository knew of any when it was first asked."""
        if self._are_any is None:
            self._are_any = self.are_replayed and self.repository.has_handled()
        return self._are_any

    def record(self, place: Place, error: BaseException) -> None:
        """Record that an error was handled, and those in whose place it came."""
        waiting = [(place, error)]
        while waiting:
            place, error = waiting.pop()
            origin = self._origins.get(id(error))
            if origin is None:
                continue
            waiting += origin.replaced
            origin.replaced = []
            if not (origin.key and self.are_recorded and place.is_cached and place.key):
                continue
            try:
                self.repository.record_handled(place.key, origin.key, dumps_expr(error))
            except RedunLiteError:
                pass  # It cannot be stored, and is met again next time.

    def replace(self, place: Place, error: BaseException, other: BaseException) -> None:
        """Take note that the handler of an error failed: if that is handled, both are."""
        self._origin_of(other).replaced.append((place, error))

    # For the engine

    def note_raised(self, job: Job, error: BaseException) -> None:
        """Take note that the function of a job raised an error."""
        if job.key is None or not (_may_replay(job) and _follows_from_key(job, error)):
            return
        origin = self._origin_of(error)
        origin.key = origin.key or job.key

    def error_for(self, job: Job) -> BaseException | None:
        """Return the error to raise in place of a call that would run."""
        errors = job.context.errors
        key = job.key
        if errors is None or key is None or key not in errors or not _may_replay(job):
            return None
        error = errors[key]
        origin = self._origin_of(error)
        origin.key = key
        origin.is_replayed = True
        self._note_met(job, key)
        return error

    def is_replayed(self, error: BaseException) -> bool:
        """Say whether an error came from the repository."""
        origin = self._origins.get(id(error))
        return origin is not None and origin.is_replayed

    def may_follow(self, job: Job, leader: Evaluation) -> bool:
        """Say whether a job may come to what an equal one does.

        Not if that met an error of an earlier execution which this one is not to meet.
        """
        met = self._met.get(leader)
        if met is None:
            return True
        errors = job.context.errors
        return errors is not None and met <= errors.keys()

    def _origin_of(self, error: BaseException) -> _Origin:
        origin = self._origins.get(id(error))
        if origin is None:
            origin = self._origins[id(error)] = _Origin(error)
        return origin

    def _note_met(self, job: Job, key: bytes) -> None:
        """Take note that a job, and those above it up to the catch, have met a replayed error."""
        above: Job | None = job
        while above is not None and above.evaluation.job is above:
            met = self._met.setdefault(above.evaluation, set())
            if key in met:
                return
            met.add(key)
            above = above.parent


class Place:
    """Where a catch is, as far as later executions can tell.

    Attributes
    ----------
    is_cached
        Whether errors that are handled here are kept.
    """

    __slots__ = ("_expr", "_handled", "_key", "is_cached")

    def __init__(self, handled: HandledErrors, expr: Any, is_cached: bool) -> None:
        self._handled = handled
        self._expr = expr
        self._key: bytes | None = b""
        self.is_cached = is_cached

    @property
    def key(self) -> bytes | None:
        """Key of what the catch was given; None if it has none."""
        if self._key == b"":
            self._key = self._handled.key_of_place(self._expr)
        return self._key

    def inside(self, parent: Job | None, outside: Callable[[], Job]) -> Job | None:
        """Return the job in whose scope to evaluate what the catch was given.

        That is the job around, or, if errors were handled here before, a double of it: calls in
        its scope replay them.

        Parameters
        ----------
        parent
            The job around.
        outside
            Makes what stands for a job where there is none.
        """
        handled = self._handled
        if not (self.is_cached and handled.are_any() and self.key):
            return parent
        errors = handled.look_up(self.key)
        if not errors:
            return parent
        around = outside() if parent is None else parent
        if around.children is None:
            around.children = []
        if around.used is None:
            around.used = {}
        if around.handles is None:
            around.handles = JobHandles()
        double = copy.copy(around)
        double.scope = dict(around.scope or {})
        double.context = around.context.expecting(errors)
        return double

    def handled(self, error: BaseException) -> None:
        """Record that an error was handled here."""
        self._handled.record(self, error)

    def replaced(self, error: BaseException, other: BaseException) -> None:
        """Take note that the handler of an error raised another one."""
        self._handled.replace(self, error, other)
