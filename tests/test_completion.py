"""Completion on Tab: what can follow, and that real shells show it."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time

import pytest
from support import ROOT, Lab

from redun_lite import task
from redun_lite._cli import main
from redun_lite._client.command import COMMANDS, find_command
from redun_lite._client.completion import FILES, FOLDERS, SCRIPTS, candidates, script_of
from redun_lite._client.task_names import tasks_of
from redun_lite._history import open_history

redun_namespace = "test_completion"

SCRIPT = '''
import redun_lite as rl
from redun_lite import File, scheduler_task, task as job
from typing import Literal

raise RuntimeError("nobody runs this to complete a line")

@job
def align(
    reads: File,
    min_depth: int = 3,
    loud: bool = False,
    mode: Literal["fast", "slow"] = "fast",
):
    """Align reads.

    And more.
    """

@job(name="sort_all", executor="process")
def sort(x): ...

@rl.task()
async def wait(): ...

@scheduler_task("hold", version="1")
def hold(scheduler, parent_job, sexpr): ...

@job(name="x; rm -rf $HOME")
def hostile(): ...

def helper(): ...

@property
def no_task(): ...
'''


@task
def work(i):
    return i


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Go to a folder with a script and a repository of one execution."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    (tmp_path / "flow.py").write_text(SCRIPT)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "reads").mkdir()
    config = tmp_path / ".redun_lite"
    config.mkdir()
    lab = Lab(tmp_path)
    (config / "redun_lite.ini").write_text(
        f"[backend]\ndb_uri = sqlite:///{lab.path}\n[repos.team]\ndb_uri = sqlite:///team.db\n"
    )
    lab.run(work(7))
    with open_history(str(lab.path)) as history:
        lab.uuid = history.find("-").uuid[:8]
    return lab


def after(line: str) -> list[str]:
    """Return what can follow a line; what stands behind its last space is being typed."""
    return [candidate.text for candidate in candidates(line.split(" "))]


# What can follow


def test_a_command_follows_first():
    assert after("") == list(COMMANDS)
    assert after("gr") == ["graph"]
    assert after("help ti") == ["timeline"]


def test_commands_are_told_with_what_they_are_for():
    assert candidates(["log"])[0].purpose == COMMANDS["log"][1]


def test_options_stand_before_a_command_too():
    assert {"--config", "--log-level", "--version"} <= set(after("-"))
    assert after("--config ") == [FOLDERS]
    assert after("--log-level I") == ["INFO"]
    assert after("--log-level INFO gr") == ["graph"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_completed(name):
    parser = find_command(name).parser()
    long = {o for action in parser._actions for o in action.option_strings if o[:2] == "--"}
    assert long <= set(after(f"{name} --"))


def test_an_option_that_was_given_is_not_offered_again():
    assert "--down" in after("graph --")
    assert "--down" not in after("graph --down --")
    assert "--tag" in after("run --tag a=b --")  # It may be repeated.


def test_choices_of_an_option_follow_it():
    assert after("graph --format ") == ["svg", "dot", "mermaid"]
    assert after("graph --format=s") == ["--format=svg"]
    assert after("timeline - --format c") == ["chrome"]


def test_no_option_follows_two_dashes():
    assert after("graph -- --f") == [FILES]


def test_subcommands_have_options_of_their_own():
    assert "gc" in after("db ")
    assert "--keep-days" in after("db gc --")
    assert "--keep-days" not in after("db info --")


def test_files_and_folders_follow_where_they_are_wanted():
    assert after("graph -o ") == [FILES]
    assert after("graph --output=x") == [FILES]
    assert after("init --config ") == [FOLDERS]


def test_recent_executions_follow_where_records_are_wanted(place):
    assert after("timeline ") == ["-", place.uuid]
    assert after("graph ") == ["-", place.uuid, FILES]
    (found,) = candidates(["timeline", place.uuid[:3]])
    assert "DONE" in found.purpose


def test_jobs_follow_the_id_of_their_execution(place):
    assert f"{place.uuid}-1" in after(f"log {place.uuid}-")


def test_repositories_of_the_configuration_follow(place):
    assert after("graph --repo ") == ["team", FILES]


def test_executions_are_those_of_the_repository_that_was_named(place):
    assert after("timeline --repo team ") == []  # It is not there yet.
    assert after(f"timeline --repo {place.path} ") == ["-", place.uuid]


def test_a_script_then_its_tasks_follow_run(place):
    assert after("run ") == [SCRIPTS]
    assert after("run flow.py ") == ["align", "sort_all", "wait", "hold"]
    assert after("run -q --tag a=b flow.py s") == ["sort_all"]
    assert after("run flow ") == after("run flow.py ")  # As a module.
    assert candidates(["run", "flow.py", "al"])[0].purpose == "Align reads."


def test_arguments_of_the_task_follow_its_name(place):
    assert after("run flow.py align --")[:4] == ["--reads", "--min-depth", "--loud", "--mode"]
    assert "--reads" not in after("run flow.py align --reads x --")
    assert "--no-cache" in after("run flow.py align --")


def test_values_of_an_argument_follow_by_its_hint(place):
    assert after("run flow.py align --mode ") == ["fast", "slow"]
    assert after("run flow.py align --loud t") == ["true"]
    assert after("run flow.py align --reads ") == [FILES]
    assert after("run flow.py align --min-depth ") == []


def test_a_name_that_means_something_to_a_shell_is_not_offered(place):
    assert "x; rm -rf $HOME" in [found.name for found in tasks_of("flow.py")]
    assert not any("rm" in text for text in after("run flow.py "))


@pytest.mark.parametrize("line", ["nosuch ", "run missing.py ", "repo add a b c "])
def test_nothing_follows_what_makes_no_sense(place, line):
    assert after(line) == []


def test_what_goes_wrong_is_kept_to_itself(place, capsys):
    (place.folder / ".redun_lite" / "redun_lite.ini").write_text("[[[")
    place.path.write_bytes(b"no database at all, and longer than its head would have to be" * 20)
    assert main(["completion", "complete", "timeline", ""]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["def (", "\x00", "é".encode("latin-1"), b"# coding: nosuch\n"])
def test_a_script_that_cannot_be_read_has_no_tasks(tmp_path, text):
    path = tmp_path / "flow.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert tasks_of(str(path)) == []


def test_candidates_are_printed_each_with_its_purpose(capsys):
    assert main(["completion", "complete", "tim"]) == 0
    assert capsys.readouterr().out == f"timeline\t{COMMANDS['timeline'][1]}\n"


# Scripts


def test_a_script_is_printed_for_a_name(capsys):
    assert main(["completion", "bash", "--name", "rl"]) == 0
    assert "complete -F _redun_lite_rl rl\n" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_has_no_marks_left(shell):
    script = script_of(shell, "rl", "python3 -m redun_lite")
    for mark in ("FUNCTION", "PROGRAM", "ASK", "NAME"):
        assert mark not in script


def test_a_name_that_is_none_is_refused(capsys):
    assert main(["completion", "bash", "--name", "a; b"]) == 2
    assert "--name a; b: expected the name of a command" in capsys.readouterr().err


def has(shell):
    return pytest.mark.skipif(
        shutil.which(shell) is None, reason=f"{shell} is missing: apt-get install {shell}"
    )


@pytest.fixture
def scripts(place):
    """Return a function that writes the script of a shell, which calls this package."""

    def scripts(shell):
        program = f"env PYTHONPATH={shlex.quote(str(ROOT))} {shlex.quote(sys.executable)} -S "
        path = place.folder / f"script.{shell}"
        path.write_text(script_of(shell, "rl", f"{program}-m redun_lite"))
        return path

    return scripts


def in_bash(script, line, **environ):
    """Return what bash offers at the end of a line, split into words as it splits them."""
    words = line.replace("=", " = ").split(" ") if "=" in line else line.split(" ")
    setting = (
        f"source {script}; COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}; "
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _redun_lite_rl; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", setting],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, **environ},
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@has("bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rl graph --format=s", ["svg"]),
        ("rl run ", [".redun_lite", "flow.py", "reads"]),
        ("rl init -c ", [".redun_lite", "reads"]),
    ],
)
def test_bash_is_given_what_can_follow(scripts, line, expected):
    assert sorted(in_bash(scripts("bash"), line)) == sorted(expected)


@has("bash")
def test_a_script_finds_a_package_that_is_not_installed(place, capsys):
    assert main(["completion", "bash", "--name", "rl"]) == 0
    script = place.folder / "printed.bash"
    script.write_text(capsys.readouterr().out)
    assert in_bash(script, "rl timel", PYTHONPATH="") == ["timeline"]


@has("fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rl graph --format=s", ["--format=svg"]),
        ("rl graph -o no", ["notes.txt"]),
    ],
)
def test_fish_is_given_what_can_follow(scripts, place, line, expected):
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {scripts('fish')}; complete -C {shlex.quote(line)}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "HOME": str(place.folder)},
    )
    assert done.stderr == ""
    assert [found.partition("\t")[0] for found in done.stdout.splitlines()] == expected


class Terminal:
    """A shell on a terminal, as a user has it."""

    def __init__(self, words, folder):
        self._screen, theirs = pty.openpty()
        environ = {**os.environ, "HOME": str(folder), "PS1": "READY> ", "TERM": "dumb"}
        self._process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def type(self, text):
        os.write(self._screen, text.encode())

    def wait_for(self, text):
        """Read until a text is there, or fail with what is."""
        deadline = time.monotonic() + 60
        while text not in self.shown:
            ready = select.select([self._screen], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"no {text!r} in {self.shown!r}"
            try:
                self.shown += os.read(self._screen, 4096).decode(errors="replace")
            except OSError:
                pytest.fail(f"no {text!r} in {self.shown!r}")
        self.shown = self.shown.partition(text)[2]

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._screen)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["bash", "--norc", "--noprofile", "-i"], marks=has("bash")),
        pytest.param(["zsh", "-f", "-i"], marks=has("zsh")),
    ],
    ids=["bash", "zsh"],
)
def test_tab_completes_a_line_on_a_terminal(scripts, place, words):
    script = scripts(words[0])
    terminal = Terminal(words, place.folder)
    try:
        terminal.wait_for("READY> ")
        prepare = "autoload -Uz compinit && compinit -u -D; " if words[0] == "zsh" else ""
        terminal.type(f"{prepare}rl() {{ echo \"<$*>\"; }}; source {script}; echo sourc''ed\n")
        terminal.wait_for("sourced")
        for typed, line in (
            ("rl run flow.py ali\t--min\t3\n", "<run flow.py align --min-depth 3>"),
            ("rl graph --format=me\t\n", "<graph --format=mermaid>"),
            ("rl graph -o note\t\n", "<graph -o notes.txt>"),
        ):
            terminal.type(typed)
            terminal.wait_for(line)
    finally:
        terminal.close()
