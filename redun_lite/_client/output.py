"""Files that commands read and write where the user says: how they are written, what goes wrong.

What a command makes is there as a whole or not at all, so it goes to a file beside its place first.
But a device or a pipe is to be written, not to be replaced: `-o /dev/null` as root would leave a
plain file in its stead.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, TYPE_CHECKING

from .._errors import NO_ROOM, FileSystemError, RedunLiteError, UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator, Mapping

STREAM = "-"
"""What stands for standard input or output in place of a file."""

_ENOUGH = 65_536  # Bytes that are read or written together.
_MOST_AHEAD = 32_000_000  # Bytes that are read before they are asked for.

_REASONS = {
    errno.EISDIR: "it is a folder",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "the name is too long",
}


def file_error(verb: str, path: str, error: OSError) -> RedunLiteError:
    """Return the error about a file that is named and cannot be read or written.

    A `UsageError`, unless the name is right and the disk is full or broken.

    Parameters
    ----------
    verb
        `read` or `write`.
    path
        As the user has given it.
    """
    stream = "standard input" if verb == "read" else "standard output"
    where = f"cannot {verb} {stream if path == STREAM else path}"
    if error.errno in (*NO_ROOM, errno.EIO):
        return FileSystemError(f"{where}: {error.strerror}")
    folder = os.path.dirname(os.path.abspath(path))
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.isdir(folder):
        what = f"{folder} is a file" if os.path.exists(folder) else f"there is no folder {folder}"
    elif error.errno == errno.ENOENT:
        what = "there is no such file"
    else:
        what = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return UsageError(f"{where}: {what}")


def open_input(path: str) -> IO[bytes]:
    """Open a file that is named to be read.

    Raises
    ------
    UsageError
        There is none, or it cannot be read.
    """
    try:
        return open(path, "rb")
    except OSError as error:
        raise file_error("read", path, error) from None


def read_ahead(stream: IO[bytes], size: int = _ENOUGH) -> Iterator[bytes]:
    """Yield the lines of standard input, which a thread reads before they are asked for.

    A pipe holds little.  Who writes into it would stand still whenever, and as long as, one works
    on what has come.

    Parameters
    ----------
    size
        Bytes that are read together.

    Raises
    ------
    UsageError, FileSystemError
        It cannot be read.
    """
    from queue import Queue
    from threading import Thread

    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError):  # It is in memory.
        yield from stream
        return
    pieces: Queue[bytes | OSError] = Queue(_MOST_AHEAD // size)

    def read() -> None:
        try:
            while piece := os.read(descriptor, size):
                pieces.put(piece)
            pieces.put(b"")
        except OSError as error:
            pieces.put(error)

    # By its number: when the program ends, no thread may have the lock of the stream.
    Thread(target=read, name="redun_lite-input", daemon=True).start()
    begun: list[bytes] = []  # Of a line whose end has not come.
    while piece := pieces.get():
        if isinstance(piece, OSError):
            raise file_error("read", STREAM, piece)
        first, newline, others = piece.partition(b"\n")
        begun.append(first + newline)
        if newline:
            yield b"".join(begun)
            *lines, last = others.split(b"\n")
            for line in lines:
                yield line + b"\n"
            begun = [last] if last else []
    if begun:
        yield b"".join(begun)


def write_output(pieces: Iterable[bytes], path: str | None, is_private: bool = False) -> None:
    """Write what a command makes.

    Parameters
    ----------
    pieces
        What to write; they may be made meanwhile.
    path
        The path of a file; None or `-` for standard output.
    is_private
        Whether a new file is for the user alone.

    Raises
    ------
    UsageError, FileSystemError
        The file cannot be written.
    """
    pieces = _gathered(pieces)
    if path is None or path == STREAM:
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    elif os.path.exists(path) and not os.path.isfile(path):
        _write_in_place(pieces, path)
    elif os.path.isfile(path) and not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK):
        _write_in_place(pieces, path)  # In such a folder there is no place beside it.
    else:
        _replace(pieces, path, is_private)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield small pieces together: each one that is written costs a call of the system."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _ENOUGH:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    yield b"".join(gathered)


def _write_in_place(pieces: Iterable[bytes], path: str) -> None:
    try:
        stream = open(path, "wb", buffering=0)
    except OSError as error:
        raise file_error("write", path, error) from None
    with stream:
        _write_pieces(pieces, stream, path)


def _replace(pieces: Iterable[bytes], path: str, is_private: bool) -> None:
    import tempfile

    place = os.path.realpath(path)  # A link stays one.
    unfinished = None
    try:
        try:
            if os.path.exists(place):
                os.close(os.open(place, os.O_WRONLY))  # Or say that it must not be changed.
            descriptor, unfinished = tempfile.mkstemp(
                dir=os.path.dirname(place), prefix=".redun_lite-", suffix=".unfinished"
            )
            with open(descriptor, "wb", buffering=0) as stream:
                _write_pieces(pieces, stream, path)
            if os.path.exists(place):
                os.chmod(unfinished, os.stat(place).st_mode & 0o777)
            elif not is_private:
                mask = os.umask(0o077)
                os.umask(mask)
                os.chmod(unfinished, 0o666 & ~mask)
            os.replace(unfinished, place)
        except OSError as error:
            raise file_error("write", path, error) from None
        unfinished = None
    finally:
        if unfinished is not None:
            os.unlink(unfinished)


def _write_pieces(pieces: Iterable[bytes], stream: IO[bytes], path: str) -> None:
    for piece in pieces:
        left = memoryview(piece)
        while left:
            try:
                left = left[stream.write(left) :]
            except BrokenPipeError:
                raise
            except OSError as error:
                raise file_error("write", path, error) from None


def format_of(options: Namespace, by_suffix: Mapping[str, str], default: str) -> str:
    """Return the format that `--format` asks for, or else the name of the output.

    Raises
    ------
    UsageError
        Neither says it.
    """
    if options.format is not None or options.output in (None, STREAM):
        return options.format or default
    suffix = os.path.splitext(options.output)[1].lower()
    if suffix not in by_suffix:
        raise UsageError(
            f"-o {options.output}: a name that ends in {', '.join(by_suffix)} says the format; "
            "for another name give --format"
        )
    return by_suffix[suffix]
