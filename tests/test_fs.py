"""File systems: atomic writes on the local disk, HTTP against a real server, and the registry."""

import errno
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redun_lite import _fs, _fs_registry, _plugins
from redun_lite._errors import FileSystemError
from redun_lite._file import Dir, File, FileSet
from redun_lite._fs import FileSystem, normalize_path
from redun_lite._fs_http import HTTPFileSystem
from redun_lite._fs_local import LocalFileSystem
from redun_lite._fs_registry import (
    get_filesystem,
    get_filesystem_class,
    glob_file,
    register_filesystem,
)

ROOT = Path(__file__).parent.parent
NOBODY = 65534

local = LocalFileSystem()


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def without_privileges():
    """Run the body as a user whom permissions hold back, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def own_directory():
    """A directory that belongs to the user of `without_privileges`, below readable ones."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        yield directory
        directory.chmod(0o700)


# Paths


@given(st.text())
def test_normalizing_a_path_twice_is_normalizing_it_once(path):
    try:
        once = normalize_path(path)
    except FileSystemError:
        return
    assert normalize_path(once) == once


@given(st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1)))
def test_a_file_url_of_a_path_normalizes_to_the_path(parts):
    path = Path("/", *parts)
    assert normalize_path(path.as_uri()) == str(path)


@pytest.mark.parametrize("path", ["", "a\0b", "file:///a%00b", "file://elsewhere/a", "file://a"])
def test_a_path_that_can_name_no_file_is_an_error(path):
    with pytest.raises(FileSystemError):
        normalize_path(path)


# Writing on the local disk


def chunks_and_failure():
    return st.lists(st.binary(max_size=20_000), min_size=1).flatmap(
        lambda chunks: st.tuples(st.just(chunks), st.integers(0, len(chunks)))
    )


@given(st.binary(), chunks_and_failure())
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(old, case):
    chunks, failure = case
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file")
        path.write_bytes(old)
        with suppress(ZeroDivisionError), local.open(str(path), "wb") as stream:
            for chunk in chunks[:failure]:
                stream.write(chunk)
            raise ZeroDivisionError
        assert path.read_bytes() == old
        assert os.listdir(directory) == ["file"]


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(["utf-8", "utf-16"]))
def test_text_is_read_as_it_was_written(text, encoding):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/file"
        with local.open(path, "w", encoding, newline="") as stream:
            stream.write(text)
        with local.open(path, "r", encoding, newline="") as stream:
            assert stream.read() == text


@given(st.lists(st.binary(min_size=3, max_size=3), min_size=2))
def test_every_write_changes_the_state_even_within_one_tick_of_the_clock(contents):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/file"
        states = []
        for content in contents:
            with local.open(path, "wb") as stream:
                stream.write(content)
            states.append(local.get_hash(path))
        assert all(before != after for before, after in zip(states, states[1:]))


