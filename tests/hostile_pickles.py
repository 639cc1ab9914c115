"""Pickles that do harm when they are loaded, and those that are hard to show.

Nobody's `pickle.dumps` writes most of these, so they are put together from instructions.  Each one
of `STRIKING` calls `strike`, or does what the audit forbids, once `pickle.loads` gets it: the tests
check that, lest they show harmless pickles to be harmless.
"""

from __future__ import annotations

import copyreg
import datetime  # noqa: F401 - for what imports them later would be taken for a value's doing.
import decimal  # noqa: F401
import os
import pickle
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = __name__.encode()
PROTO = b"\x80\x05"
EXTENSION = 0xE7

struck: list[str] = []
"""What has been called."""


def strike(*_: Any) -> str:
    struck.append("strike")
    return "struck"


class Trap:
    """Strikes whatever is done to it."""

    def __new__(cls, *_: Any) -> Trap:
        strike()
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        strike()

    def append(self, item: Any) -> None:
        strike()

    def extend(self, items: Any) -> None:
        strike()

    def add(self, item: Any) -> None:
        strike()

    def __setitem__(self, key: Any, value: Any) -> None:
        strike()

    def __repr__(self) -> str:
        return strike()

    __str__ = __repr__

    def __hash__(self) -> int:
        strike()
        return 1


class Text(str):
    """A text with a `__repr__` of its own."""

    def __new__(cls, *_: Any) -> Text:
        strike()
        return super().__new__(cls)

    def __repr__(self) -> str:
        return strike()


copyreg.add_extension(__name__, "Trap", EXTENSION)


# The audit

_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.find_class",
    "exec",
    "socket.",
    "shutil.",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "ctypes.",
)
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OWN_CODE = (sys.prefix, sys.base_prefix, _ROOT, "<repl>")
_events: list[str] = []
_is_watching = False


class Forbidden(BaseException):
    """Raised in place of doing what must not be done; nobody takes it for a broken value."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _is_watching:
        return
    # A module that is imported when it is needed; or what the user types.
    is_own = event == "exec" and getattr(arguments[0], "co_filename", "").startswith(_OWN_CODE)
    if event.startswith(_FORBIDDEN) and not is_own:
        _events.append(event)
        raise Forbidden(event)
    if event == "import" and arguments[0] in ("antigravity", "this", "hostile_module"):
        _events.append(f"import {arguments[0]}")
        raise Forbidden(arguments[0])


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Forbid what loading a value could do, and note the attempts, also those to call a trap."""
    global _is_watching
    _events.clear()
    struck.clear()
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Of a module that is imported when it is needed.
    _is_watching = True
    try:
        yield _events
    finally:
        _is_watching = False
        sys.dont_write_bytecode = before
        _events.extend(struck)


# Instructions


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return pickle.BINUNICODE + len(data).to_bytes(4, "little") + data


def name(module: str, qualname: str) -> bytes:
    return text(module) + text(qualname) + pickle.STACK_GLOBAL


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"t" + pickle.REDUCE


def new(cls: bytes, *arguments: bytes) -> bytes:
    return cls + b"(" + b"".join(arguments) + b"t" + pickle.NEWOBJ


def own(qualname: str) -> bytes:
    return name(__name__, qualname)


def whole(*parts: bytes) -> bytes:
    return PROTO + b"".join(parts) + pickle.STOP


def package(module: str, qualname: str) -> bytes:
    return name(f"redun_lite.{module}", qualname)


STRIKE = call(own("strike"))
TRAP = new(own("Trap"))
BARE = call(name("copyreg", "_reconstructor"), own("Trap"), name("builtins", "object"), b"N")
"""A trap that was made without a word."""

