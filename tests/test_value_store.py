"""The value store: which values go to files, and what becomes of those that are lost."""

from __future__ import annotations

import logging
import os
import pickle
import stat
from pathlib import Path

import pytest
from killing import countdown, fork, was_killed
from support import Lab

from redun_lite import (
    ConfigError,
    RepositoryWriteError,
    StoredValueError,
    Value,
    ValueTooLarge,
    task,
)
from redun_lite._check import Checker
from redun_lite._client.log import log_lines
from redun_lite._digest import digest
from redun_lite._fs_local import LocalFileSystem
from redun_lite._history import open_history
from redun_lite._sqlite import SqliteFile
from redun_lite._uses import jobs_of_task
from redun_lite._value_store import StoredFile, ValueStore, fetch, is_safe_to_show

SMALL, LARGE = "s" * 50, "l" * 500


@pytest.fixture
def lab(tmp_path):
    return lab_in(tmp_path)


def lab_in(folder, **options):
    lab = Lab(folder)
    backend = {
        "db_uri": f"sqlite:///{lab.path}",
        "value_store_path": str(folder / "store"),
        "value_store_min_size": "200",  # More than what says that a job has not ended yet.
        **options,
    }
    lab.config = type(lab.config)({"backend": backend})
    return lab


@task(namespace="test_value_store", version="1")
def make(text):
    return text


@task(namespace="test_value_store", version="1")
def length(text):
    return len(text)


@task(namespace="test_value_store", version="1")
def whole(text):
    return make(text + text)


def files(lab):
    return sorted(path for path in (lab.folder / "store").rglob("*") if path.is_file())


def values_of(lab, kind="builtins.str"):
    return lab.query(
        "SELECT length(data) FROM value JOIN value_type ON value_type.id = type_id WHERE name = ?",
        kind,
    )


# What goes where


def test_values_over_the_size_are_in_files_and_others_in_the_database(lab):
    assert lab.run([make(SMALL), make(LARGE)]) == [SMALL, LARGE]
    (file,) = files(lab)
    assert sorted(values_of(lab))[0] == 0
    assert len([size for size in values_of(lab) if size]) == 1
    assert lab.query("SELECT size FROM stored_value") == [file.stat().st_size]
    lab.audit()


@pytest.mark.parametrize(("more", "is_stored"), [(0, False), (1, True)])
def test_a_value_of_just_the_size_stays_in_the_database(lab, more, is_stored):
    overhead = len(pickle.dumps("x" * 80, 5)) - 80
    lab.run(make("x" * (200 - overhead + more)))
    assert bool(lab.query("SELECT count(*) FROM stored_value")[0]) == is_stored


def test_a_file_is_named_after_its_content_and_spread_over_folders(lab):
    lab.run(make(LARGE))
    (file,) = files(lab)
    name = file.parent.name + file.name
    assert bytes.fromhex(name) == digest(file.read_bytes())
    assert lab.query("SELECT digest, path FROM stored_value") == [
        (bytes.fromhex(name), str(file.relative_to(lab.folder)))
    ]


