"""Federated tasks: entries, imported configurations, the far side; the REST form and its server.

The project on the far side is a folder of its own, which only its worker processes import.
"""

from __future__ import annotations

import http.client
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import ROOT, Lab, note, notes, python

from redun_lite import (
    Config,
    ConfigError,
    ExecutorError,
    ResultError,
    Scheduler,
    TaskError,
    UsageError,
    catch,
    federated_task,
    get_task_registry,
    rest_federated_task,
    task,
)
from redun_lite._client.federated_server import FederatedServer
from redun_lite._client.log import log_lines
from redun_lite._federated import TOKEN_ENV
from redun_lite._federation import federation_of

redun_namespace = "test_federated"

REMOTE = '''
import os

from redun_lite import JobInfo, get_context, task

redun_namespace = "remote"


class RemoteError(Exception):
    pass


class Odd:
    pass


@task
def scale(number: int, by: int = 10) -> int:
    """Multiply in two steps, so that there is more than one job."""
    with open("LOG", "a") as log:
        log.write(f"scale {number}\\n")
    return times(number, by)


@task
def times(a, b):
    return a * b


@task
def fail(message):
    raise ValueError(message)


@task
def fail_oddly(message):
    raise RemoteError(message)


@task
def odd():
    return Odd()


@task
def options(job_info: JobInfo = JobInfo()):
    return job_info.options


@task
def unit(name=get_context("unit", "none")):
    return name


@task
def process():
    return os.getpid()


def no_task():
    pass
'''

TOKEN = "a token"


@task(version="1")
def five(log):
    note(log, "five")
    return 5


@task(version="1")
def recover(error):
    return f"recovered from {error}"


class Project:
    """A project on the far side, and entries for its tasks.

    Parameters
    ----------
    module
        Name of its module.
    """

    def __init__(self, folder: Path, module: str = "remote_flow") -> None:
        self.folder = folder
        self.module = module
        self.config_dir = folder / ".redun_lite"
        self.config_dir.mkdir(parents=True)
        (self.config_dir / "redun_lite.ini").write_text("[limits]\ndesk = 1\n")
        (folder / f"{module}.py").write_text(REMOTE.replace('"LOG"', repr(str(folder / "log"))))
        self.lab = Lab(folder, path=self.config_dir / "redun_lite.db")

    def entry(self, task_name: str = "scale", **changed: str) -> dict[str, str]:
        """Return the options of a section for one of its tasks."""
        return {
            "namespace": "remote",
            "task_name": task_name,
            "load_module": self.module,
            "executor": "process",
            "config_dir": str(self.config_dir),
            **changed,
        }

    def log(self) -> list[str]:
        """Return what its tasks really did."""
        return notes(self.folder / "log")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "remote")


def near(tmp_path, **entries):
    """Return a lab whose configuration has some entries."""
    folder = tmp_path / "near"
    folder.mkdir()
    return Lab(folder, **{f"federated_tasks.{name}": entry for name, entry in entries.items()})


# Calls


