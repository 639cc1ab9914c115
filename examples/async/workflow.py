"""Tune a simulated annealer by successive halving: a loop whose next turn depends on the last one.

Many settings are tried for a short time, the better half of them for twice as long, and so on
until one is left.  Which settings go on is only known once the others have ended, so a task that
plans all calls ahead would have to be cut into pieces.  An async task just awaits them.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import NamedTuple

from redun_lite import task

redun_namespace = "tuning"


class Setting(NamedTuple):
    """How an annealer behaves."""

    heat: float
    cooling: float
    stride: float


def energy(x: float, y: float) -> float:
    """Return the height of a landscape with many valleys; the deepest is 0, at the origin."""
    waves = math.cos(2 * math.pi * x) + math.cos(2 * math.pi * y)
    return 20 + x * x + y * y - 10 * waves


@task
def settings(count: int, seed: int) -> list[Setting]:
    """Draw settings at random."""
    draw = random.Random(seed)
    return [
        Setting(10 ** draw.uniform(-1, 2), draw.uniform(0.9, 0.999), 10 ** draw.uniform(-2, 0.5))
        for _ in range(count)
    ]


@task(executor="process", hash_includes=[energy])
def anneal(setting: Setting, steps: int, seed: int) -> float:
    """Return the energy that a run with a setting ends at, as a mean of several starts."""
    total = 0.0
    for start in range(8):
        draw = random.Random(seed * 1000 + start)
        x, y = draw.uniform(-5, 5), draw.uniform(-5, 5)
        height, heat = energy(x, y), setting.heat
        for _ in range(steps):
            there = (x + draw.gauss(0, setting.stride), y + draw.gauss(0, setting.stride))
            risen = energy(*there) - height
            if risen < 0 or draw.random() < math.exp(-risen / heat):
                (x, y), height = there, height + risen
            heat *= setting.cooling
        total += height
    return total / 8


@task
async def main(count: int = 16, steps: int = 100, seed: int = 1) -> list[str]:
    report = []
    running = await settings(count, seed)
    while True:
        ends = await asyncio.gather(*(anneal(setting, steps, seed) for setting in running))
        ranked = sorted(zip(ends, running))
        best, setting = ranked[0]
        report.append(
            f"{len(running):2} × {steps:4} steps: {best:5.3f} with heat {setting.heat:.2f}, "
            f"cooling {setting.cooling:.3f}, stride {setting.stride:.2f}"
        )
        if len(running) == 1 or best < 0.001:
            return report
        running = [setting for _, setting in ranked[: max(1, len(running) // 2)]]
        steps *= 2
