"""When to bring in the harvest, by the forecasts of another project.

That project's code is not imported here.  `forecast` is the name of an entry in its published
configuration, which says where the task is and what runs it.
"""

from redun_lite import federated_task, task

redun_namespace = "harvest"


@task
def choose(forecast: list[dict[str, float]]) -> str:
    """Return the driest day, and of equally dry ones the sunniest."""
    best = min(forecast, key=lambda day: (day["rain"], -day["sun"]))
    return f"day {best['day']:.0f}: {best['sun']} h of sun, {best['rain']} mm of rain"


@task
def plan(field: str, days: int) -> str:
    return field + ", " + choose(federated_task("forecast", field, days=days))


@task
def main(fields: tuple[str, ...] = ("hill", "meadow", "river"), days: int = 10) -> list[str]:
    """Choose a day for the harvest of each field.

    Parameters
    ----------
    fields
        Names of fields.
    days
        How far to look ahead.
    """
    return [plan(field, days) for field in fields]
