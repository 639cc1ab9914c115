"""What every command says of like mistakes: the same line, the same exit status.

A script that calls the program tells by the exit status what to do next, and a person reads one
line.  So each table here is one kind of mistake, made with every command that it can be made with.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import Lab

from redun_lite import File, task
from redun_lite._cli import main
from redun_lite._client.command import COMMANDS, find_command

redun_namespace = "test_messages"


@task
def add(a, b):
    return a + b


@task
def write(path):
    File(path).write("text")
    return File(path)


@task
def whole(path):
    return [add(1, 2), write(path)]


LISTS = ["log", "log --count", "log --format json", "log --all", "tag list", "tag list a=1"]
"""Commands of which nothing is an answer, too."""

READERS = [
    "log -",
    "log - --format json",
    "why add",
    "why - add --format json",
    "diff",
    "diff - --format json",
    "graph -",
    "timeline -",
    "tag list -",
    "tag add - a=1",
    "tag update - a=1",
    "tag rm - a",
    "export",
    "export -",
    "repl",
    "db check",
    "db gc --keep 1",
    "db vacuum",
    "db backup copy.db",
    "db upgrade",
    "db downgrade 1",
]
"""Commands that need what is recorded."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with a recorded execution, and files that are no repositories."""
    folder = tmp_path_factory.mktemp("messages")
    lab = Lab(folder)
    lab.run(whole(str(folder / "out.txt")))
    config = folder / ".redun_lite"
    config.mkdir()
    (config / "redun_lite.ini").write_text(f"[backend]\ndb_uri = sqlite:///{lab.path}\n")
    (folder / "text.txt").write_text("This is no database, however long it may be.\n" * 100)
    (folder / "cut.db").write_bytes(lab.path.read_bytes()[: 5 * 4096])
    (folder / "nothing.db").touch()
    (folder / "empty").mkdir()
    digest, *_ = lab.query(
        "SELECT digest FROM value JOIN value_type ON value_type.id = value.type_id "
        "WHERE value_type.name = 'builtins.int'"
    )
    (uuid,) = lab.query("SELECT uuid FROM execution")
    ids = {"execution": uuid[:8], "job": f"{uuid[:8]}-1", "value": digest.hex()[:12]}
    return SimpleNamespace(folder=folder, lab=lab, ids=ids)


@pytest.fixture
def say(capsysbinary, monkeypatch, tmp_path):
    """Run a command in a folder, a fresh one by default; a failure says one line and nothing else.

    Returns the exit status, and what went to standard error.
    """
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    place = tmp_path / "fresh"
    place.mkdir()

    def say(words, folder=place):
        if folder is not None:
            monkeypatch.chdir(folder)
        capsysbinary.readouterr()
        code = main(words.split() if isinstance(words, str) else list(words))
        out, err = (text.decode() for text in capsysbinary.readouterr())
        if code:
            assert err.count("\n") == 1, err
        if code > 1:
            assert out == ""
            assert err.startswith("redun_lite: error: ")
        return code, err

    say.folder = place
    yield say
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__path__", sys.modules[name])):
            del sys.modules[name]


# Repositories


def test_a_repository_that_is_named_and_not_there_is_a_wrong_word(say):
    told = f"there is no repository typo/x.db: there is no {say.folder}/typo/x.db"
    for words in (*LISTS, *READERS, "db info", "db versions"):
        assert say(f"{words} --repo typo/x.db") == (2, f"redun_lite: error: {told}\n"), words
    assert os.listdir(say.folder) == []


def test_a_list_of_a_project_without_records_finds_nothing(say):
    where = f"{say.folder}/.redun_lite/redun_lite.db"
    for words in LISTS:
        assert say(words) == (1, f"redun_lite: nothing is recorded yet in {where}\n"), words
    assert os.listdir(say.folder) == []


def test_what_needs_records_says_that_there_are_none(say):
    where = f"{say.folder}/.redun_lite/redun_lite.db"
    for words in READERS:
        code, told = say(words)
        assert code == 2, words
        assert told.startswith(f"redun_lite: error: nothing is recorded yet in {where}"), words
    assert os.listdir(say.folder) == []


def test_a_database_without_tables_has_no_records(say, recorded):
    for words in READERS[: READERS.index("db check") + 1]:
        code, told = say(f"{words} --repo nothing.db", recorded.folder)
        assert code == 2, words
        assert f"nothing is recorded yet in {recorded.folder}/nothing.db" in told, words