STRIKING: dict[str, bytes] = {
    "os.system": whole(call(name("os", "system"), text("exit 7"))),
    "posix.system": whole(call(name("posix", "system"), text("exit 7"))),
    "subprocess": whole(call(name("subprocess", "Popen"), text("true"))),
    "eval": whole(call(name("builtins", "eval"), text("__import__('os').system('exit 7')"))),
    "exec": whole(call(name("builtins", "exec"), text("import os; os.system('exit 7')"))),
    "compile and exec": whole(
        call(
            name("builtins", "exec"),
            call(name("builtins", "compile"), text("1"), text("x"), text("exec")),
        )
    ),
    "getattr of a module": whole(
        call(
            call(
                name("builtins", "getattr"),
                call(name("builtins", "__import__"), text("os")),
                text("system"),
            ),
            text("exit 7"),
        )
    ),
    "a dotted name": whole(name("os", "system.__call__"), b"(", text("exit 7"), b"tR"),
    "import": whole(name("hostile_module", "C")),
    "import of antigravity": whole(name("antigravity", "fly")),
    "import in protocol 0": b"chostile_module\nC\n.",
    "reduce": whole(STRIKE),
    "reduce in protocol 0": b"c" + HERE + b"\nstrike\n(tR.",
    "inst": b"(i" + HERE + b"\nstrike\n.",
    "obj": b"(c" + HERE + b"\nstrike\no.",
    "newobj": whole(TRAP),
    "newobj_ex": whole(own("Trap"), b")}\x92"),
    "newobj of text": whole(new(own("Text"), text("fine"))),
    "setstate": whole(BARE, b"}b"),
    "chain of reduces": whole(call(name("builtins", "list"), STRIKE)),
    "reduce in a key": whole(b"}", STRIKE, b"K\x01s"),
    "reduce in a list": whole(b"](", STRIKE, STRIKE, b"e"),
    "append": whole(BARE, b"K\x01a"),
    "appends": whole(BARE, b"(K\x01K\x02e"),
    "additems": whole(BARE, b"(K\x01\x90"),
    "setitem": whole(BARE, b"K\x01K\x02s"),
    "setitems": whole(BARE, b"(K\x01K\x02u"),
    "hash": whole(b"}", BARE, b"K\x01s"),
    "set": whole(b"\x8f(", BARE, b"\x90"),
    "frozenset": whole(b"(", BARE, b"\x91"),
    "extension 1": whole(b"\x82", bytes([EXTENSION]), b")\x81"),
    "extension 2": whole(b"\x83", EXTENSION.to_bytes(2, "little"), b")\x81"),
    "extension 4": whole(b"\x84", EXTENSION.to_bytes(4, "little"), b")\x81"),
    "a file that reduces": whole(new(package("_file", "File")), STRIKE, b"b"),
    "an error that reduces": whole(new(package("_record", "ErrorValue")), STRIKE, b"b"),
    "a member that reduces": whole(
        call(package("_value", "restore_member"), own("Trap"), text("A"), STRIKE)
    ),
    "a quoted call that reduces": whole(
        call(package("_task", "loads_quoted"), call(name("builtins", "bytes"), STRIKE))
    ),
    "a memo that is read again": whole(own("strike"), b"\x94", b"0h\x00)R"),
}
"""Pickles that run something when they are loaded."""


# What is hard to show


def laughs(levels: int, empty: bytes = b"]", fill: bytes = b"e") -> bytes:
    """Return the instructions of a list of ten lists of ten lists …, each of them there once."""
    parts = [empty, b"\x94"]
    for level in range(levels):
        parts += [b"0", empty, b"\x94(", (b"h" + bytes([level])) * 10, fill]
    return b"".join(parts)


def tuple_laughs(levels: int) -> bytes:
    parts = [b")\x94"]
    for level in range(levels):
        parts += [b"0(", (b"h" + bytes([level])) * 10, b"t\x94"]
    return b"".join(parts)


def attributes(cls: bytes, **values: bytes) -> bytes:
    pairs = b"".join(text(key) + value for key, value in values.items())
    return cls + b")\x81}(" + pairs + b"ub"


def long(length: int, code: bytes = b"\x8d") -> bytes:
    return PROTO + code + length.to_bytes(8, "little")


_ERROR = package("_record", "ErrorValue")
_FILE = package("_file", "File")
_ENTRIES = b"}(" + b"".join(text(f"k{i}") + b"N" for i in range(1500)) + b"u"
_STATE = new(name("m", "C")) + _ENTRIES + b"b"
ESCAPES = "\x1b]0;title\x07\x1b[2J\u202e\u2066\r\nredun_lite: error: none \u2028\x85\x00"

