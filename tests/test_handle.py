"""Handles: what of them is recorded, the states they go through, and what makes a state invalid."""

from __future__ import annotations

import copy
import pickle
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support import Lab, SteeredExecutor, note, notes, python

import redun_lite
from redun_lite import (
    Handle,
    Scheduler,
    Value,
    get_type_registry,
    merge_handles,
    scheduler_task,
    task,
)
from redun_lite._db import Repository
from redun_lite._errors import HashError, NoCurrentScheduler, UsageError
from redun_lite._format_value import format_stored
from redun_lite._hash import key_of
from redun_lite._schema import APPLICATION_ID, MIGRATIONS, VERSION
from redun_lite._sqlite import connect

redun_namespace = "test_handle"


class World:
    """Something outside: a file with a line for each thing that was done to it."""

    def __init__(self, path):
        self.path = str(path)
        self.colour = "blue"

    def do(self, *words):
        note(self.path, *words)


class WorldHandle(Handle):
    def __init__(self, name, path):
        note(f"{path}.opened", threading.current_thread().name)
        self.instance = World(path)

    def twice(self, word):
        self.do(word, word)


class Connection(sqlite3.Connection):
    """Closed when it is collected, which some Pythons warn of if nobody did it."""

    def __del__(self):
        self.close()


class Database(Handle):
    def __init__(self, name, path):
        # Not only in its own thread, for it may be collected in another.
        self.instance = sqlite3.connect(path, factory=Connection, check_same_thread=False)


class TypedHandle(Handle):
    type_name = "test_handle.Typed"

    def __init__(self, name, path="x", *more, size=1, **others):
        self.size = size


class Steps:
    """Tasks that do something to a world, in versions, and the runs of workflows made of them."""

    def __init__(self, lab):
        self.lab = lab
        self.world = lab.folder / "world"

    def open(self, name="world"):
        return WorldHandle(name, str(self.world))

    def step(self, name, version="1", fails=False, **options):
        """Return a task that does something to the world and returns the handle."""

        def function(world, *args):
            world.do(name, version)
            if fails:
                raise ValueError(name)
            return world

        return task(name=name, version=version, **options)(function)

    def run(self, expr, *executors, **arguments):
        """Run a workflow; return what was done to the world."""
        before = len(notes(self.world))
        self.result = self.lab.run(expr, *executors, **arguments)
        return sorted(notes(self.world)[before:])

    def fails(self, expr):
        before = len(notes(self.world))
        with pytest.raises(ValueError, match=r"\w"):
            self.lab.run(expr)
        return sorted(notes(self.world)[before:])

    def valid(self):
        """Return how many states of calls are valid."""
        return self.lab.query("SELECT count(*) FROM handle_state WHERE valid = 1")[0]


@pytest.fixture
def steps(lab):
    return Steps(lab)


def lines(steps, first="1", second="1", count=2):
    """Return a workflow of two steps, one after the other."""
    one, two = steps.step("one", first), steps.step("two", second)

    @task(version=str(count))
    def main():
        world = one(steps.open())
        return two(world) if count == 2 else world

    return main()


def branches(steps, a="1", b="1", c="1"):
    """Return a workflow of two steps side by side, and one after both."""
    left, right, last = steps.step("left", a), steps.step("right", b), steps.step("last", c)

    @task(version="1")
    def main():
        world = steps.open()
        return last(merge_handles([left(world), right(world)]))

    return main()


# The object


def test_attributes_are_those_of_the_instance(tmp_path):
    handle = WorldHandle("world", str(tmp_path / "w"))
    assert handle.colour == "blue"
    handle.twice("a")
    assert notes(tmp_path / "w") == ["a a"]
    with pytest.raises(AttributeError, match=r"'World' object has no attribute 'nothing'"):
        _ = handle.nothing
    assert not hasattr(TypedHandle("t"), "instance")
    with pytest.raises(AttributeError, match=r"'TypedHandle' object has no attribute 'nothing'"):
        _ = TypedHandle("t").nothing


def test_an_attribute_is_set_on_the_handle_and_not_on_the_instance(tmp_path):
    handle = WorldHandle("world", str(tmp_path / "w"))
    handle.colour = "red"
    assert (handle.colour, handle.instance.colour) == ("red", "blue")


def test_a_handle_is_known_by_its_namespace_and_name():
    info = TypedHandle("t", "y", size=2).__handle__
    assert (info.name, info.namespace, info.fullname) == ("t", "test_handle", "test_handle.t")
    assert (info.args, info.kwargs) == (("t", "y"), {"size": 2})
    assert (info.class_name, info.call_hash, info.key) == ("test_handle.Typed", "", "")
    assert TypedHandle("t", namespace="other").__handle__.fullname == "other.t"
    assert TypedHandle("t", namespace="").__handle__.fullname == "t"
    assert Handle("plain").__handle__.name == "plain"


def test_a_name_may_be_given_by_keyword_or_by_default():
    class Named(Handle):
        def __init__(self, path, name="conn"):
            pass

    assert Named("x").__handle__.name == "conn"
    assert Named("x", "other").__handle__.name == "other"
    assert Named(name="third", path="x").__handle__.name == "third"


