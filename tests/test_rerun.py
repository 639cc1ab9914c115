"""`run --rerun`: running again what an execution or a job has run."""

from __future__ import annotations

import pickle
import sqlite3
import sys
import textwrap

import pytest

from redun_lite._cli import main
from redun_lite._task import get_task_registry

WORKFLOW = """
    from __future__ import annotations

    from redun_lite import task

    redun_namespace = "again"

    @task
    def add(a: int, b: int = 2):
        return a + b

    @task
    def both(first, /, *rest, last=None):
        return [first, rest, last]

    @task
    def main(n: int = 3, numbers: list[int] = []):
        return [add(n, 10), both(n, 1, 2, last="z"), sum(numbers)]
"""


class Project:
    def __init__(self, folder, capsys):
        self.folder = folder
        self._capsys = capsys
        self.out = self.err = ""
        self.write(WORKFLOW)

    def write(self, text, name="wf.py"):
        (self.folder / name).write_text(textwrap.dedent(text))
        sys.modules.pop(name[:-3], None)

    def __call__(self, *words):
        self._capsys.readouterr()
        code = main(["run", "-q", *words])
        self.out, self.err = self._capsys.readouterr()
        return code

    def query(self, sql):
        connection = sqlite3.connect(self.folder / ".redun_lite" / "redun_lite.db")
        rows = [row[0] for row in connection.execute(sql)]
        connection.close()
        return rows

    def job(self, name):
        """Return the id of the first job of a task."""
        (found,) = self.query(
            "SELECT substr(execution.uuid, 1, 8) || '-' || (job.id & 4294967295) FROM job "
            "JOIN execution ON execution.id = job.id >> 32 JOIN task ON task.id = job.task_id "
            f"WHERE fullname = 'again.{name}' ORDER BY job.id LIMIT 1"
        )
        return found

    def last_argv(self):
        return self.query("SELECT argv FROM execution ORDER BY id DESC LIMIT 1")[0]


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    registry = get_task_registry()
    ours = {t.fullname: t for t in registry if t.func.__module__.startswith("redun_lite")}
    monkeypatch.setattr(registry, "_tasks", ours)
    yield Project(tmp_path, capsys)
    for name in ("wf", "moved"):
        sys.modules.pop(name, None)


def test_the_latest_execution_is_run_again_with_its_arguments(project):
    project("wf.py", "main", "--n", "5", "--numbers", "1", "2")
    first = project.out
    assert project("--rerun", "-") == 0
    assert project.out == first == "[15, [5, (1, 2), 'z'], 3]\n"
    assert (
        project.last_argv() == '["run", "-q", "wf.py", "main", "--n", "5", "--numbers", "1", "2"]'
    )


def test_an_execution_is_run_again_by_its_id(project):
    project("wf.py", "main", "--n", "5")
    (uuid,) = project.query("SELECT uuid FROM execution")
    project("wf.py", "main", "--n", "6")
    assert project("--rerun", uuid[:8]) == 0
    assert project.out.startswith("[15, ")


def test_what_is_run_again_is_named(project, capsys):
    main(["run", "wf.py", "main", "--n", "5"])
    capsys.readouterr()
    assert main(["run", "--rerun", "-"]) == 0
    assert "running again: run wf.py main --n 5\n" in capsys.readouterr().err
    job = project.job("add")
    assert main(["run", "--rerun", job]) == 0
    assert f"running again: again.add, as {job}\n" in capsys.readouterr().err


def test_what_is_said_besides_is_added(project):
    project("wf.py", "main", "--n", "5", "--tag", "a=1")
    assert project("--rerun", "-", "--n", "7", "--tag", "b=2") == 0
    assert project.out.startswith("[17, ")
    assert '"--tag", "a=1", "--n", "7", "--tag", "b=2"' in project.last_argv()


def test_an_execution_id_is_not_taken_again(project):
    uuid = "5c1f9a3e-0000-4000-8000-000000000001"
    project("--execution-id", uuid, "wf.py", "main")
    assert project("--rerun", uuid) == 0
    assert len(project.query("SELECT uuid FROM execution")) == 2