def test_files_and_folders_are_private_to_the_user(lab):
    lab.run(make(LARGE))
    (file,) = files(lab)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (file.parent, file.parent.parent, lab.folder / "store"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_repositories_that_share_a_store_do_not_share_files(tmp_path):
    labs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        labs.append(lab_in(tmp_path / name, value_store_path=str(tmp_path / "store")))
        labs[-1].run(make(LARGE))
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_a_relative_path_starts_at_the_configuration(tmp_path):
    lab = lab_in(tmp_path, value_store_path="values")
    lab.config = type(lab.config)(lab.config.get_config_dict(), tmp_path / "config")
    lab.run(make(LARGE))
    assert (tmp_path / "config" / "values").is_dir()


@pytest.mark.parametrize("path", ["", "s4://bucket/values"])
def test_a_path_that_can_be_none_is_a_clear_line(tmp_path, path):
    with pytest.raises(ConfigError, match=r"\[backend\] value_store_path: ") as caught:
        lab_in(tmp_path, value_store_path=path).run(make(LARGE))
    assert "\n" not in str(caught.value)


def test_a_value_that_is_in_the_database_stays_there(tmp_path):
    lab_in(tmp_path, value_store_min_size="1000000").run(make(LARGE))
    lab = lab_in(tmp_path)
    lab.run(length(LARGE))
    assert files(lab) == []
    lab.audit()


def test_parts_of_a_value_that_have_hooks_of_their_own_are_stored_too(lab):
    lab.run(make([Text(LARGE)]))
    assert lab.query("SELECT count(*) FROM stored_value") == [2]
    assert lab.run(make([Text(LARGE)]))[0].text == LARGE
    assert lab.jobs() == {"make": ["CACHED"]}


class Text(Value):
    def __init__(self, text):
        self.text = text


# Reading back


def test_a_stored_value_is_replayed(lab):
    lab.run(whole(LARGE))
    assert lab.run(whole(LARGE)) == LARGE + LARGE
    assert lab.jobs() == {"make": ["CACHED"], "whole": ["CACHED"]}


def test_a_repository_may_be_moved_with_its_store(lab, tmp_path):
    lab.run(make(LARGE))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("lab.db", "store"):
        (lab.folder / name).rename(moved / name)
    there = lab_in(moved)
    assert there.run(make(LARGE)) == LARGE
    assert there.jobs() == {"make": ["CACHED"]}


def test_values_are_found_where_they_are_when_the_store_moves_on(tmp_path):
    lab_in(tmp_path).run(make(LARGE))
    lab = lab_in(tmp_path, value_store_path=str(tmp_path / "other"))
    lab.run(make(LARGE))
    assert lab.jobs() == {"make": ["CACHED"]}


def break_file(path, how):
    if how == "missing":
        path.unlink()
    elif how == "damaged: it has 3 bytes":
        path.write_bytes(b"abc")
    else:
        path.write_bytes(bytes(path.stat().st_size))


LOST = ["missing", "damaged: it has 3 bytes", "damaged: it has other bytes"]


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("check_valid", ["full", "shallow"])
def test_a_lost_value_is_a_miss_with_a_warning_and_is_stored_again(lab, how, check_valid, caplog):
    expr = make.options(check_valid=check_valid)(LARGE)
    lab.run(expr)
    (file,) = files(lab)
    break_file(file, how)
    with caplog.at_level(logging.WARNING):
        assert lab.run(expr) == LARGE
    assert lab.jobs() == {"make": ["DONE"]}
    (message,) = caplog.messages
    assert f"its file {file} is {how}" in message
    assert message.endswith(": what made it runs again")
    caplog.clear()
    assert lab.run(expr) == LARGE
    assert lab.jobs() == {"make": ["CACHED"]}
    assert not caplog.messages
    lab.audit()


@pytest.mark.parametrize("how", LOST)
def test_a_lost_value_is_shown_as_an_error(lab, how):
    lab.run(make(LARGE))
    (file,) = files(lab)
    break_file(file, how)
    shown = "\n".join(log_of(lab, "make"))
    assert "StoredValueError" in shown
    assert f"its file {file} is {how}" in shown


def test_a_stored_value_is_shown_like_any_other(lab):
    lab.run(make(LARGE))
    assert any("lllll" in line for line in log_of(lab, "make"))
    with open_history(str(lab.path)) as history:
        (row,) = lab.query("SELECT value_id FROM stored_value")
        assert history.value(row, max_size=200).data is None
        assert history.value(row).size == files(lab)[0].stat().st_size


def log_of(lab, name):
    with open_history(str(lab.path)) as history:
        (job,) = jobs_of_task(history, f"test_value_store.{name}", 1)
        return list(_log_lines(lab, history.job_id(job)))


def _log_lines(lab, word):
    from redun_lite._display import Palette

    return log_lines(SqliteFile(str(lab.path)), word, Palette(False), None, True)


def test_to_look_at_a_value_opens_no_urls_and_no_devices(tmp_path):
    home = str(tmp_path)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert is_safe_to_show(StoredFile(b"", 0, "file"), home)
    assert is_safe_to_show(StoredFile(b"", 0, "missing"), home)
    assert not is_safe_to_show(StoredFile(b"", 0, "pipe"), home)
    assert not is_safe_to_show(StoredFile(b"", 0, "/dev/zero"), home)
    assert not is_safe_to_show(StoredFile(b"", 0, "http://host/file"), home)


# Writing safely


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *words, name=name, call=call: (events.append(name), call(*words))
        )
    store = ValueStore(str(tmp_path / "store"), None)
    file = store.put(b"data")
    assert events[-3:] == ["fsync", "replace", "fsync"]
    assert fetch(file, None, "it") == b"data"
    events.clear()
    assert store.put(b"data") == file
    assert events == []


