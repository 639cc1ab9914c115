"""Scripts: what they are given, what they give back, and what runs again."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import Lab, note, notes, python

from redun_lite import (
    ContentFile,
    Dir,
    Executor,
    ExpressionError,
    File,
    FileSet,
    FileSystem,
    IFile,
    ScriptError,
    TaskError,
    _fs_registry,
    script,
    shell_quote,
    task,
)
from redun_lite._client.log import log_lines
from redun_lite._expr import dumps_expr, loads_expr
from redun_lite._record import ErrorValue
from redun_lite._script import MOST_KEPT, make_script, shell_text

redun_namespace = "test_script"

NASTY_NAMES = [
    "two words",
    "it's",
    'a "quoted" one',
    "-rf",
    "$HOME `id` $(id)",
    "line\nbreak",
    "back\\slash",
    "*?[a]",
    "semi;colon&amp|pipe",
    "!bang#hash~tilde",
    "ünïcödé",
    os.fsdecode(b"no utf-8: \xff"),
]

Pair = namedtuple("Pair", "first second")


@dataclass(frozen=True)
class Report:
    text: Any
    table: Any
    title: str = "report"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run in a folder of its own, as scripts are given relative paths."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture(params=["thread", "process"])
def any_lab(request, tmp_path):
    """A lab whose executor "local" has one of the two modes."""
    return Lab(tmp_path, **{"executors.local": {"type": "local", "mode": request.param}})


def rewrite(path, text):
    """Write a file such that its time is certain to differ."""
    later = (os.stat(path).st_mtime_ns if os.path.exists(path) else 0) + 1_000_000_000
    Path(path).write_text(text)
    os.utime(path, ns=(later, later))


# Script tasks


@task(script=True)
def say(text):
    return f"echo {shell_quote(text)}"


def test_the_result_of_a_script_task_is_what_it_wrote_to_standard_output(any_lab):
    assert any_lab.run(say.options(executor="local")("hello")) == b"hello\n"


def test_a_script_task_is_cached(lab):
    assert [lab.run(say("hello")) for _ in range(2)] == [b"hello\n"] * 2
    assert lab.jobs() == {"say": ["CACHED"]}
    lab.audit()


def test_a_script_task_given_a_file_runs_again_when_that_changed(lab):
    @task(script=True)
    def show(file: File):
        return f"cat {shell_quote(file)}"

    rewrite("data", "one")
    assert lab.run(show(File("data"))) == b"one"
    rewrite("data", "two")
    assert lab.run(show(File("data"))) == b"two"


def test_a_command_loses_its_indentation_and_the_blank_lines_around_it(lab):
    @task(script=True)
    def document():
        return """

            cat <<EOF
            first
              second
            EOF

        """

    assert lab.run(document()) == b"first\n  second\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [("false; echo on", 1), ("(exit 4) | cat; echo on", 4), ("no-such-program; echo on", 127)],
)
def test_a_script_stops_where_any_part_of_it_fails(lab, command, status):
    with pytest.raises(ScriptError) as caught:
        lab.run(script(command))
    assert caught.value.returncode == status
    assert caught.value.stdout == b""


def test_a_first_line_names_the_interpreter(lab):
    @task(script=True)
    def snake(n):
        return f"""
            #!{sys.executable} -S
            import sys
            print({n} + 1, "site" in sys.modules)
        """

    assert lab.run([snake(1), script("#!/bin/sh\necho $((1 + 1))")]) == [b"2 False\n", b"2\n"]


def test_a_list_is_run_word_by_word(lab):
    @task(script=True)
    def count(words):
        return [sys.executable, "-c", "import sys; print(sys.argv[1:])", *words]

    words = ["two words", "$HOME", "it's", "*", ""]
    assert lab.run(count([*words, 3, Path("a b"), File("-n")])).decode() == (
        f"{[*words, '3', 'a b', './-n']}\n"
    )


def test_a_script_that_reads_standard_input_finds_its_end(lab):
    assert lab.run(script("cat; echo done")) == b"done\n"


def test_standard_output_may_be_anything_and_long(lab):
    size = 3_000_001
    command = (
        f"#!{sys.executable}\nimport os\nos.write(1, b'\\xff\\x00\\r\\n' * {size // 4} + b'!')"
    )
    assert lab.run(script(command)) == b"\xff\x00\r\n" * (size // 4) + b"!"


def test_scripts_run_at_the_same_time(any_lab):
    os.mkfifo("meeting")  # Whoever opens it waits for the other side.
    both = [script("echo hello > meeting"), script("cat meeting")]
    local = [call_on(expr, "local") for expr in both]
    assert any_lab.run(local) == [b"", b"hello\n"]


def call_on(expr, executor):
    expr._options = {"executor": executor}
    return expr


def test_the_function_of_a_script_task_may_raise(lab):
    @task(script=True)
    def broken():
        raise ValueError("no command today")

    with pytest.raises(ValueError, match="no command today"):
        lab.run(broken())


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (3, "a script is text or a list of words, not int 3"),
        (None, "a script is text or a list of words, not NoneType None"),
        (b"echo", "a script is text or a list of words, not bytes b'echo'"),
        (" \n\t\n", "the command is empty"),
        ([], "the command is empty"),
        (["echo", None], "a command takes strings, numbers, paths and files, not NoneType None"),
        ("echo \0", "the command holds a NUL character, which no shell takes"),
        ("#!\necho", "the first line, #!, names no interpreter"),
    ],
)
def test_what_is_no_command_is_said_to_be_none(lab, returned, reason):
    @task(script=True)
    def wrong():
        return returned

    with pytest.raises(TaskError) as caught:
        lab.run(wrong())
    assert str(caught.value) == f"the script of task test_script.wrong: {reason}"
    with pytest.raises(TaskError) as caught:
        script(returned)
    assert str(caught.value) == f"script: {reason}"


def test_a_script_task_cannot_be_async():
    with pytest.raises(TaskError, match=r"later: a script task cannot be async"):

        @task(script=True)
        async def later():
            return "echo"


@pytest.mark.parametrize("first", ["#!/no/such/thing", "#!/usr/bin/env no-such-thing -x"])
def test_an_interpreter_that_does_not_exist_is_named(lab, first):
    with pytest.raises(ScriptError) as caught:
        lab.run(script(f"{first}\necho"))
    name = "/no/such/thing" if "env" not in first else "no-such-thing"
    assert str(caught.value) == (
        f"the {os.path.basename(name)} script 'echo': the interpreter {name!r} does not exist"
    )
    assert caught.value.returncode == 127


def test_an_executor_that_runs_no_scripts_says_so(lab):
    class Bare(Executor):
        def submit(self, job):
            raise AssertionError

    with pytest.raises(Exception, match="executor 'bare' does not run scripts"):
        lab.run(script("true", executor="bare"), Bare("bare"))


# How scripts fail


def test_an_error_says_how_the_script_ended_and_what_it_wrote_last(lab):
    command = "echo result\necho trouble >&2\nexit 3"
    with pytest.raises(ScriptError) as caught:
        lab.run(script(command))
    error = caught.value
    assert (error.returncode, error.stdout) == (3, b"result\n")
    assert error.stderr == b"+ echo result\n+ echo trouble\ntrouble\n+ exit 3\n"
    assert str(error).splitlines() == [
        "the script 'echo result' ended with exit status 3",
        "+ echo result",
        "+ echo trouble",
        "trouble",
        "+ exit 3",
    ]


def test_an_error_names_the_task_and_shows_the_last_lines_only(lab):
    @task(script=True)
    def chatty():
        return "#!/bin/sh\nseq 100 >&2; exit 1"

    with pytest.raises(ScriptError) as caught:
        lab.run(chatty())
    first, *lines = str(caught.value).splitlines()
    assert first == "the script of task test_script.chatty ended with exit status 1"
    assert lines == ["… 88 lines before these", *(str(n) for n in range(89, 101))]
    assert len(caught.value.stderr.splitlines()) == 100


@pytest.mark.parametrize("lines", ["nosuchtool", "true\n# why\nnosuchtool", "\n\ntrue\nnosuchtool"])
@pytest.mark.parametrize("first", ["", "#!/bin/bash\n"])
def test_line_numbers_in_errors_are_those_of_the_script(lab, first, lines):
    command = first + lines
    with pytest.raises(ScriptError) as caught:
        lab.run(script(command))
    number = command.strip("\n").split("\n").index("nosuchtool") + 1
    assert f"script: line {number}: nosuchtool: ".encode() in caught.value.stderr


@pytest.mark.parametrize(
    ("command", "title"),
    [
        ("#!/usr/bin/env python3\nimport sys\nsys.exit(3)", "the python3 script 'sys.exit(3)'"),
        ("#!/bin/sh -e\n\n# Ends it.\nexit 3", "the sh script 'exit 3'"),
        ("set -u\n  exit 3", "the script 'exit 3'"),
        ("#!/bin/sh\nimport=3\nexit 3", "the sh script 'import=3'"),
        ("set nonsense; exit 3", "the script 'set nonsense; exit 3'"),
    ],
)
def test_an_error_calls_a_script_by_what_runs_it_and_the_first_line_that_tells(lab, command, title):
    with pytest.raises(ScriptError) as caught:
        lab.run(script(command))
    assert caught.value.message == f"{title} ended with exit status 3"


def test_an_error_shows_the_end_of_a_long_line(lab):
    with pytest.raises(ScriptError) as caught:
        lab.run(script("#!/bin/sh\nprintf '%01000d\\n' 7 >&2; exit 1"))
    assert str(caught.value).splitlines()[1] == f"…{7:0500d}"


def test_what_is_recorded_of_an_error_says_in_one_line_how_the_script_ended():
    value = ErrorValue.from_error(ScriptError("the script ended", 1, b"out", b"one\ntwo\n"))
    assert repr(value) == "ScriptError('the script ended')"
    assert value.traceback.endswith("the script ended\none\ntwo\n")


def test_an_error_names_an_output_as_it_was_written_also_with_a_temporary_directory(lab):
    with pytest.raises(ScriptError) as caught:
        lab.run(script("true", outputs=File("out/x").stage("x"), tempdir=True))
    assert caught.value.message == (
        "the script 'true': its output File('out/x').stage('x') was not written"
    )


def test_an_error_names_the_signal_that_ended_a_program(lab):
    with pytest.raises(ScriptError, match="exit status 137, as after SIGKILL"):
        lab.run(script("kill -KILL $$"))


@pytest.mark.parametrize("code", [1, -9])
@pytest.mark.parametrize("load", [lambda e: pickle.loads(pickle.dumps(e)), None])
def test_an_error_survives_pickling(load, code):
    load = load or (lambda error: loads_expr(dumps_expr(error)))
    loaded = load(ScriptError("it failed", code, b"out", b"no\nutf-8: \xff\n"))
    assert str(loaded) == "it failed\nno\nutf-8: \N{REPLACEMENT CHARACTER}"
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (
        code,
        b"out",
        b"no\nutf-8: \xff\n",
    )


def test_the_command_line_shows_the_end_of_standard_error_line_by_line(folder):
    (folder / "workflow.py").write_text(
        "from redun_lite import script, task\n"
        "redun_namespace = 'failing'\n"
        "@task\n"
        "def main():\n"
        "    return script('echo one >&2; echo two >&2; exit 5')\n"
    )
    done = python("-m", "redun_lite", "run", "-q", "workflow.py", "main", check=False)
    assert done.returncode == 1
    shown = done.stderr.splitlines()
    first = shown.index(
        "error: the script 'echo one >&2; echo two >&2; exit 5' ended with exit status 5"
    )
    assert shown[first + 1 : first + 6] == ["+ echo one", "one", "+ echo two", "two", "+ exit 5"]
    assert "Traceback" not in done.stderr


# What a script writes besides


def log_of(lab, name):
    """Return what `log` says of the last job of a task."""
    job, uuid = lab.query(
        "SELECT job.id, uuid FROM job JOIN task ON task.id = task_id "
        "JOIN execution ON execution.id = job.id >> 32 WHERE fullname = ? ORDER BY job.id DESC",
        name,
    )[0]
    return "".join(f"{line}\n" for line in log_lines(str(lab.path), f"{uuid}-{job & 0xFFFFFFFF}"))


def test_the_log_shows_what_a_script_wrote_to_standard_error(lab):
    command = "echo result; echo 'it is \N{SNOWMAN}' >&2"
    assert lab.run(script(command)) == b"result\n"
    assert "Standard error\n  + echo result\n" in log_of(lab, "redun_lite.script")
    assert "\n  it is \N{SNOWMAN}\n" in log_of(lab, "redun_lite.script")
    assert "Standard output" not in log_of(lab, "redun_lite.script")
    lab.run(script(command))
    assert "  CACHED  " in log_of(lab, "redun_lite.script")
    assert "\n  it is \N{SNOWMAN}\n" in log_of(lab, "redun_lite.script")
    lab.audit()


def test_the_log_shows_standard_output_where_it_is_not_the_result(lab):
    assert lab.run(script("echo on the way", outputs=None)) is None
    assert "Standard output\n  on the way\n" in log_of(lab, "redun_lite.script")


def test_the_log_shows_what_a_failed_script_wrote(lab):
    with pytest.raises(ScriptError):
        lab.run(script("#!/bin/sh\necho out; seq 50 >&2; exit 1"))
    shown = log_of(lab, "redun_lite.script")
    assert "Standard output\n  out\n" in shown
    assert "Standard error\n  1\n  2\n" in shown


def test_of_long_standard_error_the_end_is_kept(lab):
    lab.run(script(f"#!/bin/sh\nseq {MOST_KEPT} >&2"))
    assert f"\n  {MOST_KEPT}\n" in log_of(lab, "redun_lite.script")
    assert "\n  1\n" not in log_of(lab, "redun_lite.script")


def test_the_log_shows_what_a_script_wrote_each_time_also_where_the_result_is_the_same(lab):
    noisy = script("echo same; echo >> ran; wc -l < ran >&2", cache=False)
    for n in (1, 2):
        lab.run(noisy)
        assert log_of(lab, "redun_lite.script").count(f"\n  {n}\n") == 1
    lab.audit()


def test_standard_error_is_no_part_of_the_result(lab):
    @task
    def read(text):
        note("ran", text)
        return text

    # Not in the cache, so that it runs each time and says something else.
    noisy = script("echo same; date +%N >&2; echo $$ >&2", cache=False)
    lab.run(read(noisy))
    lab.run(read(noisy))
    assert lab.jobs() == {"script": ["DONE"], "read": ["CACHED"]}
    assert len(notes("ran")) == 1


def test_a_script_that_ends_while_a_failed_run_drains_is_recorded(lab):
    os.mkfifo("gate")

    @task
    def fail():
        raise ValueError("first")

    @task
    def open_gate(reporter):
        Path("gate").write_text("go")

    class Opening(shell_reporter()):
        def draining(self, engine):
            Path("gate").write_text("go")

    slow = script("cat gate; echo done >&2", outputs=[File("-"), 5])
    with pytest.raises(ValueError, match="first"):
        lab.run([slow, fail()], reporter=Opening())
    assert lab.jobs()["script"] == ["DONE"]
    assert lab.run(slow) == [b"go", 5]
    assert lab.jobs()["script"] == ["CACHED"]


def shell_reporter():
    from redun_lite._job import Reporter

    return Reporter


# script()


def test_without_outputs_the_result_is_standard_output(lab):
    assert lab.run(script("echo hello")) == b"hello\n"
    assert lab.run(script(["echo", "hello  you"])) == b"hello  you\n"


@pytest.mark.parametrize(
    "shape",
    [
        lambda a, b: a,
        lambda a, b: [a, [b]],
        lambda a, b: {"a": a, "b": (b,), "c": None},
        lambda a, b: Pair(a, {"b": b}),
        lambda a, b: Report(a, [b]),
        lambda a, b: {"same": Report(Pair(a, 5), [b, "text"])},
    ],
)
def test_the_result_has_the_shape_of_outputs(lab, shape):
    made = lab.run(
        script(
            "echo 1 > one; echo 2 > two",
            outputs=shape(File("first").stage("one"), File("second").stage("two")),
        )
    )
    expected = shape(File("first"), File("second"))
    assert repr(made).replace(" ", "") == repr(pinned(expected)).replace(" ", "")
    assert Path("first").read_text() == "1\n"


def pinned(value):
    from redun_lite._value import iter_nested

    for leaf in iter_nested(value):
        if isinstance(leaf, File):
            leaf.update_hash()
    return value


def test_a_dash_among_the_outputs_is_standard_output(lab):
    made = lab.run(script("echo hello; echo x > x", outputs={"said": File("-"), "x": File("x")}))
    assert made["said"] == b"hello\n"
    assert made["x"].read() == "x\n"


def test_inputs_are_copied_in_and_outputs_copied_out(lab):
    Path("names").write_text("b\na\n")
    made = lab.run(
        script(
            "sort given > sub/made",
            inputs=[File("names").stage("given"), File("names").stage("sub/again")],
            outputs=File("new/folder/sorted").stage("sub/made"),
        )
    )
    assert (made.path, made.read()) == ("new/folder/sorted", "a\nb\n")


def test_inputs_may_be_of_any_shape_and_hold_what_is_not_copied(lab):
    Path("a").write_text("A")
    inputs = {"files": Pair(File("a").stage("x"), [File("a")]), "n": 3, "more": Report(None, ())}
    assert lab.run(script("cat x", inputs=inputs)) == b"A"


def test_directories_are_copied_in_and_out(lab):
    Dir("reads").file("run/1.txt").write("1")
    Dir("reads").file("2.txt").write("2")
    made = lab.run(
        script(
            "cp -R in out; echo 3 > out/3.txt",
            inputs=Dir("reads").stage("in"),
            outputs=Dir("new/results").stage("out"),
        )
    )
    assert isinstance(made, Dir)
    assert [made.rel_path(file.path) for file in made] == ["2.txt", "3.txt", "run/1.txt"]


def test_files_and_directories_that_a_script_writes_in_place_are_outputs_too(lab):
    made = lab.run(
        script(
            "mkdir -p out/d; echo 1 > out/f; echo 2 > out/d/2",
            outputs=[File("out/f"), Dir("out/d"), ContentFile("out/f.copy"), IFile("kept")][:2],
        )
    )
    assert [made[0].read(), made[1].file("2").read()] == ["1\n", "2\n"]


def test_outputs_keep_their_kind(lab):
    made = lab.run(
        script(
            "echo 1 > a; echo 2 > b",
            outputs=[ContentFile("a"), IFile("remote").stage("b")],
        )
    )
    assert [type(file) for file in made] == [ContentFile, IFile]


@pytest.mark.parametrize("tempdir", [False, True])
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_reach_the_shell_as_they_are(lab, name, tempdir):
    Path(name).write_text("content")
    command = f"cat {shell_quote(File('in ' + name))} > {shell_quote(File(name + ' out'))}"
    made = lab.run(
        script(
            command,
            inputs=File(name).stage("in " + name),
            outputs=File(f"new {name}/{name}").stage(name + " out"),
            tempdir=tempdir,
        )
    )
    assert Path(made.path).read_text() == "content"
    said = lab.run([script(["printf", "%s", name]), say(name)])
    assert said == [os.fsencode(name), os.fsencode(name) + b"\n"]


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_an_error_about_a_nasty_name_is_one_about_that_name(lab, name):
    with pytest.raises(ScriptError) as caught:
        lab.run(script("true", outputs=File("x").stage(name)))
    shown = f"its output File('x').stage({name!r}) was not written"
    assert caught.value.message.encode("utf-8", "replace") == (
        f"the script 'true': {shown}".encode("utf-8", "replace")
    )


def test_an_output_that_was_not_written_is_named(lab):
    with pytest.raises(ScriptError) as caught:
        lab.run(script("mkdir x", outputs=[Dir("x"), File("made").stage("y")]))
    assert caught.value.message == (
        "the script 'mkdir x': its output File('made').stage('y') was not written"
    )


def test_an_output_behind_a_url_that_was_not_written_is_named(lab, chatty):
    with pytest.raises(ScriptError) as caught:
        lab.run(script("echo there", outputs=File("chatty://made")))
    assert caught.value.message == (
        "the script 'echo there': its output File('chatty://made') was not written"
    )


def test_an_input_that_is_missing_is_named(lab):
    with pytest.raises(ScriptError) as caught:
        lab.run(script("true", inputs=File("missing").stage("here")))
    assert caught.value.message == (
        "the script 'true': cannot copy the input File('missing').stage('here')"
    )
    assert b"missing" in caught.value.stderr


def test_what_copies_files_writes_nothing_to_standard_output(lab, chatty):
    assert lab.run(script("echo hello", inputs=File("chatty://in").stage("in"))) == b"hello\n"


class ChattyFileSystem(FileSystem):
    """Knows files by name only; its copies say what they do."""

    name = "chatty"

    def get_hash(self, path):
        return path.encode()

    def filesize(self, path):
        return 0

    def glob(self, pattern):
        return []

    isdir = isfile = open_raw = remove = scan = filesize

    def shell_copy(self, src_path, dest_path, recursive=False, as_mount=False):
        dest = shell_quote(File(dest_path))
        return f"echo copied as_mount={as_mount} > {dest}; echo talk; echo talk"


@pytest.fixture
def chatty(monkeypatch):
    monkeypatch.setitem(_fs_registry._classes, "chatty", ChattyFileSystem)


@pytest.mark.parametrize("as_mount", [False, True])
def test_file_systems_are_told_whether_to_use_mounts(lab, chatty, as_mount):
    made = script("cat in", inputs=File("chatty://in").stage("in"), as_mount=as_mount)
    assert lab.run(made) == f"copied as_mount={as_mount}\n".encode()


def test_a_temporary_directory_is_empty_and_is_removed(lab, folder):
    Path("outside").write_text("x")
    where, listed = lab.run(script("pwd; ls -A", tempdir=True)).decode().splitlines()[0:1] * 2
    assert where == listed
    assert not os.path.exists(where)
    assert os.listdir(folder) == ["outside"]


def test_remote_paths_are_relative_to_the_workflow_also_with_a_temporary_directory(lab, folder):
    Path("names").write_text("b\na\n")
    made = lab.run(
        script(
            "sort given > made; echo in place > place",
            inputs=File("names").stage("given"),
            outputs=[File("sorted").stage("made"), File("place")],
            tempdir=True,
        )
    )
    assert [file.path for file in made] == ["sorted", "place"]
    assert [file.read() for file in made] == ["a\nb\n", "in place\n"]
    assert sorted(os.listdir(folder)) == ["names", "place", "sorted"]


def test_all_arguments_may_be_lazy(lab):
    @task
    def write(path, text):
        file = File(path)
        file.write(text)
        return file

    @task
    def give(value):
        return value

    made = script(
        give("cat one two > both; cat both"),
        inputs={"one": write("1", "I").stage("one"), "two": [give(write("2", "II")).stage("two")]},
        outputs=give([File("made").stage("both"), File("-")]),
        tempdir=give(True),
        as_mount=give(False),
        executor=give("default"),
    )
    file, said = lab.run(made)
    assert (file.read(), said) == ("III", b"III")
    assert lab.run(script(["echo", give("a b"), give(3)])) == b"a b 3\n"
    lab.run(made)
    assert set(lab.jobs()["script"]) == {"CACHED"}
    lab.audit()


def test_an_input_leads_back_to_the_task_that_made_it(lab):
    @task
    def make():
        File("made").write("x")
        return File("made")

    lab.run(script("cat in", inputs=[make().stage("in")]))
    upstream = lab.query(
        "SELECT DISTINCT argument.name, task.fullname FROM upstream "
        "JOIN argument ON argument.call_id = upstream.call_id "
        "AND argument.position = upstream.position "
        "JOIN call ON call.id = upstream.upstream_id JOIN task ON task.id = call.task_id"
    )
    assert ("files", "test_script.make") in upstream
    assert lab.query("SELECT DISTINCT path FROM file") == ["made"]


def test_files_that_a_script_wrote_are_recorded_as_files(lab):
    lab.run(script("echo > a; echo > b", outputs=[File("a"), {"b": File("c").stage("b")}]))
    assert sorted(lab.query("SELECT path FROM file")) == ["a", "c"]


def test_options_reach_the_job_and_are_no_part_of_its_key(lab):
    lab.run(script("echo", memory=4))
    lab.run(script("echo", memory=8))
    assert lab.jobs() == {"script": ["CACHED"]}
    with pytest.raises(TaskError, match=r"unknown option 'excutor'"):
        script("echo", excutor="default")


# What runs again


class Counting:
    """A workflow with one script, and how often that ran."""

    def __init__(self, lab, **arguments):
        self.lab = lab
        self.arguments = {"command": "echo >> ran; cat in > out", **arguments}

    def run(self):
        """Run it; say whether the script ran."""
        before = len(notes("ran"))
        self.result = self.lab.run(script(**self.arguments))
        return len(notes("ran")) > before


@pytest.fixture
def counting(lab):
    Path("given").write_text("1")
    return Counting(lab, inputs=[File("given").stage("in")], outputs=File("made").stage("out"))


def test_a_script_whose_files_are_as_they_were_is_cached(counting):
    assert [counting.run(), counting.run()] == [True, False]
    assert counting.result.read() == "1"


def test_a_script_runs_again_when_an_input_has_changed(counting):
    counting.run()
    rewrite("given", "2")
    assert [counting.run(), counting.run()] == [True, False]
    assert counting.result.read() == "2"


def test_a_script_runs_again_when_an_output_is_gone(counting):
    counting.run()
    os.remove("made")
    assert [counting.run(), counting.run()] == [True, False]
    assert counting.result.read() == "1"


def test_a_script_runs_again_when_an_output_has_changed(counting):
    counting.run()
    rewrite("made", "edited")
    assert [counting.run(), counting.run()] == [True, False]
    assert counting.result.read() == "1"


def test_a_script_runs_again_when_its_command_has_changed(counting):
    counting.run()
    counting.arguments["command"] += " # changed"
    assert counting.run()


def test_a_script_runs_again_when_one_of_many_outputs_is_gone(lab):
    counting = Counting(
        lab,
        command="echo >> ran; echo 1 > one; mkdir -p d; echo 2 > d/two",
        outputs={"a": [File("x/one").stage("one")], "b": Dir("x/d").stage("d")},
    )
    assert [counting.run(), counting.run()] == [True, False]
    os.remove("x/d/two")
    assert [counting.run(), counting.run()] == [True, False]


@pytest.mark.parametrize("kind", [File, ContentFile])
def test_a_script_runs_again_when_a_file_changed_that_it_reads_in_place(lab, kind):
    @task
    def main():
        return script("cat given", inputs={"any": kind("given")})

    rewrite("given", "1")
    assert lab.run(main()) == b"1"
    lab.run(main())
    assert lab.jobs()["script"] == ["CACHED"]
    rewrite("given", "2")
    assert lab.run(main()) == b"2"


def test_a_script_runs_again_when_a_directory_that_it_is_given_has_changed(lab):
    Dir("reads").file("1").write("1")
    counting = Counting(lab, command="echo >> ran; ls in", inputs=Dir("reads").stage("in"))
    assert [counting.run(), counting.run()] == [True, False]
    Dir("reads").file("2").write("2")
    assert [counting.run(), counting.run()] == [True, False]
    assert counting.result == b"1\n2\n"


def test_what_was_at_the_place_of_an_output_before_does_not_count(lab):
    rewrite("out", "from before")
    counting = Counting(lab, command="echo >> ran; echo new > out", outputs=[File("out")])
    assert [counting.run(), counting.run()] == [True, False]


def test_a_script_called_by_a_cached_task_runs_again_when_its_input_has_changed(lab):
    @task
    def main():
        return script("cat in", inputs=File("given").stage("in"))

    rewrite("given", "1")
    assert lab.run(main()) == b"1"
    rewrite("given", "2")
    assert lab.run(main()) == b"2"


def test_a_script_with_a_lazy_input_runs_again_when_that_has_changed(lab):
    @task
    def name():
        return "given"

    @task
    def file_of(path):
        return File(path)

    @task
    def main():
        return script("cat in", inputs=[file_of(name()).stage("in")])

    rewrite("given", "1")
    assert lab.run(main()) == b"1"
    rewrite("given", "2")
    assert lab.run(main()) == b"2"
    lab.run(main())
    assert lab.jobs()["script"] == ["CACHED"]


def test_equal_scripts_are_two_when_a_file_changed_between_them(lab):
    @task
    def write(text, after):
        rewrite("given", text)
        return File("given")

    def read(file):
        return script("cat in", inputs=[file.stage("in")])

    first = read(write("1", None))
    assert lab.run([first, read(write("2", first))]) == [b"1", b"2"]


def test_equal_scripts_of_one_execution_run_once(lab):
    assert lab.run([script("echo >> ran; cat ran") for _ in range(3)]) == [b"\n"] * 3


def test_a_script_without_cache_runs_each_time(counting):
    counting.arguments["cache"] = False
    assert [counting.run(), counting.run()] == [True, True]


def test_a_recorded_script_is_found_by_a_program_that_has_not_called_any(lab, folder):
    (folder / "workflow.py").write_text(
        textwrap.dedent("""
            import redun_lite

            redun_namespace = "found"

            @redun_lite.task
            def main():
                return redun_lite.script("echo >> ran; echo said", cache=True)
        """)
    )
    for _ in range(2):
        done = python("-m", "redun_lite", "run", "-q", "workflow.py", "main")
        assert done.stdout == "b'said\\n'\n"
    assert len(notes("ran")) == 1


# Outputs are whole


def test_the_outputs_of_a_script_that_fails_are_not_copied(lab):
    Path("made").write_text("old")
    with pytest.raises(ScriptError):
        lab.run(script("echo new > out; exit 1", outputs=File("made").stage("out"), tempdir=True))
    assert Path("made").read_text() == "old"


def test_an_output_takes_its_place_in_one_step(lab, folder):
    Path("made").write_text("old")
    with open("made") as reader:
        lab.run(script("echo new > out", outputs=File("made").stage("out"), tempdir=True))
        assert reader.read() == "old"
    assert Path("made").read_text() == "new\n"
    assert os.listdir(folder) == ["made"]


def test_an_output_is_written_through_a_link(lab):
    Path("target").write_text("old")
    os.symlink("target", "made")
    lab.run(script("echo new > out", outputs=File("made").stage("out"), tempdir=True))
    assert os.path.islink("made")
    assert Path("target").read_text() == "new\n"


def test_an_output_that_cannot_be_copied_is_named(lab):
    Path("file").write_text("in the way")
    with pytest.raises(ScriptError) as caught:
        lab.run(script("echo > out", outputs=File("file/made").stage("out")))
    assert caught.value.message == (
        "the script 'echo > out': cannot copy the output File('file/made').stage('out')"
    )


# What is wrong with the files


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (File("a").stage("x"), File("b").stage("x")),
        (File("a").stage("x"), File("b").stage("./y/../x")),
        (File("a").stage("x"), File("a").stage("y")),
        (File("s3://b/a").stage("x"), File("s3://b/a").stage("y")),
        (File("a").stage("x"), File("./a")),
        (Dir("a").stage("x"), File("b").stage("x/y")),
        (File("b").stage("x/y"), Dir("a").stage("x")),
        (Dir("s3://b/a").stage("x"), File("s3://b/a/c").stage("y")),
        (Dir("a"), File("a/b/c")),
        (Dir("."), File("a")),
        (File("a").stage("b"), File("b").stage("c")),
    ],
)
def test_outputs_that_overlap_are_named(lab, first, second):
    with pytest.raises(TaskError) as caught:
        script("true", outputs={"a": first, "b": [second]})
    message = str(caught.value)
    assert message.startswith("script: outputs overlap: ")
    assert message.endswith("; each needs a place of its own")
    assert repr(first.path if hasattr(first, "path") else first.remote.path) in message
    assert repr(second.path if hasattr(second, "path") else second.remote.path) in message
    assert "\n" not in message


def test_outputs_side_by_side_do_not_overlap(lab):
    outputs = [
        File("a").stage("x"),
        File("ab").stage("xy"),
        Dir("d/e").stage("d1"),
        Dir("d/f").stage("d2"),
        File("-"),
        File("-"),
        "a",
    ]
    script("true", outputs=outputs)
    script("true", outputs=outputs, tempdir=True)
    script("true", outputs=[File("a").stage("b"), File("b").stage("c")], tempdir=True)


def test_a_lazy_mistake_fails_the_job(lab):
    @task
    def wrong():
        return [File("a").stage("x"), File("b").stage("x")]

    with pytest.raises(TaskError, match="outputs overlap"):
        lab.run(script("true", outputs=wrong()))


@pytest.mark.parametrize("tempdir", [False, True])
@pytest.mark.parametrize(
    "staging",
    [
        File("a").stage("../x"),
        File("a").stage("y/../../x"),
        Dir("a").stage(".."),
        File("a").stage("s3://bucket/x"),
        File("a").stage("x/"),
        File("a").stage("."),
    ],
)
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_local_path_that_cannot_be_is_named(staging, tempdir, side):
    with pytest.raises(TaskError) as caught:
        script("true", tempdir=tempdir, **{side: [staging]})
    assert f"the local path {staging.local.path!r} " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_local_path_may_be_absolute_unless_there_is_a_temporary_directory(lab, tmp_path):
    Path("a").write_text("A")
    staging = File("a").stage(str(tmp_path / "elsewhere"))
    assert lab.run(script(f"cat {shell_quote(staging)}", inputs=staging)) == b"A"
    with pytest.raises(TaskError, match="leads out of the temporary directory"):
        script("true", inputs=staging, tempdir=True)
    place = File(str(tmp_path / "made"))
    made = lab.run(script(f"echo > {shell_quote(place)}", outputs=place, tempdir=True))
    assert made.path == place.path


def test_inputs_that_are_staged_to_one_place_are_named(lab):
    with pytest.raises(TaskError) as caught:
        script("true", inputs=[File("a/reads").stage(), File("b/reads").stage()])
    assert str(caught.value) == ("script: two inputs are staged to 'reads': a/reads and b/reads")
    script("true", inputs=[File("a").stage("x"), File("a").stage("x")])


def test_a_pattern_is_no_output():
    with pytest.raises(TaskError) as caught:
        script("true", outputs=[FileSet("*.txt")])
    assert str(caught.value) == (
        "script: outputs holds FileSet(pattern=*.txt); give a Dir, or each File"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"input": [File("a")]}, "unknown argument 'input'; did you mean 'inputs'?"),
        ({"output": File("a")}, "unknown argument 'output'; did you mean 'outputs'?"),
        ({"temp_dir": True}, "unknown argument 'temp_dir'; did you mean 'tempdir'?"),
        (
            {"reads": {"one": [File("a")]}},
            "option 'reads' holds File(path=a); a script's files are its inputs or outputs",
        ),
    ],
)
def test_an_option_that_was_meant_to_be_an_argument_is_refused(arguments, reason):
    with pytest.raises(TaskError) as caught:
        script("true", **arguments)
    assert str(caught.value) == f"script: {reason}"


@pytest.mark.parametrize(
    "inputs", ["data/a", ["data/a"], {"reads": [File("b"), Path("data/a")]}, {"data/a", "data/b"}]
)
def test_text_among_the_inputs_is_refused_since_its_file_would_not_count(inputs):
    with pytest.raises(TaskError) as caught:
        script("true", inputs=inputs)
    assert str(caught.value).replace("data/b", "data/a") == (
        "script: inputs takes File, Dir or File(…).stage(…) in any nested shape, not the text "
        "'data/a'; did you mean File('data/a')?"
    )


def test_lazy_text_among_the_inputs_fails_the_job(lab):
    @task
    def path():
        return "data/a"

    with pytest.raises(TaskError, match="not the text 'data/a'"):
        lab.run(script("true", inputs=[path()]))


@pytest.mark.parametrize("outputs", ["out/a", ["out/a", "out/b"], {"made": Path("out/a")}])
def test_outputs_of_nothing_but_text_are_refused(outputs):
    with pytest.raises(TaskError) as caught:
        script("true", outputs=outputs)
    assert str(caught.value) == (
        "script: outputs is to hold a File, Dir or File(…).stage(…), and holds the text 'out/a' "
        "only; did you mean File('out/a')?"
    )


def test_names_beside_files_are_no_files(lab):
    Path("a").write_text("A")
    outputs = [File("-"), "label", Report("said", None)]
    inputs = {"reads": Report(File("a"), None, "sample")}
    assert lab.run(script("cat a", inputs=inputs, outputs=outputs)) == [
        b"A",
        "label",
        Report("said", None),
    ]


def test_a_file_in_a_list_of_words_is_refused_since_it_would_not_be_an_input():
    with pytest.raises(TaskError) as caught:
        script(["cat", File("a")])
    assert str(caught.value) == (
        "script: a list of words holds File(path=a); give its path, and list the file in inputs "
        "or outputs"
    )


# Quoting


def test_values_are_quoted_by_kind():
    values = ["a b", 3, 1.5, Path("p q"), File("f g"), Dir("d"), File("r").stage("l m"), ["x", 1]]
    assert shell_quote(values) == "'a b' 3 1.5 'p q' 'f g' d 'l m' x 1"
    assert shell_quote("") == "''"


def test_what_is_lazy_cannot_be_quoted(lab):
    with pytest.raises(ExpressionError, match=r"test_script.say\('x'\) is lazy"):
        shell_quote(["a", say("x")])


@pytest.mark.parametrize("value", [None, b"bytes", {"a": 1}, object])
def test_what_has_no_one_form_as_text_is_refused(value):
    with pytest.raises(TaskError, match="a command takes strings, numbers, paths and files, not"):
        shell_quote(value)


# The text by itself


def test_the_text_of_a_script_runs_anywhere_and_leaves_nothing(folder, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    Path("names").write_text("b\na\n")
    text = shell_text(
        "sort given\necho END_OF_SCRIPT\ncat <<END_OF_SCRIPT\nEND_OF_SCRIPT\ncat given > made",
        [File("names").stage("given")],
        [File("copied").stage("made")],
        tempdir=True,
    )
    for shell_name in ("sh", "bash"):
        done = subprocess.run(
            [shell_name],
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        assert (done.returncode, done.stdout) == (0, "a\nb\nEND_OF_SCRIPT\n"), done.stderr
    assert Path("copied").read_text() == "b\na\n"
    assert os.listdir(temporary) == []


def test_the_status_of_the_command_is_that_of_the_text():
    made = make_script("exit 7", "some.task")
    done = subprocess.run(["sh"], input=made.text, capture_output=True, text=True)
    assert done.returncode == 7
    with pytest.raises(ScriptError, match=r"the script of task some\.task ended with exit status"):
        made.result(done.returncode, done.stdout.encode(), done.stderr.encode())
