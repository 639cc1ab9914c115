"""Federated tasks: tasks of another project, called by the name of an entry in the configuration.

The project's code need not be here.  The entry (`[federated_tasks.NAME]`, see `_federation.py`)
says what the task is called there, which module defines it, and which executor has that module.  A
job on that executor imports it and evaluates the call with a scheduler of its own, by the project's
own configuration: a subrun whose expression is known by name only.

Since the code is not seen from here, a result cannot be checked against it either.  So the call is
made in each execution, and it is the far side that finds its results cached.

`rest_federated_task` goes further: it only leaves the arguments in a file and asks a server to run
the task, and does not wait.  `_client/federated_server.py` is such a server.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from ._errors import ExecutorError, TaskError, shorten, suggest
from ._expr import SchedulerExpression, TaskExpression
from ._file import File
from ._options import CacheScope, TaskOptions, check_option_names
from ._subrun import Inherited, SubrunSettings, evaluate_here
from ._task import Task, get_task_registry, scheduler_task, task
from ._value import dumps

if TYPE_CHECKING:
    from ._federation import FederatedTask, FederatedTaskConfig
    from ._job import Job
    from ._promise import Promise
    from ._scheduler import Scheduler

TOKEN_ENV = "REDUN_LITE_FEDERATED_TOKEN"
"""The environment variable with the token that a server asks for."""

_TIMEOUT = 60.0  # Seconds that a server may take to answer.
_MAX_ANSWER = 500  # Characters of a server's answer that an error shows.


@scheduler_task(namespace="redun_lite", version="1")
def federated_task(
    scheduler: Scheduler,
    parent_job: Job | None,
    sexpr: SchedulerExpression[Any],
    /,
    entrypoint: str,
    *task_args: Any,
    **task_kwargs: Any,
) -> Any:
    """Call a task of another project, whose code need not be here.

    Its arguments are evaluated here, all else there.  It is called anew in each execution, and
    finds what it did before in its own repository.

    Parameters
    ----------
    entrypoint
        Which section `[federated_tasks.NAME]` of the configuration, or of one that
        `federated_configs` imports, says where the task is.
    task_args, task_kwargs
        Arguments of the task.

    Raises
    ------
    TaskError
        There is no such section.
    ConfigError
        The section lacks something.
    ExecutorError
        The module of the task cannot be imported there.
    BaseException
        What the task raises.
    """

    def start(name: Any) -> Promise[Any]:
        known = scheduler.federated_tasks
        if not isinstance(name, str) or name not in known:
            raise TaskError(
                f"there is no federated task {shorten(name)}: {suggest(str(name), known)}; the "
                "section [federated_tasks.NAME] of a configuration defines one"
            )
        return scheduler.evaluate(call(known[name]), parent_job)

    def call(entry: FederatedTaskConfig) -> TaskExpression[Any]:
        published = entry.parse()
        options = _options(entry, published)
        settings = SubrunSettings(
            task_name=published.fullname,
            config_dir=str(published.config_dir),
            load_modules=(published.load_module,),
            new_execution=options.pop("new_execution", False),
        )
        project = str(published.config_dir.parent)
        settings.inherited = Inherited({}, None, (), project)
        options = {**options, **sexpr._options, "executor": published.executor}
        options["cache_scope"] = CacheScope.CSE
        arguments = (entry.name, task_args, task_kwargs, settings)
        name = federated_root_task.fullname
        return TaskExpression(name, arguments, {}, options, sexpr._exported)

    return scheduler.evaluate(entrypoint, parent_job).then(start)


def _options(entry: FederatedTaskConfig, published: FederatedTask) -> dict[str, Any]:
    """Return the options of a section that are no names, checked."""
    where = f"{entry.where}: [federated_tasks.{entry.name}]"
    options = {name: value for name, value in published.options.items() if name != "new_execution"}
    check_option_names(options, where)
    TaskOptions(options, where)
    return dict(published.options)


@task(namespace="redun_lite", version="1")
def federated_root_task(
    entrypoint: str,
    task_args: tuple[Any, ...],
    task_kwargs: dict[str, Any],
    settings: SubrunSettings,
) -> Any:
    def make_call() -> Any:
        return _imported_task(entrypoint, settings)(*task_args, **task_kwargs)

    return evaluate_here(make_call, settings)


federated_root_task.evaluates_within = True


def _imported_task(entrypoint: str, settings: SubrunSettings) -> Task[Any, Any]:
    """Return the task that an entry means, once its module is imported."""
    name = settings.task_name
    registry = get_task_registry()
    found = registry.get(name)
    if found is None:
        (module,) = settings.load_modules
        known = [other.fullname for other in registry if other.load_module == module]
        assert settings.inherited is not None
        raise TaskError(
            f"federated task {entrypoint}: module {module} of {settings.inherited.project} defines "
            f"no task {name!r}: {suggest(name, known)}"
        )
    return found


# By a server


@task(namespace="redun_lite", version="1", cache=False, nout=2)
def rest_federated_task(
    config_name: str,
    entrypoint: str,
    url: str,
    scratch_prefix: str,
    dryrun: bool,
    *task_args: Any,
    cache: bool = True,
    **task_kwargs: Any,
) -> tuple[str, dict[str, Any]]:
    """Ask a server to run a task of another project, and do not wait for it.

    The arguments are left in a file where the server reads them, and the request says where.  If
    the environment has `REDUN_LITE_FEDERATED_TOKEN`, that is sent along.

    Parameters
    ----------
    config_name
        What the server calls the configuration that publishes the task.
    entrypoint
        Name of the task in that configuration.
    url
        Where to POST the request.
    scratch_prefix
        The folder that the server takes arguments from.
    dryrun
        Whether to prepare the request and not send it.
    task_args, task_kwargs
        Arguments of the task.
    cache
        Whether results of earlier executions may be reused there.

    Returns
    -------
    tuple
        UUID of the execution that the server was asked to start, and the request as a dict.

    Raises
    ------
    ExecutorError
        The server cannot be reached, or refuses.

    Examples
    --------
    >>> import tempfile
    >>> from redun_lite import rest_federated_task, run
    >>> request = rest_federated_task(
    ...     "genomics", "align", "http://localhost:8765/", tempfile.mkdtemp(), True, "reads.fq"
    ... )
    >>> execution_id, data = run(request)
    >>> data["entrypoint"], data["execution_id"] == execution_id
    ('align', True)
    """
    _check_url(url)
    execution_id = str(uuid.uuid4())
    path = input_path(scratch_prefix, execution_id)
    _write_private(path, dumps((task_args, task_kwargs)))
    data = {
        "config_name": config_name,
        "entrypoint": entrypoint,
        "input_path": path,
        "execution_id": execution_id,
        "cache": cache,
    }
    if not dryrun:
        _post(url, data)
    return execution_id, data


def input_path(scratch_prefix: str, execution_id: str) -> str:
    """Return where the arguments for an execution are left.

    >>> input_path("/scratch/", "5c1f9a3e-12d4-4b8e-9f00-000000000000")
    '/scratch/execution/5c1f9a3e-12d4-4b8e-9f00-000000000000/input'
    """
    prefix = str(scratch_prefix)
    prefix = prefix.rstrip("/") if "://" in prefix else os.path.abspath(prefix)
    return f"{prefix}/execution/{execution_id}/input"


def _check_url(url: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TaskError(f"rest_federated_task: url is that of a server, http://…, not {url!r}")


def _write_private(path: str, data: bytes) -> None:
    """Write a file; on this machine, in a folder that only its owner can look into."""
    if "://" not in path:
        os.makedirs(os.path.dirname(os.path.dirname(path)), exist_ok=True)
        os.mkdir(os.path.dirname(path), mode=0o700)
    File(path).write(data, mode="wb")


def _post(url: str, data: dict[str, Any]) -> None:
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """Lets nobody else have the token."""

        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None

    headers = {"Content-Type": "application/json"}
    token = os.environ.get(TOKEN_ENV)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = Request(url, json.dumps(data).encode(), headers, method="POST")
    try:
        build_opener(NoRedirect).open(request, timeout=_TIMEOUT).close()
    except HTTPError as error:
        with error:
            told = error.read(_MAX_ANSWER).decode("utf-8", "replace")
        raise ExecutorError(
            f"POST {url}: the server answers {error.code} {error.reason}: {told.strip()}"
        ) from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise ExecutorError(f"POST {url}: the server cannot be reached: {reason}") from None
