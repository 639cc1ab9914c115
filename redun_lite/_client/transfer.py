"""The command `fs`: copying files between file systems, as tasks see them."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

from .._display import format_count, format_size
from .._errors import FileSystemError, UsageError
from .._fs import copy_stream, get_proto, join_path, normalize_path, place_of
from .._fs_registry import get_filesystem
from .command import OK, Command, add_action, add_actions
from .output import STREAM, file_error

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


class FsCommand(Command):
    """Copies files."""

    description = "Copy files between all file systems that `File` can reach."
    has_actions = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = add_actions(parser)
        copy = add_action(actions, "cp", "copy a file, or with --recursive a folder")
        copy.add_argument("source", metavar="SRC", help="a path or URL; - for standard input")
        copy.add_argument("target", metavar="DST", help="a path or URL; - for standard output")
        copy.add_argument(
            "-r", "--recursive", action="store_true", help="all files of a folder, into another"
        )

    def run(self, options: Namespace) -> int:
        source, target = options.source, options.target
        _check_path(source, False, options.recursive)
        _check_path(target, True, options.recursive)
        try:
            if options.recursive:
                count, size = copy_folder(source, target)
                told = f"copied {format_count(count)} file{'' if count == 1 else 's'}"
                print(f"{told}, {format_size(size)}", file=sys.stderr)
            else:
                copy_one(source, target)
        except BrokenPipeError:
            raise
        except OSError as error:
            place = str(error.filename or target)
            written = normalize_path(target)
            is_written = place.startswith((written, os.path.abspath(written)))
            raise file_error("write" if is_written else "read", place, error) from None
        return OK


def _check_path(path: str, is_target: bool, is_folder: bool) -> None:
    """Fail if a path or URL can be none of a file system that is known, or not to this end."""
    try:
        if path != STREAM:
            get_filesystem(url=normalize_path(path))
    except FileSystemError as error:
        raise UsageError(f"fs cp {path}: {error}") from None
    if get_proto(path) in ("http", "https") and (is_target or is_folder):
        why = "HTTP is for reading only" if is_target else "HTTP has no folders; name each file"
        raise UsageError(f"fs cp {path}: {why}")


def copy_one(source: str, target: str) -> None:
    """Copy a file.

    Parameters
    ----------
    source
        Its path or URL, or `-`.
    target
        That of the copy, or of a folder that it goes to, or `-`.

    Raises
    ------
    UsageError, FileSystemError
        That cannot be, or there is no such file.
    OSError
        It cannot be read or written.
    """
    source = source if source == STREAM else normalize_path(source)
    target = target if target == STREAM else normalize_path(target)
    if source != STREAM:
        _check_file(source)
    if target != STREAM and (target.endswith("/") or _is_local_folder(target)):
        if source == STREAM:
            raise UsageError(f"fs cp: {target} is a folder; name a file for what is read from -")
        target = join_path(target, source.rstrip("/").rpartition("/")[2])
    if STREAM not in (source, target):
        if place_of(source) == place_of(target):
            raise UsageError(f"fs cp: {source} and {target} are the same file")
        if get_proto(source) == get_proto(target):
            get_filesystem(url=source).copy(source, target)
            return
    with ExitStack() as stack:
        copy_stream(_opened(source, "rb", stack), _opened(target, "wb", stack))


def _opened(path: str, mode: str, stack: ExitStack) -> IO[bytes]:
    if path == STREAM:
        return sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
    return stack.enter_context(get_filesystem(url=path).open(path, mode))


def _check_file(path: str) -> None:
    system = get_filesystem(url=path)
    if system.isfile(path):
        return
    if get_proto(path) == "local" and os.path.exists(path) and not os.path.isdir(path):
        return  # A pipe or a device.
    if system.isdir(path):
        raise UsageError(f"fs cp: {path} is a folder; --recursive copies what is in it")
    raise UsageError(f"fs cp: there is no file {path}")


def _is_local_folder(path: str) -> bool:
    """Say whether a path is a folder here; elsewhere, names that end with a slash stand for one."""
    return get_proto(path) == "local" and os.path.isdir(path)


def copy_folder(source: str, target: str) -> tuple[int, int]:
    """Copy what is in a folder into another one, and return how many files and bytes that was.

    Files that only the other folder has stay.

    Raises
    ------
    UsageError, FileSystemError
        That cannot be, or there is no such folder.
    OSError
        A file cannot be read or written.
    """
    if STREAM in (source, target):
        raise UsageError("fs cp: - is one file; leave out --recursive")
    source, target = normalize_path(source), normalize_path(target)
    system = get_filesystem(url=source)
    if not system.isdir(source):
        why = "is a file; leave out --recursive" if system.isfile(source) else "is not there"
        raise UsageError(f"fs cp: {source} {why}")
    if get_filesystem(url=target).isfile(target):
        raise UsageError(f"fs cp: {target} is a file; name a folder")
    if f"{place_of(target)}/".startswith(f"{place_of(source)}/"):
        raise UsageError(f"fs cp: {target} is inside of {source}")
    top = source.rstrip("/") + "/"
    found = system.scan(source)
    get_filesystem(url=target).mkdir(target)
    size = 0
    for path, _ in found:
        if not path.startswith(top):
            raise FileSystemError(f"{path} was listed, which is not in {source}")
        name = path[len(top) :]
        copy_one(path, join_path(target.rstrip("/") or "/", name))
        size += system.filesize(path)
    return len(found), size
