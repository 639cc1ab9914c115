"""Values: their hooks, what is nested in them, and how they are stored."""

from __future__ import annotations

import collections
import copy
import dataclasses
import pickle
import sys
import threading
from types import ModuleType
from typing import Any, ClassVar

import key_corpus
import pytest
from hypothesis import given
from key_corpus import Access, Color, Frozen, Plain, Point, Slots, Slotted
from strategies import VALUES

from redun_lite import ProxyValue, TypeRegistry, Value, _hints, get_type_registry
from redun_lite import _value as value_module
from redun_lite._errors import HashError, UsageError
from redun_lite._expr import dumps_expr, key_of_expr, loads_expr
from redun_lite._hash import key_of
from redun_lite._value import dumps, iter_nested, loads, map_nested, parts_of, with_parts

CORPUS = key_corpus.corpus()


# Storage


@given(VALUES)
def test_a_value_comes_back_from_storage_as_it_was(value):
    assert key_of(loads(dumps(value))) == key_of(value)


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in key_corpus.UNSTORED])
def test_a_value_of_the_corpus_comes_back_from_storage_as_it_was(name):
    value = CORPUS[name]
    stored = loads_expr(dumps_expr(value))
    assert type(stored) is type(value)
    assert key_of_expr(stored) == key_of_expr(value)


def test_sharing_and_cycles_come_back_from_storage():
    part = [1]
    value = {"a": [part, part]}
    value["self"] = value
    stored = loads(dumps(value))
    assert stored["self"] is stored
    assert stored["a"][0] is stored["a"][1]


@dataclasses.dataclass(frozen=True)
class FrozenSlots:
    """Pickle stores it, but then cannot set its attributes."""

    __slots__ = ("a", "b")
    a: Any
    b: Any


def test_a_frozen_dataclass_with_slots_comes_back_from_storage():
    value = FrozenSlots(1, [FrozenSlots(2, None)])
    with pytest.raises(dataclasses.FrozenInstanceError):
        pickle.loads(pickle.dumps(value))
    assert loads(dumps([value, value])) == [value, value]


def enumeration(base: str, body: str) -> Any:
    """Return a class `E`, found again by pickle as the one that was made last."""
    source = ModuleType("enumeration")
    sys.modules["enumeration"] = source
    exec(f"import enum\nclass E(enum.{base}):\n    {body}\n", vars(source))
    return source.E


@pytest.mark.parametrize(
    ("base", "before", "after", "member"),
    [
        ("Enum", "RED = 1; GREEN = 2", "RED = 2; GREEN = 1", "E.RED"),
        ("Enum", "RED = 1", "RED = [1]", "E.RED"),
        ("Enum", "RED = 1", "RED = True", "E.RED"),
        ("Enum", "RED = 1", "GREEN = 1", "E.RED"),
        ("Enum", "RED = 1", "ROT = 1; RED = ROT", "E.RED"),
        ("IntEnum", "LOW = 1; HIGH = 2", "LOW = 2; HIGH = 1", "E.LOW"),
        ("Flag", "READ = 1; WRITE = 2", "READ = 2; WRITE = 1", "E.READ"),
        ("Flag", "READ = 1; RUN = 4", "WRITE = 1; RUN = 4", "E.READ | E.RUN"),
        ("IntFlag", "READ = 1; BOTH = 3", "READ = 1; ALL = 3", "E.BOTH"),
    ],
)
def test_a_member_never_comes_back_as_another_one(base, before, after, member):
    value = eval(member, {"E": enumeration(base, before)})
    stored = dumps([value])
    assert key_of(loads(stored)) == key_of([value])
    enumeration(base, after)
    with pytest.raises(pickle.UnpicklingError, match="is no longer what it was"):
        loads(stored)


def test_a_member_is_stored_by_name_where_its_value_has_no_key():
    guard = enumeration("Enum", "FIRST = __import__('threading').Lock()").FIRST
    assert loads(dumps(guard)) is guard


def test_an_enumeration_may_say_how_its_members_are_stored():
    body = "A = 1\n    def __reduce_ex__(self, protocol): return (list, ())"
    assert loads(dumps(enumeration("Enum", body).A)) == []


class Refused(OSError):
    def __init__(self, code: int, reason: str, where: str) -> None:
        super().__init__(code, reason)
        self.where = where


