"""The command `run`: from the words of the command line to a task's result.

`run [options] SCRIPT TASK [arguments]`.  Options of `run` may also stand among the task's
arguments, as people are used to from redun; where both have one of the same name it is the task's.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._config import Config
from .._display import (
    clip,
    ends_of,
    format_command,
    format_count,
    one_line,
    printable,
    terminal_width,
)
from .._errors import DryRunResult, RedunLiteError, ScriptError, UsageError, suggest
from .._ini import value_of_word
from .._options import TaskOptions, check_option_names
from .._record import ORIGIN, format_traceback
from .._version import VERSION
from .arguments import help_lines, parse_arguments, takes_option
from .command import FAILED, OK, Command
from .origin import DirtyCheck, find_checkout, folder_of_workflow, user_name
from .output import open_input
from .progress import LiveLine, PlainReporter, SilentReporter, TerminalReporter, call_text
from .setup import make_scheduler
from .workflow import find_task, load_workflow

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .._job import Job
    from .._scheduler import Scheduler
    from .._task import Task
    from .origin import Checkout
    from .rerun import Recorded

_MAX_SHOWN = 50  # Calls that a dry run lists.


class _Option(NamedTuple):
    """An option of `run`."""

    names: tuple[str, ...]
    help: str
    metavar: str | None = None  # None: it takes no value.
    is_repeated: bool = False


_OPTIONS = (
    _Option(("--no-cache",), "run every task, whatever is cached"),
    _Option(("--no-prov",), "record no jobs: no calls, results or code"),
    _Option(("--dryrun",), "show what would run, and stop"),
    _Option(("--option", "-o"), "a task option that wins over all others", "KEY=VALUE", True),
    _Option(("--tag", "-t"), "a tag for the execution", "KEY=VALUE", True),
    _Option(("--project", "-p"), "tag: the project (default: the task's namespace)", "NAME"),
    _Option(("--user", "-u"), "tag: the user", "NAME"),
    _Option(("--doc",), "tag: what the execution is for", "TEXT"),
    _Option(("--no-tags",), "no tags but those that are given"),
    _Option(("--context",), "a context variable; dots lead into objects", "KEY=VALUE", True),
    _Option(("--context-file",), "a JSON file of context variables", "FILE"),
    _Option(("--execution-id",), "a UUID for the execution", "UUID"),
    _Option(("--rerun",), "run again what an execution or a job has run", "ID"),
    _Option(("--input", "-i"), "a pickle of (args, kwargs) that you trust", "FILE"),
    _Option(("--setup",), "an argument of [scheduler] setup_scheduler", "NAME=VALUE", True),
    _Option(("--pdb",), "start the debugger where a task fails"),
    _Option(("--quiet", "-q"), "show no progress"),
)


class RunCommand(Command):
    """`run [options] SCRIPT TASK [arguments]`."""

    description = (
        "Run a task of a workflow, and print its result.\n\n"
        "SCRIPT is a Python file or a module, TASK the name of a task in it;\n"
        "`run SCRIPT TASK --help` lists the arguments that the task takes.\n\n"
        "`run --rerun ID` takes script, task and arguments from an execution\n"
        "(`-`: the latest) or a job; `run --rerun SCRIPT ID` takes the script from here."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.usage = f"{parser.prog} [options] SCRIPT TASK [--argument VALUE …]"
        for option in _OPTIONS:
            if option.metavar is None:
                parser.add_argument(*option.names, action="store_true", help=option.help)
            elif option.is_repeated:
                parser.add_argument(
                    *option.names,
                    metavar=option.metavar,
                    action="append",
                    default=[],
                    help=option.help,
                )
            else:
                parser.add_argument(*option.names, metavar=option.metavar, help=option.help)

    def execute(self, words: list[str], options: Namespace) -> int:
        return self._execute(words, options)

    def _execute(
        self, words: list[str], options: Namespace, recorded: Recorded | None = None
    ) -> int:
        """Run what is typed; of a job that is run again, with the arguments that are recorded."""
        parser = self.parser()
        before, script, task_name, rest = _split(words)
        reruns = sum(word.partition("=")[0] == "--rerun" for word in before)
        if reruns > 1:
            raise UsageError("run --rerun: name one execution or job")
        if recorded is None and reruns:
            return self._rerun(words, options)
        parser.parse_args(before, options)
        if script is None:
            parser.error("name a script and a task of it")
        _set_log_level(options)
        with ExitStack() as stack:
            line = stack.enter_context(LiveLine(sys.stderr)) if _is_terminal() else None
            checkout = find_checkout(folder_of_workflow(script))
            task = find_task(load_workflow(script), task_name)
            if _wants_help(task, rest):
                lines = help_lines(task, f"{parser.prog} {script} {task_name}")
                print("\n".join([*lines, "", "`help run` lists the options of run"]))
                return OK
            own, theirs = _separate(rest, lambda name: takes_option(task, name))
            parser.parse_args(own, options)
            _set_log_level(options)
            given = _read_input(options.input) if options.input else ((), {})
            if recorded is not None and recorded.values is not None:
                if options.input:
                    raise UsageError("run: --rerun of a job has its arguments: leave out --input")
                from .rerun import load_arguments

                given = load_arguments(recorded, task)
            args, kwargs = parse_arguments(task, theirs, given)
            config = Config.find(getattr(options, "config", None))
            reporter = _reporter(options, config, line)
            expr = task(*args, **kwargs)
            outcome = _evaluate(expr, task, checkout, config, reporter, options)
        if outcome.error is None:
            _print_result(outcome.value)
            return OK
        _explain(outcome.error, reporter)
        if options.pdb:
            _debug(outcome.error)
        return FAILED

    def _rerun(self, words: list[str], options: Namespace) -> int:
        """Run again what is recorded, with the words that are given besides."""
        from .rerun import find_recorded, rerun_words  # They need to read the repository.

        text, script, rest = rerun_words(words, _TAKES_VALUE)
        known = Namespace(**vars(options))
        self.parser().parse_known_args(rest, known)  # The others are arguments of the task.
        recorded = find_recorded(known, text, script, _TAKES_VALUE)
        flags = {word for word in recorded.words if _TAKES_VALUE.get(word) is False}
        again = [*recorded.words, *(word for word in rest if word not in flags)]
        # What is recorded of this run must not depend on what `-` stands for then.
        options.argv = ["run", *again]
        if recorded.values is not None:
            options.argv = ["run", "--rerun", recorded.words[0], recorded.job_id, *rest]
        if not known.quiet and {"-q", "--quiet"}.isdisjoint(again):
            # Who typed `-` sees what that was.
            job = f"{recorded.words[1]}, as {recorded.job_id}"
            what = format_command(options.argv) if recorded.values is None else job
            print(f"running again: {one_line(what)}", file=sys.stderr)
        return self._execute(again, options, recorded)


class _Outcome(NamedTuple):
    """How a run came out."""

    value: Any = None
    error: BaseException | None = None


def _evaluate(
    expr: Any,
    task: Task[Any, Any],
    checkout: Checkout | None,
    config: Config,
    reporter: SilentReporter,
    options: Namespace,
) -> _Outcome:
    given = {
        **({"prov": False} if options.no_prov else {}),
        **dict(_pair(text, "--option") for text in options.option),
    }
    check_option_names(given, "run --option")
    parsed = TaskOptions(given, "run --option")
    with make_scheduler(config, options.setup) as scheduler:
        if parsed.executor not in scheduler.executors:
            known = suggest(parsed.executor, scheduler.executors)
            raise UsageError(f"run --option: unknown executor {parsed.executor!r}: {known}")
        scheduler.reporter = reporter
        dirty = None
        if checkout is not None and not (options.no_tags or options.dryrun):
            dirty = DirtyCheck(checkout)
        try:
            value = scheduler.run(
                expr,
                exec_argv=options.argv,
                dryrun=options.dryrun,
                cache=not options.no_cache,
                tags=_tags(task, checkout, options),
                context=_context(config, options),
                execution_id=options.execution_id,
                options=given,
            )
        except KeyboardInterrupt:
            raise
        except DryRunResult:
            _show_would_run(reporter.engine.would_run)
            return _Outcome()
        except BaseException as error:
            if reporter.engine is None:
                raise  # It has not begun: what was typed, or the repository, is wrong.
            return _Outcome(error=error)
        finally:
            _tag_dirty(scheduler, dirty, reporter)
    return _Outcome(value)


def _tag_dirty(scheduler: Scheduler, dirty: DirtyCheck | None, reporter: SilentReporter) -> None:
    """Tag the execution with whether the code differs from its commit, if that is known."""
    found = None if dirty is None else dirty.result()
    if found is not None and reporter.engine is not None:
        scheduler.backend.record_tag(reporter.engine.execution_uuid, "git_dirty", found)


# The words


_TAKES_VALUE = {
    **{name: option.metavar is not None for option in _OPTIONS for name in option.names},
    "--config": True,
    "-c": True,
    "--log-level": True,
}


def _split(words: list[str]) -> tuple[list[str], str | None, str | None, list[str]]:
    """Return the options of `run` before the task, the script, the task, and what follows."""
    before: list[str] = []
    named: list[str] = []
    rest = list(words)
    while rest and len(named) < 2:
        word = rest.pop(0)
        if word.startswith("-"):
            before.append(word)
            if rest and _TAKES_VALUE.get(word):
                before.append(rest.pop(0))
        else:
            named.append(word)
    script, task_name = [*named, None, None][:2]
    return before, script, task_name, rest


def _separate(words: list[str], is_argument: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Return the options of `run` among a task's arguments, and the arguments."""
    own: list[str] = []
    theirs: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if name not in _TAKES_VALUE or is_argument(name):
            theirs.append(word)
            continue
        own.append(word)
        if rest and name == word and _TAKES_VALUE[name]:
            own.append(rest.pop(0))
    return own, theirs


