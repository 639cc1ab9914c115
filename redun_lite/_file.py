"""Files as values: File, Dir and FileSet, their content-hashed and immutable kinds, and staging.

A `File` is a path and, from the first time it is asked for, the hash of what was there.  The hash
is pinned: it is what a task was given or what it returned, and `is_valid` compares it with what is
there at present.  That is how a workflow notices that an input was edited or an output deleted.

There are three kinds, which differ in what the hash is made of beside the path:

========================  ======================================================================
`File`, …                 what `FileSystem.get_hash` says: size and mtime, or an ETag; fast
`ContentFile`, …          the content: a touched or copied-back file is the same; reads it all
`IFile`, …                nothing: the path names one content for ever; never looked at
========================  ======================================================================

Writing through an object pins its hash anew, so that a task can write a file and return it.
Removing does not: the object goes on to stand for what is gone, and is no longer valid.

Only paths and pinned hashes are pickled.  File systems are looked up when they are needed, so a
recorded file can be shown where the package for its scheme is not installed.
"""

from __future__ import annotations

import errno
import os
from typing import IO, TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, overload

from ._expr import Expression, not_known_yet
from ._fs import (
    FileSystem,
    FileTimes,
    PathLike,
    copy_stream,
    get_proto,
    hash_stream,
    join_path,
    normalize_path,
)
from ._fs_registry import get_filesystem
from ._hash import key_of
from ._value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN_DIGITS = 8

_Text = Literal["r", "w", "a", "x", "r+", "w+", "a+", "x+", "rt", "wt", "at", "xt"]
_Binary = Literal["rb", "wb", "ab", "xb", "rb+", "wb+", "ab+", "xb+", "r+b", "w+b", "a+b", "x+b"]


class _External(Value):
    """A value that stands for something outside, and for the state that it was in.

    Subclasses keep where it is in the attribute that `_where` names.
    """

    _where: ClassVar[str]
    _hash: str | None = None

    def __repr__(self) -> str:
        # Only a hash that is known is shown: asking may be slow, and must not pin it.
        shown = f"{self._where}={self._location()}"
        if self._hash is not None:
            shown += f", hash={self._hash[:_SHOWN_DIGITS]}"
        return f"{type(self).__name__}({shown})"

    def __getstate__(self) -> dict[str, Any]:
        return {self._where: self._location(), "hash": self.hash}

    def __setstate__(self, state: dict[str, Any]) -> None:
        setattr(self, self._where, state[self._where])
        self._hash = state["hash"]

    @classmethod
    def parse_arg(cls, raw_type: Any, arg: str) -> Any:
        return raw_type(arg)

    @property
    def filesystem(self) -> FileSystem:
        """The file system that it is on."""
        return get_filesystem(url=self._location())

    @property
    def hash(self) -> str:
        """The 40 hex digits that identify the place and what is there, pinned at first use."""
        if self._hash is None:
            self._hash = self._current_hash()
        return self._hash

    def get_hash(self, data: bytes | None = None) -> str:
        return self.hash

    def update_hash(self) -> None:
        """Pin the hash to what is there at present."""
        self._hash = self._current_hash()

    def is_valid(self) -> bool:
        """Say whether what is there at present is what the hash was made of."""
        return self.hash == self._current_hash()

    def _location(self) -> str:
        location: str = getattr(self, self._where)
        return location

    def _current_hash(self) -> str:
        raise NotImplementedError


