"""The command line, as a user types it: what it does, prints and returns."""

from __future__ import annotations

import io
import json
import os
import pickle
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest
from support import ROOT

from redun_lite import _schema
from redun_lite._cli import main
from redun_lite._client.workflow import ImportFailed, find_task, load_workflow
from redun_lite._errors import UsageError
from redun_lite._task import get_task_registry
from redun_lite._version import VERSION

WORKFLOW = '''
    from __future__ import annotations

    import sys
    from redun_lite import File, task

    redun_namespace = "flow"

    @task
    def add(a: int, b: int = 2) -> int:
        """Add two numbers.

        Slowly.
        """
        return a + b

    @task
    def boom(x):
        raise ValueError(f"cannot take {x}")

    @task
    def main(n: int = 3, name: str = "x", fail: bool = False, user: str | None = None):
        print("from the task")
        result = [add(i) for i in range(n)]
        return [*result, boom(n)] if fail else result

    @task
    def echo(value=None):
        return value

    @task
    def leave():
        sys.exit(3)
'''


class Project:
    """A folder with a workflow, where commands run in this process."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self.database = folder / ".redun_lite" / "redun_lite.db"
        self._capsys = capsys
        self.out = self.err = ""
        self.write("wf.py", WORKFLOW)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def __call__(self, *words):
        """Run a command; its output is in `out` and `err`."""
        self._capsys.readouterr()
        code = main([str(word) for word in words])
        self.out, self.err = self._capsys.readouterr()
        return code

    def query(self, sql):
        connection = sqlite3.connect(self.database)
        rows = connection.execute(sql).fetchall()
        connection.close()
        return rows

    def tags(self):
        return {key: json.loads(value) for key, value in self.query("SELECT key, value FROM tag")}


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    registry = get_task_registry()
    tasks = registry.snapshot()
    registry.restore({})  # Those of other tests are none of the user's.
    known = set(sys.modules)
    yield Project(tmp_path, capsys)
    registry.restore(tasks)
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def command(*words):
    """Return a command line that runs without site-packages."""
    return [sys.executable, "-S", "-m", "redun_lite", *map(str, words)]


def start(folder, *words, **options):
    """Start a command in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    environ.pop("REDUN_LITE_CONFIG", None)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(
        command(*words), cwd=folder, env=environ, stdin=subprocess.DEVNULL, text=True, **options
    )


# Starting


def test_the_version_is_told_before_anything_is_imported():
    code = (
        "import sys; before = set(sys.modules); from redun_lite._cli import main; "
        "main(['--version']); print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    version, modules = done.stdout.splitlines()
    assert version == f"redun_lite {VERSION}"
    assert {name for name in modules.split() if name.startswith("redun_lite")} == {
        "redun_lite",
        "redun_lite._cli",
        "redun_lite._version",
    }
    assert not {"argparse", "sqlite3", "inspect"} & set(modules.split())


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["--log-level", "INFO", "-V"]])
def test_the_version_is_told(project, words):
    assert project(*words) == 0
    assert project.out == f"redun_lite {VERSION}\n"


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_the_commands(project, words):
    assert project(*words) == 0
    assert re.search(r"^  run +Run a task of a workflow\.$", project.out, re.MULTILINE)


@pytest.mark.parametrize("words", [["help", "run"], ["run", "--help"], ["run", "wf.py", "-h"]])
def test_help_on_a_command_lists_its_options(project, words):
    assert project(*words) == 0
    assert "--no-cache" in project.out


def test_an_unknown_command_gets_a_suggestion(project):
    assert project("rnu") == 2
    assert project.err.startswith("redun_lite: error: unknown command 'rnu': did you mean run?")


def test_an_unknown_option_is_one_line(project):
    assert project("log", "--limt=3") == 2
    assert project.err.startswith(
        "redun_lite: error: log: unknown option --limt: did you mean --limit? Known: --limit, "
    )
    assert project("log", "-", "more") == 2
    assert project.err == (
        "redun_lite: error: log: unexpected 'more'; `help log` lists what there is\n"
    )


def test_options_are_not_abbreviated(project):
    assert project("run", "--no-c", "wf.py", "main") == 2


# Results


