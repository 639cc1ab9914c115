"""Digests, and the canonical bytes of flat values, which nearly all arguments are.

Atoms (`int`, `str`, `float`, `bytes`, `bool`, `None`, `complex`) and flat containers of them are
written by `marshal` in its version 2: the last without references and interning, its bytes are a
function of the value alone.  (Weighed against it: pickle's `fast` mode and `ascii()`, both slower,
see `docs/design.md`; the latter also stops at integers of 4,300 digits.)  `tests/test_hash.py` pins
the bytes on every Python that is supported.
"""

from __future__ import annotations

import marshal
from hashlib import blake2b
from typing import Any

KEY_SIZE = 20
"""Bytes in a digest."""

NO_KEY = bytes(KEY_SIZE)
"""In place of the key of what has none, or of what does not count."""

ATOMS = frozenset({int, float, str, bytes, bool, type(None), complex})
"""Classes whose values have no parts."""

_MARSHAL_VERSION = 2
_NEGATIVE_NAN = b"\0\0\0\0\0\0\xf8\xff"  # What inf - inf is on x86; on ARM its sign is plus.
_F8 = 0xF8  # To look for one byte is much faster than to look for several.


def digest(data: bytes) -> bytes:
    """Return the 20-byte blake2b digest of `data`."""
    return blake2b(data, digest_size=KEY_SIZE).digest()


def is_flat(value: Any) -> bool:
    """Say whether a value is an atom, or a list, tuple or dict that holds atoms only.

    >>> is_flat({"a": 1}), is_flat([1, [2]]), is_flat({1, 2})
    (True, False, False)
    """
    cls = type(value)
    if cls in ATOMS:
        return True
    if cls is list or cls is tuple:
        return ATOMS.issuperset(map(type, value))
    if cls is dict:
        return ATOMS.issuperset(map(type, value)) and ATOMS.issuperset(map(type, value.values()))
    return False


def flat_bytes(value: Any) -> bytes:
    """Return the canonical bytes of nested lists, tuples and dicts of atoms (and of `...`).

    Raises
    ------
    ValueError
        Some atom has more than 2 GiB.
    """
    data = marshal.dumps(value, _MARSHAL_VERSION)
    return data if _F8 not in data else _with_positive_nan(data, value)


def _with_positive_nan(data: bytes, value: Any) -> bytes:
    """Return the marshalled bytes of a value, made anew if there may be a negative NaN in it."""
    return marshal.dumps(_with_one_nan(value), _MARSHAL_VERSION) if _NEGATIVE_NAN in data else data


def _with_one_nan(value: Any) -> Any:
    cls = type(value)
    if cls is float:
        return value if value == value else float("nan")
    if cls is complex:
        return complex(_with_one_nan(value.real), _with_one_nan(value.imag))
    if cls is list or cls is tuple:
        return cls(map(_with_one_nan, value))
    if cls is dict:
        return {_with_one_nan(k): _with_one_nan(v) for k, v in value.items()}
    return value
