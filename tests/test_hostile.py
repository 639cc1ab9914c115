"""Looking is safe: whatever a repository holds, commands that show it run nothing of that.

They show it in bounded time and room, and what goes to the terminal is text.

A new command that shows what is recorded is tested here by a line in `COMMANDS`.
"""

from __future__ import annotations

import io
import json
import pickle
import sqlite3
import tracemalloc
from contextlib import redirect_stdout

import hostile_pickles
import pytest
from hostile_pickles import BIG, CORPUS, ESCAPES, STRIKING, Forbidden, watched
from support import Lab

from redun_lite import File, task
from redun_lite._cli import main
from redun_lite._format_value import format_stored, format_stored_block
from redun_lite._recompute import key_of_plain
from redun_lite._safe_load import load_safely

redun_namespace = "test_hostile"

COMMANDS = [
    "log",
    "log -",
    "log - --all",
    "log - --detail",
    "log --all --detail",
    "log --all --format json",
    "log --all --count",
    "log {execution}",
    "log {job}",
    "log {call}",
    "log {value}",
    "log {task}",
    "help {task}",
    "why {job}",
    "why {job} --format json",
    "diff {execution} -",
    "diff - {execution} --format json",
    "graph -",
    "graph - --format dot",
    "graph - --format mermaid",
    "graph {call}",
    "graph {value}",
    "graph {value} --down",
    "timeline -",
    "timeline - --format chrome",
    "tag list",
    "tag list {execution}",
    "db info",
    "db check",
    "export",
]
"""Commands that show what is recorded.  What is in braces stands for the id of each such record."""


@task
def take(x):
    return f"{x} taken"


@task
def boom(x):
    raise ValueError(f"cannot take {x}")


@task
def read(file):
    return file.read()


@task(tags=[("kind", "hostile")])
def all_of(names, path):
    return [*map(take, names), read(File(path)), boom(names[-1])]


# The corpus


@pytest.mark.parametrize("name", STRIKING)
def test_the_corpus_does_harm_when_it_is_loaded(name):
    with watched() as events:
        try:
            pickle.loads(STRIKING[name])
        except (Exception, Forbidden):
            pass
        finally:
            copied = list(hostile_pickles.struck)
    assert events or copied


# Values


def shown(data: bytes) -> str:
    with watched() as events:
        lines = [
            format_stored("evil.Type", len(data), data),
            *format_stored_block("evil.Type", len(data), data, 100),
        ]
    assert events == []
    assert len(lines) < 40
    assert all(map(str.isprintable, lines))
    return lines[0]


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_value_is_shown_as_text(name):
    assert 0 < len(shown(CORPUS[name])) <= 60


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BIG)
def test_a_long_value_is_shown_in_bounded_time(name):
    assert 0 < len(shown(BIG[name])) <= 60


@pytest.mark.parametrize("name", ["lists", "dicts", "marks", "an int"])
def test_a_long_value_takes_little_more_room_than_what_it_is_made_of(name):
    tracemalloc.start()
    try:
        load_safely(BIG[name])
    except Exception:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100 * len(BIG[name])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", CORPUS)
def test_the_key_of_a_hostile_value_is_computed_in_bounded_time_or_not_at_all(name):
    with watched() as events:
        try:
            key_of_plain(CORPUS[name])
        except Exception:
            pass
    assert events == []


# Commands


class Repository:
    """A repository whose records hold the corpus, or texts that nobody wants in a terminal."""

    def __init__(self, folder) -> None:
        self.lab = Lab(folder)
        self.config = folder
        path = folder / "reads.txt"
        path.write_text("reads")
        (folder / "redun_lite.ini").write_text(f"[backend]\ndb_uri = sqlite:///{self.lab.path}\n")
        with pytest.raises(ValueError, match="cannot take"):
            self.lab.run(all_of(list(CORPUS), str(path)), tags=[("note", "x")])
        self.lab.run(take(1))
        self.lab.run(take(2))
        for pattern in COMMANDS:  # What they import is taken for no doing of a value, then.
            with redirect_stdout(io.TextIOWrapper(io.BytesIO())):
                main(["--config", str(folder), *self.commands(pattern)[0]])

    def change(self, *statements: tuple[object, ...]) -> None:
        connection = sqlite3.connect(self.lab.path)
        with connection:
            for sql, *parameters in statements:
                connection.execute(sql, parameters)
        connection.close()

    def commands(self, pattern: str) -> list[list[str]]:
        """Return the commands that a pattern stands for: one for each record of its kind."""
        kind = pattern.partition("{")[2].partition("}")[0]
        uuids = dict(self.lab.query("SELECT id, uuid FROM execution WHERE id < 3"))
        ids = {
            "": lambda: [""],
            "execution": lambda: [uuid[:8] for uuid in uuids.values()],
            "job": lambda: [
                f"{uuids[job >> 32][:8]}-{job & 0xFFFFFFFF}"
                for job in self.lab.query("SELECT id FROM job")
                if job >> 32 in uuids
            ],
            "call": lambda: self.lab.query("SELECT lower(hex(key)) FROM call"),
            "value": lambda: self.lab.query("SELECT lower(hex(digest)) FROM value"),
            "task": lambda: self.lab.query("SELECT lower(hex(digest)) FROM task"),
            "file": lambda: self.lab.query("SELECT path FROM file"),
        }[kind]()
        words = pattern.split()
        return [[word.replace(f"{{{kind}}}", str(id)) for word in words] for id in ids]


