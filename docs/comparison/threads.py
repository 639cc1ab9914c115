"""fork_thread and join_thread."""

from __future__ import annotations

from .case import BAD_INPUT, case, ran
from .engine import catch, const, fork_thread, identity, join_thread, task

redun_namespace = "threads"


@task
def work(number):
    ran(f"work({number})")
    return number * 2


@task
def fail():
    ran("fail")
    raise ValueError


@task
def start(number):
    return fork_thread(work(number))


@task
def start_failing():
    return fork_thread(fail())


@task
def finish(thread):
    ran("finish")
    return join_thread(thread)


@task
def recover(error):
    return "recovered"


@case("A thread is joined elsewhere")
def joined():
    @task(name="joined_main")
    def main():
        return finish(start(10))

    return main()


@case("What a joined thread records, in its first run", runs=1, jobs=True)
def joined_jobs():
    @task(name="joined_main")
    def main():
        return finish(start(10))

    return main()


@case("A thread that is not joined is run to its end", runs=1, jobs=True)
def not_joined():
    @task(name="not_joined_main")
    def main():
        return const("done", fork_thread(work(1)))

    return main()


@case("The same again")
def not_joined_again():
    @task(name="not_joined_main")
    def main():
        return const("done", fork_thread(work(1)))

    return main()


@case("An error in a thread that is not joined", runs=1, jobs=True)
def not_joined_error():
    @task(name="not_joined_main")
    def main():
        return const("done", fork_thread(fail()))

    return main()


@case("A thread that nothing returns is not begun", runs=1)
def not_returned():
    @task(name="not_returned_main")
    def main():
        fork_thread(work(1))
        return "done"

    return main()


@case("An error is raised where the thread is joined")
def joined_error():
    return join_thread(start_failing())


@case("It can be caught there")
def joined_error_caught():
    return catch(finish(start_failing()), ValueError, recover)


@case("A thread that is joined twice", runs=1)
def joined_twice():
    @task(name="joined_twice_main")
    def main():
        thread = start(3)
        return [join_thread(thread), finish(thread)]

    return main()


@case("A thread as a result", runs=1)
def as_result():
    return start(1)


@case("A thread of nested values", runs=1)
def nested():
    return join_thread(fork_thread([1, work(2), {"a": work(3)}]))


@case(
    "Joining what is no thread",
    runs=1,
    why=BAD_INPUT,
)
def joined_number():
    return join_thread(identity(3))
