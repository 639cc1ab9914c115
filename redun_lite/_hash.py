"""Keys: the digest of a value's canonical bytes.

The key of a value decides whether past work can be reused, so it must be the same in every
process, on every machine and on every Python: independent of `PYTHONHASHSEED`, of which equal
objects happen to be the same object, and of the order of a set.  Pickle gives none of that.  So
keys have an encoding of their own.  Flat values are written by `marshal` (see `_digest`).
Everything else is a Merkle tree: what an encoder says of the value (see `_encoders`), with the
20-byte keys of its parts.  A part that occurs twice is encoded once.  A class may say what
identifies its instances: see `register_encoder`.

A value that leads back to itself has no such tree.  Its key is found by partition refinement
(Kanellakis and Smolka 1990, https://doi.org/10.1016/0890-5401(90)90025-D): every part starts out
alike and is told from others by the present keys of its own parts, round after round, until a
round tells no more of them apart.  (Weighed against it: numbering the parts as they are met, which
depends on the order of sets, and following every path, which takes exponential time.)
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from ._digest import KEY_SIZE, digest, flat_bytes, is_flat
from ._encoders import EXACT, Encoder, choose_by_kind, in_place_of_source
from ._errors import HashError
from ._source import find_source, unwrapped


def key_of(value: Any) -> bytes:
    """Return the key of a value: the digest of its canonical bytes.

    Parameters
    ----------
    value
        Any value that pickle could store; also functions and classes.

    Raises
    ------
    HashError
        The value holds something without a stable identity (a lock, a generator, …).  The
        message names the path to it inside the value.

    Examples
    --------
    >>> key_of({"b", "a"}) == key_of({"a", "b"})
    True
    >>> key_of([1, 2]).hex()
    'ae6cd305d53888e49057bd8e7a8dd177f3b1d179'
    """
    if is_flat(value):
        try:
            return blake2b(flat_bytes(value), digest_size=KEY_SIZE).digest()
        except ValueError:  # An atom of more than 2 GiB.
            pass
    return blake2b(canonical_object(value), digest_size=KEY_SIZE).digest()


def key_with_sources(values: list[Any]) -> bytes:
    """Return the key of values that some code depends on: as `key_of`, but with classes' sources.

    A class as an argument is what its name finds, and so is stored; here it is its text.
    """
    return key_of(values) if is_flat(values) else digest(canonical_object(values, None, True))


def canonical_object(
    value: Any, encoder: Encoder | None = None, with_sources: bool = False
) -> bytes:
    """Return the canonical bytes of a value that is not flat, as `encoder` makes them."""
    parts = Canonicalizer(with_sources)
    try:
        data = parts.encode(value, encoder)
        return parts.refine(value, encoder) if parts.is_cyclic else data
    except RecursionError:
        raise HashError(
            f"cannot make a key of {type(value).__name__}: it is nested too deeply; "
            "store deep structures flat, or give their class a get_hash()"
        ) from None


def register_encoder(cls: type | str, encoder: Encoder) -> None:
    """Say what identifies the instances of a class and of its subclasses.

    Parameters
    ----------
    cls
        The class, or its `module.qualname` where it should not be imported yet.  Atoms, and lists,
        tuples and dicts themselves, are encoded in one way only.
    encoder
        Called with what gives keys of parts and the instance; returns its canonical bytes.  These
        must start with ``b"@"`` and a name that no other encoder uses.
    """
    _registered[cls] = encoder
    _chosen.clear()
    _chosen.update(EXACT)


def source_of(obj: Any, unwrap: bool = True) -> str:
    """Return the source of a function or class, as `find_source` does.

    Of a function that has none (typed at a prompt, compiled elsewhere) the byte code stands for it,
    which differs from one Python version to another.

    Raises
    ------
    HashError
        It has neither: it is not written in Python, or a class that was typed at a prompt.
    """
    text = find_source(obj, unwrap)
    if text is not None:
        return text
    code = getattr(unwrapped(obj) if unwrap else obj, "__code__", None)
    if code is None:
        raise HashError(f"{obj!r} has no source")
    return in_place_of_source(key_of(code))


class Canonicalizer:
    """Encodes one value; remembers the parts it has seen while it does."""

    __slots__ = ("_cyclic_keys", "_is_cyclic", "_keys", "_open", "_seen", "with_sources")

    def __init__(self, with_sources: bool = False) -> None:
        self.with_sources = with_sources  # Whether the source of a class counts.
        self._keys: dict[int, bytes] = {}
        self._seen: list[Any] = []  # Keeps temporaries alive, so that no id is used twice.
        self._open: set[int] = set()  # Ids of the objects being encoded.
        self._cyclic_keys: dict[int, bytes] = {}  # Of parts that lead to a cycle: for one round.
        self._is_cyclic = False  # Whether what has just been encoded leads to a cycle.

    @property
    def is_cyclic(self) -> bool:
        """Whether the value leads back to itself, or to a part that does."""
        return self._is_cyclic

    def key(self, value: Any) -> bytes:
        """Return the key of a part."""
        if is_flat(value):
            try:
                data = flat_bytes(value)
            except ValueError:
                data = self.encode(value)
            return blake2b(data, digest_size=KEY_SIZE).digest()
        identity = id(value)
        key = self._keys.get(identity)
        if key is not None:
            return key
        key = self._cyclic_keys.get(identity)
        if key is not None:
            self._is_cyclic = True
            return key
        around, self._is_cyclic = self._is_cyclic, False
        key = blake2b(self.encode(value), digest_size=KEY_SIZE).digest()
        self._seen.append(value)
        if self._is_cyclic:
            self._cyclic_keys[identity] = key
        else:
            self._keys[identity] = key
            self._is_cyclic = around
        return key

    def key_if_any(self, value: Any) -> bytes | None:
        """Return the key of a part, or None if it has none."""
        around = self._is_cyclic
        try:
            return self.key(value)
        except HashError:
            self._is_cyclic = around
            return None

    def keys(self, values: Any, where: str = "[{}]") -> bytes:
        """Return the keys of several parts, joined; errors say which part, as `where` puts it."""
        name: Any = None
        parts = []
        try:
            for name, value in enumerate(values):  # noqa: B007
                parts.append(self.key(value))
        except HashError as error:
            raise error.within(where.format(name)) from error.__cause__
        return b"".join(parts)

    def items(self, mapping: Any, where: str = "[{!r}]") -> bytes:
        """Return the keys of the names and values of a mapping, in its order."""
        name: Any = None
        parts = []
        try:
            for name, value in mapping.items():
                parts.append(self.key(name))
                parts.append(self.key(value))
        except HashError as error:
            raise error.within(where.format(name)) from error.__cause__
        return b"".join(parts)

    def encode(self, value: Any, encoder: Encoder | None = None) -> bytes:
        """Return the canonical bytes of a value that is not flat."""
        identity = id(value)
        if identity in self._open:
            self._is_cyclic = True
            return b"@cycle"
        self._open.add(identity)
        cls = type(value)
        try:
            if encoder is None:
                encoder = _chosen.get(cls)
                if encoder is None:
                    encoder = _chosen[cls] = _choose_encoder(cls)
            return encoder(self, value)
        except (HashError, RecursionError):
            raise
        except Exception as error:
            reason = f"cannot make a key of {cls.__name__}: {type(error).__name__}: {error}"
            raise HashError(reason) from error
        finally:
            self._open.remove(identity)

    def refine(self, value: Any, encoder: Encoder | None) -> bytes:
        """Return the canonical bytes of a value that leads to a cycle, once it was encoded."""
        parts = {id(part): part for part in self._seen if id(part) in self._cyclic_keys}
        parts[id(value)] = value
        old = dict.fromkeys(parts, b"")
        while True:
            # The parts in the table are found there; only temporary ones are encoded in place.
            self._cyclic_keys = dict(old)
            new = {
                identity: digest(
                    old[identity] + self.encode(part, encoder if part is value else None)
                )
                for identity, part in parts.items()
            }
            if len(set(new.values())) == len(set(old.values())):
                # What each key became says how the parts belong together, and not only how far
                # the parts around this one look alike.
                steps = {old[identity] + new[identity] for identity in parts}
                return b"@cyclic" + new[id(value)] + b"".join(sorted(steps))
            old = new


def _choose_encoder(cls: type) -> Encoder:
    """Decide how the instances of a class are encoded; asked once for each class."""
    for base in cls.__mro__:
        encoder = _registered.get(base) or _registered.get(f"{base.__module__}.{base.__qualname__}")
        if encoder is not None:
            return encoder
    return choose_by_kind(cls)


_chosen: dict[type, Encoder] = dict(EXACT)
_registered: dict[type | str, Encoder] = {}
