"""Lineage: which calls and files something was made from, and what was made with it.

A call is recorded with its arguments, with the calls whose results each argument was made of, and
with the calls that it led to.  Most of what people ask for is further away: an argument comes from
a call that only handed on what one below it made, or was handed down by the call around.  So a
trace has three movements:

- *across*, from an argument to the calls that it was made of;
- *down*, from a call that returned an expression to those calls below that its result came from;
- *up*, from an argument that was made of no call to the argument of the call around that holds the
  same value.

What ends such a path is a call that computed something, or a raw input.  A file that another
execution wrote is no raw input: files are looked for among results by their digest.

Whatever is traced has a bound.  A level of a trace takes a few queries, whatever is in it.  Calls
of one task that are made of, or for, the same thing are one node with a count, and so is a
recursion from its third turn on.  What a trace leaves out, it says.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ._history import CallRow
from ._lineage_records import Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._history import History, ValueRow
    from ._lineage_records import Argument, RecordedCall

CALL = "call"
VALUE = "value"

_MAX_MEMBERS = 200  # Calls of one node that are followed further.
_MAX_HANDED_ON = 50  # Calls through which one value is followed up or down.
_MAX_TURNS = 3  # Nodes of one task on a path; more turns of a recursion join the last of them.


class Limits(NamedTuple):
    """How far a trace goes.

    Attributes
    ----------
    levels
        Steps from the start.
    nodes
        Nodes, with the start.
    fold
        Equal calls, or files, that are still shown one by one.
    """

    levels: int = 60
    nodes: int = 300
    fold: int = 5


DEFAULT_LIMITS = Limits()


class LineageNode(NamedTuple):
    """A call or a value, or many equal ones as one.

    Attributes
    ----------
    kind
        `CALL` or `VALUE`.
    name
        Full name of the task; path of a file, or the type of another value.
    total
        How many it stands for.
    at_least
        Whether there may be more, since not everything was looked at.
    call, value
        The call or the value, or the first of them.
    """

    kind: str
    name: str
    total: int
    at_least: bool
    call: CallRow | None = None
    value: ValueRow | None = None


class LineageEdge(NamedTuple):
    """That one node was made from another.

    Attributes
    ----------
    source, target
        Indices of the nodes; what is in the source went into the target.
    name
        The argument of the target that it became, or became a part of; empty where the target is
        what the source came to.
    total
        How many calls or files of the far node this is true of.
    via
        Tasks that only handed it on, from near the target on.
    """

    source: int
    target: int
    name: str
    total: int
    via: tuple[str, ...]


class Lineage(NamedTuple):
    """What a trace has found: `nodes[0]` is where it began.

    Attributes
    ----------
    is_up
        Whether it leads to what the start was made from; else to what was made with it.
    cut
        What was left out, as phrases; empty if all is there.
    """

    nodes: list[LineageNode]
    edges: list[LineageEdge]
    cut: list[str]
    is_up: bool


class TreeLine(NamedTuple):
    """A line of a lineage as a tree, the start at depth 0.

    Attributes
    ----------
    is_repeated
        Whether the node is in a line above, with what is below it.
    """

    depth: int
    node: LineageNode
    edge: LineageEdge | None
    is_repeated: bool


def trace_up(
    history: History, start: CallRow | ValueRow, limits: Limits = DEFAULT_LIMITS
) -> Lineage:
    """Return what a call's result, or a value, was made from, back to raw inputs."""
    return _UpwardTrace(history, limits).trace(start)


def trace_down(
    history: History, start: CallRow | ValueRow, limits: Limits = DEFAULT_LIMITS
) -> Lineage:
    """Return what was made with a call's result, or with a value."""
    return _DownwardTrace(history, limits).trace(start)


def tree_of(lineage: Lineage) -> Iterator[TreeLine]:
    """Yield a lineage line by line, each node before those that it was found from.

    Works for both directions: what is below a node is what the trace found behind it.
    """
    beyond: dict[int, list[tuple[int, LineageEdge]]] = defaultdict(list)
    for edge in lineage.edges:
        near, far = (edge.target, edge.source) if lineage.is_up else (edge.source, edge.target)
        beyond[near].append((far, edge))
    seen: set[int] = set()
    waiting: list[tuple[int, int, LineageEdge | None]] = [(0, 0, None)]
    while waiting:
        depth, index, edge_to = waiting.pop()
        is_repeated = index in seen
        seen.add(index)
        yield TreeLine(depth, lineage.nodes[index], edge_to, is_repeated and bool(beyond[index]))
        if not is_repeated:
            waiting += [(depth + 1, far, edge) for far, edge in reversed(beyond[index])]