def test_the_result_goes_to_stdout_and_all_else_to_stderr(project):
    assert project("run", "wf.py", "add", "--a", "1") == 0
    assert project.out == "3\n"
    assert "flow.add " in project.err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'hello'", "'hello'"),
        ("None", ""),
        ("{'b': 1, 'a': 2}", "{'b': 1, 'a': 2}"),
        ("[1, (2, 3)]", "[1, (2, 3)]"),
    ],
)
def test_a_result_is_written_as_python_would(project, value, text):
    assert project("run", "-q", "wf.py", "echo", "--value", value) == 0
    assert project.out.strip() == text


def test_a_second_run_is_cached(project):
    project("run", "wf.py", "main")
    assert project("run", "wf.py", "main") == 0
    assert "CACHED" in project.err
    assert "from the task" not in project.out


def test_no_cache_runs_again(project):
    project("run", "wf.py", "main")
    assert project("run", "--no-cache", "wf.py", "main") == 0
    assert "from the task" in project.out


def test_quiet_shows_no_progress(project):
    assert project("run", "--quiet", "wf.py", "add", "--a", "1") == 0
    assert project.err == ""


def test_each_job_is_shown_at_the_level_of_information(project):
    assert project("run", "wf.py", "add", "--a", "1") == 0
    assert "flow.add(a=1, b=2)" not in project.err
    assert project("--log-level", "INFO", "run", "wf.py", "add", "--a", "1") == 0
    assert "flow.add(a=1, b=2)" in project.err


def test_what_was_typed_is_recorded(project):
    project("run", "-q", "wf.py", "add", "--a", "1")
    ((argv,),) = project.query("SELECT argv FROM execution")
    assert json.loads(argv) == ["run", "-q", "wf.py", "add", "--a", "1"]


# The words behind SCRIPT TASK


def test_options_of_run_may_follow_the_task(project):
    assert project("run", "wf.py", "add", "--a", "1", "-q", "--tag", "k=v", "--b=5") == 0
    assert project.out == "6\n"
    assert project.err == ""
    assert project.tags()["k"] == "v"


def test_an_option_that_the_task_has_too_is_the_tasks(project):
    assert project("run", "-q", "wf.py", "main", "--user", "me", "--no-cache") == 0
    ((name,),) = project.query("SELECT name FROM argument WHERE name = 'user'")
    assert name == "user"
    assert project.tags()["user"] != "me"


def test_help_on_a_task_lists_its_arguments(project):
    assert project("run", "wf.py", "add", "--help") == 0
    assert project.out.splitlines()[:3] == [
        "usage: redun_lite run wf.py add --a … […]",
        "",
        "Add two numbers.",
    ]
    assert not project.database.exists()


def test_an_ill_typed_argument_is_one_line(project):
    assert project("run", "wf.py", "add", "--a", "x") == 2
    assert project.err == "redun_lite: error: task flow.add: --a: expected int, got 'x'\n"


def test_a_missing_argument_is_one_line(project):
    assert project("run", "wf.py", "add") == 2
    assert project.err == "redun_lite: error: task flow.add: missing --a (int)\n"


# Options of run


def test_no_prov_records_no_jobs(project):
    assert project("run", "-q", "--no-prov", "wf.py", "main") == 0
    result = project.out
    project("log", "--job", "--count")
    assert project.out.split() == ["0", "Job"]
    project("run", "-q", "--no-prov", "-o", "prov=true", "wf.py", "main")
    assert project.out == result
    project("log", "--job", "--count")
    assert project.out.split()[0] != "0"


def test_another_repository_may_be_named_before_the_command(project):
    project("run", "-q", "wf.py", "main")
    project("-c", "theirs", "init")
    project("-r", "theirs/redun_lite.db", "log", "--count")
    assert project.out.split() == ["0", "Execution"]
    assert project("--repo", "theirs/redun_lite.db", "db", "info") == 0
    assert "theirs" in project.out
    assert project("--repo", "theirs", "run", "wf.py", "main") == 2
    assert "`--config DIR` names another one" in project.err


def test_an_execution_is_tagged_with_who_and_what(project):
    project("run", "-q", "-u", "me", "-p", "demo", "--doc", "why", "-t", "n=1", "wf.py", "main")
    assert project.tags() == {
        "user": "me", "project": "demo", "doc": "why", "n": 1, "redun_lite.version": VERSION
    }  # fmt: skip


