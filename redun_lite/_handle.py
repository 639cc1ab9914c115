"""Handles: values that stand for something outside which tasks change, such as a database.

A database cannot be hashed, so what is hashed is what was done to it.  A handle has a *state*,
which is no content but a name: the digest of the constructor's arguments to begin with, then of
the state before and the step that led on from it.  There are three steps:

* *fork*: a handle that is given to a task goes in under a state of its own, made of the state that
  it had and the number of the call among those that get the same one.  So two calls that are given
  one handle are two branches, and neither undoes the other.
* *call*: a handle that a task returns comes out under a state made of the one that it had inside
  and the key of the call.
* *merge*: `merge_handles` gives the state that several branches lead to together, made of a fork
  of each of them.

A call with a handle is therefore keyed by all the calls before it, and by nothing that is in the
database.

Whether a state is still that of the thing outside is recorded in the repository, as a flag of the
states that calls gave (`_handle_states`).  A function that is about to *run* with a handle
invalidates all that was ever derived from the state it gets; when it has come out well, the state
that it returns is valid, and what was derived from that one before is not.  A result with an
invalid state is not replayed.  So an edited task, and then the old one again, both run, as do
those after them, while branches beside them are left alone.  Replaying changes nothing.

What follows from this, and what was decided where it left a choice:

* The flags are committed before the function starts.  A function that fails, or is killed, may
  have done half of its work: what it invalidated stays invalid, its own input stays valid, and the
  next run starts it again from there.  A task must therefore be able to begin anew on what an
  earlier attempt, or an earlier version of it, left behind.
* A task that is given a handle is taken to use it.  Editing one that only passes it on runs the
  calls below it again.  A task that only connects others makes the handle itself.
* What this execution has made or replayed is not invalidated by it: two calls may get equal states
  without being forked from each other (two tasks make the same handle), and in one execution they
  stand side by side.  In a later execution either of them, when it runs, invalidates the other,
  unless that was replayed before.  Things that change apart should have handles of two names.
* The number of a call is its place in the value that the parent task returned, not the order in
  which arguments become known, which may differ from one run to the next.  Equal calls, of which
  only one runs, have one number.
* Two merges that share a branch are alternatives: a function that runs after one of them
  invalidates what earlier executions did after the other.  So the number of branches can be
  changed, and changed back.
* A call that is run although it need not be (`cache=False`) gives the state that it gave before;
  what follows it runs again.
* A handle that a task makes and returns is derived from its first state, which no task was given.
  What was derived from that state by others is then invalidated when the task has come out well.
* Of several processes that change one thing at a time, the last to come out well has it: what
  the others made is invalid.  They do not wait for each other; that is what `limits` are for.
* A state of a call that the repository does not know (it was recorded elsewhere) is not valid:
  nobody knows what was done here since.

The object itself is lazy.  `__init__` runs when an attribute is first asked for, in the thread and
process that asks: a connection is opened where it is used, and not by whoever only passes the
handle on, replays a result, or shows the history.  Only a handle that somebody makes by calling
its class is initialized at once, as any object is.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol, TypeVar

from ._digest import ATOMS, digest, is_flat
from ._errors import HashError, UsageError
from ._expr import (
    Expression,
    SimpleExpression,
    TaskExpression,
    ValueExpression,
    expressions_in,
    topological_order,
)
from ._hash import key_of
from ._task import get_current_namespace, scheduler_task
from ._value import Value, dumps, iter_nested

if TYPE_CHECKING:
    from ._promise import Promise

H = TypeVar("H", bound="Handle")

Steps = tuple[tuple[str, str, tuple[str, ...]], ...]
"""Kinds of steps, the states that they led to, and those from which."""

NEW, FORK, CALL, MERGE = "new", "fork", "call", "merge"

_SHOWN_DIGITS = 8


class HandleInfo:
    """What identifies a handle; its attribute `__handle__`.

    Attributes
    ----------
    name, namespace
        The name given to the constructor, and the namespace of its class or the `namespace` given.
    fullname
        Both together: handles of one full name stand for one thing.
    class_name
        Name under which the class is recorded.
    args, kwargs
        What `__init__` is called with.
    hash
        The state: 40 hex digits.
    call_hash, key
        What the last step was: for a fork the state before and the key, for a call its key and "",
        else twice "".
    steps
        The steps to this state from those that the engine has recorded.
    """

    __slots__ = (
        "args",
        "call_hash",
        "class_name",
        "hash",
        "is_opening",
        "key",
        "kwargs",
        "lock",
        "name",
        "namespace",
        "steps",
    )

    def __init__(
        self,
        class_name: str,
        name: str,
        namespace: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        hash: str,
        call_hash: str = "",
        key: str = "",
        steps: Steps = (),
    ) -> None:
        self.class_name = class_name
        self.name = name
        self.namespace = namespace
        self.args = args
        self.kwargs = kwargs
        self.hash = hash
        self.call_hash = call_hash
        self.key = key
        self.steps = steps
        self.lock: Any = None  # Held while `__init__` runs later; None once it has.
        self.is_opening = False

    @property
    def fullname(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    def recorded(self) -> list[str]:
        """Return the states known to the repository that this state is, or was derived from."""
        if not self.steps:
            return [self.hash]
        known = {state for _, state, _ in self.steps}
        before = (parent for _, _, parents in self.steps for parent in parents)
        return [state for state in dict.fromkeys(before) if state not in known]


class Handle(Value):
    """A value that stands for something outside which tasks change: a database, a service.

    Subclass it, and give it an `__init__` that sets `instance`, to which all other attributes are
    passed on.  Only the arguments of the constructor are recorded, and with them `__init__` is run
    again wherever the handle is used.  Its first argument is the name: handles of one name, in one
    namespace, stand for one thing.

    A task that changes what the handle stands for returns the handle.  The handle that comes out
    is another one than that which went in, so who uses it waits for the change, and runs again if
    that does; see the top of this file.

    Examples
    --------
    >>> import sqlite3
    >>> class Database(Handle):
    ...     def __init__(self, name, path):
    ...         self.instance = sqlite3.connect(path)
    >>> db = Database("numbers", ":memory:")
    >>> db.execute("SELECT 1 + 1").fetchone()
    (2,)
    >>> db.__handle__.fullname
    'numbers'
    >>> db.close()

    A task that changes the database is given the handle and returns it::

        @task
        def load(db: Database, rows: list[tuple]) -> Database:
            with db.instance:  # A transaction.
                db.executemany("INSERT INTO reading VALUES (?, ?)", rows)
            return db
    """

    type_name = "redun_lite.Handle"

    __handle__: HandleInfo

    def __new__(cls: type[H], *args: Any, **kwargs: Any) -> H:
        handle: H = object.__new__(cls)
        object.__setattr__(handle, "__handle__", _first_state(cls, args, kwargs))
        return handle

    def __init__(
        self, name: str | None = None, *args: Any, namespace: str | None = None, **kwargs: Any
    ) -> None:
        pass

    # Passing on. The methods of this class are found without `__init__`; for all else it runs.

    def __getattribute__(self, name: str) -> Any:
        if name in _OWN or name.startswith("__"):
            return object.__getattribute__(self, name)
        if self.__handle__.lock is not None:
            _initialize(self)
        try:
            return object.__getattribute__(self, name)
        except AttributeError:
            if "instance" not in self.__dict__ or name == "instance":
                raise
        return getattr(self.__dict__["instance"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__handle__.lock is not None:
            _initialize(self)
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        info = self.__handle__
        shown = info.hash[:_SHOWN_DIGITS]
        return f"{type(self).__name__}(fullname={info.fullname}, hash={shown})"

    # As a value

    def get_hash(self, data: bytes | None = None) -> str:
        return self.__handle__.hash

    def is_valid(self) -> bool:
        """Say whether the state is still that of what the handle stands for.

        Raises
        ------
        NoCurrentScheduler
            No scheduler runs in this thread, whose repository could be asked.
        """
        states = self.__handle__.recorded()
        return not states or _find_states().are_states_valid(states)

    def __reduce__(self) -> tuple[Any, ...]:
        info = self.__handle__
        state = {
            "fullname": info.fullname,
            **{name: getattr(info, name) for name in _RECORDED},
        }
        return (restore_handle, (type(self), state))

    # Steps

    def fork(self: H, key: str) -> H:
        """Return a handle for one of several branches.

        Two forks of a handle can be changed in parallel, and a change of one does not make the
        other start again.

        Parameters
        ----------
        key
            What tells the branch apart from the others of this handle.
        """
        if not isinstance(key, str):
            raise UsageError(f"{self!r}.fork: a key is a str, not {key!r}")
        before = self.__handle__.hash
        state = _state(FORK, before, key)
        return _derived(FORK, state, [self], call_hash=before, key=key)

    def apply_call(self: H, call_hash: str) -> H:
        """Return the handle as a call leaves it behind.

        Parameters
        ----------
        call_hash
            Hex digits that identify the call.
        """
        state = _state(CALL, self.__handle__.hash, call_hash)
        return _derived(CALL, state, [self], call_hash=call_hash)

    def preprocess(self: H, preprocess_args: dict[str, Any]) -> H:
        """Return the fork of the handle that a job gets."""
        job = preprocess_args["job"]
        taken = self.fork(f"call {_number_of_call(job, self)}")
        _notes_of(job).taken.append(_Passage(taken))
        taken.__handle__.steps = ()
        return taken

    def postprocess(self: H, postprocess_args: dict[str, Any]) -> H:
        """Return the handle in the state that a job leaves behind; of a replayed one, itself."""
        job = postprocess_args["job"]
        notes = _notes_of(job)
        if job.cached is not None:
            notes.replayed.append(self.__handle__.hash)
            return self
        given = self.apply_call(job.key.hex())
        notes.given.append(_Passage(given))
        given.__handle__.steps = ()
        return given


_RECORDED = ("name", "namespace", "args", "kwargs", "hash", "call_hash", "key", "steps")
_OWN = frozenset(dir(Handle))


def _initialize(handle: Handle) -> None:
    """Run the constructor of a handle that nobody has used yet."""
    info = handle.__handle__
    lock = info.lock
    if lock is None:
        return
    with lock:
        # Several threads may get here at once; and attributes are asked for while `__init__` runs.
        if info.lock is None or info.is_opening:
            return
        info.is_opening = True
        try:
            type(handle).__init__(handle, *info.args, **info.kwargs)
            info.lock = None
        finally:
            info.is_opening = False


def _first_state(cls: type[Handle], args: tuple[Any, ...], kwargs: dict[str, Any]) -> HandleInfo:
    """Return what identifies a handle that is made by calling its class."""
    bound = _bind(cls, args, kwargs)
    given = _by_name(bound)
    bound.apply_defaults()
    everything = _by_name(bound)
    name = everything.get("name", args[0] if args else None)
    if not isinstance(name, str) or not name:
        raise UsageError(f"{cls.__name__}: a handle's first argument is its name, not {name!r}")
    namespace = everything.get("namespace")
    if namespace is None:
        module = sys.modules.get(cls.__module__)
        namespace = str(getattr(module, "redun_namespace", get_current_namespace()))
    identity = [(key, value) for key, value in given.items() if key not in ("name", "namespace")]
    for key, value in identity:
        _check_argument(cls, key, value)
    info = HandleInfo(cls.type_name, name, namespace, args, kwargs, "")
    info.hash = digest(b"@handle" + key_of((info.class_name, info.fullname, identity))).hex()
    info.steps = ((NEW, info.hash, ()),)
    return info


def _bind(
    cls: type[Handle], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> inspect.BoundArguments:
    """Return the arguments of a constructor, without `self`."""
    signature = inspect.signature(cls.__init__)
    parameters = list(signature.parameters.values())
    if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        signature = signature.replace(parameters=parameters[1:])
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(f"{cls.__name__}{signature}: {error}") from None


def _by_name(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return arguments by name, in an order that does not depend on how they were given."""
    arguments = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(sorted(arguments.pop(parameter.name, {}).items()))
    return arguments