class _Node:
    """A node while a trace goes on."""

    __slots__ = ("at_least", "kind", "members", "name", "near")

    def __init__(self, kind: str, name: str, members: list[int], near: int | None) -> None:
        self.kind = kind
        self.name = name
        self.members = members
        self.near = near  # The node that it was found from.
        self.at_least = False


class _Flow(NamedTuple):
    """A call that is to be looked at, and the node that it was found from."""

    call_id: int
    near: int
    name: str  # Of the argument that is made of it, or that it is used as.
    value_id: int | None  # What is looked for in its result or arguments, if that is known.
    via: tuple[str, ...] = ()
    by_value: bool = False  # Only the value says that the two belong together.

    def through(self, call: RecordedCall, child: int) -> _Flow:
        via = self.via if self.via[-1:] == (call.task_name,) else (*self.via, call.task_name)
        return self._replace(call_id=child, via=via)


class _Loose(NamedTuple):
    """An argument that was made of no call, on its way up through the calls around."""

    near: int
    name: str
    value_id: int
    holder: int  # The call that it is an argument of, or was found at last.


_Fresh = list[tuple[int, list[int]]]  # Nodes, and those of their members that are new.


class _Trace:
    """What both directions share: nodes, edges, folding, bounds."""

    _is_up: bool

    def __init__(self, history: History, limits: Limits) -> None:
        self._limits = limits
        self._records = Records(history)
        self._nodes: list[_Node] = []
        self._node_of: dict[tuple[str, int], int] = {}
        self._edges: dict[tuple[int, int, str], tuple[set[int], tuple[str, ...]]] = {}
        self._cut: dict[str, None] = {}

    def trace(self, start: CallRow | ValueRow) -> Lineage:
        if isinstance(start, CallRow):
            self._add_node(CALL, start.task_name, [start.id], None)
        else:
            path = self._records.paths([start.id])[start.id]
            self._add_node(VALUE, path or start.type_name, [start.id], None)
        fresh = self._first(start)
        for _ in range(self._limits.levels):
            if not fresh:
                break
            fresh = self._next(fresh)
        else:
            if fresh:
                self._cut[f"what is more than {self._limits.levels} steps away"] = None
        if self._records.left_out:
            self._cut[self._records.left_out] = None
        return self._result()

    def _first(self, start: CallRow | ValueRow) -> _Fresh:
        raise NotImplementedError

    def _next(self, fresh: _Fresh) -> _Fresh:
        raise NotImplementedError

    def _result(self) -> Lineage:
        first = {
            kind: [node.members[0] for node in self._nodes if node.kind == kind]
            for kind in (CALL, VALUE)
        }
        calls = self._records.call_rows(first[CALL])
        values = self._records.value_rows(first[VALUE])
        nodes = [
            LineageNode(
                node.kind,
                node.name,
                len(node.members),
                node.at_least,
                calls.get(node.members[0]) if node.kind == CALL else None,
                values.get(node.members[0]) if node.kind == VALUE else None,
            )
            for node in self._nodes
        ]
        edges = [
            LineageEdge(source, target, name, len(members), via)
            for (source, target, name), (members, via) in self._edges.items()
        ]
        return Lineage(nodes, edges, list(self._cut), self._is_up)

    def _add_node(self, kind: str, name: str, members: list[int], near: int | None) -> int:
        index = len(self._nodes)
        self._nodes.append(_Node(kind, name, members, near))
        self._node_of.update(((kind, member), index) for member in members)
        if near is not None:
            self._nodes[index].at_least = self._is_sampled(near) or bool(self._records.left_out)
        return index

    def _is_sampled(self, index: int) -> bool:
        node = self._nodes[index]
        return node.at_least or len(node.members) > _MAX_MEMBERS

    def _add_edge(
        self, near: int, far: int, name: str, members: Iterable[int], via: tuple[str, ...]
    ) -> None:
        source, target = (far, near) if self._is_up else (near, far)
        known, _ = self._edges.setdefault((source, target, name), (set(), via))
        known.update(members)

    def _fold(
        self, kind: str, found: Iterable[tuple[int, str, str, int, tuple[str, ...]]]
    ) -> _Fresh:
        """Make nodes and edges of what was found from nodes, equal ones folded.

        Parameters
        ----------
        found
            For each call or value: the node it was found from, the argument, its name, its row
            id, and the tasks that handed it on.
        """
        groups: dict[tuple[int, str, str], dict[int, tuple[str, ...]]] = {}
        for near, argument, name, member, via in found:
            group = (near, argument, name if kind == CALL else "")
            groups.setdefault(group, {}).setdefault(member, via)
        names = {(kind, member): name for _, _, name, member, _ in found}
        fresh: _Fresh = []
        for (near, argument, name), members in groups.items():
            new = [member for member in members if (kind, member) not in self._node_of]
            turn = self._turn(near, name) if kind == CALL else None
            if new and turn is not None:
                self._nodes[turn].members += new
                self._node_of.update(((kind, member), turn) for member in new)
                fresh.append((turn, new))
            elif len(new) > self._limits.fold:
                if self._has_room():
                    title = name or names[kind, new[0]]
                    fresh.append((self._add_node(kind, title, new, near), new))
            else:
                for member in new:
                    if not self._has_room():
                        break
                    title = name or names[kind, member]
                    fresh.append((self._add_node(kind, title, [member], near), [member]))
            ends: dict[int, list[int]] = defaultdict(list)
            for member in members:
                if (kind, member) in self._node_of:
                    ends[self._node_of[kind, member]].append(member)
            for far, its_members in ends.items():
                self._add_edge(near, far, argument, its_members, members[its_members[0]])
        return fresh

    def _has_room(self) -> bool:
        if len(self._nodes) < self._limits.nodes:
            return True
        self._cut[f"what is beyond {self._limits.nodes} nodes"] = None
        return False

    def _turn(self, near: int, task_name: str) -> int | None:
        """Return the node that one more turn of a recursion joins; None if there were few yet."""
        turns = 0
        last = None
        index: int | None = near
        while index is not None:
            node = self._nodes[index]
            if node.kind == CALL and node.name == task_name:
                last = index if last is None else last
                turns += 1
            index = node.near
        return last if turns >= _MAX_TURNS else None

    def _fold_calls(self, flows: Iterable[_Flow]) -> _Fresh:
        flows = list(flows)
        calls = self._records.calls(flow.call_id for flow in flows)
        return self._fold(
            CALL,
            [
                (flow.near, flow.name, calls[flow.call_id].task_name, flow.call_id, flow.via)
                for flow in flows
                if flow.call_id in calls
            ],
        )

    def _members(self, fresh: _Fresh) -> Iterator[tuple[int, int]]:
        """Yield nodes and those of their calls that are followed."""
        for index, members in fresh:
            if self._nodes[index].kind == CALL:
                if len(members) > _MAX_MEMBERS:
                    self._cut[f"what is behind more than {_MAX_MEMBERS} calls of a node"] = None
                for member in members[:_MAX_MEMBERS]:
                    yield index, member

    def _makers_below(self, call: RecordedCall, value_id: int | None, strict: bool) -> list[int]:
        """Return the calls below one that its result, or the value looked for, came from.

        Parameters
        ----------
        strict
            Whether only those will do whose result has the value.
        """
        records = self._records
        calls = records.calls(())
        children = [
            child for child in dict.fromkeys(records.children(())[call.id]) if child in calls
        ]
        if value_id is not None:
            chosen = [c for c in children if records.carries(calls[c].result_id, value_id)]
            if chosen or strict:
                return chosen
        chosen = [child for child in children if calls[child].result_id == call.result_id]
        if chosen:
            return chosen
        parts = set(records.parts(())[call.result_id])
        used = {
            source
            for child in children
            for argument in records.arguments(())[child]
            for source in records.sources_of(argument)
        }
        return [
            child
            for child in children
            if child not in used or parts.intersection(records.parts(())[calls[child].result_id])
        ]

    def _read_below(self, call_ids: Iterable[int]) -> list[int]:
        """Read what `_makers_below` looks at; return which calls have handed on their work."""
        records = self._records
        ids = list(dict.fromkeys(call_ids))
        calls = records.calls(ids)
        handed_on = [id for id in ids if id in calls and calls[id].has_handed_on]
        below = records.children(handed_on)
        children = [child for id in handed_on for child in below[id]]
        records.calls(children)
        records.arguments(children)
        results = [calls[id].result_id for id in (*handed_on, *children) if id in calls]
        records.parts(results)
        return handed_on