def test_the_project_is_the_namespace_unless_said_otherwise(project):
    project("run", "-q", "wf.py", "main")
    assert project.tags()["project"] == "flow"


def test_a_tag_wins_over_the_automatic_one(project):
    project("run", "-q", "-t", "project=mine", "wf.py", "main")
    assert project.tags()["project"] == "mine"


def test_a_tag_without_a_value_is_one_line(project):
    assert project("run", "-t", "key", "wf.py", "main") == 2
    assert project.err == "redun_lite: error: --tag: expected KEY=VALUE, got 'key'\n"


def test_a_task_option_is_overridden(project):
    assert project("run", "-q", "-o", "cache=false", "wf.py", "add", "--a", "1") == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("executor=nowhere", "unknown executor 'nowhere': known: "),
        ("cache=maybe", "option cache takes a bool, not 'maybe'"),
        ("retries=-1", "option retries takes an int of at least 0, not -1"),
        ("retires=1", "unknown option 'retires'; did you mean 'retries'?"),
    ],
)
def test_a_wrong_task_option_is_one_line_before_anything_runs(project, option, message):
    assert project("run", "-o", option, "wf.py", "add", "--a", "1") == 2
    assert project.err.startswith(f"redun_lite: error: run --option: {message}")
    assert project.err.count("\n") == 1
    assert project("log") == 1


def test_an_execution_id_is_taken_once(project):
    name = "5c1f9a3e-0000-4000-8000-000000000001"
    assert project("run", "-q", "--execution-id", name, "wf.py", "main") == 0
    assert project("run", "-q", "--execution-id", name, "wf.py", "main") == 2
    assert f"there is an execution {name} already" in project.err


def test_an_execution_id_that_is_none_is_one_line(project):
    assert project("run", "--execution-id", "x", "wf.py", "main") == 2
    assert project.err == "redun_lite: error: an execution id is a UUID, not 'x'\n"


def test_arguments_are_read_from_a_pickle(project):
    (project.folder / "input.pickle").write_bytes(pickle.dumps(((1,), {"b": 5})))
    assert project("run", "-q", "-i", "input.pickle", "wf.py", "add", "--b", "7") == 0
    assert project.out == "8\n"


def test_an_input_that_is_no_pickle_is_one_line(project):
    project.write("input.pickle", "hello")
    assert project("run", "-q", "-i", "input.pickle", "wf.py", "add") == 2
    assert project.err.startswith(
        "redun_lite: error: --input input.pickle: expected a pickle of (args, kwargs)"
    )


def test_context_comes_from_the_configuration_a_file_and_the_words(project, monkeypatch):
    from redun_lite._scheduler import Scheduler

    seen = {}
    run = Scheduler.run

    def note(self, *args, **options):
        seen.update(options["context"])
        return run(self, *args, **options)

    monkeypatch.setattr(Scheduler, "run", note)
    context = '{"a": 1, "b": {"c": 2, "d": 3}}'
    project.write(".redun_lite/redun_lite.ini", f"[scheduler]\ncontext = {context}\n")
    project.write("context.json", '{"a": 5}')
    words = ["--context-file", "context.json", "--context", "b.c=x", "--context", "e.f=[1]"]
    assert project("run", "-q", *words, "wf.py", "main") == 0
    assert seen == {"a": 5, "b": {"c": "x", "d": 3}, "e": {"f": [1]}}


def test_a_context_file_that_is_no_object_is_one_line(project):
    project.write("context.json", "[]")
    assert project("run", "--context-file", "context.json", "wf.py", "main") == 2
    assert project.err == (
        "redun_lite: error: --context-file context.json: expected a JSON object\n"
    )


def test_context_below_a_value_is_one_line(project):
    assert project("run", "--context", "a=1", "--context", "a.b=2", "wf.py", "main") == 2
    assert project.err == "redun_lite: error: --context a.b=2: a is 1, not an object\n"


def test_a_dry_run_shows_what_would_run_and_runs_nothing(project):
    assert project("run", "--dryrun", "wf.py", "main", "--n", "2") == 0
    assert "would run  flow.main(n=2, name='x', fail=False, user=None)\n" in project.err
    assert project.out == ""
    assert project.query("SELECT count(*) FROM execution") == [(0,)]


