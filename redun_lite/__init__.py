"""redun_lite: workflows as lazy expressions, cached and recorded, on the standard library alone.

The public names are imported when they are first used, so that `python -m redun_lite --version`
does not pay for the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import VERSION as __version__

version = __version__

if TYPE_CHECKING:
    from ._builtins import Thread as Thread
    from ._builtins import apply_tags as apply_tags
    from ._builtins import catch as catch
    from ._builtins import catch_all as catch_all
    from ._builtins import cond as cond
    from ._builtins import fork_thread as fork_thread
    from ._builtins import join_thread as join_thread
    from ._builtins import no_prov as no_prov
    from ._builtins import seq as seq
    from ._builtins import throw as throw
    from ._builtins import with_export_options as with_export_options
    from ._config import Config as Config
    from ._context import get_context as get_context
    from ._errors import ArgumentError as ArgumentError
    from ._errors import ConfigError as ConfigError
    from ._errors import ContextError as ContextError
    from ._errors import CyclicDependency as CyclicDependency
    from ._errors import DamagedRepository as DamagedRepository
    from ._errors import DryRunResult as DryRunResult
    from ._errors import ExecutionIdTaken as ExecutionIdTaken
    from ._errors import ExecutorError as ExecutorError
    from ._errors import ExpressionError as ExpressionError
    from ._errors import FileSystemError as FileSystemError
    from ._errors import HashError as HashError
    from ._errors import NewerRepository as NewerRepository
    from ._errors import NoCurrentScheduler as NoCurrentScheduler
    from ._errors import NotARepository as NotARepository
    from ._errors import RedunLiteError as RedunLiteError
    from ._errors import RepositoryError as RepositoryError
    from ._errors import RepositoryNotOpened as RepositoryNotOpened
    from ._errors import RepositoryWriteError as RepositoryWriteError
    from ._errors import ResultError as ResultError
    from ._errors import ScriptError as ScriptError
    from ._errors import StoredValueError as StoredValueError
    from ._errors import TaskError as TaskError
    from ._errors import TaskTimeout as TaskTimeout
    from ._errors import UnknownTask as UnknownTask
    from ._errors import UsageError as UsageError
    from ._errors import ValueTooLarge as ValueTooLarge
    from ._errors import WorkerDied as WorkerDied
    from ._executor import AliasExecutor as AliasExecutor
    from ._executor import Executor as Executor
    from ._executor import LocalExecutor as LocalExecutor
    from ._executor import register_executor as register_executor
    from ._expr import Expression as Expression
    from ._expr import SchedulerExpression as SchedulerExpression
    from ._expr import SimpleExpression as SimpleExpression
    from ._expr import TaskExpression as TaskExpression
    from ._expr import ValueExpression as ValueExpression
    from ._expr import lazy as lazy
    from ._federated import federated_task as federated_task
    from ._federated import rest_federated_task as rest_federated_task
    from ._file import ContentDir as ContentDir
    from ._file import ContentFile as ContentFile
    from ._file import ContentFileSet as ContentFileSet
    from ._file import Dir as Dir
    from ._file import File as File
    from ._file import FileSet as FileSet
    from ._file import IDir as IDir
    from ._file import IFile as IFile
    from ._file import IFileSet as IFileSet
    from ._file import Staging as Staging
    from ._file import StagingDir as StagingDir
    from ._file import StagingFile as StagingFile
    from ._file_cache import FileCache as FileCache
    from ._fs import FileSystem as FileSystem
    from ._fs_registry import get_filesystem as get_filesystem
    from ._fs_registry import glob_file as glob_file
    from ._fs_registry import register_filesystem as register_filesystem
    from ._handle import Handle as Handle
    from ._handle import merge_handles as merge_handles
    from ._job import Job as Job
    from ._job import JobInfo as JobInfo
    from ._options import CacheCheckValid as CacheCheckValid
    from ._options import CacheResult as CacheResult
    from ._options import CacheScope as CacheScope
    from ._promise import Promise as Promise
    from ._scheduler import Scheduler as Scheduler
    from ._scheduler import get_current_scheduler as get_current_scheduler
    from ._scheduler import run as run
    from ._scheduler import set_current_scheduler as set_current_scheduler
    from ._script import script as script
    from ._script import shell_quote as shell_quote
    from ._subrun import subrun as subrun
    from ._task import PartialTask as PartialTask
    from ._task import QuotedExpression as QuotedExpression
    from ._task import SchedulerTask as SchedulerTask
    from ._task import Task as Task
    from ._task import TaskRegistry as TaskRegistry
    from ._task import get_current_namespace as get_current_namespace
    from ._task import get_task_registry as get_task_registry
    from ._task import namespace as namespace
    from ._task import quote as quote
    from ._task import scheduler_task as scheduler_task
    from ._task import task as task
    from ._value import ProxyValue as ProxyValue
    from ._value import TypeRegistry as TypeRegistry
    from ._value import Value as Value
    from ._value import get_type_registry as get_type_registry
    from ._wraps import wraps_task as wraps_task
else:  # Of a module that has a `__getattr__`, type checkers believe that it has any name.

    def __getattr__(name: str) -> Any:
        module = _HOME.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f".{module}", __name__), name)
        globals()[name] = found
        return found


_MODULES = {
    "_builtins": (
        "Thread",
        "apply_tags",
        "catch",
        "catch_all",
        "cond",
        "fork_thread",
        "join_thread",
        "no_prov",
        "seq",
        "throw",
        "with_export_options",
    ),
    "_config": ("Config",),
    "_context": ("get_context",),
    "_errors": (
        "ArgumentError",
        "ConfigError",
        "ContextError",
        "CyclicDependency",
        "DamagedRepository",
        "DryRunResult",
        "ExecutionIdTaken",
        "ExecutorError",
        "ExpressionError",
        "FileSystemError",
        "HashError",
        "NewerRepository",
        "NoCurrentScheduler",
        "NotARepository",
        "RedunLiteError",
        "RepositoryError",
        "RepositoryNotOpened",
        "RepositoryWriteError",
        "ResultError",
        "ScriptError",
        "StoredValueError",
        "TaskError",
        "TaskTimeout",
        "UnknownTask",
        "UsageError",
        "ValueTooLarge",
        "WorkerDied",
    ),
    "_executor": ("AliasExecutor", "Executor", "LocalExecutor", "register_executor"),
    "_expr": (
        "Expression",
        "SchedulerExpression",
        "SimpleExpression",
        "TaskExpression",
        "ValueExpression",
        "lazy",
    ),
    "_federated": ("federated_task", "rest_federated_task"),
    "_file": (
        "ContentDir",
        "ContentFile",
        "ContentFileSet",
        "Dir",
        "File",
        "FileSet",
        "IDir",
        "IFile",
        "IFileSet",
        "Staging",
        "StagingDir",
        "StagingFile",
    ),
    "_file_cache": ("FileCache",),
    "_fs": ("FileSystem",),
    "_fs_registry": ("get_filesystem", "glob_file", "register_filesystem"),
    "_handle": ("Handle", "merge_handles"),
    "_job": ("Job", "JobInfo"),
    "_options": ("CacheCheckValid", "CacheResult", "CacheScope"),
    "_promise": ("Promise",),
    "_scheduler": ("Scheduler", "get_current_scheduler", "run", "set_current_scheduler"),
    "_script": ("script", "shell_quote"),
    "_subrun": ("subrun",),
    "_task": (
        "PartialTask",
        "QuotedExpression",
        "SchedulerTask",
        "Task",
        "TaskRegistry",
        "get_current_namespace",
        "get_task_registry",
        "namespace",
        "quote",
        "scheduler_task",
        "task",
    ),
    "_value": ("ProxyValue", "TypeRegistry", "Value", "get_type_registry"),
    "_wraps": ("wraps_task",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