def test_a_task_is_called_without_its_code(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    assert lab.run(federated_task("scale", 3)) == 30
    assert lab.run(federated_task("scale", number=4, by=5)) == 20
    assert get_task_registry().get("remote.scale") is None
    assert "remote_flow" not in sys.modules


def test_its_arguments_are_evaluated_here(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    log = tmp_path / "log"
    assert lab.run(federated_task("scale", five(str(log)), by=five(str(log)) + 1)) == 30
    assert notes(log) == ["five"]
    upstream = lab.query(
        "SELECT fullname FROM upstream JOIN call ON call.id = upstream_id "
        "JOIN task ON task.id = call.task_id"
    )
    assert set(upstream) == {"test_federated.five"}


def test_it_is_called_in_each_execution_and_finds_its_results_cached(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    for _ in range(2):
        assert lab.run(federated_task("scale", 3)) == 30
        assert lab.jobs() == {"federated_root_task": ["DONE"]}
    assert project.log() == ["scale 3"]
    assert project.lab.jobs() == {"scale": ["CACHED"], "times": ["CACHED"]}


def test_the_far_side_records_an_execution_that_names_the_job_here(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    lab.run(federated_task("scale", 3))
    (here,) = lab.query("SELECT uuid FROM execution")
    (there,) = project.lab.query("SELECT uuid FROM execution WHERE parent_job_id IS NULL")
    assert project.lab.query("SELECT entity, value FROM tag") == [(there, f'"{here[:8]}-1"')]
    shown = "\n".join(log_lines(str(lab.path), f"{here[:8]}-1"))
    assert "task_args = (3,)" in shown
    assert "entrypoint = 'scale'" in shown
    assert f"redun_lite.execution={there}" in shown
    lab.audit()


def test_an_edit_of_the_far_code_is_noticed(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    lab.run(federated_task("scale", 3))
    file = project.folder / "remote_flow.py"
    file.write_text(file.read_text().replace("a * b", "a * b + 1"))
    assert lab.run(federated_task("scale", 3)) == 31
    assert project.log() == ["scale 3"]


def test_equal_calls_in_one_execution_are_one(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    assert lab.run([federated_task("scale", 3), federated_task("scale", 3)]) == [30, 30]
    assert len(project.lab.statuses()) == 1


def test_two_entries_of_one_name_on_the_far_side_are_not_one(tmp_path, project):
    second = Project(tmp_path / "second", "other_flow")
    text = REMOTE.replace("a * b", "-a * b").replace('"LOG"', repr(str(tmp_path / "log")))
    (second.folder / "other_flow.py").write_text(text)
    spawn = {"type": "local", "mode": "process", "start_method": "spawn", "max_workers": "1"}
    entries = {
        "federated_tasks.first": project.entry(executor="first"),
        "federated_tasks.second": second.entry(executor="second"),
    }
    lab = Lab(tmp_path, **{"executors.first": spawn, "executors.second": spawn}, **entries)
    assert lab.run([federated_task("first", 3), federated_task("second", 3)]) == [30, -30]


def test_a_federated_task_runs_on_a_thread_if_its_modules_have_names_of_their_own(tmp_path):
    project = Project(tmp_path / "remote", "remote_flow_for_threads")
    lab = near(tmp_path, process=project.entry("process", executor="default"))
    path = list(sys.path)
    try:
        assert lab.run(federated_task("process")) == os.getpid()
    finally:
        sys.path[:] = path
        sys.modules.pop("remote_flow_for_threads", None)


def test_a_task_without_a_namespace_is_called(tmp_path, project):
    file = project.folder / "remote_flow.py"
    file.write_text(file.read_text().replace('redun_namespace = "remote"', ""))
    lab = near(tmp_path, scale=project.entry(namespace=""))
    assert lab.run(federated_task("scale", 3)) == 30


def test_the_context_reaches_the_far_side(tmp_path, project):
    lab = near(tmp_path, unit=project.entry("unit"))
    assert lab.run(federated_task("unit"), context={"unit": "m"}) == "m"


def test_its_error_comes_as_it_was_raised(tmp_path, project):
    lab = near(tmp_path, fail=project.entry("fail"))
    with pytest.raises(ValueError, match="no such thing"):
        lab.run(federated_task("fail", "no such thing"))
    assert lab.run(catch(federated_task("fail", "no"), ValueError, recover)) == "recovered from no"


def test_an_error_whose_class_is_not_here_comes_in_words(tmp_path, project):
    lab = near(tmp_path, fail=project.entry("fail_oddly"))
    with pytest.raises(ResultError, match="RemoteError: no such thing"):
        lab.run(federated_task("fail", "no such thing"))


def test_a_result_whose_class_is_not_here_is_an_error_that_says_so(tmp_path, project):
    lab = near(tmp_path, odd=project.entry("odd"))
    with pytest.raises(
        ResultError, match=r"federated_task\('odd'\) cannot be loaded: .*remote_flow"
    ):
        lab.run(federated_task("odd"))


# Entries


def test_options_of_the_section_are_those_of_the_job(tmp_path, project):
    options = {"retries": "2", "memory": "4", "image": "a:b", "tags": '{"kind": "far"}'}
    entry = project.entry("options", description="says", task_signature="()", **options)
    lab = near(tmp_path, options=entry)
    assert lab.run(federated_task("options")) == {}
    assert lab.query("SELECT value FROM tag WHERE key = 'kind'") == ['"far"']
    config = Config({"federated_tasks.options": entry})
    assert federation_of(config).tasks["options"].parse().options == {
        "retries": 2,
        "memory": 4,
        "image": "a:b",
        "tags": {"kind": "far"},
    }


def test_a_new_execution_can_be_asked_for(tmp_path, project):
    lab = near(tmp_path, scale=project.entry(new_execution="yes"))
    assert lab.run(federated_task("scale", 3)) == 30


def test_a_relative_config_dir_starts_where_the_configuration_is(tmp_path, project):
    folder = tmp_path / "near"
    write_config(folder, scale=project.entry(config_dir="../remote/.redun_lite"))
    with Scheduler(Config.from_file(folder / "redun_lite.ini")) as scheduler:
        assert scheduler.run(federated_task("scale", 3)) == 30


def write_config(folder, *lines, **entries):
    """Write a configuration with some lines, and sections for some entries."""
    folder.mkdir(exist_ok=True)
    text = [*lines]
    for name, entry in entries.items():
        text += [f"[federated_tasks.{name}]", *(f"{key} = {entry[key]}" for key in entry)]
    (folder / "redun_lite.ini").write_text("\n".join([*text, ""]))
    return folder


def call(folder, *arguments):
    """Call the entry `scale` by the configuration in a folder."""
    with Scheduler(Config.from_file(folder / "redun_lite.ini")) as scheduler:
        return scheduler.run(federated_task("scale", *arguments))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task_name": None}, r"ini:1: \[federated_tasks.scale\]: it has no task_name; a federa"),
        ({"executor": ""}, r"ini:5: \[federated_tasks.scale\] executor: expected a name, got noth"),
        ({"retries": "many"}, r"ini:1: \[federated_tasks.scale\]: option retries takes"),
        ({"retrie": "1"}, r"ini:1: \[federated_tasks.scale\]: unknown option 'retrie'; did you"),
        ({"new_execution": "often"}, r"ini:7: \[federated_tasks.scale\] new_execution: expected"),
    ],
)
def test_a_section_that_is_of_no_use_is_named_with_its_line(tmp_path, project, change, message):
    entry = {key: value for key, value in project.entry(**change).items() if value is not None}
    folder = write_config(tmp_path / "near", scale=entry)
    with pytest.raises(UsageError, match=message) as caught:
        call(folder, 3)
    assert "\n" not in str(caught.value)


def test_a_section_that_is_not_used_may_be_of_no_use(tmp_path, project):
    folder = write_config(tmp_path / "near", broken={"task_name": "x"}, scale=project.entry())
    assert call(folder, 3) == 30


def test_an_entry_that_is_not_there_is_named(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    with pytest.raises(TaskError, match="no federated task 'scales': did you mean scale"):
        lab.run(federated_task("scales", 3))
    with pytest.raises(TaskError, match="no federated task 3"):
        lab.run(federated_task(3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"executor": "nowhere"}, ExecutorError, "unknown executor 'nowhere'"),
        ({"config_dir": "/no/where"}, ConfigError, "config_dir /no/where: there is no /no/where/"),
        (
            {"load_module": "nowhere"},
            ExecutorError,
            "there is no module nowhere to load, neither in /",
        ),
        ({"task_name": "scales"}, TaskError, "federated task entry: module remote_flow of /"),
        ({"task_name": "no_task"}, TaskError, "defines no task 'remote.no_task'"),
        (
            {"namespace": "elsewhere"},
            TaskError,
            "defines no task 'elsewhere.scale': known: remote.",
        ),
    ],
)
def test_what_is_not_on_the_far_side_is_named(tmp_path, project, change, error, message):
    lab = near(tmp_path, entry=project.entry(**change))
    with pytest.raises(error, match=message) as caught:
        lab.run(federated_task("entry", 3))
    assert "\n" not in str(caught.value)


def test_arguments_that_do_not_fit_are_named(tmp_path, project):
    lab = near(tmp_path, scale=project.entry())
    with pytest.raises(UsageError, match=r"remote\.scale\(number, by=10\): too many positional"):
        lab.run(federated_task("scale", 1, 2, 3))


def test_a_module_that_is_another_one_here_is_not_mistaken_for_it(tmp_path):
    project = Project(tmp_path / "remote", "test_federated")
    lab = near(tmp_path, scale=project.entry(executor="default"))
    with pytest.raises(ExecutorError, match=f"in this process, test_federated is {__file__}; cho"):
        lab.run(federated_task("scale", 3))


# Imported configurations


EXECUTOR = ("[executors.theirs]", "type = local", "mode = process")


def imports(*folders):
    return ("[scheduler]", "federated_configs =", *(f"    {folder}" for folder in folders))


def test_executors_and_entries_are_imported_and_nothing_else(tmp_path, project):
    lines = [*EXECUTOR, "[limits]", "desk = 1", "[scheduler]", "cache = false"]
    write_config(tmp_path / "published", *lines, scale=project.entry(executor="theirs"))
    folder = write_config(tmp_path / "near", *imports("../published"))
    assert call(folder, 3) == 30
    with Scheduler(Config.from_file(folder / "redun_lite.ini")) as scheduler:
        assert set(scheduler.executors) == {"default", "process", "theirs"}
        assert scheduler.config.limits == {}
        assert scheduler.config.scheduler.cache is True


def test_several_configurations_are_imported_also_by_those_that_are(tmp_path, project):
    write_config(tmp_path / "one", *EXECUTOR)
    write_config(tmp_path / "two", *imports("../one", "../three"))
    write_config(tmp_path / "three", scale=project.entry(executor="theirs"))
    # The first comes by two ways, which is not having it twice.
    folder = write_config(tmp_path / "near", *imports("../one", "../two"))
    assert call(folder, 3) == 30


def test_names_that_occur_twice_are_told_with_both_places(tmp_path, project):
    write_config(tmp_path / "one", *EXECUTOR, scale=project.entry())
    write_config(tmp_path / "two", *EXECUTOR)
    write_config(tmp_path / "three", scale=project.entry())
    for second, section in (("two", r"executors\.theirs"), ("three", r"federated_tasks\.scale")):
        folder = write_config(tmp_path / "near", *imports("../one", f"../{second}"))
        with pytest.raises(ConfigError, match=rf"{second}/redun_lite.ini:1: \[{section}\]: .*one/"):
            call(folder, 3)


def test_names_that_are_here_already_cannot_be_imported(tmp_path, project):
    write_config(tmp_path / "one", *EXECUTOR)
    folder = write_config(tmp_path / "near", *EXECUTOR, *imports("../one"))
    with pytest.raises(ConfigError, match=r"one/.*:1: \[executors.theirs\]: .*near/redun_lite.ini"):
        call(folder, 3)
    write_config(tmp_path / "one", "[executors.process]", "type = local")
    folder = write_config(tmp_path / "near", *imports("../one"))
    with pytest.raises(ConfigError, match=r"\[executors.process\]: every scheduler has one"):
        call(folder, 3)


def test_a_configuration_that_is_not_there_is_named_with_its_line(tmp_path):
    write_config(tmp_path / "one")
    folder = write_config(tmp_path / "near", *imports("../one", "../nowhere"))
    message = rf"near/redun_lite.ini:4: \[scheduler\] federated_configs: there is no {tmp_path}"
    with pytest.raises(ConfigError, match=f"{message}/nowhere/redun_lite.ini"):
        call(folder, 3)


@pytest.mark.parametrize("circle", [["near"], ["near", "one"], ["near", "one", "two"]])
def test_configurations_that_import_each_other_are_named(tmp_path, circle):
    for name, imported in zip(circle, [*circle[1:], circle[0]]):
        write_config(tmp_path / name, *imports(f"../{imported}"))
    with pytest.raises(ConfigError, match="federated_configs: they import each other: ") as caught:
        call(tmp_path / "near", 3)
    told = str(caught.value).partition("each other: ")[2]
    assert told == " → ".join(str(tmp_path / name) for name in [*circle, circle[0]])
    assert f"{circle[-1]}/redun_lite.ini:3" in str(caught.value)


def test_a_subrun_has_the_imported_executors_too(tmp_path, project):
    write_config(tmp_path / "published", *EXECUTOR)
    write_config(tmp_path / "near", *imports("../published"))
    (tmp_path / "flow.py").write_text(
        "from redun_lite import subrun, task\n"
        "@task(executor='theirs')\n"
        "def there():\n"
        "    return 1\n"
        "@task\n"
        "def main():\n"
        "    return subrun(there(), executor='default')\n"
    )
    done = python("-m", "redun_lite", "-c", "near", "run", "flow.py", "main", folder=tmp_path)
    assert done.stdout == "1\n"


# The REST form: what is sent


class Recorder(HTTPServer):
    """A server that keeps what is posted to it, and answers with a status."""

    def __init__(self, status, location=None):
        self.posted = posted = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                posted.append((dict(self.headers), self.rfile.read(length)))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(b"because")

            do_GET = do_POST

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def test_the_arguments_are_left_in_a_private_file(lab, tmp_path):
    scratch = tmp_path / "scratch"
    url = "http://127.0.0.1:9/"  # Where nobody listens: a dry run sends nothing.
    request = rest_federated_task("config", "entry", url, str(scratch), True, 3, more=[4])
    execution_id, data = lab.run(request)
    path = scratch / "execution" / execution_id / "input"
    assert data == {
        "config_name": "config",
        "entrypoint": "entry",
        "input_path": str(path),
        "execution_id": execution_id,
        "cache": True,
    }
    assert pickle.loads(path.read_bytes()) == ((3,), {"more": [4]})
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert str(uuid.UUID(execution_id)) == execution_id


def test_arguments_may_be_lazy_and_the_result_can_be_unpacked(lab, tmp_path):
    log = str(tmp_path / "log")
    execution_id, data = rest_federated_task(
        "config", "entry", "http://x/", str(tmp_path), True, five(log), cache=False
    )
    same, cache, path = lab.run(
        [execution_id == data["execution_id"], data["cache"], data["input_path"]]
    )
    assert (same, cache) == (True, False)
    assert pickle.loads(Path(path).read_bytes()) == ((5,), {})


def test_each_execution_makes_a_request_of_its_own(lab, tmp_path):
    request = rest_federated_task("config", "entry", "http://x/", str(tmp_path), True)
    assert lab.run(request)[0] != lab.run(request)[0]


def test_the_request_is_posted_with_the_token(lab, tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    with Recorder(202) as server:
        _, data = lab.run(rest_federated_task("config", "entry", server.url, str(tmp_path), False))
    ((headers, body),) = server.posted
    assert json.loads(body) == data
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(lab.query("SELECT data FROM value"))


def test_a_server_that_refuses_is_told_with_its_reason(lab, tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN_ENV, raising=False)
    with Recorder(403) as server:
        request = rest_federated_task("config", "entry", server.url, str(tmp_path), False)
        with pytest.raises(ExecutorError, match="the server answers 403 Forbidden: because"):
            lab.run(request)
    assert "Authorization" not in server.posted[0][0]


def test_a_redirection_is_not_followed(lab, tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    with Recorder(202) as stranger, Recorder(302, stranger.url) as server:
        request = rest_federated_task("config", "entry", server.url, str(tmp_path), False)
        with pytest.raises(ExecutorError, match="the server answers 302"):
            lab.run(request)
    assert stranger.posted == []


def test_a_server_that_is_not_there_is_told(lab, tmp_path):
    with Recorder(202) as server:
        url = server.url
    with pytest.raises(ExecutorError, match=f"POST {url}: the server cannot be reached: .*refused"):
        lab.run(rest_federated_task("config", "entry", url, str(tmp_path), False))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8765", "http://", ""])
def test_a_url_that_is_none_of_a_server_is_named(lab, tmp_path, url):
    with pytest.raises(TaskError, match="url is that of a server"):
        lab.run(rest_federated_task("config", "entry", url, str(tmp_path), False))
    assert not (tmp_path / "execution").exists()


# The REST form: the server


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def published(tmp_path, project):
    """Return the folder of a configuration that publishes a task of the project."""
    return write_config(tmp_path / "published", scale=project.entry(), fail=project.entry("fail"))


@pytest.fixture
def make_server(published, scratch, capsys):
    """Return a function that starts a server for the published configuration."""
    servers = []

    def make(**options):
        server = FederatedServer({"lab": published}, scratch, TOKEN, port=0, **options)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield make
    for server in servers:
        server.wait_for_runs()
        server.shutdown()
        server.server_close()


def submission(scratch, **changed):
    """Return a request whose arguments are in their place, changed as wished."""
    execution_id = changed.get("execution_id", str(uuid.uuid4()))
    folder = scratch / "execution" / execution_id
    if "execution_id" not in changed:
        folder.mkdir(parents=True)
        (folder / "input").write_bytes(pickle.dumps(((3,), {})))
    data = {
        "config_name": "lab",
        "entrypoint": "scale",
        "input_path": str(folder / "input"),
        "execution_id": execution_id,
        "cache": True,
        **changed,
    }
    return {name: value for name, value in data.items() if value is not None}


def post(server, data, path="/", body=None, **headers):
    """Post a request; return the status and the answer."""
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    given.update({name.replace("_", "-"): value for name, value in headers.items()})
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    body = json.dumps(data).encode() if body is None else body
    connection.putrequest("POST", path)
    for name, value in {"Content-Length": str(len(body)), **given}.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    connection.send(body)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def test_the_server_runs_the_task_that_the_request_names(
    lab, make_server, scratch, project, monkeypatch
):
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    server = make_server()
    request = rest_federated_task("lab", "scale", server.url, str(scratch), False, 3, by=7)
    execution_id, data = lab.run(request)
    server.wait_for_runs()
    assert project.lab.query("SELECT uuid, status FROM execution") == [(execution_id, "DONE")]
    assert project.lab.jobs() == {"scale": ["DONE"], "times": ["DONE"]}
    assert project.log() == ["scale 3"]
    output = Path(data["input_path"]).with_name("output")
    assert "\n21\n" in output.read_text()
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_the_server_passes_on_whether_the_cache_is_used(make_server, scratch, project):
    server = make_server()
    for cache in (True, True, False):
        assert post(server, submission(scratch, cache=cache))[0] == 202
        server.wait_for_runs()
    assert project.log() == ["scale 3", "scale 3"]


def test_the_server_keeps_its_token_from_what_it_starts(make_server, scratch, project, monkeypatch):
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    file = project.folder / "remote_flow.py"
    file.write_text(file.read_text() + f"\nprint(os.environ.get({TOKEN_ENV!r}, 'no token'))\n")
    server = make_server()
    data = submission(scratch)
    post(server, data)
    server.wait_for_runs()
    assert Path(data["input_path"]).with_name("output").read_text().startswith("no token\n")


def test_a_run_that_fails_leaves_its_error_where_its_output_is(make_server, scratch, project):
    server = make_server()
    data = submission(scratch, entrypoint="fail")
    assert post(server, data)[0] == 202
    server.wait_for_runs()
    assert "ValueError: 3" in Path(data["input_path"]).with_name("output").read_text()
    assert project.lab.statuses() == ["FAILED"]


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"config_name": "other"}, 404, "there is no configuration of that name"),
        ({"config_name": "../published"}, 404, "there is no configuration of that name"),
        ({"entrypoint": "times"}, 404, "has no federated task of that name"),
        ({"entrypoint": "../scale"}, 404, "has no federated task of that name"),
        ({"input_path": "/etc/passwd"}, 400, "input_path is not where"),
        ({"execution_id": "../../x"}, 400, "execution_id has to be a UUID"),
        ({"execution_id": f"{uuid.uuid4()}\n"}, 400, "execution_id has to be a UUID"),
        ({"execution_id": str(uuid.uuid4())}, 400, "there is no file at input_path"),
        ({"cache": "yes"}, 400, "cache has to be a bool"),
        ({"entrypoint": 3}, 400, "entrypoint has to be a str"),
        ({"entrypoint": None}, 400, "expected an object with config_name"),
        ({"command": "rm"}, 400, "expected an object with config_name"),
    ],
)
def test_a_request_for_anything_else_is_refused(
    make_server, scratch, project, changed, status, reason
):
    answered, told = post(make_server(), submission(scratch, **changed))
    assert answered == status
    assert reason in told["error"]
    assert not project.lab.path.exists()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Authorization": None}, None, 401),
        ({"Authorization": "Bearer another"}, None, 401),
        ({"Authorization": "Bearer t\xf6ken"}, None, 401),
        ({"Content_Type": "application/x-www-form-urlencoded"}, None, 415),
        ({"Content_Length": None}, b"", 411),
        ({"Content_Length": "-1"}, b"", 411),
        ({"Content_Length": "100000"}, b"", 413),
        ({}, b"no JSON", 400),
        ({}, b"[" * 10_000, 400),
        ({}, b"[]", 400),
        ({"path": "/admin"}, None, 404),
    ],
)
def test_a_request_that_is_none_is_refused(make_server, scratch, project, headers, body, status):
    assert post(make_server(), submission(scratch), body=body, **headers)[0] == status
    assert not project.lab.path.exists()