@pytest.mark.parametrize(
    ("repository", "expected", "message"),
    [
        ("text.txt", 2, "{}/text.txt is not a redun_lite database"),
        ("cut.db", 1, "{}/cut.db is damaged ("),
        ("./empty", 2, "./empty is a folder without a redun_lite.ini"),
    ],
)
def test_what_is_no_repository_is_called_what_it_is(say, repository, expected, message, recorded):
    for words in (*LISTS, *READERS, "db info", "db versions"):
        code, told = say(f"{words} --repo {repository}", recorded.folder)
        assert code == expected, words
        assert told.startswith(f"redun_lite: error: {message.format(recorded.folder)}"), words
        assert "db_uri" not in told, words


@pytest.mark.parametrize(
    ("words", "expected", "message"),
    [
        ("push text.txt", 2, "is not a redun_lite database"),
        ("pull text.txt", 2, "is not a redun_lite database"),
        ("push cut.db", 1, "is damaged"),
        ("pull cut.db", 1, "is damaged"),
        ("push empty", 2, "is a folder without"),
        ("pull empty", 2, "is a folder without"),
        ("pull none.db", 2, "there is no repository none.db"),
        ("pull nothing.db", 2, "nothing is recorded yet in"),
        ("push nowhere", 2, "there is no repository 'nowhere'"),
        ("pull nowhere", 2, "there is no repository 'nowhere'"),
        ("push lab.db", 2, "is the repository itself"),
        ("push sqlite://", 2, "is in memory"),
    ],
)
def test_push_and_pull_say_what_is_wrong_with_a_repository(say, words, expected, message, recorded):
    code, told = say(words, recorded.folder)
    assert code == expected
    assert message in told


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in use cannot be removed")
def test_a_folder_that_is_gone_is_told(say, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    say("help", gone)
    gone.rmdir()
    for words in ("log", "run flow.py main", "db info", "export", "repo list", "push x.db"):
        assert say(words, None) == (
            2,
            "redun_lite: error: the folder that this runs in is gone: go to another one\n",
        ), words


# New repositories


@pytest.fixture
def exported(say, recorded, tmp_path):
    assert say(["export", "-o", str(tmp_path / "all.jsonl")], recorded.folder)[0] == 0
    return tmp_path / "all.jsonl"


def test_a_new_repository_is_made_where_its_folder_is_and_that_is_said(say, recorded, exported):
    pushed, imported = say.folder / "pushed.db", say.folder / "imported.db"
    for words, made in (
        (["push", str(pushed)], pushed),
        (["import", str(exported), "--repo", str(imported)], imported),
    ):
        code, told = say(words, recorded.folder)
        assert code == 0
        assert told.splitlines()[0] == f"made the repository {made}"
        assert say(words, recorded.folder)[1].startswith("nothing new ")
    code, told = say(["pull", str(pushed)])
    assert code == 0
    assert told.startswith(f"made the repository {say.folder}/.redun_lite/redun_lite.db\npulled ")
    assert (say.folder / ".redun_lite" / "redun_lite.ini").is_file()


def test_a_new_repository_is_not_made_in_a_folder_that_is_not_there(say, recorded, exported):
    where = str(say.folder / "typo" / "x.db")
    for words in (["push", where], ["import", str(exported), "--repo", where]):
        assert say(words, recorded.folder) == (
            2,
            f"redun_lite: error: there is no repository {where}, and no folder "
            f"{say.folder}/typo to make it in\n",
        )
    assert os.listdir(say.folder) == []


def test_what_fails_makes_no_repository(say, recorded):
    new = say.folder / "new.db"
    assert say(["push", str(new), "nothing"], recorded.folder)[0] == 2
    assert say(["import", "text.txt", "--repo", str(new)], recorded.folder)[0] == 2
    assert say(["import", str(recorded.folder / "text.txt")])[0] == 2
    assert say(["pull", str(recorded.folder / "text.txt")])[0] == 2
    assert say(["pull", str(recorded.lab.path), "nothing"])[0] == 2
    assert say(["push", str(new)])[0] == 2
    assert os.listdir(say.folder) == []


# IDs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("why {execution}", "is an execution, not a job"),
        ("why out.txt", "is a file, not a job"),
        ("diff {value}", "is a value, not an execution; `log` lists them"),
        ("diff out.txt", "is a file, not an execution; `log` lists them"),
        ("timeline test_messages.add", "is a task, not an execution; `log` lists them"),
        ("log --exec-id {value}", "is a value, not an execution; `log` lists them"),
        (
            "graph test_messages.add",
            "is a task, not an execution, a job, a call",
        ),
        ("graph {execution} --down", "is an execution, not a file, a value or a call: leave out"),
        ("run --rerun {value}", "is a value, not an execution or a job; `log` lists them"),
    ],
)
def test_an_id_of_another_kind_says_what_it_is_and_what_is_wanted(say, words, message, recorded):
    code, told = say(words.format(**recorded.ids), recorded.folder)
    assert code == 2
    assert message in told


