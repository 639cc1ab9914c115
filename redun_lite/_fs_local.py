"""The disks of this machine: files that are replaced whole, and what tells that one has changed.

Writing makes a file beside the one that is meant, and renames it when the stream is closed.
(Weighed against it: `O_TMPFILE`, which can create a file atomically but not replace one.)  It does
not call fsync: that guards against power loss, not against a dying process, and would cost more
than most tasks do.

A file has changed when its size or mtime has, as make sees it.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from typing import TYPE_CHECKING

from ._fs import FileSystem, join_path, shell_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._fs import FileTimes

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

    Writing replaces a file atomically.  It is done in place, as Python's own `open` does, where
    there is no other way or no sense in it: in modes `a` and `r+`, for pipes, devices and open
    descriptors, and for a writable file in a directory that is not.
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