def test_the_state_depends_on_class_name_and_arguments_however_these_are_given():
    def state(*args, **kwargs):
        return TypedHandle(*args, **kwargs).get_hash()

    assert state("t", "y") == state("t", path="y") == state(name="t", path="y")
    assert state("t", b=1, a=2) == state("t", a=2, b=1)
    assert state("t", namespace="test_handle") == state("t")
    others = [
        state("t"), state("u"), state("t", "y"), state("t", "y", 3), state("t", size=2),
        state("t", namespace="n"), state("t", a=1), Handle("t").get_hash(),
    ]  # fmt: skip
    assert len(set(others)) == len(others)


def test_the_state_is_the_same_everywhere():
    pinned = "795be494db42fed372e8656c127a0aef41ef835e"
    assert TypedHandle("t", "y").get_hash() == pinned


def test_forks_and_calls_have_states_of_their_own():
    handle = TypedHandle("t")
    fork = handle.fork("a")
    called = handle.apply_call("00ff")
    assert fork.get_hash() == handle.fork("a").get_hash()
    assert called.get_hash() == handle.apply_call("00ff").get_hash()
    others = [handle, fork, handle.fork("b"), fork.fork("a"), called, fork.apply_call("00ff")]
    assert len({one.get_hash() for one in others}) == len(others)
    assert (fork.__handle__.call_hash, fork.__handle__.key) == (handle.get_hash(), "a")
    assert (called.__handle__.call_hash, called.__handle__.key) == ("00ff", "")


def test_the_key_of_a_handle_comes_from_its_state(tmp_path):
    handle = WorldHandle("world", str(tmp_path / "w"))
    before = key_of(handle)
    handle.do("something")
    handle.colour = "red"
    assert key_of(handle) == before != key_of(handle.fork("a"))


@pytest.mark.parametrize(
    "copied",
    [
        lambda handle: handle.fork("a"),
        lambda handle: pickle.loads(pickle.dumps(handle)),
        copy.copy,
        copy.deepcopy,
        lambda handle: get_type_registry().deserialize(handle.type_name, handle.serialize()),
    ],
)
def test_a_copy_is_initialized_when_it_is_first_used(tmp_path, copied):
    path = tmp_path / "w"
    handle = WorldHandle("world", str(path))
    other = copied(handle)
    assert other.__handle__.args == ("world", str(path))
    assert "WorldHandle(fullname=test_handle.world, hash=" in repr(other)
    assert isinstance(other, Value)
    assert other.is_valid()
    assert len(other.get_hash()) == 40
    assert len(notes(f"{path}.opened")) == 1
    assert other.instance is not handle.instance
    other.twice("x")
    assert len(notes(f"{path}.opened")) == 2


def test_setting_an_attribute_initializes_before():
    fork = TypedHandle("t", size=5).fork("a")
    fork.size = 7
    assert fork.size == 7


def test_threads_that_use_a_handle_at_once_initialize_it_once(tmp_path):
    entered = threading.Event()
    go_on = threading.Event()
    count = []

    class Slow(Handle):
        def __init__(self, name):
            if threading.current_thread() is not threading.main_thread():
                count.append(1)
                entered.set()
                assert go_on.wait(60)
            self.instance = World(name)

    fork = Slow("slow").fork("a")
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(fork.colour)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    go_on.set()
    for thread in threads:
        thread.join()
    assert (count, seen) == ([1], ["blue"] * 3)


def test_an_error_of_the_constructor_is_raised_where_the_handle_is_used(tmp_path):
    fails = []

    class Broken(Handle):
        def __init__(self, name):
            if fails:
                raise AttributeError("no such thing")
            self.instance = World(name)

    fork = Broken("broken").fork("a")
    fails.append(1)
    for _ in range(2):
        with pytest.raises(AttributeError, match="no such thing"):
            _ = fork.colour
    fails.clear()
    assert fork.colour == "blue"


# Handles that cannot be


def test_a_handle_needs_a_name():
    message = r"^TypedHandle: a handle's first argument is its name, not 5$"
    with pytest.raises(UsageError, match=message):
        TypedHandle(5)
    with pytest.raises(UsageError, match="is its name, not ''"):
        TypedHandle("")
    with pytest.raises(UsageError, match="Handle: a handle's first argument is its name"):
        Handle()


def test_arguments_that_the_constructor_does_not_take_are_named():
    message = r"^Database\(name, path\): missing a required argument: 'path'$"
    with pytest.raises(UsageError, match=message):
        Database("db")
    with pytest.raises(UsageError, match="got an unexpected keyword argument 'mode'"):
        Database("db", "x", mode=1)


def test_an_argument_that_cannot_be_stored_is_named():
    with pytest.raises(HashError, match=r"^argument 'path' of TypedHandle: .*lock.* cannot be"):
        TypedHandle("t", threading.Lock())
    with pytest.raises(HashError, match=r"^argument 'path' of TypedHandle\[0\]: .*cannot be"):
        TypedHandle("t", [threading.Lock()])


