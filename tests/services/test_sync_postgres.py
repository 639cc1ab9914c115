"""Sharing between a file and a server: in either direction the same records arrive."""

from __future__ import annotations

import pytest
from support import Lab
from test_sync import double, everything, text_of, total

from redun_lite._cli import main
from redun_lite._sqlite import SqliteFile
from redun_lite._sync import copy_records, export_lines, import_lines


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A file with every kind of record."""
    folder = tmp_path_factory.mktemp("recorded")
    lab = Lab(folder)
    lab.run(everything(str(folder)), tags=[("stage", "test"), ("Ordered", "ä"), ("ordered", "Z")])
    return SqliteFile(str(lab.path))


def test_a_file_imported_into_a_server_is_exported_again_to_the_byte(recorded, source):
    lines = list(export_lines(recorded))
    import_lines(lines, "x", source)
    assert list(export_lines(source)) == lines
    assert import_lines(lines, "x", source) == {}


def test_push_to_a_server_and_pull_from_it_converge(recorded, source, tmp_path):
    assert copy_records(recorded, source)["execution"] == 2
    assert copy_records(recorded, source) == {}
    third = SqliteFile(str(tmp_path / "lab.db"))
    copy_records(source, third)
    assert text_of(third) == text_of(source) == text_of(recorded)
    Lab(tmp_path).audit()


def test_what_was_run_on_a_server_goes_to_a_file_and_back(lab, source, tmp_path):
    lab.run(total([double(i) for i in range(5)]))
    (tmp_path / "own").mkdir()
    own = Lab(tmp_path / "own")
    own.run(total([double(i) for i in range(3, 7)]))
    file = SqliteFile(str(own.path))
    copy_records(file, source)
    copy_records(source, file)
    assert text_of(file) == text_of(source)
    own.audit()


def test_one_execution_is_exported_from_a_server_with_what_it_needs(lab, source, tmp_path):
    lab.run(total([double(1)]))
    lab.run(total([double(2)]))
    part = list(export_lines(source, ["-"]))
    other = SqliteFile(str(tmp_path / "other.db"))
    import_lines(part, "x", other)
    assert text_of(other) == b"".join(part)
    assert sum(b'"kind":"execution"' in line for line in part) == 1


def test_tags_and_the_prompt_work_on_a_server(recorded, source, lab, tmp_path, monkeypatch, capsys):
    copy_records(recorded, source)
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert main(["repo", "add", "server", source.address]) == 0
    assert main(["tag", "add", "-", "good=true", "--repo", "server"]) == 0
    assert main(["tag", "update", "-", "good=false", "--repo", "server"]) == 0
    capsys.readouterr()
    assert main(["tag", "list", "good", "--repo", "server"]) == 0
    assert "good=false" in capsys.readouterr().out
    assert main(["tag", "list", "--values", "--repo", "server"]) == 0
    assert "lucky" in capsys.readouterr().out
    assert main(["tag", "rm", "-", "good", "--repo", "server"]) == 0
    assert main(["pull", "server"]) == 0
