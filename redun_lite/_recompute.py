"""Keys of what is stored, recomputed without loading it.

The key of a value is a digest over the value, not over its stored bytes.  To load it would run
whatever it says; so only plain data is put together again, from what `_safe_load` makes of it.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from ._digest import ATOMS, NO_KEY, digest
from ._hash import key_of
from ._safe_load import DICT, FROZENSET, SET, Composite, load_if_plain, load_safely

_MOST_HASHED = 5_000  # Elements of a set or dict from a stranger: their hashes may collide.
_MOST_DEPTH = 200
_MOST_ARGUMENTS = 12  # Of a call whose config_args are looked for.


class NotPlain(Exception):
    """A value holds something that only its own class can put together."""


def key_of_plain(data: bytes) -> bytes:
    """Return the key of a stored value that is plain data: of Python's own types all through.

    Raises
    ------
    NotPlain
        It is not, or that cannot be told.
    Exception
        Of any class: the data is broken, or no pickle.

    Examples
    --------
    >>> import pickle
    >>> key_of_plain(pickle.dumps([1, 2])) == key_of([1, 2])
    True
    """
    plain = load_if_plain(data)
    if plain is not NotImplemented:
        return key_of(plain)
    if b"collections" in data:  # What is in there is taken for a list or a dict, which it is like.
        raise NotPlain
    return key_of(_rebuilt(load_safely(data), {}, 0))


def is_key_of_call(key: bytes, task: bytes, keys: list[bytes]) -> bool:
    """Say whether a call has its key, whichever of its arguments are `config_args`."""
    if digest(task + b"".join(keys)) == key:
        return True
    if len(keys) > _MOST_ARGUMENTS:
        return True  # Too many ways to try.
    choices = product(*((argument, NO_KEY) for argument in keys))
    return any(digest(task + b"".join(chosen)) == key for chosen in choices)


def _rebuilt(value: Any, known: dict[int, Any], depth: int) -> Any:
    """Return what `load_safely` made as what it was, if that is plain data."""
    cls = type(value)
    if cls in ATOMS:
        return value
    if id(value) in known:
        found = known[id(value)]
        if found is _OPEN:
            raise NotPlain
        return found
    if depth > _MOST_DEPTH:
        raise NotPlain
    known[id(value)] = _OPEN
    made: Any
    if cls is list or cls is tuple:
        made = cls([_rebuilt(part, known, depth + 1) for part in value])
    elif cls is Composite and value.state is None and not value.args:
        made = _collection(value, known, depth)
    else:
        raise NotPlain
    known[id(value)] = made
    return made


_OPEN = object()


def _hashable(value: Any) -> Any:
    """Return a value that is about to be hashed, if that does not take long.

    A tuple has its parts hashed each time, and tuples that share parts, ten of ten of ten, have
    more of them than can ever be hashed.
    """
    left = _MOST_HASHED
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (tuple, frozenset)):
            left -= 1 + len(part)
            if left < 0:
                raise NotPlain
            waiting.extend(part)
    return value


def _collection(value: Composite, known: dict[int, Any], depth: int) -> Any:
    def part(item: Any) -> Any:
        return _rebuilt(item, known, depth + 1)

    if max(len(value.entries), len(value.elements)) > _MOST_HASHED:
        raise NotPlain
    try:
        if value.name == DICT:
            return {_hashable(part(key)): part(item) for key, item in value.entries}
        if value.name == SET:
            return {_hashable(part(item)) for item in value.elements}
        if value.name == FROZENSET:
            return frozenset(_hashable(part(item)) for item in value.elements)
    except TypeError:  # What cannot be hashed was never in one.
        pass
    raise NotPlain
