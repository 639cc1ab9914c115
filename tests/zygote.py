"""Runs `python3 -S -m redun_lite …` in forks of a process that has imported the package already.

To start Python and to import the package takes several times as long as most commands do, and tests
run hundreds of them.  A server that has done both waits at a socket; whoever wants a command run
sends the words, the folder, the environment and three open files, and gets back its exit status.
What runs is a process of its own, without site-packages, that has its own input and outputs.

    python3 -S zygote.py serve SOCKET
    python3 -S zygote.py run SOCKET WORD …
"""

from __future__ import annotations

import array
import gc
import io
import json
import os
import runpy
import select
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PACKAGE = "redun_lite"
_MAX_REQUEST = 1 << 20


def serve(path: str) -> None:
    """Run the commands that are asked for at a socket, until standard input is at its end."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    _import_package()
    gc.freeze()
    print("ready", flush=True)
    while select.select([server, 0], [], [])[0] == [server]:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _handle(connection)
            return
        connection.close()
        _reap()
    _reap()


def _reap() -> None:
    """Let go of the commands that have ended, whose time then counts as the server's."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def _import_package() -> None:
    import importlib

    import redun_lite

    root = Path(str(redun_lite.__file__)).parent
    for path in [*root.glob("_*.py"), *root.glob("_client/*.py")]:
        name = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        importlib.import_module(f"{_PACKAGE}.{name}")


def _handle(connection: socket.socket) -> None:
    """Be the command that is asked for, or who waits for it and tells how it ended."""
    data, files = _receive(connection)
    words, folder, environ = json.loads(data)
    child = os.fork()
    if child:
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        connection.sendall(str(status).encode())
        os._exit(0)
    connection.close()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = _writer(1, "strict")
    sys.stderr = _writer(2, "backslashreplace")
    path = environ.get("PYTHONPATH", "").split(os.pathsep)
    own = [entry for entry in sys.path[1:] if entry not in path]
    sys.path[:] = [os.getcwd(), *filter(None, path), *own]
    sys.argv = ["-m", *words]
    for module in [name for name in sys.modules if name in ("runpy", _PACKAGE + ".__main__")]:
        del sys.modules[module]
    runpy.run_module(_PACKAGE, run_name="__main__", alter_sys=True)


def _writer(file: int, errors: str) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(file, "w", closefd=False))
    return io.TextIOWrapper(raw, "utf-8", errors, line_buffering=file == 2 or os.isatty(file))


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return a request, and the files that came with it."""
    data, ancillary, _, _ = connection.recvmsg(_MAX_REQUEST, socket.CMSG_LEN(3 * 4))
    files = array.array("i")
    for _, _, content in ancillary:
        files.frombytes(content)
    while not data.endswith(b"\n"):
        data += connection.recv(_MAX_REQUEST)
    return data, list(files)


def ask(
    path: str,
    words: Sequence[str],
    folder: str,
    environ: Mapping[str, str],
    files: Sequence[int],
) -> int:
    """Have a command run with three open files, and return its exit status, as a shell has it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request = json.dumps([list(words), folder, dict(environ)]).encode() + b"\n"
        sent = connection.sendmsg(
            [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        )
        connection.sendall(request[sent:])
        status = int(connection.recv(64))
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(ask(sys.argv[2], sys.argv[3:], os.getcwd(), os.environ, (0, 1, 2)))