@pytest.mark.parametrize("text", ["nothing", "ффф", "0" * 40, "x" * 100_000])
def test_an_id_of_nothing_is_one_line_that_can_be_read(say, text, recorded):
    for words in ("log", "why", "why -", "graph", "tag list", "tag rm", "export"):
        more = " a" if words == "tag rm" else ""
        code, told = say(f"{words} {text}{more}", recorded.folder)
        assert code == 2, words
        assert "no execution, job, call, value, task or file" in told, words
        assert told.endswith(f"in {recorded.lab.path}\n"), words
        assert len(told) < 2_100, words


def test_a_job_stands_for_its_execution(say, recorded):
    for words in ("timeline {job} -o t.svg", "diff {job} -"):
        assert say(words.format(**recorded.ids), recorded.folder)[0] == 0


# Files


@pytest.mark.parametrize(
    "words", ["export -o {}", "graph - --format svg -o {}", "timeline - --format svg -o {}"]
)
def test_an_output_that_cannot_be_written_is_a_wrong_word(say, words, recorded):
    before = sorted(os.listdir(recorded.folder))
    for path, reason in (
        ("none/x", f"there is no folder {recorded.folder}/none"),
        ("text.txt/x", f"{recorded.folder}/text.txt is a file"),
        ("empty", "it is a folder"),
        ("n" * 300, "the name is too long"),
    ):
        assert say(words.format(path), recorded.folder) == (
            2,
            f"redun_lite: error: cannot write {path}: {reason}\n",
        )
    assert sorted(os.listdir(recorded.folder)) == before


def test_a_copy_of_the_database_that_cannot_be_written_is_told_like_any_output(say, recorded):
    path = "none/x.db"
    assert say(f"db backup {path}", recorded.folder) == (
        2,
        f"redun_lite: error: cannot write {path}: there is no folder {recorded.folder}/none\n",
    )


@pytest.mark.parametrize(
    "words",
    ["import {}", "run --context-file {} wf.py main", "run --input {} wf.py main"],
)
def test_an_input_that_cannot_be_read_is_a_wrong_word(say, words):
    (say.folder / "wf.py").write_text("from redun_lite import task\n@task\ndef main(): pass\n")
    (say.folder / "folder").mkdir()
    for path, reason in (
        ("none", "there is no such file"),
        ("none/x", f"there is no folder {say.folder}/none"),
        ("folder", "it is a folder"),
        ("wf.py/x", f"{say.folder}/wf.py is a file"),
    ):
        assert say(words.format(path)) == (
            2,
            f"redun_lite: error: cannot read {path}: {reason}\n",
        )


def test_an_output_that_is_a_device_or_a_link_stays_one(say, recorded):
    link, target = say.folder / "link.svg", say.folder / "target.svg"
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(target)
    assert say(["graph", "-", "-o", str(link)], recorded.folder) == (0, "")
    assert link.is_symlink()
    assert target.read_text().startswith("<svg ")
    assert target.stat().st_mode & 0o777 == 0o640
    pipe = say.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert say(["timeline", "-", "--format", "svg", "-o", str(pipe)], recorded.folder)[0] == 0
        assert os.read(reader, 4) == b"<svg"
    finally:
        os.close(reader)
    assert say(["db", "backup", "--force", str(pipe)], recorded.folder) == (
        2,
        f"redun_lite: error: db backup: {pipe} is no regular file; name a file for the copy\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no device that is always full")
@pytest.mark.parametrize("words", ["export", "graph - --format svg", "timeline - --format svg"])
def test_an_output_without_room_is_a_failure(say, words, recorded):
    full = say.folder / "full"
    full.symlink_to("/dev/full")
    assert say([*words.split(), "-o", str(full)], recorded.folder) == (
        1,
        f"redun_lite: error: cannot write {full}: No space left on device\n",
    )
    assert full.is_symlink()


# JSON

