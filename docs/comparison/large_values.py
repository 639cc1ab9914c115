"""Large values: a value store, a limit, FileCache."""

from __future__ import annotations

from pathlib import Path

from .case import BAD_INPUT, Fact, case, ran
from .engine import FileCache, task

redun_namespace = "large_values"

STORE = {
    "backend": {
        "db_uri": "sqlite:///case.db",
        "value_store_path": "store",
        "value_store_min_size": "1000",
    }
}
LIMIT = {"backend": {"db_uri": "sqlite:///case.db", "max_value_size": "1000"}}


class Matrix:
    """A class whose instances are kept in files."""

    def __init__(self, rows):
        self.rows = rows


class MatrixCache(FileCache):
    """Says where."""

    type = Matrix
    base_path = "matrices"


@task
def letters(count):
    ran("letters", count)
    return "a" * count


@task
def length(text):
    ran("length")
    return len(text)


@task
def matrix(rows):
    ran("matrix")
    return Matrix(rows)


@task
def rows_of(value):
    ran("rows_of")
    return value.rows


def files_below(folder):
    """Return the files in a folder of that name, wherever it is."""
    return [path for path in Path().rglob("*") if path.is_file() and folder in path.parts]


@case("Values over the size are in files, and replayed from them", config=STORE)
def stored():
    yield length(letters(10))
    yield Fact(f"files: {len(files_below('store'))}")
    yield length(letters(2000))
    yield Fact(f"files: {len(files_below('store'))}")
    yield length(letters(2000))


@case("A value whose file is gone is made again", config=STORE)
def lost():
    yield length(letters(2000))
    for file in files_below("store"):
        file.unlink()
    yield length(letters(2000))
    yield length(letters(2000))


@case(
    "A value whose file is damaged",
    why="What is in a file is compared with its digest.",
    config=STORE,
)
def damaged():
    yield length(letters(2000))
    for file in files_below("store"):
        file.write_bytes(file.read_bytes().replace(b"aaa", b"bbb"))
    yield length(letters(2000))


@case("A result over max_value_size", why=BAD_INPUT, config=LIMIT)
def too_large():
    yield letters(10)
    yield letters(2000)


@case("FileCache keeps instances of a class in files")
def file_cache():
    yield rows_of(matrix([1, 2]))
    yield Fact(f"files: {len(files_below('matrices'))}")
    yield rows_of(matrix([1, 2]))


@case("A FileCache whose file is gone")
def file_cache_lost():
    yield rows_of(matrix([1, 2]))
    for file in files_below("matrices"):
        file.unlink()
    yield rows_of(matrix([1, 2]))


@case(
    "A FileCache whose file holds another value",
    why="A file is named after the key of its value, and compared with that.",
)
def file_cache_changed():
    yield rows_of(matrix([1, 2]))
    (first,) = files_below("matrices")
    yield rows_of(matrix([3, 4]))
    (second,) = set(files_below("matrices")) - {first}
    first.write_bytes(second.read_bytes())
    yield rows_of(matrix([1, 2]))