def test_a_job_is_run_again_with_the_arguments_that_it_was_given(project):
    project("wf.py", "main", "--n", "5")
    assert project("--rerun", project.job("add")) == 0
    assert project.out == "15\n"
    assert project("--rerun", project.job("both")) == 0
    assert project.out == "[5, (1, 2), 'z']\n"


def test_a_job_has_its_arguments_so_there_is_no_other_input(project):
    project("wf.py", "main", "--n", "5")
    (project.folder / "in").write_bytes(pickle.dumps(((), {"n": 1})))
    told = error_of(project, "--rerun", project.job("add"), "--input", "in")
    assert "--rerun of a job has its arguments: leave out --input" in told


def test_an_argument_of_a_job_may_be_given_anew(project):
    project("wf.py", "main", "--n", "5")
    assert project("--rerun", project.job("add"), "--b", "1") == 0
    assert project.out == "6\n"


def test_what_was_run_again_can_be_run_again(project):
    project("wf.py", "main", "--n", "5")
    project("--rerun", project.job("add"))
    assert project("--rerun", "-") == 0
    assert project.out == "15\n"
    assert project("--rerun", "wf.py", "-") == 0
    assert project.out == "15\n"


def test_the_script_may_be_another_one(project):
    project("wf.py", "main", "--n", "5")
    job = project.job("add")
    (project.folder / "wf.py").rename(project.folder / "moved.py")
    registry = get_task_registry()
    for name in ("add", "both", "main"):  # In a process of its own, they would not be there.
        del registry._tasks[f"again.{name}"]
    assert project("--rerun", "moved.py", "-") == 0
    assert project.out.startswith("[15, ")
    assert project("--rerun", "moved.py", job) == 0
    assert project.out == "15\n"


def error_of(project, *words):
    assert project(*words) == 2
    (line,) = project.err.splitlines()
    return line.removeprefix("redun_lite: error: ")


def test_a_script_that_is_not_there_is_named(project):
    project("wf.py", "main")
    (project.folder / "wf.py").unlink()
    assert error_of(project, "--rerun", "-").startswith("--rerun -: there is no script wf.py in ")
    assert "--rerun SCRIPT" in error_of(project, "--rerun", project.job("add"))


def test_a_task_that_takes_other_arguments_now_is_an_error(project):
    project("wf.py", "main")
    project.write(WORKFLOW.replace("def add(a: int, b: int = 2)", "def add(a: int, c: int = 2)"))
    line = error_of(project, "--rerun", project.job("add"))
    assert "again.add takes a, c now, and was given a, b" in line


def test_what_is_no_execution_and_no_job_is_an_error(project):
    project("wf.py", "main")
    assert "is a task, not an execution or a job" in error_of(project, "--rerun", "again.add")
    assert "no execution, job" in error_of(project, "--rerun", "zzz")


def test_no_id_is_an_error(project):
    assert "name an execution or a job" in error_of(project, "--rerun")


def test_nothing_recorded_is_an_error(project):
    assert "nothing is recorded yet" in error_of(project, "--rerun", "-")


def test_what_a_program_has_run_is_not_run_from_here(project):
    project("wf.py", "main")
    connection = sqlite3.connect(project.folder / ".redun_lite" / "redun_lite.db")
    with connection:
        connection.execute("""UPDATE execution SET argv = '["scheduler.run", "again.main()"]'""")
    connection.close()
    line = error_of(project, "--rerun", "-")
    assert "was not started by `run`, but as `scheduler.run again.main()`" in line


def test_a_value_that_cannot_be_loaded_any_more_is_named(project):
    project("wf.py", "main")
    job = project.job("add")
    connection = sqlite3.connect(project.folder / ".redun_lite" / "redun_lite.db")
    with connection:
        connection.execute("UPDATE value SET data = x'00'")
    connection.close()
    assert "argument a cannot be loaded any more" in error_of(project, "--rerun", job)