DOCS = Path(__file__).parent.parent / "docs" / "reference"


def fields_of(found):
    """Yield the names of the fields in what JSON says."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield name
            if name != "tags":
                yield from fields_of(value)
    elif isinstance(found, list):
        for value in found:
            yield from fields_of(value)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A repository in which a job failed, and one ran again with another argument."""
    lab = Lab(tmp_path_factory.mktemp("twice"))
    for words in ("a", "b"):
        lab.run(whole(str(lab.folder / words)), exec_argv=["run", "flow.py", "whole"])
    with pytest.raises(TypeError):
        lab.run(add(1, "x"), exec_argv=["run", "flow.py", "whole"])
    return lab


@pytest.mark.parametrize(
    "words",
    ["log --all", "log --all --count", "why whole", "why test_messages.add", "diff", "tag list"],
)
def test_every_field_of_json_is_documented(words, twice, capsys):
    assert main([*words.split(), "--format", "json", "--repo", str(twice.path)]) in (0, 1)
    out = capsys.readouterr().out
    try:
        found = [json.loads(out)]
    except ValueError:
        found = [json.loads(line) for line in out.splitlines()]
    text = (DOCS / "log.md").read_text() + (DOCS / "command-line.md").read_text()
    assert [name for name in fields_of(found) if f"`{name}`" not in text] == []


def test_the_same_thing_has_one_name_in_all_json(twice, capsys):
    def fields(words):
        main([*words.split(), "--format", "json", "--repo", str(twice.path)])
        return json.loads(capsys.readouterr().out)

    why = fields("why whole")
    job = fields(f"log {why['job_id']}")
    assert (why["_type"], why["_version"]) == ("Why", job["_version"])
    for name in ("execution_id", "task_name", "status"):
        assert why[name] == job[name]
    argument = why["args"][0]
    assert {**argument["after"], "name": argument["name"]} == job["args"][0]
    before = fields(f"log {why['compared_with']['job']['job_id']}")
    assert before["call_hash"] == why["compared_with"]["call_hash"]
    diff = fields(f"diff {before['execution_id']} {job['execution_id']}")
    (pair,) = [pair for pair in diff["changed"] if pair["after"]["job_id"] == job["id"]]
    assert pair["args"][0]["after"] == argument["after"]
    execution = fields(f"log {job['execution_id']}")
    assert {name: execution.get(name) for name in diff["after"]} == {
        **diff["after"],
        "execution_id": None,
    }
    assert diff["after"]["execution_id"] == execution["id"]


# Words


def parsers():
    """Return each parser of a command or an action, by the words that lead to it."""
    found = {}
    for name in COMMANDS:
        parser = find_command(name).parser()
        actions = getattr(parser, "actions", None)
        if actions is None:
            found[name] = parser
        else:
            found.update(
                {f"{name} {action}": actions.choices[action] for action in actions.choices}
            )
    return found


PARSERS = parsers()


def options_of(words):
    """Return the options of a command that take a value."""
    return [
        action
        for action in PARSERS[words]._actions
        if action.option_strings and action.nargs != 0 and action.dest != "help"
    ]


@pytest.mark.parametrize("words", PARSERS)
def test_an_option_without_its_value_is_a_wrong_word(say, words):
    for action in options_of(words):
        option = action.option_strings[0]
        if action.nargs == "*" or option == "--rerun":  # They have readers of their own.
            continue
        for given in ([option, ""], [option]):
            code, told = say([*words.split(), *given])
            assert code == 2, given
            assert told.startswith(f"redun_lite: error: {words}: "), given
            assert option in told, given
    assert os.listdir(say.folder) == []


def test_a_number_that_is_none_is_a_wrong_word(say):
    numbers = [
        (words, action.option_strings[0])
        for words in PARSERS
        for action in options_of(words)
        if getattr(action.type, "__qualname__", "").startswith("number_from")
    ]
    assert len(numbers) >= 7
    for words, option in numbers:
        least = 1 if option in ("--depth", "--max-runs") else 0
        for text in ("x", str(least - 1), "nan", "0x10"):
            code, told = say([*words.split(), f"{option}={text}"])
            assert code == 2, option
            assert told.startswith(f"redun_lite: error: {words}: {option}: expected a "), option
            end = "to 65535" if option == "--port" else "on"
            assert told.endswith(f" from {least} {end}, got {text!r}\n"), option