def test_a_dry_run_of_what_is_cached_gives_the_result(project):
    project("run", "wf.py", "add", "--a", "1")
    assert project("run", "-q", "--dryrun", "wf.py", "add", "--a", "1") == 0
    assert project.out == "3\n"


def test_the_debugger_starts_at_the_users_frame(project, monkeypatch):
    seen = []

    def post_mortem(frames):
        while frames.tb_next:
            frames = frames.tb_next
        seen.append(frames.tb_frame.f_locals)

    monkeypatch.setattr("pdb.post_mortem", post_mortem)
    assert project("run", "-q", "--pdb", "wf.py", "boom", "--x", "5") == 1
    assert seen == [{"x": 5}]


def test_a_configuration_is_chosen_before_or_after_the_command(project):
    assert project("--config", "before", "init") == 0
    assert project("init", "-c", "after") == 0
    project("-c", "before", "run", "-q", "wf.py", "main")
    project("run", "-q", "wf.py", "main", "--config", "after")
    project("run", "-q", "-c", "after", "wf.py", "main")
    for folder, number in (("before", "1"), ("after", "2")):
        assert project("db", "info", "-c", folder) == 0
        assert re.search(rf"executions +{number} ", project.out)


def test_a_mistake_in_the_configuration_is_one_line_with_its_place(project):
    project.write(".redun_lite/redun_lite.ini", "[scheduler]\ncahce = no\n")
    assert project("run", "wf.py", "main") == 2
    assert "redun_lite.ini:2: [scheduler] cahce" in project.err
    assert project.err.count("\n") == 1


# Failures


def test_a_failure_shows_the_users_traceback_once_and_the_chain_of_tasks(project):
    assert project("run", "wf.py", "main", "--n", "1", "--fail") == 1
    lines = project.err.splitlines()
    assert lines.count("Traceback (most recent call last):") == 1
    assert lines.count("ValueError: cannot take 1") == 1
    assert not any(str(ROOT / "redun_lite") in line for line in lines)
    chain = [line.split() for line in lines if line.startswith("  raised") or "called by" in line]
    assert [(words[0], words[-1]) for words in chain] == [
        ("raised", "flow.boom(x=1)"),
        ("called", "user=None)"),
    ]


def test_of_a_long_chain_of_tasks_the_nearest_and_the_first_are_shown(project):
    project.write(
        "deep.py",
        """
        from redun_lite import task

        @task
        def deep(n):
            return deep(n - 1) if n else 1 / n
        """,
    )
    assert project("run", "deep.py", "deep", "--n", "20") == 1
    lines = project.err.splitlines()
    chain = lines[lines.index(next(line for line in lines if "raised in" in line)) :]
    assert [line.split()[-1] for line in chain] == [
        *(f"deep(n={n})" for n in range(5)),
        "more",
        "deep(n=20)",
        "job",
    ]
    assert "… 15 more" in chain[5]


def test_an_error_in_an_expression_is_explained_by_the_job_that_it_is_in(project):
    project.write(
        "wrong.py",
        """
        from redun_lite import task

        @task
        def pair(x):
            return {"a": x}

        @task
        def one(x):
            return pair(pair(x)["b"])

        @task
        def main():
            return [one(1)]
        """,
    )
    assert project("run", "wrong.py", "main") == 1
    chain = [line.split() for line in project.err.splitlines() if line.startswith("  ")]
    assert [(words[0], words[-1]) for words in chain] == [
        ("raised", "one(x=1)"),
        ("called", "main()"),
        ("`log", "job"),
    ]


def test_a_failed_job_can_be_looked_up_by_the_id_that_was_shown(project):
    project("run", "wf.py", "main", "--fail")
    (hint,) = [line for line in project.err.splitlines() if "shows the job" in line]
    assert project("log", hint.split("`")[1].split()[1]) == 0
    assert "flow.boom" in project.out


def test_a_failure_is_explained_in_quiet_too(project):
    assert project("run", "-q", "wf.py", "boom", "--x", "1") == 1
    assert "ValueError: cannot take 1" in project.err
    assert "flow.boom(x=1)" in project.err


def test_a_task_that_exits_fails(project):
    assert project("run", "-q", "wf.py", "leave") == 1
    assert "SystemExit: 3" in project.err


