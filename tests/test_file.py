"""Files as values: what they are identified by, when they are valid, and how they are staged."""

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import redun_lite
from redun_lite._errors import FileSystemError, UsageError
from redun_lite._file import (
    ContentDir,
    ContentFile,
    ContentFileSet,
    ContentStagingDir,
    ContentStagingFile,
    Dir,
    File,
    FileSet,
    IDir,
    IFile,
    IFileSet,
    IStagingDir,
    IStagingFile,
    StagingDir,
    StagingFile,
)
from redun_lite._value import TypeRegistry, dumps, loads

FILES = [File, ContentFile, IFile]
DIRS = [Dir, ContentDir, IDir]
FILE_SETS = [FileSet, ContentFileSet, IFileSet]
STAGINGS = [
    StagingFile,
    StagingDir,
    ContentStagingFile,
    ContentStagingDir,
    IStagingFile,
    IStagingDir,
]

names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40
).filter(lambda name: name not in (".", ".."))
paths = st.text(st.characters(exclude_characters="\0"), min_size=1).filter(
    lambda path: not path.lower().startswith("file://")
)


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_all(contents):
    for path, content in contents.items():
        File(path).write(content)


# What a file is identified by


def test_the_key_of_a_file_is_the_same_everywhere():
    File("file").write("abc")
    os.utime("file", ns=(0, 1_234_567_890_123_456_789))
    assert File("file").hash == "7e9bc45e3567f5a86bcb858f57cf94f087efae29"
    assert ContentFile("file").hash == "1052951d8f454c5c06dfa421733eb8870478852f"
    assert IFile("file").hash == "7810630d225ebbaa8a20ceeac2abe0856a094d6f"


@given(content=st.binary(min_size=1), time=st.integers(0, 2**31))
def test_a_file_is_identified_by_path_size_and_time(content, time):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file")
        path.write_bytes(content)
        os.utime(path, (time, time))
        hash = File(path).hash
        path.write_bytes(bytes(len(content)))
        os.utime(path, (time, time))
        assert File(path).hash == hash
        os.utime(path, (time, time + 1))
        assert File(path).hash != hash
        path.write_bytes(content + b"1")
        os.utime(path, (time, time))
        assert File(path).hash != hash


@given(st.binary(), st.binary())
def test_a_content_file_is_identified_by_its_content(first, second):
    with tempfile.TemporaryDirectory() as directory:
        file = ContentFile(f"{directory}/file")
        file.write(first, "wb")
        hash = file.hash
        file.write(second, "wb")
        assert (file.hash == hash) == (first == second)


def test_files_of_equal_content_at_two_paths_are_two_values():
    write_all({"a": "1", "b": "1"})
    assert ContentFile("a").hash != ContentFile("b").hash


def test_a_missing_file_has_a_key_of_its_own():
    for kind in (File, ContentFile):
        missing = kind("file").hash
        File("file").touch()
        assert kind("file").hash != missing
        File("file").remove()
        assert kind("file").hash == missing