def test_only_post_is_answered(make_server):
    server = make_server()
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().status == 501
    connection.close()


def test_arguments_behind_a_link_are_refused(make_server, scratch, project, tmp_path):
    server = make_server()
    for linked in ("input", "."):
        data = submission(scratch)
        place = Path(data["input_path"]).parent / linked
        target = tmp_path / f"elsewhere{len(linked)}{linked}"
        place.resolve().rename(target)
        Path(data["input_path"]).parent.joinpath(linked).parent.mkdir(exist_ok=True)
        link = Path(data["input_path"]) if linked == "input" else Path(data["input_path"]).parent
        if link.is_dir():
            link.rmdir()
        link.symlink_to(target)
        status, told = post(server, data)
        assert (status, told["error"][:10]) == (400, "input_path")
    assert not project.lab.path.exists()


def test_an_execution_is_started_once(make_server, scratch):
    server = make_server()
    data = submission(scratch)
    assert post(server, data) == (202, {"execution_id": data["execution_id"]})
    status, told = post(server, data)
    assert (status, told) == (409, {"error": "the execution has been started already"})


def test_an_execution_that_could_not_be_started_can_be_asked_for_again(
    make_server, scratch, project
):
    server = make_server(max_runs=1)
    data = submission(scratch)
    away = project.folder.rename(project.folder.with_name("away"))
    assert post(server, data) == (500, {"error": "the execution could not be started"})
    away.rename(project.folder)
    assert post(server, data) == (202, {"execution_id": data["execution_id"]})


