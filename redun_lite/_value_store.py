"""The value store: large values in files of their own, beside the database or elsewhere.

A database is quick while its rows are small.  So a value of more than `[backend]
value_store_min_size` bytes goes to a file under `value_store_path`, on any file system there is,
and its row keeps the digest of the bytes, their number and the path (`stored_value`).

A file is named after the digest of its content: whoever reads it can tell whether it is whole, and
writing it twice does no harm.  It is written under another name, brought to the disk and renamed
before the row is committed; so a row without its file means that somebody removed it, and a file
without a row that a process was killed in between (`db gc` removes those).

Each repository has a folder of its own in the store, named at random.  Else two that share a store
would share files, and what one of them has no more use for would be gone for the other.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Callable, NamedTuple

from ._digest import digest
from ._errors import FileSystemError, RepositoryWriteError, StoredValueError
from ._fs import get_proto, hash_stream, join_path, normalize_path
from ._fs_registry import get_filesystem

if TYPE_CHECKING:
    from ._config import Config
    from ._database import Database

_UNFINISHED = ".unfinished"
_THREADS = 8
_NAME = re.compile("[0-9a-f]{12}")
_AGE = 3600.0  # Seconds after which an unfinished file is nobody's any more.


SELECT_NAME = "SELECT value FROM property WHERE name = 'store'"
INSERT_NAME = """
INSERT INTO property (name, value) VALUES ('store', ?) ON CONFLICT (name) DO NOTHING
"""
SELECT_STORED = """
SELECT value.digest, stored_value.digest, stored_value.size, stored_value.path
FROM stored_value JOIN value ON value.id = stored_value.value_id WHERE stored_value.value_id = ?
"""
SELECT_NEXT_STORED = """
SELECT value_id, digest, size, path FROM stored_value WHERE value_id > ? ORDER BY value_id LIMIT 100
"""
SELECT_PATHS = "SELECT path FROM stored_value"
UPDATE_DATA = "UPDATE value SET data = ? WHERE id = ?"


class StoredFile(NamedTuple):
    """Where the bytes of a value are, as its row has it."""

    digest: bytes
    """Of the bytes."""
    size: int
    path: str
    """Relative to the folder of the database, if it is in there and so may move with it."""


class StorePlace(NamedTuple):
    """Where large values go, as the configuration says."""

    root: str
    """An absolute path or a URL, which repositories may share."""
    min_size: int
    """Values of more bytes than this go there."""

    @classmethod
    def from_config(cls, config: Config) -> StorePlace | None:
        """Return what `[backend] value_store_path` names; None if it is not set."""
        path = config.backend.value_store_path
        if path is None:
            return None
        try:
            path = normalize_path(path)
            get_filesystem(url=path)
        except FileSystemError as error:
            raise config.error(str(error), "backend", "value_store_path") from None
        root = str(config.path(path)) if get_proto(path) == "local" else path.rstrip("/")
        return cls(root, config.backend.value_store_min_size)

    def folder(self, name: str) -> str:
        """Return the folder of the repository of that name in stores."""
        return join_path(self.root, name)


class ValueStore:
    """A folder of values that belongs to one repository.

    Parameters
    ----------
    root
        The folder: an absolute path or a URL.
    home
        The folder of the database; None if it is in none.
    """

    def __init__(self, root: str, home: str | None) -> None:
        self.root = root
        self._home = home
        self._is_local = get_proto(root) == "local"

    def has(self, path: str, size: int) -> bool:
        """Say whether a file that a row names is there, by its size."""
        return _has(resolve(path, self._home), size)

    def put_all(self, items: list[bytes], again: bool = False) -> list[StoredFile]:
        """Store bytes, several at a time: to wait for a disk or a server is most of it."""
        if len(items) < 2:
            return [self.put(data, again) for data in items]
        from concurrent.futures import ThreadPoolExecutor
        from itertools import repeat

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self.put, items, repeat(again)))

    def put(self, data: bytes, again: bool = False) -> StoredFile:
        """Store bytes, safely on the disk when this returns.

        Parameters
        ----------
        data
            The bytes.
        again
            Whether to write also a file that seems to be there.

        Raises
        ------
        RepositoryWriteError
            They cannot be written.
        """
        key = digest(data)
        name = key.hex()
        path = join_path(join_path(self.root, name[:2]), name[2:])
        try:
            if self._is_local:
                if again or not _is_there(path, data):
                    _put_local(path, data)
            else:
                with get_filesystem(url=path).open(path, "wb") as stream:
                    stream.write(data)
        except (OSError, FileSystemError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RepositoryWriteError(
                f"cannot write to the value store {self.root}: {reason}; make it writable or free "
                "some space, then run again to go on from what was recorded"
            ) from None
        return StoredFile(key, len(data), self._row_path(path))

    def _row_path(self, path: str) -> str:
        if self._is_local and self._home is not None:
            inside = os.path.relpath(path, self._home)
            if not inside.startswith(os.pardir):
                return inside
        return path

    def files(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the path of each file that is there, and the digest that its name tells.

        That is None for one that a process which is gone has not finished.
        """
        paths = _walk(self.root) if self._is_local else self._listed()
        for path in paths:
            folder, name = os.path.split(path)
            if name.endswith(_UNFINISHED):
                if time.time() - os.stat(path).st_mtime > _AGE:
                    yield path, None
                continue
            try:
                yield path, bytes.fromhex(os.path.basename(folder) + name)
            except ValueError:
                continue  # It is not ours.

    def _listed(self) -> Iterator[str]:
        return (path for path, _ in get_filesystem(url=self.root).scan(self.root))