def _check_argument(cls: type[Handle], name: str, value: Any) -> None:
    if expressions_in(value):
        raise UsageError(
            f"{cls.__name__}: argument {name!r} is lazy; make the handle in a task that is given "
            "its value"
        )
    try:
        dumps(value)
        key_of(value)
    except HashError as error:
        raise error.within(f"argument {name!r} of {cls.__name__}") from None


def restore_handle(cls: type[H], state: dict[str, Any]) -> H:
    """Return a handle as it was recorded.

    Raises
    ------
    UsageError
        The constructor does not take the arguments that were recorded.
    """
    _bind(cls, state["args"], state["kwargs"])
    recorded = {name: state[name] for name in _RECORDED}
    return _uninitialized(cls, HandleInfo(cls.type_name, **recorded))


def _derived(kind: str, state: str, parents: Sequence[H], call_hash: str = "", key: str = "") -> H:
    """Return a handle for the same thing in another state."""
    info = parents[0].__handle__
    steps = dict.fromkeys(chain.from_iterable(parent.__handle__.steps for parent in parents))
    steps[kind, state, tuple(parent.__handle__.hash for parent in parents)] = None
    derived = HandleInfo(
        info.class_name,
        info.name,
        info.namespace,
        info.args,
        info.kwargs,
        state,
        call_hash,
        key,
        tuple(steps),
    )
    return _uninitialized(type(parents[0]), derived)