def test_an_option_that_is_not_known_is_a_wrong_word(say):
    for words in PARSERS:
        code, told = say([*words.split(), "--frobnicate"])
        assert code == 2, words
        assert told.startswith(f"redun_lite: error: {words}: "), words
    assert os.listdir(say.folder) == []


def test_one_word_too_many_is_a_wrong_word(say):
    for words in PARSERS:
        if words.count(" ") == 1 and not words.startswith("tag"):  # That takes any number.
            code, told = say([*words.split(), "a", "b", "c"])
            assert code == 2, words
            assert told.startswith(f"redun_lite: error: {words}: "), words


@pytest.mark.parametrize("name", ["db", "fs", "tag"])
def test_a_command_without_its_action_lists_them(say, name):
    code, told = say(name)
    actions = ", ".join(find_command(name).parser().actions.choices)
    assert (code, told) == (
        2,
        f"redun_lite: error: {name}: say what to do: {actions}; `help {name}` says more\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-c", "none", "log"], "--config none: there is no such directory; `init --config none`"),
        (["log", "-c", "file"], "--config file: it is a file; name the directory of a redun_lite"),
        (["log", "-c", "."], "--config .: there is no redun_lite.ini in it; `init --config .`"),
        (["log", "-c", ""], "log: -c/--config: it is empty"),
        (["log", "--since", "soon"], "log: --since: 'soon' is no time: expected a date"),
        (["log", "--tag", "=3"], "log: --tag: expected a tag as KEY or KEY=VALUE, got '=3'"),
        (["run", "folder", "main"], "folder is a folder; name the Python file in it"),
        (["run", "", "main"], "'' is neither a script nor a module"),
        (["help", "log", "more"], "help log: unexpected 'more': `log` has no actions"),
        (["fs", "cp", "xx://a", "b"], "fs cp xx://a: xx://: unknown URL scheme"),
        (["fs", "cp", "a\0b", "c"], "fs cp a\\x00b: a path must not hold a null character"),
        (["fs", "cp", "none", "c"], "fs cp: there is no file none"),
        (["fs", "cp", "-r", "folder", "file"], "fs cp: file is a file; name a folder"),
        (["fs", "cp", "file", "file/x"], "cannot write file/x: "),
        (["init", "-c", "n" * 300], f"{'n' * 300}: cannot make the config directory: File name"),
        (["log", "-c", "n" * 300], f"--config {'n' * 300}: there is no such directory"),
        (["fs", "cp", "file", "n" * 300], "cannot write "),
        (["fs", "cp", "file", "http://h/x"], "fs cp http://h/x: HTTP is for reading only"),
        (["fs", "cp", "-r", "http://h/x", "folder"], "fs cp http://h/x: HTTP has no folders"),
        (["log", "--repo", "x://h/d"], "the URI of a repository: unknown kind of database 'x'"),
        (["push", "x://u:secret@h/d"], "the URI of a repository: expected no user name"),
        (["federated-server", "x=y", "--scratch", ".", "--port", "65536"], "federated-server: --p"),
        (["repo", "add", "r", "x://h/d"], "repo add r: unknown kind of database 'x'"),
        (["run", "--rerun", "-", "--rerun", "-"], "run --rerun: name one execution or job"),
        (["run", "--rerun", ""], "run: --rerun: it is empty"),
        (["import", "file"], "file: it is empty, so no file of `export`; nothing was imported"),
        (["tag", "list", "--values", "a"], "tag list: --values counts those of all keys"),
    ],
)
def test_a_wrong_word_is_named_with_what_would_be_right(say, words, message):
    (say.folder / "folder").mkdir()
    (say.folder / "file").touch()
    code, told = say(words)
    assert code == 2
    assert told.startswith(f"redun_lite: error: {message}")
    assert sorted(os.listdir(say.folder)) == ["file", "folder"]


def test_a_repository_of_a_value_alone_is_not_called_empty(say, recorded, tmp_path):
    file, new = tmp_path / "value.jsonl", tmp_path / "value.db"
    words = ["export", recorded.ids["value"], "-o", str(file)]
    assert say(words, recorded.folder)[0] == 0
    assert say(["import", str(file), "--repo", str(new)])[0] == 0
    assert say(["log", "--repo", str(new)]) == (1, f"redun_lite: no executions in {new}\n")
    for command in ("log -", "diff", "timeline -", "diff - -"):
        assert say([*command.split(), "--repo", str(new)]) == (
            2,
            f"redun_lite: error: no execution is recorded yet in {new}\n",
        ), command
