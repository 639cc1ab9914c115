"""Lines fitted to measurements, with tags that say which of them can be relied on.

A tag is a key and a value on something that is recorded.  It changes nothing in what is computed,
and is there to find things by: a task, a job, a value, or an execution.
"""

from random import Random
from typing import NamedTuple

from redun_lite import apply_tags, task

redun_namespace = "tags"


class Line(NamedTuple):
    slope: float
    intercept: float
    r2: float  # the share of the variance that the line explains


# Tags of a task are those of all its jobs as well.
@task(tags=[("instrument", "simulated")])
def measure(sensor: str, count: int) -> list[tuple[float, float]]:
    """Return times, and what a sensor measured then; some sensors are noisier than others."""
    chance = Random(sensor)
    slope, noise = chance.uniform(-2, 2), chance.choice([0.5, 2, 8])
    return [(i / 10, slope * i / 10 + chance.gauss(0, noise)) for i in range(count)]


@task(tags=[("method", "least squares")])
def fit(points: list[tuple[float, float]]) -> Line:
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    xx = sum((x - mean_x) ** 2 for x, _ in points)
    yy = sum((y - mean_y) ** 2 for _, y in points)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
    line = Line(xy / xx, mean_y - xy / xx * mean_x, xy**2 / (xx * yy))
    quality = "good" if line.r2 > 0.8 else "poor"
    # The line is returned as it is.  Its tag stays with it wherever it turns up, also in later
    # executions; that of the job says something of this computation.
    return apply_tags(line, tags=[("quality", quality)], job_tags=[("points", count)])


@task
def choose(lines: dict[str, Line]) -> str:
    """Return the sensor whose line fits best, and tag the execution with it."""
    best = max(lines, key=lambda sensor: lines[sensor].r2)
    return apply_tags(best, execution_tags=[("best", best)])


@task
def main(sensors: int = 6, count: int = 100) -> str:
    """Measure by some sensors, fit a line to what each measured, and say whose fits best.

    Parameters
    ----------
    sensors
        How many sensors there are.
    count
        How often each measures.
    """
    names = [f"sensor {chr(65 + i)}" for i in range(sensors)]
    return choose({name: fit(measure(name, count)) for name in names})
