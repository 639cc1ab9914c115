"""Which calls are one call: CSE, cache scopes, validity, config_args, hashes of tasks."""

from __future__ import annotations

from .case import BAD_INPUT, case, ran
from .engine import CacheResult, CacheScope, Run, task

redun_namespace = "caching"


@task
def see(value):
    ran(f"see({value!r})")
    return value


@task
def main():
    ran("main")
    return [see(1), see(1)]


def scoped(scope):
    @task(name=f"scoped_{scope}", cache_scope=scope)
    def work(number):
        ran("work")
        return number

    return work


@case("Equal calls run once, and are replayed")
def equal_calls():
    return main()


@case("cache_scope BACKEND")
def scope_backend():
    work = scoped("BACKEND")
    return [work(1), work(1)]


@case("cache_scope CSE")
def scope_cse():
    work = scoped("CSE")
    return [work(1), work(1)]


@case(
    "cache_scope NONE, two calls",
    why="Two calls are two, one call in several places is one, as in plain Python.",
)
def scope_none():
    work = scoped("NONE")
    return [work(1), work(1)]


@case("cache_scope NONE, one call in several places")
def scope_none_shared():
    call = scoped("NONE")(2)
    return [call, call, {"a": call}]


@case("cache_scope takes the enumeration")
def scope_enumeration():
    @task(name="enumerated", cache_scope=CacheScope.CSE)
    def work(number):
        ran("work")
        return number

    return [work(1), work(1)]


@case("cache=False is CSE")
def cache_false():
    @task(name="cache_false", cache=False)
    def work():
        ran("work")
        return 1

    return [work(), work()]


@case("cache=True and cache_scope NONE", why="The narrower of the two holds.")
def cache_true():
    @task(name="cache_true", cache=True, cache_scope="NONE")
    def work():
        ran("work")
        return 1

    return [work(), work()]


@case("1, 1.0 and True are three arguments", runs=1)
def told_apart():
    return [see(1), see(1.0), see(True)]


@case("A run without cache")
def run_uncached():
    yield Run(main())
    yield Run(main(), {"cache": False})
    yield Run(main())


@case("Errors are not replayed")
def errors():
    @task(name="raises_error")
    def raises_error():
        ran("raises_error")
        raise ValueError

    return raises_error()


@case("allowed_cache_results: CSE only")
def allowed_cse():
    @task(name="allowed_cse", allowed_cache_results={CacheResult.CSE})
    def work():
        ran("work")
        return 1

    return [work(), work()]


@case("allowed_cache_results: ultimate results only, of a shallow task")
def allowed_ultimate():
    @task(
        name="allowed_ultimate",
        check_valid="shallow",
        allowed_cache_results={CacheResult.ULTIMATE},
    )
    def work():
        ran("work")
        return see(1)

    return work()


@case("allowed_cache_results: single results only, of a shallow task")
def allowed_single():
    @task(
        name="allowed_single",
        check_valid="shallow",
        allowed_cache_results={CacheResult.SINGLE},
    )
    def work():
        ran("work")
        return see(1)

    return work()


@case("config_args are no part of the key")
def config_args():
    @task(name="configured", config_args=["memory"])
    def work(number, memory):
        ran("work")
        return [number, memory]

    yield work(1, 2)
    yield work(1, 3)
    yield work(2, memory=3)


@case(
    "config_args that are no arguments",
    runs=1,
    why=BAD_INPUT,
)
def config_args_unknown():
    @task(config_args=["zz"])
    def work(number):
        return number

    return work(1)


@case("When the version changes, a task runs again; back, it is replayed")
def versions():
    for version in "aaba":

        @task(name="versioned", version=version)
        def work():
            ran("work")
            return version

        yield work()


@case("When hash_includes changes, a task runs again")
def hash_includes():
    for included in ([1], [1], [2]):

        @task(name="including", hash_includes=included)
        def work():
            ran("work")
            return 1

        yield work()


@case("When a task below changes, only it runs again")
def below_changes():
    for version in "ab":

        @task(name="below", version=version)
        def below():
            ran("below")
            return version

        @task(name="above", version="1")
        def above():
            ran("above")
            return see(below())

        yield above()


@case("When a task below a shallow one changes")
def below_shallow_changes():
    for version in "aab":

        @task(name="below_shallow", version=version)
        def below():
            ran("below")
            return version

        @task(name="shallow", version="1", check_valid="shallow")
        def above():
            ran("above")
            return below()

        yield above()


@case("A task of the same name in another namespace")
def namespaces():
    @task(name="same", namespace="one", version="1")
    def first():
        ran("first")
        return 1

    @task(name="same", namespace="two", version="1")
    def second():
        ran("second")
        return 2

    return [first(), second()]


@case("A result that is an expression is replayed step by step")
def steps():
    @task(name="steps_inner")
    def inner():
        ran("inner")
        return see(5)

    @task(name="steps_outer")
    def outer():
        ran("outer")
        return [inner(), see(6)]

    yield outer()
    yield outer()
    yield inner()


@case("When a task that is an argument changes")
def task_argument_changes():
    for version in "aab":

        @task(name="argument", version=version)
        def argument():
            ran("argument")
            return version

        @task(name="takes_task", version="1")
        def takes(callable_task):
            ran("takes")
            return callable_task()

        yield takes(argument)


@case("When a task in a partial one changes")
def partial_argument_changes():
    for version in "aab":

        @task(name="partly", version=version)
        def partly(number):
            ran("partly")
            return version * number

        @task(name="takes_partial", version="1")
        def takes(callable_task):
            ran("takes")
            return callable_task()

        yield takes(partly.partial(2))


@case(
    "When a task that is a result changes",
    why="A result that holds a task is valid while the task is what it was, as for files.",
)
def task_result_changes():
    for version in "aab":

        @task(name="result", version=version)
        def result():
            ran("result")
            return version

        @task(name="gives_task", version="1")
        def gives():
            ran("gives")
            return result

        yield gives()()
