"""Evaluating what is no task call: operators, nested values, scheduler tasks.

A job, or the run around all jobs, is a scope: an expression object is evaluated once in it, however
often it occurs.  `gather` lets an evaluation wait for the expressions in a value, each of which is
an evaluation of its own, and `substitute` puts in their place what they came to.  Task calls begin
here too, as evaluations that are put into the engine's queue; all that follows is the engine's.

A scheduler task is called with its arguments as they are.  It may return a promise, which its
evaluation follows; and what comes of that may hold expressions again.
"""

from __future__ import annotations

from typing import Any, Protocol

from ._errors import TaskError, add_note, without_our_frame
from ._expr import (
    OPERATORS,
    Expression,
    SchedulerExpression,
    SimpleExpression,
    TaskExpression,
    ValueExpression,
    expressions_in,
    format_expr,
)
from ._job import (
    Evaluation,
    Job,
    NestedEvaluation,
    OperatorEvaluation,
    Run,
    TaskEvaluation,
)
from ._promise import Promise
from ._task import TaskCode, get_task_registry
from ._value import fill_in

_CALLBACKS = Promise.then.__code__.co_filename  # The file that calls callbacks.
_MAX_SHOWN_EXPR = 200  # Characters of an expression in the note on an error.


class Evaluating(Run, Protocol):
    """The engine, as it is seen from here."""

    def note_use(self, job: Job | None, code: TaskCode) -> None:
        """Take note that what a job comes to depends on a task that is none of its children."""


