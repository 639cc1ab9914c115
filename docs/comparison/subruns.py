"""subrun."""

from __future__ import annotations

from .case import BAD_INPUT, case, ran
from .engine import JobInfo, catch, get_context, subrun, task

redun_namespace = "subruns"


@task
def double(number):
    ran(f"double({number})")
    return number * 2


@task
def next_doubled(number):
    ran(f"next_doubled({number})")
    return double(number + 1)


@task
def fail():
    ran("fail")
    raise ValueError


@task
def recover(error):
    return "recovered"


@task
def execution_of(number, info: JobInfo = JobInfo()):
    return info.execution_id


@task
def same(first, second):
    return first == second


@task
def variable(value=get_context("k", "none")):
    return value


@task
def main(number):
    return subrun(next_doubled(number), executor="default")


@task
def main_new(number):
    return subrun(next_doubled(number), executor="default", new_execution=True)


@case("A subrun gives the value, and is replayed as a whole", jobs=True)
def extended():
    return main(1)


@case("A subrun in an execution of its own", jobs=True)
def new_execution():
    return main_new(1)


@case("The execution's id in a subrun that extends it", runs=1)
def extended_id():
    return same(subrun(execution_of(1), executor="default"), execution_of(2))


@case("The execution's id in a subrun of its own", runs=1)
def new_id():
    return same(subrun(execution_of(1), executor="default", new_execution=True), execution_of(2))


@case("With check_valid full, the calls below are looked up", jobs=True)
def full():
    @task(name="main_full")
    def main():
        return subrun(next_doubled(1), executor="default", check_valid="full")

    return main()


@case("Without cache")
def uncached():
    return subrun(next_doubled(1), executor="default", cache=False)


@case(
    "When a task in it changes, it runs again",
    why="Its result stands as long as the code that it came from.",
)
def task_changes():
    for version in "aab":

        @task(name="inner", version=version)
        def inner():
            ran("inner")
            return version

        yield subrun(inner(), executor="default")


@case("An error in a subrun", runs=1)
def error():
    return subrun(fail(), executor="default")


@case("An error in a subrun, again", why="Errors are not replayed.")
def error_again():
    return subrun(fail(), executor="default")


@case("It can be caught", runs=1)
def error_caught():
    return catch(subrun(fail(), executor="default"), ValueError, recover)


@case("A subrun of nested values, in lazy arguments", runs=1)
def nested():
    return [subrun([1, double(double(3))], executor="default"), double(main(4))]


@case("Equal subruns run once", runs=1)
def equal():
    return [subrun(double(1), executor="default"), subrun(double(1), executor="default")]


@case("A subrun in a subrun", runs=1)
def twice():
    return subrun(main(1), executor="default")


@case("The context reaches it", runs=1, config={"scheduler": {"context": '{"k": 3}'}})
def context():
    return subrun(variable(), executor="default")


@case("Task options are those of the job that runs it", runs=1, jobs=True, tags=True)
def options():
    @task(name="main_options")
    def main():
        return subrun(double(1), executor="default", memory=3, tags=[("a", 1)])

    return main()


@case("A configuration of its own", runs=1)
def own_config():
    other = {"backend": {"db_uri": "sqlite:///other.db"}}
    return subrun(double(1), executor="default", config=other, new_execution=True)


@case(
    "To extend an execution, it must be in the same repository",
    runs=1,
    why="It is recorded there as an execution of its own.",
)
def own_repository():
    other = {"backend": {"db_uri": "sqlite:///other.db"}}
    return subrun(double(1), executor="default", config=other)


@case("config and config_dir", runs=1, why=BAD_INPUT)
def two_configs():
    return subrun(double(1), executor="default", config={"a": {"b": "c"}}, config_dir="here")


@case("A config_dir that is not there", runs=1, why=BAD_INPUT)
def no_config_dir():
    return subrun(double(1), executor="default", config_dir="not_there", new_execution=True)


@case("load_modules names what to import", runs=1)
def modules():
    return subrun(double(1), executor="default", load_modules=["comparison.subruns"])


@case("load_modules with one that is not there", runs=1, why=BAD_INPUT)
def no_module():
    return subrun(double(1), executor="default", load_modules=["not_there"])


@case("An executor that is not there", runs=1, why=BAD_INPUT)
def unknown_executor():
    return subrun(double(1), executor="nowhere")


@case(
    "A subrun in a process",
    runs=1,
    config={"executors.worker": {"type": "local", "mode": "process"}},
)
def in_process():
    return subrun(next_doubled(1), executor="worker")