HARD: dict[str, bytes] = {
    "nothing": b"",
    "not a pickle": b"not a pickle",
    "only a frame": PROTO + b"\x95" + (1 << 60).to_bytes(8, "little"),
    "cut in the middle": pickle.dumps({"a": [1, 2, {"b": "c" * 50}]}, 5)[:-20],
    "nothing on the stack": whole(),
    "no stop": PROTO + b"K\x01",
    "a mark that is missing": whole(b"K\x01e"),
    "a memo that is missing": whole(b"h\x07"),
    "a greatest memo index": whole(b"K\x01r\xff\xff\xff\xff"),
    "an unknown protocol": b"\x80\xff.",
    "an unknown instruction": whole(b"\xfe"),
    "an instruction of a buffer": whole(b"\x97\x98"),
    "a text that is no text": whole(b"\x8c\x02\xff\xfe"),
    "an int of many digits in protocol 0": b"L" + b"9" * 3_000 + b"L\n.",
    "an int of many bits": whole(b"\x8b", (3_000).to_bytes(4, "little"), b"\x7f" * 3_000),
    "an int of a negative length": whole(b"\x8b\xff\xff\xff\xff"),
    "an int of a missing length": whole(b"\x8b\xff\xff\xff\x7f1"),
    "bytes of a missing length": long(1 << 62, b"\x8e"),
    "a bytearray of a missing length": long(1 << 62, b"\x96"),
    "text of a missing length": long(1 << 62),
    "a persistent id": whole(text("m:C"), b"Q"),
    "a persistent id of laughs": whole(laughs(80), b"Q"),
    "a persistent id in protocol 0": b"Pm:C\n.",
    "a reference to no node": whole(b"K\x07Q"),
    "a graph of nothing": b"E",
    "a graph that is no pair": b"E" + whole(b"]"),
    "a graph in a circle": b"E" + whole(b"](K\x03K\x00Q\x86eK\x00Q\x86"),
    "a graph of a call of laughs": b"E" + whole(b"](K\x00", laughs(80), b")}te", b"K\x00Q\x86"),
    "a graph that doubles": b"E"
    + whole(
        b"](",
        *(
            b"(K\x00" + text("f") + b"(K" + bytes([i + 1]) + b"QK" + bytes([i + 1]) + b"Qt}t"
            for i in range(99)
        ),
        b"eK\x00Q\x86",
    ),
    "lists that laugh": whole(laughs(80)),
    "tuples that laugh": whole(tuple_laughs(80)),
    "a key that laughs": whole(b"}", tuple_laughs(80), b"Ns"),
    "sets that laugh": whole(laughs(80, b"\x8f", b"\x90")),
    "dicts that laugh": whole(laughs(80, b"}", b"u")),
    "text that laughs": whole(text("x" * 2_000), b"\x94](", b"h\x00" * 2_000, b"e"),
    "a list that holds itself": whole(b"]\x94h\x00a"),
    "a dict that holds itself": whole(b"}\x94h\x00h\x00s"),
    "an object that is its own state": whole(new(name("m", "C")), b"\x94h\x00b"),
    "a deep list": whole(b"]" * 3_000, b"a" * 2_999),
    "a deep tuple": whole(b")", b"\x85" * 3_000),
    "a deep key": whole(b"}", b")", b"\x85" * 3_000, b"Ns"),
    "deep dicts": whole(b"}N" * 4_000, b"N", b"s" * 4_000),
    "deep objects": whole(
        name("m", "C"),
        b"\x940",
        b"N",
        *[b"\x940h" + b"\x00)\x81j" + i.to_bytes(4, "little") + b"b" for i in range(1, 900)],
    ),
    "many marks": whole(b"(" * 3_000),
    "many dups": whole(b"](N", b"2" * 3_000, b"e"),
    "many pops": whole(b"0" * 3_000),
    "attributes that many share": whole(_STATE, b"\x94](", b"h\x00" * 900, b"e"),
    "states that many share": whole(
        new(name("m", "C")),
        _ENTRIES,
        b"\x940",
        name("m", "C"),
        b")\x81",
        b"(",
        b"h\x00" * 900,
        b"tb",
    ),
    "an error of laughs": whole(
        attributes(_ERROR, error_type=laughs(80), message=laughs(80), traceback=laughs(80))
    ),
    "an error of nothing": whole(_ERROR, b")\x81"),
    "a file of laughs": whole(attributes(_FILE, path=laughs(80), hash=laughs(80))),
    "a file at a path of escapes": whole(attributes(_FILE, path=text(ESCAPES), hash=text(ESCAPES))),
    "a task of laughs": whole(call(package("_task", "find_task"), laughs(80))),
    "a task of nothing": whole(call(package("_task", "find_task"))),
    "a handle of laughs": whole(
        call(package("_handle", "restore_handle"), name("m", "C"), laughs(80, b"}", b"u"))
    ),
    "a handle whose keys laugh": whole(
        call(package("_handle", "restore_handle"), name("m", "C"), b"}", tuple_laughs(80), b"Ns")
    ),
    "a member of laughs": whole(
        call(package("_value", "restore_member"), name("m", "C"), laughs(80), laughs(80))
    ),
    "flags of laughs": whole(
        call(package("_value", "restore_flag"), name("m", "C"), b"K\x01", tuple_laughs(80))
    ),
    "a quoted value in many places": whole(
        call(
            package("_task", "loads_quoted"),
            b"B" + (3_000).to_bytes(4, "little") + whole(b"]" * 2_997),
        ),
        b"\x94](",
        b"h\x00" * 500,
        b"e",
    ),
    "a quoted value of nothing": whole(call(package("_task", "loads_quoted"))),
    "a date of laughs": whole(call(name("datetime", "date"), laughs(80))),
    "a length of time that is too long": whole(
        call(name("datetime", "timedelta"), b"\x8b" + (400).to_bytes(4, "little") + b"\x7f" * 400)
    ),
    "a decimal of laughs": whole(call(name("decimal", "Decimal"), tuple_laughs(80))),
    "a path of laughs": whole(call(name("pathlib", "PosixPath"), laughs(80))),
    "an array of laughs": whole(
        call(name("numpy.core.numeric", "_frombuffer"), b"N", b"N", laughs(80))
    ),
    "a counter of nothing": whole(call(name("collections", "Counter"), b"K\x01")),
    "text of escapes": whole(text(ESCAPES)),
    "a class of escapes": whole(name(ESCAPES, ESCAPES)),
    "an object of escapes": whole(attributes(name("m", ESCAPES), **{ESCAPES: b"N"})),
    "many elements of an object of escapes": whole(
        new(name("m", f"{ESCAPES}C"), *[text("x" * 50)] * 90)
    ),
    "a key of escapes": whole(b"}", text(ESCAPES), text(ESCAPES), b"s"),
    "a half of a character": whole(text("\ud800")),
    "an error of escapes": whole(
        attributes(
            _ERROR,
            error_type=text(f"m.{ESCAPES}"),
            message=text(ESCAPES),
            traceback=text(ESCAPES),
            stderr=b"C\x05\x1b[2J\n",
            stdout=b"C\x05\x1b[2J\n",
        )
    ),
    "a nan": whole(b"G\x7f\xf8\x00\x00\x00\x00\x00\x00"),
}
"""Pickles that are broken, or take long or much room for who is careless; each is short."""

