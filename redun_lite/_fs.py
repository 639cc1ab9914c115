"""Where files live: the FileSystem protocol, local disks, HTTP, and the registry of schemes.

A `FileSystem` is stateless and works on whole paths or URLs, so one instance serves every thread
and `File` can be a path and nothing else.  Those that need a third-party package (S3, GCS, …) are
plug-ins: they subclass `FileSystem` and override few methods, `open_raw` first.  The rest, such as
text, buffers and what happens when a stream is closed, is here once for all of them.

Three decisions:

* A write appears whole or not at all.  `LocalFileSystem` writes beside the file and renames when
  the stream is closed, so a job that is killed, or whose `with` body raises, leaves what was there.
  (Weighed against it: `O_TMPFILE`, which can create a file atomically but not replace one.)  It
  does not call fsync: that guards against power loss, not against a dying process, and would cost
  more than most tasks do.
* What tells that a file has changed is a few bytes that its file system makes in one cheap call
  (`get_hash`): for a local file its size and mtime, as make does.  Listings return these bytes
  with the paths, so a directory of a million objects is one listing, not a million requests.
* A scheme that is not registered is looked up by a function that an upper room installs
  (`set_filesystem_finder`), since this room may not know of entry points.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, Any, Callable, ClassVar, Union

from ._errors import FileSystemError, suggest
from ._hash import KEY_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from http.client import HTTPResponse

PathLike = Union[str, "os.PathLike[str]"]
FileTimes = Union["tuple[int, int]", "tuple[float, float]", None]
"""Access and modification time, in seconds since 1970; None is now."""

CHUNK_SIZE = 1 << 20
"""Bytes read at once where a whole file is copied or hashed."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def normalize_path(path: PathLike) -> str:
    """Return the path or URL as everything else in the package takes it.

    A `file:///` URL becomes the plain path it stands for.  Nothing else is changed, so that the
    key of a file is the same on every machine: `~` is not expanded, a relative path stays one.

    Raises
    ------
    FileSystemError
        The path cannot name a file.

    Examples
    --------
    >>> normalize_path("file:///data/my%20reads.fq")
    '/data/my reads.fq'
    >>> normalize_path("~/./reads.fq")
    '~/./reads.fq'
    """
    path = os.fsdecode(path)
    if path[:7].lower() == "file://":
        path = _path_of_file_url(path)
    if not path:
        raise FileSystemError("a path must not be empty")
    if "\0" in path:
        raise FileSystemError(f"a path must not hold a null character: {path!r}")
    return path


