"""Tags, no_prov and quote."""

from __future__ import annotations

from .case import BAD_INPUT, case, ran
from .engine import Run, apply_tags, catch, identity, no_prov, quote, task

redun_namespace = "provenance"


@task
def see(value):
    ran(f"see({value!r})")
    return value


@task
def two(count):
    ran("two")
    return [see(number) for number in range(count)]


@task
def fail():
    raise ValueError


@task
def recover(error):
    return "recovered"


@task(tags=[("team", "green"), ("level", 3)])
def tagged():
    return 1


@task
def evaluate(quoted):
    ran("evaluate")
    return quoted.eval()


# Tags


@case("Tags of a value", tags=True)
def value_tags():
    @task
    def main():
        ran("main")
        return apply_tags(10, [("env", "prod"), ("nested", {"a": [1, 2.5, None, True]})])

    return main()


@case("Tags of a job, also of a cached one", jobs=True, tags=True)
def job_tags():
    @task(name="job_tags")
    def main():
        return apply_tags(see(11), job_tags=[("cost", 1)])

    return main()


@case("Tags of an execution", tags=True)
def execution_tags():
    @task
    def main():
        return apply_tags(12, execution_tags=[("final", True)])

    return main()


@case("Tags of all three, lazy ones", runs=1, jobs=True, tags=True)
def all_tags():
    @task(name="all_tags")
    def main():
        value = [see(1), 2]
        return apply_tags(value, [("v", see(5))], [("j", 2)], [("e", see("x"))])

    return main()


@case("Tags at the top, on the execution", runs=1, tags=True)
def top_tags():
    return apply_tags(see(5), [("v", 1)], execution_tags=[("e", 3)])


@case(
    "Job tags at the top",
    runs=1,
    jobs=True,
    tags=True,
    why="There is no job around the call that is run: its execution gets the tags.",
)
def top_job_tags():
    return apply_tags(5, job_tags=[("j", 2)])


@case("Tags on tags", runs=1, tags=True)
def tags_on_tags():
    return apply_tags(apply_tags(5, [("a", 1)]), [("b", 2), ("b", 3)])


@case("No tags", runs=1, tags=True)
def no_tags():
    return apply_tags(see(5))


@case("Tags of a task are tags of its jobs", jobs=True, tags=True)
def task_tags():
    return tagged()


@case("Tags at the call take the place of those of the task", runs=1, jobs=True, tags=True)
def call_tags():
    return tagged.options(tags=[("colour", "red")])()


@case("Tags of a run", runs=1, tags=True)
def run_tags():
    yield Run(see(1), {"tags": [("cost", 3.2), ("source", "a"), ("source", "b")]})


@case(
    "Tags that are no pairs",
    runs=1,
    why=BAD_INPUT,
)
def bad_tags():
    return apply_tags(5, ["a"])


@case(
    "A tag that is not JSON",
    runs=1,
    why=BAD_INPUT,
)
def bad_tag():
    return apply_tags(5, [("a", object)])


# no_prov


@case("no_prov records one job, and replays the value", jobs=True)
def no_provenance():
    @task(name="no_prov_main")
    def main():
        ran("main")
        return no_prov(two(2))

    return main()


@case("no_prov evaluates lazy arguments unrecorded too", jobs=True)
def no_provenance_lazy():
    return no_prov(two(see(1)))


@case("An error in no_prov", runs=1, jobs=True)
def no_provenance_error():
    return no_prov(fail())


@case("It can be caught")
def no_provenance_caught():
    return catch(no_prov(fail()), ValueError, recover)


@case("no_prov in no_prov", runs=1, jobs=True)
def no_provenance_twice():
    return no_prov([no_prov(see(1)), see(2)])


@case("Equal no_provs run once")
def no_provenance_equal():
    return [no_prov(two(1)), no_prov(two(1))]


@case("When a task in it changes")
def no_provenance_changes():
    for version in "aab":

        @task(name="unrecorded", version=version)
        def unrecorded():
            ran("unrecorded")
            return version

        yield no_prov(unrecorded())


@case("prov=False: nothing is recorded, and everything runs each time", jobs=True)
def option_prov():
    @task(name="prov_main")
    def main():
        return two.options(prov=False)(2)

    return main()


# quote


@case("A quoted expression is a value, and is not evaluated")
def quoted():
    return [type_name(quote(see(1))), type_name(identity(quote(see(2))))]


@task
def type_name(value):
    return type(value).__name__


@case("A task may evaluate what it is given")
def quoted_argument():
    return [evaluate(quote(see(5))), evaluate(quote([see(6), {"a": see(7)}]))]


@case("Quoted expressions are told apart")
def quoted_keys():
    return [evaluate(quote(see(1))), evaluate(quote(see(1))), evaluate(quote(see(2)))]


@case("A task may return one")
def quoted_result():
    @task
    def give():
        return quote(see(7))

    return [type_name(give()), give().eval()]


@case("A quoted value", runs=1)
def quoted_value():
    return evaluate(quote(3))
