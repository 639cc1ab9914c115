"""The command `db` on a repository on a server."""

from __future__ import annotations

from contextlib import closing

from test_check import add, whole

from redun_lite._cli import main


def test_what_is_broken_on_a_server_is_found(lab, capsys):
    lab.run([whole([1, 2]), add("a", "b")])
    assert main(["db", "check", "--repo", lab.uri]) == 0
    assert capsys.readouterr().out.startswith("0 problems in 1 execution, ")
    with closing(lab.source.connect()) as database:
        database.execute("UPDATE job SET task_id = 999999")
        database.execute("DELETE FROM argument WHERE position = 1")
    assert main(["db", "check", "--repo", lab.uri]) == 1
    out = capsys.readouterr().out
    assert "task_id 999999 is not in task" in out
    assert "its key is not that of its task and arguments" in out


def test_info_of_a_server_counts_records(lab, capsys):
    lab.run(add(1, 2))
    assert main(["db", "info", "--repo", lab.uri]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["database", lab.uri] in lines
    assert ["executions", "1"] in lines


def test_what_the_server_has_programs_for_is_left_to_them(lab, tmp_path, capsys):
    for words in (["vacuum"], ["backup", str(tmp_path / "copy")]):
        assert main(["db", *words, "--repo", lab.uri]) == 2
        assert "is on a server, which has programs of its own for that" in capsys.readouterr().err
