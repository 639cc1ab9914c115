"""Places for the boxes and lines of a picture of a directed graph, in layers from top to bottom.

The method is that of K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of
hierarchical system structures" (IEEE SMC-11, 1981), each of its steps in a form that is short and
quick enough at some hundred boxes:

1. Edges that close a cycle, as a depth-first search meets them, are turned round.
2. A box is in the layer behind its last predecessor (longest path), then moved to where its edges
   are shortest; so are tight trees in E. R. Gansner, E. Koutsofios, S. C. North and K.-P. Vo, "A
   technique for drawing directed graphs" (IEEE TSE 19, 1993), of which this is the step that
   improves one box at a time.
3. Edges over several layers get a dummy in each, and a label is a dummy with a size.
4. Within layers, boxes are ordered by the median of their neighbours, and neighbours swapped
   ("transpose"), both from the paper of Gansner et al.  Crossings are counted as inversions: W.
   Barth, M. Jünger and P. Mutzel, "Simple and efficient bilayer cross counting" (GD 2002).
5. Across, boxes are aligned with their median neighbours from four sides, and the four places
   averaged: U. Brandes and B. Köpf, "Fast and simple horizontal coordinate assignment" (GD 2001),
   with the longest paths between blocks in place of its classes, which its erratum (2020) amends.

Parts of the graph that no edge connects are laid out one by one and set in rows.  The same graph
is always drawn alike: nothing here depends on hashes or on time.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from typing import NamedTuple

Point = tuple[float, float]
Size = tuple[float, float]

_GAP_X = 22.0  # Between boxes of one layer.
_GAP_Y = 34.0  # Between layers.
_LABEL_GAP_Y = 18.0  # Between a layer of boxes and one of labels.
_DUMMY_WIDTH = 10.0
_LOOP = 26.0  # What an edge from a box to itself takes at its right.
_SWEEPS = 12
_MANY = 3_000  # Boxes and dummies with which sweeps are saved.
_MAX_ROOMS = 60  # Widths of rows that are tried.
_ASPECT = 1.7  # Of the rows that unconnected parts are set in: width by height.
_PORT = 14.0  # The most between the ends of two edges at a box.


class Edge(NamedTuple):
    """An edge to be drawn.

    Attributes
    ----------
    source, target
        Indices of boxes.
    label
        Width and height of its label, if it has one.
    """

    source: int
    target: int
    label: Size | None = None


class Layout(NamedTuple):
    """Where everything is.  The upper left corner is (0, 0).

    Attributes
    ----------
    boxes
        The centre of each box.
    routes
        For each edge the points that it runs through, from its source to its target.
    labels
        For each edge the centre of its label, if it has one.
    width, height
        Size of the whole.
    """

    boxes: list[Point]
    routes: list[list[Point]]
    labels: list[Point | None]
    width: float
    height: float


def lay_out(sizes: list[Size], edges: list[Edge]) -> Layout:
    """Return where boxes and edges are to be drawn.

    Parameters
    ----------
    sizes
        Width and height of each box.
    edges
        What connects them; there may be cycles, and several edges between two boxes.

    Examples
    --------
    >>> layout = lay_out([(10, 10), (10, 10)], [Edge(0, 1)])
    >>> layout.boxes, layout.width, layout.height
    ([(5.0, 5.0), (5.0, 49.0)], 10.0, 54.0)
    """
    parts = [
        _lay_out_part(boxes, [sizes[box] for box in boxes], part_edges)
        for boxes, part_edges in _parts(len(sizes), edges)
    ]
    return _pack(len(sizes), edges, parts)


class _Part(NamedTuple):
    """A connected part of a graph, laid out."""

    boxes: dict[int, Point]
    routes: dict[int, list[Point]]  # By number of the edge, as are labels.
    labels: dict[int, Point]
    width: float
    height: float


_Numbered = list[tuple[int, Edge]]


def _parts(count: int, edges: list[Edge]) -> list[tuple[list[int], _Numbered]]:
    """Return the connected parts: their boxes, and their edges with their numbers."""
    root = list(range(count))

    def find(box: int) -> int:
        while root[box] != box:
            root[box] = root[root[box]]
            box = root[box]
        return box

    for edge in edges:
        first, second = sorted((find(edge.source), find(edge.target)))
        root[second] = first
    boxes: dict[int, list[int]] = defaultdict(list)
    for box in range(count):
        boxes[find(box)].append(box)
    inside: dict[int, _Numbered] = defaultdict(list)
    for number, edge in enumerate(edges):
        inside[find(edge.source)].append((number, edge))
    return [(members, inside[first]) for first, members in boxes.items()]


def _pack(count: int, edges: list[Edge], parts: list[_Part]) -> Layout:
    """Set parts in rows, the first ones at the left, single boxes behind what is connected."""
    order = sorted(range(len(parts)), key=lambda i: (not parts[i].routes, i))
    room = _best_room([parts[i] for i in order])
    boxes: list[Point] = [(0.0, 0.0)] * count
    routes: list[list[Point]] = [[] for _ in edges]
    labels: list[Point | None] = [None] * len(edges)
    x = y = row = width = 0.0
    for i in order:
        part = parts[i]
        if x and x + part.width > room:
            x, y, row = 0.0, y + row + _GAP_Y / 2, 0.0
        for box, (box_x, box_y) in part.boxes.items():
            boxes[box] = (box_x + x, box_y + y)
        for number, route in part.routes.items():
            routes[number] = [(point_x + x, point_y + y) for point_x, point_y in route]
        for number, (label_x, label_y) in part.labels.items():
            labels[number] = (label_x + x, label_y + y)
        row = max(row, part.height)
        width = max(width, x + part.width)
        x += part.width + _GAP_X
    return Layout(boxes, routes, labels, width, y + row)


def _best_room(parts: list[_Part]) -> float:
    """Return the width of rows that brings parts nearest to the shape of a page."""
    best = (math.inf, 0.0)
    room = 0.0
    for first in parts[:_MAX_ROOMS]:
        room += first.width + _GAP_X
        wide = max(room, *(part.width + _GAP_X for part in parts))
        x = row = height = width = 0.0
        for part in parts:
            if x and x + part.width + _GAP_X > wide:
                x, height, row = 0.0, height + row + _GAP_Y / 2, 0.0
            x += part.width + _GAP_X
            row = max(row, part.height)
            width = max(width, x)
        shape = abs(math.log(max(width, 1.0) / max(height + row, 1.0) / _ASPECT))
        best = min(best, (shape, wide - _GAP_X))
    return best[1]


# One connected part


class _Graph:
    """A part of a graph in layers.  Its vertices are boxes, then dummies."""

    def __init__(self, sizes: list[Size]) -> None:
        self.widths = [width for width, _ in sizes]
        self.heights = [height for _, height in sizes]
        self.boxes = len(sizes)
        self.rank = [0] * len(sizes)
        self.above: list[list[int]] = [[] for _ in sizes]
        self.below: list[list[int]] = [[] for _ in sizes]
        self.layers: list[list[int]] = []

    def add_dummy(self, rank: int, size: Size) -> int:
        self.widths.append(size[0])
        self.heights.append(size[1])
        self.rank.append(rank)
        self.above.append([])
        self.below.append([])
        return len(self.rank) - 1

    def connect(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def is_dummy(self, vertex: int) -> bool:
        return vertex >= self.boxes


def _lay_out_part(boxes: list[int], sizes: list[Size], numbered: _Numbered) -> _Part:
    if len(boxes) == 1 and not numbered:
        width, height = sizes[0]
        return _Part({boxes[0]: (width / 2, height / 2)}, {}, {}, width, height)
    index = {box: i for i, box in enumerate(boxes)}
    beside: dict[int, float] = {}  # What edges from a box to itself take at its side.
    for _, edge in numbered:
        if edge.source == edge.target:
            box = index[edge.source]
            needed = _LOOP + (edge.label[0] if edge.label else 0.0)
            beside[box] = max(beside.get(box, 0.0), needed)
    wide = [(w + 2 * beside.get(i, 0.0), h) for i, (w, h) in enumerate(sizes)]
    ends = {
        number: (index[edge.source], index[edge.target])
        for number, edge in numbered
        if edge.source != edge.target
    }
    graph = _Graph(wide)
    turned = _back_edges(len(boxes), list(ends.values()))
    forward = {
        number: (end, begin) if (begin, end) in turned else (begin, end)
        for number, (begin, end) in ends.items()
    }
    has_labels = any(edge.label for _, edge in numbered)
    graph.rank = _ranks(len(boxes), list(forward.values()), 2 if has_labels else 1)
    edges = dict(numbered)
    chains: dict[int, list[int]] = {}
    label_of: dict[int, int] = {}
    for number, (upper, lower) in forward.items():
        chain = [upper]
        first, last = graph.rank[upper] + 1, graph.rank[lower]
        middle = (first + last - 1) // 2
        label = edges[number].label
        if label and middle % 2 == 0:
            middle -= 1
        for rank in range(first, last):
            size = label if label and rank == middle else (_DUMMY_WIDTH, 0.0)
            chain.append(graph.add_dummy(rank, size))
            if label and rank == middle:
                label_of[number] = chain[-1]
        chain.append(lower)
        for begin, end in zip(chain, chain[1:]):
            graph.connect(begin, end)
        chains[number] = chain
    _order(graph)
    x = _across(graph)
    y, tops, bottoms = _down(graph, has_labels)
    routes = _routes(graph, chains, x, tops, bottoms, sizes, y)
    for number, (begin, end) in ends.items():
        if (begin, end) in turned:
            routes[number].reverse()
    labels = {number: (x[vertex], y[vertex]) for number, vertex in label_of.items()}
    for number, edge in numbered:
        if edge.source == edge.target:
            box = index[edge.source]
            routes[number] = _loop(x[box], y[box], sizes[box])
            if edge.label:
                labels[number] = (x[box] + sizes[box][0] / 2 + _LOOP + edge.label[0] / 2, y[box])
    left = min(x[v] - graph.widths[v] / 2 for v in range(len(x)))
    right = max(x[v] + graph.widths[v] / 2 for v in range(len(x)))
    places = {box: (x[i] - left, y[i]) for box, i in index.items()}
    routes = {n: [(px - left, py) for px, py in route] for n, route in routes.items()}
    labels = {n: (px - left, py) for n, (px, py) in labels.items()}
    return _Part(places, routes, labels, right - left, bottoms[-1])


def _loop(x: float, y: float, size: Size) -> list[Point]:
    right = x + size[0] / 2
    quarter = min(size[1] / 4, 12.0)
    return [
        (right, y - quarter),
        (right + _LOOP * 0.7, y - quarter),
        (right + _LOOP * 0.7, y + quarter),
        (right, y + quarter),
    ]


def _back_edges(count: int, edges: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the edges that lead back to a box that a depth-first search is still below."""
    after: list[list[int]] = [[] for _ in range(count)]
    entered = [0] * count
    for begin, end in edges:
        after[begin].append(end)
        entered[end] += 1
    back: set[tuple[int, int]] = set()
    state = [0] * count  # 0: not met, 1: being looked at, 2: done.
    for start in sorted(range(count), key=lambda box: (entered[box] > 0, box)):
        if state[start]:
            continue
        state[start] = 1
        stack = [(start, iter(after[start]))]
        while stack:
            box, ends = stack[-1]
            for end in ends:
                if state[end] == 1:
                    back.add((box, end))
                elif state[end] == 0:
                    state[end] = 1
                    stack.append((end, iter(after[end])))
                    break
            else:
                state[box] = 2
                stack.pop()
    return back