@pytest.fixture(scope="module")
def pickles(tmp_path_factory):
    """A repository in which each value of the corpus is an argument, a result and an error."""
    repository = Repository(tmp_path_factory.mktemp("pickles"))
    entries = list(CORPUS.values())
    values = repository.lab.query("SELECT id FROM value ORDER BY id")
    assert len(values) > 2 * len(entries)
    repository.change(
        *(
            ("UPDATE value SET data = ? WHERE id = ?", entries[index % len(entries)], value)
            for index, value in enumerate(values)
        ),
        ("UPDATE tag SET value = ? WHERE key = 'note'", "[" * 100_000),
    )
    return repository


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A repository in which every text is one of terminal sequences."""
    repository = Repository(tmp_path_factory.mktemp("texts"))
    escaped = json.dumps([ESCAPES, "\ud800", {ESCAPES: ESCAPES}])
    repository.change(
        ("UPDATE execution SET argv = ?, host = ?", escaped, ESCAPES),
        ("UPDATE execution SET uuid = substr(uuid, 1, 8) || ?", ESCAPES),
        ("UPDATE execution SET uuid = ? WHERE id = 3", ESCAPES),
        ("UPDATE execution SET status = ? WHERE id = 1", ESCAPES),
        ("UPDATE task SET fullname = ? || id, source = ?, version = ?", *[ESCAPES] * 3),
        ("UPDATE value_type SET name = ? || id", f"m.{ESCAPES}"),
        ("UPDATE argument SET name = ?", ESCAPES),
        ("UPDATE file SET path = ?", ESCAPES),
        ("UPDATE job SET status = ? WHERE id % 2 = 0", ESCAPES),
        ("UPDATE tag SET value = ?, key = ? || id", escaped, ESCAPES),
    )
    return repository


def check(
    repository: Repository, pattern: str, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in repository.commands(pattern)[:most]:
        with watched() as events:
            code = main(["--config", str(repository.config), *words])
        out, err = capsys.readouterr()
        assert events == [], words
        if pattern.startswith("tag list") and "no tags with" in err:
            assert (code, out, err.count("\n")) == (1, "", 1), words
            continue
        assert err == "", words
        assert code == 0 or (code, pattern) == (1, "db check"), words  # It finds fault with them.
        assert out, words
        assert {char for char in out if not char.isprintable()} <= {"\n"}, words
        assert not [line for line in out.splitlines() if line.startswith("redun_lite: error")]


@pytest.mark.parametrize("pattern", COMMANDS)
def test_a_command_runs_nothing_that_is_recorded(pickles, pattern, capsys):
    # They all show values by the same functions, so one of them is shown the whole corpus.
    check(pickles, pattern, len(CORPUS) + 1 if pattern == "log {value}" else 20, capsys)


@pytest.mark.parametrize("pattern", COMMANDS)
def test_a_command_lets_no_recorded_text_steer_the_terminal(texts, pattern, capsys):
    check(texts, pattern, 5, capsys)


PROMPT = """
for value in query(Value)[:20]: print(value); show(value)

for job in query(Job)[:20]: print(job, arguments(job), result(job), children(job), tags(job))

query(Task)
query(Execution)
"""


@pytest.mark.parametrize("which", ["pickles", "texts"])
def test_the_prompt_shows_hostile_records(request, which, capsys, monkeypatch):
    repository = request.getfixturevalue(which)
    monkeypatch.setattr("sys.stdin", io.StringIO(PROMPT))
    with watched() as events:
        main(["--config", str(repository.config), "repl"])
    out, err = capsys.readouterr()
    assert (err, events) == ("", [])
    assert {char for char in out if not char.isprintable()} <= {"\n"}