def open_store(database: Database, place: StorePlace) -> ValueStore:
    """Return the store of a repository, which is given its name in there if it has none."""
    name = store_name(database)
    if name is None:
        from uuid import uuid4

        database.execute(INSERT_NAME, uuid4().hex[:12])
        name = store_name(database)
    assert name is not None
    return ValueStore(place.folder(name), home_of(database.address))


def store_name(database: Database) -> str | None:
    """Return the name of a repository's folder in value stores, if it has one."""
    rows = database.rows(SELECT_NAME)
    return rows[0][0] if rows else None


def home_of(address: str) -> str | None:
    """Return the folder of a database, None if it is in none: in memory or on a server.

    >>> home_of("/data/.redun_lite/redun_lite.db"), home_of("postgresql://host/jobs")
    ('/data/.redun_lite', None)
    """
    if address == ":memory:" or "://" in address:
        return None
    return os.path.dirname(os.path.abspath(address))


def read_value(database: Database, value_id: int, home: str | None) -> bytes:
    """Return the data of a value whose row has none: that of its file, or nothing at all.

    Raises
    ------
    StoredValueError
        The file is missing, cannot be read, or has other bytes in it.
    """
    for key, *file in database.rows(SELECT_STORED, value_id):
        return fetch(StoredFile(*file), home, f"value {key.hex()[:8]}")
    return b""


def count_lost(database: Database, home: str | None) -> int:
    """Return how many values have a file that is missing, or not of the size that it had."""
    lost = last = 0
    while rows := database.rows(SELECT_NEXT_STORED, last):
        for value_id, _, size, path in rows:
            last = value_id
            lost += not _has(resolve(path, home), size)
    return lost


def folders_of(database: Database, home: str | None) -> list[str]:
    """Return the folders that hold the files of values, or held them."""
    paths = database.iterate(SELECT_PATHS)
    return sorted({os.path.dirname(os.path.dirname(resolve(path, home))) for (path,) in paths})


def bring_back(database: Database, home: str | None) -> None:
    """Put the data of all values into their rows, as far as it is there.

    To be called in the transaction that drops `stored_value`.
    """
    last = 0
    while rows := database.rows(SELECT_NEXT_STORED, last):
        for value_id, *file in rows:
            last = value_id
            try:
                data = fetch(StoredFile(*file), home, "")
            except StoredValueError:
                continue
            database.execute(UPDATE_DATA, data, value_id)


