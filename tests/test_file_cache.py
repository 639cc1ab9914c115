"""FileCache: values of a class that are kept in files of their author's choice."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Lab

from redun_lite import FileCache, ProxyValue, StoredValueError, get_type_registry, task
from redun_lite._format_value import format_stored


class Matrix:
    def __init__(self, rows):
        self.rows = rows


class MatrixAsText(ProxyValue):
    type_name = "test_file_cache.MatrixAsText"

    def serialize(self):
        return repr(self.instance.rows).encode()

    @classmethod
    def deserialize(cls, raw_type, data):
        return Matrix(eval(data))


class MatrixCache(FileCache):
    type = Matrix
    base_path = "matrices"


class Table(Matrix):
    pass


class TableCache(FileCache, MatrixAsText):
    type = Table
    base_path = "tables"

    @classmethod
    def deserialize(cls, raw_type, data):
        return Table(super().deserialize(raw_type, data).rows)

    def get_hash(self, data=None):
        return get_type_registry().get_hash(self.instance.rows)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Lab(tmp_path)


@task(namespace="test_file_cache", version="1")
def make(rows):
    return Matrix(rows)


@task(namespace="test_file_cache", version="1")
def size(matrix):
    return len(matrix.rows)


def test_the_database_has_the_path_and_the_file_the_value(lab):
    assert lab.run(make([1, 2])).rows == [1, 2]
    (file,) = Path("matrices").iterdir()
    stored = lab.query(
        "SELECT data FROM value JOIN value_type ON value_type.id = type_id WHERE name = ?",
        MatrixCache.type_name,
    )
    assert stored == [str(file).encode()]
    assert file.name == get_type_registry().get_hash(Matrix([1, 2]))


def test_a_value_is_replayed_from_its_file_and_given_to_tasks(lab):
    assert lab.run(size(make([1, 2, 3]))) == 3
    assert lab.run(size(make([1, 2, 3]))) == 3
    assert lab.jobs() == {"make": ["CACHED"], "size": ["CACHED"]}


@pytest.mark.parametrize("problem", ["gone", "of another value", "no pickle"])
def test_a_file_that_does_not_hold_the_value_is_a_miss(lab, problem):
    lab.run(size(make([1])))
    (file,) = Path("matrices").iterdir()
    if problem == "gone":
        file.unlink()
    elif problem == "no pickle":
        file.write_bytes(b"?")
    else:
        MatrixCache(Matrix([2])).serialize()
        (other,) = set(Path("matrices").iterdir()) - {file}
        other.replace(file)
    assert lab.run(size(make([1]))) == 1
    assert lab.jobs() == {"make": ["DONE"], "size": ["CACHED"]}
    assert MatrixCache.deserialize(Matrix, str(file).encode()).rows == [1]


def test_another_proxy_may_give_the_format(lab):
    path = TableCache(Table([1, 2])).serialize()
    assert Path(path.decode()).read_text() == "[1, 2]"


def test_a_file_of_another_value_is_refused(lab):
    path = Path(MatrixCache(Matrix([1])).serialize().decode())
    wrong = path.with_name("0" * 40)
    path.rename(wrong)
    with pytest.raises(StoredValueError, match=f"{wrong} holds another value than its name tells"):
        MatrixCache.deserialize(Matrix, str(wrong).encode())


def test_a_path_is_shown_where_the_value_is(lab):
    path = MatrixCache(Matrix([1])).serialize()
    shown = format_stored(MatrixCache.type_name, len(path), path, 1_000)
    assert shown == f"<MatrixCache: {path.decode()}>"
    assert format_stored("x.Y", 2, b"a\x1b") == "<Y: cannot be shown>"
