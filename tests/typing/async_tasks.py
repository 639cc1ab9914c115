"""A call of an async task can be awaited, and is accepted where its result is."""

# pyright: strict

from __future__ import annotations

import asyncio
from typing import Optional

from redun_lite import catch, cond, lazy, run, script, seq, task
from redun_lite.functools import flat_map, map_, starmap


@task
def double(x: int) -> int:
    return 2 * x


@task
async def fetch(url: str, retries: int = 3) -> bytes:
    return url.encode() * retries


@task(cache=False)
async def sizes(urls: list[str]) -> list[int]:
    return [len(await fetch(url)) for url in urls]


@task
def length(content: bytes) -> int:
    return len(content)


@task
def failed(error: Exception) -> None:
    print(error)


# A call

reveal_type(fetch)
# mypy reveals: Task[[url: str, retries: int =], Coroutine[Any, Any, bytes]]
# pyright reveals: Task[(url: str, retries: int = 3), CoroutineType[Any, Any, bytes]]
reveal_type(fetch("a"))  # reveals: Expression[bytes]
reveal_type(fetch.options(memory=1)("a"))  # reveals: Expression[bytes]
reveal_type(fetch.partial("a")())  # reveals: Expression[bytes]
reveal_type(run(fetch("a")))  # reveals: bytes
reveal_type(length(fetch("a")))  # reveals: int
fetch(1)
# mypy error: No overload variant of "__call__" of "Task" matches argument type "int"
# pyright error: "str"
fetch("a", tries=3)
# mypy error: No overload variant of "__call__" of "Task" matches argument types "str", "int"
# pyright error: No overloads for "__call__"


# In an async task


@task
async def main(url: str, limit: Optional[int] = None) -> int:
    content = await fetch(url)
    reveal_type(content)  # reveals: bytes
    await double(1)
    # mypy error: Incompatible types in "await" (actual type "int"
    # pyright error: "int" is not awaitable
    reveal_type(await lazy(double(1)))  # reveals: int
    reveal_type(await lazy([double(1), double(2)]))  # reveals: list[int]
    reveal_type(await lazy(cond(double(1), double(2), "none")))  # reveals: int | str
    reveal_type(await lazy(script("date")))  # reveals: bytes
    reveal_type(await asyncio.wait_for(fetch(url), 3))
    # mypy reveals: bytes | Any
    # pyright reveals: bytes
    reveal_type(await asyncio.gather(fetch(url), lazy(double(2))))
    # mypy reveals: tuple[bytes | Any, int | Any]
    # pyright reveals: tuple[bytes, int]
    reveal_type(await asyncio.gather(*[lazy(double(x)) for x in range(3)]))
    # mypy reveals: list[int | Any]
    # pyright reveals: list[int]
    return double(length(fetch(url)))


reveal_type(main("a"))  # reveals: Expression[int]

# With what calls tasks

reveal_type(map_(fetch, ["a", "b"]))  # reveals: list[bytes]
reveal_type(map_(fetch.partial(retries=1), ["a", "b"]))  # reveals: list[bytes]
reveal_type(starmap(fetch, [{"url": "a"}]))  # reveals: list[bytes]
reveal_type(flat_map(sizes, [["a"], ["b"]]))  # reveals: list[int]
reveal_type(seq([fetch("a"), fetch("b")]))  # reveals: list[bytes]
reveal_type(catch(fetch("a"), OSError, failed))  # reveals: Expression[bytes] | None
map_(fetch, [1])
# mypy error: Argument 1 to "__call__" of "MapTask"
# pyright error: "str"
