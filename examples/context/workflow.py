"""A weather report whose units are chosen outside, and reach the tasks that need them by context.

`main` and `report` know nothing of units.  Only `show_temperature` and `show_wind` ask for them, so
only their jobs depend on them.
"""

from redun_lite import get_context, task

redun_namespace = "context"

OBSERVED = {"Boston": (21.7, 4.1), "Oslo": (-3.2, 7.9), "Quito": (14.8, 2.2)}  # °C, m/s

# What a unit is called, and how many of it there are: times, and plus.
TEMPERATURES = {"celsius": ("°C", 1, 0), "fahrenheit": ("°F", 1.8, 32), "kelvin": ("K", 1, 273.15)}
WINDS = {"m/s": 1, "km/h": 3.6, "mph": 2.23694}


# An option may come from the context as well: --context observe.executor=process.
@task(executor=get_context("observe.executor", "default"), nout=2, hash_includes=[OBSERVED])
def observe(city: str) -> tuple[float, float]:
    return OBSERVED[city]


@task(hash_includes=[TEMPERATURES])
def show_temperature(
    celsius: float, unit: str = get_context("units.temperature", "celsius")
) -> str:
    sign, times, plus = TEMPERATURES[unit]
    return f"{celsius * times + plus:.1f} {sign}"


@task(hash_includes=[WINDS])
def show_wind(speed: float, unit: str = get_context("units.wind", "m/s")) -> str:
    return f"{speed * WINDS[unit]:.0f} {unit}"


@task
def report(city: str) -> str:
    temperature, wind = observe(city)
    return f"{city}: " + show_temperature(temperature) + ", wind " + show_wind(wind)


@task
def main() -> list[str]:
    # Bostonians are used to their own units, whatever the others are shown.
    american = {"units": {"temperature": "fahrenheit", "wind": "mph"}}
    return [report("Oslo"), report("Quito"), report.update_context(american)("Boston")]
