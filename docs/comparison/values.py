"""Nested values, operators, tasks as values, recursion."""

from __future__ import annotations

import dataclasses
from collections import namedtuple

from .case import BAD_INPUT, SAID_EARLY, case, ran
from .engine import identity, task

redun_namespace = "values"

Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Record:
    """A dataclass."""

    number: int
    more: object


@dataclasses.dataclass
class Positive:
    """A dataclass that checks its field."""

    number: int

    def __post_init__(self):
        if isinstance(self.number, int) and self.number < 1:
            raise ValueError(self.number)


@dataclasses.dataclass
class Doubled:
    """A dataclass that derives a field."""

    number: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.double = self.number * 2


class Counter:
    """A class of the user's."""

    def __init__(self, count):
        self.count = count

    def __eq__(self, other):
        return self.count == other.count

    def __hash__(self):
        return hash(self.count)

    def __repr__(self):
        return f"Counter({self.count})"


@task
def see(value):
    ran(f"see({value!r})")
    return value


@task
def show_type(value):
    ran("show_type")
    return type(value).__name__


@task
def add(a, b):
    return a + b


@task
def apply(callable_task, value):
    ran("apply")
    return callable_task(value)


@task
def pick(which):
    return show_type if which else see


@task
def fibonacci(n):
    ran("fibonacci")
    return n if n < 2 else add(fibonacci(n - 1), fibonacci(n - 2))


@task
def count_down(n):
    return n if n == 0 else count_down(n - 1)


@task
def tree():
    return {"list": [1, 2, {"deep": 3}], "pair": (4, 5), "text": "abc"}


def nested():
    return [
        1,
        (see(1),),
        {"key": see(2), see("lazy key"): 3},
        {see(4)},
        Pair(see(5), [see(6)]),
        Record(see(7), {"deep": see(8)}),
    ]


@case("Calls are found in nested values")
def nested_result():
    return nested()


@case("Also in arguments")
def nested_argument():
    return identity(nested())


@case("An empty tuple, and tuples of one", runs=1)
def empty():
    return [(), [], {}, set(), (see(1),)]


@case("A class of the user's is a value")
def own_class():
    return [see(Counter(3)), identity(Counter(4))]


@case("A class of the user's is not looked into", runs=1)
def own_class_lazy():
    return show_type(Counter(1))


@case("Items, attributes, slices, and calls of methods", runs=1)
def access():
    found = tree()
    return [
        found["list"][2]["deep"],
        found["pair"][0],
        found["list"][:2],
        found["text"].upper(),
        identity(Record(1, [2])).more[0],
    ]


@case("Operators", runs=1)
def operators():
    four, five = see(4), see(5)
    return [
        four + five,
        four - 1,
        10 - four,
        four * five,
        five / 2,
        10 / five,
        four < five,
        four <= 4,
        four > five,
        four >= 5,
        four == 4,
        four != 4,
        see([1]) + [2],
        [0] + see([1]),
        see("a") * 3,
    ]


@case("The operators | and &", runs=1)
def logical():
    return [see(1) | 2, see(0) | 2, see(1) & 2, see(0) & 2]


@case(
    "Further operators",
    runs=1,
    why="All operators that a value may have are there.",
)
def further_operators():
    five = see(5)
    return [-five, abs(five), five // 2, five % 3, five**2]


@case(
    "A lazy value has no truth",
    runs=1,
    why="An `ExpressionError` is a `TypeError` that says what to write instead.",
)
def truth():
    return 1 if see(1) else 2


@case(
    "A lazy value cannot be iterated",
    runs=1,
    why="As above.",
)
def iteration():
    return list(see([1]))


@case("unless its length is known", runs=1)
def known_length():
    @task(nout=2)
    def two():
        return 1, 2

    first, second = two()
    return [second, first, [each + 1 for each in two()]]


@case("An attribute that is not there", runs=1)
def missing_attribute():
    return identity(Record(1, 2)).missing


@case("A dataclass checks what a call comes to", runs=1)
def dataclass_checks():
    return Positive(see(0))


@case("A dataclass that is fine with what a call comes to", runs=1)
def dataclass_is_fine():
    return Positive(see(1))


@case(
    "A dataclass derives a field from a call",
    runs=1,
    why="`__post_init__` runs on the expressions, and again on the values.",
)
def dataclass_derives():
    return Doubled(see(1))


@case("Methods of a named tuple", runs=1)
def named_tuple():
    pair = identity(Pair(1, 2))
    return [pair._replace(first=3), pair._asdict(), pair._fields]


@case("Attributes that are called as those of a call", runs=1)
def named_as_calls_are():
    return [type(getattr(see(1), name)).__name__ for name in ("options", "exported", "length")]


@case("An item that is not there", runs=1)
def missing_item():
    return tree()["missing"]


@case("Tasks are arguments and results")
def higher_order():
    return [apply(see, 3), apply(pick(True), 4), pick(False)(5)]


@case("Recursion, each call once")
def recursion():
    return fibonacci(10)


@case("Recursion, 100 deep", runs=1)
def deep():
    return count_down(100)


@case(
    "A long chain of calls",
    runs=1,
    why="Depth has no limit.",
)
def chain():
    number = see(0)
    for _ in range(400):
        number = add(number, 1)
    return number


@case("Default arguments may be calls")
def default_arguments():
    @task(name="with_default")
    def with_default(value=add(1, 2), *, more=identity([4])):
        return [value, more]

    return [with_default(), with_default(0)]


@case("Variable arguments", runs=1)
def variable_arguments():
    @task(name="variable")
    def variable(first, *rest, key=1, **more):
        return [first, rest, key, more]

    return [variable(1), variable(1, 2, see(3), key=4, other=see(5))]


@case(
    "Default arguments, given or not, are the same call",
    why="A default that is given is the default.",
)
def default_given():
    @task(name="defaulted")
    def defaulted(value=1):
        ran("defaulted")
        return value

    return [defaulted(), defaulted(1), defaulted(value=1)]


@case(
    "A set inside of a list, in any order",
    why="Equal values have equal keys.",
)
def sets():
    @task(name="of_set")
    def of_set(values):
        ran("of_set")
        return len(values[0])

    yield of_set([{0, 8}])
    yield of_set([{8, 0}])  # Python keeps the two in another order.


@case(
    "Equal strings that are other objects",
    why="As above.",
)
def equal_strings():
    @task(name="of_strings")
    def of_strings(values):
        ran("of_strings")
        return values

    word = "".join(["wo", "rd"])
    yield of_strings([word, word])
    yield of_strings([word, "".join(["wo", "rd"])])


@case(
    "A value that cannot be pickled",
    runs=1,
    why=BAD_INPUT,
)
def unpicklable():
    return see(lambda: 1)


@case(
    "A missing argument",
    runs=1,
    why=SAID_EARLY,
)
def wrong_arguments():
    return add(1)


@case(
    "An argument too many",
    runs=1,
    why=SAID_EARLY,
)
def too_many_arguments():
    return add(1, 2, 3)
