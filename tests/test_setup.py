"""Schedulers that the user's own function makes: `[scheduler] setup_scheduler` and `--setup`."""

from __future__ import annotations

import sys

import pytest

from redun_lite import _cli

WORKFLOW = """
from redun_lite import Config, LocalExecutor, Scheduler, task

redun_namespace = "test_setup"

@task(executor="mine")
def main():
    return "ran"

def setup(config: Config, profile: str = "prod", workers: int = 3, loud: bool = False):
    print(type(config).__name__, repr(profile), workers, loud)
    scheduler = Scheduler(config=config)
    scheduler.add_executor(LocalExecutor("mine", max_workers=workers))
    return scheduler

def any_number(config, *, needed: int, **others: int):
    print(needed, others)
    return setup(config)

def nothing(config):
    return None

def broken(config):
    raise ZeroDivisionError("no workers")

def alone():
    return Scheduler()
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a workflow; a function that writes its configuration."""
    folder = tmp_path / ".redun_lite"
    folder.mkdir()
    (tmp_path / "setup_wf.py").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(path):
        (folder / "redun_lite.ini").write_text(
            f"[scheduler]\ncache = true\nsetup_scheduler = {path}\n"
        )

    write("../setup_wf.py::setup")
    yield write
    sys.modules.pop("setup_wf", None)


RUN = ["run", "-q", "setup_wf.py", "main"]


def run(capsys, *words):
    """Run the command line; return its status, and what it printed or complained of."""
    status = _cli.main(list(words))
    shown = capsys.readouterr()
    return status, (shown.err if status else shown.out)


@pytest.mark.parametrize("path", ["../setup_wf.py::setup", "setup_wf::setup"])
def test_the_function_makes_the_scheduler(project, capsys, path):
    project(path)
    assert run(capsys, *RUN) == (0, "Config 'prod' 3 False\n'ran'\n")


def test_its_arguments_are_read_by_their_types(project, capsys):
    given = ["--setup", "profile=dev=1", "--setup", "workers=7", "--setup", "loud=true"]
    expected = (0, "Config 'dev=1' 7 True\n'ran'\n")
    assert run(capsys, *given, *RUN) == expected
    assert run(capsys, *RUN, *given) == expected
    assert run(capsys, *given[:2], *RUN[:1], *given[2:], *RUN[1:]) == expected


def test_a_function_may_take_any_names(project, capsys):
    project("../setup_wf.py::any_number")
    status, shown = run(capsys, "--setup", "needed=1", "--setup", "more=2", *RUN)
    assert (status, shown.splitlines()[0]) == (0, "1 {'more': 2}")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("profil=dev", "unknown --profil: did you mean --profile?"),
        ("workers=many", "expected int, got 'many'"),
        ("profile", "--setup: expected NAME=VALUE, got 'profile'"),
        ("config=x", "unknown --config"),
    ],
)
def test_an_argument_that_cannot_be_is_named(project, capsys, word, message):
    status, shown = run(capsys, "--setup", word, *RUN)
    assert status == 2
    assert message in shown
    assert shown.startswith("redun_lite: error: --setup: ")
    assert shown.count("\n") == 1


def test_an_argument_that_is_missing_is_named(project, capsys):
    project("../setup_wf.py::any_number")
    assert run(capsys, *RUN) == (
        2,
        "redun_lite: error: --setup: ../setup_wf.py::any_number: missing --needed (int)\n",
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../setup_wf.py::setups", "there is no function setups in "),
        ("../nowhere.py::setup", "there is no script "),
        ("nowhere.setup::setup", "there is no module nowhere"),
        ("../setup_wf.py::nothing", "to return a Scheduler, got NoneType"),
        ("../setup_wf.py::alone", "to take the configuration first"),
    ],
)
def test_a_function_that_cannot_be_is_named_with_its_line(project, capsys, path, message):
    project(path)
    status, shown = run(capsys, *RUN)
    assert status == 2
    assert "redun_lite.ini:3: [scheduler] setup_scheduler: " in shown
    assert message in shown
    assert shown.count("\n") == 1


def test_an_error_of_the_function_is_shown_with_its_traceback(project, capsys):
    project("../setup_wf.py::broken")
    status, shown = run(capsys, *RUN)
    assert status == 2
    assert 'raise ZeroDivisionError("no workers")' in shown
    assert "setup.py" not in shown
    assert shown.endswith("error: ../setup_wf.py::broken failed: ZeroDivisionError('no workers')\n")


def test_arguments_without_a_function_are_refused(project, tmp_path, capsys):
    (tmp_path / ".redun_lite" / "redun_lite.ini").write_text("")
    status, shown = run(capsys, "--setup", "profile=dev", *RUN)
    assert (status, "the configuration names none" in shown) == (2, True)
    status, shown = run(capsys, "--setup", "profile=dev", "log")
    assert (status, "it is for `run`" in shown) == (2, True)