class File(_External):
    """A file, local or behind a URL, whose changes are noticed.

    Parameters
    ----------
    path
        A path or URL.  It is kept as it is (`~` is not expanded, a relative path stays one), but
        for `file:///` URLs, which become paths.

    Examples
    --------
    >>> import tempfile
    >>> file = File(tempfile.mkdtemp() + "/greeting.txt")
    >>> file.write("hello")
    >>> file.read(), file.size(), file.is_valid()
    ('hello', 5, True)
    >>> file.remove()
    >>> file.is_valid()
    False
    """

    type_name = "redun_lite.File"
    staging_class: ClassVar[type[StagingFile]]
    _where = "path"

    def __init__(self, path: PathLike) -> None:
        self.path = normalize_path(path)

    def _current_hash(self) -> str:
        return self._hash_of(self._state())

    def _hash_of(self, state: bytes) -> str:
        return key_of((self.type_name, self.path, state)).hex()

    def _state(self, listed: bytes | None = None) -> bytes:
        """Return what identifies the content; `listed` is what a listing just said of it."""
        return self.filesystem.get_hash(self.path) if listed is None else listed

    def _pin_listed(self, state: bytes) -> None:
        self._hash = self._hash_of(state)

    @overload
    def open(self, mode: _Text = "r", encoding: str | None = None, **kwargs: Any) -> IO[str]: ...

    @overload
    def open(self, mode: _Binary, encoding: None = None, **kwargs: Any) -> IO[bytes]: ...

    @overload
    def open(self, mode: str, encoding: str | None = None, **kwargs: Any) -> IO[Any]: ...

    def open(self, mode: str = "r", encoding: str | None = None, **kwargs: Any) -> IO[Any]:
        """Open the file, as Python's own `open` does.

        In the modes `w` and `x` the file is replaced as a whole when the stream is closed, and left
        as it was if the body of the `with` raises.  So use `with`: a stream that is dropped
        without being closed is kept as far as it got.  Directories are created as needed.

        Parameters
        ----------
        mode, encoding
            As for Python's `open`.
        **kwargs
            `errors`, `newline` and `buffering`, as for Python's `open`.

        Raises
        ------
        OSError
            As Python's `open` does: `FileNotFoundError`, `PermissionError`, …
        """
        return self.filesystem.open(self.path, mode, encoding, on_close=self.update_hash, **kwargs)

    @overload
    def read(self, mode: _Text = "r", encoding: str | None = None) -> str: ...

    @overload
    def read(self, mode: _Binary, encoding: None = None) -> bytes: ...

    @overload
    def read(self, mode: str, encoding: str | None = None) -> Any: ...

    def read(self, mode: str = "r", encoding: str | None = None) -> Any:
        """Return the content: text, or bytes with the mode `rb`."""
        with self.open(mode, encoding) as stream:
            return stream.read()

    @overload
    def readlines(self, mode: _Text = "r", encoding: str | None = None) -> list[str]: ...

    @overload
    def readlines(self, mode: _Binary, encoding: None = None) -> list[bytes]: ...

    @overload
    def readlines(self, mode: str, encoding: str | None = None) -> list[Any]: ...

    def readlines(self, mode: str = "r", encoding: str | None = None) -> list[Any]:
        """Return the lines with their ends: text, or bytes with the mode `rb`."""
        with self.open(mode, encoding) as stream:
            return stream.readlines()

    @overload
    def write(self, data: str, mode: _Text = "w", encoding: str | None = None) -> None: ...

    @overload
    def write(self, data: bytes, mode: _Binary, encoding: None = None) -> None: ...

    @overload
    def write(self, data: Any, mode: str, encoding: str | None = None) -> None: ...

    def write(self, data: Any, mode: str = "w", encoding: str | None = None) -> None:
        """Write text, or bytes with the mode `wb`, as the whole content."""
        if isinstance(data, Expression):  # Before a file is made.
            not_known_yet(data)
        with self.open(mode, encoding) as stream:
            stream.write(data)

    def exists(self) -> bool:
        """Say whether there is anything at the path."""
        return self.filesystem.exists(self.path)

    def isfile(self) -> bool:
        """Say whether there is a file at the path."""
        return self.filesystem.isfile(self.path)

    def isdir(self) -> bool:
        """Say whether there is a directory at the path."""
        return self.filesystem.isdir(self.path)

    def size(self) -> int:
        """Return the size in bytes."""
        return self.filesystem.filesize(self.path)

    def remove(self) -> None:
        """Remove the file; it may be gone already."""
        self.filesystem.remove(self.path)

    def touch(self, time: FileTimes = None) -> None:
        """Create the file if there is none, and set its access and modification time.

        Parameters
        ----------
        time
            Both, in seconds since 1970; by default now.
        """
        self.filesystem.touch(self.path, time)
        self.update_hash()

    def basename(self) -> str:
        """Return the last part of the path.

        >>> File("s3://bucket/run/reads.fq").basename()
        'reads.fq'
        """
        return os.path.basename(self.path)

    def dirname(self) -> str:
        """Return the path without its last part.

        >>> File("s3://bucket/run/reads.fq").dirname()
        's3://bucket/run'
        """
        return os.path.dirname(self.path)

    def copy_to(self, dest_file: File | PathLike, skip_if_exists: bool = False) -> File:
        """Copy the content to another file, on any file system.

        Parameters
        ----------
        dest_file
            Where to.
        skip_if_exists
            Leave a file that is there already, whatever is in it.

        Returns
        -------
        File
            The destination.
        """
        dest = dest_file if isinstance(dest_file, File) else type(self)(dest_file)
        if skip_if_exists and dest.exists():
            return dest
        if self.filesystem is dest.filesystem:
            self.filesystem.copy(self.path, dest.path)
            dest.update_hash()
        else:
            with self.open("rb") as source, dest.open("wb") as sink:
                copy_stream(source, sink)
        return dest

    def shell_copy_to(self, dest_path: str | None, as_mount: bool = False) -> str:
        """Return a shell command that copies the file.

        Parameters
        ----------
        dest_path
            Where to; None is standard output.
        as_mount
            Prefer the place where the file system is mounted, if it has one.
        """
        fs = _copying_filesystem(self.path, dest_path)
        return fs.shell_copy(self.path, dest_path, as_mount=as_mount)

    def stage(self, local: PathLike | None = None) -> StagingFile:
        """Pair the file with the local path that a script is to find it at, or to leave it at.

        Parameters
        ----------
        local
            The local path; by default the file's name, in the script's directory.

        Examples
        --------
        >>> File("s3://bucket/run/reads.fq").stage()
        StagingFile(local=File(path=reads.fq), remote=File(path=s3://bucket/run/reads.fq))
        """
        return self.staging_class(self.basename() if local is None else local, self)


