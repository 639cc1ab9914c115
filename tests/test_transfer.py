"""The command `fs cp`."""

from __future__ import annotations

import io
import os
import sys

import pytest

from redun_lite._cli import main
from redun_lite._fs_local import LocalFileSystem
from redun_lite._fs_registry import get_filesystem


class MemoryFileSystem(LocalFileSystem):
    """Another file system: `mem://name` is a file of a folder, and nothing else is."""

    root = ""

    def _path(self, path):
        return os.path.join(self.root, path[len("mem://") :])

    def open_raw(self, path, access):
        return super().open_raw(self._path(path), access)

    def isfile(self, path):
        return super().isfile(self._path(path))

    def isdir(self, path):
        return super().isdir(self._path(path))

    def filesize(self, path):
        return super().filesize(self._path(path))

    def mkdir(self, path):
        super().mkdir(self._path(path))

    def scan(self, path):
        found = super().scan(self._path(path))
        return [(f"mem://{os.path.relpath(name, self.root)}", state) for name, state in found]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with some files, and another file system."""
    folder = tmp_path / "here"
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "a.txt").write_bytes(b"a\r\n\xff")
    (folder / "data" / "deep" / "b.txt").write_bytes(b"b" * 3_000_000)
    system = MemoryFileSystem()
    system.root = str(tmp_path / "mem")
    os.mkdir(system.root)
    monkeypatch.setattr(
        "redun_lite._client.transfer.get_filesystem",
        lambda url: system if url.startswith("mem:") else get_filesystem(url=url),
    )
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def copy(here, capsysbinary):
    """Runs `fs cp`; returns exit code, output and what was said besides."""

    def run(*words):
        code = main(["fs", "cp", *words])
        captured = capsysbinary.readouterr()
        return code, captured.out, captured.err.decode()

    return run


def test_a_file_is_copied(copy, here):
    assert copy("data/a.txt", "copy.txt") == (0, b"", "")
    assert (here / "copy.txt").read_bytes() == b"a\r\n\xff"


def test_a_file_goes_into_a_folder_under_its_name(copy, here):
    (here / "out").mkdir()
    assert copy("data/a.txt", "out")[0] == copy("data/a.txt", "new/folder/")[0] == 0
    assert (here / "out" / "a.txt").exists()
    assert (here / "new" / "folder" / "a.txt").exists()


def test_a_file_goes_to_another_file_system_and_back(copy, here):
    assert copy("data/deep/b.txt", "mem://b")[0] == 0
    assert copy("mem://b", "back.txt")[0] == 0
    assert (here / "back.txt").read_bytes() == b"b" * 3_000_000


def test_a_dash_is_standard_output(copy):
    assert copy("data/a.txt", "-") == (0, b"a\r\n\xff", "")


def test_a_dash_is_standard_input(copy, here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x00piped")))
    assert copy("-", "mem://piped")[0] == 0
    assert copy("mem://piped", "-")[1] == b"\x00piped"


def test_a_folder_is_copied_with_all_that_is_in_it(copy, here):
    code, shown, told = copy("-r", "data", "mem://copy")
    assert (code, shown, told) == (0, b"", "copied 2 files, 3.0 MB\n")
    assert copy("--recursive", "mem://copy", "back/")[0] == 0
    assert (here / "back" / "deep" / "b.txt").stat().st_size == 3_000_000
    assert (here / "back" / "a.txt").read_bytes() == b"a\r\n\xff"


def test_copying_a_folder_again_gives_the_same(copy, here):
    for _ in range(2):
        assert copy("-r", "data", "again")[0] == 0
    assert sorted(os.listdir(here / "again")) == ["a.txt", "deep"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["none.txt", "x"], "there is no file none.txt"),
        (["data", "x"], "data is a folder; --recursive copies what is in it"),
        (["-r", "data/a.txt", "x"], "data/a.txt is a file; leave out --recursive"),
        (["-r", "none", "x"], "none is not there"),
        (["data/a.txt", "./data/a.txt"], "are the same file"),
        (["data/a.txt", "data"], "are the same file"),
        (["-r", "data", "data/deep/new"], "data/deep/new is inside of data"),
        (["-r", "data", "-"], "- is one file"),
        (["-", "data"], "data is a folder"),
        (["data/a.txt"], "the following arguments are required: DST"),
        (["data/a.txt", "data/a.txt/x"], "cannot write data/a.txt/x: /"),
    ],
)
def test_what_cannot_be_copied_is_one_line(copy, words, expected):
    code, _, told = copy(*words)
    assert code == 2
    assert expected in told
    assert told.count("\n") == 1


def test_an_unknown_scheme_is_named(copy):
    code, _, told = copy("data/a.txt", "gopher://x/y")
    assert code in (1, 2)
    assert "gopher" in told


def test_fs_alone_says_what_it_can_do(here, capsys):
    assert main(["fs"]) == 2
    assert "fs: say what to do: cp" in capsys.readouterr().err