def test_an_exception_that_wants_more_than_its_message_comes_back_from_storage():
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(Refused(2, "gone", "here")))
    error = loads(dumps(Refused(2, "gone", "here")))
    assert type(error) is Refused
    assert (error.errno, error.strerror, error.where) == (2, "gone", "here")
    assert str(error) == "[Errno 2] gone"


class Guarded:
    """Leaves out what cannot be stored."""

    def __init__(self, kept: Any) -> None:
        self.lock = threading.Lock()
        self.kept = kept

    def __getstate__(self) -> Any:
        return {"kept": self.kept}


LOCK = threading.Lock()


def around(value: Any) -> Any:
    """Return an object that leads to a value and, before that, back to itself."""
    made = key_corpus.Attributes()
    made.itself = made
    made.value = value
    return made


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, ""),
        ([1, LOCK], "[1]"),
        ({"pool": (0, [LOCK])}, "['pool'][1][0]"),
        ({(LOCK,): 1}, "{…}[0]"),
        ({1, LOCK}, "{…}"),
        (Point([LOCK], 1), ".x[0]"),
        (Plain(1, {"k": Frozen(LOCK)}), ".b['k'].a"),
        (Slots(Slotted(1, LOCK)), ".one.b"),
        (key_corpus.MyList([0, LOCK]), "[1]"),
        (key_corpus.with_attribute(key_corpus.MyDict(), x=LOCK), ".x"),
        (Guarded(LOCK), ""),
        ([around([LOCK])], "[0].value[0]"),
        (lambda: None, ""),
    ],
)
def test_a_part_that_cannot_be_stored_is_named_by_its_path(value, path):
    with pytest.raises(HashError, match="cannot be stored") as caught:
        dumps(value)
    assert caught.value.path == path


def test_a_value_that_is_nested_too_deeply_cannot_be_stored():
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(HashError, match=r"^list cannot be stored: it is nested too deeply$"):
        dumps(value)
    while value:
        value = value.pop()


# Nested values

NESTED = [
    [1, [2]],
    (1, (2,)),
    {"a": 1, ("b",): [2]},
    {1, (2, 3)},
    frozenset({1, frozenset({2})}),
    Point(1, 2),
    Plain(1, [2]),
    Frozen(1, (2,)),
    Slotted(1, 2),
    FrozenSlots(1, 2),
    collections.OrderedDict(b=1, a=2),
    collections.defaultdict(list, a=[1]),
    collections.Counter("aab"),
    key_corpus.MyDict(a=1),
]


def identity(leaf: Any) -> Any:
    return leaf


@given(VALUES)
def test_to_change_no_leaf_is_to_keep_the_value(value):
    assert map_nested(identity, value) is value


@given(VALUES)
def test_to_change_every_leaf_twice_is_to_change_it_once_by_both(value):
    def wrap(leaf: Any) -> Any:
        return Wrapped(leaf)

    def unwrap(leaf: Any) -> Any:
        return leaf.content

    assert key_of(map_nested(unwrap, map_nested(wrap, value))) == key_of(
        map_nested(lambda leaf: unwrap(wrap(leaf)), value)
    )


