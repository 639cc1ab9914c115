"""Task options: precedence, expressions, export_options, with_export_options, JobInfo."""

from __future__ import annotations

from .case import BAD_INPUT, TOP, Fact, case, ran
from .engine import JobInfo, get_task_registry, identity, quote, task, with_export_options

redun_namespace = "options"


def told(info):
    """Return the options that the workflow sets."""
    return {name: info.options[name] for name in ("memory", "colour") if name in info.options}


@task(memory=3)
def plain(number=0, info: JobInfo = JobInfo()):
    ran("plain")
    return told(info)


@task
def below():
    return plain(1)


@task
def recommend(number):
    ran("recommend")
    return number * 2


@task
def fail():
    raise ValueError


@task
def see(value):
    ran("see")
    return value


@task
def job_info(number, info: JobInfo = JobInfo()):
    ran("job_info")
    return sorted(vars(info)) if hasattr(info, "__dict__") else None


@case("A function given to the decorator together with options", runs=1)
def function_and_options():
    made = task(plain.func, name="made", namespace="elsewhere", memory=7)
    return [made.fullname, made()]


@case("Options at the call win over those of the decorator", runs=1)
def at_the_call():
    return [plain(1), plain.options(memory=4, colour="red")(2)]


@case("Options add up, the later one wins", runs=1)
def later_wins():
    return plain.options(memory=4, colour="red").options(memory=5)()


@case("Other options are no other call")
def no_part_of_the_key():
    yield plain()
    yield plain.options(colour="blue")()


@case("Options do not reach the calls below", runs=1)
def not_inherited():
    return below.options(memory=9, colour="red")()


@case("Exported options do, and win over decorators below", runs=1)
def exported():
    return below.export_options(memory=9, colour="red")()


@case("An exported option holds for the task itself", runs=1)
def exported_self():
    return plain.export_options(memory=9)()


@case("Options at a call win over exported ones", runs=1)
def exported_overridden():
    @task
    def middle():
        return plain.options(colour="own")()

    return middle.export_options(colour="red")()


@case("Exporting cache=False runs everything below again")
def exported_cache():
    @task
    def middle():
        ran("middle")
        return see(1)

    return middle.export_options(cache=False)()


@case("An option may be a call")
def lazy_option():
    @task
    def main():
        return plain.options(memory=recommend(4))()

    return main()


@case(
    "An option of the call that is run may be a call",
    runs=1,
    why=TOP,
)
def lazy_option_of_top():
    return plain.options(memory=recommend(4))()


@case("An option of a decorator may be a call", runs=1)
def lazy_in_decorator():
    @task(colour=recommend("o"))
    def decorated(info: JobInfo = JobInfo()):
        return told(info)

    @task
    def main():
        return decorated()

    return main()


@case("The executor may be a call", runs=1)
def lazy_executor():
    @task
    def main():
        return plain.options(executor=identity("default"))()

    return main()


@case(
    "The cache option may be a call",
    why="redun's documentation has it, redun does not.",
)
def lazy_cache():
    @task
    def main():
        return see.options(cache=identity(False))(1)

    return main()


@case(
    "check_valid may be a call",
    runs=1,
    why="As above.",
)
def lazy_check_valid():
    @task
    def main():
        return see.options(check_valid=identity("shallow"))(1)

    return main()


@case("An option that fails fails the job", runs=1)
def failing_option():
    @task
    def main():
        return plain.options(memory=fail())()

    return main()


@case(
    "A misspelt option", runs=1, why="A name that is nearly that of an option is taken for a slip."
)
def misspelt():
    @task(executr="default")
    def careless():
        return 1

    return careless()


@case(
    "An executor that is not there",
    runs=1,
    why=BAD_INPUT,
)
def unknown_executor():
    return plain.options(executor="nowhere")()


# with_export_options


@case("with_export_options exports to all in a quoted expression")
def with_exported():
    return with_export_options(quote([plain(1), below()]), {"colour": "red"})


@case("What with_export_options records", runs=1, jobs=True)
def with_exported_jobs():
    return with_export_options(quote(below()), {"colour": "red"})


@case(
    "with_export_options of an expression that is not quoted",
    runs=1,
    why="An expression that is given as it is is quoted.",
)
def with_exported_unquoted():
    return with_export_options(below(), {"colour": "red"})


@case(
    "Its options may be lazy",
    runs=1,
    why=TOP,
)
def with_exported_lazy():
    return with_export_options(quote(below()), {"colour": recommend("o")})


# JobInfo


@case("What a JobInfo tells")
def job_info_fields():
    return job_info(1)


@case("A JobInfo is no part of the key")
def job_info_in_key():
    @task
    def main():
        return [job_info(1), job_info(1)]

    return main()


@case("Two JobInfos in one call are of one job", runs=1)
def job_info_twice():
    @task
    def twice(one: JobInfo = JobInfo(), *, two: JobInfo = JobInfo()):
        return [one.job_id == two.job_id, len(one.eval_hash), len(one.args_hash)]

    return twice()


@case("Jobs of one execution tell its id", runs=1)
def job_info_execution():
    @task(name="job_info_of")
    def of(number, info: JobInfo = JobInfo()):
        return (info.execution_id, info.job_id)

    @task(name="job_info_compare")
    def compare(pairs):
        executions, jobs = zip(*pairs)
        return len(set(executions)), len(set(jobs))

    return compare([of(1), of(2)])


@case("Options of a task can be asked for", runs=1)
def get_options():
    found = get_task_registry().get("options.plain").options(colour="red").get_task_options()
    yield Fact(f"memory {found['memory']}, colour {found['colour']}")