def test_a_killed_writer_leaves_the_old_content_and_no_file_that_a_listing_shows(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    code = f"""
import sys
from redun_lite._file import File
with File({str(path)!r}).open("w") as stream:
    stream.write("half")
    stream.flush()
    print("written", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    assert [file.path for file in Dir(tmp_path)] == [str(path)]
    assert [file.path for file in FileSet(tmp_path / ".*")] == []


def test_the_new_content_is_not_seen_before_the_stream_is_closed(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with local.open(str(path), "w") as stream:
        stream.write("new")
        stream.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_full_disk_at_the_last_flush_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    stream = local.open(str(path), "w")
    stream.write("x" * 100)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            stream.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_unknown_encoding_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(LookupError):
        local.open(str(path), "w", "no-such-encoding")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_stream_dropped_without_being_closed_is_kept_as_pythons_own(tmp_path):
    path = tmp_path / "file"
    with pytest.warns(ResourceWarning):
        local.open(str(path), "w").write("all of it")
    assert path.read_text() == "all of it"


def test_a_fork_of_the_writer_that_closes_the_stream_publishes_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with local.open(str(path), "w") as stream:
        child = os.fork()
        if child == 0:
            stream.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert path.read_text() == "old"
        stream.write("new")
    assert path.read_text() == "new"


def test_directories_are_created_for_a_file_that_is_written(tmp_path):
    for mode in ("w", "x", "a"):
        with local.open(f"{tmp_path}/{mode}/deep/file", mode) as stream:
            stream.write("1")
        assert (tmp_path / mode / "deep" / "file").read_text() == "1"


def test_a_relative_path_is_written_in_the_working_directory(in_tmp_path):
    with local.open("file", "w") as stream:
        stream.write("1")
    assert (in_tmp_path / "file").read_text() == "1"


def test_a_rewritten_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o751)
    local.open(str(path), "w").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o751


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_rewritten_file_keeps_its_owner(tmp_path):
    path = tmp_path / "file"
    path.touch()
    os.chown(path, NOBODY, NOBODY)
    local.open(str(path), "w").close()
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


def test_a_new_file_honours_the_umask(tmp_path):
    path = tmp_path / "file"
    umask = os.umask(0o027)
    try:
        local.open(str(path), "w").close()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_writing_through_a_symlink_replaces_what_it_leads_to(in_tmp_path):
    os.mkdir("data")
    os.symlink("data/next", "link")
    os.symlink("real", "data/next")
    for content in ("first", "second"):
        with local.open("link", "w") as stream:
            stream.write(content)
        assert Path("data/real").read_text() == content
    assert os.path.islink("link")
    assert os.path.islink("data/next")


def test_a_symlink_into_a_directory_that_is_not_there_creates_it(in_tmp_path):
    os.symlink("missing/file", "link")
    local.open("link", "w").close()
    assert Path("missing/file").is_file()


def test_a_circle_of_symlinks_is_an_error_that_names_the_path(in_tmp_path):
    os.symlink("a", "b")
    os.symlink("b", "a")
    with pytest.raises(OSError, match=r"symbolic links.*'a'"):
        local.open("a", "w")


def test_a_file_is_written_where_it_was_opened_whatever_the_working_directory(in_tmp_path):
    os.mkdir("elsewhere")
    with local.open("file", "w") as stream:
        stream.write("1")
        os.chdir("elsewhere")
    assert (in_tmp_path / "file").read_text() == "1"
    assert os.listdir() == []


def test_mode_x_refuses_a_file_that_is_there(in_tmp_path):
    local.open("file", "x").close()
    with pytest.raises(FileExistsError, match="'file'"):
        local.open("file", "x")
    os.symlink("nowhere", "link")
    with pytest.raises(FileExistsError, match="'link'"):
        local.open("link", "x")


def test_of_two_who_create_a_file_with_mode_x_one_fails(in_tmp_path):
    first, second = local.open("file", "x"), local.open("file", "x")
    first.write("first")
    first.close()
    with pytest.raises(FileExistsError, match="'file'"):
        second.close()
    assert os.listdir() == ["file"]
    assert Path("file").read_text() == "first"


@pytest.mark.parametrize("mode", ["a", "r+", "r+b", "ab"])
def test_appending_and_updating_work_in_place(tmp_path, mode):
    path = tmp_path / "file"
    path.write_text("old")
    inode = path.stat().st_ino
    with local.open(str(path), mode) as stream:
        stream.write(b"new" if "b" in mode else "new")
    assert path.stat().st_ino == inode
    assert path.read_text() == ("oldnew" if "a" in mode else "new")


@pytest.mark.parametrize(("mode", "data"), [("w+", "abc"), ("w+b", b"abc"), ("x+", "abc")])
def test_a_stream_for_writing_and_reading_reads_what_it_wrote(tmp_path, mode, data):
    with local.open(f"{tmp_path}/file", mode) as stream:
        stream.write(data)
        stream.seek(0)
        assert stream.read() == data
    assert (tmp_path / "file").read_text() == "abc"


def test_a_stream_has_the_name_of_the_file_that_it_will_be(tmp_path):
    with local.open(f"{tmp_path}/file", "w") as stream:
        assert stream.name == f"{tmp_path}/file"


def test_lines_of_text_are_flushed_one_by_one_if_so_asked(tmp_path):
    with local.open(f"{tmp_path}/log", "a", buffering=1) as stream:
        stream.write("line\n")
        assert (tmp_path / "log").read_text() == "line\n"


def test_a_pipe_is_written_directly(in_tmp_path):
    os.mkfifo("pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe").read_text()))
    reader.start()
    with local.open("pipe", "w") as stream:
        stream.write("through")
    reader.join()
    assert received == ["through"]
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_standard_output_is_written_directly_even_where_it_is_a_file(tmp_path):
    path = tmp_path / "stdout"
    code = "from redun_lite._file import File; print('a', flush=True); File('/dev/stdout')"
    code += ".write('b\\n', 'a'); print('c', flush=True); File('/dev/stdout').open('w').close()"
    with path.open("wb") as stdout:
        inode = path.stat().st_ino
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=stdout, check=True)
    assert path.stat().st_ino == inode


def test_writing_to_the_null_device_leaves_it_a_device():
    with local.open(os.devnull, "w") as stream:
        stream.write("1")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_writing_to_a_directory_is_an_error_that_names_it(tmp_path):
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        local.open(str(tmp_path), "w")


def test_writing_below_a_file_is_an_error_that_names_the_path(in_tmp_path):
    Path("file").touch()
    with pytest.raises(NotADirectoryError, match="'file/below'"):
        local.open("file/below", "w")


def test_a_file_without_write_permission_is_not_replaced(own_directory):
    with without_privileges():
        path = own_directory / "file"
        path.write_text("old")
        path.chmod(0o444)
        with pytest.raises(PermissionError, match=str(path)):
            local.open(str(path), "w")
        assert path.read_text() == "old"


def test_a_new_file_in_a_read_only_directory_is_an_error_that_names_the_file(own_directory):
    with without_privileges():
        own_directory.chmod(0o555)
        path = own_directory / "file"
        with pytest.raises(PermissionError, match=str(path)):
            local.open(str(path), "w")


def test_a_writable_file_in_a_read_only_directory_is_written_in_place(own_directory):
    with without_privileges():
        path = own_directory / "file"
        path.write_text("old")
        own_directory.chmod(0o555)
        with local.open(str(path), "w") as stream:
            stream.write("new")
        assert path.read_text() == "new"


def test_reading_without_permission_is_an_error_that_names_the_file(own_directory):
    with without_privileges():
        path = own_directory / "file"
        path.touch()
        path.chmod(0)
        with pytest.raises(PermissionError, match=str(path)):
            local.open(str(path))


@pytest.mark.parametrize("mode", ["", "q", "rw", "rbt", "rr", "+", "b"])
def test_an_invalid_mode_is_an_error(tmp_path, mode):
    with pytest.raises(ValueError, match="invalid mode"):
        local.open(f"{tmp_path}/file", mode)


def test_a_binary_mode_takes_no_encoding(tmp_path):
    with pytest.raises(ValueError, match="binary"):
        local.open(f"{tmp_path}/file", "wb", "utf-8")
    assert os.listdir(tmp_path) == []


# The rest of the local disk


def test_the_state_of_a_local_file_is_its_size_and_mtime(tmp_path):
    path = tmp_path / "file"
    path.write_text("abc")
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    assert local.get_hash(str(path)) == b"3 1234567890123456789"


def test_a_missing_file_has_an_empty_state(tmp_path):
    (tmp_path / "file").touch()
    assert local.get_hash(f"{tmp_path}/missing") == b""
    assert local.get_hash(f"{tmp_path}/file/below") == b""


def test_touch_creates_a_file_and_sets_its_times(tmp_path):
    path = tmp_path / "new" / "file"
    local.touch(str(path), (5, 6))
    assert (path.stat().st_atime, path.stat().st_mtime) == (5, 6)
    local.touch(str(path))
    assert path.stat().st_mtime > 6


def test_touch_does_not_wait_for_the_reader_of_a_pipe(in_tmp_path):
    os.mkfifo("pipe")
    local.touch("pipe", (5, 6))
    assert os.stat("pipe").st_mtime == 6


def test_removing_what_is_gone_is_no_error(tmp_path):
    local.remove(f"{tmp_path}/missing")
    local.rmdir(f"{tmp_path}/missing")
    local.rmdir(f"{tmp_path}/missing", recursive=True)


def test_a_directory_that_is_not_empty_is_removed_only_if_so_asked(tmp_path):
    directory = tmp_path / "directory"
    local.touch(f"{directory}/file")
    with pytest.raises(OSError, match=str(directory)):
        local.rmdir(str(directory))
    local.rmdir(str(directory), recursive=True)
    assert not directory.exists()


def test_a_file_copied_onto_itself_is_left_alone(in_tmp_path):
    Path("file").write_text("1")
    os.symlink("file", "link")
    inode = os.stat("file").st_ino
    local.copy("file", "./file")
    local.copy("link", "file")
    assert os.stat("file").st_ino == inode


def test_copying_a_missing_file_creates_nothing(in_tmp_path):
    with pytest.raises(FileNotFoundError, match="'missing'"):
        local.copy("missing", "copy")
    assert os.listdir() == []


def test_glob_is_sorted_and_goes_into_directories(in_tmp_path):
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/d.csv"):
        local.touch(name)
    assert local.glob("**/*.txt") == ["a.txt", "b.txt", "sub/c.txt"]
    assert local.glob("*") == ["a.txt", "b.txt", "sub"]
    assert [path for path, _ in local.glob_files("*")] == ["a.txt", "b.txt"]


def test_a_scan_finds_hidden_files_and_follows_symlinks_once(in_tmp_path):
    for name in ("d/.hidden", "d/.git/config", "d/sub/file", "elsewhere/file"):
        local.touch(name)
    os.symlink(".", "d/loop")
    os.symlink("..", "d/sub/up")
    os.symlink("../elsewhere", "d/linked")
    os.symlink("nowhere", "d/broken")
    os.symlink("self", "d/self")
    os.mkfifo("d/pipe")
    paths = [path for path, _ in local.scan("d")]
    assert paths == ["d/.git/config", "d/.hidden", "d/linked/file", "d/sub/file"]


def test_a_scan_and_a_glob_know_the_state_of_each_file(in_tmp_path):
    File("d/file").write("1")
    expected = [("d/file", local.get_hash("d/file"))]
    assert local.scan("d") == local.glob_files("d/*") == expected


def test_a_scan_of_what_is_no_directory_is_empty(in_tmp_path):
    local.touch("file")
    assert local.scan("file") == local.scan("missing") == []


# HTTP


class Handler(BaseHTTPRequestHandler):
    """Serves `pages`: from path to status, headers and body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, headers, body = self.server.pages.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.server.heads.append(self.path)
        if self.path.startswith("/no-head"):
            self.send_error(405)
        else:
            self.do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.pages, server.heads = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_on_a_web_server_is_read(server):
    server.pages["/file"] = (200, {"Content-Length": "11"}, b"one\ntwo\n\xc3\xa9!")
    file = File(f"{server.url}/file")
    assert file.read("rb") == b"one\ntwo\n\xc3\xa9!"
    assert file.read(encoding="utf-8") == "one\ntwo\né!"
    assert file.readlines(encoding="utf-8") == ["one\n", "two\n", "é!"]
    assert file.size() == 11
    assert file.exists()
    assert file.isfile()
    assert not file.isdir()


def test_a_url_with_a_query_or_spaces_is_read(server):
    server.pages["/a%20b?c=%C3%A9"] = (200, {}, b"1")
    assert File(f"{server.url}/a b?c=é").read() == "1"
    assert File(f"{server.url}/a%20b?c=%C3%A9").read() == "1"
    assert [file.read() for file in FileSet(f"{server.url}/a b?c=é")] == ["1"]


def test_a_file_that_the_server_does_not_have_is_not_found(server):
    file = File(f"{server.url}/missing")
    assert not file.exists()
    assert file.filesystem.get_hash(file.path) == b""
    for action in (file.read, file.size):
        with pytest.raises(FileNotFoundError, match=f"'{file.path}'"):
            action()


def test_a_file_that_the_server_withholds_is_a_permission_error(server):
    server.pages["/secret"] = (403, {}, b"")
    with pytest.raises(PermissionError, match=f"HTTP 403.*'{server.url}/secret'"):
        File(f"{server.url}/secret").read()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {"Last-Modified": "later"}),
        ({"Content-Length": "1"}, {"Content-Length": "2"}),
    ],
)
def test_a_change_that_the_server_tells_of_invalidates_the_file(server, before, after):
    server.pages["/file"] = (200, before, b"")
    file = File(f"{server.url}/file")
    assert file.is_valid()
    server.pages["/file"] = (200, after, b"")
    assert not file.is_valid()


