"""A server that runs federated tasks for those who ask by `rest_federated_task`.

It is a reference: small enough to be read whole before it is trusted, or replaced by what an
organization has for the purpose (a queue, another role, another machine).

What it does for a request is decided here and not by the request.  A request names a configuration
and an entry; both are looked up in what the server was started with, and neither is ever used as a
path.  It starts `run` for the task of that entry, with the arguments from one certain file in the
scratch folder.  Loading these may run code, since they are a pickle: who can write to the scratch
folder can do what the server's user can, and nobody else should be able to.

It listens on this machine only, unless told otherwise, and asks for a token.  It speaks plain HTTP:
what is to be reached from elsewhere belongs behind a proxy that speaks TLS.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._config import CONFIG_FILE, Config
from .._errors import UsageError
from .._federated import TOKEN_ENV, input_path
from .._federation import FederatedTask, federation_of
from .._names import PACKAGE
from .command import OK, Command, import_root, number_from
from .workflow import put_on_path

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

DEFAULT_PORT = 8765

DEFAULT_MAX_RUNS = 4
"""Executions that may run at a time."""

_MAX_BODY = 16_384  # Bytes of a request's body.
_TIMEOUT = 30.0  # Seconds that a client may take over its request.
_KINDS = {
    "config_name": str,
    "entrypoint": str,
    "input_path": str,
    "execution_id": str,
    "cache": bool,
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Refused(Exception):
    """A request is not carried out.

    Parameters
    ----------
    status
        HTTP status.
    reason
        One line that says what was wrong with it.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Submission(NamedTuple):
    """A request that is well-formed."""

    config_name: str
    entrypoint: str
    input_path: str
    execution_id: str
    cache: bool

    @classmethod
    def parse(cls, body: bytes) -> Submission:
        """Return what the body of a request says."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(400, "the body is no JSON") from None
        if not isinstance(data, dict) or set(data) != set(_KINDS):
            raise Refused(400, f"expected an object with {', '.join(_KINDS)}")
        for name, kind in _KINDS.items():
            if not isinstance(data[name], kind):
                raise Refused(400, f"{name} has to be a {kind.__name__}")
        if not _UUID.fullmatch(data["execution_id"]):
            raise Refused(400, "execution_id has to be a UUID")
        return cls(**data)


class FederatedServer(ThreadingHTTPServer):
    """Runs the federated tasks of some configurations.

    Parameters
    ----------
    configs
        Directories of configurations, by the names that requests call them.
    scratch
        The folder that arguments come from.
    token
        What requests have to know.
    host, port
        Where to listen; port 0 is any that is free.
    max_runs
        Executions that may run at a time.

    Raises
    ------
    UsageError
        A configuration cannot be used, or the scratch folder is not safe.
    """

    daemon_threads = True

    def __init__(
        self,
        configs: Mapping[str, str | os.PathLike[str]],
        scratch: str | os.PathLike[str],
        token: str,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        max_runs: int = DEFAULT_MAX_RUNS,
    ) -> None:
        if not token:
            raise UsageError(f"{TOKEN_ENV} is not set: requests need a token that it gives")
        self.tasks = {name: _published(name, folder) for name, folder in configs.items()}
        self.scratch = _checked_scratch(scratch)
        self.token = token
        self._slots = threading.Semaphore(max_runs)
        self._runs: set[threading.Thread] = set()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from None

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"

    def submit(self, submission: Submission) -> None:
        """Start the execution that a request asks for.

        Raises
        ------
        Refused
            It asks for something else than what there is, or there are too many already.
        """
        tasks = self.tasks.get(submission.config_name)
        if tasks is None:
            raise Refused(404, "there is no configuration of that name")
        task = tasks.get(submission.entrypoint)
        if task is None:
            raise Refused(404, "the configuration has no federated task of that name")
        arguments = self._input_of(submission)
        if not self._slots.acquire(blocking=False):
            raise Refused(503, "too many executions run already; try again later")
        try:
            self._start(task, arguments, submission)
        except BaseException:
            self._slots.release()
            raise

    def _input_of(self, submission: Submission) -> Path:
        """Return the file with the arguments: the one that belongs to the execution, no other."""
        expected = Path(input_path(str(self.scratch), submission.execution_id))
        given = os.path.realpath(submission.input_path)
        # A link anywhere on the way would lead the path elsewhere.
        if given != str(expected) or os.path.realpath(expected) != str(expected):
            raise Refused(400, "input_path is not where the arguments of this execution belong")
        if not expected.is_file():
            raise Refused(400, "there is no file at input_path")
        return expected

    def _start(self, task: FederatedTask, arguments: Path, submission: Submission) -> None:
        command = [sys.executable, "-m", PACKAGE, "--config", str(task.config_dir), "run"]
        command += ["--input", str(arguments), "--execution-id", submission.execution_id]
        command += [] if submission.cache else ["--no-cache"]
        command += [task.load_module, task.fullname]
        environ = {name: value for name, value in os.environ.items() if name != TOKEN_ENV}
        path = environ.get("PYTHONPATH")
        environ["PYTHONPATH"] = os.pathsep.join([*([path] if path else []), import_root()])
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        path_of_output = arguments.with_name("output")  # That it is there says: it was started.
        try:
            output = os.open(path_of_output, flags, 0o600)
        except FileExistsError:
            raise Refused(409, "the execution has been started already") from None
        try:
            process = subprocess.Popen(
                command,
                cwd=task.config_dir.parent,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # It goes on when the server ends.
            )
        except BaseException:
            path_of_output.unlink()
            raise
        finally:
            os.close(output)
        waiting = threading.Thread(target=self._wait, args=(process,), daemon=True)
        self._runs.add(waiting)
        waiting.start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._slots.release()
        self._runs.discard(threading.current_thread())

    def wait_for_runs(self) -> None:
        """Wait until the executions that have been started have ended."""
        for waiting in list(self._runs):
            waiting.join()


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and answers it."""

    server: FederatedServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version = "redun_lite"
    sys_version = ""
    timeout = _TIMEOUT

    def do_POST(self) -> None:
        try:
            submission = Submission.parse(self._body())
            self.server.submit(submission)
        except Refused as refused:
            self._answer(refused.status, {"error": str(refused)})
        except Exception as error:  # Whoever asks is not told how this machine looks inside.
            self.log_error("%s", repr(error))
            self._answer(500, {"error": "the execution could not be started"})
        else:
            self._answer(202, {"execution_id": submission.execution_id})

    def _body(self) -> bytes:
        """Return the body of the request, if it comes from somebody who may ask."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,10}", length):
            raise Refused(411, "the request has no Content-Length")
        if int(length) > _MAX_BODY:
            raise Refused(413, f"the body has more than {_MAX_BODY} bytes")
        # Also of a request that is refused: else closing the connection could lose the answer.
        body = self.rfile.read(int(length))
        given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self.server.token}".encode()):
            raise Refused(401, f"the token is missing or wrong; give it as {TOKEN_ENV}")
        if self.path != "/":
            raise Refused(404, "requests go to /")
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "the body has to be application/json")
        return body

    def _answer(self, status: int, data: dict[str, str]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _published(name: str, folder: str | os.PathLike[str]) -> dict[str, FederatedTask]:
    """Return the federated tasks of a configuration, all of them checked."""
    file = Path(folder, CONFIG_FILE)
    if not os.path.isfile(file):
        raise UsageError(f"{name}={folder}: there is no {file.absolute()}")
    entries = federation_of(Config.from_file(file)).tasks
    if not entries:
        raise UsageError(f"{name}={folder}: it has no section [federated_tasks.NAME]")
    tasks = {}
    for entry in entries.values():
        task = tasks[entry.name] = entry.parse()
        if not (task.config_dir / CONFIG_FILE).is_file():
            raise entry.error(f"there is no {task.config_dir / CONFIG_FILE}", "config_dir")
    return tasks


def _checked_scratch(scratch: str | os.PathLike[str]) -> Path:
    folder = Path(os.path.realpath(scratch))
    if not os.path.isdir(folder):
        raise UsageError(f"--scratch {scratch}: there is no such folder")
    if folder.stat().st_mode & stat.S_IWOTH:
        raise UsageError(
            f"--scratch {scratch}: everybody can write to it, and so run code here; "
            "chmod o-w it, or choose another one"
        )
    return folder


def serve(server: FederatedServer) -> None:
    """Answer requests until Ctrl-C."""
    print(f"listening on {server.url}; Ctrl-C ends it, what runs goes on", file=sys.stderr)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(file=sys.stderr)


class FederatedServerCommand(Command):
    """`federated-server`."""

    description = (
        "Run federated tasks for those who ask by rest_federated_task.\n\n"
        f"Requests need the token that the environment has as {TOKEN_ENV}. Who can write to the\n"
        "scratch folder can run code as the user of the server."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "configs",
            metavar="NAME=DIR",
            nargs="+",
            help="a directory with a configuration, and what requests call it",
        )
        parser.add_argument(
            "--scratch", metavar="DIR", required=True, help="the folder that arguments come from"
        )
        parser.add_argument(
            "--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen"
        )
        parser.add_argument(
            "--port", type=number_from(0, 65_535), default=DEFAULT_PORT, help="0: any that is free"
        )
        parser.add_argument(
            "--max-runs", type=number_from(1), default=DEFAULT_MAX_RUNS, help="executions at a time"
        )

    def run(self, options: Namespace) -> int:
        configs = dict(word.partition("=")[::2] for word in options.configs)
        if not all(name and folder for name, folder in configs.items()):
            given = " ".join(options.configs)
            raise UsageError(f"federated-server: expected NAME=DIR, got {given}")
        put_on_path(os.getcwd())  # Configurations may name executors of the user's.
        token = os.environ.get(TOKEN_ENV, "")
        where = (options.host, options.port, options.max_runs)
        serve(FederatedServer(configs, options.scratch, token, *where))
        return OK