def _uninitialized(cls: type[H], info: HandleInfo) -> H:
    handle: H = object.__new__(cls)
    info.lock = threading.RLock()
    object.__setattr__(handle, "__handle__", info)
    return handle


def _state(kind: str, before: str, key: str) -> str:
    return digest(f"@{kind}".encode() + bytes.fromhex(before) + key.encode()).hex()


# Merging


def merge(handles: Any) -> Handle:
    """Return the handle that stands for what several branches of one thing lead to together."""
    if not isinstance(handles, (list, tuple)) or not handles:
        raise UsageError(f"merge_handles: expected a list of handles, not {handles!r}")
    for handle in handles:
        if not isinstance(handle, Handle):
            raise UsageError(f"merge_handles: expected handles, not {handle!r}")
        if _identity(handle) != _identity(handles[0]):
            raise UsageError(
                f"merge_handles: {handles[0]!r} and {handle!r} stand for two things; merge handles "
                "of one name, and give a task that needs both of them two arguments"
            )
    # A fork of each, so that what else is done in the state of a branch goes on beside this.
    forks: list[Handle] = [handle.fork(MERGE) for handle in handles]
    branches = {fork.__handle__.hash: fork for fork in forks}
    states = sorted(branches)
    state = digest(b"@merge" + b"".join(map(bytes.fromhex, states))).hex()
    return _derived(MERGE, state, [branches[state] for state in states])