def test_an_error_of_the_program_is_one_line(project):
    project.write(
        "wf.py", "from redun_lite import task\n@task\ndef main(n: int = 0): return main(n)\n"
    )
    assert project("run", "-q", "wf.py", "main") == 1
    assert "error: the result of main depends on itself" in project.err
    assert "Traceback" not in project.err


def test_a_database_that_is_none_is_one_line(project):
    project.write(".redun_lite/redun_lite.db", "hello" * 1000)
    for words in (["run", "wf.py", "main"], ["log"], ["db", "info"]):
        assert project(*words) == 2
        assert "is not a redun_lite database" in project.err
        assert project.err.count("\n") == 1


# Scripts and tasks


def test_a_script_is_a_path_or_a_module(project):
    project.write("pack/__init__.py", "")
    project.write("pack/flow.py", WORKFLOW)
    assert project("run", "-q", "pack.flow", "add", "--a", "1") == 0
    assert project("run", "-q", "./pack/flow.py", "add", "--a", "1") == 0


def test_a_script_finds_its_neighbours(project):
    project.write("sub/neighbour.py", "VALUE = 41")
    project.write(
        "sub/wf2.py",
        """
        from neighbour import VALUE
        from redun_lite import task

        @task
        def main():
            return VALUE + 1
        """,
    )
    assert project("run", "-q", "sub/wf2.py", "main") == 0
    assert project.out == "42\n"


def test_a_script_is_a_module_that_pickles_find(project):
    project.write(
        "shapes.py",
        """
        from dataclasses import dataclass
        from redun_lite import task

        @dataclass
        class Square:
            side: int

        @task(executor="process")
        def main(side: int):
            return Square(side)
        """,
    )
    assert project("run", "-q", "shapes.py", "main", "--side", "2") == 0
    assert project.out == "Square(side=2)\n"


@pytest.mark.parametrize("stem", ["queue", "json", "colorsys", "sys"])
def test_a_script_may_be_called_like_a_module_of_the_standard_library(project, stem):
    standard = sys.modules.get(stem)
    project.write(
        f"{stem}.py",
        f"""
        import {stem}
        from redun_lite import task

        @task
        def main():
            return {stem}.__name__, __name__
        """,
    )
    assert project("run", "-q", f"{stem}.py", "main") == 0
    assert project.out == f"('{stem}', '{stem}_script')\n"
    assert sys.modules[stem] is standard or standard is None


@pytest.mark.parametrize("words", [["repo", "list"], ["run", "-q", "json.py", "main"]])
def test_a_file_in_the_folder_is_not_taken_for_the_standard_librarys(project, words):
    project.write(
        "json.py",
        """
        from redun_lite import task

        print("imported")

        @task
        def main():
            return 1
        """,
    )
    process = start(project.folder, *words)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert ("imported" in out) == (words[0] == "run")


def test_a_workflow_finds_modules_in_the_folder_that_the_command_runs_in(project):
    project.write("helpers.py", "ANSWER = 42")
    project.write(
        "flows/flow.py",
        """
        from helpers import ANSWER
        from redun_lite import task

        @task
        def main():
            return ANSWER
        """,
    )
    process = start(project.folder, "run", "-q", "flows/flow.py", "main")
    out, err = process.communicate()
    assert (out, err) == ("42\n", "")


def test_a_module_that_is_taken_for_the_standard_librarys_is_named(project):
    project.write("pprint.py", "")
    process = start(project.folder, "run", "-q", "wf.py", "echo", "--value", "[1]")
    _, err = process.communicate()
    assert process.returncode == 2
    assert err == (
        f"redun_lite: error: {project.folder / 'pprint.py'} is taken for the standard library's "
        "module pprint: rename it\n"
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("missing.py", "there is no script missing.py"),
        ("sub/missing", "there is no script sub/missing"),
        ("no.such.module", "there is no module no, and no script no.such.module"),
        (".", "'.' is neither a script nor a module"),
        ("./", "./ is a folder"),
    ],
)
def test_a_script_that_is_not_there_is_one_line(project, script, message):
    assert project("run", script, "main") == 2
    assert project.err.startswith(f"redun_lite: error: {message}")
    assert project.err.count("\n") == 1


