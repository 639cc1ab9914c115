"""The examples: each on small inputs, and which of its tasks run again after a change."""

from __future__ import annotations

import csv
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns("build", "report", ".redun_lite", "__pycache__")
SVG = "{http://www.w3.org/2000/svg}"


class Example:
    """A copy of an example's folder, and the runs of its workflow there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the workflow as a user does, without site-packages."""
        command = [sys.executable, "-S", "-m", "redun_lite", "run", "workflow.py", "main"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) == succeeds, done.stderr
        return done

    def jobs(self, status: str) -> dict[str, int]:
        """Return how many jobs of each task the last run ended with a status."""
        database = sqlite3.connect(self.folder / ".redun_lite" / "redun_lite.db")
        rows = database.execute(
            "SELECT task.fullname FROM job JOIN task ON task.id = job.task_id "
            "WHERE job.id >> 32 = (SELECT max(id) FROM execution) AND job.status = ?",
            (status,),
        ).fetchall()
        database.close()
        return dict(Counter(name.rpartition(".")[2] for (name,) in rows))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of a file of the example."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


def touch(path: Path) -> None:
    """Set a file's time to one that is certain to differ."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


@pytest.fixture
def example(request, tmp_path):
    """Return a copy of the example that the test's parameter names."""
    folder = tmp_path / request.param
    shutil.copytree(REPOSITORY / "examples" / request.param, folder, ignore=IGNORED)
    return Example(folder)


def of_example(name):
    """Return the mark of a test that runs the example of that name."""
    return pytest.mark.parametrize("example", [name], indirect=True)


# hello


@of_example("hello")
def test_hello_greets_whom_it_is_told_to(example):
    assert example.run().stdout == "'Hello, world! That was 13 characters.'\n"
    assert example.run("--name", "Ada").stdout == "'Hello, Ada! That was 11 characters.'\n"


@of_example("hello")
def test_hello_run_again_takes_every_job_from_the_cache(example):
    first = example.run()
    assert example.jobs("DONE") == {"main": 1, "greet": 1, "remark": 1}
    again = example.run()
    assert again.stdout == first.stdout
    assert example.jobs("CACHED") == {"main": 1, "greet": 1, "remark": 1}
    assert example.jobs("DONE") == {}


@of_example("hello")
def test_hello_runs_only_the_task_whose_code_was_edited(example):
    example.run()
    example.edit("workflow.py", "characters", "letters")
    assert example.run().stdout == "'Hello, world! That was 13 letters.'\n"
    assert example.jobs("DONE") == {"remark": 1}


@of_example("hello")
def test_hello_runs_only_the_tasks_whose_arguments_an_edit_changed(example):
    example.run()
    example.edit("workflow.py", '"Hello, ', '"Howdy, ')
    assert example.run().stdout == "'Howdy, world! That was 13 characters.'\n"
    assert example.jobs("DONE") == {"greet": 1, "remark": 1}


# compile

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def run_program(example: Example, name: str) -> str:
    """Return what a program that the example has built prints."""
    program = example.folder / "build" / name
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


@needs_gcc
@of_example("compile")
def test_compile_builds_programs_that_run(example):
    example.run()
    assert run_program(example, "prog") == "1920 x 1080 is 16:9\n"
    assert run_program(example, "prog2") == "gears of 52 and 39 teeth meet again after 3 turns\n"


@needs_gcc
@of_example("compile")
def test_compile_compiles_the_shared_source_once(example):
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 2, "compile_c": 3, "link": 2}
    assert example.jobs("CACHED") == {"compile_c": 1}


@needs_gcc
@of_example("compile")
def test_compile_run_again_takes_every_job_from_the_cache(example):
    example.run()
    example.run()
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == {"main": 1, "build": 2, "compile_c": 4, "link": 2}


@needs_gcc
@of_example("compile")
def test_an_edit_of_the_shared_source_compiles_it_and_links_both_programs(example):
    example.run()
    example.edit("lib.c", "return a;", "return a + 0;")
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 2, "compile_c": 1, "link": 2}