def test_a_row_comes_after_its_file(lab, monkeypatch):
    with lab.scheduler() as scheduler:
        writer = scheduler.backend._writer._writer
        write_batch = writer._write_batch
        there = []

        def write(batch):
            there.append(len(files(lab)))
            write_batch(batch)

        monkeypatch.setattr(writer, "_write_batch", write)
        scheduler.run(make(LARGE))
    assert there[-1] == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 9, 11])
def test_a_run_that_is_killed_leaves_no_row_without_its_file(lab, n):
    values = [LARGE + str(number) for number in range(3)]

    def run():
        call = countdown(n)
        for name in ("fsync", "replace"):
            original = getattr(os, name)
            setattr(os, name, lambda *words, original=original: (call(), original(*words))[1])
        lab.run([make(value) for value in values])

    assert was_killed(fork(run))
    assert problems(lab) == []
    assert lab.run([make(value) for value in values]) == values
    assert problems(lab) == []
    assert set(files(lab)) >= {
        lab.folder / path for path in lab.query("SELECT path FROM stored_value")
    }


def problems(lab):
    database = SqliteFile(str(lab.path)).connect(read_only=True)
    try:
        return list(Checker(database).problems())
    finally:
        database.close()


def test_a_store_that_cannot_be_written_ends_the_run_and_says_so(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(RepositoryWriteError, match=r"cannot write to the value store .*/store/"):
        lab_in(tmp_path).run(make(LARGE))


def test_an_unfinished_file_is_removed_if_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(RepositoryWriteError, match="No space left"):
        ValueStore(str(tmp_path), None).put(b"data")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_any_file_system_will_do(tmp_path, monkeypatch):
    class Bucket(LocalFileSystem):
        name = "bucket"

        def _local(self, path):
            return str(tmp_path / "bucket" / path[len("bucket://") :])

        def open_raw(self, path, access):
            return super().open_raw(self._local(path), access)

        def filesize(self, path):
            return super().filesize(self._local(path))

        def remove(self, path):
            super().remove(self._local(path))

        def scan(self, path):
            start = len(str(tmp_path / "bucket")) + 1
            found = super().scan(self._local(path))
            return [(f"bucket://{name[start:]}", key) for name, key in found]

    from redun_lite import _fs_registry

    monkeypatch.setitem(_fs_registry._classes, "bucket", Bucket)
    (tmp_path / "lab").mkdir()
    lab = lab_in(tmp_path / "lab", value_store_path="bucket://values/")
    lab.run([make(LARGE), make(LARGE + "2")])
    lab.run([make(LARGE), make(LARGE + "2")])
    assert lab.jobs() == {"make": ["CACHED", "CACHED"]}
    (path, _) = sorted(lab.query("SELECT path FROM stored_value"))
    assert path.startswith("bucket://values/")
    root = path.rsplit("/", 2)[0]
    assert {found for found, _ in ValueStore(root, None).files()} == set(
        lab.query("SELECT path FROM stored_value")
    )
    for file in Path(tmp_path / "bucket").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(StoredValueError, match=f"it: its file {path} is missing"):
        fetch(StoredFile(b"", 1, path), None, "it")


# max_value_size


@pytest.mark.parametrize("store", [{}, {"value_store_path": None}])
def test_a_result_over_the_limit_is_an_error_that_names_the_task(tmp_path, store):
    lab = lab_in(tmp_path, max_value_size="300")
    backend = {k: v for k, v in lab.config.get_config_dict()["backend"].items() if k not in store}
    lab.config = type(lab.config)({"backend": backend})
    with pytest.raises(ValueTooLarge) as caught:
        lab.run(whole("x" * 200))
    size = len(pickle.dumps("x" * 400, 5))
    assert str(caught.value).startswith(
        f"argument 'text' of test_value_store.make: str of {size} bytes is more than [backend] "
        "max_value_size = 300 lets be recorded; "
    )
    with pytest.raises(ValueTooLarge, match=r"^result of test_value_store\.grow: list of "):
        lab.run(grow())
    assert lab.run(make("x" * 200)) == "x" * 200


@task(namespace="test_value_store", version="1")
def grow():
    return [LARGE]


def test_a_result_that_grows_over_the_limit_later_is_an_error_too(tmp_path):
    lab = lab_in(tmp_path, max_value_size="350")
    with pytest.raises(ValueTooLarge, match=r"^result of test_value_store\.both: list of "):
        lab.run(both())


@task(namespace="test_value_store", version="1")
def both():
    return [make("a" * 200), make("b" * 200)]
