"""Handles, and classes of values."""

# pyright: strict

from __future__ import annotations

import sqlite3
from typing import Any

from redun_lite import Handle, Value, get_current_scheduler, merge_handles, task


class Database(Handle):
    def __init__(self, name: str, path: str, timeout: float = 5.0) -> None:
        self.path = path
        self.instance = sqlite3.connect(path, timeout)

    def tables(self) -> list[str]:
        return [name for (name,) in self.instance.execute("SELECT name FROM sqlite_master")]


class Other(Handle):
    pass


class Temperature(Value):
    type_name = "cases.Temperature"

    def __init__(self, celsius: float) -> None:
        self.celsius = celsius

    def get_hash(self, data: bytes | None = None) -> str:
        return str(self.celsius)


class Broken(Value):
    def is_valid(self) -> str:
        # mypy error: incompatible with return type "bool"
        # pyright error: "is_valid" overrides class "Value" in an incompatible manner
        return "yes"


@task
def load(db: Database, rows: list[tuple[str, int]]) -> Database:
    db.executemany("INSERT INTO reading VALUES (?, ?)", rows)
    return db


@task
def warm(temperature: Temperature, degrees: float) -> Temperature:
    return Temperature(temperature.celsius + degrees)


db = Database("db", "data.db")
Database("db")
# mypy error: Missing positional argument "path"
# pyright error: Argument missing for parameter "path"
Database("db", "data.db", "5")  # error: "float"

reveal_type(load(db, []))  # reveals: Database
reveal_type(load(db, []).tables())  # reveals: list[str]
reveal_type(load(db, []).path)  # reveals: str
reveal_type(db.execute)  # reveals: Any
reveal_type(db.fork("a"))  # reveals: Database
reveal_type(merge_handles([db.fork("a"), load(db.fork("b"), [])]))  # reveals: Database
load(Other("other"), [])  # error: "Database"
load(merge_handles([Other("other")]), [])
# mypy error: "Database"
# pyright error: "Database"
merge_handles([1])
# mypy error: Value of type variable "H" of "__call__" of "SchedulerTask" cannot be "int"
# pyright error: "Literal[1]" is not assignable to "Handle"

reveal_type(warm(Temperature(20), 1.5).celsius)  # reveals: float
warm(20, 1.5)  # error: "Temperature"

reveal_type(get_current_scheduler())  # reveals: Scheduler
reveal_type(get_current_scheduler(required=False))  # reveals: Scheduler | None


def settings() -> dict[str, Any]:
    scheduler = get_current_scheduler()
    return {"executors": list(scheduler.executors)}
