"""File and Dir as arguments and results."""

from __future__ import annotations

import os
from pathlib import Path

from .case import Fact, case, ran
from .engine import ContentFile, Dir, File, task

redun_namespace = "files"


@task
def write(text):
    ran("write")
    file = File("made")
    file.write(text)
    return file


@task
def read(file):
    ran("read")
    return file.read()


@task
def read_all(folder):
    ran("read_all")
    return sorted(file.read() for file in folder)


@task
def make_dir():
    ran("make_dir")
    os.makedirs("folder", exist_ok=True)
    Path("folder/one").write_text("1")
    return Dir("folder")


@task
def main():
    ran("main")
    return read(write("text"))


@task(check_valid="shallow")
def shallow():
    ran("shallow")
    return read(write("text"))


@task(check_valid="shallow")
def shallow_file():
    ran("shallow_file")
    return write("text")


@case("A file that is changed is written again, and read again if it is another one")
def changed():
    yield main()
    yield main()
    Path("made").write_text("changed from outside")
    yield main()
    yield main()


@case("So is a file that is gone")
def removed():
    yield main()
    os.remove("made")
    yield main()


@case("A shallow task looks only at its own result")
def shallow_intermediate():
    yield shallow()
    Path("made").write_text("changed from outside")
    yield shallow()


@case(
    "A shallow task whose result is the file",
    why="What its function returned still stands; only the call that made the file runs again.",
)
def shallow_result():
    yield shallow_file()
    Path("made").write_text("changed from outside")
    yield shallow_file()


@case("A file as an argument")
def argument():
    for text in ("1", "22", "22"):
        if not os.path.exists("input") or Path("input").read_text() != text:
            Path("input").write_text(text)
        yield read(File("input"))


@case("A file in an expression that a task returned")
def in_expression():
    @task(name="in_expression")
    def outer():
        ran("outer")
        return read(File("input"))

    for text in ("1", "22"):
        Path("input").write_text(text)
        yield outer()
    yield outer()


@case("A directory in which a file appears")
def directory():
    yield make_dir()
    yield make_dir()
    Path("folder/two").write_text("2")
    yield make_dir()


@case("A directory as an argument")
def directory_argument():
    os.makedirs("input")
    Path("input/one").write_text("1")
    yield read_all(Dir("input"))
    yield read_all(Dir("input"))
    Path("input/two").write_text("2")
    yield read_all(Dir("input"))


@case("A ContentFile that is written anew with the same content")
def content():
    for time in (1, 2):
        Path("input").write_text("same")
        os.utime("input", (time, time))
        yield read(ContentFile("input"))


@case("What File can do")
def methods():
    file = File("folder/file.txt")
    file.write("one\ntwo\n")
    copied = file.copy_to(File("copy.txt"))
    yield Fact(f"{file.exists()}, {file.read()!r}, {file.readlines()}, {file.size()}")
    yield Fact(f"{copied.path}, {copied.read()!r}, {file.basename()}, {file.dirname()}")
    copied.remove()
    yield Fact(f"{copied.exists()}, {File('no').exists()}")
    with file.open("a") as stream:
        stream.write("three\n")
    yield Fact(repr(file.read("rb")))


@case("What Dir can do")
def directory_methods():
    folder = Dir("folder")
    File("folder/b/two").write("2")
    File("folder/one").write("1")
    copied = folder.copy_to(Dir("copy"))
    yield Fact(str(sorted(file.path for file in folder)))
    yield Fact(str(sorted(os.path.relpath(file.path, "copy") for file in copied)))
    yield Fact(f"{folder.exists()}, {Dir('no').exists()}")
