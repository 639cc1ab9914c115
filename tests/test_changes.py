"""What changed between two executions: tasks, jobs, arguments, results, files."""

from __future__ import annotations

import json

import pytest
from support import Lab

from redun_lite import File, subrun, task
from redun_lite import _changes as changes_module
from redun_lite._changes import compare_executions, find_executions
from redun_lite._cli import main as command_line
from redun_lite._client.diff import DiffText, changes_json
from redun_lite._display import PLAIN
from redun_lite._errors import UsageError
from redun_lite._history import open_history

redun_namespace = "test_changes"


@task(version="1")
def add(a, b=1):
    return a + b


@task(version="1")
def total(numbers):
    return sum(numbers)


@task(version="1")
def read(file):
    return file.read()


@task(version="1")
def boom(x):
    if x > 2:
        raise ValueError(f"cannot take {x}")
    return x


@task(version="1")
def labelled(file):
    return 1


@task(version="1")
def late(number, file):
    return [number, file]


@task(version="1")
def fan(numbers, b=1):
    return total([add(n, b) for n in numbers])


def step_of(source: str):
    @task(name="step", namespace="test_changes", source=source)
    def step(x):
        return x * len(source)

    return step


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.fixture
def changes(lab):
    """Return a function that compares executions, the last two by default."""

    def changes(*ids: str):
        with open_history(str(lab.path)) as history:
            if not ids:
                pair = history.executions(2)[::-1]
            else:
                pair = find_executions(history, ids)
            found = compare_executions(history, *pair)
            changes.text = "\n".join(DiffText(history, PLAIN, 300).lines(found))
            changes.json = json.loads(json.dumps(changes_json(history, found)))
        return found

    return changes


def kinds(found):
    return {(pair.after.task_name.rpartition(".")[2], pair.kinds) for pair in found.pairs}


def test_a_replay_changes_nothing(lab, changes):
    lab.run(fan([1, 2, 3]))
    lab.run(fan([1, 2, 3]))
    found = changes()
    assert (found.pairs, found.edited, found.files) == ([], [], [])
    assert found.equal == 5
    assert found.statuses == {("DONE", "CACHED"): 5}
    assert "5 equal, 0 changed, 5 DONE → CACHED" in changes.text


def test_a_changed_argument_is_shown_with_what_follows_from_it(lab, changes):
    lab.run(fan([1, 2, 3]))
    lab.run(fan([1, 5, 3]))
    found = changes()
    assert kinds(found) == {
        ("fan", ("argument numbers", "result")),
        ("add", ("argument a", "result")),
        ("total", ("argument numbers", "result")),
    }
    assert found.equal == 2
    assert "argument numbers[1]  2 → 5" in changes.text
    assert "result  9 → 12" in changes.text
    changed = {pair["after"]["task_name"]: pair for pair in changes.json["changed"]}
    (argument,) = changed["test_changes.add"]["args"]
    assert argument["name"] == "a"
    assert argument["differences"] == [{"path": "", "before": "2", "after": "5"}]


def test_edited_tasks_are_shown_with_their_difference(lab, changes):
    lab.run(step_of("def step(x): return 1")(3))
    lab.run(step_of("def step(x): return 22")(3))
    (edited,) = changes().edited
    assert edited.after.fullname == "test_changes.step"
    assert "-def step(x): return 1\n  +def step(x): return 22" in changes.text


def test_tasks_and_jobs_that_only_one_of_them_has_are_named(lab, changes):
    lab.run([add(1), total([1])])
    lab.run([add(1), fan([7])])
    found = changes()
    assert (found.added, found.gone) == (["test_changes.fan"], [])
    assert [job.task_name for job in found.gone_jobs] == ["test_changes.total"]
    assert len(found.new_jobs) == 3


def test_among_siblings_those_with_most_in_common_are_put_side_by_side(lab, changes):
    lab.run([add(1, 10), add(2, 20), add(3, 30)])
    lab.run([add(9, 30), add(1, 10), add(2, 20), add(4, 40)])
    found = changes()
    ((before, after, what),) = found.pairs
    assert (before.number & 3, after.number & 3) == (3, 1)
    assert what == ("argument a", "result")
    assert len(found.new_jobs) == 1


def test_jobs_in_which_the_same_things_changed_are_told_as_one(lab, changes):
    lab.run(fan(list(range(40))))
    lab.run(fan(list(range(40)), 2))
    changes()
    assert "test_changes.add ×40" in changes.text
    assert changes.text.count("argument b") == 2


def test_a_job_that_fails_now_is_shown_with_its_status(lab, changes):
    lab.run(boom(2))
    with pytest.raises(ValueError, match="cannot take"):
        lab.run(boom(3))
    found = changes()
    assert kinds(found) == {("boom", ("argument x", "result", "status"))}
    assert "DONE → FAILED" in changes.text


def test_files_that_changed_are_listed(lab, changes, tmp_path):
    path = tmp_path / "in.txt"
    for text in ("one", "another"):
        path.write_text(text)
        lab.run(read(File(str(path))))
    (file,) = changes().files
    assert (file.kind, file.place) == ("File", str(path))
    assert None not in (file.before, file.after)
    assert file.before != file.after
    assert f"argument file  {path}  {file.before[:8]} → {file.after[:8]}" in changes.text


