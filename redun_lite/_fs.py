"""The FileSystem protocol: what `File` asks of a place where files live, and how paths are written.

A `FileSystem` is stateless and works on whole paths or URLs, so one instance serves every thread
and `File` can be a path and nothing else.  Those that need a third-party package (S3, GCS, …) are
plug-ins: they subclass `FileSystem` and override few methods, `open_raw` first.  The rest, such as
text, buffers and what happens when a stream is closed, is here once for all of them.

Two decisions:

* A write appears whole or not at all, so a job that is killed, or whose `with` body raises, leaves
  what was there.  A stream of `open` tells that of the file system (`discard`) when its content
  will not be complete.
* What tells that a file has changed is a few bytes that its file system makes in one cheap call
  (`get_hash`).  Listings return these bytes with the paths, so a directory of a million objects is
  one listing, not a million requests.
"""

from __future__ import annotations

import errno
import io
import os
import re
from abc import ABC, abstractmethod
from typing import IO, Any, Callable, ClassVar, Union

from ._digest import KEY_SIZE
from ._errors import FileSystemError

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


def shell_path(path: str) -> str:
    """Return a path quoted for a shell, and such that no program takes it for an option.

    >>> print(shell_path("my reads.fq"), shell_path("-n"))
    'my reads.fq' ./-n
    """
    from shlex import quote

    return quote(f"./{path}" if path.startswith("-") else path)


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