def _identity(handle: Handle) -> tuple[str, str]:
    return (handle.__handle__.class_name, handle.__handle__.fullname)


@scheduler_task(namespace="redun_lite", version="1")
def merge_handles(
    scheduler: Any, parent_job: Any, sexpr: Any, handles_expr: Sequence[H]
) -> Promise[H]:
    """Return a handle that stands for what several branches of one handle lead to together.

    Who is given it waits for all of them, and runs again if any of them does.

    Parameters
    ----------
    handles_expr
        A list of handles of one class and name, most often lazy ones.

    Examples
    --------
    >>> from redun_lite import Handle, run
    >>> class Log(Handle):
    ...     def __init__(self, name):
    ...         self.instance = []
    >>> log = Log("log")
    >>> run(merge_handles([log.fork("a"), log.fork("b")]))
    Log(fullname=log, hash=...)
    """
    promise: Promise[H] = scheduler.evaluate(handles_expr, parent_job).then(merge)
    return promise


# What the engine keeps of handles, and records


class HandleChange(NamedTuple):
    """What is recorded of a job that runs with handles, when it starts and when it has ended.

    Attributes
    ----------
    execution
        Row id of the execution.
    steps
        Kinds of steps, the states that they led to, the full names of the handles, and the states
        from which.
    confirmed
        States that the execution has replayed.
    origins
        States from which only what this execution has made or replayed is still valid.  Those that
        were merged into one of them are left behind with it.
    made
        States of calls that are valid from here on.
    """

    execution: int
    steps: list[tuple[str, str, str, tuple[str, ...]]]
    confirmed: list[str]
    origins: list[str]
    made: list[str]


