"""The chart: who infected whom, the variants of each sample, and what depth does to recall."""

from collections.abc import Iterator
from math import exp, factorial
from typing import NamedTuple

from scores import KINDS, Score, precision, recall, share, total

from redun_lite import File, task

redun_namespace = "variants"


def expected_recall(depth: float, min_depth: int) -> float:
    """Return the share of places that have enough reads if reads fall at random (Poisson)."""
    return 1 - sum(exp(-depth) * depth**k / factorial(k) for k in range(min_depth))


STYLE = """
text { font: 13px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
       fill: #1f2933 }
.heading { font-size: 20px; font-weight: 600 }
.panel { font-weight: 600 }
.muted { fill: #5b6672 }
.end { text-anchor: end }
.middle { text-anchor: middle }
.page { fill: #ffffff }
.band { fill: #f4f6f8 }
.grid { stroke: #e3e7eb }
.axis { stroke: #9aa5b1 }
.tree { stroke: #7b8794; fill: none }
.person { fill: #3e4c59 }
.found, .missed, .false { stroke-width: 2.5 }
.found { stroke: #2a6f97 }
.missed { stroke: #f4a259 }
.false { stroke: #c1121f }
.depth { fill: #b7c9d6 }
.recall { fill: #2a6f97; fill-opacity: 0.75 }
.precision { stroke: #7b8794; fill: none }
.curve { stroke: #e07a1f; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
"""
WIDTH, MARGIN, TOP = 1000, 28, 150


class Axis(NamedTuple):
    """Where on the page values lie from zero to the largest."""

    start: float
    end: float
    largest: float


def at(axis: Axis, value: float) -> float:
    return axis.start + (axis.end - axis.start) * value / axis.largest