def test_an_etag_goes_before_the_date_which_differs_between_mirrors(server):
    server.pages["/file"] = (200, {"ETag": '"1"', "Last-Modified": "here"}, b"")
    file = File(f"{server.url}/file")
    assert file.is_valid()
    server.pages["/file"] = (200, {"ETag": '"1"', "Last-Modified": "there"}, b"")
    assert file.is_valid()


def test_a_file_that_the_server_says_nothing_of_is_hashed(server):
    server.pages["/file"] = (200, {}, b"1")
    file = File(f"{server.url}/file")
    assert file.is_valid()
    assert file.size() == 1
    server.pages["/file"] = (200, {}, b"2")
    assert not file.is_valid()


def test_a_server_without_head_is_asked_by_get(server):
    server.pages["/no-head"] = (200, {"ETag": '"1"'}, b"1")
    file = File(f"{server.url}/no-head")
    assert file.exists()
    assert file.is_valid()
    assert server.heads


def test_a_broken_server_is_an_error_that_says_so(server):
    server.pages["/broken"] = (500, {}, b"")
    for action in (File(f"{server.url}/broken").read, File(f"{server.url}/broken").exists):
        with pytest.raises(FileSystemError, match=f"{server.url}/broken: HTTP 500"):
            action()


def test_a_connection_that_is_lost_is_not_taken_for_the_end(server, tmp_path):
    server.pages["/cut"] = (200, {"Content-Length": "100"}, b"half")
    with pytest.raises(FileSystemError, match="lost 96 bytes before the end"):
        File(f"{server.url}/cut").copy_to(File(tmp_path / "copy"))
    assert os.listdir(tmp_path) == []


