"""Which file system serves a path or a URL.

Schemes that nobody has registered are looked up among what ships with the package and what is
installed, when the first URL of theirs is used: so HTTP costs those nothing who have local files.
"""

from __future__ import annotations

from ._errors import FileSystemError, UsageError
from ._fs import FileSystem, get_proto
from ._fs_local import LocalFileSystem
from ._plugins import FILESYSTEMS, named_class

_LOCAL = LocalFileSystem()
_classes: dict[str, type[FileSystem]] = {"local": LocalFileSystem}  # The name of plain paths.
_instances: dict[type[FileSystem], FileSystem] = {LocalFileSystem: _LOCAL}


def register_filesystem(protocol: str, fs_class: type[FileSystem]) -> None:
    """Say which class serves the URLs of a scheme (without `://`), in place of the one that did.

    The class is called once, without arguments, when the first such URL is used.
    """
    _classes[protocol.lower()] = fs_class


def get_filesystem_class(*, url: str | None = None, proto: str | None = None) -> type[FileSystem]:
    """Return the class that serves a URL or a scheme; see `get_filesystem`."""
    if url is None and proto is None:
        raise TypeError("expected a url or a proto")
    proto = get_proto(url or "") if proto is None else proto.lower()
    fs_class = _classes.get(proto)
    if fs_class is None:
        try:
            fs_class = _classes[proto] = named_class(FILESYSTEMS, "URL scheme", proto)
        except UsageError as error:
            raise FileSystemError(f"{proto}://: {error}") from error.__cause__
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
