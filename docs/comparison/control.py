"""Choosing, ordering and throwing: cond, seq, throw."""

from __future__ import annotations

from .case import BAD_INPUT, SAID_EARLY, case, ran
from .engine import cond, identity, seq, task, throw

redun_namespace = "control"


@task
def see(value):
    ran(f"see({value!r})")
    return value


@task
def fail():
    ran("fail")
    raise ValueError("failed")


@task
def pair(value):
    ran(f"pair({value!r})")
    return [value, see(value)]


@task
def numbers():
    return [see(1), see(2)]


@case("cond evaluates its condition and one branch")
def cond_branches():
    return [cond(see(1), see("yes"), see("no")), cond(see(0), see("yes"), see("no"))]


@case("A chained cond takes the first condition that holds; what follows is not evaluated")
def cond_chained():
    return cond(see(0), see("a"), see(""), see("b"), see(2), see("c"), see(3), see("d"), see("e"))


@case("The last argument of a chained cond is its else")
def cond_else():
    return cond(see(0), see("a"), see(""), see("b"), see("else"))


@case("Without an else, a condition that holds suffices")
def cond_without_else():
    return cond(see(1), see("a"))


@case(
    "Without an else, and no condition holds",
    runs=1,
    why=BAD_INPUT,
)
def cond_nothing_holds():
    return cond(see(0), see("a"))


@case("Conditions and branches may be plain values", runs=1)
def cond_values():
    return [cond(True, 1, 2), cond([], 1, 2), cond(None, "a", {}, "b", "c")]


@case("A nested value holds if Python says so", runs=1)
def cond_nested_condition():
    return [cond([see(0)], 1, 2), cond({}, 1, 2)]


@case("A branch may be a nested value", runs=1)
def cond_nested_branch():
    return cond(see(1), [see(2), {"a": (see(3),)}], 0)


@case("An error in the condition goes up, no branch is evaluated", runs=1)
def cond_failing_condition():
    return cond(fail(), see(1), see(2))


@case("An error in the branch that is not taken does not matter", runs=1)
def cond_failing_branch():
    return cond(see(1), see(2), fail())


@case("A cond inside a cond")
def cond_nested():
    return cond(cond(see(0), True, see(0)), "a", cond(see(1), see("b"), "c"))


@case("cond leaves no job of its own", jobs=True)
def cond_jobs():
    @task(name="cond_main")
    def main():
        return cond(see(1), see(2), see(3))

    return main()


@case(
    "cond with a condition alone",
    runs=1,
    why=SAID_EARLY,
)
def cond_condition_alone():
    return cond(True)


@case("seq evaluates one after the other", in_order=True)
def seq_order():
    return seq([see(3), see(1), see(2)])


@case("seq waits for all that an element calls", runs=1, in_order=True)
def seq_whole():
    return seq([pair(1), see(2), pair(3)])


@case("An error ends a seq, what follows is not evaluated", in_order=True)
def seq_error():
    return seq([see(1), fail(), see(2)])


@case("seq takes plain and nested values", runs=1, in_order=True)
def seq_values():
    return seq([1, [see(2), (see(3),)], "a"])


@case("seq of nothing", runs=1)
def seq_empty():
    return seq([])


@case("seq of a tuple gives a list", runs=1)
def seq_tuple():
    return seq((see(1), see(2)))


@case(
    "seq of a lazy list",
    runs=1,
    why="A lazy list is evaluated first, as `map_` does.",
)
def seq_lazy():
    return seq(numbers())


@case("Equal elements of a seq are evaluated once", runs=1)
def seq_equal():
    return seq([see(1), see(1)])


@case("A long seq", runs=1)
def seq_long():
    return seq([identity(number) for number in range(150)])[-1]


@case("throw raises when it is evaluated")
def throw_raises():
    return throw(KeyError("thrown"))


@case("throw in the branch that is not taken", runs=1)
def throw_not_taken():
    return cond(see(1), "fine", throw(ValueError()))


@case("throw takes a lazy error", runs=1)
def throw_lazy():
    return throw(identity(OSError("lazy")))


@case(
    "throw of what is no error",
    runs=1,
    why=BAD_INPUT,
)
def throw_number():
    return throw(3)