def test_no_more_executions_run_than_are_allowed(make_server, scratch, project):
    server = make_server(max_runs=0)
    assert post(server, submission(scratch))[0] == 503


@pytest.mark.parametrize("token", ["", None])
def test_the_server_does_not_start_without_a_token(published, scratch, token):
    with pytest.raises(UsageError, match=f"{TOKEN_ENV} is not set"):
        FederatedServer({"lab": published}, scratch, token or "", port=0)


def test_a_scratch_folder_that_everybody_can_write_to_is_refused(published, scratch):
    scratch.chmod(0o777)
    with pytest.raises(UsageError, match="everybody can write to it"):
        FederatedServer({"lab": published}, scratch, TOKEN, port=0)
    with pytest.raises(UsageError, match="there is no such folder"):
        FederatedServer({"lab": published}, scratch / "none", TOKEN, port=0)


def test_a_configuration_of_no_use_to_the_server_is_named(tmp_path, scratch, project):
    def start(folder):
        FederatedServer({"lab": folder}, scratch, TOKEN, port=0)

    with pytest.raises(UsageError, match=f"lab={tmp_path}/none: there is no {tmp_path}/none/redun"):
        start(tmp_path / "none")
    with pytest.raises(UsageError, match="it has no section"):
        start(write_config(tmp_path / "empty"))
    with pytest.raises(ConfigError, match="it has no namespace, load_module"):
        start(write_config(tmp_path / "broken", scale={"task_name": "scale"}))
    with pytest.raises(ConfigError, match=r"config_dir: there is no /none/redun_lite.ini"):
        start(write_config(tmp_path / "lost", scale=project.entry(config_dir="/none")))