@pytest.mark.parametrize("kinds", [FILES, DIRS, FILE_SETS, STAGINGS])
def test_each_kind_has_keys_of_its_own(kinds):
    args = ["local", "remote"] if kinds is STAGINGS else ["path"]
    assert len({kind(*args).get_hash() for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("kind", FILES + DIRS + FILE_SETS + STAGINGS)
def test_each_kind_is_recorded_under_a_name_that_no_import_changes(kind):
    assert kind.type_name == f"redun_lite.{kind.__name__}"
    assert TypeRegistry().parse_type_name(kind.type_name) is kind


def test_a_path_is_kept_as_it_is_given():
    for path in ("~/file", "./a//b/../file", "s3://bucket//key", "with space"):
        assert File(path).path == path


def test_paths_are_also_taken_as_path_objects_and_file_urls(tmp_path):
    path = tmp_path / "with space"
    assert File(path).path == File(path.as_uri()).path == str(path)
    assert File(path).hash == File(path.as_uri()).hash


def test_an_empty_path_is_an_error():
    for kind in (File, Dir, FileSet):
        with pytest.raises(FileSystemError, match="empty"):
            kind("")


# Pinning and validity


def test_the_hash_is_pinned_at_first_use():
    file = File("file")
    Path("file").write_text("1")
    hash = file.hash
    Path("file").write_text("22")
    assert file.hash == hash
    assert not file.is_valid()
    file.update_hash()
    assert file.hash != hash
    assert file.is_valid()


def test_showing_a_file_does_not_pin_its_hash():
    file = File("file")
    assert repr(file) == "File(path=file)"
    Path("file").write_text("1")
    assert file.is_valid()
    assert repr(file) == f"File(path=file, hash={file.hash[:8]})"


@pytest.mark.parametrize("mode", ["w", "wb", "x", "a", "w+"])
def test_writing_through_a_file_pins_its_hash_when_the_stream_is_closed(mode):
    file = File("file")
    before = file.hash
    with file.open(mode) as stream:
        stream.write(b"1" if "b" in mode else "1")
    assert file.hash != before
    assert file.is_valid()
    Path("file").write_text("from outside")
    assert not file.is_valid()


def test_a_write_that_fails_leaves_the_file_valid():
    file = File("file")
    file.write("old")
    with pytest.raises(TypeError):
        file.write(b"bytes where text is expected")
    assert file.read() == "old"
    assert file.is_valid()


def test_an_append_that_fails_pins_what_is_there():
    file = File("file")
    file.write("old")
    stream = file.open("a")
    stream.write("half")
    stream.__exit__(ZeroDivisionError, None, None)
    assert file.read() == "oldhalf"
    assert file.is_valid()


def test_reading_pins_nothing():
    file = File("file")
    Path("file").write_text("1")
    file.read()
    Path("file").write_text("22")
    assert file.is_valid()


def test_removing_a_file_invalidates_it():
    file = File("file")
    file.write("1")
    file.remove()
    assert not file.is_valid()
    file.remove()


def test_touching_a_file_pins_its_hash():
    file = File("file")
    file.touch()
    before = file.hash
    file.touch((5, 6))
    assert file.hash != before
    assert file.is_valid()
    assert not File("other").exists()


def test_a_touched_content_file_stays_valid():
    file = ContentFile("file")
    file.write("1")
    os.utime("file", (5, 6))
    assert file.is_valid()


def test_an_immutable_file_is_always_valid():
    file = IFile("file")
    hash = file.hash
    assert file.is_valid()
    file.write("1")
    assert file.is_valid()
    file.remove()
    assert file.is_valid()
    assert file.hash == hash == IFile("file").hash


def test_an_immutable_file_is_never_looked_at():
    for value in (IFile("s4://x"), IDir("s4://x"), IFileSet("s4://x")):
        assert len(value.hash) == 40
        assert value.is_valid()


# Storing


@given(paths, st.sampled_from(FILES))
def test_a_file_is_stored_with_its_path_and_pinned_hash(path, kind):
    file = kind(path)
    file._hash = "0" * 40
    for copy in (loads(dumps(file)), pickle.loads(pickle.dumps(file))):
        assert type(copy) is kind
        assert (copy.path, copy.hash) == (path, file.hash)


def test_a_stored_file_remembers_what_was_there():
    for value in (File("d/file"), ContentFile("d/file"), Dir("d"), FileSet("d/*")):
        File("d/file").write("1")
        stored = dumps(value)
        File("d/file").write("22")
        assert not loads(stored).is_valid()
        assert loads(stored).hash != type(value)(loads(stored)._location()).hash


@pytest.mark.parametrize("kind", DIRS + FILE_SETS)
def test_a_stored_directory_or_set_lists_its_files(kind):
    write_all({"d/a": "1"})
    value = loads(dumps(kind("d" if kind in DIRS else "d/*")))
    assert [file.path for file in value] == ["d/a"]
    assert value.pattern == ("d/**" if kind in DIRS else "d/*")


@pytest.mark.parametrize("kind", STAGINGS)
def test_a_stored_staging_keeps_both_sides(kind):
    staging = kind("local", "remote")
    copy = loads(dumps(staging))
    assert type(copy) is kind
    assert copy.get_hash() == staging.get_hash()
    assert repr(copy) == repr(staging)


def test_a_copy_of_the_package_under_another_name_reads_a_stored_file(tmp_path):
    File("file").write("1")
    value = {"file": File("file"), "dir": Dir("."), "staging": File("file").stage("local")}
    Path("stored").write_bytes(dumps(value))
    vendor = tmp_path / "myapp" / "_vendor"
    package = Path(redun_lite.__file__).parent
    shutil.copytree(package, vendor / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import sys
from pathlib import Path
from myapp._vendor.copied._value import key_of, loads
value = loads(Path("stored").read_bytes())
assert type(value["file"]).__module__ == "myapp._vendor.copied._file", value
assert value["file"].read() == "1"
assert value["file"].is_valid()
assert not any(name.split(".")[0] == "redun_lite" for name in sys.modules)
print(value["file"].hash, value["staging"].get_hash())
"""
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [value["file"].hash, value["staging"].get_hash()]


def test_a_file_is_parsed_from_the_command_line():
    for kind in FILES + DIRS:
        value = TypeRegistry().parse_arg(kind, "data/path")
        assert type(value) is kind
        assert value.path == "data/path"
    assert TypeRegistry().parse_arg(FileSet, "*.txt").pattern == "*.txt"
    with pytest.raises(UsageError, match="StagingFile"):
        TypeRegistry().parse_arg(StagingFile, "path")


# What can be done with a file


def test_text_and_bytes_are_written_and_read():
    file = File("file")
    file.write("één\ntwo\n", encoding="latin-1")
    assert file.read(encoding="latin-1") == "één\ntwo\n"
    assert file.read("rb") == "één\ntwo\n".encode("latin-1")
    assert file.readlines(encoding="latin-1") == ["één\n", "two\n"]
    assert file.readlines("rb") == ["één\n".encode("latin-1"), b"two\n"]
    assert file.size() == 8


def test_what_is_at_a_path_can_be_asked():
    File("d/file").touch()
    answers = [(f.exists(), f.isfile(), f.isdir()) for f in map(File, ["d/file", "d", "missing"])]
    assert answers == [(True, True, False), (True, False, True), (False, False, False)]


def test_a_missing_file_is_an_error_that_names_it():
    file = File("missing")
    for action in (file.read, file.readlines, file.size, lambda: file.copy_to(File("copy"))):
        with pytest.raises(FileNotFoundError, match="'missing'"):
            action()
    assert os.listdir() == []


def test_a_copy_has_the_content_and_is_valid():
    File("file").write("1")
    copy = File("new/copy")
    assert copy.exists() is False
    assert copy.is_valid()
    assert File("file").copy_to(copy) is copy
    assert copy.read() == "1"
    assert copy.is_valid()


def test_a_copy_can_be_given_as_a_path():
    ContentFile("file").write("1")
    copy = ContentFile("file").copy_to("copy")
    assert type(copy) is ContentFile
    assert copy.read() == "1"


def test_a_copy_that_is_there_can_be_left_alone():
    write_all({"file": "1", "copy": "other"})
    assert File("file").copy_to(File("copy"), skip_if_exists=True).read() == "other"
    assert File("file").copy_to(File("copy")).read() == "1"


# Directories and sets


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=3), min_size=1))
def test_a_content_directory_is_identified_by_names_and_contents_in_any_order(contents):
    with tempfile.TemporaryDirectory() as directory:
        hashes = set()
        for order in (1, -1):
            for name in list(contents)[::order]:
                File(f"{directory}/d/{name}").write(contents[name], "wb")
            hashes.add(ContentDir(f"{directory}/d").hash)
            Dir(f"{directory}/d").rmdir(recursive=True)
        assert len(hashes) == 1


@pytest.mark.parametrize("kind", [Dir, ContentDir])
@pytest.mark.parametrize(
    "change",
    [
        lambda: File("d/a").write("changed"),
        lambda: File("d/a").remove(),
        lambda: File("d/new").touch(),
        lambda: File("d/.hidden").touch(),
        lambda: os.rename("d/sub/b", "d/sub/c"),
    ],
    ids=["changed", "removed", "new", "hidden", "renamed"],
)
def test_a_change_of_a_file_inside_invalidates_the_directory(kind, change):
    write_all({"d/a": "1", "d/sub/b": "2"})
    directory = kind("d")
    assert directory.is_valid()
    change()
    assert not directory.is_valid()


def test_an_immutable_directory_or_set_is_always_valid():
    for value in (IDir("d"), IFileSet("d/*")):
        hash = value.hash
        File("d/file").touch()
        value.update_hash()
        assert value.hash == hash
        assert value.is_valid()


def test_an_empty_directory_is_as_good_as_none():
    directory = Dir("d")
    hash = directory.hash
    directory.mkdir()
    Dir("d/sub").mkdir()
    assert Dir("d").hash == hash
    assert directory.is_valid()
    assert directory.exists()


def test_a_directory_gives_its_files_sorted_with_their_hashes():
    write_all({"d/b": "1", "d/a": "22", "d/sub/c": "333"})
    files = Dir("d").files()
    assert [file.path for file in files] == ["d/a", "d/b", "d/sub/c"]
    assert [file._hash for file in files] == [File(file.path).hash for file in files]
    assert [file.path for file in Dir("d").iter_subvalues()] == [file.path for file in files]


@pytest.mark.parametrize(("dirs", "sets", "files"), list(zip(DIRS, FILE_SETS, FILES)))
def test_the_files_of_a_kind_are_of_that_kind(dirs, sets, files):
    write_all({"d/a": "1"})
    for values in (dirs("d"), sets("d/*")):
        assert [type(file) for file in values] == [files]
        assert [file.hash for file in values] == [files("d/a").hash]
    assert type(dirs("d").file("b")) is files


def test_a_trailing_slash_does_not_make_another_directory():
    assert Dir("d/").path == "d"
    assert Dir("d/").hash == Dir("d").hash
    assert Dir("/").path == "/"
    assert Dir("/").file("tmp").path == "/tmp"


def test_paths_are_taken_relative_to_a_directory():
    for path in (".", "d", "/d", "s3://bucket/d"):
        directory = Dir(path)
        assert directory.rel_path(directory.file("sub/file").path) == "sub/file"


def test_directories_are_made_and_removed():
    directory = Dir("d/sub")
    directory.mkdir()
    directory.mkdir()
    assert directory.exists()
    directory.file("file").touch()
    with pytest.raises(OSError, match="d/sub"):
        directory.rmdir()
    directory.rmdir(recursive=True)
    assert not directory.exists()
    directory.rmdir()


def test_a_copied_directory_has_the_same_files():
    write_all({"d/a": "1", "d/sub/.hidden": "2", "copy/a": "old", "copy/stays": "3"})
    copy = Dir("copy")
    assert copy.is_valid()
    assert Dir("d").copy_to(copy) is copy
    assert {copy.rel_path(file.path): file.read() for file in copy} == {
        "a": "1",
        "sub/.hidden": "2",
        "stays": "3",
    }
    assert copy.is_valid()


def test_a_copied_directory_can_leave_files_alone():
    write_all({"d/a": "1", "d/b": "2", "copy/a": "old"})
    copy = Dir("d").copy_to("copy", skip_if_exists=True)
    assert [file.read() for file in copy] == ["old", "2"]


def test_copying_a_missing_directory_is_an_error_that_names_it():
    with pytest.raises(FileNotFoundError, match="'missing'"):
        Dir("missing").copy_to(Dir("copy"))
    assert os.listdir() == []


@pytest.mark.parametrize("kind", [FileSet, ContentFileSet])
def test_a_file_that_comes_goes_or_changes_is_a_change_of_the_set(kind):
    write_all({"a.txt": "1", "b.csv": "2"})
    files = kind("*.txt")
    assert [file.path for file in files] == ["a.txt"]
    for change in (
        lambda: File("a.txt").write("changed"),
        lambda: File("c.txt").touch(),
        lambda: File("a.txt").remove(),
    ):
        files.update_hash()
        change()
        assert not files.is_valid()
    files.update_hash()
    File("b.csv").write("changed")
    assert files.is_valid()


def test_a_set_without_files_is_empty():
    assert FileSet("*.txt").files() == []
    assert FileSet("missing/**").is_valid()


# Staging


@pytest.mark.parametrize(("files", "staging"), list(zip(FILES, STAGINGS[::2])))
def test_a_file_stages_as_its_own_kind(files, staging):
    staged = files("remote/file").stage()
    assert type(staged) is staging
    assert (type(staged.local), staged.local.path) == (files, "file")
    assert (type(staged.remote), staged.remote.path) == (files, "remote/file")
    assert files("remote/file").stage("other").local.path == "other"


@pytest.mark.parametrize(("dirs", "staging"), list(zip(DIRS, STAGINGS[1::2])))
def test_a_directory_stages_as_its_own_kind(dirs, staging):
    staged = dirs("remote/dir/").stage()
    assert type(staged) is staging
    assert (type(staged.local), staged.local.path) == (dirs, "dir")
    assert dirs("remote/dir").stage("other").local.path == "other"


def test_staging_copies_in_and_unstaging_copies_out():
    write_all({"remote/file": "in", "work/file": "in"})
    staged = File("remote/file").stage("work/file")
    assert staged.stage() is staged.local
    staged.local.write("out")
    assert staged.unstage() is staged.remote
    assert staged.remote.read() == "out"
    assert staged.remote.is_valid()


def test_staging_a_directory_copies_all_its_files():
    write_all({"remote/a": "1", "remote/sub/b": "2"})
    local = Dir("remote").stage("work").stage()
    assert [local.rel_path(file.path) for file in local] == ["a", "sub/b"]


def test_a_file_staged_at_its_own_path_is_not_copied():
    staged = File("file").stage("file")
    assert staged.render_stage() == staged.render_unstage() == ""
    assert staged.stage().path == "file"
    assert not staged.local.exists()


def test_a_staging_is_identified_by_its_two_paths_alone():
    staging = StagingFile("local", "remote")
    hash = staging.get_hash()
    write_all({"local": "1", "remote": "2"})
    assert staging.get_hash() == StagingFile(File("local"), File("remote")).get_hash() == hash
    assert StagingFile("remote", "local").get_hash() != hash
    assert staging.is_valid()


@settings(max_examples=30, deadline=None)
@given(names, names, names)
def test_the_shell_commands_of_a_staging_do_what_its_methods_do(remote, directory, local):
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / remote).write_text("in")
        staged = StagingFile(f"{directory}/{local}", remote)
        if directory != remote:
            subprocess.run(["sh", "-c", staged.render_stage()], cwd=work, check=True)
            assert Path(work, directory, local).read_text() == "in"
            Path(work, directory, local).write_text("out")
            subprocess.run(["sh", "-c", staged.render_unstage()], cwd=work, check=True)
            assert Path(work, remote).read_text() == "out"


def test_the_shell_command_for_a_directory_copies_into_one_that_is_there():
    write_all({"-remote/a b": "1", "-remote/.hidden": "2", "work/stays": "3"})
    command = Dir("-remote").stage("work").render_stage()
    for _ in range(2):
        subprocess.run(["sh", "-c", command], check=True)
    assert sorted(os.listdir("work")) == [".hidden", "a b", "stays"]


def test_a_shell_command_can_write_to_standard_output():
    File("-file").write("1")
    command = File("-file").shell_copy_to(None)
    assert subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout == b"1"