def test_a_lazy_argument_is_refused(steps):
    message = "^TypedHandle: argument 'path' is lazy; make the handle in a task that is given"
    with pytest.raises(UsageError, match=message):
        TypedHandle("t", steps.step("one")(steps.open()))


def test_a_fork_needs_a_text():
    with pytest.raises(UsageError, match=r"fork: a key is a str, not 1$"):
        TypedHandle("t").fork(1)


def test_what_cannot_be_merged_is_named(lab):
    a, b = TypedHandle("a"), TypedHandle("b")
    for handles, message in (
        ([], r"^merge_handles: expected a list of handles, not \[\]\n"),
        (a, "^merge_handles: expected a list of handles, not TypedHandle"),
        ([a, 1], "^merge_handles: expected handles, not 1\n"),
        ([a, b], r"a, hash=\w+\) and TypedHandle\(.*b, hash=\w+\) stand for two things"),
        ([a, Handle("a", namespace="test_handle")], "stand for two things"),
    ):
        with pytest.raises(UsageError, match=message):
            lab.run(merge_handles(handles))


def test_validity_needs_a_scheduler_once_a_call_has_given_the_state(steps):
    assert steps.open().is_valid()
    steps.run(lines(steps))
    with pytest.raises(NoCurrentScheduler):
        steps.result.is_valid()


# Through tasks


def test_tasks_get_and_return_handles_in_states_of_their_own(steps):
    states = []

    @task
    def look(world):
        states.append(world.get_hash())
        return world

    @task
    def main():
        world = steps.open()
        states.append(world.get_hash())
        return look(look(world))

    steps.run(main())
    states.append(steps.result.get_hash())
    assert len(set(states)) == 4
    edges = steps.lab.query("SELECT count(*) FROM handle_edge")
    assert edges == [4]
    steps.lab.audit()


def test_handles_inside_of_arguments_and_results_are_followed(steps):
    one, two = steps.step("one"), steps.step("two")

    @task
    def both(pair):
        first, second = pair["worlds"]
        first.do("both")
        return {"worlds": [first, second], "n": 1}

    @task
    def main():
        done = both({"worlds": [one(steps.open("a")), steps.open("b")]})
        return [two(done["worlds"][0]), two(done["worlds"][1])]

    assert steps.run(main()) == ["both", "one 1", "two 1", "two 1"]
    assert steps.run(main()) == []
    names = {world.__handle__.fullname for world in steps.result}
    assert names == {"test_handle.a", "test_handle.b"}


def test_each_task_uses_a_connection_that_was_made_in_its_own_thread(lab):
    path = str(lab.folder / "data.db")

    @task
    def create(db):
        db.execute("CREATE TABLE number (value)")
        db.commit()
        return db

    @task
    def insert(db, value):
        with db.instance:
            db.execute("INSERT INTO number VALUES (?)", (value,))
        return db

    @task
    def total(db):
        return db.execute("SELECT sum(value) FROM number").fetchone()[0]

    @task
    def main():
        db = create(Database("data", path))
        return total(merge_handles([insert(db, value) for value in range(10)]))

    assert lab.run(main()) == 45
    assert lab.run(main()) == 45
    assert lab.jobs() == {name: ["CACHED"] * len(ran) for name, ran in lab.jobs(1).items()}


def test_who_only_passes_a_handle_on_opens_nothing(steps):
    one, two = steps.step("one"), steps.step("two")

    @task
    def both(world):
        return two(one(world))

    @task
    def main():
        return both(steps.open())

    steps.run(main())
    opened = notes(f"{steps.world}.opened")
    assert len(opened) == 3  # By main, which makes it, and by those that use it.
    assert not any("Main" in thread for thread in opened)
    steps.run(main())
    assert notes(f"{steps.world}.opened") == opened


def test_handles_work_in_processes(steps):
    one, two = steps.step("one", executor="process"), steps.step("two", executor="process")

    @task
    def main():
        return two(one(steps.open()))

    assert steps.run(main()) == ["one 1", "two 1"]
    assert steps.run(main()) == []


def test_a_merged_handle_waits_for_its_branches_and_knows_them(steps):
    assert steps.run(branches(steps)) == ["last 1", "left 1", "right 1"]
    assert notes(steps.world)[-1] == "last 1"
    upstreams = steps.lab.query(
        "SELECT source.fullname FROM upstream JOIN call AS reader ON reader.id = call_id "
        "JOIN task ON task.id = reader.task_id JOIN call AS made ON made.id = upstream_id "
        "JOIN task AS source ON source.id = made.task_id "
        "WHERE task.fullname = 'test_handle.last' ORDER BY 1"
    )
    assert upstreams == ["test_handle.left", "test_handle.right"]


def test_merging_depends_on_no_order(steps):
    a, b = (steps.open().fork(key) for key in "ab")
    merged = [steps.lab.run(merge_handles(pair)).get_hash() for pair in ([a, b], [b, a, b])]
    assert merged[0] == merged[1]
    c, d = TypedHandle("t", "c"), TypedHandle("t", "d")
    infos = [steps.lab.run(merge_handles(pair)).__handle__ for pair in ([c, d], [d, c])]
    assert infos[0].args == infos[1].args
    alone = [steps.lab.run(merge_handles(handles)).get_hash() for handles in ([a, a], [a])]
    assert alone[0] == alone[1]