def start_command(tmp_path, *words, **environ):
    return subprocess.Popen(
        [sys.executable, "-m", "redun_lite", "federated-server", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_serves_until_ctrl_c(tmp_path, published, scratch, project, lab, monkeypatch):
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    words = ("--scratch", str(scratch), "--port", "0", f"lab={published}")
    process = start_command(tmp_path, *words)
    first = process.stderr.readline()
    assert first.startswith("listening on http://127.0.0.1:")
    url = first.split()[2].rstrip(";")
    request = rest_federated_task("lab", "scale", url, str(scratch), False, 3)
    execution_id, data = lab.run(request)
    output = Path(data["input_path"]).with_name("output")
    while "\n30\n" not in output.read_text():
        time.sleep(0.001)  # It is another process's child.
    assert project.lab.query("SELECT uuid, status FROM execution") == [(execution_id, "DONE")]
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lab=here"], "the following arguments are required: --scratch"),
        (["--scratch", ".", "lab"], "federated-server: expected NAME=DIR, got lab"),
        (["--scratch", ".", "lab=none"], "lab=none: there is no"),
    ],
)
def test_what_the_command_cannot_use_is_one_line(tmp_path, words, message):
    tmp_path.chmod(0o700)
    process = start_command(tmp_path, *words, **{TOKEN_ENV: TOKEN})
    _, err = process.communicate()
    assert process.returncode == 2
    assert message in err
    assert err.count("\n") == 1