class Evaluator:
    """Evaluates expressions for one run.

    Parameters
    ----------
    engine
        What goes on with evaluations once they have all they waited for.
    scheduler
        What scheduler tasks are given.

    Attributes
    ----------
    scope
        Evaluations outside any job, by the id of their expression.
    total
        How many task calls there have been.
    """

    def __init__(self, engine: Evaluating, scheduler: Any) -> None:
        self.ready = engine.ready
        self.scope: dict[int, Evaluation] = {}
        self.total = 0
        self._engine = engine
        self._scheduler = scheduler
        self._registry = get_task_registry()

    def evaluate(self, expr: Expression[Any], parent: Job | None) -> Promise[Any]:
        """Return the evaluation of an expression in the scope of a job.

        One expression is evaluated once in a scope.
        """
        if parent is None:
            scope = self.scope
        else:
            scope = parent.scope  # type: ignore[assignment]
            if scope is None:
                scope = parent.scope = {}
        identity = id(expr)
        node = scope.get(identity)
        if node is not None:
            return node
        if type(expr) is TaskExpression:
            self.total += 1
            node = call = TaskEvaluation(self._engine, expr, parent)
            if parent is not None:
                if parent.children is None:
                    parent.children = [call]
                else:
                    parent.children.append(call)
        else:
            node = OperatorEvaluation(self._engine, expr, parent)
        scope[identity] = node
        self.ready.append(node)
        return node

    def evaluate_nested(self, value: Any, parent: Job | None) -> Evaluation:
        """Return the evaluation of any value in the scope of a job, with what it holds."""
        node = NestedEvaluation(self._engine, value, parent)
        node.sources_in = self.gather(node, value, parent)
        if node.missing == 0:
            self.ready.append(node)
        return node

    def gather(self, node: Evaluation, value: Any, scope: Job | None) -> list[Any]:
        """Let a node wait for the expressions in a value; return their evaluations."""
        evaluations = [self.evaluate(expr, scope) for expr in expressions_in(value)]
        for evaluation in evaluations:
            if not evaluation._settled:
                node.missing += 1
                evaluation.add_waiter(node)
            elif evaluation._error is not None and node.failure is None:
                node.failure = evaluation._error
                self.ready.append(node)
        return evaluations

    def substitute(self, value: Any, scope: Job | None) -> Any:
        """Return a nested value with each expression replaced by what it came to."""
        evaluations = (self.scope if scope is None else scope.scope) or {}

        def value_of(leaf: Any) -> Any:
            return evaluations[id(leaf)]._value if isinstance(leaf, Expression) else leaf

        return fill_in(value_of, value)

    def advance(self, node: Evaluation) -> None:
        """Take the next step of an evaluation that is no task call."""
        if node.failure is not None:
            node.reject(node.failure)
        elif isinstance(node, NestedEvaluation):
            self._put_together(node)
        else:
            assert isinstance(node, OperatorEvaluation)
            self._operate(node)

    def _operate(self, node: OperatorEvaluation) -> None:
        """Evaluate an expression that is no task call."""
        expr: Any = node.expr
        if type(expr) is ValueExpression:
            node.fulfil(expr.value)
        elif type(expr) is SimpleExpression:
            if not node.gathered:
                node.gathered = True
                node.sources_in = self.gather(node, (expr.args, expr.kwargs), node.parent)
                if node.missing or node.failure is not None:
                    return
            try:
                args, kwargs = self.substitute((expr.args, expr.kwargs), node.parent)
                value = OPERATORS[expr.func_name](*args, **kwargs)
            except Exception as error:
                node.reject(_at_place(without_our_frame(error), node))
            else:
                self._settle_as(node, value)
        elif isinstance(expr, SchedulerExpression):
            self._run_scheduler_task(node, expr)
        else:
            node.reject(TaskError(f"cannot evaluate {expr!r}"))

    def _run_scheduler_task(self, node: OperatorEvaluation, expr: SchedulerExpression[Any]) -> None:
        """Call a scheduler task; it may return a promise, or an expression to evaluate."""
        try:
            task = self._registry.find(expr.task_name)
            self._engine.note_use(node.parent, task.code)
            outcome = task.func(self._scheduler, node.parent, expr, *expr.args, **expr.kwargs)
        except Exception as error:
            node.reject(_at_place(without_our_frame(error), node))
            return
        if isinstance(outcome, Promise):
            node.sources_in = [outcome]
            outcome.add_waiter(_Outcome(self, node))
        else:
            self._settle_as(node, outcome)

    def settle_as_promised(self, node: OperatorEvaluation, promise: Promise[Any]) -> None:
        """Settle the evaluation of a scheduler task as the promise that it returned."""
        error = promise._error
        if error is None:
            self._settle_as(node, promise._value)
            return
        frames = error.__traceback__
        if frames is not None and frames.tb_frame.f_code.co_filename == _CALLBACKS:
            # The task's own, raised in a callback; a job's error is only passed on.
            _at_place(without_our_frame(error), node)
        node.reject(error)

    def _settle_as(self, node: OperatorEvaluation, value: Any) -> None:
        """Settle an evaluation with a value, once the expressions in that are evaluated."""
        if expressions_in(value):
            nested = self.evaluate_nested(value, node.parent)
            node.sources_in = [*node.sources_in, nested]
            node._follow(nested)
        else:
            node.fulfil(value)

    def _put_together(self, node: NestedEvaluation) -> None:
        try:
            value = self.substitute(node.whole, node.parent)
        except Exception as error:
            node.reject(_at_place(without_our_frame(error), node))
        else:
            node.fulfil(value)


class _Outcome:
    """Waits for what a scheduler task has promised."""

    __slots__ = ("_evaluator", "_node", "_promise")

    def __init__(self, evaluator: Evaluator, node: OperatorEvaluation) -> None:
        self._evaluator = evaluator
        self._node = node
        self._promise: Promise[Any] | None = None

    def on_settled(self, promise: Promise[Any]) -> None:
        self._promise = promise
        self._evaluator.ready.append(self)

    def resume(self) -> None:
        assert self._promise is not None
        self._evaluator.settle_as_promised(self._node, self._promise)


def _at_place(error: BaseException, node: Evaluation) -> BaseException:
    """Return an error from evaluating what is no job, with a note that says where it was."""
    shown = format_expr(node.whole if isinstance(node, NestedEvaluation) else node.expr)
    if len(shown) > _MAX_SHOWN_EXPR:
        shown = shown[:_MAX_SHOWN_EXPR] + "…"
    parent = node.parent
    where = f", in {parent.task_name}" if parent is not None and parent.task is not None else ""
    add_note(error, f"while evaluating {shown}{where}")
    return error
