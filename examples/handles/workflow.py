"""Readings of weather stations, from one SQLite database into another.

The databases go through the tasks as handles.  A handle is known by what was done to it, so a task
that writes returns the handle, and what reads afterwards is given that one.  Each station is a
branch of its own: a change of one leaves the others alone.
"""

import csv
import os
import random
import sqlite3
from pathlib import Path

from redun_lite import File, Handle, merge_handles, task

redun_namespace = "handles"

HERE = Path(__file__).resolve().parent

SOURCE_TABLES = """
CREATE TABLE IF NOT EXISTS reading (station INTEGER, day INTEGER, celsius REAL);
"""
WAREHOUSE_TABLES = """
CREATE TABLE IF NOT EXISTS day (station INTEGER, day INTEGER, celsius REAL);
CREATE TABLE IF NOT EXISTS month (month INTEGER, coldest REAL, mean REAL, warmest REAL);
"""


class Database(Handle):
    """An SQLite file.  A connection is opened wherever a task uses the handle."""

    def __init__(self, name: str, path: str) -> None:
        self.instance = sqlite3.connect(path)

    def is_valid(self) -> bool:
        """Say whether the database can be what it was; if its file is gone or empty, it cannot."""
        _, path = self.__handle__.args
        return os.path.exists(path) and os.path.getsize(path) > 0 and super().is_valid()


# A task may run again on what it, or an earlier version of it, has written before.  So each one
# replaces its part of the table, in a transaction: `with db.instance` commits, or rolls back.


@task
def create(db: Database, tables: str) -> Database:
    db.executescript(tables)
    return db


@task
def measure(source: Database, station: int, days: int) -> Database:
    """Stand in for what fills the source: write the readings of a station, three a day."""
    rng = random.Random(station)
    mean = rng.uniform(2, 14)
    rows = [
        (station, day, mean - 10 * abs(day % 365 - 182) / 182 + rng.gauss(5, 3))
        for day in range(days)
        for _ in range(3)
    ]
    with source.instance:
        source.execute("DELETE FROM reading WHERE station = ?", (station,))
        source.executemany("INSERT INTO reading VALUES (?, ?, ?)", rows)
    return source


@task
def extract(source: Database, station: int) -> list[tuple[int, float]]:
    """Return the mean of each day."""
    return source.execute(
        "SELECT day, avg(celsius) FROM reading WHERE station = ? GROUP BY day", (station,)
    ).fetchall()


@task
def load(warehouse: Database, station: int, rows: list[tuple[int, float]]) -> Database:
    with warehouse.instance:
        warehouse.execute("DELETE FROM day WHERE station = ?", (station,))
        warehouse.executemany("INSERT INTO day VALUES (?, ?, ?)", [(station, *row) for row in rows])
    return warehouse


@task
def summarise(warehouse: Database, stations: int) -> Database:
    """Summarise the first stations; earlier runs may have loaded more."""
    with warehouse.instance:
        warehouse.execute("DELETE FROM month")
        warehouse.execute(
            "INSERT INTO month SELECT day / 30, min(celsius), avg(celsius), max(celsius) "
            "FROM day WHERE station < ? GROUP BY day / 30",
            (stations,),
        )
    return warehouse


@task
def report(warehouse: Database, target: str) -> File:
    file = File(target)
    with file.open("w") as stream:
        table = csv.writer(stream)
        table.writerow(("month", "coldest", "mean", "warmest"))
        for row in warehouse.execute("SELECT * FROM month ORDER BY month"):
            table.writerow(round(value, 1) for value in row)
    return file


@task
def main(stations: int = 8, days: int = 360, out: Path = HERE / "build") -> File:
    # This task makes the handles.  One that is given a handle is taken to change what is behind it.
    out.mkdir(parents=True, exist_ok=True)
    source = create(Database("source", str(out / "source.db")), SOURCE_TABLES)
    warehouse = create(Database("warehouse", str(out / "warehouse.db")), WAREHOUSE_TABLES)
    loaded = [
        load(warehouse, station, extract(measure(source, station, days), station))
        for station in range(stations)
    ]
    summary = summarise(merge_handles(loaded), stations)
    return report(summary, str(out / "months.csv"))
