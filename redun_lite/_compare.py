"""What differs between two stored values, two sources, a recorded file and the one that is there.

Values are compared as `load_safely` takes them apart.  They may share parts without end, so two
parts that have been compared are not compared again, and who compares has a budget.  What is over
it counts as different as a whole: a difference is then shown that is larger than it need be, never
one that is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ._format_value import format_value
from ._safe_load import FROZENSET, SET, Composite, Global, Member, NodeRef

MOST = 12
"""Differences of two values that are told."""

_BUDGET = 100_000  # Parts that are looked at to compare two values.
_MAX_DEPTH = 40
_MAX_SOURCE_LINES = 2_000
_MAX_CONTENT = 100_000_000  # Bytes of a file that are read to compare its content.
_MAX_ENTRIES = 20_000  # Entries of a directory that are looked at.
_KEY_LENGTH = 40
_FILE_MODULE = "redun_lite._file:"
_UNORDERED = (SET, FROZENSET)
_PLAIN = (str, int, float, bool, bytes, type(None))


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""In a `Difference`, in place of a part that one of the values does not have."""


class Difference(NamedTuple):
    """A part in which two values differ, as `load_safely` returns them.

    Attributes
    ----------
    path
        What to write behind the value to get at the part; "" for the whole.
    before, after
        The part in each of them, `ABSENT` where there is none.
    """

    path: str
    before: Any
    after: Any


# Values


def differences(before: Any, after: Any, most: int = MOST) -> list[Difference]:
    """Return the innermost parts in which two stored values differ.

    Parameters
    ----------
    before, after
        What `load_safely` returned.
    most
        How many to look for; if there are more, one more is returned.

    Examples
    --------
    >>> differences([1, (2, 3)], [1, (2, 4), 5])
    [Difference(path='[1][1]', before=3, after=4), Difference(path='[2]', before=ABSENT, after=5)]
    """
    comparison = _Comparison(most + 1)
    try:
        comparison.compare("", before, after, _MAX_DEPTH)
    except _BudgetSpent:
        return comparison.found or [Difference("", before, after)]
    return comparison.found


class _BudgetSpent(Exception):
    """The values are too large to be compared."""


