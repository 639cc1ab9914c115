"""Where a run comes from: who started it, and the Git commit of its code, told by files.

Each run is tagged with it, so it must cost next to nothing.  To read three small files takes less
than a millisecond, to start `git` ten.  Only whether files differ from the commit takes `git`,
which then runs beside the workflow; where there is none, or it takes too long, the tag is left out.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_MAX_SIZE = 10_000_000  # Bytes of a file that is read.
_PATIENCE = 0.5  # Seconds that a run which has ended waits for `git`.
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SECTION = re.compile(r'\s*\[\s*(\w+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')
_URL = re.compile(r"\s*url\s*=\s*(.*)$", re.IGNORECASE)
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://)([^/@]*@)", re.IGNORECASE)


def user_name() -> str:
    """Return the login name of whoever runs this; their number, if that has no name.

    It is what `getpass.getuser` returns, whose module takes longer to import than `log` needs.
    """
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (KeyError, ImportError):  # A container may run under a number without a name.
        return str(os.getuid())


class Checkout(NamedTuple):
    """A checkout of a Git repository.

    Attributes
    ----------
    folder
        Its top.
    commit
        The hash of the commit; None before the first.
    origin_url
        Where it was cloned from, without credentials; None if nowhere.
    """

    folder: str
    commit: str | None
    origin_url: str | None


def find_checkout(folder: str | os.PathLike[str]) -> Checkout | None:
    """Return the checkout that a folder is in, if it is in one."""
    top = os.path.abspath(folder)
    while not os.path.exists(os.path.join(top, ".git")):
        top, name = os.path.split(top)
        if not name:
            return None
    git = _git_folder(top)
    if git is None:
        return None
    common = os.path.join(git, (_read(os.path.join(git, "commondir")) or ".").strip())
    return Checkout(top, _commit(git, common), _origin_url(common))


def _git_folder(top: str) -> str | None:
    """Return the folder with Git's files: `.git`, or what that names in a worktree or submodule."""
    path = os.path.join(top, ".git")
    if os.path.isdir(path):
        return path
    text = _read(path) or ""
    name, _, place = text.partition(":")
    folder = os.path.join(top, place.strip())
    return folder if name == "gitdir" and os.path.isdir(folder) else None


def _commit(git: str, common: str) -> str | None:
    head = (_read(os.path.join(git, "HEAD")) or "").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else None
    ref = head[4:].strip()
    if os.pardir in ref.split("/") or os.path.isabs(ref):
        return None
    for folder in (git, common):
        found = (_read(os.path.join(folder, ref)) or "").strip()
        if _COMMIT.fullmatch(found):
            return found
    for line in (_read(os.path.join(common, "packed-refs")) or "").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref and _COMMIT.fullmatch(commit):
            return commit
    return None


def _origin_url(common: str) -> str | None:
    is_origin = False
    for line in (_read(os.path.join(common, "config")) or "").splitlines():
        section = _SECTION.match(line)
        if section:
            is_origin = section[1].lower() == "remote" and section[2] == "origin"
            continue
        found = _URL.match(line) if is_origin else None
        if found:
            return without_credentials(found[1].strip().strip('"'))
    return None


def without_credentials(url: str) -> str:
    """Return a URL without user, password and query: any of them may be a secret.

    The user of SSH is none: it is `git` most often.

    >>> without_credentials("https://ada:secret@example.com/x.git?token=1")
    'https://example.com/x.git'
    >>> without_credentials("git@example.com:x.git")
    'git@example.com:x.git'
    """
    found = _USER.match(url)
    if found:
        scheme, user = found.groups()
        kept = user.partition(":")[0].rstrip("@") + "@" if "ssh" in scheme.lower() else ""
        url = scheme + kept + url[found.end() :]
    return re.split(r"[?#]", url, maxsplit=1)[0] if "://" in url else url


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(_MAX_SIZE)
    except OSError:
        return None


class DirtyCheck:
    """Finds out, beside other work, whether files of a checkout differ from its commit.

    Parameters
    ----------
    checkout
        The checkout.
    """

    def __init__(self, checkout: Checkout) -> None:
        import subprocess

        self._process: Any = None
        # A file system monitor would be a program that the repository names.
        words = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "status"]
        try:
            self._process = subprocess.Popen(
                [*words, "--porcelain", "--untracked-files=no"],
                cwd=checkout.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            pass  # There is no `git`.

    def result(self, patience: float = _PATIENCE) -> bool | None:
        """Return whether any differ; None if that is not known by now.

        Parameters
        ----------
        patience
            Seconds to wait for it.
        """
        import subprocess

        process, self._process = self._process, None
        if process is None:
            return None
        try:
            listed, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        return None if process.returncode else bool(listed.strip())


def folder_of_workflow(script: str) -> str | Path:
    """Return the folder of a workflow: that of its file, or the present one if it is a module."""
    return os.path.dirname(os.path.abspath(script)) if os.path.isfile(script) else os.getcwd()