def resolve(path: str, home: str | None) -> str:
    """Return the absolute path or the URL that a row means."""
    if get_proto(path) != "local" or os.path.isabs(path) or home is None:
        return path
    return os.path.join(home, path)


def fetch(file: StoredFile, home: str | None, name: str) -> bytes:
    """Return the bytes of a value.

    Parameters
    ----------
    file, home
        Where they are, and the folder of the database.
    name
        What to call the value in an error.

    Raises
    ------
    StoredValueError
        The file is missing, cannot be read, or has other bytes in it.
    """
    data: bytes = _read(file, home, name, lambda stream: stream.read(file.size + 1))
    _check(digest(data), file, home, name)
    return data


def verify(file: StoredFile, home: str | None, name: str) -> None:
    """Fail as `fetch` does, without keeping the bytes."""
    _check(_read(file, home, name, hash_stream), file, home, name)


def _check(key: bytes, file: StoredFile, home: str | None, name: str) -> None:
    if key != file.digest:
        path = resolve(file.path, home)
        raise StoredValueError(f"{name}: its file {path} is damaged: it has other bytes in it")


def _read(
    file: StoredFile, home: str | None, name: str, read: Callable[[IO[bytes]], bytes]
) -> bytes:
    path = resolve(file.path, home)
    try:
        system = get_filesystem(url=path)
        size = system.filesize(path)
        if size != file.size:
            raise StoredValueError(
                f"{name}: its file {path} is damaged: it has {size} bytes, not {file.size}"
            )
        with system.open(path, "rb") as stream:
            return read(stream)
    except FileNotFoundError:
        raise StoredValueError(f"{name}: its file {path} is missing") from None
    except (OSError, FileSystemError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoredValueError(f"{name}: its file {path} cannot be read: {reason}") from None


def is_safe_to_show(file: StoredFile, home: str | None) -> bool:
    """Say whether a file may be opened only because somebody looks at its value.

    A database may come from a stranger, who can write any URL or path into it.  To ask a server
    tells that it was looked at, and a device or a pipe may have no end.
    """
    path = resolve(file.path, home)
    return get_proto(path) == "local" and (os.path.isfile(path) or not os.path.exists(path))


def _has(path: str, size: int) -> bool:
    try:
        return get_filesystem(url=path).filesize(path) == size
    except (OSError, FileSystemError):
        return False


def is_own(path: str, key: bytes, store: str | None) -> bool:
    """Say whether a path is one that a store would have given to a file with that digest.

    A database may come from a stranger, who would have any file removed.

    Parameters
    ----------
    store
        The name of the repository's folder in stores.
    """
    if store is None or not _NAME.fullmatch(store):
        return False
    name = key.hex()
    return path.split("/")[-3:] == [store, name[:2], name[2:]]


def remove(path: str) -> None:
    """Remove a file of a store; it may be gone already."""
    get_filesystem(url=path).remove(path)
    if get_proto(path) == "local":
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass  # There are others in it.


def _is_there(path: str, data: bytes) -> bool:
    try:
        if os.stat(path).st_size != len(data):
            return False
        os.utime(path)  # Whoever collects garbage sees that it is in use again.
        return True
    except OSError:
        return False


def _put_local(path: str, data: bytes) -> None:
    folder = os.path.dirname(path)
    _make_folder(folder)
    unfinished = f"{path}-{os.getpid()}-{os.urandom(4).hex()}{_UNFINISHED}"
    stream = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(stream, rest) :]
            os.fsync(stream)
        finally:
            os.close(stream)
        os.replace(unfinished, path)
    except BaseException:
        try:
            os.unlink(unfinished)
        except OSError:
            pass
        raise
    _sync_folder(folder)


def _make_folder(path: str) -> None:
    """Make a folder and those around it, private to the user, as far as they are not there."""
    if os.path.isdir(path):
        return
    _make_folder(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return  # Another process was faster.
    _sync_folder(os.path.dirname(path))


def _sync_folder(folder: str) -> None:
    """Bring the names in a folder to the disk, where folders can be opened for that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _walk(root: str) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield os.path.join(folder, name)
