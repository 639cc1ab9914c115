"""The command `tag`, and the tags that `run` gives."""

from __future__ import annotations

import json
import sqlite3

import pytest

from redun_lite import File, apply_tags, task
from redun_lite._cli import main
from redun_lite._config import Config
from redun_lite._scheduler import Scheduler

WORKFLOW = """
from redun_lite import task

@task(namespace="tagged", version="1")
def main(n: int = 1):
    return n
"""


@task(namespace="tags", version="1", tags=[("step", "read")])
def read(path):
    return File(path)


@task(namespace="tags", version="1")
def sample(path):
    return apply_tags(read(path), [("sample", 7), ("sample", "7"), ("info", {"a": [1]})])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a configuration and one execution with tags of all kinds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    (tmp_path / "reads").write_text("ACGT")
    assert main(["init"]) == 0
    with Scheduler(Config.from_dir(tmp_path / ".redun_lite")) as scheduler:
        scheduler.run(sample("reads"), tags=[("stage", "test"), ("n", 3)])
    return tmp_path


@pytest.fixture
def tag(here, capsys):
    """Runs `tag`; returns exit code, output and what was said besides."""

    def run(*words):
        capsys.readouterr()
        code = main(["tag", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def query(here, sql, *parameters):
    connection = sqlite3.connect(here / ".redun_lite" / "redun_lite.db")
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def tags_of(here, entity):
    return set(query(here, "SELECT key, value FROM tag WHERE entity = ?", entity))


def test_list_counts_the_records_of_each_key(tag):
    code, shown, _ = tag("list")
    assert code == 0
    assert [line.split(None, 1) for line in shown.splitlines()] == [
        ["KEY", "ON"],
        ["info", "1 value"],
        ["n", "1 execution"],
        ["sample", "2 values"],
        ["stage", "1 execution"],
        ["step", "1 job, 1 task"],
    ]


def test_list_counts_values_if_asked_to(tag):
    _, shown, _ = tag("list", "--values")
    assert ["sample", "7", "1", "value"] in [line.split() for line in shown.splitlines()]
    assert ["sample", '"7"', "1", "value"] in [line.split() for line in shown.splitlines()]


def test_list_shows_the_tags_of_a_record(tag, here):
    ((uuid,),) = query(here, "SELECT uuid FROM execution")
    _, shown, _ = tag("list", "-")
    assert [line.split() for line in shown.splitlines()] == [
        ["RECORD", "ID", "TAG"],
        ["execution", uuid[:8], "n=3"],
        ["execution", uuid[:8], 'stage="test"'],
    ]


def test_list_shows_the_tags_of_a_file(tag, here):
    _, shown, _ = tag("list", "reads", "--format", "json")
    found = json.loads(shown)
    assert {(row["kind"], row["key"]) for row in found} == {("file", "sample"), ("file", "info")}
    assert {"a": [1]} in [row["value"] for row in found]


def test_list_finds_records_by_key_and_by_value(tag, here):
    ((uuid,),) = query(here, "SELECT uuid FROM execution")
    assert tag("list", "stage=test")[1].splitlines()[1].split() == [
        "execution",
        uuid[:8],
        'stage="test"',
    ]
    assert len(tag("list", "sample")[1].splitlines()) == 3
    code, shown, told = tag("list", "stage=other")
    assert (code, shown) == (1, "")
    assert told.startswith("redun_lite: no tags with stage=other in ")
    assert tag("list", "stage=other", "--format", "json")[:2] == (1, "[]\n")
    on = [line.split()[:2] for line in tag("list", "step")[1].splitlines()[1:]]
    assert [kind for kind, _ in on] == ["task", "job"]
    assert on[1][1].startswith(f"{uuid[:8]}-")


def test_a_value_matches_as_json_and_as_text(tag):
    shown = tag("list", "sample=7")[1]
    assert "sample=7\n" in shown
    assert 'sample="7"' in shown


@pytest.mark.parametrize("name", ["-", "tags.read", "reads"])
def test_tags_are_added_to_records_of_any_kind(tag, here, name):
    code, shown, told = tag("add", name, "good=true", 'note={"by": "ada"}', "word=fine")
    assert (code, shown) == (0, "")
    assert f"{name}: added good=true\n" in told
    found = json.loads(tag("list", name, "--format", "json")[1])
    values = {row["key"]: row["value"] for row in found}
    assert values["good"] is True
    assert values["note"] == {"by": "ada"}
    assert values["word"] == "fine"


def test_jobs_and_calls_are_tagged_by_their_ids(tag, here):
    ((uuid,),) = query(here, "SELECT uuid FROM execution")
    assert tag("add", f"{uuid[:8]}-1", "a=1")[0] == 0
    assert tags_of(here, f"{uuid[:8]}-1") == {("a", "1")}
    ((key, outcome),) = query(
        here,
        "SELECT key, outcome FROM call JOIN task ON task.id = task_id WHERE fullname = 'tags.read'",
    )
    call = (key + outcome.to_bytes(8, "big", signed=True)).hex()
    assert tag("add", call, "b=2")[0] == 0
    assert tags_of(here, call) == {("b", "2")}
    assert tag("list", "b")[1].splitlines()[1].split() == ["call", call[:8], "b=2"]


def test_a_task_is_told_from_a_value_among_those_that_have_a_tag(tag):
    tag("add", "tags.read", "sample=7")
    assert "sample  2 values, 1 task\n" in tag("list")[1]
    assert {row.split()[0] for row in tag("list", "sample")[1].splitlines()[1:]} == {
        "value",
        "task",
    }


def test_text_in_other_letters_is_shown_as_it_is(tag):
    assert tag("add", "-", "place=Zürich")[2] == '-: added place="Zürich"\n'
    assert 'place="Zürich"' in tag("list", "place")[1]
    assert '"Zürich"' in tag("list", "--values")[1]


def test_add_keeps_other_tags_of_the_key_and_update_replaces_them(tag, here):
    ((uuid,),) = query(here, "SELECT uuid FROM execution")
    assert tag("add", "-", "n=4")[0] == 0
    assert tags_of(here, uuid) >= {("n", "3"), ("n", "4")}
    assert tag("add", "-", "n=4")[2] == "-: n=4 as before\n"
    assert tag("update", "-", "n=5")[2] == "-: set n=5\n"
    assert {row for row in tags_of(here, uuid) if row[0] == "n"} == {("n", "5")}


def test_rm_removes_one_value_or_all_of_a_key(tag, here):
    ((uuid,),) = query(here, "SELECT uuid FROM execution")
    tag("add", "-", "n=4")
    assert tag("rm", "-", "n=4")[2] == "-: removed n=4\n"
    assert ("n", "3") in tags_of(here, uuid)
    assert tag("rm", "-", "n", "stage")[0] == 0
    assert tags_of(here, uuid) == set()
    assert tag("rm", "-", "n")[2] == "-: there was no n\n"


def test_the_type_of_a_value_counts_when_it_is_removed(tag, here):
    ((uuid,),) = query(here, "SELECT uuid FROM execution")
    tag("add", "-", 'n="3"')
    tag("rm", "-", 'n="3"')
    assert ("n", "3") in tags_of(here, uuid)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "tag: say what to do: list, add, update, rm; `help tag` says more"),
        (["add", "-"], "the following arguments are required"),
        (["add", "-", "n"], "tag add: expected KEY=VALUE, got 'n'"),
        (["add", "-", "=3"], "tag add: expected KEY=VALUE, got '=3'"),
        (["rm", "-", "=3"], "tag rm: expected KEY or KEY=VALUE, got '=3'"),
        (["add", "feed", "n=1"], "'feed'"),
        (["list", "feed"], "'feed'"),
    ],
)
def test_what_cannot_work_is_one_line(tag, words, expected):
    code, _, told = tag(*words)
    assert code == 2
    assert expected in told
    assert told.count("\n") == 1


