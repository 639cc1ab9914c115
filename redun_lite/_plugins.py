"""From a name in a configuration or URL to a class.

A name is looked up in two places: the table of what ships with the package, then the entry points
of what is installed beside it (groups `redun_lite.executors`, `redun_lite.filesystems`,
`redun_lite.backends`).  The table comes first for two reasons.  `type = local` must mean the same
on every machine: installing some package must not quietly replace what everyone relies on.  And
finding entry points means to import `importlib.metadata` and to read the metadata of every
distribution on the path, which takes longer than a small workflow; a run that needs nothing from
outside does not pay for it.  Whoever wants an executor of their own under a name of their own
choice has `class = my_module.MyExecutor`.

The table names modules relative to this package, so a copy of it under another name loads its own
classes.  Entry points and paths in a configuration are absolute, as their authors wrote them.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ._errors import UsageError, suggest
from ._names import PACKAGE

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

EXECUTORS = "redun_lite.executors"
FILESYSTEMS = "redun_lite.filesystems"
BACKENDS = "redun_lite.backends"

_BUILT_IN = {
    EXECUTORS: {
        "local": "._executor:LocalExecutor",
        "alias": "._executor:AliasExecutor",
    },
    FILESYSTEMS: {
        "file": "._fs_local:LocalFileSystem",
        "http": "._fs_http:HTTPFileSystem",
        "https": "._fs_http:HTTPFileSystem",
    },
    BACKENDS: {
        "sqlite": "._sqlite:SqliteFile",
        "postgresql": ".contrib.postgres:PostgresServer",
    },
}


def class_at(path: str) -> type[Any]:
    """Return the class at a dotted path, importing its module.

    Parameters
    ----------
    path
        `my_module.MyClass`; or `my_module:Outer.MyClass`, for one inside another.

    Raises
    ------
    UsageError
        The path leads to no class.  What the module itself raises while it is imported comes
        through as it is, with its traceback: it is the user's own code.

    Examples
    --------
    >>> class_at("collections.OrderedDict")
    <class 'collections.OrderedDict'>
    """
    module_name, colon, names = path.partition(":")
    if not colon:
        module_name, _, names = path.rpartition(".")
    if not module_name or not names or module_name.startswith("."):
        raise UsageError(f"expected my_module.MyClass, got {path!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {error.name} for {path}") from None
        raise
    for name in names.split("."):
        if not hasattr(found, name):
            classes = [other for other, value in vars(found).items() if isinstance(value, type)]
            raise UsageError(f"{found.__name__} has no {name}; {suggest(name, classes)}")
        found = getattr(found, name)
    return _checked(found, path)


def known_names(group: str) -> list[str]:
    """Return the names that can be looked up in a group, sorted."""
    return sorted({*_BUILT_IN[group], *(entry_point.name for entry_point in _installed(group))})


def named_class(group: str, what: str, name: str) -> type[Any]:
    """Return the class of a name.

    Parameters
    ----------
    group
        `EXECUTORS`, `FILESYSTEMS` or `BACKENDS`.
    what
        What messages call such a name.

    Raises
    ------
    UsageError
        The name is unknown, or its class cannot be loaded.

    Examples
    --------
    >>> named_class(FILESYSTEMS, "URL scheme", "https").__name__
    'HTTPFileSystem'
    """
    built_in = _BUILT_IN[group].get(name)
    if built_in is not None:
        module_name, _, class_name = built_in.partition(":")
        try:
            module = importlib.import_module(module_name, PACKAGE)
        except ImportError as error:
            extra, reason = module_name.rpartition(".")[2], str(error).splitlines()[0]
            raise UsageError(
                f"{what} {name!r} needs a package that is not installed ({reason}): "
                f"pip install 'redun-lite[{extra}]'"
            ) from None
        return _checked(getattr(module, class_name), built_in)

    # One distribution may be found twice, say in a checkout and in site-packages.
    offers = {offer.value: offer for offer in _installed(group) if offer.name == name}
    if not offers:
        advice = suggest(name, known_names(group))
        if group == EXECUTORS and "." in name:
            advice = f"for a class of your own write class = {name}"
        raise UsageError(f"unknown {what} {name!r}; {advice}")
    if len(offers) > 1:
        raise UsageError(
            f"{what} {name!r} is offered by several packages, {' and '.join(sorted(offers))}; "
            "uninstall all but one"
        )
    [(path, offer)] = offers.items()
    try:
        found = offer.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{what} {name!r} ({path}) cannot be loaded: {error}") from error
    return _checked(found, path)


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Return what installed packages offer in a group."""
    from importlib.metadata import entry_points  # Slow, see above.

    if sys.version_info >= (3, 10):
        return tuple(entry_points(group=group))
    return tuple(entry_points().get(group, ()))


def _checked(found: Any, path: str) -> type[Any]:
    if not isinstance(found, type):
        raise UsageError(f"expected a class at {path}, got {type(found).__name__}")
    return found
