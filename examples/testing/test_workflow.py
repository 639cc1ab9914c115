"""Tests of the workflow: single tasks, the whole, and what runs again after a change."""

from __future__ import annotations

import pytest
from workflow import convert, main, read_rates

from redun_lite import File
from redun_lite.testing import assert_cached, assert_ran


def test_a_price_is_converted_to_every_currency():
    assert convert.func(2.0, {"USD": 1.5, "GBP": 0.5}) == {"USD": 3.0, "GBP": 1.0}


def test_all_prices_are_converted(scheduler, tmp_path):
    rates = tmp_path / "rates.txt"
    rates.write_text("USD = 2\n")
    assert scheduler.run(main([1.0, 3.0], str(rates))) == [{"USD": 2.0}, {"USD": 6.0}]
    assert_ran(scheduler, convert, times=2)


def test_a_line_without_a_rate_is_named(scheduler, tmp_path):
    rates = tmp_path / "rates.txt"
    rates.write_text("USD = 2\nGBP\n")
    with pytest.raises(ValueError, match=r"rates.txt:2: expected CURRENCY = RATE, got 'GBP'"):
        scheduler.run(read_rates(File(str(rates))))


def test_new_rates_are_read_and_a_run_without_changes_does_nothing(tmp_repository, tmp_path):
    rates = tmp_path / "rates.txt"
    rates.write_text("USD = 2\n")
    tmp_repository.run(main([1.0], str(rates)))
    tmp_repository.run(main([1.0], str(rates)))
    assert_cached(tmp_repository)
    rates.write_text("USD = 2.5\n")
    assert tmp_repository.run(main([1.0], str(rates))) == [{"USD": 2.5}]
    assert_ran(tmp_repository, read_rates, convert)
