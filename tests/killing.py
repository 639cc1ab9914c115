"""`kill -9` at moments that are reached by counting, never by waiting."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable

from redun_lite import _sqlite


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def countdown(n: int) -> Callable[..., None]:
    """Return a function that kills the process when it is called for the nth time."""
    calls = iter(range(1, n))

    def call(*_: Any) -> None:
        if next(calls, None) is None:
            kill_self()

    return call


def at_statements(call: Callable[..., None]) -> None:
    """Have a function called before each statement of connections that are made from here on."""
    connect = _sqlite.connect

    def calling(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(call)
        return connection

    _sqlite.connect = calling


def fork(run: Callable[[], None]) -> int:
    """Call a function in a process of its own, which ends with it; return the process's id."""
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def was_killed(child: int) -> bool:
    """Wait for the end of a process; say whether it was killed, or else succeeded."""
    return check_status(os.waitpid(child, 0)[1])


def check_status(status: int) -> bool:
    assert status in (0, signal.SIGKILL), f"it ended with status {status}"
    return status == signal.SIGKILL