def _ranks(count: int, edges: list[tuple[int, int]], step: int) -> list[int]:
    """Return the layer of each box: as few layers as there can be, and short edges."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for begin, end in edges:
        after[begin].append(end)
        before[end].append(begin)
    rank = [0] * count
    missing = [len(boxes) for boxes in before]
    ready = [box for box in range(count) if not before[box]]
    order = []
    while ready:
        box = ready.pop()
        order.append(box)
        for end in after[box]:
            rank[end] = max(rank[end], rank[box] + step)
            missing[end] -= 1
            if not missing[end]:
                ready.append(end)
    for _ in range(4):
        for box in reversed(order):
            if len(after[box]) > len(before[box]):  # Each layer further down saves something.
                rank[box] = min(rank[end] for end in after[box]) - step
        for box in order:
            if len(before[box]) > len(after[box]):
                rank[box] = max(rank[begin] for begin in before[box]) + step
    least = min(rank, default=0)
    return [layer - least for layer in rank]


# Order within layers


def _order(graph: _Graph) -> None:
    """Order the vertices of each layer so that few edges cross."""
    layers: list[list[int]] = [[] for _ in range(max(graph.rank) + 1)]
    seen = [False] * len(graph.rank)
    for start in sorted(range(len(graph.rank)), key=lambda v: (graph.rank[v], v)):
        stack = [start]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = True
                layers[graph.rank[vertex]].append(vertex)
                stack += reversed(graph.below[vertex])
    best, fewest = [list(layer) for layer in layers], _crossings(graph, layers)
    for sweep in range(_SWEEPS if len(graph.rank) < _MANY else _SWEEPS // 4):
        if not fewest:
            break
        is_down = sweep % 2 == 0
        _sort_by_medians(graph, layers, is_down)
        _transpose(graph, layers)
        crossings = _crossings(graph, layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    graph.layers = best


def _positions(layers: list[list[int]]) -> dict[int, int]:
    return {vertex: place for layer in layers for place, vertex in enumerate(layer)}


def _sort_by_medians(graph: _Graph, layers: list[list[int]], is_down: bool) -> None:
    neighbours = graph.above if is_down else graph.below
    place = _positions(layers)
    for layer in layers if is_down else reversed(layers):
        medians = {v: _median(sorted(place[n] for n in neighbours[v])) for v in layer}
        # A vertex without neighbours there keeps its place among the others.
        moving = iter(
            sorted((v for v in layer if medians[v] >= 0), key=lambda v: (medians[v], place[v]))
        )
        layer[:] = [v if medians[v] < 0 else next(moving) for v in layer]
        place.update((vertex, i) for i, vertex in enumerate(layer))


def _median(places: list[int]) -> float:
    """Return the weighted median that Gansner et al. describe; -1 of nothing."""
    count = len(places)
    middle = count // 2
    if not count:
        return -1.0
    if count % 2:
        return float(places[middle])
    if count == 2:
        return (places[0] + places[1]) / 2
    left, right = places[middle - 1] - places[0], places[-1] - places[middle]
    if left + right == 0:
        return float(places[middle])
    return (places[middle - 1] * right + places[middle] * left) / (left + right)


def _transpose(graph: _Graph, layers: list[list[int]]) -> None:
    """Swap neighbours as long as that saves crossings."""
    place = _positions(layers)
    for _ in range(4):
        improved = False
        for layer in layers:
            for i in range(len(layer) - 1):
                first, second = layer[i], layer[i + 1]
                if _saves(graph, place, first, second) > 0:
                    layer[i], layer[i + 1] = second, first
                    place[first], place[second] = i + 1, i
                    improved = True
        if not improved:
            break


def _saves(graph: _Graph, place: dict[int, int], first: int, second: int) -> int:
    """Return how many crossings fewer there are with two neighbours swapped."""
    saved = 0
    for neighbours in (graph.above, graph.below):
        if not neighbours[first] or not neighbours[second]:
            continue
        left = [place[n] for n in neighbours[first]]
        right = [place[n] for n in neighbours[second]]
        if len(left) == len(right) == 1:
            saved += (left[0] > right[0]) - (left[0] < right[0])
            continue
        right.sort()
        for p in left:
            less = bisect_left(right, p)
            more = len(right) - bisect_left(right, p + 1)
            saved += less - more
    return saved


def _crossings(graph: _Graph, layers: list[list[int]]) -> int:
    crossings = 0
    for upper, lower in zip(layers, layers[1:]):
        place = {vertex: i for i, vertex in enumerate(lower)}
        met: list[int] = []
        for vertex in upper:
            ends = sorted(place[end] for end in graph.below[vertex])
            crossings += sum(len(met) - bisect_left(met, end + 1) for end in ends)
            for end in ends:
                insort(met, end)
    return crossings


# Places


def _down(graph: _Graph, has_labels: bool) -> tuple[list[float], list[float], list[float]]:
    """Return the y of each vertex, and the top and the bottom of each layer."""
    gap = _LABEL_GAP_Y if has_labels else _GAP_Y
    y = [0.0] * len(graph.rank)
    tops: list[float] = []
    bottoms: list[float] = []
    top = 0.0
    for layer in graph.layers:
        height = max((graph.heights[vertex] for vertex in layer), default=0.0)
        for vertex in layer:
            y[vertex] = top + height / 2
        tops.append(top)
        bottoms.append(top + height)
        top += height + gap
    return y, tops, bottoms


def _across(graph: _Graph) -> list[float]:
    """Return the x of each vertex: the mean of the two middle ones of four alignments."""
    marked = _conflicts(graph)
    found: list[list[float]] = []
    for from_above in (True, False):
        for from_left in (True, False):
            layers = graph.layers if from_above else graph.layers[::-1]
            layers = layers if from_left else [layer[::-1] for layer in layers]
            neighbours = graph.above if from_above else graph.below
            root, align = _align(layers, neighbours, marked)
            places = _compact(graph, layers, root, align)
            found.append(places if from_left else [-place for place in places])
    half = [width / 2 for width in graph.widths]
    spans = [
        (
            min(p - h for p, h in zip(places, half)),
            max(p + h for p, h in zip(places, half)),
        )
        for places in found
    ]
    narrowest = min(range(4), key=lambda i: (spans[i][1] - spans[i][0], i))
    for i, places in enumerate(found):
        side = i % 2  # Those from the left are set flush left with the narrowest.
        shift = spans[narrowest][side] - spans[i][side]
        found[i] = [place + shift for place in places]
    return [sum(sorted(places)[1:3]) / 2 for places in zip(*found)]


def _conflicts(graph: _Graph) -> set[tuple[int, int]]:
    """Return the segments that cross one between two dummies: long edges are to be straight."""
    marked: set[tuple[int, int]] = set()
    place = _positions(graph.layers)
    for upper, lower in zip(graph.layers, graph.layers[1:]):
        left = scanned = 0
        for i, vertex in enumerate(lower):
            inner = next(
                (n for n in graph.above[vertex] if graph.is_dummy(n) and graph.is_dummy(vertex)),
                None,
            )
            if inner is None and i < len(lower) - 1:
                continue
            right = len(upper) - 1 if inner is None else place[inner]
            for other in lower[scanned : i + 1]:
                for above in graph.above[other]:
                    is_inner = graph.is_dummy(above) and graph.is_dummy(other)
                    if not left <= place[above] <= right and not is_inner:
                        marked.add((above, other))
            left, scanned = right, i + 1
    return marked


def _align(
    layers: list[list[int]], neighbours: list[list[int]], marked: set[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """Return blocks of vertices that are to be below each other: their roots, and the next ones."""
    count = len(neighbours)
    root, align = list(range(count)), list(range(count))
    place = _positions(layers)
    for layer in layers:
        last = -1
        for vertex in layer:
            near = sorted(neighbours[vertex], key=place.__getitem__)
            for middle in dict.fromkeys(((len(near) - 1) // 2, len(near) // 2)) if near else ():
                other = near[middle]
                is_marked = (other, vertex) in marked or (vertex, other) in marked
                if align[vertex] == vertex and not is_marked and last < place[other]:
                    align[other] = vertex
                    root[vertex] = align[vertex] = root[other]
                    last = place[other]
    return root, align


def _compact(
    graph: _Graph, layers: list[list[int]], root: list[int], align: list[int]
) -> list[float]:
    """Return places as far left as blocks go, then each as near to its right neighbour."""
    distances: dict[int, dict[int, float]] = defaultdict(dict)
    before: dict[int, dict[int, float]] = defaultdict(dict)
    for layer in layers:
        for left, right in zip(layer, layer[1:]):
            gap = (graph.widths[left] + graph.widths[right]) / 2 + _GAP_X
            if graph.is_dummy(left) and graph.is_dummy(right):
                gap -= _GAP_X / 2
            first, second = root[left], root[right]
            gap = max(gap, distances[first].get(second, 0.0))
            distances[first][second] = before[second][first] = gap
    missing = {block: len(before[block]) for block in dict.fromkeys(root)}
    ready = [block for block in reversed(missing) if not missing[block]]
    order: list[int] = []
    x: dict[int, float] = {}
    while ready:
        block = ready.pop()
        order.append(block)
        x[block] = max((x[b] + gap for b, gap in before[block].items()), default=0.0)
        for other in distances[block]:
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    for block in reversed(order):
        if distances[block]:
            room = min(x[other] - gap for other, gap in distances[block].items())
            x[block] = max(x[block], room)
    return [x[root[vertex]] for vertex in range(len(root))]


def _routes(
    graph: _Graph,
    chains: dict[int, list[int]],
    x: list[float],
    tops: list[float],
    bottoms: list[float],
    sizes: list[Size],
    y: list[float],
) -> dict[int, list[Point]]:
    """Return the points of each edge, with those that end at one box side by side."""
    leaving: dict[int, list[tuple[float, int]]] = defaultdict(list)
    arriving: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for number, chain in chains.items():
        leaving[chain[0]].append((x[chain[1]], number))
        arriving[chain[-1]].append((x[chain[-2]], number))
    begin: dict[int, float] = {}
    end: dict[int, float] = {}
    for ports, found in ((leaving, begin), (arriving, end)):
        for box, ends in ports.items():
            gap = min(_PORT, sizes[box][0] * 0.7 / len(ends))
            first = x[box] - gap * (len(ends) - 1) / 2
            found.update((number, first + i * gap) for i, (_, number) in enumerate(sorted(ends)))
    routes: dict[int, list[Point]] = {}
    for number, chain in chains.items():
        upper, *dummies, lower = chain
        # Past the others of its layer, which may be taller, an edge goes straight.
        route = [(begin[number], y[upper] + sizes[upper][1] / 2)]
        route.append((begin[number], bottoms[graph.rank[upper]]))
        for dummy in dummies:
            rank = graph.rank[dummy]
            route += [(x[dummy], tops[rank]), (x[dummy], bottoms[rank])]
        route.append((end[number], tops[graph.rank[lower]]))
        route.append((end[number], y[lower] - sizes[lower][1] / 2))
        routes[number] = [p for i, p in enumerate(route) if not i or p != route[i - 1]]
    return routes