def test_equal_calls_with_one_handle_run_once(steps):
    one = steps.step("one")

    @task
    def main():
        world = steps.open()
        return [one(world, 1), one(world, 1), one(world, 2)]

    assert steps.run(main()) == ["one 1"] * 2


# The numbers of calls


def test_a_call_has_the_same_number_whichever_argument_comes_first(steps):
    """The calls get their handle first or last, as their other arguments happen to be known."""
    left, right = steps.step("left"), steps.step("right")
    states = []
    for slow in ("a", "b"):

        @task(executor="steered", cache=False)
        def wait(name):
            return name

        @task(version="1")
        def main():
            world = steps.open()
            return [left(world, wait("a")), right(world, wait("b"))]

        held = SteeredExecutor()

        def let_go(job, held=held, slow=slow):
            if len(held.held) == 2:
                first, second = sorted(held.held, key=lambda job: job.values[0] == slow)
                held.finish(first)
                held.finish(second)

        held.on_submit = let_go
        steps.run(main(), held)
        states.append([world.get_hash() for world in steps.result])
    assert states[0] == states[1]


def test_elements_of_one_result_and_equal_calls_are_one_source(steps):
    left = steps.step("left")

    @task(version="1")
    def make():
        return [steps.open()]

    def workflow(b):
        right = steps.step("right", b)

        @task(version="1")
        def main():
            worlds = make()
            return [left(worlds[0]), right(worlds[0]), left(make()[0], 2)]

        return main()

    assert steps.run(workflow("1")) == ["left 1", "left 1", "right 1"]
    forks = "SELECT count(*) FROM handle_edge GROUP BY parent_id ORDER BY 1 DESC LIMIT 1"
    assert steps.lab.query(forks) == [3]
    assert steps.run(workflow("2")) == ["right 2"]
    assert steps.run(workflow("1")) == ["right 1"]
    assert steps.run(workflow("1")) == []


def test_numbers_of_calls_that_a_scheduler_task_makes(steps):
    one = steps.step("one")

    @scheduler_task(version="1")
    def each(scheduler, parent_job, sexpr, world, count):
        return [one(world, number) for number in range(count)]

    @task(version="1")
    def main():
        return each(steps.open(), 3)

    assert steps.run(main()) == ["one 1"] * 3
    assert len({world.get_hash() for world in steps.result}) == 3
    assert steps.run(main()) == []


def test_calls_that_get_a_handle_by_default_are_branches_too(steps):
    @task(version="1")
    def one(number, world=steps.open()):
        world.do("one", number)
        return world

    assert steps.run([one(1), one(2)]) == ["one 1", "one 2"]
    assert len(set(steps.lab.query("SELECT parent_id FROM handle_edge"))) == 3
    assert steps.run([one(1), one(2)]) == []


def test_top_level_calls_are_branches_too(steps):
    def workflow(b="1"):
        left, right = steps.step("left"), steps.step("right", b)
        world = steps.open()
        return [left(world), right(world)]

    assert steps.run(workflow()) == ["left 1", "right 1"]
    assert steps.run(workflow("2")) == ["right 2"]
    assert steps.run(workflow()) == ["right 1"]


# From one execution to the next


def test_nothing_runs_again_without_a_change(steps):
    assert steps.run(lines(steps)) == ["one 1", "two 1"]
    changes = steps.lab.query("SELECT * FROM handle_state ORDER BY id")
    assert steps.run(lines(steps)) == []
    assert steps.lab.query("SELECT * FROM handle_state ORDER BY id") == changes


def test_a_step_that_is_added_runs_alone(steps):
    assert steps.run(lines(steps, count=1)) == ["one 1"]
    assert steps.run(lines(steps)) == ["two 1"]


def test_a_step_that_is_taken_away_undoes_nothing(steps):
    steps.run(lines(steps))
    assert steps.run(lines(steps, count=1)) == []
    assert steps.run(lines(steps)) == []


def test_a_change_that_is_taken_back_runs_the_step_again(steps):
    steps.run(lines(steps))
    assert steps.run(lines(steps, second="2")) == ["two 2"]
    assert steps.run(lines(steps)) == ["two 1"]
    assert steps.run(lines(steps)) == []
    assert steps.run(lines(steps, first="2")) == ["one 2", "two 1"]
    assert steps.run(lines(steps)) == ["one 1", "two 1"]
    assert steps.run(lines(steps)) == []
    assert steps.valid() == 2
    steps.lab.audit()


def test_other_arguments_that_are_taken_back_run_the_step_again(steps):
    one = steps.step("one")

    @task(version="1")
    def main(x):
        return one(steps.open(), x)

    assert [steps.run(main(x)) for x in (1, 2, 1, 1)] == [["one 1"], ["one 1"], ["one 1"], []]


