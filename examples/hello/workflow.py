"""Hello world: calls that depend on each other, and when each of them runs again."""

from redun_lite import task

redun_namespace = "hello"


@task
def greet(name: str) -> str:
    return f"Hello, {name}!"


@task
def remark(text: str) -> str:
    return f"That was {len(text)} characters."


@task
def main(name: str = "world") -> str:
    # A call returns an expression, not a value: at this point no greeting exists.  It may be
    # passed on and combined all the same, and the scheduler works out what runs when.
    greeting = greet(name)
    return greeting + " " + remark(greeting)
