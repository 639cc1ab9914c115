"""federated_task, federated_configs, and the REST form."""

from __future__ import annotations

import json
import pickle
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from .case import BAD_INPUT, Fact, case, ran, show
from .engine import catch, federated_task, identity, rest_federated_task, scheduler_of, task

redun_namespace = "federation"

ENTRY = {
    "executor": "default",
    "config_dir": "remote",
    "load_module": "comparison.federation",
    "namespace": "federation",
    "task_name": "published",
    "new_execution": "True",
}
CONFIG = {"federated_tasks.entry": ENTRY}


def changed(**options):
    """Return the configuration with some options of the entry changed."""
    return {"federated_tasks.entry": {**ENTRY, **options}}


def write_config(folder, text):
    """Make a folder of configuration that both packages find."""
    Path(folder).mkdir()
    for name in ("redun.ini", "redun_lite.ini"):
        Path(folder, name).write_text(text)


def remote():
    """Make the configuration that the far side runs with."""
    write_config("remote", f"[backend]\ndb_uri = sqlite:///{Path.cwd()}/remote.db\n")


def entry(name, **changed):
    """Return the sections of an importable configuration."""
    options = {**ENTRY, "config_dir": f"{Path.cwd()}/remote", **changed}
    lines = [f"{key} = {value}" for key, value in options.items()]
    return "\n".join([f"[federated_tasks.{name}]", *lines, ""])


@task
def published(number, more=1):
    ran("published")
    return inner(number) + more


@task
def inner(number):
    ran("inner")
    return number * 10


@task
def failing():
    raise ValueError


@task
def recover(error):
    return "recovered"


@case("A federated task is called by its entry", config=CONFIG)
def called():
    remote()
    yield federated_task("entry", 3)
    yield federated_task("entry", 3)
    yield federated_task("entry", number=4, more=identity(5))


@case(
    "What the near side records",
    runs=1,
    jobs=True,
    config=CONFIG,
    why="The job has a name of its own.",
)
def called_jobs():
    remote()

    @task(name="called_main")
    def main():
        return federated_task("entry", 3)

    return main()


@case("Its error", runs=1, config=changed(task_name="failing"))
def error():
    remote()
    yield federated_task("entry")
    yield catch(federated_task("entry"), ValueError, recover)


@case("An entry that is not there", runs=1, config=CONFIG, why=BAD_INPUT)
def no_entry():
    return federated_task("other", 3)


@case(
    "An entry without a task name",
    runs=1,
    config={
        "federated_tasks.entry": {key: value for key, value in ENTRY.items() if key != "task_name"}
    },
    why=BAD_INPUT,
)
def no_task_name():
    return federated_task("entry", 3)


@case("A task that is not there", runs=1, config=changed(task_name="x"), why=BAD_INPUT)
def no_task():
    remote()
    return federated_task("entry", 3)


@case("A module that is not there", runs=1, config=changed(load_module="x"), why=BAD_INPUT)
def no_module():
    remote()
    return federated_task("entry", 3)


@case("A folder of configuration that is not there", runs=1, config=CONFIG, why=BAD_INPUT)
def no_config():
    return federated_task("entry", 3)


@case("An executor that is not there", runs=1, config=changed(executor="x"), why=BAD_INPUT)
def no_executor():
    remote()
    return federated_task("entry", 3)


# federated_configs


def imported(*folders, more=""):
    """Set up a scheduler that imports configurations, and call the entry `shared` on it."""
    names = "".join(f"\n  {Path.cwd()}/{folder}" for folder in folders)
    database = f"[backend]\ndb_uri = sqlite:///{Path.cwd()}/own.db\n"
    write_config("own", f"{database}[scheduler]\nfederated_configs = {names}\n{more}")
    return Fact(shared())


def shared():
    """Call the entry `shared` on a scheduler that is set up by the folder `own`."""
    try:
        scheduler = scheduler_of(f"{Path.cwd()}/own")
        return str(scheduler.run(federated_task("shared", 3)))
    except Exception as error:
        return f"raises {type(error).__name__}"


EXECUTOR = "[executors.theirs]\ntype = local\n"


@case("Entries and executors are imported")
def imports():
    remote()
    write_config("theirs", entry("shared", executor="theirs") + EXECUTOR)
    yield imported("theirs")


