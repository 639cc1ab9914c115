"""Script tasks, script() and staging."""

from __future__ import annotations

import os
from pathlib import Path

from .case import BAD_INPUT, Fact, case, ran
from .engine import Dir, File, catch, identity, script, task

redun_namespace = "scripts"


@task(script=True)
def say(word):
    ran("say")
    return f"echo {word}"


@task
def recover(error):
    return type(error).__name__


@task
def count(text):
    return len(text)


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


@case("A script task gives its output as bytes")
def script_task():
    return say("hello")


@case("script gives its output as bytes, what it writes to stderr is not in it")
def output():
    return script("echo hello; echo aside >&2")


@case("The text is dedented", runs=1)
def dedented():
    return script(
        """
        cat <<END
        one
          two
        END
        """
    )


@case("It runs in the current directory, with no input", runs=1)
def directory():
    write("here", "")
    return script("ls here; cat; echo end")


@case("A command that fails ends it", runs=1)
def errexit():
    return script("false; echo went on")


@case("So does one in a pipe", runs=1)
def pipefail():
    return script("false | cat; echo went on")


@case("A variable that is not set is empty", runs=1)
def nounset():
    return script('echo "[$NOT_SET]"')


@case("The first line says what runs it", runs=1)
def interpreter():
    return script(
        """
        #!/usr/bin/env python3
        import sys
        print(sys.argv[1:], 3 + 4)
        """
    )


@case("A list of words is a command, without a shell's expansions", runs=1)
def words():
    return script(["echo", "a  b", "$HOME", "'q'", "*"])


@case(
    "A list of words with a number",
    runs=1,
    why="Numbers are words.",
)
def words_number():
    return script(["echo", 1])


@case("An exit code that is not 0 is an error")
def fails():
    return script("echo out; echo bad >&2; exit 7")


@case("A script that a signal ends", runs=1)
def killed():
    return script("kill -9 $$")


@case("The error can be caught")
def caught():
    return catch(script("exit 3"), Exception, recover)


@case(
    "What the error's text says",
    runs=1,
    why="The text has the exit code and the last lines of stderr.",
)
def error_text():
    @task
    def text_of(error):
        return sorted(word for word in ("out", "bad", "7") if word in str(error))

    return catch(script("echo out; echo bad >&2; exit 7"), Exception, text_of)


@case(
    "A lazy command",
    runs=1,
    why="A command may be lazy like other arguments.",
)
def lazy_command():
    return script(identity("echo lazy"))


@case(
    "An empty command",
    runs=1,
    why=BAD_INPUT,
)
def empty():
    return script("")


@case(
    "A command that is a number",
    runs=1,
    why=BAD_INPUT,
)
def number():
    return script(5)


@case("A script runs once, and is replayed")
def replayed():
    return script("echo run >> log; wc -l < log")


@case("Output can be passed on", runs=1)
def passed_on():
    return count(script("printf hello"))


@case(
    "What script records",
    runs=1,
    jobs=True,
    why="A script is one job.",
)
def jobs():
    return script("echo hello")


# Staging


@case("Inputs are staged, outputs are staged back, in any shape", runs=1)
def staged():
    write("in/remote", "content\n")
    yield script(
        "cat local_in > local_out; echo said",
        inputs=[File("in/remote").stage("local_in"), []],
        outputs={
            "file": File("remote_out").stage("local_out"),
            "nested": [File("-"), (1, "text", None)],
        },
    )
    yield Fact(File("remote_out").read())


@case(
    "An output is staged to a folder that is not there",
    runs=1,
    why="Folders are made.",
)
def staged_folder():
    return script("echo 1 > local", outputs=[File("out/remote").stage("local")])


@case(
    "A dict of inputs",
    runs=1,
    why="Inputs may have any shape, as documented.",
)
def staged_dict():
    write("in", "content\n")
    return script("cat local_in", inputs={"a": [File("in").stage("local_in")]})


@case("A file that is not staged is looked at where it is", runs=1)
def unstaged():
    return script("echo content > out", outputs=[File("out")])


@case("An output of None, and no outputs", runs=1)
def no_outputs():
    return [script("echo a", outputs=None), script("echo b", outputs=[])]


@case("A Dir is staged both ways", runs=1)
def staged_dir():
    write("in/a/b", "B\n")
    write("in/c", "C\n")
    yield script(
        "cat local/a/b local/c; mkdir made; echo 1 > made/one",
        inputs=[Dir("in").stage("local")],
        outputs=[File("-"), Dir("out").stage("made")],
    )
    yield Fact(str(sorted(os.listdir("out"))))


@case("A name with blanks and quotes", runs=1)
def staged_names():
    write("in", "content\n")
    return script("cat 'a b' \"q'x\"", inputs=[File("in").stage("a b"), File("in").stage("q'x")])


@case("stage() takes the last part of the path", runs=1)
def staged_basename():
    write("in/deep/name", "content\n")
    return script("cat name", inputs=[File("in/deep/name").stage()])


@case("tempdir runs it in a directory of its own", runs=1)
def tempdir():
    yield script("ls | wc -l; echo > made", tempdir=True)
    yield Fact(str(os.path.exists("made")))


@case("Staging into a tempdir from an absolute path", runs=1)
def tempdir_absolute():
    write("in", "content\n")
    yield script(
        "cat local | tee result",
        inputs=[File(os.path.abspath("in")).stage("local")],
        outputs=[File("-")],
        tempdir=True,
    )
    yield Fact(str(os.path.exists("result")))


@case(
    "Staging into a tempdir from a relative path",
    runs=1,
    why="A relative path is relative to where the run is, not to the temporary directory.",
)
def tempdir_relative():
    write("in", "content\n")
    return script("cat local", inputs=[File("in").stage("local")], tempdir=True)


@case("An input that is not there", runs=1)
def missing_input():
    return script("cat local", inputs=[File("not_there").stage("local")])


@case("An output that was not made", runs=1)
def missing_output():
    return script("true", outputs=[File("out").stage("not_made")])


@case(
    "An input that is not staged",
    runs=1,
    why="It is not copied, but when it changes, the script runs again.",
)
def plain_input():
    return script("true", inputs=[3])


@case(
    "Two outputs that are staged to one place",
    runs=1,
    why=BAD_INPUT,
)
def overlapping():
    return script("echo 1 > a; echo 2 > b", outputs=[File("o").stage("a"), File("o").stage("b")])


@case("as_mount with local files is staging", runs=1)
def as_mount():
    write("in", "content\n")
    return script("cat local", inputs=[File("in").stage("local")], as_mount=True)


@case("When an input changes, the script runs again")
def input_changes():
    @task(name="read_input")
    def read(file):
        return script("cat local", inputs=[file.stage("local")])

    for text in ("one", "one", "other"):
        if not os.path.exists("in") or Path("in").read_text() != text:
            write("in", text)
        yield read(File("in"))


@case("When an output is gone, the script runs again")
def output_changes():
    call = "echo run >> log; wc -l < log > made"
    outputs = File("out").stage("made")
    for _ in range(2):
        yield script(call, outputs=outputs)
        yield Fact(File("out").read().strip())
    os.remove("out")
    yield script(call, outputs=outputs)
    yield Fact(File("out").read().strip())
