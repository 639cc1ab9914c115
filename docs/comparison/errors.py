"""Handling errors: catch and catch_all."""

from __future__ import annotations

from collections import namedtuple

from .case import CHECKED_FIRST, case, ran, show
from .engine import catch, catch_all, cond, eval_, identity, seq, task, throw

redun_namespace = "errors"

Point = namedtuple("Point", "x y")


class Refused(Exception):
    """An error that holds more than its message."""

    def __init__(self, message, amount):
        super().__init__(message, amount)
        self.amount = amount


@task
def divide(by):
    ran(f"divide({by})")
    return 12 // by


@task
def deep():
    ran("deep")
    return deeper()


@task
def deeper():
    ran("deeper")
    raise ValueError("deep down")


@task
def fails():
    ran("fails")
    raise KeyError("k")


@task
def refuse():
    raise Refused("no", 7)


@task
def recover(error):
    ran("recover")
    return f"recovered from {type(error).__name__}"


@task
def recover_other(error):
    ran("recover_other")
    return "other"


@task
def recover_amount(error):
    return error.amount


@task
def recover_lazily(error):
    ran("recover_lazily")
    return [divide(6), divide(3)]


@task
def recover_badly(error):
    ran("recover_badly")
    raise OSError("while recovering")


@task
def report(values):
    ran("report")
    return show(values)


@task
def fail_with_all(values):
    ran("fail_with_all")
    raise RuntimeError(sum(isinstance(value, Exception) for value in values))


@case("catch gives what the handler makes of the error; a handled error is not tried again")
def handled():
    return catch(divide(0), ZeroDivisionError, recover)


@case(
    "The same inside of a task",
    jobs=True,
    why="A replay also tells which calls had failed and were handled.",
)
def handled_in_task():
    @task(name="handled_main")
    def main():
        ran("main")
        return catch(deep(), ValueError, recover)

    return main()


@case("Without an error, the handler does not run")
def no_error():
    return catch(divide(3), ZeroDivisionError, recover)


@case("An error of another class goes up, and is not remembered")
def other_class():
    return catch(divide(0), KeyError, recover)


@case("A handler takes subclasses of its class", runs=1)
def superclass():
    return catch(divide(0), ArithmeticError, recover)


@case("One handler may have several classes")
def several_classes():
    return [
        catch(divide(0), (KeyError, ZeroDivisionError), recover),
        catch(deep(), (KeyError, ValueError), recover),
    ]


@case("Of several handlers, the first that fits")
def several_handlers():
    return catch(deep(), KeyError, recover_other, (OSError, ValueError), recover)


@case("An error in the handler goes up; each run tries again")
def handler_fails():
    return catch(divide(0), ZeroDivisionError, recover_badly)


@case("An error in the handler is not for the handlers beside it", runs=1)
def handler_fails_beside():
    return catch(divide(0), ZeroDivisionError, recover_badly, OSError, recover)


@case("An error in the handler is for the catch around")
def handler_fails_around():
    return catch(catch(divide(0), ZeroDivisionError, recover_badly), OSError, recover)


@case("The handler is given the error itself, with its attributes")
def error_attributes():
    return catch(refuse(), Refused, recover_amount)


@case("A handler may return further calls")
def handler_returns_calls():
    return catch(divide(0), ZeroDivisionError, recover_lazily)


@case("A handler may be a partial task", runs=1)
def handler_partial():
    return catch(divide(0), ArithmeticError, eval_.partial("type(e).__name__", pos_args=["e"]))


@case("A handler may be lazy", runs=1)
def handler_lazy():
    return catch(divide(0), ArithmeticError, identity(recover))


@case("catch takes a nested value", runs=1)
def nested_value():
    return catch([throw(KeyError()), 1, {"a": 2}], KeyError, recover)


@case("Errors of operators are caught", runs=1)
def operator_error():
    return catch(divide(1) + "a", TypeError, recover)


@case("Errors in arguments are caught", runs=1)
def argument_error():
    return catch(divide(divide(0)), ZeroDivisionError, recover)


@case("What throw throws is caught")
def caught_throw():
    return catch(throw(KeyError("k")), KeyError, recover)


@case("Errors of other scheduler tasks are caught")
def caught_cond():
    return catch(cond(deep(), 1, 2), ValueError, recover)


@case("An error that is handled in one place and not in another")
def handled_once():
    return seq([catch(deep(), ValueError, recover), deep()])


@case(
    "A handled error of a task without cache",
    why="A task that is not to be replayed is not, whether it returns or raises.",
)
def handled_uncached():
    @task(cache=False)
    def uncached():
        ran("uncached")
        raise ValueError

    return catch(uncached(), ValueError, recover)