@case("Of several configurations")
def imports_several():
    remote()
    write_config("one", EXECUTOR)
    write_config("two", entry("shared", executor="theirs"))
    yield imported("one", "two")


@case("An entry twice", why=BAD_INPUT)
def entry_twice():
    remote()
    write_config("one", entry("shared"))
    write_config("two", entry("shared"))
    yield imported("one", "two")


@case("An executor twice", why=BAD_INPUT)
def executor_twice():
    remote()
    write_config("one", entry("shared") + EXECUTOR)
    write_config("two", EXECUTOR)
    yield imported("one", "two")


@case("An executor that is there already", why=BAD_INPUT)
def executor_there():
    remote()
    write_config("theirs", entry("shared", executor="theirs") + EXECUTOR)
    yield imported("theirs", more=EXECUTOR)


@case("A configuration that is not there", why=BAD_INPUT)
def no_import():
    yield imported("not_there")


@case(
    "A relative path to import from",
    why="It is relative to the configuration, so that it holds wherever one stands.",
)
def imports_relative():
    remote()
    Path("own").mkdir()
    write_config("beside", entry("shared"))
    write_config("own/inside", entry("shared"))
    for folder in ("beside", "inside"):
        database = f"[backend]\ndb_uri = sqlite:///{Path.cwd()}/own.db\n"
        for name in ("redun.ini", "redun_lite.ini"):
            text = f"{database}[scheduler]\nfederated_configs = {folder}\n"
            Path("own", name).write_text(text)
        yield Fact(f"{folder}: {shared()}")


@case("Imports of imports", why="Who publishes can put together what others publish.")
def imports_nested():
    remote()
    write_config("inner", entry("shared"))
    write_config("outer", f"[scheduler]\nfederated_configs = {Path.cwd()}/inner\n")
    yield imported("outer")


@case("Imports in a circle", why="Imports are followed, and so a circle is found.")
def imports_circle():
    remote()
    write_config("one", entry("shared") + f"[scheduler]\nfederated_configs = {Path.cwd()}/two\n")
    write_config("two", f"[scheduler]\nfederated_configs = {Path.cwd()}/one\n")
    yield imported("one")


# REST


def told(answer):
    """Tell what rest_federated_task gives, without ids and folders."""
    identity_, data = answer
    parts = {
        key: value for key, value in data.items() if key in ("config_name", "entrypoint", "cache")
    }
    same = data["execution_id"] == identity_
    path = data["input_path"].replace(identity_, "ID").replace(str(Path.cwd()), "")
    with open(data["input_path"], "rb") as stream:
        return f"{sorted(data)}, {parts}, {same}, {path}, {show(tuple(pickle.load(stream)))}"


@task
def tell(answer):
    return told(answer)


@case(
    "A dry run prepares what would be posted",
    runs=1,
    why="Lazy arguments are evaluated before they are packed.",
)
def rest_dryrun():
    scratch = f"{Path.cwd()}/scratch"
    return tell(
        rest_federated_task(
            "config", "entry", "http://nowhere/", scratch, True, 3, more=identity(4)
        )
    )


@case("The cache can be turned off", runs=1)
def rest_uncached():
    scratch = f"{Path.cwd()}/scratch"
    return tell(
        rest_federated_task(
            config_name="config",
            entrypoint="entry",
            url="http://nowhere/",
            scratch_prefix=scratch,
            dryrun=True,
            cache=False,
        )
    )


@case("What is posted", runs=1, why="JSON keeps true and false apart from text.")
def rest_posted():
    with Server(200) as server:
        answer = rest_federated_task("config", "entry", server.url, "scratch", False, 3)
        yield answer[1]["entrypoint"]
    for kind, fields in server.posted:
        shown = {key: fields[key] for key in ("config_name", "entrypoint", "cache")}
        yield Fact(f"{kind}: {sorted(fields)}, {shown}")


@case("A server that refuses", runs=1, why=BAD_INPUT)
def rest_refused():
    with Server(500) as server:
        yield rest_federated_task("config", "entry", server.url, "scratch", False, 3)


class Server:
    """A server that keeps the forms posted to it."""

    def __init__(self, status):
        self.posted = posted = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                kind = self.headers["Content-Type"].partition(";")[0]
                if kind == "application/json":
                    fields = json.loads(body)
                else:
                    fields = dict(urllib.parse.parse_qsl(body))
                posted.append((kind, fields))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
