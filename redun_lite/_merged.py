"""Dicts inside dicts, put over each other: how contexts combine.

A room of its own, since the configuration needs it and must not import more than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two dicts as one, with those inside; where both have a value, that of `over`.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    both = dict(base)
    for name, value in over.items():
        below = both.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        both[name] = value
    return both