def test_another_task_in_the_same_place_invalidates_what_was_there(steps):
    def workflow(name):
        step = steps.step(name)

        @task(version=name)
        def main():
            return step(steps.open())

        return main()

    assert [steps.run(workflow(name)) for name in "aba"] == [["a 1"], ["b 1"], ["a 1"]]


def test_a_branch_that_changes_leaves_the_other_alone(steps):
    steps.run(branches(steps))
    assert steps.run(branches(steps)) == []
    assert steps.run(branches(steps, b="2")) == ["last 1", "right 2"]
    assert steps.run(branches(steps)) == ["last 1", "right 1"]
    assert steps.run(branches(steps, a="2")) == ["last 1", "left 2"]
    assert steps.run(branches(steps, a="2", c="2")) == ["last 2"]
    assert steps.run(branches(steps)) == ["last 1", "left 1"]
    assert steps.run(branches(steps)) == []
    assert steps.valid() == 3


def test_what_follows_a_merge_runs_again_when_branches_are_added_and_taken_away(steps):
    one, last = steps.step("one"), steps.step("last")

    @task
    def main(count):
        world = steps.open()
        return last(merge_handles([one(world, number) for number in range(count)]))

    assert steps.run(main(1)) == ["last 1", "one 1"]
    assert steps.run(main(3)) == ["last 1", "one 1", "one 1"]
    assert steps.run(main(2)) == ["last 1"]
    assert steps.run(main(3)) == ["last 1"]
    assert steps.run(main(1)) == ["last 1"]
    assert steps.run(main(1)) == []


def test_that_holds_too_for_the_calls_in_a_task_that_gets_the_merged_handle(steps):
    one, last = steps.step("one"), steps.step("last")

    @task(version="1")
    def outer(world):
        return last(world)

    @task
    def main(count):
        world = steps.open()
        return outer(merge_handles([one(world, number) for number in range(count)]))

    assert steps.run(main(3)) == ["last 1", "one 1", "one 1", "one 1"]
    for count in (2, 3, 2):
        assert steps.run(main(count)) == ["last 1"]
    assert steps.run(main(2)) == []


def test_a_merged_handle_is_as_small_as_any_other_in_the_tasks_that_get_it(steps):
    one = steps.step("one")
    sizes = []

    @task
    def look(world):
        sizes.append(len(world.serialize()))
        return world

    @task
    def main(count):
        world = steps.open()
        return look(merge_handles([one(world, number) for number in range(count)]))

    for count in (1, 30):
        steps.run(main(count))
        sizes.append(len(steps.result.serialize()))
    assert sizes[:2] == sizes[2:]


def test_what_is_done_with_a_branch_beside_a_merge_is_left_alone(steps):
    def workflow(version):
        left, right, beside = steps.step("left"), steps.step("right"), steps.step("beside")
        last = steps.step("last", version)

        @task(version="1")
        def after(world):
            return 1

        @task(version="1")
        def main():
            world = steps.open()
            branch = left(world)
            end = last(merge_handles([branch, right(world)]))
            return [end, beside(branch, after(end))]

        return main()

    assert steps.run(workflow("1")) == ["beside 1", "last 1", "left 1", "right 1"]
    assert steps.run(workflow("2")) == ["last 2"]
    assert steps.run(workflow("1")) == ["last 1"]


def test_forks_that_are_never_merged_are_independent(steps):
    def workflow(a="1"):
        left, right = steps.step("left", a), steps.step("right")

        @task(version="1")
        def main():
            world = steps.open()
            return [left(world.fork("l")), right(world.fork("r"))]

        return main()

    assert [steps.run(workflow(a)) for a in "121"] == [
        ["left 1", "right 1"], ["left 2"], ["left 1"],
    ]  # fmt: skip


def test_a_task_that_only_reads_makes_nothing_invalid(steps):
    def workflow(version):
        one = steps.step("one")

        @task(version=version)
        def read(world):
            world.do("read", version)
            return version

        @task(version="1")
        def main():
            world = one(steps.open())
            return [world, read(world)]

        return main()

    assert steps.run(workflow("1")) == ["one 1", "read 1"]
    assert steps.run(workflow("2")) == ["read 2"]
    assert steps.run(workflow("1")) == []


def test_a_task_that_is_given_a_handle_and_passes_it_on_is_taken_to_use_it(steps):
    def workflow(version):
        one, two = steps.step("one"), steps.step("two")

        @task(version=version)
        def both(world):
            return two(one(world))

        @task(version="1")
        def main():
            return both(steps.open())

        return main()

    assert steps.run(workflow("1")) == ["one 1", "two 1"]
    assert steps.run(workflow("2")) == ["one 1", "two 1"]
    assert steps.run(workflow("2")) == []


def test_a_task_that_makes_a_handle_and_is_changed_back_runs_again(steps):
    def workflow(version):
        one = steps.step("one")

        @task(version=version)
        def connect():
            world = steps.open()
            world.do("connect", version)
            return world

        @task(version="1")
        def main():
            return one(connect())

        return main()

    assert steps.run(workflow("1")) == ["connect 1", "one 1"]
    assert steps.run(workflow("1")) == []
    assert steps.run(workflow("2")) == ["connect 2", "one 1"]
    assert steps.run(workflow("1")) == ["connect 1", "one 1"]