def _path_of_file_url(url: str) -> str:
    from urllib.parse import unquote

    host, slash, rest = url[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise FileSystemError(
            f"{url} is not on this machine: write file:///absolute/path, or the path alone"
        )
    return unquote("/" + rest, errors="surrogateescape")


def get_proto(url: str) -> str:
    """Return the scheme of a URL, `local` for a plain path.

    >>> get_proto("s3://bucket/key"), get_proto("data/reads.fq")
    ('s3', 'local')
    """
    match = _SCHEME.match(url)
    return match.group(1).lower() if match else "local"


def join_path(directory: str, name: str) -> str:
    """Return the path of a name inside a directory; an absolute name stands for itself.

    >>> join_path("s3://bucket/run", "log.txt"), join_path("/", "tmp"), join_path("a", "/b")
    ('s3://bucket/run/log.txt', '/tmp', '/b')
    """
    if name.startswith("/") or _SCHEME.match(name):
        return name
    return directory + name if directory.endswith("/") else f"{directory}/{name}"


def place_of(path: str) -> str:
    """Return the one form of a path or URL that all those of the same place have.

    >>> place_of("s3://bucket/run/"), place_of("/data/./reads.fq")
    ('s3://bucket/run', '/data/reads.fq')
    """
    return os.path.abspath(path) if get_proto(path) == "local" else path.rstrip("/")


def _split_mode(mode: str) -> tuple[str, bool]:
    """Return a mode without its `b` or `t`, and whether it is binary.

    >>> _split_mode("r"), _split_mode("+bw")
    (('r', False), ('w+', True))
    """
    given = set(mode)
    access = given & set("rwxa")
    known = given <= set("rwxabt+") and len(given) == len(mode)
    if not known or len(access) != 1 or {"b", "t"} <= given:
        raise ValueError(
            f"invalid mode {mode!r}: expected one of r, w, x, a, and perhaps + and b or t"
        )
    return access.pop() + ("+" if "+" in given else ""), "b" in given


class _Writing(io.IOBase):
    """Closes a stream that writes: for good, or, if something failed, without a trace.

    It goes before the class of a buffered or text stream, whose `close` it wraps.
    """

    sink: io.RawIOBase
    """The stream of the file system, below the buffers."""

    on_close: Callable[[], None] | None = None

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is not None:
            _discard(self.sink)
        self.close()

    def close(self) -> None:
        if self.closed:
            return
        try:
            self.flush()
        except BaseException:  # The disk is full, for example: what is there is not the whole.
            _discard(self.sink)
            raise
        finally:
            super().close()
        if self.on_close is not None:
            self.on_close()


def _discard(sink: io.RawIOBase) -> None:
    discard = getattr(sink, "discard", None)
    if discard is not None:
        discard()


class _BinaryWriter(_Writing, io.BufferedWriter): ...


class _BinaryUpdater(_Writing, io.BufferedRandom): ...


class _TextWriter(_Writing, io.TextIOWrapper): ...


class FileSystem(ABC):
    """A place where files live: what `File`, `Dir` and `FileSet` ask of it.

    A subclass must override the abstract methods; a store without directories (most object
    stores) needs little more.  Methods take paths as `normalize_path` returns them.  They raise
    `FileNotFoundError`, `PermissionError` and other `OSError` of Python's own with the path in
    them, and `FileSystemError` for what this kind of file system cannot do.
    """

    name: ClassVar[str] = "base"

    @abstractmethod
    def open_raw(self, path: str, access: str) -> io.RawIOBase:
        """Open an unbuffered binary stream.

        Parameters
        ----------
        path
            The file.
        access
            `r`, `w`, `x` or `a`, then perhaps `+`.

        Returns
        -------
        io.RawIOBase
            If it writes, `close` makes what was written the file's content.  It may have a method
            `discard()`, which is called where the content will not be complete: whatever is still
            written, `close` must then leave the file as it was.
        """

    @abstractmethod
    def isfile(self, path: str) -> bool:
        """Say whether a file is there."""

    @abstractmethod
    def isdir(self, path: str) -> bool:
        """Say whether a directory is there, or objects below that name."""

    @abstractmethod
    def filesize(self, path: str) -> int:
        """Return the size of a file in bytes."""

    @abstractmethod
    def get_hash(self, path: str) -> bytes:
        """Return a few bytes that change when the file does, ``b""`` while there is none.

        The key of a `File` is made of them.  They must not depend on the machine or the process
        that asks.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file; it may be gone already."""

    @abstractmethod
    def glob(self, pattern: str) -> list[str]:
        """Return the paths of the files and directories that match, sorted."""

    @abstractmethod
    def scan(self, path: str) -> list[tuple[str, bytes]]:
        """Return the path and `get_hash` of every file below a directory, sorted.

        A directory that is not there has no files.
        """

    def glob_files(self, pattern: str) -> list[tuple[str, bytes]]:
        """Return the path and `get_hash` of every file that matches, sorted."""
        return [(path, self.get_hash(path)) for path in self.glob(pattern) if self.isfile(path)]

    def open(
        self,
        path: str,
        mode: str = "r",
        encoding: str | None = None,
        *,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int = -1,
        on_close: Callable[[], None] | None = None,
    ) -> IO[Any]:
        """Open a file, as Python's own `open` does.

        Parameters
        ----------
        path
            The file.
        mode, encoding, errors, newline
            As for Python's `open`.
        buffering
            Size of the buffer in bytes; 1 flushes every line of text.
        on_close
            Called after a stream that writes has been closed.
        """
        access, binary = _split_mode(mode)
        if binary and not (encoding is errors is newline is None):
            raise ValueError(f"mode {mode!r} is binary: it takes no encoding, errors or newline")
        size = io.DEFAULT_BUFFER_SIZE if buffering in (-1, 1) else buffering
        raw = self.open_raw(path, access)
        stream: Any
        try:
            if access == "r":
                stream = io.BufferedReader(raw, size)
                return stream if binary else io.TextIOWrapper(stream, encoding, errors, newline)
            if binary:
                stream = (_BinaryUpdater if "+" in access else _BinaryWriter)(raw, size)
            else:
                stream = (io.BufferedRandom if "+" in access else io.BufferedWriter)(raw, size)
                lines = buffering == 1
                stream = _TextWriter(stream, encoding, errors, newline, line_buffering=lines)
        except BaseException:  # An unknown encoding, for example.
            _discard(raw)
            raw.close()
            raise
        stream.sink = raw
        stream.on_close = on_close
        return stream  # type: ignore[no-any-return]

    def exists(self, path: str) -> bool:
        """Say whether a file or directory is there."""
        return self.isfile(path) or self.isdir(path)

    def copy(self, src_path: str, dest_path: str) -> None:
        """Copy a file to another path of the same file system."""
        with self.open(src_path, "rb") as source, self.open(dest_path, "wb") as dest:
            copy_stream(source, dest)

    def touch(self, path: str, time: FileTimes = None) -> None:
        """Create a file if there is none, and set its times where there are such."""
        self.open(path, "a").close()

    def mkdir(self, path: str) -> None:  # noqa: B027
        """Create a directory, and those around it; it may be there already.

        Does nothing where directories exist only as parts of the names of files.
        """

    def rmdir(self, path: str, recursive: bool = False) -> None:
        """Remove a directory; it may be gone already.

        Parameters
        ----------
        path
            The directory.
        recursive
            Also remove all that is in it; otherwise it must be empty.
        """
        files = self.scan(path)
        if files and not recursive:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        for file, _ in files:
            self.remove(file)

    def shell_copy(
        self,
        src_path: str | None,
        dest_path: str | None,
        recursive: bool = False,
        as_mount: bool = False,
    ) -> str:
        """Return a shell command that copies between this file system and the local one.

        Parameters
        ----------
        src_path
            What to copy; None is standard input.
        dest_path
            Where to; None is standard output.
        recursive
            Copy the content of a directory.
        as_mount
            Prefer the place where the file system is mounted, if it has one.
        """
        raise FileSystemError(
            f"files of the file system {self.name!r} cannot be copied by a shell command: "
            f"{src_path or dest_path}"
        )


def copy_stream(source: IO[bytes], dest: IO[bytes]) -> None:
    """Write all that is left in one stream to another."""
    while chunk := source.read(CHUNK_SIZE):
        dest.write(chunk)


def hash_stream(source: IO[bytes]) -> bytes:
    """Return the digest of all that is left in a stream."""
    from hashlib import blake2b

    state = blake2b(digest_size=KEY_SIZE)
    while chunk := source.read(CHUNK_SIZE):
        state.update(chunk)
    return state.digest()


_UNFINISHED_PREFIX, _UNFINISHED_SUFFIX = ".redun_lite-", ".unfinished"
_DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/[^/]+/(task/[^/]+/)?fd/\d+")
_MOST_LINKS = 40  # As many as Linux follows.


class _Replacement(io.FileIO):
    """Writes to a file of its own beside another, and takes the other's place when closed.

    Parameters
    ----------
    path
        The file as the user calls it.
    target
        The file to replace or create: an absolute path, no symlink.
    access
        `w` or `x`, then perhaps `+`.
    replaced
        What is there: its owner and permissions are kept.
    """

    def __init__(
        self, path: str, target: str, access: str, replaced: os.stat_result | None
    ) -> None:
        self._target = target
        self._unfinished = unfinished_path(target)
        self._exclusive = access[0] == "x"
        self._discarded = True  # Until there is something to keep.
        self._process = os.getpid()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(self._unfinished, flags, 0o666)
        super().__init__(descriptor, access.replace("x", "w"))
        self.name = path
        if replaced is not None:
            _copy_access(replaced, descriptor)
        self._discarded = False

    def discard(self) -> None:
        """Leave what was there, whatever has been written."""
        self._discarded = True

    def close(self) -> None:
        if self.closed:
            return
        if os.getpid() != self._process:  # A fork of the writer has not finished the file.
            super().close()
            return
        try:
            super().close()
            if not self._discarded:
                self._take_place()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from None
        finally:
            try:
                os.unlink(self._unfinished)
            except FileNotFoundError:
                pass

    def _take_place(self) -> None:
        if self._exclusive:
            _move_exclusively(self._unfinished, self._target)
        else:
            _ensure_later(self._unfinished, self._target)
            os.replace(self._unfinished, self._target)


def _copy_access(source: os.stat_result, descriptor: int) -> None:
    """Give an open file the owner, group and permissions of another, as far as allowed."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (source.st_uid, source.st_gid):
        for owner in (source.st_uid, -1):
            try:
                os.fchown(descriptor, owner, source.st_gid)
                break
            except PermissionError:
                pass
    os.fchmod(descriptor, stat.S_IMODE(source.st_mode))


def _ensure_later(new: str, old: str) -> None:
    """Make sure that the key of a file changes when it is rewritten within one tick of the clock.

    Two writes of the same size within a few milliseconds get the same mtime from many kernels.
    """
    before, after = _status(old), os.stat(new)
    if before is not None and _local_state(before) == _local_state(after):
        os.utime(new, ns=(after.st_atime_ns, after.st_mtime_ns + 1))


def _move_exclusively(src_path: str, dest_path: str) -> None:
    try:
        os.link(src_path, dest_path)
    except FileExistsError:
        raise
    except OSError:  # No hard links here (FAT, some network drives).
        if os.path.lexists(dest_path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), dest_path) from None
        os.replace(src_path, dest_path)


def _resolve_links(path: str) -> str | None:
    """Return the absolute path that symlinks lead to, None for an open descriptor or a circle.

    A descriptor that happens to be open on a regular file (`/dev/stdout` in a redirected process)
    must be written through: others write there too.
    """
    if not os.path.isabs(path):  # The working directory may change before the stream is closed.
        path = os.path.join(os.getcwd(), path)
    for _ in range(_MOST_LINKS):
        if _DESCRIPTOR.fullmatch(os.path.abspath(path)):
            return None
        try:
            link = os.readlink(path)
        except OSError:
            return path
        path = os.path.join(os.path.dirname(path), link)
    return None


class LocalFileSystem(FileSystem):
    """The disks of this machine.

    Writing replaces a file atomically; see this module's docstring.  It is done in place, as
    Python's own `open` does, where there is no other way or no sense in it: in modes `a` and `r+`,
    for pipes, devices and open descriptors, and for a writable file in a directory that is not.
    A symlink stays, and what it leads to is replaced.  Other hard links keep the old content.
    """

    name = "local"

    def open_raw(self, path: str, access: str) -> io.RawIOBase:
        if access[0] == "r":
            return io.FileIO(path, access)
        try:
            return self._open_to_write(path, access)
        except FileNotFoundError:
            directory = os.path.dirname(_resolve_links(path) or path)
            if not directory:
                raise
            os.makedirs(directory, exist_ok=True)  # Another job may have made it just now.
            return self._open_to_write(path, access)

    def _open_to_write(self, path: str, access: str) -> io.FileIO:
        target = None if access[0] == "a" else _resolve_links(path)
        if target is None:
            return io.FileIO(path, access)
        if access[0] == "x" and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        replaced = _status(target)
        if replaced is not None and not _is_replaceable(target, replaced):
            return io.FileIO(path, access)
        try:
            return _Replacement(path, target, access, replaced)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                # Nothing can be created beside it.  It may be writable itself; if not, the error
                # of an attempt names it.
                return io.FileIO(path, access)
            raise OSError(error.errno, error.strerror, path) from None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def isfile(self, path: str) -> bool:
        return os.path.isfile(path)

    def isdir(self, path: str) -> bool:
        return os.path.isdir(path)

    def filesize(self, path: str) -> int:
        return os.stat(path).st_size

    def get_hash(self, path: str) -> bytes:
        status = _status(path)
        return b"" if status is None else _local_state(status)

    def remove(self, path: str) -> None:
        try:
            os.remove(path)
        except FileNotFoundError:
            pass

    def touch(self, path: str, time: FileTimes = None) -> None:
        if not os.path.exists(path):
            super().touch(path)
        os.utime(path, time)

    def copy(self, src_path: str, dest_path: str) -> None:
        if not (os.path.exists(dest_path) and os.path.samefile(src_path, dest_path)):
            super().copy(src_path, dest_path)

    def mkdir(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def rmdir(self, path: str, recursive: bool = False) -> None:
        try:
            if recursive:
                from shutil import rmtree

                rmtree(path)
            else:
                os.rmdir(path)
        except FileNotFoundError:
            pass

    def glob(self, pattern: str) -> list[str]:
        from glob import iglob

        return sorted(set(iglob(pattern, recursive=True)))

    def glob_files(self, pattern: str) -> list[tuple[str, bytes]]:
        found = []
        for path in self.glob(pattern):
            status = _status(path)
            if status is not None and _is_finished_file(path, status):
                found.append((path, _local_state(status)))
        return found

    def scan(self, path: str) -> list[tuple[str, bytes]]:
        return sorted(_scan(path))

    def shell_copy(
        self,
        src_path: str | None,
        dest_path: str | None,
        recursive: bool = False,
        as_mount: bool = False,
    ) -> str:
        """Return a shell command that copies one local path to another.

        >>> LocalFileSystem().shell_copy("reads.fq", "my data/reads.fq")
        "mkdir -p 'my data' && cp reads.fq 'my data/reads.fq'"
        """
        if dest_path is None:
            return "cat" if src_path is None else f"cat {shell_path(src_path)}"
        directory = dest_path if recursive else os.path.dirname(dest_path)
        before = f"mkdir -p {shell_path(directory)} && " if directory.strip("/") else ""
        dest = shell_path(dest_path)
        if src_path is None:
            return f"{before}cat > {dest}"
        if recursive:
            # Its content: a plain `cp -R a b` makes b/a where b is there already.
            return f"{before}cp -R {shell_path(join_path(src_path, '.'))} {dest}"
        return f"{before}cp {shell_path(src_path)} {dest}"


def shell_path(path: str) -> str:
    """Return a path quoted for a shell, and such that no program takes it for an option.

    >>> print(shell_path("my reads.fq"), shell_path("-n"))
    'my reads.fq' ./-n
    """
    from shlex import quote

    return quote(f"./{path}" if path.startswith("-") else path)


def _local_state(status: os.stat_result) -> bytes:
    return b"%d %d" % (status.st_size, status.st_mtime_ns)


def _is_replaceable(path: str, status: os.stat_result) -> bool:
    """Say whether a file may be written, and is no pipe or device."""
    return stat.S_ISREG(status.st_mode) and os.access(path, os.W_OK)


def _status(path: str) -> os.stat_result | None:
    """Return what is known of a path, None if it leads nowhere (any more)."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def unfinished_path(path: str) -> str:
    """Return a path beside a local one, for what takes its place once it is complete.

    No listing has it.
    """
    name = f"{_UNFINISHED_PREFIX}{os.urandom(8).hex()}{_UNFINISHED_SUFFIX}"
    return os.path.join(os.path.dirname(path), name)


def _is_finished_file(path: str, status: os.stat_result) -> bool:
    """Say whether a path belongs into a listing: a regular file, and no write under way."""
    name = os.path.basename(path)
    unfinished = name.startswith(_UNFINISHED_PREFIX) and name.endswith(_UNFINISHED_SUFFIX)
    return stat.S_ISREG(status.st_mode) and not unfinished


def _scan(root: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files below a directory and their states.

    Symlinks to directories are followed, except back to one that is being scanned.
    """
    status = _status(root)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return
    stack = [(root, frozenset({(status.st_dev, status.st_ino)}))]
    while stack:
        directory, around = stack.pop()
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            continue
        for name in names:
            path = join_path(directory, name)
            status = _status(path)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                identity = (status.st_dev, status.st_ino)
                if identity not in around:
                    stack.append((path, around | {identity}))
            elif _is_finished_file(path, status):
                yield path, _local_state(status)


class _Body(io.RawIOBase):
    """The body of a response; fails where `http.client` takes a lost connection for the end."""

    def __init__(self, response: HTTPResponse, url: str) -> None:
        self._response = response
        self._url = url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from http.client import HTTPException

        try:
            count = self._response.readinto(buffer)
        except (OSError, HTTPException) as error:
            raise FileSystemError(f"cannot read {self._url}: {error}") from error
        if not count and len(buffer) and self._response.length:
            missing = f"the connection was lost {self._response.length} bytes before the end"
            raise FileSystemError(f"cannot read {self._url}: {missing}")
        return count

    def close(self) -> None:
        self._response.close()
        super().close()


class HTTPFileSystem(FileSystem):
    """Files on web servers, read-only.

    A file's state is what the server says of it in reply to HEAD: its ETag, else Last-Modified and
    Content-Length, else Content-Length.  If it says nothing, the content is fetched and hashed.

    Parameters
    ----------
    timeout
        Seconds to wait for a connection, and for each part of a reply.
    """

    name = "http"

    def __init__(self, timeout: float = 60.0) -> None:
        self.timeout = timeout

    def open_raw(self, path: str, access: str) -> io.RawIOBase:
        if access != "r":
            raise self._read_only("write", path)
        return _Body(self._request("GET", path), path)

    def isfile(self, path: str) -> bool:
        return self._head(path) is not None

    def isdir(self, path: str) -> bool:
        return False

    def filesize(self, path: str) -> int:
        headers = self._head(path)
        if headers is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if headers["Content-Length"] is not None:
            return int(headers["Content-Length"])
        with self.open(path, "rb") as stream:
            return sum(map(len, iter(lambda: stream.read(CHUNK_SIZE), b"")))

    def get_hash(self, path: str) -> bytes:
        headers = self._head(path)
        if headers is None:
            return b""
        if headers["ETag"]:
            return f"etag {headers['ETag']}".encode()
        known = [headers[name] for name in ("Last-Modified", "Content-Length") if headers[name]]
        if known:
            return " ".join(known).encode()
        with self.open(path, "rb") as stream:
            return hash_stream(stream)

    def remove(self, path: str) -> None:
        raise self._read_only("remove", path)

    def mkdir(self, path: str) -> None:
        raise self._read_only("make", path)

    def rmdir(self, path: str, recursive: bool = False) -> None:
        raise self._read_only("remove", path)

    def glob(self, pattern: str) -> list[str]:
        # A question mark begins a query here.
        if "*" in pattern or "[" in pattern:
            raise self._no_listing(pattern)
        return [pattern] if self.isfile(pattern) else []

    def scan(self, path: str) -> list[tuple[str, bytes]]:
        raise self._no_listing(path)

    def shell_copy(
        self,
        src_path: str | None,
        dest_path: str | None,
        recursive: bool = False,
        as_mount: bool = False,
    ) -> str:
        """Return a shell command that fetches a URL.

        >>> HTTPFileSystem().shell_copy("https://example.org/a?b=1", "a")
        "curl -fsSL --create-dirs -o a 'https://example.org/a?b=1'"
        """
        if src_path is None or get_proto(src_path) not in ("http", "https"):
            raise self._read_only("write", str(dest_path))
        if recursive:
            raise self._no_listing(src_path)
        output = "" if dest_path is None else f"--create-dirs -o {shell_path(dest_path)} "
        return f"curl -fsSL {output}{shell_path(src_path)}"

    def _head(self, url: str) -> Message | None:
        """Return the headers of a file, None if there is no such file."""
        try:
            with self._request("HEAD", url) as response:
                return response.headers
        except FileNotFoundError:
            return None

    def _request(self, method: str, url: str) -> HTTPResponse:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.parse import quote
        from urllib.request import Request, urlopen

        headers = {"User-Agent": "redun_lite"}
        request = Request(quote(url, safe="%/:?#[]@!$&'()*+,;=~"), headers=headers, method=method)
        try:
            response: HTTPResponse = urlopen(request, timeout=self.timeout)
            return response
        except HTTPError as error:
            error.close()
            if method == "HEAD" and error.code in (405, 501):
                return self._request("GET", url)
            reason = f"HTTP {error.code} {error.reason}"
            if error.code in (404, 410):
                raise FileNotFoundError(errno.ENOENT, reason, url) from None
            if error.code in (401, 403):
                raise PermissionError(errno.EACCES, reason, url) from None
            raise FileSystemError(f"cannot read {url}: {reason}") from None
        except (OSError, HTTPException) as error:
            cause = getattr(error, "reason", error)
            raise FileSystemError(f"cannot read {url}: {cause}") from error

    @staticmethod
    def _read_only(verb: str, url: str) -> FileSystemError:
        return FileSystemError(f"cannot {verb} {url}: HTTP file systems are read-only")

    @staticmethod
    def _no_listing(url: str) -> FileSystemError:
        return FileSystemError(f"cannot list {url}: HTTP has no directories, name each file")


def _find_none(scheme: str) -> type[FileSystem]:
    known = _classes.keys() - {"local"}  # The name of plain paths, which no URL begins with.
    raise FileSystemError(f"no file system for {scheme}:// URLs; {suggest(scheme, known)}")


_LOCAL = LocalFileSystem()
_classes: dict[str, type[FileSystem]] = {
    "local": LocalFileSystem,
    "file": LocalFileSystem,
    "http": HTTPFileSystem,
    "https": HTTPFileSystem,
}
_instances: dict[type[FileSystem], FileSystem] = {LocalFileSystem: _LOCAL}
_find_class: Callable[[str], type[FileSystem]] = _find_none


def register_filesystem(protocol: str, fs_class: type[FileSystem]) -> None:
    """Say which class serves the URLs of a scheme (without `://`), in place of the one that did.

    The class is called once, without arguments, when the first such URL is used.
    """
    _classes[protocol.lower()] = fs_class


def set_filesystem_finder(finder: Callable[[str], type[FileSystem]] | None) -> None:
    """Install the function that finds the class for a scheme nobody registered.

    Upper rooms, which know of entry points, install theirs when they start.  It takes a scheme,
    and returns the class or raises `FileSystemError` naming the schemes that are known.  What it
    returns is registered.  None takes the present one away.
    """
    global _find_class
    _find_class = _find_none if finder is None else finder


def get_filesystem_class(*, url: str | None = None, proto: str | None = None) -> type[FileSystem]:
    """Return the class that serves a URL or a scheme; see `get_filesystem`."""
    if url is None and proto is None:
        raise TypeError("expected a url or a proto")
    proto = get_proto(url or "") if proto is None else proto.lower()
    fs_class = _classes.get(proto)
    if fs_class is None:
        fs_class = _classes[proto] = _find_class(proto)
    return fs_class


def get_filesystem(*, url: str | None = None, proto: str | None = None) -> FileSystem:
    """Return the file system that serves a URL or a scheme.

    Parameters
    ----------
    url
        A URL or a plain path.
    proto
        A scheme without `://`, or `local`; goes before `url`.

    Raises
    ------
    FileSystemError
        No file system serves the scheme.

    Examples
    --------
    >>> get_filesystem(url="https://example.org/reads.fq").name
    'http'
    >>> get_filesystem(proto="htp")
    Traceback (most recent call last):
        ...
    redun_lite.FileSystemError: ...htp...; did you mean http? ...
    """
    if proto is None and url is not None and "://" not in url:
        return _LOCAL
    fs_class = get_filesystem_class(url=url, proto=proto)
    fs = _instances.get(fs_class)
    if fs is None:
        fs = _instances.setdefault(fs_class, fs_class())
    return fs


def glob_file(pattern: str) -> list[str]:
    """Return the paths of the files and directories that match a path or URL with `*`, sorted."""
    return get_filesystem(url=pattern).glob(pattern)
