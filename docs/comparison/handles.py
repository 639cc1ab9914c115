"""Handles: what is kept of them, and which of their states are valid."""

from __future__ import annotations

import pickle

from .case import BAD_INPUT, Fact, case, ran
from .engine import Handle, identity, merge_handles, task

redun_namespace = "handles"


class Connection:
    """Stands for what a handle holds."""

    def __init__(self, path):
        self.path = path
        self.sent = []

    def greet(self):
        return f"hello from {self.path}"


class Store(Handle):
    """A handle with an instance."""

    def __init__(self, name, path, namespace=None):
        self.path = path
        self.instance = Connection(path)


class Plain(Handle):
    """A handle without one."""

    def __init__(self, name):
        self.state = []


class Nameless(Handle):
    """A handle whose constructor takes no name."""

    def __init__(self):
        pass


@task
def load(store, rows):
    ran(f"load({rows})")
    return store


@task
def load_more(store, rows):
    ran(f"load_more({rows})")
    return store


@task
def ask(store):
    ran("ask")
    return store.greet()


def versioned(name, version):
    """Make a task that hands its handle on, of a version."""

    @task(name=name, version=version)
    def step(store):
        ran(f"{name} {version}")
        return store

    return step


def flow(version, body):
    """Make a main task of a version, which calls what it is given."""

    @task(name="flow", version=version)
    def main():
        return body(Store("store", "path"))

    return main()


@case("Attributes are its own, then those of its instance")
def attributes():
    store = Store("name", "path")
    yield Fact(f"{store.path}, {store.greet()}, {store.sent}")
    try:
        store.missing
    except AttributeError:
        yield Fact("raises AttributeError")


@case("Name, namespace and full name")
def names():
    info = Store("name", "path", namespace="space").__handle__
    yield Fact(f"{info.name}, {info.namespace}, {info.fullname}")
    yield Fact(Store("name", "path").__handle__.fullname)


@case("Only what its constructor was given is pickled, and given to it again")
def pickled():
    store = Store("name", "path")
    store.sent.append(1)
    again = pickle.loads(pickle.dumps(store))
    yield Fact(f"{again.path}, {again.sent}")
    yield Fact(f"same key: {again.get_hash() == store.get_hash()}")


@case("Its key is of its class, name and arguments")
def keys():
    one = Store("a", "path")
    for other in (Store("a", "path"), Store("b", "path"), Store("a", "elsewhere")):
        yield Fact(f"same key: {one.get_hash() == other.get_hash()}")


@case("A handle passes through tasks")
def chain():
    @task(name="chain_main")
    def main():
        return load_more(load(Store("store", "path"), 1), 2)

    return main()


@case("Reading does not change it")
def reading():
    @task(name="reading_main")
    def main():
        store = Store("store", "path")
        loaded = load(store, 1)
        return [ask(store), ask(store), ask(loaded), loaded.greet()]

    return main()


@case("Handles in nested values", runs=2)
def nested():
    return {"a": [load(Store("store", "path"), 1)]}


@case("When a step changes, it and what follows run again; also when it is changed back")
def step_changes():
    for version in "aabbaa":
        last = versioned("last", version)
        yield flow("1", lambda store: last(load(store, 1)))


@case("When a first step changes, all that follow run again")
def first_step_changes():
    for version in "aaba":
        first = versioned("first", version)
        yield flow("1", lambda store: load_more(first(store), 1))


@case("A step that is put in, and taken out again")
def step_between():
    between = versioned("between", "1")
    yield flow("1", lambda store: load_more(load(store, 1), 2))
    yield flow("2", lambda store: load_more(between(load(store, 1)), 2))
    yield flow("2", lambda store: load_more(between(load(store, 1)), 2))
    yield flow("1", lambda store: load_more(load(store, 1), 2))
    yield flow("1", lambda store: load_more(load(store, 1), 2))


@case("A step that is added at the end, taken away and added again")
def step_added():
    yield flow("1", lambda store: load(store, 1))
    yield flow("2", lambda store: load_more(load(store, 1), 2))
    yield flow("1", lambda store: load(store, 1))
    yield flow("2", lambda store: load_more(load(store, 1), 2))


@case("Other arguments in other runs undo each other")
def other_arguments():
    for rows in (1, 1, 2, 2, 1, 1):
        yield flow(str(rows), lambda store, rows=rows: load(store, rows))


@case("Branches in one run do not")
def branches():
    @task(name="branches_main")
    def main():
        store = Store("store", "path")
        return [load(store, 1), load(store, 2)]

    yield main()
    yield main()


@case("fork makes branches of their own")
def forked():
    @task(name="forked_main")
    def main():
        store = Store("store", "path")
        return [load(store.fork("x"), 1), load(store.fork("y"), 1)]

    yield main()
    yield main()


@case("After a merge: only the branch that changed, and what follows")
def merged():
    for one, two in ("aa", "aa", "ab", "aa", "aa", "ba"):
        left, right = versioned("left", one), versioned("right", two)
        after = versioned("after", "1")
        yield flow("1", lambda store: after(merge_handles([left(store), right(store)])))


@case("Merging one handle", runs=1)
def merged_one():
    return merge_handles([load(Plain("one"), 1)])


@case(
    "Merging handles of two names",
    runs=1,
    why=BAD_INPUT,
)
def merged_two_names():
    return merge_handles([Plain("one"), Plain("two")])


@case(
    "Merging nothing",
    runs=1,
    why=BAD_INPUT,
)
def merged_nothing():
    return merge_handles([])


@case(
    "Merging what is no handle",
    runs=1,
    why=BAD_INPUT,
)
def merged_numbers():
    return merge_handles([1, 2])


@case("A handle as an argument of the call that is run")
def top_argument():
    return load(Store("store", "path"), 1)


@case("A handle as a result that no task was given")
def made_inside():
    @task(name="made_inside")
    def make():
        ran("make")
        return Store("store", "path")

    return make()


@case(
    "A handle whose constructor takes no name",
    runs=1,
    why=BAD_INPUT,
)
def nameless():
    return identity(Nameless())