class StateRecorder(Protocol):
    """The repository, as far as handles go."""

    def record_handles(self, change: HandleChange, at_once: bool) -> None:
        """Record a change; `at_once` if it has to be there before anything else happens."""

    def are_states_valid(self, states: Sequence[str]) -> bool:
        """Say whether all states are known, and what the calls that led to them did stands."""
        ...


class _Passage:
    """What is recorded of a handle that enters or leaves a job: its state, and how that came about.

    It is not kept in the handle.  After a merge it may be long, and the handle be passed on to as
    many jobs.
    """

    __slots__ = ("fullname", "state", "steps")

    def __init__(self, handle: Handle) -> None:
        info = handle.__handle__
        self.fullname = info.fullname
        self.state = info.hash
        self.steps = info.steps


class JobHandles:
    """What is kept of the handles of one job.

    Attributes
    ----------
    taken
        The handles that its function gets.
    given
        Those in its result, as they leave the job.
    replayed
        The states of those in its result, if that is replayed.
    sources
        By the state of a handle among its arguments: where that came from.
    numbers
        The numbers of the calls in the job that get handles.
    """

    __slots__ = ("given", "numbers", "replayed", "sources", "taken")

    def __init__(self) -> None:
        self.taken: list[_Passage] = []
        self.given: list[_Passage] = []
        self.replayed: list[str] = []
        self.sources: dict[str, Any] | None = None
        self.numbers: _CallNumbers | None = None


class RunHandles(JobHandles):
    """What is kept of the handles of a run, which is also the parent of its first jobs.

    Parameters
    ----------
    execution
        Row id of the execution.
    """

    __slots__ = ("_execution",)

    def __init__(self, execution: int) -> None:
        super().__init__()
        self._execution = execution

    def job_starts(self, job: Any, recorder: StateRecorder) -> None:
        """Invalidate what was derived from the handles of a job whose function is to run."""
        if job.handles.taken:
            recorder.record_handles(self._change(job.handles.taken, []), at_once=True)

    def job_returned(self, job: Any, recorder: StateRecorder) -> None:
        """Record the states of the handles that a job has returned."""
        self.replayed += job.handles.replayed
        given, job.handles.given = job.handles.given, []
        if given:
            made = [passage.state for passage in given]
            recorder.record_handles(self._change(given, made), at_once=False)

    def replayed_whole(self, value: Any) -> None:
        """Take note of the handles in the final result of a job, which was replayed as it is."""
        self.replayed += [
            leaf.__handle__.hash for leaf in iter_nested(value) if isinstance(leaf, Handle)
        ]

    def _change(self, passages: list[_Passage], made: list[str]) -> HandleChange:
        steps = []
        origins = []
        for passage in passages:
            origins.append(passage.state)
            for kind, state, parents in passage.steps:
                steps.append((kind, state, passage.fullname, parents))
                # What was done before in the state that a call was made in, or after another
                # merge of the same branches.
                if kind == MERGE or state in made:
                    origins += parents
        confirmed, self.replayed = self.replayed, []
        return HandleChange(self._execution, steps, confirmed, origins, made)


def _notes_of(owner: Any) -> JobHandles:
    """Return what is kept of the handles of a job or run."""
    if owner.handles is None:
        owner.handles = JobHandles()
    notes: JobHandles = owner.handles
    return notes


def _no_states() -> StateRecorder:
    raise UsageError("nothing here can say which states of handles are valid")


_find_states: Callable[[], StateRecorder] = _no_states


