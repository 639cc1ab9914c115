"""Files on web servers, read-only.

What `urllib` does is enough: a file is one request, and it is read from the socket as it comes.
Added to it is what keeps results right: a connection that is lost before the end is an error, where
`http.client` takes it for the end of the file.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

from ._errors import FileSystemError
from ._fs import CHUNK_SIZE, FileSystem, get_proto, hash_stream, shell_path

if TYPE_CHECKING:
    from email.message import Message
    from http.client import HTTPResponse


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
            cause = getattr(cause, "strerror", None) or cause
            raise FileSystemError(f"cannot read {url}: {cause}") from error

    @staticmethod
    def _read_only(verb: str, url: str) -> FileSystemError:
        return FileSystemError(f"cannot {verb} {url}: HTTP file systems are read-only")

    @staticmethod
    def _no_listing(url: str) -> FileSystemError:
        return FileSystemError(f"cannot list {url}: HTTP has no directories, name each file")
