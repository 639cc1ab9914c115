"""How dense must a forest be for a fire to cross it?

For each density many small forests burn, each by a job of its own.  Sent to worker processes one by
one, such small jobs would spend their time on the way; `subrun` sends all those of one density.
"""

from random import Random

from redun_lite import subrun, task

redun_namespace = "subrun"

DENSITIES = (0.5, 0.54, 0.58, 0.62, 0.66)


@task
def burn(density: float, seed: int, size: int) -> bool:
    """Set fire to the trees on the left edge; say whether one on the right edge burns."""
    chance = Random(seed)
    trees = {(x, y) for x in range(size) for y in range(size) if chance.random() < density}
    burning = {tree for tree in trees if tree[0] == 0}
    while burning:
        trees -= burning
        burning = {
            tree
            for x, y in burning
            for tree in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1))
            if tree in trees
        }
        if any(x == size - 1 for x, _ in burning):
            return True
    return False


@task
def share(crossed: list[bool]) -> float:
    """Return how many of the fires have crossed their forest, from 0 to 1."""
    return sum(crossed) / len(crossed)


@task
def study(density: float, trials: int, size: int) -> float:
    """Return how many of some fires cross forests of a density."""
    return share([burn(density, seed, size) for seed in range(trials)])


@task
def chart(shares: dict[float, float]) -> list[str]:
    """Return a line with a bar for each density."""
    return [
        f"{density:.0%} trees: {crossed:4.0%} {'#' * round(40 * crossed)}".rstrip()
        for density, crossed in shares.items()
    ]


@task
def main(trials: int = 50, size: int = 40) -> list[str]:
    """Burn forests of several densities.

    Parameters
    ----------
    trials
        Forests of each density.
    size
        Trees along an edge, at most.
    """
    # All of `study` happens in one job on the executor "process".
    return chart(
        {density: subrun(study(density, trials, size), executor="process") for density in DENSITIES}
    )
