"""When nothing can go on: which evaluations wait for each other, and how to say so.

The engine pays nothing for this while anything goes on.  Once nothing does, one walk from the
result along what waits for what ends in a circle, or where something is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._errors import CyclicDependency, RedunLiteError, TaskError
from ._expr import expressions_in
from ._job import Evaluation, Job, NestedEvaluation, OperatorEvaluation, Stage, TaskEvaluation
from ._options import CONTEXT_OPTION
from ._promise import Promise

_MAX_SHOWN = 8  # Tasks that an error names of those which wait for each other.

Scope = dict[int, Evaluation]


def find_deadlock(
    root: Promise[Any], scope: Scope, awaiting: Iterable[Job], is_waiting: bool
) -> RedunLiteError | None:
    """Return the error that names what can never settle; None if something still may.

    Parameters
    ----------
    root
        What the run is about.
    scope
        Evaluations outside any job.
    awaiting
        Async jobs that wait for values.
    is_waiting
        Whether there are some.  They may wait for something else, too: without a circle, and
        without resources that they keep from what they wait for, there is no error.

    Returns
    -------
    RedunLiteError | None
        A `CyclicDependency` if jobs wait for each other; else something waits for what nobody will
        settle.
    """
    steps: dict[Any, int] = {}
    node: Any = root
    while node is not None and node not in steps:
        steps[node] = len(steps)
        node = _awaited_by(node, scope)
    path = list(steps)
    circle = path[steps[node] :] if node is not None else []
    circular = [part.expr.task_name for part in circle if isinstance(part, TaskEvaluation)]
    if not circular and is_waiting:
        return _held_limit(path[-1], awaiting)
    if not circular:
        return TaskError(
            f"nothing is left that could settle {path[-1].expr!r}: a scheduler task has to "
            "return a value, an expression, or a promise that scheduler.evaluate gave"
        )
    while len(circular) > 1 and circular[-1] == circular[0]:
        circular.pop()
    longer = ["…"] if len(circular) > _MAX_SHOWN else []
    shown = " → ".join([*circular[:_MAX_SHOWN], *longer, circular[0]])
    return CyclicDependency(
        f"the result of {circular[0]} depends on itself: {shown}; "
        "change an argument from one call to the next, or end the recursion"
    )


def _held_limit(node: Any, awaiting: Iterable[Job]) -> RedunLiteError | None:
    """Return the error of a job that waits for resources which jobs that await values hold."""
    job = node.job if isinstance(node, TaskEvaluation) else None
    if job is None or job.options is None or job.stage == Stage.RUN or not job.options.limits:
        return None
    limits = job.options.limits
    holders = [
        other.task_name
        for other in awaiting
        if other.options is not None and limits.keys() & other.options.limits.keys()
    ]
    if not holders:
        return None
    wanted = ", ".join(f"limit {name!r}" for name in limits)
    names = ", ".join(dict.fromkeys(holders))
    return CyclicDependency(
        f"{job.task_name} waits for {wanted}, held by {names}, which awaits a "
        "result that depends on it; take the limit off the task that awaits"
    )


def _awaited_by(node: Any, scope: Scope) -> Evaluation | None:
    """Return an evaluation that another one waits for."""
    if not isinstance(node, TaskEvaluation):
        assert isinstance(node, (OperatorEvaluation, NestedEvaluation))
        return _pending_among(node.sources_in)
    job = node.job
    if job is None:
        return None
    if job.leader is not None:
        return job.leader
    inside = job.scope or {}
    if job.stage == Stage.RUN:
        return next((one for one in inside.values() if not one.is_settled), None)
    if job.stage == Stage.REDUCE:
        return _pending_in(job.single, inside)
    around = scope if node.parent is None else node.parent.scope or {}
    given = (job.values, job.unsettled_options, node.expr._options.get(CONTEXT_OPTION))
    return _pending_in(given, around) or _pending_in(given, inside)


def _pending_in(value: Any, scope: Scope) -> Evaluation | None:
    """Return an evaluation in a scope that a value waits for."""
    for expr in expressions_in(value):
        evaluation = scope.get(id(expr))
        if evaluation is not None and not evaluation.is_settled:
            return evaluation
    return None


def _pending_among(promises: Iterable[Promise[Any]]) -> Evaluation | None:
    """Return an evaluation that is not settled among those that some promises are made of."""
    seen: set[int] = set()
    stack = list(promises)[::-1]
    while stack:
        promise = stack.pop()
        if promise.is_settled or id(promise) in seen:
            continue
        if isinstance(promise, Evaluation):
            return promise
        seen.add(id(promise))
        stack.extend(promise.sources())
    return None
