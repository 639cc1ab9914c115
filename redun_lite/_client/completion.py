"""`completion`: what a shell needs to complete command lines, and what it asks for on Tab.

The script for a shell knows nothing of commands.  On Tab it asks this program with the words typed
so far, and gets a candidate a line, or a line that says that files are wanted.  So there is one
implementation for all shells, made from the parsers of the commands: what a command takes is
completed, and a script that was installed once never grows stale.

What is asked for must come at once and must not fail: no workflow is imported, the database is read
as little as possible, and whatever goes wrong, there are no candidates.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple

from .._display import clip, format_time, one_line
from .._errors import UsageError
from .._names import PACKAGE
from .._schema import JOB_NUMBER_BITS, job_number
from .command import (
    COMMANDS,
    OK,
    Command,
    existing_config,
    find_command,
    import_root,
    make_parser,
    open_repository,
)
from .task_names import TaskText, tasks_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

FILES = ":files"
FOLDERS = ":folders"
SCRIPTS = ":scripts"
"""Lines that ask the shell for files, folders, or Python files."""

_ASK = "complete"  # The word by which a script asks.
_MAX_EXECUTIONS = 20
_MAX_JOBS = 100
_PURPOSE = 60  # Characters of what is told beside a candidate.

# What an argument stands for is told by what the help calls it.
_OF_FILES = ("FILE", "PATH", "SRC", "DST", "WHERE")
_OF_SCRIPTS = ("SCRIPT",)
_OF_FOLDERS = ("DIR", "FOLDER")
_OF_EXECUTIONS = ("EXEC", "EXECUTION", "EXEC_ID")
_OF_RECORDS = ("ID", "WHAT", "JOB", "ID|KEY|KEY=VALUE", "FILE|ID")
_OF_REPOSITORIES = ("REPO",)

# A name with anything else would mean something to a shell that it is typed into.
_PLAIN = re.compile(r"[\w.@%+=,/-]+")
_JOB_PREFIX = re.compile(r"([0-9a-f]{8})-(\d*)")


class Candidate(NamedTuple):
    """A word that a command line can go on with; or one of `FILES` and the like."""

    text: str
    purpose: str = ""


class CompletionCommand(Command):
    """`completion`."""

    description = (
        "Print what makes a shell complete command lines on Tab.\n\n"
        '  bash   add to ~/.bashrc:  eval "$(redun-lite completion bash)"\n'
        '  zsh    add to ~/.zshrc, behind compinit:  eval "$(redun-lite completion zsh)"\n'
        "  fish   redun-lite completion fish > ~/.config/fish/completions/redun-lite.fish"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("shell", metavar="SHELL", choices=list(_SCRIPTS), help="the shell")
        parser.add_argument(
            "--name",
            default="redun-lite",
            help="the word that is completed behind: that of an alias, for example; default "
            "redun-lite",
        )

    def execute(self, words: list[str], options: Namespace) -> int:
        if words[:1] == [_ASK]:
            for candidate in candidates(words[1:]):
                print(f"{candidate.text}\t{candidate.purpose}")
            return OK
        return super().execute(words, options)

    def run(self, options: Namespace) -> int:
        if not re.fullmatch(r"[\w.-]+", options.name):
            raise UsageError(f"--name {options.name}: expected the name of a command")
        print(script_of(options.shell, options.name, _program()), end="")
        return OK


def _program() -> str:
    """Return what calls this program from any folder, for a shell.

    A package that is not installed, but lies in a clone, in another package or in a zip file, is
    found there.
    """
    called = sys.argv[0] if sys.argv else ""
    if os.path.basename(called) in ("redun-lite", "redun_lite") and os.path.isfile(called):
        return shlex.quote(os.path.abspath(called))
    python = [sys.executable or "python3", "-m", PACKAGE]
    return shlex.join(["env", f"PYTHONPATH={import_root()}", *python])


# What can follow


def candidates(words: list[str]) -> list[Candidate]:
    """Return what the last word of a command line, typed in part, may become.

    Parameters
    ----------
    words
        The words behind the program's name; the last one is what the user is typing.

    Examples
    --------
    >>> [candidate.text for candidate in candidates(["tim"])]
    ['timeline']
    """
    try:
        typed = words[-1] if words else ""
        found = list(_candidates(words[:-1], typed))
        shown = {
            c.text: Candidate(c.text, clip(one_line(c.purpose), _PURPOSE))
            for c in found
            if c.text in (FILES, FOLDERS, SCRIPTS)
            or (c.text.startswith(typed) and _PLAIN.fullmatch(c.text))
        }
        return list(shown.values())
    except Exception:  # Nobody wants to see it in the middle of typing.
        return []


def _candidates(before: list[str], typed: str) -> Iterator[Candidate]:
    line = _Line(make_parser("", ""))
    rest = list(before)
    while rest and rest[0].startswith("-"):
        line.take(rest.pop(0))
        if line.waiting is not None and rest:
            line.take(rest.pop(0))
    if not rest:
        if line.waiting is not None or typed.startswith("-"):
            yield from _of_line(line, typed)
            yield from [Candidate("--version"), Candidate("--help")] if not line.waiting else []
        else:
            yield from (Candidate(name, purpose) for name, (_, purpose) in COMMANDS.items())
        return
    name, *rest = rest
    if name not in COMMANDS:
        return
    command_line = _Line(find_command(name).parser())
    command_line.options.update(line.options)
    if name == "run":
        yield from _of_run(command_line, rest, typed)
        return
    for word in rest:
        command_line.take(word)
    if name == "help" and not typed.startswith("-"):
        yield from (Candidate(name, purpose) for name, (_, purpose) in COMMANDS.items())
        return
    yield from _of_line(command_line, typed)


class _Line:
    """What a parser makes of the words of a command line, as far as they are typed.

    Attributes
    ----------
    parser
        The parser of what follows: that of the subcommand, once there is one.
    waiting
        The option whose value comes next, if one was typed last.
    options
        The values that were given, by destination.
    place
        How many positional words there have been.
    """

    def __init__(self, parser: ArgumentParser) -> None:
        self.parser = parser
        self.waiting: argparse.Action | None = None
        self.options: dict[str, str] = {}
        self.given: set[str] = set()
        self.place = 0
        self.is_open = True  # Whether options may follow.

    def take(self, word: str) -> None:
        """Go on by a word."""
        if self.waiting is not None:
            self.options[self.waiting.dest] = word
            self.waiting = None
        elif word == "--" and self.is_open:
            self.is_open = False
        elif word.startswith("-") and word != "-" and self.is_open:
            self._take_option(word)
        else:
            action = self.positional()
            self.place += 1
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                self.parser = action.choices[word]
                self.place = 0

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        action = self.option(name)
        if action is None:
            return
        self.given.add(action.dest)
        if equals:
            self.options[action.dest] = value
        elif action.nargs != 0:
            self.waiting = action

    def option(self, name: str) -> argparse.Action | None:
        """Return the option of a name."""
        return self.parser._option_string_actions.get(name)

    def positional(self) -> argparse.Action | None:
        """Return the argument that a word which is no option belongs to."""
        place = self.place
        for action in self.parser._actions:
            if action.option_strings:
                continue
            if action.nargs in ("*", "+") or place == 0:
                return action
            place -= action.nargs if isinstance(action.nargs, int) else 1
        return None

    def flags(self) -> Iterator[Candidate]:
        """Yield the options that can still be given."""
        for action in self.parser._actions:
            is_repeated = isinstance(action, argparse._AppendAction)
            if action.help == argparse.SUPPRESS or (action.dest in self.given and not is_repeated):
                continue
            for name in action.option_strings:
                if name.startswith("--") or len(action.option_strings) == 1:
                    yield Candidate(name, action.help or "")

    def namespace(self) -> argparse.Namespace:
        """Return what was given, as commands take it."""
        return argparse.Namespace(**self.options)


def _of_line(line: _Line, typed: str) -> Iterator[Candidate]:
    if line.waiting is not None:
        yield from _of_action(line.waiting, line, typed)
        return
    if typed.startswith("-") and line.is_open:
        name, equals, value = typed.partition("=")
        action = line.option(name)
        if not equals:
            yield from line.flags()
        elif action is not None and action.nargs != 0:
            for candidate in _of_action(action, line, value):
                is_word = candidate.text not in (FILES, FOLDERS, SCRIPTS)
                text = f"{name}={candidate.text}" if is_word else candidate.text
                yield candidate._replace(text=text)
        return
    positional = line.positional()
    if positional is not None:
        yield from _of_action(positional, line, typed)


def _of_action(action: argparse.Action, line: _Line, typed: str) -> Iterable[Candidate]:
    """Return what an argument may be."""
    if isinstance(action, argparse._SubParsersAction):
        told = {choice.dest: choice.help or "" for choice in action._choices_actions}
        return [Candidate(name, told.get(name, "")) for name in action.choices]
    if action.choices is not None:
        return [Candidate(str(choice)) for choice in action.choices]
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if name in _OF_REPOSITORIES:
        return [*_repositories(line), Candidate(FILES)]
    if name in _OF_EXECUTIONS:
        return _executions(line)
    if name in _OF_RECORDS:
        return [*_executions(line), *_jobs(line, typed), Candidate(FILES)]
    if name in _OF_FOLDERS:
        return [Candidate(FOLDERS)]
    if name in _OF_SCRIPTS:
        return [Candidate(SCRIPTS)]
    return [Candidate(FILES)] if name in _OF_FILES else []


# What is recorded


def _repositories(line: _Line) -> Iterator[Candidate]:
    yield from (Candidate(name, "repository") for name in existing_config(line.namespace()).repos)


def _executions(line: _Line) -> Iterator[Candidate]:
    yield Candidate("-", "the latest execution")
    history = open_repository(line.namespace())
    if history is not None:
        with history:
            for execution in history.executions(_MAX_EXECUTIONS):
                when = format_time(execution.started)
                told = f"{when} {execution.status} {' '.join(execution.argv)}"
                yield Candidate(execution.uuid[:8], told)


_JOBS = """
SELECT job.id, job.status, task.fullname FROM job JOIN task ON task.id = job.task_id
WHERE job.id BETWEEN ? AND ? ORDER BY job.id LIMIT ?
"""


def _jobs(line: _Line, typed: str) -> Iterator[Candidate]:
    """Yield the first jobs of the execution whose id was typed, with a dash behind it."""
    found = _JOB_PREFIX.fullmatch(typed)
    history = open_repository(line.namespace()) if found is not None else None
    if history is None or found is None:
        return
    with history:
        execution = history.find_execution(found[1])
        digits = found[2] or "0"
        first = (execution.id << JOB_NUMBER_BITS) + int(digits)
        last = ((execution.id + 1) << JOB_NUMBER_BITS) - 1
        for job_id, status, name in history.database.rows(_JOBS, first, last, _MAX_JOBS):
            number = job_number(job_id)
            yield Candidate(f"{found[1]}-{number}", f"{status} {name}")


# The command `run`


def _of_run(line: _Line, before: list[str], typed: str) -> Iterator[Candidate]:
    """Yield what can follow in `run [options] SCRIPT TASK [arguments]`."""
    named: list[str] = []
    task: TaskText | None = None
    given: set[str] = set()
    argument = ""  # The task's, whose value comes next.
    for word in before:
        name = word.partition("=")[0]
        if line.waiting is None and task is not None and _parameter(task, name) is not None:
            given.add(_parameter(task, name) or "")
            argument = "" if "=" in word else name
        elif line.waiting is not None or word.startswith("-"):
            line.take(word)
            argument = ""
        elif len(named) < 2:
            named.append(word)
            if len(named) == 2:
                task = next((t for t in tasks_of(named[0]) if t.name == word), None)
    if line.waiting is not None:
        yield from _of_line(line, typed)
    elif typed.startswith("-"):
        if task is not None:
            for name, hint in task.parameters.items():
                if name not in given:
                    yield Candidate(f"--{name.replace('_', '-')}", hint)
        yield from _of_line(line, typed)
    elif not named:
        yield Candidate(SCRIPTS)
    elif len(named) == 1:
        yield from (Candidate(task.name, task.purpose) for task in tasks_of(named[0]))
    elif task is not None and argument:
        yield from _values(task.parameters[_parameter(task, argument) or ""])


def _parameter(task: TaskText, word: str) -> str | None:
    """Return the parameter that a word such as `--min-depth` names."""
    name = word[2:].replace("-", "_") if word.startswith("--") else None
    return name if name in task.parameters else None


def _values(hint: str) -> list[Candidate]:
    """Return what an argument with a hint may be."""
    if hint in ("bool", "Optional[bool]", "bool | None"):
        return [Candidate("true"), Candidate("false")]
    literal = re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", hint)
    if literal is not None:
        return [Candidate(word.strip().strip("'\"")) for word in literal[1].split(",")]
    return [Candidate(FILES)] if re.search(r"File|Dir|Path|^$|str", hint) else []


# Scripts

_BASH = """\
# Completes command lines of NAME in bash. It asks the program itself what can follow.
_FUNCTION() {
    local word="${COMP_WORDS[COMP_CWORD]}" typed="${COMP_LINE:0:COMP_POINT}" text file
    local -a words=()
    # Bash takes `--name=value` for three words. What counts is what spaces separate.
    read -ra words <<<"$typed"
    [[ $typed == *[[:space:]] ]] && words+=("")
    typed="${words[${#words[@]}-1]}"
    [[ $word == "=" || $word == ":" ]] && word=""
    COMPREPLY=()
    while IFS=$'\\t' read -r text _; do
        case $text in
            FILES | SCRIPTS)
                compopt -o filenames 2>/dev/null
                while IFS= read -r file; do
                    [[ $text == FILES || -d $file || $file == *.py ]] && COMPREPLY+=("$file")
                done < <(compgen -f -- "$word")
                ;;
            FOLDERS)
                compopt -o filenames 2>/dev/null
                while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -d -- "$word")
                ;;
            *) COMPREPLY+=("${text#"${typed%"$word"}"}") ;;
        esac
    done < <(PROGRAM completion ASK "${words[@]:1}" 2>/dev/null)
}
complete -F _FUNCTION NAME
"""

_ZSH = """\
#compdef NAME
# Completes command lines of NAME in zsh. It asks the program itself what can follow.
_FUNCTION() {
    local line text purpose
    local -a shown wanted
    for line in "${(@f)$(PROGRAM completion ASK "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        text="${line%%$'\\t'*}" purpose="${line#*$'\\t'}"
        case $text in
            '') ;;
            FILES | FOLDERS | SCRIPTS) wanted+=("$text") ;;
            *) shown+=("${text//:/\\\\:}${purpose:+:$purpose}") ;;
        esac
    done
    (( $#shown )) && _describe -V 'NAME' shown
    [[ $PREFIX == --*=* ]] && compset -P '*='
    for text in $wanted; do
        case $text in
            FILES) _files ;;
            FOLDERS) _files -/ ;;
            SCRIPTS) _files -g '*.py' ;;
        esac
    done
}
if [[ $funcstack[1] == _FUNCTION ]]; then _FUNCTION "$@"; else compdef _FUNCTION NAME; fi
"""

_FISH = """\
# Completes command lines of NAME in fish. It asks the program itself what can follow.
function __FUNCTION
    set -l words (commandline -opc) (commandline -ct)
    for line in (PROGRAM completion ASK $words[2..-1] 2>/dev/null)
        switch $line
            case 'FILES*' 'SCRIPTS*'
                __fish_complete_path (commandline -ct)
            case 'FOLDERS*'
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c NAME -f -a '(__FUNCTION)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script_of(shell: str, name: str, program: str) -> str:
    """Return the script that makes a shell complete command lines.

    Parameters
    ----------
    shell
        `bash`, `zsh` or `fish`.
    name
        The word that command lines begin with.
    program
        What calls this program, as a shell reads it.
    """
    function = "redun_lite_" + re.sub(r"\W", "_", name)
    script = _SCRIPTS[shell]
    for mark, text in (
        ("FUNCTION", function),
        ("PROGRAM", program),
        ("ASK", _ASK),
        ("SCRIPTS", SCRIPTS),
        ("FOLDERS", FOLDERS),
        ("FILES", FILES),
        ("NAME", name),
    ):
        script = re.sub(rf"(?<![A-Z]){mark}(?![A-Z])", lambda _, text=text: text, script)  # type: ignore[misc]
    return script
