"""Where boxes and lines of a picture go."""

from __future__ import annotations

import random

import pytest

from redun_lite._client.layout import Edge, lay_out

SIZE = (80.0, 30.0)


def chain(*boxes: int) -> list[Edge]:
    return [Edge(begin, end) for begin, end in zip(boxes, boxes[1:])]


def overlaps(a, size_a, b, size_b) -> bool:
    return (
        abs(a[0] - b[0]) < (size_a[0] + size_b[0]) / 2 - 0.01
        and abs(a[1] - b[1]) < (size_a[1] + size_b[1]) / 2 - 0.01
    )


def random_graph(seed: int, is_acyclic: bool = True):
    draw = random.Random(seed)
    count = draw.randrange(1, 40)
    sizes = [(draw.uniform(20, 150), draw.uniform(20, 90)) for _ in range(count)]
    edges = []
    for _ in range(draw.randrange(2 * count)):
        begin, end = draw.randrange(count), draw.randrange(count)
        if is_acyclic and begin >= end:
            continue
        label = (draw.uniform(10, 60), 12.0) if draw.random() < 0.5 else None
        if Edge(begin, begin) in [Edge(e.source, e.target) for e in edges]:
            continue  # One loop at a box is all there can be.
        edges.append(Edge(begin, end, label))
    return sizes, edges


def test_nothing_takes_no_room():
    layout = lay_out([], [])
    assert (layout.boxes, layout.width, layout.height) == ([], 0, 0)


def test_a_chain_is_a_straight_line_down():
    layout = lay_out([SIZE, (30.0, 60.0), SIZE], chain(2, 0, 1))
    assert len({x for x, _ in layout.boxes}) == 1
    assert layout.boxes[2][1] < layout.boxes[0][1] < layout.boxes[1][1]


@pytest.mark.parametrize("seed", range(20))
def test_boxes_and_labels_never_overlap(seed):
    sizes, edges = random_graph(seed, is_acyclic=False)
    layout = lay_out(sizes, edges)
    placed = list(zip(layout.boxes, sizes))
    placed += [(at, edge.label) for at, edge in zip(layout.labels, edges) if edge.label]
    for i, (at, size) in enumerate(placed):
        assert size[0] / 2 - 0.01 <= at[0] <= layout.width - size[0] / 2 + 0.01
        assert size[1] / 2 - 0.01 <= at[1] <= layout.height - size[1] / 2 + 0.01
        assert not any(overlaps(at, size, *other) for other in placed[:i])


@pytest.mark.parametrize("seed", range(20))
def test_edges_run_from_the_bottom_of_a_box_down_to_the_top_of_another(seed):
    sizes, edges = random_graph(seed)
    layout = lay_out(sizes, edges)
    for edge, route in zip(edges, layout.routes):
        source, target = layout.boxes[edge.source], layout.boxes[edge.target]
        assert route[0][1] == pytest.approx(source[1] + sizes[edge.source][1] / 2)
        assert route[-1][1] == pytest.approx(target[1] - sizes[edge.target][1] / 2)
        assert abs(route[0][0] - source[0]) < sizes[edge.source][0] / 2
        down = [round(y, 6) for _, y in route]
        assert down == sorted(down)


def test_each_edge_that_has_a_label_gets_a_place_for_it():
    layout = lay_out([SIZE] * 3, [Edge(0, 1, (20, 10)), Edge(0, 2), Edge(1, 1, (20, 10))])
    assert [label is not None for label in layout.labels] == [True, False, True]


def test_edges_are_untangled_where_that_can_be():
    # Three pairs, each box below first named in the wrong order.
    edges = [Edge(0, 6), Edge(1, 7), Edge(2, 8), Edge(8, 3), Edge(7, 4), Edge(6, 5)]
    edges += [Edge(9, 0), Edge(9, 1), Edge(9, 2)]
    layout = lay_out([SIZE] * 10, edges)
    for upper, lower in (((0, 1, 2), (6, 7, 8)), ((6, 7, 8), (5, 4, 3))):
        order = sorted(range(3), key=lambda i: layout.boxes[upper[i]][0])
        assert order == sorted(range(3), key=lambda i: layout.boxes[lower[i]][0])


def test_an_edge_that_closes_a_cycle_is_drawn_against_the_others():
    layout = lay_out([SIZE] * 3, chain(0, 1, 2, 0))
    assert [route[0][1] < route[-1][1] for route in layout.routes] == [True, True, False]


def test_an_edge_to_its_own_box_is_a_loop_at_the_side():
    layout = lay_out([SIZE], [Edge(0, 0)])
    right = layout.boxes[0][0] + SIZE[0] / 2
    assert layout.routes[0][0][0] == layout.routes[0][-1][0] == right
    assert max(x for x, _ in layout.routes[0]) <= layout.width


def test_edges_between_two_boxes_run_side_by_side():
    layout = lay_out([SIZE] * 2, [Edge(0, 1), Edge(0, 1)])
    assert layout.routes[0][0] != layout.routes[1][0]


def test_boxes_that_nothing_connects_are_set_in_rows():
    layout = lay_out([SIZE] * 30, [])
    assert 1 < layout.width / layout.height < 3


def test_a_box_stands_near_what_it_leads_to():
    layout = lay_out([SIZE] * 6, [*chain(0, 1, 2, 3), Edge(4, 3), Edge(0, 5)])
    assert layout.boxes[4][1] == layout.boxes[2][1]  # Right above box 3.


def test_the_same_graph_is_always_laid_out_alike():
    sizes, edges = random_graph(3)
    assert lay_out(sizes, edges) == lay_out(sizes, edges)


def test_hundreds_of_boxes_in_a_chain_need_no_recursion():
    layout = lay_out([SIZE] * 1500, chain(*range(1500)))
    assert layout.boxes[-1][1] > 1499 * SIZE[1]