def set_state_finder(finder: Callable[[], StateRecorder]) -> None:
    """Install the function that finds the repository which knows about states.

    An upper room, which knows of the current scheduler, installs its own when it starts.
    """
    global _find_states
    _find_states = finder


# Numbers of calls


def _number_of_call(job: Any, handle: Handle) -> int:
    """Return the number of a job among the calls in its parent that get the same handle."""
    state = handle.__handle__.hash
    notes = _notes_of(job)
    if notes.sources is None:
        notes.sources = {}
        for evaluation in chain.from_iterable(job.upstreams):
            for leaf in iter_nested(evaluation.value):
                if isinstance(leaf, Handle):
                    notes.sources.setdefault(leaf.__handle__.hash, _source_of(evaluation.expr))
    owner = job.run if job.parent is None else job.parent
    parent = _notes_of(owner)
    if parent.numbers is None:
        parent.numbers = _CallNumbers()
    source = notes.sources.get(state, state)
    return parent.numbers.number(owner.single, job.evaluation.expr, source)


class _CallNumbers:
    """Numbers the calls that get the same handle, in the order of the value that holds them.

    What a call gets is told by what is written in its arguments, since their values become known
    in any order.  Calls that are not in the value, as scheduler tasks and async tasks make them,
    are numbered as they come.
    """

    def __init__(self) -> None:
        self._value: Any = None
        self._numbers: dict[int, dict[Any, int]] = {}  # By expression and source.
        self._calls: dict[Any, dict[Any, int]] = {}  # By source: numbers of the different calls.

    def number(self, value: Any, expr: TaskExpression[Any], source: Any) -> int:
        if value is not None and value is not self._value:
            self._value = value
            for node in topological_order(value):
                if type(node) is TaskExpression:
                    self._place(node)
        numbers = self._numbers.get(id(expr)) or self._place(expr)
        if source not in numbers:
            numbers[source] = self._next(source, expr)
        return numbers[source]

    def _place(self, expr: TaskExpression[Any]) -> dict[Any, int]:
        numbers = self._numbers.setdefault(id(expr), {})
        for leaf in _lazy_or_handles((*expr.args, *expr.kwargs.values())):
            source = _source_of(leaf)
            if source not in numbers:
                numbers[source] = self._next(source, expr)
        return numbers

    def _next(self, source: Any, expr: TaskExpression[Any]) -> int:
        calls = self._calls.setdefault(source, {})
        return calls.setdefault(_shape_of(expr), len(calls) + 1)


def _lazy_or_handles(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if type(value) not in ATOMS:
            yield from (
                leaf for leaf in iter_nested(value) if isinstance(leaf, (Expression, Handle))
            )


def _source_of(leaf: Any) -> Any:
    """Return what tells a handle, or an expression for one, apart from others.

    That is the state of a handle, and the identity of an expression; but elements of one list and
    equal calls without lazy arguments are the same, although they are written twice.
    """
    path = []
    while type(leaf) is SimpleExpression and leaf.func_name in ("getitem", "getattr"):
        whole, element = leaf.args
        if not is_flat(element):
            break
        path.append((leaf.func_name, key_of(element)))
        leaf = whole
    if type(leaf) is ValueExpression and isinstance(leaf.value, Handle):
        leaf = leaf.value
    source: Any = id(leaf)
    if isinstance(leaf, Handle):
        source = leaf.__handle__.hash
    elif type(leaf) is TaskExpression and is_flat(leaf.args) and is_flat(leaf.kwargs):
        source = _shape_of(leaf)
    return (source, *path) if path else source


def _shape_of(expr: TaskExpression[Any]) -> Any:
    """Return the same for two calls if it is plain that they are equal: one of them runs."""
    if expr._options:
        return id(expr)
    shape: list[Any] = [expr.task_name, *sorted(expr.kwargs)]
    for value in (*expr.args, *(expr.kwargs[name] for name in sorted(expr.kwargs))):
        if is_flat(value):
            shape.append(key_of(value))
        elif isinstance(value, (Handle, Expression)):
            shape.append(_source_of(value))
        else:
            return id(expr)
    return tuple(shape)