def test_a_wrong_tag_changes_nothing(tag, here):
    before = query(here, "SELECT * FROM tag")
    assert tag("add", "-", "good=1", "bad")[0] == 2
    assert query(here, "SELECT * FROM tag") == before


def test_where_nothing_is_recorded_there_are_no_tags(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tag", "list"]) == 1
    assert "nothing is recorded yet" in capsys.readouterr().err
    assert main(["tag", "add", "-", "a=1"]) == 2


def test_a_tag_that_is_no_json_can_be_shown(tag, here):
    connection = sqlite3.connect(here / ".redun_lite" / "redun_lite.db")
    with connection:
        connection.execute("UPDATE tag SET value = '{' WHERE key = 'n'")
    connection.close()
    assert '"{"' in tag("list", "n", "--format", "json")[1]


# Of executions


def run_tags(folder, *words):
    (folder / "flow.py").write_text(WORKFLOW)
    assert main(["run", "-q", *words, "flow.py", "main"]) == 0
    return dict(query(folder, "SELECT key, value FROM tag ORDER BY id"))


def make_checkout(folder):
    git = folder / ".git"
    git.mkdir()
    (git / "HEAD").write_text("1" * 40)
    (git / "config").write_text('[remote "origin"]\nurl = https://ada:pw@example.com/x.git\n')


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    monkeypatch.setenv("LOGNAME", "ada")
    return tmp_path


def test_a_run_tells_the_commit_and_the_origin_of_its_code(empty):
    make_checkout(empty)
    tags = run_tags(empty)
    assert tags["git_commit"] == json.dumps("1" * 40)
    assert tags["git_origin_url"] == '"https://example.com/x.git"'
    assert tags["user"] == '"ada"'
    assert tags["project"] == '"tagged"'
    assert "git_dirty" not in tags  # This is no repository that git would take.


def test_a_run_tells_whether_its_code_differs_from_the_commit(empty, monkeypatch):
    make_checkout(empty)
    monkeypatch.setattr("redun_lite._client.run.DirtyCheck", lambda checkout: Answer(True))
    assert run_tags(empty)["git_dirty"] == "true"


class Answer:
    def __init__(self, result):
        self._result = result

    def result(self):
        return self._result


def test_outside_of_a_checkout_there_are_no_git_tags(empty):
    assert not [key for key in run_tags(empty) if key.startswith("git_")]


def test_no_tags_leaves_those_that_are_given(empty):
    make_checkout(empty)
    assert run_tags(empty, "--no-tags", "--tag", "a=1", "--user", "eve") == {
        "a": "1",
        "user": '"eve"',
    }


def test_a_tag_that_is_given_takes_the_place_of_an_automatic_one(empty):
    make_checkout(empty)
    assert run_tags(empty, "-t", "git_commit=none")["git_commit"] == '"none"'


@pytest.mark.parametrize("word", ["NaN", "-Infinity", "1e999"])
def test_what_other_programs_cannot_read_as_json_is_text(tag, word):
    assert tag("add", "-", f"odd={word}")[0] == 0
    shown = json.loads(tag("list", "-", "--format", "json")[1])
    assert word in json.dumps(shown)
    assert f'"{word}"' in json.dumps(shown)