@needs_gcc
@of_example("compile")
def test_an_edit_of_one_program_leaves_the_other_alone(example):
    example.run()
    example.edit("prog.c", "1080", "1200")
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 1, "compile_c": 1, "link": 1}
    assert run_program(example, "prog") == "1920 x 1200 is 8:5\n"


@needs_gcc
@of_example("compile")
def test_an_edit_of_the_header_compiles_everything(example):
    example.run()
    touch(example.folder / "lib.h")
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 2, "compile_c": 3, "link": 2}


@needs_gcc
@of_example("compile")
def test_a_program_that_was_deleted_is_linked_again(example):
    example.run()
    (example.folder / "build" / "prog").unlink()
    example.run()
    assert example.jobs("DONE") == {"link": 1}
    assert run_program(example, "prog") == "1920 x 1080 is 16:9\n"


@needs_gcc
@of_example("compile")
def test_c_that_does_not_compile_fails_with_what_gcc_says(example):
    example.edit("lib.c", "return a;", "return c;")
    failed = example.run(succeeds=False)
    assert "lib.c" in failed.stderr
    assert "'c' undeclared" in failed.stderr.replace("‘", "'").replace("’", "'")
    assert example.jobs("FAILED")["compile_c"] >= 1
    assert "link" not in example.jobs("DONE")


# stdlib_report

SOURCES = {
    "alone.py": '"""Doc."""\n\n# A comment.\n\n\ndef public():\n    """Say so."""\n    return 1\n',
    "latin.py": "# -*- coding: latin-1 -*-\nname = 'café'\n",
    "broken.py": "def f(:\n    pass\n# end\n",
    "null.py": "x = '\0'\n",
    "odd.py": "pattern = '\\d'\n",
    "pack/__init__.py": "",
    "pack/deep/__init__.py": "class A:\n    async def b(self):\n        def c(): 'Doc.'\n",
    "pack/deep/tests/test_it.py": "assert True\n",
    "pack/__pycache__/stale.py": "x = 1\n",
    "test/__init__.py": "x = 1\n",
    "no_package/module.py": "x = 1\n",
}


@pytest.fixture
def root(tmp_path):
    """Return a folder of sources to report on."""
    folder = tmp_path / "sources [1]"
    for name, text in SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    return folder


def rows(example: Example) -> dict[str, dict[str, str]]:
    """Return the rows of the table by module."""
    with (example.folder / "report" / "modules.csv").open(encoding="utf-8", newline="") as table:
        return {row["name"]: row for row in csv.DictReader(table)}


@of_example("stdlib_report")
def test_the_report_counts_lines_and_definitions_of_each_module(example, root):
    example.run("--root", str(root))
    counted = rows(example)
    assert counted["alone"] == {
        "name": "alone",
        "lines": "8",
        "code": "2",
        "docstrings": "2",
        "comments": "1",
        "blank": "3",
        "functions": "1",
        "classes": "0",
        "documented": "1",
        "unparsable": "0",
    }
    nested = counted["pack.deep"]
    assert (nested["functions"], nested["classes"], nested["documented"]) == ("2", "1", "1")


@of_example("stdlib_report")
def test_the_report_leaves_out_tests_caches_and_folders_that_are_no_packages(example, root):
    example.run("--root", str(root))
    assert sorted(rows(example)) == ["alone", "broken", "latin", "null", "odd", "pack", "pack.deep"]


@of_example("stdlib_report")
def test_the_report_counts_the_lines_of_files_that_do_not_parse(example, root):
    done = example.run("--root", str(root))
    counted = rows(example)
    assert [name for name in counted if counted[name]["unparsable"] == "1"] == ["broken", "null"]
    assert counted["broken"]["lines"] == "3"
    assert "SyntaxWarning" not in done.stderr


@of_example("stdlib_report")
def test_the_totals_are_printed(example, root):
    printed = example.run("--root", str(root)).stdout
    assert "'modules': 7" in printed
    assert "'unparsable': 2" in printed