def text(x: float, y: float, content: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{content}</text>'


def path(d: str, style: str) -> str:
    return f'<path class="{style}" d="{d}"/>'


def rect(x: float, y: float, width: float, height: float, style: str) -> str:
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" {size}/>'


def circle(x: float, y: float, radius: float, style: str) -> str:
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'


def draw_axis(axis: Axis, step: int, top: float, bottom: float, title: str) -> Iterator[str]:
    """Yield a horizontal axis, and the grid above it."""
    for value in range(0, int(axis.largest) + 1, step):
        x = at(axis, value)
        yield path(f"M{x:.1f} {top}V{bottom}", "grid" if value else "axis")
        yield text(x, bottom + 18, f"{value:,}", "muted middle")
    yield text((axis.start + axis.end) / 2, bottom + 40, title, "muted middle")


def draw_samples(scores: list[Score], height: int, genome_length: int) -> Iterator[str]:
    """Yield a row for each sample: its place in the tree, its variants, its depth and recall."""
    bottom = TOP + height * len(scores)
    named = height >= 13
    tree = Axis(MARGIN + 6, 122 if named else 158, max(len(score.descent) for score in scores))
    genome = Axis(172, 704, genome_length)
    depth = Axis(744, 904, max(10, *(score.depth for score in scores)))
    yield text(MARGIN, TOP - 12, "descent", "panel")
    yield text(genome.start, TOP - 12, "variants", "panel")
    yield text(depth.start, TOP - 12, "depth", "panel")
    if named:
        yield text(WIDTH - MARGIN - 8, TOP - 12, "recall", "panel end")
        for y in range(TOP, bottom, 2 * height):
            yield rect(MARGIN, y, WIDTH - 2 * MARGIN, height, "band")
    yield from draw_axis(genome, 1000, TOP, bottom, "position in the genome (bases)")
    yield from draw_axis(depth, 10, TOP, bottom, "depth (reads per base)")
    rows = {score.descent: TOP + height * (i + 0.5) for i, score in enumerate(scores)}
    for score in scores:
        y, x = rows[score.descent], at(tree, len(score.descent) - 1)
        counts = ", ".join(f"{len(getattr(score, kind))} {kind}" for kind in KINDS)
        yield f"<g><title>{score.name}: {counts}, depth {score.depth:.1f}</title>"
        source = score.descent[:-1]
        if source:
            yield path(f"M{at(tree, len(source) - 1):.1f} {rows[source]}V{y}H{x:.1f}", "tree")
        yield circle(x, y, min(3, height / 2), "person")
        for kind in KINDS:
            top, length = y - 0.4 * height, 0.8 * height
            places = (at(genome, place) for place in getattr(score, kind))
            yield path("".join(f"M{x:.1f} {top:.1f}v{length:.1f}" for x in places), kind)
        length = at(depth, score.depth) - depth.start
        yield rect(depth.start, y - 0.35 * height, length, 0.7 * height, "depth")
        if named:
            yield text(132, y + 4.5, score.name, "")
            yield text(WIDTH - MARGIN - 8, y + 4.5, f"{recall(score):.0%}", "end")
        yield "</g>"


def draw_recall(scores: list[Score], min_depth: int, top: int) -> Iterator[str]:
    """Yield a plot of recall and precision over depth, with the recall that theory expects."""
    depth = Axis(172, 704, max(10, *(score.depth for score in scores)) * 1.03)
    rate = Axis(top + 200, top, 1)
    yield text(depth.start, top - 18, "recall and precision over depth", "panel")
    yield from draw_axis(depth, 5, top, top + 200, "depth (reads per base)")
    for percent in range(0, 101, 25):
        y = at(rate, percent / 100)
        yield path(f"M{depth.start} {y}H{depth.end}", "grid")
        yield text(depth.start - 10, y + 4.5, f"{percent}%", "muted end")
    for score in scores:
        yield circle(at(depth, score.depth), at(rate, precision(score)), 5.5, "precision")
        yield circle(at(depth, score.depth), at(rate, recall(score)), 4, "recall")
    curve = []
    for i in range(101):
        x = depth.largest * i / 100
        curve.append(f"{at(depth, x):.1f} {at(rate, expected_recall(x, min_depth)):.1f}")
    yield path("M" + "L".join(curve), "curve")
    yield circle(756, top + 20, 4, "recall")
    yield text(774, top + 24.5, "recall: there, and found", "")
    yield circle(756, top + 46, 5.5, "precision")
    yield text(774, top + 50.5, "precision: called, and there", "")
    yield path(f"M745 {top + 72}h22", "curve")
    yield text(774, top + 76.5, f"places at least {min_depth} deep,", "")
    yield text(774, top + 93.5, "if reads fall at random", "")


def draw(scores: list[Score], genome_length: int, min_depth: int) -> Iterator[str]:
    height = max(3, min(18, 720 // len(scores)))
    middle = TOP + height * len(scores) + 100
    bottom = middle + 264
    found, missed, false = (total(scores, kind) for kind in KINDS)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" '
        f'width="{WIDTH}" height="{bottom}" role="img" aria-labelledby="title desc">'
    )
    yield '<title id="title">Variants of a virus</title>'
    yield (
        '<desc id="desc">A row for each sample: its place in the tree of infections, its variants '
        "along the genome, its depth. Below, recall and precision over depth.</desc>"
    )
    yield f"<style>{STYLE}</style>"
    yield rect(0, 0, WIDTH, bottom, "page")
    yield text(MARGIN, 40, "Variants of a virus", "heading")
    counts = f"{found:,} of {found + missed:,} found, {false:,} false"
    yield text(MARGIN, 64, f"Samples: {len(scores)}. Variants: {counts}.", "muted")
    x = MARGIN
    for kind in KINDS:
        yield path(f"M{x + 1.5} 87v14", kind)
        yield text(x + 12, 98.5, kind, "")
        x += 36 + 7 * len(kind)
    yield from draw_samples(scores, height, genome_length)
    yield from draw_recall(scores, min_depth, middle)
    yield "</svg>"


PARTS = [draw, draw_samples, draw_recall, draw_axis, at, text, path, rect, circle]
NUMBERS = [share, recall, precision, total, expected_recall]


@task(hash_includes=[PARTS, NUMBERS, KINDS, STYLE, WIDTH, MARGIN, TOP])
def draw_chart(scores: list[Score], genome_length: int, min_depth: int, path: str) -> File:
    file = File(path)
    file.write("\n".join(draw(scores, genome_length, min_depth)) + "\n", encoding="utf-8")
    return file
