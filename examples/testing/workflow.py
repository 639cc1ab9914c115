"""Prices in several currencies: a small workflow, with tests beside it in `test_workflow.py`."""

from __future__ import annotations

from redun_lite import File, task
from redun_lite.functools import map_

redun_namespace = "prices"


@task
def read_rates(file: File) -> dict[str, float]:
    """Return how much of each currency one unit of the base currency buys."""
    rates = {}
    for number, line in enumerate(file.readlines(), 1):
        currency, equals, rate = line.partition("=")
        if not equals:
            raise ValueError(
                f"{file.path}:{number}: expected CURRENCY = RATE, got {line.strip()!r}"
            )
        rates[currency.strip()] = float(rate)
    return rates


@task
def convert(price: float, rates: dict[str, float]) -> dict[str, float]:
    return {currency: round(price * rate, 2) for currency, rate in rates.items()}


@task
def main(
    prices: tuple[float, ...] = (9.5, 20.0), rates: str = "rates.txt"
) -> list[dict[str, float]]:
    return map_(convert.partial(rates=read_rates(File(rates))), prices)