@of_example("stdlib_report")
def test_the_chart_is_an_accessible_image_without_external_resources(example, root):
    example.run("--root", str(root), "--largest", "3")
    text = (example.folder / "report" / "packages.svg").read_text(encoding="utf-8")
    svg = ElementTree.fromstring(text)
    assert svg.tag == f"{SVG}svg"
    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "The 3 largest packages in sources [1]"
    assert svg.findtext(f"{SVG}desc")
    assert len(svg.findall(f"{SVG}g")) == 3
    assert text.count("http") == 1  # The name space.
    assert "href" not in text
    assert "url(" not in text


@of_example("stdlib_report")
def test_the_report_run_again_takes_every_job_from_the_cache(example, root):
    example.run("--root", str(root))
    ran = example.jobs("DONE")
    assert ran["read_module"] == 7
    example.run("--root", str(root))
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == ran


@of_example("stdlib_report")
def test_a_file_that_was_only_touched_is_read_again_and_nothing_follows(example, root):
    example.run("--root", str(root))
    touch(root / "pack" / "deep" / "__init__.py")
    example.run("--root", str(root))
    assert example.jobs("DONE") == {"survey": 1, "read_files": 1, "read_module": 1}


@of_example("stdlib_report")
def test_an_edited_file_is_read_again_and_the_report_written_anew(example, root):
    example.run("--root", str(root))
    (root / "pack" / "deep" / "__init__.py").write_text("x = 1\ny = 2\n", encoding="utf-8")
    example.run("--root", str(root))
    assert example.jobs("DONE") == {
        "survey": 1,
        "read_files": 1,
        "read_module": 1,
        "join": 1,
        "by_package": 1,
        "summarize": 1,
        "write_table": 1,
        "draw_chart": 1,
    }
    assert rows(example)["pack.deep"]["code"] == "2"


@of_example("stdlib_report")
def test_a_file_that_was_added_is_the_only_one_that_is_read(example, root):
    example.run("--root", str(root))
    (root / "pack" / "new.py").write_text("x = 1\n", encoding="utf-8")
    example.run("--root", str(root))
    assert example.jobs("DONE")["read_module"] == 1
    assert "pack.new" in rows(example)


@of_example("stdlib_report")
def test_a_chart_that_was_deleted_is_drawn_again(example, root):
    example.run("--root", str(root))
    chart = example.folder / "report" / "packages.svg"
    chart.unlink()
    example.run("--root", str(root))
    assert example.jobs("DONE") == {"draw_chart": 1}
    assert chart.exists()


@of_example("stdlib_report")
def test_the_report_is_the_same_from_worker_processes(example, root):
    example.run("--root", str(root))
    expected = rows(example)
    example.run("--root", str(root), "--option", "executor=process", "--no-cache")
    assert rows(example) == expected


@of_example("stdlib_report")
def test_an_empty_folder_makes_an_empty_report(example, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "'modules': 0" in example.run("--root", str(empty)).stdout


@of_example("stdlib_report")
def test_a_root_that_is_not_there_is_an_error_that_names_it(example, tmp_path):
    failed = example.run("--root", str(tmp_path / "nowhere"), succeeds=False)
    assert "nowhere: there is no such folder" in failed.stderr


# What the READMEs say

READMES = [
    "README.md",
    *(f"examples/{name}/README.md" for name in ("hello", "compile", "stdlib_report")),
]
NOT_RUN = ("make ", "python3 benchmarks/", "python3 -m venv")


@pytest.fixture
def clone(tmp_path):
    """Return a copy of the repository in which `python3` is this Python without site-packages."""
    folder = tmp_path / "clone"
    for name in ("redun_lite", "examples"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=IGNORED)
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy(REPOSITORY / name, folder)
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return folder


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("readme", READMES)
def test_every_command_of_a_readme_works_when_pasted_in_order(clone, readme):
    text = (clone / readme).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = "".join(block for block in blocks if not block.startswith(NOT_RUN))
    assert "python3 -m redun_lite run " in commands
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PATH"] = f"{clone.parent / 'bin'}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=clone, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_first_command_of_the_readme_runs_the_main_job():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert first is not None
    assert first[1] == "python3 -m redun_lite run examples/stdlib_report/workflow.py main\n"