def _wants_help(task: Task[Any, Any], words: list[str]) -> bool:
    return any(word in ("--help", "-h") and not takes_option(task, word) for word in words)


def _pair(text: str, option: str) -> tuple[str, Any]:
    """Return key and value of `key=value`; the value is JSON, or else the text as it is."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"{option}: expected KEY=VALUE, got {text!r}")
    return key, value_of_word(value)


def _tags(
    task: Task[Any, Any], checkout: Checkout | None, options: Namespace
) -> list[tuple[str, Any]]:
    """Return the tags of the execution: those that say what was run, and those that are given."""
    given = [_pair(text, "--tag") for text in options.tag]
    automatic = {"project": options.project, "user": options.user, "doc": options.doc}
    if not options.no_tags:
        automatic["project"] = options.project or task.namespace or os.path.basename(os.getcwd())
        automatic["user"] = options.user or user_name()
        automatic["redun_lite.version"] = VERSION
        if checkout is not None:
            automatic["git_commit"] = checkout.commit
            automatic["git_origin_url"] = checkout.origin_url
    named = {key for key, _ in given}
    return [
        *((key, value) for key, value in automatic.items() if value and key not in named),
        *given,
    ]


def _context(config: Config, options: Namespace) -> dict[str, Any]:
    """Return the context variables: those of the configuration, of the file, and of the words."""
    context = config.context()
    if options.context_file:
        with open_input(options.context_file) as stream:
            try:
                update = json.load(stream)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"--context-file {options.context_file}: {error}") from None
        if not isinstance(update, dict):
            raise UsageError(f"--context-file {options.context_file}: expected a JSON object")
        context = {**context, **update}
    if options.context:
        context = json.loads(json.dumps(context))  # A copy, down to the last object.
    for text in options.context:
        path, value = _pair(text, "--context")
        *names, last = path.split(".")
        place = context
        for name in names:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise UsageError(f"--context {text}: {name} is {place!r}, not an object")
        place[last] = value
    return context


def _read_input(path: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Load arguments from a pickle, which may run anything: the user said `--input`."""
    from .._value import loads

    with open_input(path) as stream:
        data = stream.read()
    try:
        args, kwargs = loads(data)
        return tuple(args), dict(kwargs)
    except Exception as error:  # Loading a pickle may raise anything.
        raise UsageError(
            f"--input {path}: expected a pickle of (args, kwargs); {type(error).__name__}: {error}"
        ) from None