def test_a_file_that_is_not_there_any_more_is_told_to_be_missing(lab, changes, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("abc")
    lab.run(labelled(File(str(path))))
    path.unlink()
    lab.run(labelled(File(str(path))))
    (file,) = changes().files
    assert f"  changed  {file.before[:8]} → missing " in changes.text
    assert f"argument file  {path}  {file.before[:8]} → missing" in changes.text


def test_what_an_execution_did_not_come_to_is_no_change(lab, changes, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("abc")
    for x in (1, 5):
        try:
            lab.run([late(boom(x), File(str(path))), fan([boom(x)])])
        except ValueError:
            continue
    found = changes()
    assert (found.files, found.gone, found.gone_jobs) == ([], [], [])
    assert "test_changes.late  " in changes.text
    assert "DONE → FAILED, not called\n" in changes.text
    assert "none" not in changes.text
    assert "boom: ValueError: cannot take 5" in changes.text.splitlines()[2]


def test_tasks_below_a_call_that_was_replayed_as_a_whole_are_still_called(lab, changes):
    for _ in range(2):
        lab.run(subrun(fan([1, 2]), executor="default"))
    found = changes()
    assert (found.added, found.gone) == ([], [])


def test_an_error_is_compared_as_a_whole(lab, changes):
    for x in (3, 4):
        with pytest.raises(ValueError, match="cannot take"):
            lab.run(boom(x))
    changes()
    assert "result  ValueError: cannot take 3 → ValueError: cannot take 4" in changes.text
    assert "traceback" not in changes.text


def test_counts_that_are_too_long_for_a_line_break_at_commas(lab, changes):
    lab.run(fan([1, 2, 3]))
    lab.run(fan([1, 2, 3]))
    changes()
    with open_history(str(lab.path)) as history:
        found = compare_executions(history, *history.executions(2)[::-1])
        lines = list(DiffText(history, PLAIN, 36).lines(found))
    assert lines[3:5] == ["Jobs  5 equal, 0 changed,", "      5 DONE → CACHED"]


def test_files_that_only_one_execution_has_are_new_or_unused(lab, changes, tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
        lab.run(read(File(str(tmp_path / name))))
    assert [(f.before is None, f.after is None) for f in changes().files] == [
        (False, True),
        (True, False),
    ]


def test_jobs_of_subruns_are_compared(lab, changes):
    for source in ("def step(x): return 1", "def step(x): return 22"):
        lab.run(subrun(step_of(source)(3), executor="default"))
    assert [edited.after.fullname for edited in changes().edited] == ["test_changes.step"]


def test_only_so_many_jobs_are_compared(lab, changes, monkeypatch):
    monkeypatch.setattr(changes_module, "MAX_JOBS", 10)
    lab.run(fan(list(range(40))))
    lab.run(fan(list(range(40)), 2))
    assert changes().is_cut
    assert "the first" in changes.text


# Which executions


def run_command(lab: Lab, *words: str, n: int = 1) -> str:
    lab.run(add(n), exec_argv=["run", *words])
    return lab.query("SELECT uuid FROM execution ORDER BY id DESC LIMIT 1")[0]


def found_for(lab: Lab, *ids: str) -> tuple[str, str]:
    with open_history(str(lab.path)) as history:
        before, after = find_executions(history, ids)
    return before.uuid, after.uuid


def test_the_latest_is_compared_with_the_one_before_of_the_same_command(lab):
    first = run_command(lab, "flow.py", "main")
    run_command(lab, "other.py", "main")
    run_command(lab, "flow.py", "main", "--n", "2")
    last = run_command(lab, "flow.py", "main")
    assert found_for(lab) == (first, last)


def test_else_with_the_one_before_of_the_same_task(lab):
    first = run_command(lab, "-q", "flow.py", "main", "--n", "2")
    run_command(lab, "flow.py", "other")
    last = run_command(lab, "flow.py", "main", "--n", "3")
    assert found_for(lab) == found_for(lab, last) == (first, last)


def test_two_that_are_named_are_compared_as_named(lab):
    first = run_command(lab, "a.py", "main")
    last = run_command(lab, "b.py", "main")
    assert found_for(lab, last, first) == (last, first)


def test_without_one_before_it_is_an_error(lab):
    run_command(lab, "a.py", "main")
    run_command(lab, "b.py", "main")
    with pytest.raises(UsageError, match=r"no execution before [0-9a-f]{8} ran"):
        found_for(lab)


def test_what_is_no_execution_is_an_error(lab):
    run_command(lab, "a.py", "main")
    with pytest.raises(UsageError, match="is a task, not an execution"):
        found_for(lab, "test_changes.add")


# The command


def test_the_command_prints_text_or_json(lab, capsys):
    run_command(lab, "a.py", "main")
    run_command(lab, "a.py", "main", n=2)
    assert command_line(["diff", "--repo", str(lab.path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("before  ")
    assert "argument a  1 → 2" in out
    assert command_line(["diff", "--repo", str(lab.path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"]["changed"] == 1


@pytest.mark.parametrize("words", [["a", "b", "c"], ["zz"]])
def test_what_cannot_be_compared_is_one_line(lab, words, capsys):
    run_command(lab, "a.py", "main")
    assert command_line(["diff", "--repo", str(lab.path), *words]) == 2
    assert capsys.readouterr().err.startswith("redun_lite: error: ")