def test_a_script_that_does_not_import_shows_the_users_traceback(project):
    project.write("broken.py", "def f():\n    return 1 / 0\n\nf()\n")
    assert project("run", "broken.py", "main") == 2
    lines = project.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == [
        "ZeroDivisionError: division by zero",
        "redun_lite: error: cannot import broken.py",
    ]
    files = [line.split('"')[1] for line in lines if line.startswith("  File")]
    assert set(files) == {str(project.folder / "broken.py")}
    assert "broken" not in sys.modules


def test_a_script_with_a_syntax_error_names_the_line(project):
    project.write("broken.py", "x = 1\ny = (\n")
    assert project("run", "broken.py", "main") == 2
    lines = project.err.splitlines()
    assert any(line.endswith('broken.py", line 2') for line in lines)
    assert lines[-2].startswith("SyntaxError: ")
    assert lines[-1] == "redun_lite: error: cannot import broken.py"


def test_a_script_that_exits_does_not_import(project):
    project.write("broken.py", "raise SystemExit(0)")
    assert project("run", "broken.py", "main") == 2
    assert project.err.splitlines()[-2:] == [
        "SystemExit: 0",
        "redun_lite: error: cannot import broken.py",
    ]


def test_a_module_that_the_script_misses_is_not_taken_for_the_script(project):
    project.write("broken.py", "import no_such_module")
    for name in ("broken.py", "broken"):
        with pytest.raises(ImportFailed, match=f"^cannot import {name}$") as caught:
            load_workflow(name)
        assert "No module named 'no_such_module'" in caught.value.traceback


def test_a_task_is_named_in_full_or_by_what_is_unique_in_the_script(project):
    module = load_workflow("wf.py")
    assert find_task(module, "flow.add") is find_task(module, "add")


def test_a_name_that_two_tasks_have_must_be_given_in_full(project):
    project.write(
        "two.py",
        """
        from redun_lite import task

        @task(namespace="a")
        def main():
            return "a"

        a = main

        @task(namespace="b")
        def main():
            return "b"
        """,
    )
    module = load_workflow("two.py")
    with pytest.raises(UsageError, match="may mean"):
        find_task(module, "main")
    assert find_task(module, "a.main").fullname == "a.main"


def test_a_task_that_the_script_imports_can_be_run(project):
    project.write("other.py", "from wf import add\n")
    assert project("run", "-q", "other.py", "add", "--a", "1") == 0


def test_an_unknown_task_gets_a_suggestion(project):
    assert project("run", "wf.py", "mian") == 2
    assert project.err.startswith(
        "redun_lite: error: wf has no task 'mian': did you mean main? Known: main, "
    )
    assert project("run", "wf.py", "flow.ad") == 2
    assert "did you mean flow.add?" in project.err


def test_a_function_that_lacks_the_decorator_is_told_so(project):
    project.write(
        "bare.py",
        """
        def plain():
            return 1
    """,
    )
    assert project("run", "bare.py", "plain") == 2
    assert "plain in bare is a function without @task" in project.err


def test_a_script_without_a_task_lists_those_it_has(project):
    assert project("run", "wf.py") == 2
    assert "It has: add, boom, echo, leave, main" in project.err


def test_run_without_a_script_is_one_line(project):
    assert project("run") == 2
    assert "name a script and a task of it" in project.err


def test_a_script_without_tasks_says_so(project):
    project.write("empty.py", "")
    assert project("run", "empty.py", "main") == 2
    assert "empty defines no tasks" in project.err


# Looking back


def test_init_makes_a_configuration_and_a_database(project):
    assert project("init") == 0
    assert project.err == f"{project.folder / '.redun_lite'}: made\n"
    assert project.database.exists()
    assert project("init") == 0
    assert project.err == f"{project.folder / '.redun_lite'}: there already\n"


def test_log_lists_executions_with_command_and_tags(project):
    project("run", "-q", "-u", "me", "wf.py", "main")
    assert project("log") == 0
    head, line = project.out.splitlines()
    assert head.split() == ["EXECUTION", "STATUS", "STARTED", "TOOK", "COMMAND"]
    assert "  DONE  " in line
    assert line.endswith("  (project=flow, user=me)")
    assert "  run -q -u me wf.py main  " in line