def _set_log_level(options: Namespace) -> None:
    level = getattr(options, "log_level", None)
    if level is not None:
        import logging

        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", force=True)


# What is shown


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"


def _reporter(options: Namespace, config: Config, line: LiveLine | None) -> SilentReporter:
    if options.quiet or options.dryrun:
        return SilentReporter()
    show_jobs = getattr(options, "log_level", None) in ("INFO", "DEBUG")
    if line is not None:
        return TerminalReporter(line, show_jobs)
    return PlainReporter(sys.stderr, config.scheduler.job_status_interval, show_jobs)


def _print_result(value: Any) -> None:
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        from pprint import pprint

        pprint(value, sort_dicts=False)
    elif value is not None:
        print(repr(value))


def _show_would_run(jobs: list[Any]) -> None:
    for job in jobs[:_MAX_SHOWN]:
        print(f"would run  {call_text(job)}", file=sys.stderr)
    if len(jobs) > _MAX_SHOWN:
        print(f"… and {len(jobs) - _MAX_SHOWN:,} more", file=sys.stderr)
    print("What follows from these is not known before they have run.", file=sys.stderr)


def _explain(error: BaseException, reporter: SilentReporter) -> None:
    """Show the user's part of the traceback, and the chain of tasks that it happened in."""
    text = format_traceback(error)
    if isinstance(error, RedunLiteError) and not text.startswith("Traceback"):
        lines = str(error).splitlines() if isinstance(error, ScriptError) else [str(error)]
        lines += getattr(error, "__notes__", ())
        text = "\n".join(["error: " + one_line(lines[0]), *lines[1:]])
    lines = ["", *text.splitlines()]
    failure = reporter.failure(error)
    if failure is not None:
        width = terminal_width(sys.stderr)
        # Inside of a subrun, there are further jobs, which only the error knows.
        passed = [*getattr(error, ORIGIN, ()), (reporter.job_id(failure.job), failure.call)]
        chain = [
            f"  {'called by' if position else 'raised in'}  {job_id:<12}  {call}"
            for position, (job_id, call) in enumerate(passed)
        ]
        chain += _callers(failure.job, reporter)
        lines += ["", *(line if width is None else clip(line, width) for line in chain)]
        lines.append(f"  `log {passed[0][0]}` shows the job")
    print(printable("\n".join(lines)), file=sys.stderr)


def _callers(job: Job, reporter: SilentReporter) -> list[str]:
    """Return a line for each job above one: the nearest, and the one that the run began with."""
    above: list[Job] = []
    while job.parent is not None:
        job = job.parent
        above.append(job)
    lines = [f"  called by  {reporter.job_id(job):<12}  {call_text(job)}" for job in ends_of(above)]
    if len(above) > len(lines):
        left_out = format_count(len(above) - len(lines))
        lines.insert(-1, f"             … {left_out} more")
    return lines


def _debug(error: BaseException) -> None:
    if error.__traceback__ is None:
        print("--pdb: the error has no frames in this process to look at", file=sys.stderr)
        return
    import pdb

    pdb.post_mortem(error.__traceback__)