class _Comparison:
    def __init__(self, most: int) -> None:
        self.found: list[Difference] = []
        self._most = most
        self._left = _BUDGET

    def compare(self, path: str, before: Any, after: Any, depth: int) -> None:
        """Find where two parts at a path differ."""
        if len(self.found) >= self._most or self._are_equal(before, after):
            return
        pairs = self._pairs(before, after) if depth else None
        if pairs is None:
            self.found.append(Difference(path, before, after))
            return
        for label, one, other in pairs:
            if len(self.found) >= self._most:
                return
            if one is ABSENT or other is ABSENT:
                self.found.append(Difference(path + label, one, other))
            else:
                self.compare(path + label, one, other, depth - 1)

    def _are_equal(self, before: Any, after: Any) -> bool:
        waiting = [(before, after)]
        seen: dict[tuple[int, int], Any] = {}  # Keeps what it knows by id.
        while waiting:
            one, other = waiting.pop()
            if one is other:
                continue
            if type(one) is not type(other):
                return False
            pair = (id(one), id(other))
            if pair in seen:
                continue
            seen[pair] = (one, other)
            parts = _parts(one)
            self._left -= 1 + len(parts or ())
            if self._left < 0:
                raise _BudgetSpent
            if parts is None:
                if one != other and one == one:  # Not a nan.
                    return False
            else:
                others = _parts(other) or ()
                if len(parts) != len(others):
                    return False
                waiting.extend(zip(parts, others))
        return True

    def _pairs(self, before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
        """Return the parts of two values that differ, side by side; None if they have none."""
        cls = type(before)
        if cls is not type(after):
            return None
        if cls in (list, tuple):
            return list(self._elements(before, after))
        if cls is not Composite or before.name != after.name or is_external(before):
            return None
        if before.name in _UNORDERED:
            return (
                None
                if _plain_set(before) is None or _plain_set(after) is None
                else _sets(before, after)
            )
        pairs: list[tuple[str, Any, Any]] = []
        pairs += self._elements(before.args, after.args)
        ours, theirs = before.attributes, after.attributes
        if before.state is not None and not (ours and theirs):
            return None
        pairs += [
            (f".{name}", ours.get(name, ABSENT), theirs.get(name, ABSENT))
            for name in {**ours, **theirs}
        ]
        pairs += self._elements(before.elements, after.elements)
        keyed, others = _by_key(before), _by_key(after)
        if keyed is None or others is None:
            return None
        pairs += [
            (
                f"[{format_value(key[1], _KEY_LENGTH)}]",
                keyed.get(key, ABSENT),
                others.get(key, ABSENT),
            )
            for key in {**keyed, **others}
        ]
        return pairs

    def _elements(
        self, before: Sequence[Any], after: Sequence[Any]
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield the elements of two sequences, those left out that both begin and end with."""
        shortest = min(len(before), len(after))
        start = 0
        while start < shortest and self._are_equal(before[start], after[start]):
            start += 1
        end = 0
        while end < shortest - start and self._are_equal(before[-1 - end], after[-1 - end]):
            end += 1
        for index in range(start, max(len(before), len(after)) - end):
            one = before[index] if index < len(before) - end else ABSENT
            other = after[index] if index < len(after) - end else ABSENT
            yield f"[{index}]", one, other


def _parts(value: Any) -> Sequence[Any] | None:
    """Return what a value is made of, None if it is an atom."""
    cls = type(value)
    if cls is list or cls is tuple:
        return value  # type: ignore[no-any-return]
    if cls is Composite:
        plain = _plain_set(value) if value.name in _UNORDERED else None
        if plain is not None:
            return [value.name, *sorted(repr(element) for _, element in plain)]
        entries = [part for entry in value.entries for part in entry]
        return [
            value.name,
            value.args,
            value.state,
            len(value.elements),
            *value.elements,
            *entries,
        ]
    if cls is Global:
        return [value.name]
    if cls is Member:
        return [value.class_name, value.name, value.value]
    if cls is NodeRef:
        return [value.node]
    return None


def _plain_set(value: Composite) -> set[tuple[type, Any]] | None:
    """Return the elements of a set, which has no order, each with its type; None if some are no
    atoms."""
    if not all(type(element) in _PLAIN for element in value.elements):
        return None
    return {(type(element), element) for element in value.elements}


def _sets(before: Composite, after: Composite) -> list[tuple[str, Any, Any]]:
    ours, theirs = _plain_set(before) or set(), _plain_set(after) or set()
    gone = [("{…}", element, ABSENT) for _, element in sorted(ours - theirs, key=repr)]
    return gone + [("{…}", ABSENT, element) for _, element in sorted(theirs - ours, key=repr)]


def _by_key(value: Composite) -> dict[tuple[type, Any], Any] | None:
    """Return the entries of a dict, each under its key's type and its key; None if some keys are
    no atoms."""
    if not all(type(key) in _PLAIN for key, _ in value.entries):
        return None
    return {(type(key), key): part for key, part in value.entries}


# Sources


def source_diff(before: str, after: str) -> list[str]:
    """Return the lines of a unified diff of two sources, without its head.

    >>> print(*source_diff("def f(x):\\n    return 1\\n", "def f(x):\\n    return x\\n"), sep="\\n")
     def f(x):
    -    return 1
    +    return x
    """
    from difflib import unified_diff

    one, other = (text.splitlines()[:_MAX_SOURCE_LINES] for text in (before, after))
    lines = list(unified_diff(one, other, lineterm=""))[2:]
    # Where a part of the source is, is of interest if there are several.
    return lines[1:] if sum(line.startswith("@@") for line in lines) == 1 else lines


# Files

AS_RECORDED = "as recorded"
CHANGED = "changed"
GONE = "gone"
UNKNOWN = "not looked at"


class FileState(NamedTuple):
    """A recorded file, directory or pattern, and what is there at present.

    Attributes
    ----------
    kind
        Its class: `File`, `Dir`, …
    place
        Its path or pattern.
    recorded
        Its recorded hash.
    state
        `AS_RECORDED`, `CHANGED`, `GONE`; or `UNKNOWN`, if it is not on this machine or too large.
    present
        The hash of what is there, if it was looked at.
    """

    kind: str
    place: str
    recorded: str
    state: str
    present: str | None


def is_external(value: Any) -> bool:
    """Say whether a stored value stands for a file, directory or pattern, in some state."""
    return (
        isinstance(value, Composite)
        and value.name.startswith(_FILE_MODULE)
        and bool(value.text("hash"))
    )


def externals_in(value: Any, most: int = 100) -> list[Composite]:
    """Return the files, directories and patterns that a stored value holds."""
    found: list[Composite] = []
    waiting = [value]
    seen: set[int] = set()
    left = _BUDGET
    while waiting and left > 0 and len(found) < most:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if is_external(part):
            found.append(part)
        else:
            parts = _parts(part) or ()
            left -= 1 + len(parts)
            waiting.extend(reversed(parts))
    return found


def kind_and_place(value: Composite) -> tuple[str, str]:
    """Return the class of a recorded file, and its path or pattern."""
    return value.name[len(_FILE_MODULE) :], value.text("path") or value.text("pattern")


def present_state(value: Composite) -> FileState:
    """Look at what a recorded file stands for, if it is on this machine."""
    from . import _file

    kind, place = kind_and_place(value)
    recorded = value.text("hash")
    cls = getattr(_file, kind, None)
    unknown = FileState(kind, place, recorded, UNKNOWN, None)
    if not (isinstance(cls, type) and issubclass(cls, (_file.File, _file.FileSet))):
        return unknown
    try:
        present = _current_hash(cls, place)
    except Exception:  # A path is what somebody has written, and the file system may refuse.
        return unknown
    if present is None:
        return unknown
    if present == recorded:
        return FileState(kind, place, recorded, AS_RECORDED, present)
    state = GONE if _is_gone(cls, place) else CHANGED
    return FileState(kind, place, recorded, state, present)


def stands_for_none(kind: str, place: str, recorded: str) -> bool:
    """Say whether a recorded file was not there when it was recorded, which its hash tells.

    >>> from redun_lite import File
    >>> stands_for_none("File", "/none/such.txt", File("/none/such.txt").hash)
    True
    """
    from . import _file

    cls = getattr(_file, kind, None)
    if not (isinstance(cls, type) and issubclass(cls, _file.File)):
        return False
    try:
        return cls(place)._hash_of(b"") == recorded
    except Exception:  # A path is what somebody has written.
        return False


def _is_gone(cls: Any, place: str) -> bool:
    import os

    from . import _file

    is_pattern = issubclass(cls, _file.FileSet) and not issubclass(cls, _file.Dir)
    return not is_pattern and not os.path.exists(place)


def _current_hash(cls: Any, place: str) -> str | None:
    """Return the hash of what is at a local place, None if to look at it would take long."""
    import os
    import stat

    from . import _file
    from ._fs import get_proto

    if not place or get_proto(place) != "local":
        return None
    if issubclass(cls, _file.ContentFile) and os.path.exists(place):
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_CONTENT:
            return None
    if issubclass(cls, _file.FileSet) and not cls.__name__.startswith("I"):
        is_content = cls.__name__.startswith("Content")
        if is_content or not issubclass(cls, _file.Dir) or not _is_small(place):
            return None
    value = cls(place)
    value.update_hash()
    digest: str = value.hash
    return digest


def _is_small(folder: str) -> bool:
    import os

    entries = 0
    for _, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        if entries > _MAX_ENTRIES:
            return False
    return True
