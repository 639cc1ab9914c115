"""The other project: weather forecasts, each the mean of several runs of a model."""

from random import Random

from redun_lite import get_context, task

redun_namespace = "forecasts"


@task
def simulate(place: str, days: int, member: int) -> list[tuple[float, float]]:
    """Return hours of sun and millimetres of rain for each day, by one run of the model."""
    chance = Random(f"{place} {member}")
    wet = chance.random()
    weather = []
    for _ in range(days):
        wet = min(1.0, max(0.0, wet + chance.gauss(0, 0.3)))  # The weather lasts.
        weather.append((12 * (1 - wet), 20 * wet if wet > 0.5 else 0.0))
    return weather


@task
def average(runs: list[list[tuple[float, float]]]) -> list[dict[str, float]]:
    return [
        {
            "day": day,
            "sun": round(sum(sun for sun, _ in weather) / len(weather), 1),
            "rain": round(sum(rain for _, rain in weather) / len(weather), 1),
        }
        for day, weather in enumerate(zip(*runs), start=1)
    ]


@task
def forecast(
    place: str, days: int = 7, members: int = get_context("model.members")
) -> list[dict[str, float]]:
    """Return the sun and rain of the next days at a place."""
    return average([simulate(place, days, member) for member in range(members)])