BIG: dict[str, bytes] = {
    "lists": whole(b"](", b"]" * 50_000, b"e"),
    "dicts": whole(b"](", b"}" * 50_000, b"e"),
    "marks": whole(b"(" * 50_000),
    "a deep tuple": whole(b")", b"\x85" * 50_000),
    "a deep set": whole(b"(" * 25_000, b"\x91" * 25_000),
    "elements of a set": whole(b"\x8f(", b"K\x01" * 120_000, b"\x90"),
    "an int": whole(b"\x8b", (990_000).to_bytes(4, "little"), b"\x7f" * 990_000),
    "calls of a quoted value": whole(
        package("_task", "loads_quoted"),
        b"\x940B" + (99_999).to_bytes(4, "little") + whole(b"]" * 99_996),
        b"\x940](",
        b"h\x00h\x01\x85R" * 20_000,
        b"e",
    ),
    "attributes that many share": whole(
        b"}(",
        b"".join(text(f"k{i}") + b"N" for i in range(9_000)),
        b"u\x940",
        name("m", "C"),
        b"\x940](",
        b"h\x01)\x81h\x00b" * 20_000,
        b"e",
    ),
}
"""Long pickles of very many parts."""

CORPUS: dict[str, bytes] = {
    f"{group}: {name}": data
    for group, entries in (("striking", STRIKING), ("hard", HARD))
    for name, data in entries.items()
}
