"""A storm watch: ask every weather station for the wind, make do without some, warn if need be.

What happens next depends on what is measured, and of that there is an expression only: `if`, `try`
and `for` would want its value at once.  `cond`, `catch` and `map_` go on when the value is there.
"""

from random import Random
from typing import Any, NamedTuple, Union

from redun_lite import Task, catch, catch_all, cond, seq, task
from redun_lite.functools import map_

redun_namespace = "control_flow"


class Wind(NamedTuple):
    speed: float  # m/s
    station: str


class Rating(NamedTuple):
    force: int  # on the scale of Beaufort
    station: str


class StationDown(Exception):
    """The station of this name does not answer."""


class TooFewStations(Exception):
    """So few stations answer that nothing can be said."""


# Asking


@task
def measure(station: str, day: int) -> Wind:
    """Return the wind at a station; it is simulated, and so is that the station is down."""
    chance = Random(f"{station} on day {day}")
    if chance.random() < 0.3:
        raise StationDown(station)
    return Wind(Random(day).uniform(1, 28) * chance.uniform(0.7, 1.1), station)


@task
def ask_spare(error: StationDown, day: int) -> Wind:
    """Ask the spare of a station, which may be down as well."""
    return measure(f"{error} (spare)", day)


@task
def ask(station: str, day: int) -> Wind:
    return catch(measure(station, day), StationDown, ask_spare.partial(day=day))


@task
def leave_out_those_down(answers: list[Union[Wind, StationDown]]) -> list[Wind]:
    winds = [answer for answer in answers if isinstance(answer, Wind)]
    if 2 * len(winds) < len(answers):
        raise TooFewStations(f"{len(winds)} of {len(answers)} stations answer; it takes half")
    return winds


# Concluding


@task
def rate(wind: Wind) -> Rating:
    return Rating(round((wind.speed / 0.836) ** (2 / 3)), wind.station)


@task
def stronger(one: Rating, other: Rating) -> Rating:
    return max(one, other)


@task
def combine_all(combine: Task, values: list[Any]) -> Any:
    """Combine values by a task, whichever that is: halves of them, their halves, and so on."""
    if len(values) == 1:
        return values[0]
    middle = len(values) // 2
    return combine(combine_all(combine, values[:middle]), combine_all(combine, values[middle:]))


# Telling.  Never cached: it is for what it does, not for what it returns.


@task(cache=False)
def say(line: str) -> str:
    print(line, flush=True)
    return line


@task
def warn(storm: Rating) -> list[str]:
    """Say three things, each when the one before it has been said."""
    message = f"storm of force {storm.force} at {storm.station}: stay in"
    return seq([say("the siren goes on"), say(message), say("the siren goes off")])


@task
def main(day: int = 1, stations: int = 8) -> Any:
    """Watch for a storm.

    Parameters
    ----------
    day
        Which day it is; each has a wind of its own.
    stations
        How many weather stations there are.
    """
    answers = [ask(f"station {number}", day) for number in range(1, stations + 1)]
    winds = catch_all(answers, StationDown, leave_out_those_down)
    strongest = combine_all(stronger, map_(rate, winds))
    return cond(
        strongest.force >= 9,
        warn(strongest),
        strongest.force >= 6,
        say("strong wind: tie up your boats"),
        say("nothing to fear"),
    )
