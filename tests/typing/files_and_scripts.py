"""Files, directories, and the outputs of scripts."""

# pyright: strict

from __future__ import annotations

from typing import Any

from redun_lite import Dir, File, FileSet, IFile, script, shell_quote, task


@task
def write(path: str, text: str) -> File:
    file = File(path)
    file.write(text)
    return file


@task
def count(file: File) -> int:
    return len(file.read().split())


@task(script=True)
def head(file: File, lines: int = 10) -> str:
    return f"head -n {lines} {shell_quote(file)}"


@task(script=True, executor="process")
def listing() -> list[str]:
    return ["ls", "-l"]


file = write("a.txt", "a")
folder = Dir("data")

# Files

reveal_type(file.read())  # reveals: str
reveal_type(file.read("rb"))  # reveals: bytes
reveal_type(file.readlines())  # reveals: list[str]
reveal_type(file.readlines("rb"))  # reveals: list[bytes]
with file.open() as text, file.open("rb") as binary:
    reveal_type(text.read())  # reveals: str
    reveal_type(binary.read())  # reveals: bytes


def read(mode: str) -> Any:
    return file.read(mode)


file.write(b"a", "wb")
file.write(b"a")
# mypy error: No overload variant of "write" of "File"
# pyright error: "str"
count(folder)  # error: "File"
count(IFile("a.txt"))
reveal_type(file.copy_to("b.txt"))  # reveals: File
reveal_type(folder.file("a.txt"))  # reveals: File
reveal_type(list(folder))  # reveals: list[File]
reveal_type([one.size() for one in FileSet("*.txt")])  # reveals: list[int]
reveal_type(file.stage("local.txt"))  # reveals: StagingFile
reveal_type(folder.stage().remote)  # reveals: Dir

# Scripts

reveal_type(head(file))  # reveals: bytes
reveal_type(listing())  # reveals: bytes
head("a.txt")  # error: "File"
reveal_type(script("date"))  # reveals: bytes
reveal_type(script("date", tempdir=True, memory=4))  # reveals: bytes
reveal_type(script("sort a", inputs=[file.stage("a")]))  # reveals: bytes
reveal_type(script("sort a > b", [file.stage("a")], outputs=File("b.txt").stage("b")))
# reveals: File
reveal_type(script("make", outputs=folder.stage("out")))  # reveals: Dir
reveal_type(script("make", outputs=[File("b").stage(), File("c").stage()]))  # reveals: list[File]
reveal_type(script("make", outputs={"b": File("b").stage()}))  # reveals: dict[str, File]
reveal_type(script("make", outputs=[File("b").stage(), "done"]))  # reveals: Any
reveal_type(script("make", outputs=File("-")))  # reveals: Any
count(script("make", outputs=File("b").stage()))
count(script("date"))  # error: "File"
script()
# mypy error: All overload variants of "script" require at least one argument
# pyright error: No overloads for "script"