def test_two_tasks_may_make_the_same_handle(steps):
    one, two = steps.step("one"), steps.step("two")

    @task(version="1")
    def process(number):
        return two(one(steps.open(), number))

    @task
    def main(count):
        return [process(number) for number in range(count)]

    assert steps.run(main(2)) == ["one 1", "one 1", "two 1", "two 1"]
    assert steps.run(main(2)) == []
    assert steps.run(main(3)) == ["one 1", "two 1"]
    assert steps.run(main(3)) == []


def test_what_was_replayed_stands_with_all_that_follows_it(steps):
    def workflow(version):
        one, other, two = steps.step("one"), steps.step("other", version), steps.step("two")

        @task(version="1")
        def first():
            return two(one(steps.open()))

        @task(version="1")
        def second():
            return two(other(steps.open()))

        return [first(), second()]

    assert steps.run(workflow("1")) == ["one 1", "other 1", "two 1", "two 1"]
    assert steps.run(workflow("2")) == ["other 2", "two 1"]
    assert steps.run(workflow("2")) == []


def test_a_task_without_cache_makes_what_follows_run_again(steps):
    def workflow(second="1"):
        one, two = steps.step("one", cache=False), steps.step("two", second)

        @task(version="1")
        def main():
            return two(one(steps.open()))

        return main()

    for second in "1121":
        assert steps.run(workflow(second)) == ["one 1", f"two {second}"]


def test_a_run_without_cache_leaves_valid_states_behind(steps):
    steps.run(lines(steps))
    assert steps.run(lines(steps), cache=False) == ["one 1", "two 1"]
    assert steps.run(lines(steps)) == []


def test_a_shallow_check_sees_an_invalid_state(steps):
    def workflow(second):
        one, two = steps.step("one"), steps.step("two", second)

        @task(version=second, check_valid="shallow")
        def main():
            return two(one(steps.open()))

        return main()

    assert [steps.run(workflow(second)) for second in "1121"] == [
        ["one 1", "two 1"], [], ["two 2"], ["two 1"],
    ]  # fmt: skip


def test_a_shallow_result_that_was_merged_is_as_valid_as_its_branches(steps):
    def workflow(second):
        left, right = steps.step("left"), steps.step("right", second)

        @task(version=second, check_valid="shallow")
        def main():
            world = steps.open()
            return merge_handles([left(world), right(world)])

        return main()

    assert [steps.run(workflow(second)) for second in "1121"] == [
        ["left 1", "right 1"], [], ["right 2"], ["right 1"],
    ]  # fmt: skip


def test_async_tasks_take_and_return_handles(steps):
    def workflow(second):
        one, two = steps.step("one"), steps.step("two", second)

        @task(version="1")
        async def both(world):
            world = await one(world)
            return await two(world)

        @task(version="1")
        def main():
            return both(steps.open())

        return main()

    assert [steps.run(workflow(second))[-1:] for second in "1121"] == [
        ["two 1"], [], ["two 2"], ["two 1"],
    ]  # fmt: skip


def test_a_dry_run_changes_no_state(steps):
    from redun_lite import DryRunResult

    steps.run(lines(steps))
    before = steps.lab.query("SELECT * FROM handle_state ORDER BY id")
    with pytest.raises(DryRunResult):
        steps.run(lines(steps, second="2"), dryrun=True)
    assert steps.lab.query("SELECT * FROM handle_state ORDER BY id") == before
    assert steps.run(lines(steps)) == []


def test_a_constructor_that_no_longer_takes_what_was_recorded_is_a_miss(steps):
    def workflow():
        @task(version="1")
        def one(handle):
            return handle

        @task(version="1")
        def main():
            return one(Changing("c", "x"))

        return main()

    class Changing(Handle):
        type_name = "test_handle.Changing"

        def __init__(self, name, path=None):
            pass

    globals()["Changing"] = Changing
    Changing.__qualname__ = "Changing"
    try:
        lab = steps.lab
        lab.run(workflow())
        lab.run(workflow())
        assert lab.jobs() == {"main": ["CACHED"], "one": ["CACHED"]}

        def init(self, name, *, path=None):
            pass

        original = Changing.__init__
        Changing.__init__ = init
        with pytest.raises(UsageError, match=r"^Changing\(name, \*, path=None\): too many pos"):
            lab.run(workflow())
        Changing.__init__ = original
        lab.run(workflow())
        assert lab.jobs() == {"main": ["CACHED"], "one": ["CACHED"]}
    finally:
        del globals()["Changing"]


# Failures


def test_a_failed_step_invalidates_what_it_may_have_changed(steps):
    steps.run(lines(steps))
    one, two = steps.step("one"), steps.step("two", "2", fails=True)

    @task(version="2")
    def main():
        return two(one(steps.open()))

    assert steps.fails(main()) == ["two 2"]
    assert steps.fails(main()) == ["two 2"]
    assert steps.run(lines(steps)) == ["two 1"]