class Wrapped:
    """Is equal to others and hashed as is what it wraps, so that sets stay as large."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Wrapped) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)


@given(VALUES)
def test_a_value_put_together_from_its_own_parts_is_an_equal_one(value):
    parts = parts_of(value)
    if parts is not None:
        made = with_parts(value, list(parts))
        assert type(made) is type(value)
        assert key_of(made) == key_of(value)


@pytest.mark.parametrize("value", NESTED, ids=lambda value: type(value).__name__)
def test_a_value_put_together_from_other_parts_is_of_the_same_kind(value):
    before = key_of(value)
    made = map_nested(lambda leaf: leaf + 10 if isinstance(leaf, int) else leaf, value)
    assert type(made) is type(value)
    assert made is not value
    assert key_of(map_nested(lambda leaf: leaf - 10 if isinstance(leaf, int) else leaf, made)) == (
        before
    )
    assert key_of(value) == before


def test_a_default_dict_keeps_its_factory():
    made = map_nested(str, collections.defaultdict(list, {1: 2}))
    assert made == {"1": "2"}
    assert made["new"] == []


def test_the_parts_that_do_not_change_are_kept():
    same, other = [1, 2], [3]
    made = map_nested(lambda leaf: -leaf if leaf == 3 else leaf, {5: same, 6: other})
    assert made == {5: [1, 2], 6: [-3]}
    assert made[5] is same


@pytest.mark.parametrize(
    "value",
    [
        "ab",
        b"ab",
        bytearray(b"a"),
        Color.RED,
        Access(3),
        range(3),
        object(),
        Plain,
        Value(),
        collections.deque([1]),
        key_corpus.MyList([1]),
        key_corpus.MyTuple((1,)),
        map(abs, [1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_nested_value_is_a_leaf(value):
    assert parts_of(value) is None
    assert list(iter_nested(value)) == [value]


def test_leaves_come_in_order():
    value = [1, {"a": (2, Point(3, [4]))}, Plain({5}, Frozen(6, 7)), [], 8]
    assert list(iter_nested(value)) == [1, "a", 2, 3, 4, 5, 6, 7, 8]


@dataclasses.dataclass
class Full:
    """Has all that a dataclass may have beside plain fields."""

    a: Any
    given: dataclasses.InitVar[Any] = None
    derived: Any = dataclasses.field(init=False, default=0)
    missing: Any = dataclasses.field(init=False, repr=False)
    kind: ClassVar[Any] = ["class"]

    def __post_init__(self, given: Any) -> None:
        self.extra = given


@dataclasses.dataclass(init=False)
class MadeByHand:
    a: Any

    def __init__(self, text: Any) -> None:
        self.a = text
        self.label = text


def test_only_the_fields_of_a_dataclass_that_are_set_are_its_parts():
    value = Plain(1, 2)
    value.extra = 3
    del value.b
    assert list(parts_of(value)) == [1, 2]  # The class has a default of `b`.
    assert list(parts_of(Slotted(1, 2))) == [1, 2]


def test_other_attributes_are_parts_where_they_may_come_of_what_no_field_keeps():
    assert list(parts_of(Full(1, 2))) == [1, 0, 2]
    assert list(parts_of(MadeByHand("x"))) == ["x", "x"]


def test_a_dataclass_keeps_what_is_no_field():
    value = Plain(1)
    value.extra = [2]
    made = map_nested(lambda leaf: leaf + 1, value)
    assert vars(made) == {"a": 2, "b": 3, "extra": [2]}
    assert made.extra is value.extra
    assert made.kind is Plain.kind


@dataclasses.dataclass
class Numbered:
    """Counts how often it is made, and wants an argument to be."""

    a: Any
    made: ClassVar[int] = 0

    def __new__(cls, a: Any) -> Numbered:
        cls.made += 1
        return super().__new__(cls)

    def __getnewargs__(self) -> Any:
        return (self.a,)

    def __post_init__(self) -> None:
        self.checked = True


@dataclasses.dataclass
class Unusual(Exception):
    a: Any


@pytest.mark.parametrize("cls", [Numbered, Unusual])
def test_a_dataclass_that_is_made_in_its_own_way_can_be_put_together(cls):
    made = map_nested(lambda leaf: leaf + 1, cls(1))
    assert type(made) is cls
    assert made.a == 2


def test_a_namedtuple_keeps_its_attributes():
    made = map_nested(lambda leaf: leaf + 1, CORPUS["namedtuple with attributes"])
    assert made == (2, 3)
    assert made.label == "x"


def test_shared_parts_are_walked_once():
    value: Any = [1, 2]
    for _ in range(100):
        value = [value, value]
    assert list(iter_nested(value)) == [1, 2]
    assert map_nested(identity, value) is value


def test_shared_parts_stay_shared():
    part = [1]
    made = map_nested(lambda leaf: leaf + 1, {2: (part, part)})
    assert made == {3: ([2], [2])}
    assert made[3][0] is made[3][1]


def test_a_value_that_holds_itself_is_walked_once():
    value: Any = [1, {"k": 2}]
    value[1]["back"] = value
    assert list(iter_nested(value)) == [1, "k", 2, "back"]
    assert map_nested(identity, value) is value


def test_nothing_can_be_replaced_in_a_value_that_holds_itself():
    value: Any = [1]
    value.append(value)
    with pytest.raises(UsageError, match="list holds itself"):
        map_nested(lambda leaf: leaf + 1, value)


def test_a_deep_value_is_walked_without_recursion():
    value: Any = [1]
    for _ in range(100_000):
        value = [value]
    assert list(iter_nested(value)) == [1]
    while value and value != [1]:
        value = value.pop()


# Value


class Reading(Value):
    def __init__(self, number: Any, valid: bool = True) -> None:
        self.number = number
        self.valid = valid
        self.seen = ""

    def is_valid(self) -> bool:
        return self.valid

    def preprocess(self, preprocess_args: dict[str, Any]) -> Any:
        return f"{preprocess_args['by']} gets {self.number}"

    def postprocess(self, postprocess_args: dict[str, Any]) -> Any:
        return f"{postprocess_args['by']} gave {self.number}"


class Series(Value):
    type_name = "test.Series"

    def __init__(self, *readings: Any) -> None:
        self.readings = readings

    def get_hash(self, data: bytes | None = None) -> str:
        return f"series of {len(self.readings)}"

    def serialize(self) -> bytes:
        return str(len(self.readings)).encode()

    @classmethod
    def deserialize(cls, raw_type: Any, data: bytes) -> Any:
        assert raw_type is cls
        return cls(*range(int(data)))

    def iter_subvalues(self) -> Any:
        return iter(self.readings)

    @classmethod
    def parse_arg(cls, raw_type: Any, arg: str) -> Any:
        assert raw_type is cls
        return cls(*map(int, arg.split()))


registry = get_type_registry()


def test_a_value_is_identified_by_its_attributes():
    assert Reading(1).get_hash() == Reading(1).get_hash() != Reading(2).get_hash()
    assert registry.get_hash(Reading({"a", "b"})) == registry.get_hash(Reading({"b", "a"}))


def test_a_value_may_say_what_identifies_it():
    assert registry.get_hash([Series(1, 2)]) == registry.get_hash([Series(3, 4)])
    assert registry.get_hash(Series(1)) != registry.get_hash(Series(1, 2))


def test_values_of_two_classes_are_never_the_same():
    class Other(Series):
        type_name = "test.Other"

    assert registry.get_hash(Other(1)) != registry.get_hash(Series(1))


def test_what_identifies_a_value_may_build_on_the_default():
    class Rounded(Reading):
        def get_hash(self, data: bytes | None = None) -> str:
            return Reading(round(self.number)).get_hash()

    class Extended(Reading):
        def get_hash(self, data: bytes | None = None) -> str:
            return super().get_hash() + "+"

    assert registry.get_hash(Rounded(1.1)) == registry.get_hash(Rounded(0.9))
    assert registry.get_hash(Extended(1)) == registry.get_hash(Extended(1))
    assert registry.get_hash(Extended(1)) != registry.get_hash(Extended(2))


def test_a_value_in_a_cycle_has_a_default_key():
    def ring() -> Reading:
        value = Reading(1)
        value.number = [value]
        return value

    assert ring().get_hash() == ring().get_hash() != Reading(1).get_hash()


def test_a_class_is_recorded_under_its_module_and_name_unless_it_says_otherwise():
    assert registry.get_type_name(Reading) == f"{__name__}.Reading"
    assert registry.get_type_name(Series) == "test.Series"
    assert registry.get_type_name(Value) == "redun_lite.Value"
    assert registry.get_type_name(dict) == "builtins.dict"
    assert registry.parse_type_name("test.Series") is Series
    assert registry.parse_type_name("no.such.Class") is None


def test_a_value_says_how_it_is_stored():
    stored = registry.serialize(Series(7, 8))
    assert stored == b"2"
    assert registry.deserialize("test.Series", stored).readings == (0, 1)
    assert registry.deserialize("builtins.list", registry.serialize([1, "a"])) == [1, "a"]


def test_a_nested_value_holds_while_all_in_it_does():
    assert registry.is_valid_nested([1, {"a": Reading(1)}, Plain(Reading(2))])
    assert not registry.is_valid_nested([1, {"a": Reading(1)}, Plain(Reading(2, valid=False))])


def test_values_are_prepared_wherever_they_are_nested():
    value = [1, {"a": Reading(2)}, Plain(Reading(3), "x")]
    assert registry.preprocess(value, {"by": "f"}) == [1, {"a": "f gets 2"}, Plain("f gets 3", "x")]
    assert registry.postprocess(value, {"by": "f"})[1] == {"a": "f gave 2"}
    plain = [1, {"a": Color.RED}]
    assert registry.preprocess(plain, {"by": "f"}) is plain


def test_values_inside_a_value_are_found():
    one, two = Reading(1), Reading(2)
    series = Series(one, two)
    assert list(registry.iter_subvalues([1, {"a": one}])) == [one]
    assert list(registry.iter_subvalues(series)) == [one, two]
    assert list(registry.iter_subvalues([series])) == [series, one, two]
    assert list(registry.iter_subvalues(1)) == []


def test_a_class_says_how_it_is_given_on_the_command_line():
    assert registry.parse_arg(Series, "4 5").readings == (4, 5)
    with pytest.raises(UsageError, match=r"^Reading cannot be given on the command line$"):
        registry.parse_arg(Reading, "1")


def test_other_types_are_given_as_on_the_command_line():
    assert registry.parse_arg(int, "1") == 1
    assert registry.parse_arg(bool, "no") is False
    assert registry.parse_arg(dict[str, float], '{"a": 1}') == {"a": 1.0}
    with pytest.raises(UsageError, match=r"^expected int, got 'x'$"):
        registry.parse_arg(int, "x")
    with pytest.raises(UsageError, match="cannot be given on the command line"):
        registry.parse_arg(object.__class__, "x")


# Proxies


@pytest.fixture(autouse=True)
def fresh_proxies(monkeypatch):
    """Forget the proxies that a test defines."""
    monkeypatch.setattr(value_module, "_proxies", dict(value_module._proxies))
    monkeypatch.setattr(_hints, "_parsers", dict(_hints._parsers))


class Sensor:
    def __init__(self, name: str, works: bool = True) -> None:
        self.name = name
        self.works = works


def test_a_proxy_gives_a_foreign_class_and_its_subclasses_the_hooks():
    class SensorProxy(ProxyValue):
        type = Sensor
        type_name = "test.Sensor"

        def is_valid(self) -> bool:
            return bool(self.instance.works)

        def serialize(self) -> bytes:
            return self.instance.name.encode()

        @classmethod
        def deserialize(cls, raw_type: Any, data: bytes) -> Any:
            return raw_type(data.decode())

        @classmethod
        def parse_arg(cls, raw_type: Any, arg: str) -> Any:
            return raw_type(arg)

    class Better(Sensor):
        pass

    assert not registry.is_valid_nested([Sensor("a"), Better("b", works=False)])
    assert registry.serialize(Sensor("a")) == b"a"
    assert registry.deserialize("test.Sensor", b"a").name == "a"
    assert registry.parse_arg(Sensor, "c").name == "c"
    assert registry.get_type_name(Sensor) == "test.Sensor"
    assert isinstance(registry.get_value(Better("b")), SensorProxy)


def test_a_proxy_may_say_what_identifies_an_instance():
    class Sensor2(Sensor):
        pass

    class Sensor2Proxy(ProxyValue):
        type = Sensor2

        def get_hash(self, data: bytes | None = None) -> str:
            return key_of(self.instance.name.lower()).hex()

    assert key_of([Sensor2("A")]) == key_of([Sensor2("a")]) != key_of([Sensor2("b")])


def test_what_a_proxy_says_may_build_on_the_default():
    class Sensor3(Sensor):
        pass

    class Sensor3Proxy(ProxyValue):
        type = Sensor3

        def get_hash(self, data: bytes | None = None) -> str:
            return "3:" + super().get_hash()

    assert key_of(Sensor3("a")) == key_of(Sensor3("a")) != key_of(Sensor3("b"))


def test_what_has_no_proxy_is_its_own_value():
    wrapped = TypeRegistry().get_value([1, 2])
    assert isinstance(wrapped, ProxyValue)
    assert wrapped.instance == [1, 2]
    assert wrapped.is_valid()
    assert wrapped.get_hash() == key_of([1, 2]).hex()
    value = Reading(1)
    assert TypeRegistry().get_value(value) is value


def test_values_can_be_copied():
    value = [Reading({"a"}), Frozen(1), FrozenSlots(1, 2)]
    assert key_of(copy.copy(value)) == key_of(value)
    if sys.version_info >= (3, 10):
        slotted = key_corpus.FrozenSlotted(1, [2])
        assert key_of(copy.deepcopy(slotted)) == key_of(slotted)
