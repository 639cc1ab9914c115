"""The tasks of functools."""

from __future__ import annotations

import operator
from importlib import import_module

from .case import BAD_INPUT, SAID_EARLY, Fact, case, ran
from .engine import (
    ENGINE,
    apply_func,
    as_task,
    compose,
    const,
    delay,
    eval_,
    flat_map,
    flatten,
    force,
    identity,
    map_,
    starmap,
    task,
    zip_,
)

redun_namespace = "functions"


@task
def increase(number):
    ran(f"increase({number})")
    return number + 1


@task
def double(number):
    return number * 2


@task
def numbers(count):
    ran("numbers")
    return [increase(number) for number in range(count)]


@task
def pair(first, second="b"):
    return [first, second]


@task
def with_next(number):
    return [number, increase(number)]


@case("They are in the module functools", runs=1)
def places():
    names = (
        "apply_func as_task compose const delay eval_ flat_map flatten force identity map_ no_prov "
        "seq starmap zip_"
    )
    module = import_module(f"{ENGINE}.functools")
    yield Fact(", ".join(name for name in names.split() if hasattr(module, name)))


@case("compose applies the last task first")
def composed():
    return compose(increase, double)(5)


@case("compose of one, and of partial tasks", runs=1)
def composed_others():
    triple = eval_.partial("n * 3", pos_args=["n"])
    return [compose(increase)(5), compose(increase, triple, increase)(1)]


@case(
    "compose of nothing",
    runs=1,
    why=SAID_EARLY,
)
def composed_nothing():
    return compose()(5)


@case("What compose gives", runs=1)
def composed_is():
    return identity(compose(increase, double))


@case("identity evaluates nested values", runs=1)
def identities():
    return identity([increase(1), {"a": increase(2)}])


@case("delay evaluates nothing until it is forced")
def delayed():
    return [identity(delay(increase(1))), force(delay(increase(2))), delay(increase(3))()]


@case(
    "force of what is not delayed",
    runs=1,
    why=BAD_INPUT,
)
def forced_number():
    return force(3)


@case("const evaluates both and gives the first")
def constant():
    return const(1, increase(2))


@case("apply_func calls a function with what lazy values come to")
def applied():
    return [
        apply_func(len, [1, increase(1)]),
        apply_func(sorted, [3, increase(1)], reverse=True),
        apply_func(operator.add, increase(1), 5),
    ]


@case(
    "apply_func of a lambda",
    runs=1,
    why=BAD_INPUT,
)
def applied_lambda():
    return apply_func(lambda value: value, 1)


@case("as_task makes a task of a function")
def task_of_function():
    return [as_task(max)(10, 20, increase(30)), map_(as_task(str), [1, increase(1)])]


@case("eval_ evaluates a text with variables")
def evaluated():
    return [
        eval_("a + b", a=1, b=increase(2)),
        eval_("a + b", 1, increase(3), pos_args=["a", "b"]),
        eval_("[n + more for n in numbers]", numbers=[1, 2], more=10),
        eval_("len(a)", a=[1]),
    ]


@case("eval_ with an unknown name", runs=1)
def evaluated_unknown():
    return eval_("a + zz", a=1)


@case(
    "eval_ with positional arguments that have no name",
    runs=1,
    why=BAD_INPUT,
)
def evaluated_unnamed():
    return eval_("1", 5)


@case("map_ calls a task for each element")
def mapped():
    return map_(increase, [1, 2, increase(2)])


@case("map_ takes a lazy list")
def mapped_lazy():
    return map_(increase, numbers(2))


@case(
    "map_ takes what can be iterated",
    runs=1,
    why="A text or a dict for a list is nearly always a slip; `list(...)` says that it is meant.",
)
def mapped_others():
    return [map_(increase, (1, 2)), map_(increase, {5: "five"}), map_(identity, "ab")]


@case("map_ of nothing", runs=1)
def mapped_nothing():
    return map_(increase, [])


@case(
    "map_ takes a lazy task, and a function",
    runs=1,
    why="`as_task` makes a task of a function, and then its calls are recorded.",
)
def mapped_callables():
    return [map_(identity(increase), [1]), map_(len, ["ab"])]


@case(
    "map_ over what cannot be iterated",
    runs=1,
    why=BAD_INPUT,
)
def mapped_number():
    return map_(increase, 3)


@case("map_ leaves no job of its own", jobs=True)
def mapped_jobs():
    @task(name="mapped_main")
    def main():
        return map_(increase, numbers(1))

    return main()


@case("starmap calls a task with each dict as keywords")
def starmapped():
    return [
        starmap(pair, [{"first": 1}, {"first": increase(2), "second": 3}]),
        starmap(pair, identity([{"first": 5}])),
        starmap(pair),
    ]


@case(
    "starmap of tuples",
    runs=1,
    why=BAD_INPUT,
)
def starmapped_tuples():
    return starmap(pair, [(1, 2)])


@case("flatten takes away one level")
def flattened():
    return [flatten([[1], [increase(1), 3], []]), flatten([[1, [2]], (3,)])]


@case("flat_map", runs=1)
def flat_mapped():
    return flat_map(with_next, [1, increase(3)])


@case("zip_ ends with the shortest list")
def zipped():
    return [
        zip_([1, increase(1)], ["a", "b"]),
        zip_([1], [2, 3]),
        zip_([1], [2], [3]),
        zip_([1, 2]),
        zip_(),
    ]


@case(
    "Which of them leave jobs",
    runs=1,
    jobs=True,
    why="`compose` and `starmap` only arrange calls: they leave no job of their own.",
)
def all_jobs():
    @task(name="functions_main")
    def main():
        return [
            identity(1),
            const(2, 3),
            flatten([[4]]),
            zip_([5], [6]),
            apply_func(len, [7]),
            eval_("a", a=8),
            force(delay(9)),
            compose(double)(10),
            starmap(pair, [{"first": 11}]),
            flat_map(with_next, [12]),
        ]

    return main()