def test_states_are_invalid_before_a_step_begins(steps):
    steps.run(lines(steps))
    valid = []
    held = SteeredExecutor()

    def begin(job):
        valid.append(steps.valid())
        held.finish(job)

    held.on_submit = begin
    one, two = steps.step("one"), steps.step("two", "2", executor="steered")

    @task(version="2")
    def main():
        return two(one(steps.open()))

    assert steps.run(main(), held) == ["two 2"]
    assert valid == [1]


def test_states_after_another_merge_are_invalid_before_a_step_begins(steps):
    valid = []
    held = SteeredExecutor()

    def begin(job):
        valid.append(steps.valid())
        held.finish(job)

    held.on_submit = begin
    one, last = steps.step("one"), steps.step("last", executor="steered")

    @task
    def main(count):
        world = steps.open()
        return last(merge_handles([one(world, number) for number in range(count)]))

    steps.run(main(2), held)
    steps.run(main(1), held)
    assert valid[1] == 2  # The steps before; what the first run made after them is not.


def test_a_handle_that_is_replayed_as_a_whole_stands(steps):
    @task(version="1", check_valid="shallow")
    def make():
        world = steps.open()
        world.do("make")
        return world

    @task(version="1", cache=False)
    def make_again(_):
        world = steps.open()
        world.do("make again")
        return world

    use = steps.step("use")

    @task(version="1")
    def main():
        made = make()
        return [use(made), make_again(made)]

    assert sorted(steps.run(main())) == ["make", "make again", "use 1"]
    for _ in range(2):
        assert steps.run(main()) == ["make again"]


def test_a_retried_step_goes_on_from_its_own_input(steps):
    tries = []

    @task(version="1", retries=2, retry_delay=0)
    def flaky(world):
        world.do("flaky")
        tries.append(world.get_hash())
        if len(tries) < 3:
            raise ValueError("flaky")
        return world

    @task(version="1")
    def main():
        return flaky(steps.open())

    assert steps.run(main()) == ["flaky"] * 3
    assert len(set(tries)) == 1
    assert steps.run(main()) == []


_KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from contextlib import closing
from pathlib import Path
from support import Lab
from redun_lite import task
from test_handle import Steps
redun_namespace = "test_handle"
steps = Steps(Lab(Path({folder!r}), {uri!r}))
one = steps.step("one")
@task(name="two", version="2")
def two(world):
    world.do("half of two 2")
    os.kill(os.getpid(), signal.SIGKILL)
@task(version="1")
def main():
    return two(one(steps.open()))
steps.run(main())
"""


def test_a_killed_step_invalidates_what_it_may_have_changed(steps):
    steps.run(lines(steps))
    assert steps.run(lines(steps)) == []
    script = steps.lab.folder / "killed.py"
    tests, folder = str(Path(__file__).parent), str(script.parent)
    script.write_text(_KILLED.format(tests=tests, folder=folder, uri=steps.lab.uri))
    done = python(script, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert notes(steps.world)[-1] == "half of two 2"
    assert steps.run(lines(steps)) == ["two 1"]


def test_states_that_several_executions_made_at_once_belong_to_the_last(steps):
    """One execution is held inside a step while another one runs the step's next version."""
    steps.run(lines(steps, count=1))
    held = SteeredExecutor()
    inside = threading.Event()
    held.on_submit = lambda job: inside.set()

    def slow():
        one, two = steps.step("one"), steps.step("two", "slow", executor="steered")

        @task(version="slow")
        def main():
            return two(one(steps.open()))

        return main()

    first = threading.Thread(target=lambda: steps.lab.run(slow(), held))
    first.start()
    assert inside.wait(60)
    job = held.held[0]
    assert steps.run(lines(steps)) == ["two 1"]
    held.finish(job)
    first.join()
    assert steps.run(lines(steps)) == ["two 1"]
    assert steps.run(lines(steps)) == []


def test_what_was_made_from_a_state_that_is_no_more_is_made_again(steps):
    """One execution is held after its first step while another one runs the step's new code."""
    held = SteeredExecutor()
    inside = threading.Event()

    def wait(job):
        job.run.repository.sync()  # What the first step made is known to others.
        inside.set()

    held.on_submit = wait

    def workflow(first, **options):
        one, two = steps.step("one", first), steps.step("two", **options)

        @task(version=first)
        def main():
            return two(one(steps.open()))

        return main()

    waiting = workflow("1", executor="steered")
    thread = threading.Thread(target=lambda: steps.lab.run(waiting, held))
    thread.start()
    assert inside.wait(60)
    assert steps.run(workflow("2")) == ["one 2", "two 1"]
    held.finish_all()
    thread.join()
    assert steps.run(workflow("1")) == ["one 1", "two 1"]


# The repository


def test_validity_is_asked_of_the_repository(steps):
    @scheduler_task(version="1")
    def valid(scheduler, parent_job, sexpr, world):
        return scheduler.evaluate(world, parent_job).then(lambda world: world.is_valid())

    one = steps.step("one")
    run = steps.lab.run
    assert run(valid(one(steps.open())))
    first = run(one(steps.open()))
    assert run([valid(first), valid(first.fork("a"))]) == [True, True]
    inside = []

    @task
    def look(world):
        inside.append(world)

    run(look(merge_handles([first])))
    assert run(valid(inside[0]))
    run(steps.step("one", "2")(steps.open()))
    shown = run([valid(world) for world in (first, first.fork("a"), *inside, steps.open())])
    assert shown == [False, False, False, True]


