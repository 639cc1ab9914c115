"""Async tasks."""

from __future__ import annotations

import asyncio

from .case import BAD_INPUT, case, ran
from .engine import cond, task

redun_namespace = "asynchronous"


@task
def increase(number):
    ran(f"increase({number})")
    return number + 1


@task
def fail():
    ran("fail")
    raise ValueError("failed")


@task
def nested():
    return [increase(1), {"a": (increase(2),)}]


@task(cache=True, check_valid="shallow")
async def cached(number):
    ran("cached")
    first = await increase(number)
    ran("went on")
    return first * 10


@task(cache=False)
async def uncached(number):
    ran("uncached")
    return await increase(number)


@case("An async task that is cached", jobs=True)
def with_cache():
    return cached(1)


@case("An async task without cache runs each time; what it awaits is cached", jobs=True)
def without_cache():
    return uncached(1)


@case(
    "An async task without options",
    why="It needs no options: what it awaited is looked at before its result is replayed.",
)
def without_options():
    @task
    async def plain():
        ran("plain")
        return await increase(1)

    return plain()


@case(
    "An async task without options, when a task that it awaited changes",
    why="As above.",
)
def awaited_changes():
    for version in "aab":

        @task(name="awaited", version=version)
        def awaited():
            ran("awaited")
            return version

        @task(name="awaits", version="1")
        async def awaits():
            ran("awaits")
            return await awaited()

        yield awaits()


@case("A cached async task, when a task that it awaited changes")
def awaited_changes_shallow():
    for version in "aab":

        @task(name="awaited_below", version=version)
        def awaited():
            ran("awaited")
            return version

        @task(name="awaits_shallow", version="1", cache=True, check_valid="shallow")
        async def awaits():
            ran("awaits")
            return await awaited()

        yield awaits()


@case("It awaits all of a nested result", runs=1)
def awaits_nested():
    @task(cache=False)
    async def main():
        return await nested()

    return main()


@case("It awaits operators, attributes and scheduler tasks", runs=1)
def awaits_expressions():
    @task(cache=False)
    async def main():
        return [
            await (increase(1) + increase(2)),
            await nested()[1]["a"],
            await cond(increase(0), increase(5), increase(6)),
        ]

    return main()


@case("It goes on with what it awaited", runs=1, in_order=True)
def goes_on():
    @task(cache=False)
    async def main():
        number = 0
        while number < 3:
            number = await increase(number)
            ran(f"at {number}")
        return number

    return main()


@case("Its result may hold calls", jobs=True)
def returns_calls():
    @task(name="returns_calls", cache=False)
    async def main():
        return [await increase(1), increase(2), {"a": increase(3)}]

    return main()


@case("Awaiting one expression twice, and equal ones", runs=1)
def awaits_twice():
    @task(cache=False)
    async def main():
        expr = increase(1)
        return [await expr, await expr, await increase(1)]

    return main()


@case("asyncio.gather")
def gathers():
    @task(cache=False)
    async def main():
        return list(await asyncio.gather(increase(1), increase(2), increase(1)))

    return main()


@case("asyncio.gather with an error", runs=1)
def gathers_error():
    @task(cache=False)
    async def main():
        return list(await asyncio.gather(fail(), fail()))

    return main()


@case("asyncio.gather that returns errors", runs=1)
def gathers_errors():
    @task(cache=False)
    async def main():
        found = await asyncio.gather(increase(1), fail(), increase(3), return_exceptions=True)
        return [type(each).__name__ for each in found]

    return main()


@case("wait_for, ensure_future, wait, as_completed", runs=1)
def other_waits():
    @task(cache=False)
    async def main():
        found = [
            await asyncio.wait_for(increase(1), 60),
            await asyncio.ensure_future(increase(2)),
        ]
        futures = [asyncio.ensure_future(increase(3)), asyncio.ensure_future(increase(4))]
        done, _ = await asyncio.wait(futures)
        found.extend(sorted(future.result() for future in done))
        found.extend(sorted([await each for each in asyncio.as_completed([increase(5)])]))
        return found

    return main()


@case("An error of what is awaited can be handled", jobs=True)
def handles_error():
    @task(name="handles_error", cache=False)
    async def main():
        try:
            await fail()
        except ValueError as error:
            return f"handled {error}"

    return main()


@case("An error that was handled, in a cached task")
def handles_error_cached():
    @task(cache=True, check_valid="shallow")
    async def main():
        ran("main")
        try:
            await fail()
        except ValueError:
            return "handled"

    return main()


@case("An error that is not handled goes up")
def error_goes_up():
    @task(cache=False)
    async def main():
        return await fail()

    return main()


@case("An error of its own")
def own_error():
    @task(cache=True, check_valid="shallow")
    async def main():
        ran("main")
        await increase(1)
        raise KeyError

    return main()


@case("Async tasks await each other and asyncio", runs=1)
def awaits_async():
    @task(cache=False)
    async def main():
        await asyncio.sleep(0)
        return [await uncached(1), await cached(2)]

    return main()


@case("Sync tasks call async ones", runs=1)
def called_by_sync():
    @task
    def main():
        return [uncached(1), increase(uncached(5))]

    return main()


@case("Default arguments and nout", runs=1)
def defaults():
    @task(cache=False, nout=2)
    async def two(number=increase(4)):
        return number, await increase(number)

    @task
    def main():
        first, second = two()
        return [second, first]

    return main()


@case("One that has nothing to await", runs=1)
def awaits_nothing():
    @task(cache=False)
    async def main():
        return 1

    return main()


@case(
    "Without any cache, in one run",
    why="Two calls are two.",
)
def scope_none():
    @task(cache_scope="NONE")
    async def main(number):
        ran("main")
        return await increase(number)

    return [main(1), main(1)]


@case("Awaiting what is no expression", runs=1)
def awaits_number():
    @task(cache=False)
    async def main():
        return await 3

    return main()


@case(
    "An async task in a process executor",
    runs=1,
    why="It could not await anything there, and does not silently run elsewhere.",
)
def in_process():
    @task(cache=False, executor="process")
    async def main():
        return await increase(1)

    return main()


@case(
    "A script task that is async",
    runs=1,
    why=BAD_INPUT,
)
def script():
    @task(cache=False, script=True)
    async def main():
        return "echo hello"

    return main()
