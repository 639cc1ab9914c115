"""What classes and functions are called, the same in any copy of this package.

Keys and pickles hold names.  A copy of the package under another name (`myapp._vendor.redun_lite`)
must make the same keys and read what an installed one wrote, so what is of the package is named as
if it were imported as `redun_lite`, and found again in the copy at hand.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

PACKAGE = __name__.rpartition(".")[0]
"""The name that this copy was imported under."""

CANONICAL_PACKAGE = "redun_lite"

IS_COPY = PACKAGE != CANONICAL_PACKAGE
"""Whether the package was imported under a name that is not its own."""


def global_name(obj: Any) -> str:
    """Return `module:qualname` of a class or function, the same for any copy of this package.

    >>> global_name(global_name)
    'redun_lite._names:global_name'
    """
    return f"{module_name(obj)}:{obj.__qualname__}"


def module_name(obj: Any) -> str:
    """Return the name of the module of a class or function, the same for any copy of it."""
    module = getattr(obj, "__module__", None) or "builtins"
    if module == PACKAGE or module.startswith(PACKAGE + "."):
        module = CANONICAL_PACKAGE + module[len(PACKAGE) :]
    return str(module)


def package_id(obj: Any) -> str | None:
    """Return the `global_name` of a class or function of this package, None for all others."""
    if isinstance(obj, (type, FunctionType)):
        module = obj.__module__ or ""
        if module.startswith(PACKAGE) and module[len(PACKAGE) :][:1] in ("", "."):
            return global_name(obj)
    return None


def find_package_global(name: str) -> Any:
    """Return the class or function of this package that `global_name` names."""
    module, _, qualname = name.partition(":")
    if module.partition(".")[0] != CANONICAL_PACKAGE:
        import pickle  # Not for the command line, which only wants to know its own name.

        raise pickle.UnpicklingError(f"{name!r} is not part of {CANONICAL_PACKAGE}")
    module = PACKAGE + module[len(CANONICAL_PACKAGE) :]
    __import__(module)
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part)
    return found