def test_a_chunk_that_is_cut_off_is_not_taken_for_the_end(server):
    headers = {"Transfer-Encoding": "chunked"}
    server.pages["/cut"] = (200, headers, b"64\r\nhalf")
    with pytest.raises(FileSystemError, match=f"cannot read {server.url}/cut"):
        File(f"{server.url}/cut").read("rb")


def test_a_server_that_is_not_there_is_an_error_that_names_the_url(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(FileSystemError, match=f"cannot read {server.url}/file: .*refused"):
        File(f"{server.url}/file").read()


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(FileSystemError, match="timed out"):
            HTTPFileSystem(timeout=0.05).exists(url)


def test_a_copy_from_a_web_server_is_streamed_to_disk(server, tmp_path):
    body = os.urandom(3 * _fs.CHUNK_SIZE + 1)
    server.pages["/file"] = (200, {"Content-Length": str(len(body))}, body)
    copy = File(f"{server.url}/file").copy_to(File(tmp_path / "copy"))
    assert copy.read("rb") == body
    assert copy.is_valid()


def test_http_is_read_only_and_says_so():
    file, directory = File("http://127.0.0.1/file"), Dir("http://127.0.0.1/dir")
    for action in (lambda: file.write("1"), file.remove, file.touch, directory.mkdir):
        with pytest.raises(FileSystemError, match=r"http://127.0.0.1/\w+: .*read-only"):
            action()
    with pytest.raises(FileSystemError, match="read-only"):
        directory.rmdir()
    with pytest.raises(FileSystemError, match="read-only"):
        file.stage().render_unstage()


def test_http_has_no_listings_and_says_so():
    for files in (Dir("http://127.0.0.1/dir"), FileSet("http://127.0.0.1/*.txt")):
        with pytest.raises(FileSystemError, match="no directories"):
            files.files()
    with pytest.raises(FileSystemError, match="no directories"):
        Dir("http://127.0.0.1/dir").stage().render_stage()


@pytest.mark.skipif(not any(map(os.path.exists, ["/bin/curl", "/usr/bin/curl"])), reason="no curl")
def test_a_script_fetches_a_file_from_a_web_server(server, in_tmp_path):
    server.pages["/it's?a=1&b=2"] = (200, {}, b"1")
    command = File(f"{server.url}/it's?a=1&b=2").stage("new dir/copy").render_stage()
    subprocess.run(command, shell=True, check=True)
    assert Path("new dir/copy").read_text() == "1"


# Registry and plug-ins


class MemoryFileSystem(FileSystem):
    """Files in a dict: the least that a plug-in must do."""

    name = "memory"

    def __init__(self):
        self.files = {}

    def open_raw(self, path, access):
        if access[0] == "r":
            if path not in self.files:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return _MemoryReader(self.files[path])
        return _MemoryWriter(self.files, path, self.files.get(path, b"") if access == "a" else b"")

    def isfile(self, path):
        return path in self.files

    def isdir(self, path):
        return any(file.startswith(path + "/") for file in self.files)

    def filesize(self, path):
        return len(self.files[path])

    def get_hash(self, path):
        return self.files.get(path, b"")

    def remove(self, path):
        self.files.pop(path, None)

    def glob(self, pattern):
        from fnmatch import fnmatch

        return sorted(path for path in self.files if fnmatch(path, pattern))

    def scan(self, path):
        return sorted(item for item in self.files.items() if item[0].startswith(path + "/"))


class _MemoryReader(io.RawIOBase):
    def __init__(self, content):
        self._stream = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._stream.readinto(buffer)


class _MemoryWriter(io.RawIOBase):
    def __init__(self, files, path, content):
        self._files, self._path, self._content = files, path, bytearray(content)
        self._discarded = False

    def writable(self):
        return True

    def write(self, data):
        self._content += data
        return len(data)

    def discard(self):
        self._discarded = True

    def close(self):
        if not self.closed and not self._discarded:
            self._files[self._path] = bytes(self._content)
        super().close()


@pytest.fixture
def registry(monkeypatch):
    """Let a test register what it likes."""
    monkeypatch.setattr(_fs_registry, "_classes", dict(_fs_registry._classes))
    monkeypatch.setattr(_fs_registry, "_instances", dict(_fs_registry._instances))


@pytest.fixture
def memory(registry):
    register_filesystem("memory", MemoryFileSystem)
    return get_filesystem(proto="memory")


@pytest.mark.parametrize("url", ["data/file", "/data/file", "file:///data/file", "C:file"])
def test_plain_paths_and_file_urls_are_local(url):
    assert isinstance(get_filesystem(url=url), LocalFileSystem)


def test_a_scheme_is_known_in_any_case():
    assert get_filesystem_class(url="HTTPS://example.org") is HTTPFileSystem


def test_an_unknown_scheme_is_an_error_that_names_the_known_ones(registry):
    with pytest.raises(FileSystemError, match=r"^s4:.* .s4.; known: https, http, file$"):
        File("s4://bucket/key").read()


def test_a_file_of_an_unknown_scheme_can_still_be_made_and_shown():
    assert repr(File("s4://bucket/key")) == "File(path=s4://bucket/key)"


def test_a_registered_file_system_serves_its_scheme(memory):
    assert get_filesystem(url="memory://a/b") is memory


def test_what_is_not_registered_is_looked_up_among_the_plug_ins_once(registry, monkeypatch):
    asked = []

    def named_class(group, what, name):
        asked.append((group, name))
        return MemoryFileSystem

    monkeypatch.setattr(_fs_registry, "named_class", named_class)
    assert get_filesystem(url="found://a") is get_filesystem(url="Found://b")
    assert asked == [(_plugins.FILESYSTEMS, "found")]


def test_a_plug_in_that_cannot_be_loaded_is_an_error_each_time(registry, monkeypatch):
    monkeypatch.setitem(_plugins._BUILT_IN[_plugins.FILESYSTEMS], "s3", ".contrib.none:S3")
    for _ in range(2):
        with pytest.raises(FileSystemError, match=r"^s3://: .*pip install 'redun-lite\[none\]'$"):
            File("s3://bucket/key").exists()


def test_a_plug_in_gets_text_modes_and_hashes_from_the_base(memory):
    file = File("memory://a/file")
    file.write("één\n", encoding="utf-8")
    first = file.hash
    with file.open("a", encoding="utf-8") as stream:
        stream.write("two\n")
    assert file.hash != first
    assert file.is_valid()
    assert file.readlines(encoding="utf-8") == ["één\n", "two\n"]
    file.touch()
    assert file.size() == len("één\ntwo\n".encode())


def test_a_write_that_fails_is_discarded_by_a_plug_in_too(memory):
    memory.files["memory://a/file"] = b"old"
    file = File("memory://a/file")
    with suppress(ZeroDivisionError), file.open("w") as stream:
        stream.write("half")
        raise ZeroDivisionError
    assert memory.files == {"memory://a/file": b"old"}
    assert file.is_valid()


def test_files_and_directories_are_copied_between_file_systems(memory, tmp_path):
    source = Dir(tmp_path / "source")
    for name in ("a", "sub/b"):
        source.file(name).write(name)
    remote = source.copy_to(Dir("memory://run"))
    assert [(file.path, file.read()) for file in remote] == [
        ("memory://run/a", "a"),
        ("memory://run/sub/b", "sub/b"),
    ]
    again = remote.copy_to(Dir("memory://copy")).copy_to(Dir(tmp_path / "back"))
    assert [again.rel_path(file.path) for file in again] == ["a", "sub/b"]


def test_a_directory_of_a_plug_in_is_removed_file_by_file(memory):
    directory = Dir("memory://run")
    directory.file("a").write("1")
    with pytest.raises(OSError, match="memory://run"):
        directory.rmdir()
    directory.rmdir(recursive=True)
    assert not directory.exists()


def test_files_of_a_plug_in_are_found_by_pattern(memory):
    for name in ("a.txt", "b.txt", "c.csv"):
        File(f"memory://run/{name}").write("1")
    assert [file.basename() for file in FileSet("memory://run/*.txt")] == ["a.txt", "b.txt"]


def test_a_plug_in_without_a_shell_command_says_so(memory):
    with pytest.raises(FileSystemError, match=r"'memory'.*memory://a"):
        File("memory://a").stage("local").render_stage()


def test_jobs_that_write_the_first_files_of_a_folder_at_once_do_not_disturb_each_other(tmp_path):
    writers = 8
    errors = []

    def write(number, folder, gate):
        gate.wait()
        try:
            File(str(folder / "inner" / f"{number}.txt")).write("text")
        except OSError as error:
            errors.append(error)

    for turn in range(20):
        gate = threading.Barrier(writers)
        folder = tmp_path / str(turn)
        threads = [
            threading.Thread(target=write, args=(number, folder, gate)) for number in range(writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_a_pattern_is_looked_for_on_its_file_system(tmp_path, memory):
    (tmp_path / "a.txt").write_text("a")
    assert glob_file(str(tmp_path / "*.txt")) == [str(tmp_path / "a.txt")]
    assert glob_file("memory://*") == memory.glob("memory://*")
