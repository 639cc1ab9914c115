"""A wide corpus of values, made anew by every interpreter that is to give them the same keys.

`tests/test_hash.py` pins the keys.  It also runs this module on other Pythons and under other hash
seeds, so it needs nothing but the standard library and redun_lite, and prints what it computes:

    python -c 'import key_corpus; key_corpus.main()'
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import ipaddress
import json
import math
import operator
import os
import pathlib
import re
import sys
import types
import uuid
from typing import Any, ClassVar, Generic, NamedTuple, Optional, TypeVar

from redun_lite import Value
from redun_lite._expr import SimpleExpression, TaskExpression, ValueExpression, key_of_expr

T = TypeVar("T")

UNSTORED = frozenset(
    {
        "class local",
        "function local",
        "function that is wrapped",
        "function that wraps another otherwise",
        "lambda",
        "lambda over lines",
        "module",
    }
)
"""What has a key, but cannot be pickled."""


class Point(NamedTuple):
    x: Any
    y: Any


Pair = collections.namedtuple("Pair", "left right")


class Labelled(Pair):
    """A namedtuple with attributes."""


@dataclasses.dataclass
class Plain:
    a: Any
    b: Any = 2
    kind: ClassVar[str] = "plain"


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: Any
    b: Any = ()


@dataclasses.dataclass
class Slotted:
    __slots__ = ("a", "b")
    a: Any
    b: Any


@dataclasses.dataclass
class Counted:
    """Has a field that is not an argument, one that may be missing and one that is never kept."""

    a: int
    start: dataclasses.InitVar[int]
    total: int = dataclasses.field(init=False)
    late: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self, start: int) -> None:
        self.total = self.a + start


if sys.version_info >= (3, 10):

    @dataclasses.dataclass(slots=True)
    class AutoSlotted:
        a: Any
        b: Any = 2

    @dataclasses.dataclass(frozen=True, slots=True)
    class FrozenSlotted:
        a: Any
        b: Any = 2


class Color(enum.Enum):
    RED = 1
    GREEN = "green"
    ALSO_RED = 1  # noqa: PIE796


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(str, enum.Enum):
    FAST = "fast"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Bits(enum.IntFlag):
    A = 1
    B = 2


class Attributes:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Slots:
    __slots__ = ("__weakref__", "_private", "late", "one")

    def __init__(self, one: Any) -> None:
        self.one = one
        self._private = 2


class SlotsAndDict(Slots):
    pass


class Mangled:
    __slots__ = ("__own",)

    def __init__(self, own: Any) -> None:
        self.__own = own


class Stateful:
    def __init__(self, kept: Any) -> None:
        self.kept = kept
        self.cache = object()

    def __getstate__(self) -> Any:
        return {"kept": self.kept}


class Reduced:
    def __init__(self, made_from: Any) -> None:
        self.made_from = made_from
        self.handle = object()

    def __reduce__(self) -> Any:
        return (Reduced, (self.made_from,))


class Rebuilt:
    """Is rebuilt by a function, whose source is not part of the key."""

    def __reduce__(self) -> Any:
        return (rebuild, (1,))


def rebuild(_: Any) -> Rebuilt:
    return Rebuilt()


class BareState:
    """Has no attributes but those of which it says how they are kept."""

    __slots__ = ("kept",)

    def __init__(self, kept: Any) -> None:
        self.kept = kept

    def __getstate__(self) -> Any:
        return {"kept": self.kept}

    def __setstate__(self, state: Any) -> None:
        self.kept = state["kept"]


class BareReduced(BareState):
    __slots__ = ()

    def __reduce__(self) -> Any:
        return (type(self), (self.kept,))


class NewArgs:
    def __new__(cls, given: Any) -> NewArgs:
        made = super().__new__(cls)
        made.given = given
        return made

    def __getnewargs__(self) -> Any:
        return (self.given,)


class Cached:
    def __init__(self, number: int) -> None:
        self.number = number

    @functools.cached_property
    def square(self) -> int:
        return self.number**2


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyFloat(float):
    pass


class MyTuple(tuple):
    __slots__ = ()


class MyList(list):
    pass


class MyDict(dict):
    pass


class MySet(set):
    pass


class Failure(Exception):
    pass


class Detailed(Exception):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Temperature(Value):
    def __init__(self, celsius: Any) -> None:
        self.celsius = celsius


class Version(Value):
    type_name = "corpus.Version"

    def __init__(self, text: str) -> None:
        self.text = text

    def get_hash(self, data: Optional[bytes] = None) -> str:
        return f"{self.text:>040}"


class Meta(type):
    pass


class WithMeta(metaclass=Meta):
    pass


class Namespace:
    class Inner:
        pass

    def method(self, x: int) -> int:
        return x

    @classmethod
    def build(cls) -> Namespace:
        return cls()

    @staticmethod
    def static(x: int) -> int:
        return x


def function(x: int, y: int = 2) -> int:
    """A function, with a string that is a { b."""
    # And a comment.
    return x + y


async def coroutine(x):
    return x


@functools.lru_cache(maxsize=3)
def remembered(x):
    return x


def repeated(times: int) -> Any:
    def decorate(base: Any) -> Any:
        @functools.wraps(base)
        def wrapper(x: Any) -> Any:
            return [base(x) for _ in range(times)]

        return wrapper

    return decorate


@repeated(3)
def wrapped(x):
    return x


double = lambda x: 2 * x  # noqa: E731


over_lines = [
    lambda x: x
    + 1,
]  # fmt: skip


def adder(n: int) -> Any:
    def add(x: int) -> int:
        return x + n

    return add


def local_class(n: int) -> Any:
    class Local:
        size = 3

        def add(self, x: int) -> int:
            return x + n

    return Local


def with_attribute(made: Any, **attributes: Any) -> Any:
    made.__dict__.update(attributes)
    return made


def shared_list() -> Any:
    part = [1, [2]]
    return [part, part, {"again": part}]


def cyclic_list() -> Any:
    turn: list[Any] = [1]
    turn.append(turn)
    return turn


def ring(size: int) -> Any:
    nodes = [Attributes(number=i) for i in range(size)]
    for node, following in zip(nodes, nodes[1:] + nodes[:1]):
        node.following = following
    return nodes[0]


def tree() -> Any:
    root = Plain("root", [])
    for name in "ab":
        child = Plain(name, [])
        child.parent = root
        root.b.append(child)
    return root


def clique(size: int) -> Any:
    nodes = [Attributes(number=i) for i in range(size)]
    for node in nodes:
        node.others = {other for other in nodes if other is not node}
    return nodes


def nested(depth: int) -> Any:
    value: Any = 1
    for i in range(depth):
        value = [value] if i % 2 else {"k": (value,)}
    return value


def shared_call() -> Any:
    call = TaskExpression("corpus.add", (1, 1))
    for _ in range(50):
        call = TaskExpression("corpus.add", (call, call))
    return call


def deep_call(depth: int) -> Any:
    call: Any = TaskExpression("corpus.step", (0,))
    for _ in range(depth):
        call = TaskExpression("corpus.step", (call,))
    return call


def atoms() -> Any:
    yield "none", None
    yield "true", True
    yield "false", False
    for number in (0, 1, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, -(2**64)):
        yield f"int {number}", number
    yield "int of 5000 digits", 10**4999
    for real in (0.0, -0.0, 1.0, -1.5, 0.1, 5e-324, 1.7976931348623157e308, math.pi):
        yield f"float {real!r}", real
    yield "float inf", math.inf
    yield "float -inf", -math.inf
    yield "float nan", math.nan
    yield "float -nan", -math.nan
    yield "complex", 1.5 - 2j
    yield "complex nan", complex(math.nan, -0.0)
    for name, text in {
        "empty": "",
        "ascii": "hello",
        "latin": "é",
        "wide": "日本",
        "astral": "\U0001f600",
        "surrogate": "\ud800",
        "nul": "a\0b",
        "long": "ab" * 1000,
    }.items():
        yield f"str {name}", text
    yield "bytes empty", b""
    yield "bytes", bytes(range(256))


def containers() -> Any:
    yield "list empty", []
    yield "tuple empty", ()
    yield "dict empty", {}
    yield "set empty", set()
    yield "frozenset empty", frozenset()
    yield "list flat", [1, "a", None, 2.5, b"x"]
    yield "list with nans", [math.nan, -math.nan, b"\0\0\0\0\0\0\xf8\xff"]
    yield "tuple flat", (1, "a", None)
    yield "tuple long", tuple(range(300))
    yield "dict flat", {"b": 1, "a": 2, 3: None}
    yield "dict other order", {"a": 2, "b": 1, 3: None}
    yield "list nested", [[1], [2, [3, []]], ()]
    yield "dict nested", {"a": {"b": {"c": [1, {"d": (2,)}]}}}
    yield "dict of tuples", {(1, "a"): 1, (2, ("b",)): 2}
    yield "dict of frozensets", {frozenset({"a", "b", "c"}): 1, frozenset({"z"}): {"y", "x"}}
    yield "set of strings", {f"member {i}" for i in range(100)}
    yield "set mixed", {1, 2.5, "a", None, b"b", (1, "t"), frozenset({"f", "g"}), True + 6}
    yield "frozenset", frozenset({"a", "b", 3})
    yield "set of frozensets", {frozenset({frozenset({"a", "b"}), "c"}), frozenset()}
    yield "set of tuples", {(i, str(i)) for i in range(20)}
    yield "set of enums", {Color.RED, Color.GREEN, Level.LOW}
    yield "set of points", {Point(1, "a"), Point(2, "b"), Frozen(1), Frozen("x")}
    yield "deep", nested(120)
    yield "shared", shared_list()
    yield "cyclic list", cyclic_list()
    yield "cyclic beside others", [cyclic_list(), {"a", "b"}, (1, [2])]
    yield "ring", ring(3)
    yield "tree with parents", tree()
    yield "clique", clique(7)


def records() -> Any:
    yield "namedtuple", Point(1, "a")
    yield "namedtuple nested", Point(Point(1, {"s", "t"}), [Pair(1, 2)])
    yield "namedtuple with attributes", with_attribute(Labelled(1, 2), label="x")
    yield "dataclass", Plain(1)
    yield "dataclass nested", Plain(Frozen(Slotted(1, {"a", "b"}), (Plain(2),)), {"k": Frozen(3)})
    yield "dataclass frozen", Frozen(1, (2, 3))
    yield "dataclass slotted", Slotted(1, [2])
    yield "dataclass with a field set later", Counted(1, 2)
    if sys.version_info >= (3, 10):
        yield "dataclass slots", AutoSlotted(1)
        yield "dataclass frozen slots", FrozenSlotted(1, {"a", "b"})
    yield "enum", Color.RED
    yield "enum alias", Color.ALSO_RED
    yield "enum of str", Mode.FAST
    yield "enum of int", Level.HIGH
    yield "flag", Access.READ
    yield "flag combined", Access.RUN | Access.READ
    yield "flag none", Access(0)
    yield "int flag combined", Bits.A | Bits.B
    yield "int flag unknown", Bits(8)


def library() -> Any:
    zone = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30), "NST")
    yield "datetime", datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)
    yield "datetime utc", datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)
    yield "datetime zone", datetime.datetime(2024, 2, 29, 1, tzinfo=zone)
    yield "datetime fold", datetime.datetime(2024, 10, 27, 2, 30, fold=1)
    yield "date", datetime.date(2024, 2, 29)
    yield "time", datetime.time(12, 30, tzinfo=datetime.timezone.utc)
    yield "timedelta", datetime.timedelta(days=-1, seconds=5, microseconds=7)
    yield "timezone", zone
    try:
        import zoneinfo

        berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    except Exception:  # No database of time zones here.
        pass
    else:
        yield "zoneinfo", berlin
        yield "datetime zoneinfo", datetime.datetime(2024, 7, 1, tzinfo=berlin)
    yield "decimal", decimal.Decimal("1.10")
    yield "decimal nan", decimal.Decimal("NaN")
    yield "fraction", fractions.Fraction(6, 4)
    yield "uuid", uuid.UUID(int=7)
    yield "ip address", ipaddress.ip_address("10.0.0.1")
    yield "pure path", pathlib.PurePosixPath("/a/b/../c.txt")
    yield "windows path", pathlib.PureWindowsPath("C:/a")
    yield "path", pathlib.Path("a/\udcff")
    yield "range", range(1, 10, 3)
    yield "slice", slice(1, None, -1)
    yield "ellipsis", ...
    yield "ordered dict", collections.OrderedDict([("b", 1), ("a", {2})])
    yield "default dict", collections.defaultdict(list, {"a": [1, 2]})
    yield "counter", collections.Counter("abca")
    yield "deque", collections.deque([1, {"a"}, 3])
    yield "deque bounded", collections.deque([1, 2, 3], maxlen=2)
    yield "chain map", collections.ChainMap({"a": 1}, {"b": 2})
    yield "user dict", collections.UserDict({"a": 1})
    yield "bytearray", bytearray(b"abc")
    yield "array", array.array("d", [1.5, -0.0])
    yield "array of bytes", array.array("B", [1, 2, 3])
    yield "simple namespace", types.SimpleNamespace(a=1, b={"x", "y"})
    yield "pattern", re.compile(r"a(b+)", re.IGNORECASE)
    yield "generic alias", list[dict[str, int]]
    yield "module", math
    yield "exception", ValueError("wrong", 3)
    yield "exception bare", KeyError()
    yield "os error", FileNotFoundError(2, "No such file", "/there")
    yield "attribute error", AttributeError("no x")
    yield "exception of a user", Failure("wrong", [1])
    yield "exception with attributes", Detailed("wrong", 3)
    yield "exception of the engine", with_attribute(Failure("x"), _redun_lite_traceback="…")


def objects() -> Any:
    yield "object", Attributes(a=1, b={"x", "y"})
    yield "object, attributes in other order", Attributes(b={"y", "x"}, a=1)
    yield "object without attributes", Attributes()
    yield "object with slots", Slots({"a", "b"})
    yield "object with slots and attributes", with_attribute(SlotsAndDict(1), extra=3)
    yield "object with slots and no attributes", SlotsAndDict(1)
    yield "object with private slots", Mangled(1)
    yield "object with __getstate__", Stateful({"a", "b"})
    yield "object with __reduce__", Reduced({"a", "b"})
    yield "object rebuilt by a function", Rebuilt()
    yield "object with __getnewargs__", NewArgs(1)
    yield "object with a cached property", Cached(3)
    used = Cached(3)
    assert used.square == 9
    yield "object with a cached property in use", used
    yield "object generic", Box([1])
    yield "int subclass", MyInt(5)
    yield "int subclass with attributes", with_attribute(MyInt(5), unit="m")
    yield "str subclass", MyStr("a")
    yield "float subclass", MyFloat(1.5)
    yield "tuple subclass", MyTuple((1, [2]))
    yield "list subclass", MyList([1, {"a", "b"}])
    yield "dict subclass", MyDict(a=1)
    yield "set subclass", MySet("abcdef")
    yield "set subclass with attributes", with_attribute(MySet("ab"), name="x")
    yield "value", Temperature(20)
    yield "value with a key", Version("1.2")
    yield "values nested", [Temperature({"a", "b"}), {Version("1"): Version("2")}]


def code() -> Any:
    yield "function", function
    yield "function async", coroutine
    yield "function of the standard library", operator.itemgetter
    yield "function remembered", remembered
    yield "function that is wrapped", wrapped.__wrapped__
    yield "function that wraps another", wrapped
    yield "function that wraps another otherwise", repeated(4)(wrapped.__wrapped__)
    yield "function of a module of the standard library", json.dumps
    yield "function of a frozen module", os.walk
    yield "function static", Namespace.static
    yield "function local", adder(1)
    yield "lambda", double
    yield "lambda over lines", over_lines[0]
    yield "builtin", len
    yield "builtin of a module", math.sin
    yield "method of an object", Temperature(1).is_valid
    yield "method of a class", Namespace.build
    yield "method of a builtin", "abc".upper
    yield "method of a builtin class", dict.fromkeys
    yield "method unbound", str.upper
    yield "partial", functools.partial(function, 1, y={"a"})
    yield "partial of a method", functools.partial(Namespace().method, x=1)
    yield "partial bare", functools.partial(function)
    yield "methodcaller", operator.methodcaller("get", 1, default={"a", "b"})
    yield "itemgetter", operator.itemgetter(1, "a")
    yield "class", Plain
    yield "class inner", Namespace.Inner
    yield "class with a metaclass", WithMeta
    yield "class local", local_class(1)
    yield "class builtin", int
    yield "class of none", type(None)
    yield "class of the package", Value
    yield "class on some Pythons only", Any


def expressions() -> Any:
    call = TaskExpression("corpus.f", (1, "a"), {"k": [1, 2]})
    yield "call", call
    yield "call with options", TaskExpression("f", (1,), {}, {"memory": 4}, ("memory",), 2)
    yield "operator", SimpleExpression("add", (call, 1))
    yield "item", (call + 1)[2:]
    yield "value expression", ValueExpression({"a": [1]})
    yield "calls nested", [call, {"k": (call, TaskExpression("g", ([call],)))}]
    yield "calls in a set", {TaskExpression("f", (i,)) for i in range(20)}
    yield "calls in a dataclass", Frozen(call, (Point(call, 1),))
    yield "call of values", TaskExpression("f", (Frozen({"a", "b"}), {1, 2}, Temperature(3)))
    yield "call in an object", Attributes(lazy=call)
    yield "call shared", shared_call()
    yield "call deep", deep_call(2000)


def corpus() -> dict[str, Any]:
    """Return all values by name."""
    made: dict[str, Any] = {}
    for part in (atoms, containers, records, library, objects, code, expressions):
        for name, value in part():
            assert name not in made, name
            made[name] = value
    return made


def keys() -> dict[str, str]:
    """Return the keys of all values, as hex digits, by name."""
    return {name: key_of_expr(value).hex() for name, value in corpus().items()}


def main() -> None:
    """Print the keys as JSON."""
    json.dump(keys(), sys.stdout)
