"""Asks the server of `zygote` to run Python, and ends as that has ended.

    python3 -I -S ask.py SOCKET WORD …

Pages of docs ask for every command in this way, so it imports next to nothing: `socket` and `json`
would take three times as long as all else here.
"""

from __future__ import annotations

import array
import marshal
import os
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

LENGTH = 8  # Bytes of a request that say how long the rest is.


def ask(path, words, folder, environ, files):
    """Have Python run with three open files; return its exit status, as a shell has it.

    Parameters
    ----------
    path
        The server's socket.
    words
        What comes behind `python3 -S`: `-m` and a module, or a file, and arguments.
    """
    request = marshal.dumps((list(words), folder, dict(environ)))
    request = len(request).to_bytes(LENGTH, "little") + request
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect(path)
        rights = [(SOL_SOCKET, SCM_RIGHTS, array.array("i", files))]
        sent = connection.sendmsg([request], rights)
        connection.sendall(request[sent:])
        answer = connection.recv(64)
    finally:
        connection.close()
    if not answer:
        raise ConnectionError("the server for commands has ended")
    status = int(answer)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1], sys.argv[2:], os.getcwd(), os.environ, (0, 1, 2)))