class FileSet(_External):
    """The files that match a pattern.  A file that comes, goes or changes is a change of the set.

    Parameters
    ----------
    pattern
        A path or URL with wildcards, as Python's `glob` knows them; `**` goes into directories.

    Examples
    --------
    >>> import tempfile
    >>> directory = tempfile.mkdtemp()
    >>> File(directory + "/a.txt").write("1")
    >>> [file.basename() for file in FileSet(directory + "/*.txt")]
    ['a.txt']
    """

    type_name = "redun_lite.FileSet"
    file_class: ClassVar[type[File]] = File
    _where = "pattern"

    def __init__(self, pattern: PathLike) -> None:
        self.pattern = normalize_path(pattern)

    def __iter__(self) -> Iterator[File]:
        return iter(self.files())

    def iter_subvalues(self) -> Iterator[File]:
        return iter(self.files())

    def files(self) -> list[File]:
        """Return the files that are there at present, sorted by path."""
        files = []
        for path, state in self._list():
            file = self.file_class(path)
            file._pin_listed(state)
            files.append(file)
        return files

    def _list(self) -> list[tuple[str, bytes]]:
        return self.filesystem.glob_files(self.pattern)

    def _current_hash(self) -> str:
        # One flat tuple, since that has the fastest key.
        parts: list[str | bytes] = [self.type_name, self.pattern]
        for path, listed in self._list():
            parts.append(path)
            parts.append(self.file_class(path)._state(listed))
        return key_of(tuple(parts)).hex()


