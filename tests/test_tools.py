"""Copying files, filling in templates, stopping in the debugger."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, Lab, run, run_examples

import redun_lite.tools
from redun_lite import ContentDir, ContentFile, Dir, ExecutorError, File, Task, task
from redun_lite._errors import ArgumentError
from redun_lite.tools import copy_dir, copy_file, copy_files, render_template

PAGE = ROOT / "docs" / "reference" / "tools.md"
TASKS = [value for value in vars(redun_lite.tools).values() if isinstance(value, Task)]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with two files and a directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "src/a.txt", "src/deep/b.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("name", redun_lite.tools.__all__)
def test_the_example_of_each_name_runs(name):
    run_examples(getattr(redun_lite.tools, name).__doc__, name, vars(redun_lite.tools))


def test_the_examples_of_the_reference_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_examples(PAGE.read_text(), PAGE.name)


def test_the_reference_has_all_names():
    headings = {line[3:].split("(")[0] for line in PAGE.read_text().splitlines()}
    assert set(redun_lite.tools.__all__) <= headings


@pytest.mark.parametrize("each", TASKS, ids=lambda each: each.name)
def test_the_hash_of_a_task_does_not_depend_on_how_its_source_is_laid_out(each):
    assert each.namespace == "redun_lite"
    assert each.version == "1"


# copy_file


def test_a_file_is_copied_into_directories_that_are_made_for_it(folder, lab):
    copy = lab.run(copy_file(File("a.txt"), "new/copy.txt"))
    assert copy.path == "new/copy.txt"
    assert copy.read() == "a.txt"
    assert copy.is_valid()


def test_a_copy_is_of_the_kind_of_what_was_copied(folder):
    assert type(run(copy_file(ContentFile("a.txt"), "copy.txt"))) is ContentFile
    assert type(run(copy_dir(ContentDir("src"), "copy"))) is ContentDir


def test_a_file_that_is_there_may_be_left(folder):
    Path("copy.txt").write_text("kept")
    assert run(copy_file(File("a.txt"), "copy.txt", skip_if_exists=True)).read() == "kept"
    assert run(copy_file(File("a.txt"), "copy.txt")).read() == "a.txt"


def test_a_file_is_copied_again_when_it_or_its_copy_has_changed(folder, lab):
    def status() -> list[str]:
        assert lab.run(copy_file(File("a.txt"), "copy.txt")).read() == Path("a.txt").read_text()
        return lab.jobs()["copy_file"]

    assert status() == ["DONE"]
    assert status() == ["CACHED"]
    Path("a.txt").write_text("changed")
    assert status() == ["DONE"]
    os.remove("copy.txt")
    assert status() == ["DONE"]
    assert status() == ["CACHED"]


def test_whether_to_leave_a_file_is_no_part_of_what_a_cached_copy_is_known_by(folder, lab):
    lab.run(copy_file(File("a.txt"), "copy.txt"))
    lab.run(copy_file(File("a.txt"), "copy.txt", skip_if_exists=True))
    assert lab.jobs() == {"copy_file": ["CACHED"]}


def test_a_file_that_is_not_there_cannot_be_copied(folder):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(copy_file(File("nowhere"), "copy.txt"))


# copy_files


def test_each_of_several_files_is_copied_by_a_job_of_its_own(folder, lab):
    copies = lab.run(copy_files([File("a.txt"), File("b.txt")], ["c/a.txt", "c/b.txt"]))
    assert [copy.read() for copy in copies] == ["a.txt", "b.txt"]
    assert lab.jobs() == {"copy_files": ["DONE"], "copy_file": ["DONE"] * 2}
    Path("a.txt").write_text("changed")
    lab.run(copy_files([File("a.txt"), File("b.txt")], ["c/a.txt", "c/b.txt"]))
    assert lab.jobs() == {"copy_files": ["DONE"], "copy_file": ["CACHED", "DONE"]}


def test_no_files_are_copied_to_no_paths():
    assert run(copy_files([], [])) == []


def test_the_options_for_copying_reach_each_copy(folder):
    options = {"executor": "nobody"}
    with pytest.raises(ExecutorError, match="unknown executor 'nobody'"):
        run(copy_files([File("a.txt")], ["copy.txt"], copy_options=options))
    with pytest.raises(ExecutorError, match="unknown executor 'nobody'"):
        run(copy_dir(Dir("src"), "copy", copy_options=options))


# copy_dir


def test_all_files_of_a_directory_are_copied_each_by_a_job_of_its_own(folder, lab):
    copy = lab.run(copy_dir(Dir("src"), "copy"))
    assert copy.path == "copy"
    assert {copy.rel_path(file.path): file.read() for file in copy} == {
        "a.txt": "src/a.txt",
        "deep/b.txt": "src/deep/b.txt",
    }
    assert lab.jobs() == {
        "copy_dir": ["DONE"],
        "copy_file": ["DONE"] * 2,
        "copied_dir": ["DONE"],
    }


def test_a_copied_directory_is_valid_afterwards_and_not_copied_again(folder, lab):
    assert lab.run(copy_dir(Dir("src"), "copy")).is_valid()
    assert lab.run(copy_dir(Dir("src"), "copy")).is_valid()
    assert {status for statuses in lab.jobs().values() for status in statuses} == {"CACHED"}


def test_a_file_that_was_deleted_from_a_copied_directory_is_copied_again(folder, lab):
    lab.run(copy_dir(Dir("src"), "copy"))
    os.remove("copy/a.txt")
    assert lab.run(copy_dir(Dir("src"), "copy")).file("a.txt").read() == "src/a.txt"
    assert lab.jobs()["copy_file"] == ["CACHED", "DONE"]


def test_files_that_only_the_other_directory_has_stay(folder):
    Path("copy").mkdir()
    Path("copy/own.txt").write_text("own")
    copy = run(copy_dir(Dir("src/"), "copy/"))
    assert sorted(copy.rel_path(file.path) for file in copy) == ["a.txt", "deep/b.txt", "own.txt"]


def test_an_empty_directory_is_copied(folder):
    Path("empty").mkdir()
    assert run(copy_dir(Dir("empty"), "copy")).exists()


def test_a_directory_that_is_not_there_cannot_be_copied(folder):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(copy_dir(Dir("nowhere"), "copy"))
    assert not Path("copy").exists()


def test_a_directory_is_copied_to_the_one_around_it_unless_that_changes_it(folder):
    assert run(copy_dir(Dir("src/deep"), "src")).file("b.txt").exists()
    Path("src/deep/deep").mkdir()
    Path("src/deep/deep/c.txt").write_text("c")
    with pytest.raises(ArgumentError, match=r"'src/deep/c.txt' would be in 'src/deep' itself$"):
        run(copy_dir(Dir("src/deep"), "src"))


# Templates


def render(text: str, context: dict[str, object], name: str = "template.txt", **options) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)
    return run(render_template("out/rendered.txt", File(name), context, **options)).read()


def test_names_after_a_dollar_stand_for_variables(folder):
    text = "$name and ${name}s cost $$5, see $file.txt.\n"
    assert render(text, {"name": "apple", "file": "a"}) == "apple and apples cost $5, see a.txt.\n"


def test_dots_inside_braces_lead_into_dicts_and_attributes(folder):
    context = {"sample": {"id": 7, "file": File("a.txt")}}
    assert render("${sample.id}: ${sample.file.path}", context) == "7: a.txt"


def test_a_rendered_file_is_rendered_again_when_its_template_or_context_has_changed(folder, lab):
    def status(text: str, **context: str) -> list[str]:
        if Path("t.txt").exists() is False or Path("t.txt").read_text() != text:
            Path("t.txt").write_text(text)
        lab.run(render_template("out.txt", File("t.txt"), context))
        return lab.jobs()["render_template"]

    assert status("$a", a="1") == ["DONE"]
    assert status("$a", a="1") == ["CACHED"]
    assert status("$a", a="2") == ["DONE"]
    assert status("$a!", a="2") == ["DONE"]
    os.remove("out.txt")
    assert status("$a!", a="2") == ["DONE"]


@pytest.mark.parametrize("name", ["page.j2", "page.jinja", "page.html.jinja2"])
def test_a_template_may_say_by_its_name_that_it_is_for_jinja2(folder, name):
    assert render("$5 {{ 1 + 1 }}", {}, name) == "$5 2"


def test_a_template_with_marks_of_jinja2_is_for_it(folder):
    text = "{% for x in xs %}{{ x }} {% endfor %}$5"
    assert render(text, {"xs": [1, 2]}, "page.html") == "1 2 $5"


def test_the_engine_can_be_named(folder):
    assert render("{{$a}}", {"a": 1}, engine="string") == "{{1}}"
    assert render("$5", {}, engine="jinja2") == "$5"


def test_templates_of_jinja2_find_others_beside_them_or_in_a_directory(folder):
    Path("parts").mkdir()
    Path("parts/base.html").write_text("[{% block body %}{% endblock %}]")
    text = "{% extends 'base.html' %}{% block body %}{{ a }}{% endblock %}"
    assert render(text, {"a": 1}, "parts/page.html") == "[1]"
    assert render(text, {"a": 1}, "page.html", template_dir="parts") == "[1]"
    assert render(text, {"a": 1}, "page.html", template_dir=Dir("parts")) == "[1]"


def test_a_directory_of_templates_given_as_dir_is_watched(folder, lab):
    Path("parts").mkdir()
    Path("page.j2").write_text("{% include 'part.txt' %}")

    def rendered(text: str) -> str:
        Path("parts/part.txt").write_text(text)
        return lab.run(render_template("out", File("page.j2"), {}, Dir("parts"))).read()

    assert rendered("once") == "once"
    assert rendered("and again") == "and again"


def test_a_template_of_jinja2_without_jinja2_gets_one_line(folder):
    script = (
        "from redun_lite import File, run\n"
        "from redun_lite.tools import render_template\n"
        "File('page.html').write('{{ name }}')\n"
        "try:\n"
        "    run(render_template('out', File('page.html'), {'name': 1}))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "ArgumentError render_template: page.html is a template of jinja2 (it has '{{ name }}'), "
        "which is not installed: install it, or write $name for variables and give "
        "engine='string'\n"
    )


# Bad input

LINES = {
    "copy_file of a path": (
        lambda: copy_file("a.txt", "copy.txt"),
        "copy_file takes a File, not 'a.txt'",
    ),
    "copy_file to a number": (
        lambda: copy_file(File("a.txt"), 3),
        "copy_file takes a path to write to, not 3",
    ),
    "copy_files of different lengths": (
        lambda: copy_files([File("a.txt"), File("b.txt")], ["copy.txt"]),
        "copy_files takes a path in dest_paths for each file in src_files; there are 2 files and "
        "1 paths",
    ),
    "copy_files to one path": (
        lambda: copy_files([File("a.txt"), File("b.txt")], ["c", "./c"]),
        "copy_files cannot copy both 'a.txt' and 'b.txt' to './c'",
    ),
    "copy_files in each other's place": (
        lambda: copy_files([File("a.txt"), File("b.txt")], ["b.txt", "c"]),
        "copy_files cannot copy 'a.txt' to 'b.txt', which is to be copied itself",
    ),
    "copy_files of one file": (
        lambda: copy_files(File("a.txt"), ["b.txt"]),
        "copy_files takes a list as src_files, not File(path=a.txt, hash=",
    ),
    "copy_files to one text": (
        lambda: copy_files([File("a.txt")], "c"),
        "copy_files takes a list as dest_paths, not 'c'",
    ),
    "copy_files of paths": (
        lambda: copy_files(["a.txt"], ["c"]),
        "copy_files takes a File, not 'a.txt'",
    ),
    "copy_files with a number as options": (
        lambda: copy_files([File("a.txt")], ["c"], copy_options=3),
        "copy_options takes a dict of options, not 3",
    ),
    "copy_dir of a path": (
        lambda: copy_dir("src", "copy"),
        "copy_dir takes a Dir, not 'src'",
    ),
    "copy_dir into itself": (
        lambda: copy_dir(Dir("src"), "src/copy"),
        "copy_dir cannot copy 'src' to 'src/copy': 'src/copy/a.txt' would be in 'src' itself",
    ),
    "copy_dir to itself": (
        lambda: copy_dir(Dir("src"), "./src"),
        "copy_dir cannot copy 'src' to './src': './src/a.txt' would be in 'src' itself",
    ),
    "render_template of a path": (
        lambda: render_template("out", "a.txt", {}),
        "render_template takes a File, not 'a.txt'",
    ),
    "render_template without a dict": (
        lambda: render_template("out", File("a.txt"), ["a"]),
        "render_template takes a dict as context, not ['a']",
    ),
    "render_template with an unknown engine": (
        lambda: render_template("out", File("a.txt"), {}, engine="mako"),
        "render_template takes 'string' or 'jinja2' as engine, not 'mako'",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_bad_input_gets_one_line(case, folder):
    make, line = LINES[case]
    with pytest.raises(ArgumentError) as caught:
        run(make())
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Dear\n$nam",
            "template.txt, line 2: variable 'nam' is not in context: did you mean name? "
            "Known: name, order",
        ),
        (
            "${order.itm}",
            "template.txt, line 1: variable 'order.itm' is not in context: did you mean item? "
            "Known: item",
        ),
        (
            "It costs 5$",
            "template.txt, line 1: '$' without the name of a variable; write '$$' for the sign "
            "itself",
        ),
        (
            "\n{{ nam }}",
            "template.txt, line 2: 'nam' is undefined; context has name, order",
        ),
        (
            "{{ order.itm }}",
            "template.txt, line 1: 'dict object' has no attribute 'itm'; context has name, order",
        ),
        (
            "\n{{ nam | }}",
            "template.txt, line 2: expected token 'name', got 'end of print statement' "
            "(it has '{{ nam | }}')",
        ),
        (
            "{% include 'part.txt' %}",
            "template.txt: there is no template 'part.txt' in .",
        ),
        (
            "{% include '../part.txt' %}",
            "template.txt: there is no template '../part.txt' in .",
        ),
    ],
)
def test_a_template_that_cannot_be_rendered_gets_one_line_and_leaves_nothing(folder, text, line):
    with pytest.raises(ArgumentError) as caught:
        render(text, {"name": "Ada", "order": {"item": 1}})
    assert str(caught.value) == f"render_template: {line}"
    assert not Path("out").exists()


def test_an_error_in_an_included_template_is_placed_there(folder):
    Path("part.txt").write_text("\n\n{{ nam }}")
    with pytest.raises(ArgumentError, match=r"^render_template: \./part.txt, line 3: 'nam' is"):
        render("{% include 'part.txt' %}", {})


# debug_task

DEBUGGED = """
from redun_lite import task
from redun_lite.tools import debug_task