def test_log_names_others_than_who_asks(project, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    project("run", "-q", "wf.py", "main")
    project("log")
    assert project.out.endswith("  (project=flow)\n")
    monkeypatch.setenv("LOGNAME", "eve")
    project("log")
    assert project.out.endswith("  (project=flow, user=ada)\n")


def test_log_of_a_dash_is_the_last_execution(project):
    project("run", "-q", "wf.py", "add", "--a", "1")
    assert project("log", "-") == 0
    assert "flow.add(a=1, b=2)" in project.out


def test_log_is_cut_on_a_terminal_only(project, monkeypatch):
    project("run", "-q", "wf.py", "main", "--n", "20")
    assert project("log", "-") == 0
    assert project.out.count("flow.add(") == 20
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert project("log", "-") == 0
    assert "flow.add ×20" in project.out
    assert project("log", "-", "--detail", "--no-pager") == 0
    assert project.out.count("flow.add(") == 20


def test_log_of_nothing_is_one_line_and_makes_nothing(project):
    assert project("log") == 1
    assert project.err.startswith("redun_lite: nothing is recorded yet in ")
    assert project("log", "-") == 2
    assert project.err.startswith("redun_lite: error: nothing is recorded yet in ")
    assert not project.database.parent.exists()


def test_log_of_an_unknown_id_is_one_line(project):
    project("run", "-q", "wf.py", "main")
    assert project("log", "zz") == 2
    assert project.err.startswith(
        "redun_lite: error: no execution, job, call, value, task or file 'zz'"
    )


def test_log_runs_nothing_that_is_stored(project):
    project("run", "-q", "wf.py", "echo", "--value", "1")
    hostile = pickle.dumps(Execute(str(project.folder / "ran")), 5)
    connection = sqlite3.connect(project.database)
    with connection:
        connection.execute("UPDATE value SET data = ?", (hostile,))
    connection.close()
    assert project("log", "-") == 0
    assert "system(" in project.out
    ((digest,),) = project.query("SELECT lower(hex(digest)) FROM value LIMIT 1")
    assert project("log", digest) == 0
    assert not (project.folder / "ran").exists()


class Execute:
    """Touches a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_db_info_says_where_the_database_is_and_what_it_holds(project):
    project("run", "-q", "wf.py", "main")
    assert project("db", "info") == 0
    facts = dict(line.split(maxsplit=1) for line in project.out.splitlines() if line)
    assert (facts["database"], facts["schema"]) == (str(project.database), str(_schema.VERSION))
    assert (facts["executions"].split()[0], facts["jobs"].split()[0]) == ("1", "4")


def test_db_info_of_no_database_is_a_clear_line(project):
    assert project("db", "info") == 0
    assert "(not there yet: `init` or the first run makes it)" in project.out
    assert not project.database.parent.exists()


# Processes


def test_a_reader_that_has_gone_ends_the_command_quietly(project):
    project("run", "-q", "wf.py", "main")
    read, write = os.pipe()
    os.close(read)
    process = start(project.folder, "log", stdout=write)
    os.close(write)
    assert process.communicate() == (None, "")
    assert process.returncode == 141


def test_any_text_can_be_printed_in_any_encoding(project):
    project("run", "-q", "wf.py", "echo", "--value", "\xfc")
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command("log", "-"), cwd=project.folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "flow.echo(value='\\xfc')" in done.stdout


def test_an_error_in_a_subrun_leads_to_the_job_that_raised_it(project):
    project.write(
        "inner.py",
        """
        from redun_lite import subrun, task

        @task
        def fit(x):
            raise ValueError(x)

        @task
        def fits(n):
            return [fit(x) for x in range(n)]

        @task
        def main():
            return subrun(fits(5), executor="default")
        """,
    )
    assert project("run", "inner.py", "main") == 1
    raised, *callers = re.findall(r"^  (?:raised in|called by)  (\S+) +(\S+)", project.err, re.M)
    assert raised[1] == "fit(0)"
    assert [call.partition("(")[0] for _, call in callers] == [
        "fits",
        "redun_lite.subrun_root_task",
        "main",
    ]
    project("log", raised[0])
    assert "ValueError: 0" in project.out


HELD = """
    from redun_lite import task

    @task
    def hold():
        with open("started", "w") as started:
            started.write("x")
        with open("go") as go:
            return go.read()

    @task
    def after(value):
        return value

    @task
    def main():
        return after(hold())
"""


@pytest.fixture(params=[HELD])
def held(project, request):
    """Start a workflow whose job has begun and ends when something is written to `go`."""
    project.write("held.py", request.param)
    for name in ("started", "go"):
        os.mkfifo(project.folder / name)
    process = start(project.folder, "run", "held.py", "main")
    started = os.open(project.folder / "started", os.O_RDONLY | os.O_NONBLOCK)
    while not select.select([started], [], [], 0.1)[0] or not os.read(started, 1):
        assert process.poll() is None, process.communicate()[1]
    os.close(started)
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_lets_the_running_job_end_and_records_it(project, held):
    held.send_signal(signal.SIGINT)
    for line in held.stderr:
        if line.startswith("stopping: waiting for 1 running job"):
            break
    with open(project.folder / "go", "w") as go:
        go.write("on")
    _, err = held.communicate()
    assert held.returncode == 130
    assert err.endswith("redun_lite: interrupted\n")
    assert project.query("SELECT status FROM execution") == [("CANCELLED",)]
    ended = project.query(
        "SELECT fullname, status FROM job JOIN task ON task.id = task_id ORDER BY fullname"
    )
    assert ("hold", "DONE") in ended
    assert "after" not in dict(ended)


IGNORING = HELD.replace(
    """
    @task
    def hold():
""",
    """
    import signal

    @task(executor="process")
    def hold():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
""",
)


@pytest.mark.parametrize("held", [HELD, IGNORING], ids=["thread", "process"], indirect=True)
def test_a_second_ctrl_c_does_not_wait(project, held):
    held.send_signal(signal.SIGINT)
    for line in held.stderr:
        if line.startswith("stopping"):
            break
    held.send_signal(signal.SIGINT)
    held.communicate()
    assert held.returncode == 130
    assert dict(
        project.query("SELECT fullname, status FROM job JOIN task ON task.id = task_id")
    ) == {"main": "CANCELLED", "hold": "CANCELLED"}


def test_a_killed_run_is_shown_as_killed(project, held):
    connection = sqlite3.connect(project.database)
    while not connection.execute("SELECT id FROM job").fetchone():
        time.sleep(0.001)  # It is recorded at the first idle moment.
    connection.close()
    held.kill()
    held.communicate()
    project("log")
    assert "  KILLED  " in project.out
    project("log", "-")
    assert "KILLED" in project.out
    assert "RUNNING" not in project.out


def test_on_a_terminal_the_live_line_is_erased_and_the_table_stays(project):
    terminal, other = pty.openpty()
    process = start(project.folder, "run", "wf.py", "main", stdout=other, stderr=other)
    os.close(other)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says so at the end of a terminal.
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    assert process.wait() == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "from the task\n" in text
    assert "flow.main       0       0     1      1\n" in text
    assert "RUNNING" not in text
    assert text.endswith("[2, 3, 4]\n")


@pytest.mark.parametrize("words", [["help"], ["log", "-h"], ["completion", "bash"]])
def test_whoever_stops_reading_ends_even_help_as_a_signal_would(words, monkeypatch):
    for is_buffered in (True, False):
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb", -1 if is_buffered else 0) as binary:
            stream = io.TextIOWrapper(binary, write_through=not is_buffered)
            monkeypatch.setattr(sys, "stdout", stream)
            assert main(words) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no device that is always full")
def test_an_output_without_room_is_one_line(monkeypatch, capsys):
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["help"]) == 1
    told = capsys.readouterr().err
    assert told == "redun_lite: error: cannot write standard output: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["fs", "cp", "LICENSE", "-"]])
def test_whatever_has_no_room_says_the_same(words, monkeypatch, capsys):
    monkeypatch.chdir(os.path.dirname(os.path.dirname(__file__)))
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(words) == 1
    told = capsys.readouterr().err
    assert told == "redun_lite: error: cannot write standard output: No space left on device\n"


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_standard_stream_may_be_closed(stream, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, stream, None)
    assert main(["help"]) == 0
    assert main(["import", "-"] if stream == "stdin" else ["log", "nothing"]) == 2
    getattr(sys, stream).close()


@pytest.mark.parametrize("command", ["graph", "timeline"])
def test_what_cannot_be_drawn_is_said_to_be_missing_where(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    assert main([command, "-"]) == 2
    assert f"nothing is recorded yet in {tmp_path}" in capsys.readouterr().err