class Dir(FileSet):
    """All files below a directory, hidden ones too.  One that comes, goes or changes is a change.

    A directory without files is the same as none: object stores know no difference.

    Parameters
    ----------
    path
        A path or URL.

    Examples
    --------
    >>> import tempfile
    >>> directory = Dir(tempfile.mkdtemp())
    >>> directory.file("run/log.txt").write("done")
    >>> [directory.rel_path(file.path) for file in directory]
    ['run/log.txt']
    """

    type_name = "redun_lite.Dir"
    staging_class: ClassVar[type[StagingDir]]
    _where = "path"

    def __init__(self, path: PathLike) -> None:
        path = normalize_path(path)
        self.path = path.rstrip("/") or "/"
        super().__init__(join_path(self.path, "**"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.pattern = join_path(self.path, "**")

    def _list(self) -> list[tuple[str, bytes]]:
        return self.filesystem.scan(self.path)

    def file(self, rel_path: str) -> File:
        """Return a file in the directory, whether or not it is there."""
        return self.file_class(join_path(self.path, rel_path))

    def rel_path(self, path: str) -> str:
        """Return the path of a file relative to the directory.

        >>> Dir("s3://bucket/run").rel_path("s3://bucket/run/logs/a.txt")
        'logs/a.txt'
        """
        return os.path.relpath(path, self.path)

    def exists(self) -> bool:
        """Say whether the directory is there."""
        return self.filesystem.isdir(self.path)

    def mkdir(self) -> None:
        """Create the directory, and those around it; it may be there already."""
        self.filesystem.mkdir(self.path)

    def rmdir(self, recursive: bool = False) -> None:
        """Remove the directory; it may be gone already.

        Parameters
        ----------
        recursive
            Also remove all that is in it; otherwise it must be empty.
        """
        self.filesystem.rmdir(self.path, recursive)

    def copy_to(self, dest_dir: Dir | PathLike, skip_if_exists: bool = False) -> Dir:
        """Copy all files into another directory, on any file system.

        Parameters
        ----------
        dest_dir
            Where to.  Files that only it has stay.
        skip_if_exists
            Leave files that are there already, whatever is in them.

        Returns
        -------
        Dir
            The destination.

        Raises
        ------
        FileNotFoundError
            There is no directory to copy.
        """
        dest = dest_dir if isinstance(dest_dir, Dir) else type(self)(dest_dir)
        files = self.files()
        if not files and not self.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        dest.mkdir()
        for file in files:
            file.copy_to(dest.file(self.rel_path(file.path)), skip_if_exists)
        dest.update_hash()
        return dest

    def shell_copy_to(self, dest_path: str, as_mount: bool = False) -> str:
        """Return a shell command that copies what is in the directory into another.

        Parameters
        ----------
        dest_path
            Where to.
        as_mount
            Prefer the place where the file system is mounted, if it has one.
        """
        fs = _copying_filesystem(self.path, dest_path)
        return fs.shell_copy(self.path, dest_path, recursive=True, as_mount=as_mount)

    def stage(self, local: PathLike | None = None) -> StagingDir:
        """Pair the directory with the local path that a script is to find or to leave it at.

        Parameters
        ----------
        local
            The local path; by default the directory's name, in the script's directory.
        """
        return self.staging_class(os.path.basename(self.path) if local is None else local, self)


T = TypeVar("T", File, Dir)


class Staging(Value, Generic[T]):
    """A local path and a remote one, between which a script's input or output is copied.

    Its hash is that of the two paths: what is at them is not part of the value.

    Parameters
    ----------
    local
        Where the script finds or leaves it.
    remote
        Where it comes from or goes to.
    """

    type_name = "redun_lite.Staging"
    staged_class: ClassVar[type[Any]]

    def __init__(self, local: T | PathLike, remote: T | PathLike) -> None:
        self.local: T = self._side(local)
        self.remote: T = self._side(remote)

    def _side(self, place: Any) -> Any:
        return place if isinstance(place, (File, Dir)) else self.staged_class(place)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(local={self.local}, remote={self.remote})"

    def __getstate__(self) -> dict[str, Any]:
        return {"local": self.local.path, "remote": self.remote.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.local = self.staged_class(state["local"])
        self.remote = self.staged_class(state["remote"])

    def get_hash(self, data: bytes | None = None) -> str:
        return key_of((self.type_name, self.local.path, self.remote.path)).hex()

    def stage(self) -> T:
        """Copy from remote to local, and return the local side."""
        return self._copy(self.remote, self.local)

    def unstage(self) -> T:
        """Copy from local to remote, and return the remote side."""
        return self._copy(self.local, self.remote)

    def render_stage(self, as_mount: bool = False) -> str:
        """Return a shell command that does what `stage` does; empty if there is nothing to do.

        >>> print(File("/data/my reads.fq").stage("reads.fq").render_stage())
        cp '/data/my reads.fq' reads.fq
        """
        return self._render(self.remote, self.local, as_mount)

    def render_unstage(self, as_mount: bool = False) -> str:
        """Return a shell command that does what `unstage` does; empty if there is nothing to do."""
        return self._render(self.local, self.remote, as_mount)

    @staticmethod
    def _copy(source: T, dest: T) -> T:
        if source.path != dest.path:
            source.copy_to(dest)
        return dest

    @staticmethod
    def _render(source: T, dest: T, as_mount: bool) -> str:
        return "" if source.path == dest.path else source.shell_copy_to(dest.path, as_mount)


class StagingFile(Staging[File]):
    """A file that a script reads or writes under a local path; see `File.stage`."""

    type_name = "redun_lite.StagingFile"
    staged_class = File


class StagingDir(Staging[Dir]):
    """A directory that a script reads or writes under a local path; see `Dir.stage`."""

    type_name = "redun_lite.StagingDir"
    staged_class = Dir


# By content


class ContentFile(File):
    """A file that is identified by its path and content, whatever its times say."""

    type_name = "redun_lite.ContentFile"

    def _state(self, listed: bytes | None = None) -> bytes:
        try:
            with self.filesystem.open(self.path, "rb") as stream:
                return hash_stream(stream)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def _pin_listed(self, state: bytes) -> None:
        """Leave the hash to be pinned at first use: listings know no content."""


class ContentFileSet(FileSet):
    """The files that match a pattern, identified by their paths and contents."""

    type_name = "redun_lite.ContentFileSet"
    file_class = ContentFile


class ContentDir(Dir):
    """All files below a directory, identified by their paths and contents."""

    type_name = "redun_lite.ContentDir"
    file_class = ContentFile


class ContentStagingFile(StagingFile):
    """A `StagingFile` of `ContentFile`."""

    type_name = "redun_lite.ContentStagingFile"
    staged_class = ContentFile


class ContentStagingDir(StagingDir):
    """A `StagingDir` of `ContentDir`."""

    type_name = "redun_lite.ContentStagingDir"
    staged_class = ContentDir


# Immutable


class IFile(File):
    """A file that never changes once it is written: its path alone identifies it.

    It is always valid, also where it is not there (any more).
    """

    type_name = "redun_lite.IFile"

    def _state(self, listed: bytes | None = None) -> bytes:
        return b""

    def _pin_listed(self, state: bytes) -> None:
        self._hash = self._current_hash()


class IFileSet(FileSet):
    """Files that never change: the pattern alone identifies them, and they are always valid."""

    type_name = "redun_lite.IFileSet"
    file_class = IFile

    def _current_hash(self) -> str:
        return key_of((self.type_name, self.pattern)).hex()


class IDir(Dir):
    """A directory that never changes: its path alone identifies it, and it is always valid."""

    type_name = "redun_lite.IDir"
    file_class = IFile

    def _current_hash(self) -> str:
        return key_of((self.type_name, self.path)).hex()


class IStagingFile(StagingFile):
    """A `StagingFile` of `IFile`."""

    type_name = "redun_lite.IStagingFile"
    staged_class = IFile


class IStagingDir(StagingDir):
    """A `StagingDir` of `IDir`."""

    type_name = "redun_lite.IStagingDir"
    staged_class = IDir


# Each kind stages as its own kind.  Set here, since the classes refer to each other.
File.staging_class = StagingFile
ContentFile.staging_class = ContentStagingFile
IFile.staging_class = IStagingFile
Dir.staging_class = StagingDir
ContentDir.staging_class = ContentStagingDir
IDir.staging_class = IStagingDir


def _copying_filesystem(src_path: str, dest_path: str | None) -> FileSystem:
    """Return the file system that knows the shell command for a copy: the one that is not local."""
    if dest_path is not None and get_proto(src_path) == "local":
        return get_filesystem(url=dest_path)
    return get_filesystem(url=src_path)
