"""Runs Python in forks of a process that has imported the package already.

To start Python and to import the package takes several times as long as most commands do, and tests
run hundreds of them.  A server that has done both waits at a socket; whoever wants Python run sends
the words, the folder, the environment and three open files (see `ask`), and gets back how it ended.
What runs is a process of its own, without site-packages, that has its own input and outputs: as if
`python3 -S` had been started with these words.

    python3 -S zygote.py SOCKET
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ask import LENGTH

_PACKAGE = "redun_lite"


class Request(NamedTuple):
    """What is to run, where, and on which files."""

    words: Sequence[str]
    folder: str
    environ: Mapping[str, str]
    files: Sequence[int]


def serve(path: str) -> None:
    """Run what is asked for at a socket, until standard input is at its end."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    _import_package()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("ready", flush=True)
    waiting: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([server, woken, 0], [], [])
        if 0 in ready:
            return
        if woken in ready:
            os.read(woken, 4096)
            _answer(waiting)
        if server in ready:
            connection, _ = server.accept()
            request = _receive(connection)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (server, connection, *waiting.values()):
                    other.close()
                os.close(woken)
                os.close(wake)
                _run(request)
                return
            waiting[child] = connection
            for file in request.files:
                os.close(file)


def _answer(waiting: dict[int, socket.socket]) -> None:
    """Tell those who wait how what they have asked for has ended."""
    while waiting:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        connection = waiting.pop(child)
        try:
            connection.sendall(str(status).encode())
        except OSError:
            pass  # Nobody waits any more.
        connection.close()


def _import_package() -> None:
    """Import all but what needs packages from elsewhere, and what runs pages of docs."""
    importlib.import_module("doctest")
    root = Path(importlib.import_module(_PACKAGE).__file__ or "").parent
    for path in [*root.glob("_*.py"), *root.glob("_client/*.py")]:
        name = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        importlib.import_module(f"{_PACKAGE}.{name}")
    sqlite = sys.modules[f"{_PACKAGE}._sqlite"]  # As in the process of the tests: see `conftest`.
    sqlite._PRAGMAS = tuple(pragma.replace("NORMAL", "OFF") for pragma in sqlite._PRAGMAS)


def _receive(connection: socket.socket) -> Request:
    data, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_LEN(3 * 4))
    files = array.array("i")
    for _, _, content in ancillary:
        files.frombytes(content)
    while len(data) < LENGTH or len(data) < LENGTH + int.from_bytes(data[:LENGTH], "little"):
        data += connection.recv(1 << 20)
    return Request(*marshal.loads(data[LENGTH:]), files)


# In the process that is asked for


def _run(request: Request) -> None:
    """Be Python, started with the words of a request."""
    for target, file in enumerate(request.files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environ)
    time.tzset()
    sys.dont_write_bytecode = bool(request.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = _writer(1, "strict")
    sys.stderr = _writer(2, "backslashreplace")
    path = request.environ.get("PYTHONPATH", "").split(os.pathsep)
    own = [entry for entry in sys.path[1:] if entry not in path]
    sys.path[:] = [os.getcwd(), *filter(None, path), *own]
    for module in [name for name in sys.modules if name in ("runpy", _PACKAGE + ".__main__")]:
        del sys.modules[module]
    try:
        if request.words[0] == "-m":
            sys.argv = ["-m", *request.words[2:]]
            runpy.run_module(request.words[1], run_name="__main__", alter_sys=True)
        else:
            _run_file(*request.words)
        _end(0)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            _end(error.code or 0)
        raise


def _run_file(name: str, *arguments: str) -> None:
    sys.argv = [name, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(name))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = os.path.abspath(name)
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    code = compile(Path(name).read_bytes(), name, "exec", dont_inherit=True)
    try:
        exec(code, vars(main))
    except Exception as error:
        frames = error.__traceback__
        error.__traceback__ = frames and frames.tb_next  # Without this one.
        sys.excepthook(type(error), error, error.__traceback__)
        _end(1)


def _end(status: int) -> None:
    """Do what Python does at the end, but for taking apart all that has been imported."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)  # Python knows what to say.
    os._exit(status & 0xFF)


def _writer(file: int, errors: str) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(file, "w", closefd=False))
    return io.TextIOWrapper(raw, "utf-8", errors, line_buffering=file == 2 or os.isatty(file))


if __name__ == "__main__":
    serve(sys.argv[1])