class _UpwardTrace(_Trace):
    """From a result back to raw inputs."""

    _is_up = True

    def _first(self, start: CallRow | ValueRow) -> _Fresh:
        if isinstance(start, CallRow):
            if self._read_below([start.id]):
                call = self._records.calls(())[start.id]
                below = self._makers_below(call, None, strict=False)
                if below:
                    for child in below:
                        self._records.set_parent(child, start.id)
                    return self._settle([_Flow(child, 0, "", None) for child in below], [])
            return [(0, [start.id])]
        is_external = self._records.paths([start.id])[start.id] is not None
        return self._settle(self._flows_of_makers({start.id: [(0, "")]}, is_external), [])

    def _next(self, fresh: _Fresh) -> _Fresh:
        records = self._records
        members = list(self._members(fresh))
        arguments = records.arguments(member for _, member in members)
        made = [a for _, member in members for a in arguments[member] if records.sources_of(a)]
        calls = records.calls(source for a in made for source in records.sources_of(a))
        results = [call.result_id for call in calls.values()]
        records.parts([*(a.value_id for a in made), *results])
        flows: list[_Flow] = []
        loose: list[_Loose] = []
        for index, member in members:
            for argument in arguments[member]:
                sources = records.sources_of(argument)
                flows += [_Flow(s, index, argument.name, argument.value_id) for s in sources]
                beside = self._beside(argument, sources) if sources else [argument.value_id]
                loose += [_Loose(index, argument.name, value_id, member) for value_id in beside]
        found, raw = self._climb(loose)
        return self._settle(flows + found, raw)

    def _beside(self, argument: Argument, sources: list[int]) -> list[int]:
        """Return the parts of an argument that none of the calls it was made of has made."""
        records = self._records
        calls = records.calls(())
        parts = records.parts(())
        results = [calls[source].result_id for source in sources if source in calls]
        made = {v for result in results for v in (result, *parts[result])}
        return [part for part in parts[argument.value_id] if part not in made]

    def _settle(self, flows: list[_Flow], raw: list[_Loose]) -> _Fresh:
        """Make nodes of the calls that flows lead to, and of files that nothing has made."""
        ends, unmade = self._descend(flows)
        fresh = self._fold_calls(ends)
        files = self._files_in([(item.near, item.name, item.value_id) for item in raw])
        places: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for near, name, value_id in files:
            places[value_id].append((near, name))
        made, unmade_files = self._descend(self._flows_of_makers(places, True))
        fresh += self._fold_calls(made)
        known = {(flow.near, flow.name, flow.value_id) for flow in made}
        unmade += unmade_files
        raw_files = dict.fromkeys(
            [file for file in files if file not in known]
            + [
                (flow.near, flow.name, flow.value_id)
                for flow in unmade
                if flow.value_id is not None and self._nodes[flow.near].kind == CALL
            ]
        )
        paths = self._records.paths(value_id for _, _, value_id in raw_files)
        self._fold(
            VALUE,
            [
                (near, name, path, value_id, ())
                for near, name, value_id in raw_files
                if (near, name, value_id) not in known and (path := paths.get(value_id)) is not None
            ],
        )
        return fresh

    def _descend(self, flows: list[_Flow]) -> tuple[list[_Flow], list[_Flow]]:
        """Follow flows to the calls that computed something.

        Return those, and flows by value that lead to none: their value was there before.
        """
        records = self._records
        ends: list[_Flow] = []
        unmade: list[_Flow] = []
        for _ in range(_MAX_HANDED_ON):
            if not flows:
                return self._without_readers(ends, unmade)
            handed_on = set(self._read_below(flow.call_id for flow in flows))
            calls = records.calls(())
            children = records.children(())
            following: dict[tuple[int, int, str], _Flow] = {}
            for flow in flows:
                if flow.call_id not in handed_on or not children[flow.call_id]:
                    is_body = flow.by_value and flow.call_id in handed_on
                    (unmade if is_body else ends).append(flow)
                    continue
                call = calls[flow.call_id]
                below = self._makers_below(call, flow.value_id, strict=flow.by_value)
                if not below:
                    (unmade if flow.by_value else ends).append(flow)
                for child in below:
                    records.set_parent(child, flow.call_id)
                    step = flow.through(call, child)
                    following.setdefault((child, flow.near, flow.name), step)
            flows = list(following.values())
        if flows:
            self._cut[f"what was handed on through more than {_MAX_HANDED_ON} calls"] = None
        return self._without_readers(ends + flows, unmade)

    def _without_readers(
        self, ends: list[_Flow], unmade: list[_Flow]
    ) -> tuple[list[_Flow], list[_Flow]]:
        """Take out flows by value to calls that were given the value themselves."""
        records = self._records
        doubtful = [flow for flow in ends if flow.by_value]
        arguments = records.arguments(flow.call_id for flow in doubtful)
        records.parts(a.value_id for flow in doubtful for a in arguments[flow.call_id])
        kept: list[_Flow] = []
        for flow in ends:
            value_id = flow.value_id
            if (
                flow.by_value
                and value_id is not None
                and any(records.carries(a.value_id, value_id) for a in arguments[flow.call_id])
            ):
                unmade.append(flow)
            else:
                kept.append(flow)
        return kept, unmade

    def _climb(self, loose: list[_Loose]) -> tuple[list[_Flow], list[_Loose]]:
        """Follow arguments up through the calls around, to the calls that they were made of.

        Return flows to these, and the arguments that were made of none.
        """
        records = self._records
        flows: list[_Flow] = []
        raw: list[_Loose] = []
        for _ in range(_MAX_HANDED_ON):
            if not loose:
                return flows, raw
            parents = records.parents(item.holder for item in loose)
            around = [p for item in loose if (p := parents[item.holder]) is not None]
            arguments = records.arguments(around)
            records.parts(
                [
                    *(item.value_id for item in loose),
                    *(argument.value_id for id in around for argument in arguments[id]),
                ]
            )
            following: list[_Loose] = []
            for item in loose:
                parent = parents[item.holder]
                given = [] if parent is None else self._given(item, arguments[parent])
                if not given or parent is None:
                    raw.append(item)
                for argument in given:
                    sources = self._with_value(records.sources_of(argument), item.value_id)
                    flows += [_Flow(s, item.near, item.name, item.value_id) for s in sources]
                    if not sources and parent is not None:
                        following.append(item._replace(holder=parent))
            loose = list(dict.fromkeys(following))
        if loose:
            self._cut[f"what was handed down through more than {_MAX_HANDED_ON} calls"] = None
        return flows, raw + loose

    def _given(self, item: _Loose, arguments: list[Argument]) -> list[Argument]:
        """Return the arguments of the call around that hold a value, or parts of it."""
        records = self._records
        same = [argument for argument in arguments if argument.value_id == item.value_id]
        if same:
            return [next((a for a in same if a.name == item.name), same[0])]
        holding = [a for a in arguments if records.carries(a.value_id, item.value_id)]
        if holding:
            return holding[:1]
        parts = set(records.parts(())[item.value_id])
        return [
            argument
            for argument in arguments
            if argument.value_id in parts
            or not parts.isdisjoint(records.parts(())[argument.value_id])
        ]

    def _with_value(self, sources: list[int], value_id: int) -> list[int]:
        """Return those of the calls that an argument was made of which have made a part of it."""
        if len(sources) < 2:
            return sources
        records = self._records
        calls = records.calls(sources)
        results = {s: calls[s].result_id for s in sources if s in calls}
        records.parts(results.values())
        makers = [s for s in results if records.carries(results[s], value_id)]
        return makers or sources

    def _files_in(self, places: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
        """Return the files among values and their parts, with the places of these."""
        records = self._records
        parts = records.parts(value_id for _, _, value_id in places)
        whole = [(near, name, v) for near, name, id in places for v in (id, *parts[id])]
        paths = records.paths(value_id for _, _, value_id in whole)
        return [place for place in dict.fromkeys(whole) if paths[place[2]] is not None]

    def _flows_of_makers(
        self, places: dict[int, list[tuple[int, str]]], by_value: bool
    ) -> list[_Flow]:
        """Return flows to the calls whose results values are, or are parts of."""
        records = self._records
        wholes = records.wholes(places)
        makers = records.makers([v for id in places for v in (id, *wholes[id])])
        flows = []
        for value_id, its_places in places.items():
            for whole in (value_id, *wholes[value_id]):
                for call_id in makers.get(whole, ()):
                    flows += [
                        _Flow(call_id, near, name, value_id, (), by_value)
                        for near, name in its_places
                    ]
        return flows


class _DownwardTrace(_Trace):
    """From a value on to what was made with it."""

    _is_up = False

    def _first(self, start: CallRow | ValueRow) -> _Fresh:
        if isinstance(start, CallRow):
            return [(0, [start.id])]
        return self._settle(self._flows_of_readers({start.id: [0]}))

    def _next(self, fresh: _Fresh) -> _Fresh:
        records = self._records
        members = list(self._members(fresh))
        bearers = self._bearers(members)
        uses = records.uses(bearers)
        arguments = records.arguments(call_id for _, call_id, _ in uses)
        flows: list[_Flow] = []
        for source, call_id, position in uses:
            for argument in arguments[call_id]:
                if argument.position == position:
                    flows += [
                        _Flow(call_id, near, argument.name, argument.value_id)
                        for near in bearers[source]
                    ]
        calls = records.calls(())
        results = {calls[m].result_id: index for index, m in members if m in calls}
        parts = records.parts(results)
        inside = [(v, i) for id, i in results.items() for v in (id, *parts[id])]
        paths = records.paths(v for v, _ in inside)
        files: dict[int, list[int]] = defaultdict(list)
        for value_id, index in inside:
            if paths[value_id] is not None:
                files[value_id].append(index)
        return self._settle(flows + self._flows_of_readers(files))

    def _bearers(self, members: list[tuple[int, int]]) -> dict[int, list[int]]:
        """Return the calls that have the result of members, or hand it on, with the nodes."""
        records = self._records
        found: dict[int, list[int]] = {}
        level = {(member, index) for index, member in members}
        for _ in range(_MAX_HANDED_ON):
            for member, index in sorted(level):
                found.setdefault(member, []).append(index)
            parents = records.parents(member for member, _ in level)
            around = {p for member, _ in level if (p := parents[member]) is not None}
            handed_on = self._read_below(sorted(around))
            calls = records.calls(())
            makers = {id: self._makers_below(calls[id], None, strict=False) for id in handed_on}
            level = {
                (parent, index)
                for member, index in level
                if (parent := parents[member]) is not None and member in makers.get(parent, ())
            }
            level = {(id, index) for id, index in level if index not in found.get(id, ())}
            if not level:
                break
        return found

    def _flows_of_readers(self, values: dict[int, list[int]]) -> list[_Flow]:
        """Return flows to the calls that values, or what they are parts of, are arguments of."""
        records = self._records
        wholes = records.wholes(values)
        inside: dict[int, list[int]] = defaultdict(list)
        for value_id in values:
            for whole in (value_id, *wholes[value_id]):
                inside[whole].append(value_id)
        readers = records.readers(inside)
        arguments = records.arguments(call_id for _, call_id, _ in readers)
        flows: list[_Flow] = []
        for whole, call_id, position in readers:
            name = next((a.name for a in arguments[call_id] if a.position == position), "")
            for value_id in inside[whole]:
                flows += [
                    _Flow(call_id, near, name, value_id, (), True) for near in values[value_id]
                ]
        return flows

    def _settle(self, flows: list[_Flow]) -> _Fresh:
        """Make nodes of the calls that take something up, not of those that hand it down."""
        records = self._records
        ends: list[_Flow] = []
        for _ in range(_MAX_HANDED_ON):
            if not flows:
                break
            handed_on = set(self._read_below(flow.call_id for flow in flows))
            calls = records.calls(())
            children = records.children(())
            below = [c for id in handed_on for c in children[id]]
            arguments = records.arguments(below)
            records.parts(a.value_id for c in below for a in arguments[c])
            following: dict[tuple[int, int, str], _Flow] = {}
            for flow in flows:
                taken = [
                    (child, argument)
                    for child in (children[flow.call_id] if flow.call_id in handed_on else ())
                    for argument in arguments[child]
                    if flow.value_id is not None
                    and records.carries(argument.value_id, flow.value_id)
                ]
                if not taken:
                    ends.append(flow)
                for child, argument in taken:
                    records.set_parent(child, flow.call_id)
                    step = flow.through(calls[flow.call_id], child)._replace(name=argument.name)
                    following.setdefault((child, flow.near, argument.name), step)
            flows = list(following.values())
        if flows:
            self._cut[f"what was handed down through more than {_MAX_HANDED_ON} calls"] = None
        return self._fold_calls(ends + flows)