def test_a_state_of_another_repository_is_not_valid(steps, tmp_path):
    @scheduler_task(version="1")
    def valid(scheduler, parent_job, sexpr, world):
        return world.is_valid()

    (tmp_path / "other").mkdir()
    other = Lab(tmp_path / "other")
    given = steps.lab.run(steps.step("one")(steps.open()))
    assert not other.run(valid(given))
    other.run(steps.step("two")(given))
    assert not other.run(valid(given))
    assert steps.lab.run(valid(given))
    other.audit()


def test_a_long_chain_is_invalidated_and_run_again(steps):
    def workflow(version):
        first, step = steps.step("first", version), steps.step("step")

        @task(version="1")
        def main():
            world = first(steps.open())
            for number in range(200):
                world = step(world, number)
            return world

        return main()

    assert len(steps.run(workflow("1"))) == 201
    assert len(steps.run(workflow("2"))) == 201
    assert steps.run(workflow("2")) == []
    assert len(steps.run(workflow("1"))) == 201
    assert steps.valid() == 201


def test_a_state_that_a_call_gave_elsewhere_is_not_valid(steps):
    steps.run(lines(steps))
    with closing(steps.lab.source.connect()) as database:
        database.execute("DELETE FROM handle_edge")
        database.execute("DELETE FROM handle_state")
    assert steps.run(lines(steps)) == ["one 1", "two 1"]
    assert steps.run(lines(steps)) == []


def test_a_repository_in_memory_knows_states_too(steps):
    with Scheduler() as scheduler:
        for second, expected in (("1", ["one 1", "two 1"]), ("2", ["two 2"]), ("1", ["two 1"])):
            before = len(notes(steps.world))
            scheduler.run(lines(steps, second=second))
            assert sorted(notes(steps.world)[before:]) == expected


def test_a_database_of_the_first_schema_gets_what_handles_need(tmp_path):
    path = str(tmp_path / "old.db")
    old = sqlite3.connect(path)
    old.executescript(MIGRATIONS[0])
    old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    old.execute("PRAGMA user_version = 1")
    old.execute(
        "INSERT INTO execution (uuid, argv, started, status, host, pid, heartbeat) "
        "VALUES ('u', '[]', 1, 'DONE', 'h', 1, 1)"
    )
    old.commit()
    old.close()
    Repository(path).close()
    connection = connect(path)
    try:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("SELECT uuid, parent_job_id FROM execution").fetchall() == [
            ("u", None)
        ]
        assert connection.execute("SELECT count(*) FROM handle_state").fetchone() == (0,)
    finally:
        connection.close()


def test_a_vendored_copy_reads_handles_under_the_same_state(tmp_path):
    shutil.copytree(
        Path(redun_lite.__file__).parent,
        tmp_path / "vendor" / "lite",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    handle = Handle("plain", 1, namespace="n").fork("a")
    script = (
        "import sys; from vendor.lite import Handle; "
        "handle = Handle.deserialize(Handle, bytes.fromhex(sys.argv[1])); "
        "new = Handle('plain', 1, namespace='n').fork('a'); "
        "print(type(handle) is Handle, handle.get_hash(), new.get_hash(), new.serialize().hex())"
    )
    done = python("-c", script, handle.serialize().hex(), folder=tmp_path)
    *shown, data = done.stdout.split()
    assert shown == ["True", handle.get_hash(), handle.get_hash()]
    again = Handle.deserialize(Handle, bytes.fromhex(data))
    assert (type(again), again.get_hash()) == (Handle, handle.get_hash())


# Looking


def test_showing_a_handle_runs_nothing(steps):
    steps.run(lines(steps))
    opened = notes(f"{steps.world}.opened")
    for type_name, data in steps.lab.query(
        "SELECT name, data FROM value JOIN value_type ON value_type.id = type_id"
    ):
        shown = format_stored(type_name, len(data), data, 200)
        if type_name.endswith("WorldHandle"):
            assert shown.startswith("WorldHandle(fullname=test_handle.world, hash=")
    assert notes(f"{steps.world}.opened") == opened


@pytest.mark.sqlite
def test_the_log_shows_handles_where_their_class_is_not_known(steps):
    steps.run(lines(steps))
    opened = notes(f"{steps.world}.opened")
    (value,) = steps.lab.query(
        "SELECT value.digest FROM call JOIN value ON value.id = result_id "
        "JOIN task ON task.id = task_id WHERE fullname = 'test_handle.two'"
    )
    looking = (
        "from redun_lite._client.log import log_lines; import sys; print(*log_lines(*sys.argv[1:]))"
    )
    done = python("-c", looking, steps.lab.path, value.hex())
    shown = steps.result.get_hash()[:8]
    assert f"WorldHandle(fullname=test_handle.world, hash={shown})" in done.stdout
    assert notes(f"{steps.world}.opened") == opened