@task
def double(x):
    return 2 * x

@task
def main():
    return [debug_task(double(21)), debug_task(40 + 2), debug_task(7)]
"""


def debug(folder: Path, commands: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow that stops in the debugger, and give the debugger some commands."""
    (folder / "workflow.py").write_text(DEBUGGED)
    return subprocess.run(
        [sys.executable, "-m", "redun_lite", "run", "workflow.py", "main"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=commands,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_debugger_shows_the_value_and_goes_on(tmp_path):
    done = debug(tmp_path, "p value + 1\ncontinue\np value + 1\ncontinue\n")
    assert done.returncode == 0, done.stderr
    assert "43" in done.stdout
    assert "8" in done.stdout
    assert "[42, 42, 7]" in done.stdout


def test_an_equal_value_stops_once_in_an_execution_and_anew_in_the_next(tmp_path):
    for _ in range(2):
        assert debug(tmp_path, "continue\n" * 2).stdout.count("(Pdb)") == 2


def test_the_debugger_runs_in_the_thread_that_the_run_was_started_in(tmp_path):
    command = "import threading; p threading.current_thread() is threading.main_thread()"
    commands = command.replace("; p ", "\np ") + "\n"
    assert "True" in debug(tmp_path, commands + "continue\ncontinue\n").stdout


@pytest.mark.parametrize("commands", ["quit\n", ""])
def test_to_quit_the_debugger_ends_the_run_as_ctrl_c_does(tmp_path, commands):
    done = debug(tmp_path, commands)
    assert done.returncode == 130, done.stderr
    assert done.stdout.count("(Pdb)") == 1
    lab = Lab(tmp_path, path=tmp_path / ".redun_lite" / "redun_lite.db")
    assert lab.statuses() == ["CANCELLED"]
    lab.audit()


def test_what_is_done_is_recorded_before_a_person_is_waited_for(tmp_path, lab, monkeypatch):
    recorded = []

    def look(value):
        recorded.extend(lab.query("SELECT fullname FROM call JOIN task ON task.id = task_id"))
        return value

    @task(version="1")
    def answer():
        return 42

    monkeypatch.setattr(redun_lite.tools, "_stop", look)
    assert lab.run(redun_lite.tools.debug_task(answer())) == 42
    assert recorded == ["answer"]
