"""`help` on scripts and tasks."""

from __future__ import annotations

import sys
import textwrap

import pytest

from redun_lite._cli import main
from redun_lite._task import get_task_registry

WORKFLOW = '''
    from __future__ import annotations

    from redun_lite import task

    redun_namespace = "helped"

    @task(cache=False, limits={"db": 1})
    def add(a: int, b: int = 2) -> int:
        """Add two numbers.

        Slowly.
        """
        return a + b

    @task(version="3")
    def main():
        return add(1)
'''


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command and returns code, output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    registry = get_task_registry()
    tasks = registry.snapshot()
    registry.restore({})
    (tmp_path / "wf.py").write_text(textwrap.dedent(WORKFLOW))

    def run(*words):
        capsys.readouterr()
        return (main(list(words)), *capsys.readouterr())

    yield run
    registry.restore(tasks)
    sys.modules.pop("wf", None)


def test_help_on_a_script_lists_its_tasks(run):
    code, out, _ = run("help", "wf.py")
    assert code == 0
    assert out.startswith("tasks of wf.py:\n  add   Add two numbers.\n  main\n")


def test_help_on_a_task_says_what_it_does_and_takes_and_where_it_is(run):
    code, out, _ = run("help", "wf.py", "add")
    assert code == 0
    assert out.startswith(
        "usage: redun_lite run wf.py add --a … […]\n\nAdd two numbers.\n\nSlowly.\n"
    )
    assert "--b  int  default 2" in out
    assert "  cache   False\n  limits  {'db': 1}\n" in out
    assert "Task      helped.add\n" in out
    assert "Signature add(a: int, b: int = 2) -> int\n" in out
    assert "Defined   wf.py:8\n" in out


def test_a_signature_names_classes_as_the_source_does(run, tmp_path):
    (tmp_path / "wf.py").write_text(
        "from typing import Optional\n"
        "from redun_lite import File, task\n"
        "@task(namespace='helped')\n"
        "def read(\n    file: File,  # The reads.\n    most: Optional[int] = None,\n) -> File:\n"
        "    return file\n"
        "@task(namespace='helped')\n"
        "def write(\n    file: File,\n    most: Optional[int] = None,\n) -> File:\n"
        "    return file\n"
    )
    hints = "(file: File, most: Optional[int] = None) -> File\n"
    assert f"Signature read{hints}" in run("help", "wf.py", "read")[1]
    run("run", "-q", "wf.py", "write", "--file", "wf.py")
    assert run("help", "helped.write")[1].startswith(f"write{hints}")
    run("run", "-q", "wf.py", "read", "--file", "wf.py")  # A comment is no part of it.
    assert run("help", "helped.read")[1].startswith("read(file: File, most: Optional[int]=None)")


def test_the_overview_fits_a_terminal_and_begins_with_what_one_needs_first(run):
    lines = run("help")[1].splitlines()
    assert max(map(len, lines)) <= 80
    commands = lines[lines.index("commands:") + 1 :]
    assert [line.split()[0] for line in commands[:3]] == ["run", "log", "why"]


def test_help_on_a_task_names_its_version(run):
    assert "Version   3\n" in run("help", "wf.py", "main")[1]


def test_help_on_a_recorded_task_needs_no_script(run, tmp_path):
    run("run", "-q", "wf.py", "main")
    (tmp_path / "wf.py").unlink()
    code, out, _ = run("help", "helped.add")
    assert code == 0
    assert out.startswith("add(a: int, b: int = 2) -> int\n\nAdd two numbers.\n\nSlowly.\n")
    assert "By        run -q wf.py main" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "there is no command 'nothing' and no recorded task of that name"),
        (["none.py"], "there is no script none.py"),
        (["wf.py", "ad"], "wf has no task 'ad': did you mean add?"),
    ],
)
def test_what_there_is_no_help_on_is_one_line(run, words, message):
    code, _, err = run("help", *words)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_script_without_tasks_is_one_line(run, tmp_path):
    (tmp_path / "bare.py").write_text("x = 1\n")
    code, _, err = run("help", "bare.py")
    assert (code, "defines no tasks" in err) == (2, True)
    sys.modules.pop("bare", None)


@pytest.mark.parametrize("words", ["db gc", "fs cp", "repo add", "tag add"])
def test_help_on_an_action_says_what_it_takes(run, words):
    code, out, _ = run("help", *words.split())
    assert code == 0
    assert out.startswith(f"usage: redun_lite {words} ")


def test_what_is_wrong_with_an_action_names_it_and_its_help(run):
    code, _, err = run("db", "gc", "few")
    assert code == 2
    assert err == "redun_lite: error: db gc: unexpected 'few'; `help db gc` lists what there is\n"


def test_help_on_an_action_that_is_not_there_lists_those_that_are(run):
    code, _, err = run("help", "db", "nothing")
    assert code == 2
    assert err.startswith("redun_lite: error: db: ACTION: invalid choice: 'nothing'")
    assert "'vacuum'" in err