@case(
    "When the handler changes, it runs again",
    why="What a call raised is kept with that call, not with its handler.",
)
def handler_changes():
    for version in "aab":

        @task(name="recover_version", version=version)
        def recover_version(error):
            ran("recover_version")
            return version

        yield catch(fails(), KeyError, recover_version)


@case(
    "When the task that failed changes",
    why="A handled error is a result like others: it stands as long as the code that it came from.",
)
def failing_task_changes():
    for version in "aab":

        @task(name="fails_version", version=version)
        def fails_version():
            ran("fails_version")
            if version == "b":
                return "fine"
            raise KeyError

        yield catch(fails_version(), KeyError, recover)


@case(
    "When a task below the failing call changes",
    why="As above.",
)
def deep_task_changes():
    for version in "aab":

        @task(name="fails_below", version=version)
        def fails_below():
            ran("fails_below")
            if version == "b":
                return "fine"
            raise KeyError

        @task(name="fails_above", version="1")
        def fails_above():
            ran("fails_above")
            return fails_below()

        yield catch(fails_above(), KeyError, recover)


@case("A shallow task around a handled error")
def handled_in_shallow():
    @task(name="shallow_main", check_valid="shallow")
    def main():
        ran("main")
        return catch(deep(), ValueError, recover)

    return main()


@case(
    "A handler that is no task, and an error",
    runs=1,
    why=CHECKED_FIRST,
)
def handler_number():
    return catch(divide(0), ZeroDivisionError, 3)


@case(
    "A handler that is no task, and no error",
    runs=1,
    why=CHECKED_FIRST,
)
def handler_number_unused():
    return catch(divide(1), ZeroDivisionError, 3)


@case(
    "A class without a handler",
    runs=1,
    why=CHECKED_FIRST,
)
def class_alone():
    return catch(divide(0), ZeroDivisionError)


@case(
    "A class that is none, and no error",
    runs=1,
    why=CHECKED_FIRST,
)
def class_text_unused():
    return catch(divide(1), "text", recover)


@case(
    "A class that is none, and an error",
    runs=1,
    why=CHECKED_FIRST,
)
def class_text():
    return catch(divide(0), "text", recover)


@case("catch of nothing passes the value on", runs=1)
def catch_alone():
    return catch(divide(3))


# catch_all


@case("catch_all without errors gives the values")
def all_fine():
    return catch_all([divide(1), divide(2)], ZeroDivisionError, report)


@case("catch_all gives the handler everything, errors in their places; they are tried again")
def all_handled():
    return catch_all([divide(1), divide(0), divide(2)], ZeroDivisionError, report)


@case("catch_all in nested values", runs=1)
def all_nested():
    return catch_all({"a": [divide(1), (divide(0),)], "b": {divide(2)}}, ArithmeticError, report)


@case("catch_all in a named tuple", runs=1)
def all_named_tuple():
    return catch_all(Point(divide(0), 3), ArithmeticError, report)


@case("catch_all of several classes", runs=1)
def all_several_classes():
    values = [divide(0), fails(), deep(), divide(4)]
    return catch_all(values, (ZeroDivisionError, KeyError, ValueError), report)


@case("An error of another class is raised when all is done", runs=1)
def all_other_class():
    return catch_all([divide(0), fails(), divide(4)], ZeroDivisionError, report)


@case("catch_all without class and handler raises when all is done")
def all_alone():
    return catch_all([divide(1), divide(0), divide(2)])


@case("catch_all with a class and no handler", runs=1)
def all_class_alone():
    return catch_all([divide(1), divide(0)], ZeroDivisionError)


@case("catch_all of a single call", runs=1)
def all_single():
    return catch_all(divide(0), ZeroDivisionError, report)


@case("Errors inside of an argument are errors of the call", runs=1)
def all_argument():
    return catch_all(identity([divide(0), divide(1)]), ZeroDivisionError, report)


@case("An exception that is only a value is no error", runs=1)
def all_values():
    @task
    def give_error():
        return ValueError("a value")

    return catch_all([give_error(), KeyError("k"), divide(1)], Exception, report)


@case("The handler of catch_all may raise")
def all_handler_raises():
    return catch_all([divide(0), divide(1), divide(0)], ZeroDivisionError, fail_with_all)


@case(
    "A handler of catch_all that is no task",
    runs=1,
    why=CHECKED_FIRST,
)
def all_handler_number():
    return catch_all([divide(0), divide(1)], ZeroDivisionError, 3)


@case("What catch_all records", jobs=True)
def all_jobs():
    @task(name="all_main")
    def main():
        return catch_all([divide(1), divide(0)], ZeroDivisionError, report)

    return main()
