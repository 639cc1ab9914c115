"""The `log` command: what it lists, what it says of one record, as text and as JSON."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import pytest
from support import ROOT, Lab

from redun_lite import File, ScriptError, get_task_registry, script, task
from redun_lite._cli import main
from redun_lite._client.log import LogCommand

redun_namespace = "test_log"

GOOD = "5c1f9a3e-0000-4000-8000-000000000001"
BAD = "5c1f9a3f-0000-4000-8000-000000000002"
AGAIN = "6c1f9a40-0000-4000-8000-000000000003"


@task
def write(path: str, text: str) -> File:
    file = File(path)
    file.write(text)
    return file


@task(tags={"stage": "counting"})
def count(file: File) -> int:
    return len(file.read())


@task
def total(numbers: list) -> int:
    return sum(numbers)


@task
def good(folder: str) -> int:
    files = [write(f"{folder}/{name}.txt", name * 3) for name in ("a", "bb")]
    return total([count(file) for file in files])


@task
def boom(x: int) -> int:
    raise ValueError(f"cannot take {x}")


@task
def middle(x: int) -> int:
    return boom(x)


@task
def bad(folder: str) -> list:
    return [total([1, 2]), middle(41)]


@task
def many(n: int) -> list:
    return [total([i]) for i in range(n)]


@task
def labelled(file: File, label: int) -> int:
    return label


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A repository: an execution that came out well, one that failed, an edited task."""
    folder = tmp_path_factory.mktemp("log")
    lab = Lab(folder)
    known = get_task_registry().snapshot()
    lab.run(good(str(folder)), execution_id=GOOD, tags=[("project", "x")])

    @task(name="total", namespace="test_log")
    def total_edited(numbers: list) -> int:
        return sum(numbers) + 0

    lab.run(total_edited([5]), execution_id=AGAIN, tags=[("project", "y")])
    get_task_registry().restore(known)
    with pytest.raises(ValueError, match="cannot take"):
        lab.run(bad(str(folder)), execution_id=BAD, tags=[("project", "y")])
    (folder / ".redun_lite").mkdir()
    (folder / ".redun_lite" / "redun_lite.ini").write_text(
        f"[backend]\ndb_uri = sqlite:///{lab.path}\n"
    )
    return SimpleNamespace(folder=folder, lab=lab)


@pytest.fixture
def log(recorded, capsys, monkeypatch):
    """Return a function that runs `log`, and has the exit status and both outputs."""
    monkeypatch.chdir(recorded.folder)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")

    def log(*words):
        capsys.readouterr()
        code = main(["log", *map(str, words)])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, lines=out.splitlines())

    return log


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes the output a terminal of 80 columns and some lines."""

    def terminal(lines=1000):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("LINES", str(lines))

    return terminal


def tasks_in(lines: list[str]) -> list[str]:
    """Return the names of tasks in lines, one for each line that has one."""
    found = [re.search(r"test_log\.(\w+)", line) for line in lines]
    return [match.group(1) for match in found if match]


# Lists


def test_without_anything_it_lists_executions_the_latest_first(log):
    lines = log().lines
    assert [line.split()[0] for line in lines] == ["EXECUTION", "5c1f9a3f", "6c1f9a40", "5c1f9a3e"]
    assert [line.split()[1] for line in lines[1:]] == ["FAILED", "DONE", "DONE"]


@pytest.mark.parametrize(
    ("option", "start"),
    [
        ("--exec", "EXECUTION"),
        ("--job", "FAILED     5c1f9a3f-"),
        ("--call-node", ""),
        ("--task", ""),
        ("--value", ""),
        ("--file", ""),
    ],
)
def test_each_kind_of_record_has_its_list(log, option, start):
    shown = log(option)
    assert shown.code == 0
    assert shown.lines[0].startswith(start.split()[0] if start else "")
    assert len(shown.lines) >= 2


def test_lists_say_what_a_record_is(log):
    calls = log("--call-node", "--task-name", "count").lines
    assert all(
        re.match(r"[0-9a-f]{8}  \d{4}-.* test_log.count\(file=File\(.* → \d$", c) for c in calls
    )
    assert re.match(
        r"[0-9a-f]{8}  test_log.count  \(stage=counting\)", log("--task", "-t", "stage").lines[0]
    )
    values = log("--value", "--value-type", "int", "--task-name", "total").lines
    assert all(re.match(r"[0-9a-f]{8}  builtins.int  \d+$", line) for line in values)
    files = log("--file").lines
    assert [line.rpartition("/")[2] for line in files] == ["bb.txt", "a.txt"] or len(files) == 2


def test_several_kinds_come_under_headings(log):
    lines = log("--task", "--job", "--task-name", "boom").lines
    assert lines[0] == "Jobs"
    assert lines[2:4] == ["", "Tasks"]
    assert tasks_in(lines) == ["boom", "boom"]


def test_all_is_every_kind(log):
    lines = log("--all").lines
    headings = {"Executions", "Jobs", "Call nodes", "Tasks", "Values", "Files"}
    assert headings <= set(lines)


def test_a_kind_of_which_there_is_nothing_has_no_heading(log):
    lines = log("--all", "--tag", "stage=counting").lines
    assert lines[0] == "Jobs"
    assert "Files" not in lines


# Filters


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        ("--job --job-status FAILED", {"bad", "middle", "boom"}),
        ("--job-status failed,running", {"bad", "middle", "boom"}),
        ("--job --status FAILED", {"bad", "middle", "boom"}),
        ("--job --task-name count", {"count"}),
        ("--task-name test_log.count", {"count"}),
        ("--job --task-name b*", {"bad", "boom"}),
        ("--job --exec-id 5c1f9a3e", {"good", "write", "count", "total"}),
        ("--job --exec-status FAILED --task-name total", {"total"}),
        ("--job --exec-tag project=x --task-name total", {"total"}),
        ("--job --tag stage", {"count"}),
        ("--job -t stage=counting", {"count"}),
        ("--arg 41", {"boom", "middle"}),
        ("--arg x=41 --task-name boom", {"boom"}),
        ("--arg text=aaa", {"write"}),
        ("--result 9", {"good", "total"}),
        ("--job --file-path */bb.txt", {"write", "count"}),
        ("--job --value-type ErrorValue", {"bad", "middle", "boom"}),
        ("--job --since 1h --task-name boom", {"boom"}),
        ("--job --until now --task-name boom", {"boom"}),
        ("- --job", {"bad", "middle", "boom", "total"}),
        ("5c1f9a3e --task", {"good", "write", "count", "total"}),
        ("5c1f9a3f-1 --job", {"bad", "middle", "total"}),
        ("boom --job", {"boom"}),
        ("bb.txt --job", {"write", "count"}),
    ],
)
def test_filters_let_through_what_they_are_about(log, words, tasks):
    shown = log(*words.split())
    assert shown.code == 0
    assert set(tasks_in(shown.lines)) == tasks


def test_a_hash_of_a_task_finds_one_version(log, recorded):
    assert tasks_in(log("--job", "--task-hash", total.hash[:12]).lines) == ["total", "total"]


def test_what_has_to_do_with_a_task_is_of_all_versions_by_its_name_and_of_one_by_its_hash(log):
    executions = {line.split()[0] for line in log("total", "--exec").lines[1:]}
    assert executions == {"5c1f9a3e", "5c1f9a3f", "6c1f9a40"}
    executions = {line.split()[0] for line in log(total.hash, "--exec").lines[1:]}
    assert executions == {"5c1f9a3e", "5c1f9a3f"}


def test_filters_alone_list_what_they_are_about(log):
    assert log("--exec-status", "FAILED").lines[1].startswith("5c1f9a3f   FAILED")
    assert log("--exec-tag", "project").lines[0].startswith("EXECUTION")
    assert "builtins.int" in log("--value-type", "int").out
    assert log("--file-path", "*.txt").lines[0].endswith(".txt")
    assert log("*.txt").lines == log("--file-path", "*.txt").lines
    assert log("--tag", "project=x").lines[0] == "Executions"


def test_status_is_that_of_what_is_listed(log):
    assert log("--status", "FAILED").lines[1].startswith("5c1f9a3f")
    wrong = log("--value", "--status", "FAILED")
    assert (wrong.code, wrong.err) == (
        2,
        "redun_lite: error: log: values have no status: use --exec-status or --job-status\n",
    )
    assert log("--job", "--status", "DONE", "--job-status", "DONE").code == 2
    assert log("--exec", "--status", "DONE", "--exec-status", "DONE").code == 2
    assert log("--exec", "--status", "CACHED").code == 2


def test_counts_are_of_each_kind(log):
    assert log("--job", "--count", "--task-name", "boom").out == "         1  Job\n"
    lines = log("--all", "--count").lines
    assert [line.split()[1] for line in lines] == [
        "Execution",
        "Job",
        "CallNode",
        "Task",
        "Value",
        "File",
    ]


def test_a_list_ends_at_its_limit_and_says_how_to_go_on(log):
    whole = log("--job").lines
    first = log("--job", "--limit", 3).lines
    assert first[:3] == whole[:3]
    goes_on = re.fullmatch(r"… and more: --[a-z-]+ --after (\S+) goes on", first[3]).group(1)
    assert log("--job", "--limit", 3, "--after", goes_on).lines[:3] == whole[3:6]
    assert log("--job", "--limit", 0).lines == whole
    for option in ("--exec", "--task", "--file", "--call-node", "--value"):
        rest = log(option, "--limit", 1).lines[-1]
        goes_on = re.fullmatch(r"… and more: --[a-z-]+ --after (\S+) goes on", rest).group(1)
        tail = log(option, "--after", goes_on).lines
        assert tail[-1] == log(option).lines[-1]


def test_on_a_terminal_lists_end_after_a_screenful(log, terminal, tmp_path):
    terminal()
    lab = Lab(tmp_path)
    lab.run(many(35))
    uri = f"sqlite:///{lab.path}"
    lines = log("--job", "--repo", uri).lines
    assert len(lines) == 31
    assert lines[-1] == "… and more: --limit 0 lists them, --count says how many"
    assert len(log("--job", "--repo", uri, "--limit", 0).lines) == 36
    with lab.scheduler() as scheduler:
        for _ in range(31):
            scheduler.run(total([1]))
    assert log("--repo", uri).lines[-1] == "… and 2 more: --limit 0 lists them"


def test_nothing_found_is_one_line_and_exit_status_1(log):
    shown = log("--job", "--job-status", "CANCELLED", "--task-name", "boom")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "redun_lite: no jobs with --job-status CANCELLED --task-name boom\n"
    assert log("--count", "--job", "--arg", "4242").code == 1
    assert log("5c1f9a3e", "--job", "--arg", "41").err == (
        "redun_lite: no jobs of 5c1f9a3e with --arg 41\n"
    )
    assert log("--format", "json", "--job", "--arg", "4242").code == 1


def test_nothing_found_of_a_task_that_is_none_names_the_likely_one(log):
    shown = log("--job", "--task-name", "bom")
    assert shown.code == 1
    assert "no task bom is recorded: did you mean boom?" in shown.err


# What cannot work


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("zz", "no execution, job, call, value, task or file 'zz'"),
        ("5c1f9a3", "'5c1f9a3' may mean execution 5c1f9a3"),
        ("--exec-id 5c1f9a3", "'5c1f9a3' may mean execution"),
        ("--exec-id 00000000", "no execution '00000000' in"),
        ("--task-hash 0000", "no task with hash 0000 is recorded"),
        ("--since soon", "'soon' is no time"),
        ("--since 1h --until 2h", "`since` is later than `until`"),
        ("--exec-status CACHED", "--exec-status: no status 'CACHED': "),
        ("--job-status FAIL", "--job-status: no status 'FAIL': did you mean FAILED?"),
        ("--tag =1", "expected a tag as KEY or KEY=VALUE, got '=1'"),
        ("--arg [1,", "'[1,' is no value: "),
        ("--count --detail", "--count shows no records, so there is no --detail of them"),
        ("--count --limit 3", "--count counts all that there are"),
        ("--limit -1", "--limit: expected a whole number from 0 on, got '-1'"),
        ("- --limit 3", "--limit and --after are about lists"),
        (
            "--job --after 5c1f9a3e",
            "--after 5c1f9a3e is of kind Execution, while the list is of jobs",
        ),
        ("--all --after 5c1f9a3e", "--after goes on with a list of one kind"),
        ("--format yaml", "invalid choice: 'yaml'"),
    ],
)
def test_what_cannot_work_is_one_line(log, words, message):
    shown = log(*words.split())
    assert (shown.code, shown.out) == (2, "")
    assert message in shown.err
    assert shown.err.count("\n") == 1


def test_filters_on_a_repository_that_is_not_there_find_nothing(log, tmp_path):
    (tmp_path / "redun_lite.ini").touch()
    missing = ("--config", tmp_path)
    for words in ([], ["--job-status", "FAILED"], ["--count"], ["--format", "json"]):
        shown = log(*missing, *words)
        assert (shown.code, shown.out) == (1, "")
        assert shown.err.startswith("redun_lite: nothing is recorded yet in ")
    assert log(*missing, "-").code == 2


# One record


def test_a_failed_execution_begins_with_the_error_and_where_it_comes_from(log):
    lines = log("-").lines
    error = next(i for i, line in enumerate(lines) if line.startswith("Error in"))
    assert error < next(i for i, line in enumerate(lines) if line.startswith("TASK"))
    boom_id = re.search(r"5c1f9a3f-\d+", lines[error]).group()
    assert "test_log.boom(x=41)" in lines[error]
    assert "  ValueError: cannot take 41" in lines[error:]
    assert f"  `log {boom_id}` says more of this job" in lines
    assert "Error in" not in log("5c1f9a3e").out


def test_a_script_that_failed_is_told_by_how_it_ended_and_what_it_said_last(
    tmp_path, capsys, terminal, monkeypatch
):
    monkeypatch.setenv("NO_COLOR", "1")
    lab = Lab(tmp_path)
    with pytest.raises(ScriptError):
        lab.run(script(f"echo {'x' * 90} > all.txt\necho no reads >&2\n(exit 3)"))
    terminal()
    assert main(["log", "--no-pager", "--repo", str(lab.path), "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "          ScriptError: ended with exit status 3: no reads"
    (error,) = (line for line in lines if line.startswith("  ScriptError: the script"))
    assert error.endswith("ended with exit status 3")  # It is whole, however long.
    assert lines[lines.index("Standard error") :].index("") > 2


def test_an_execution_that_was_run_by_a_command_shows_what_it_came_to(tmp_path, capsys):
    lab = Lab(tmp_path)
    lab.run(good(str(tmp_path)), exec_argv=["run", "flow.py", "good"])
    assert main(["log", "--repo", str(lab.path), "-"]) == 0
    assert "  Result    9" in capsys.readouterr().out.splitlines()


def test_a_job_that_was_not_called_took_no_time(tmp_path, capsys):
    lab = Lab(tmp_path)
    with pytest.raises(ValueError, match="cannot take 1"):
        lab.run(total([boom(1)]))
    assert main(["log", "--repo", str(lab.path), "-"]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if "test_log.total(…)" in x)
    assert line.split()[::2] == ["FAILED", "test_log.total(…)"]


def test_a_task_says_how_many_jobs_it_has_and_how_to_list_them(tmp_path, capsys, terminal):
    lab = Lab(tmp_path)
    lab.run(many(12))
    terminal()
    assert main(["log", "--no-pager", "--repo", str(lab.path), "total"]) == 0
    text = capsys.readouterr().out
    assert "Jobs (the latest 10 of 12)" in text
    assert text.endswith("`log --job --task-name test_log.total` lists them all\n")


def test_a_job_shows_what_its_arguments_were_made_from(log):
    (job,) = (
        line.split()[1]
        for line in log("--job", "--task-name", "total", "--exec-id", "5c1f9a3e").lines
    )
    lines = log(job).lines
    upstream = lines[lines.index("Upstream") + 1 : lines.index("Source") - 1]
    assert tasks_in(upstream) == ["count", "write", "count", "write"]
    assert re.match(r"  numbers ← [0-9a-f]{8}  test_log.count\(", upstream[0])
    assert re.match(r"    file ← [0-9a-f]{8}  test_log.write\(path='.*\.txt', ", upstream[1])


def test_of_a_job_that_failed_the_error_comes_before_its_arguments(log):
    (job,) = (line.split()[1] for line in log("--job", "--task-name", "boom").lines[:1])
    lines = log(job).lines
    assert lines.index("Error") < lines.index("Arguments") < lines.index("Source")


def test_a_call_shows_the_job_that_ran_it(log):
    digest = log("--call-node", "--task-name", "boom").lines[0].split()[0]
    lines = log(digest).lines
    assert lines[0].startswith(f"Call {digest}")
    assert lines[lines.index("Job") + 1].startswith("FAILED    5c1f9a3f-")


def test_a_task_shows_every_version_with_what_changed(log):
    lines = log("total").lines
    start = lines.index("Versions (2)")
    text = lines[start : lines.index("Jobs")]
    assert "    -    return sum(numbers)" in text
    assert "    +    return sum(numbers) + 0" in text
    assert sum("jobs," in line or "job," in line for line in text) == 2
    assert lines[1].startswith("  Used      1 job, ")


def test_a_hash_of_a_task_shows_that_version_only(log):
    lines = log(total.hash).lines
    text = lines[lines.index("Versions (2)") : lines.index("Jobs")]
    assert not any("sum(numbers) + 0" in line for line in text)


def test_a_file_shows_who_wrote_and_who_read_it(log, recorded):
    lines = log(f"{recorded.folder}/bb.txt").lines
    written, read = lines.index("  Written by"), lines.index("  Read by")
    assert tasks_in(lines[written:read]) == ["write"]
    assert tasks_in(lines[read:]) == ["count"]
    assert lines[written + 1].split()[0].startswith("5c1f9a3e-")
    assert log("bb.txt").lines == log("--file-path", "bb.txt").lines == lines


def test_detail_shows_each_record_whole(log):
    shown = log("--job", "--task-name", "count,boom", "--detail")
    assert shown.out.count("\nSource\n") == 3
    assert shown.out.count("Job 5c1f9a3") == 3
    limited = log("--job", "--task-name", "count", "--detail", "--limit", 1)
    assert limited.out.count("\nSource\n") == 1


def test_many_that_read_a_file_are_one_line(tmp_path, log, recorded):
    lab = Lab(tmp_path)
    file = write(str(tmp_path / "shared.txt"), "x")
    lab.run([labelled(file, i) for i in range(30)])
    lines = log(f"{tmp_path}/shared.txt", "--repo", f"sqlite:///{lab.path}").lines
    (reader,) = lines[lines.index("  Read by") + 1 :]
    assert re.match(r"    [0-9a-f]{8}-\d+… .*  test_log.labelled\(…\) ×30$", reader)


def test_the_end_of_a_path_that_two_files_have_is_ambiguous(tmp_path, log):
    lab = Lab(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        lab.run(write(f"{tmp_path}/{folder}/same.txt", "x"))
    shown = log("same.txt", "--repo", f"sqlite:///{lab.path}")
    assert shown.code == 2
    assert f"file {tmp_path}/one/same.txt" in shown.err
    assert shown.err.endswith("; give more of the path\n")


# What is documented


def test_every_option_and_every_field_is_in_the_reference(log):
    page = (ROOT / "docs" / "reference" / "log.md").read_text()
    parser = LogCommand("log").parser()
    options = {name for action in parser._actions for name in action.option_strings}
    undocumented = options - set(re.findall(r"--?[a-z][a-z-]*", page))
    assert undocumented == {"-h", "--help", "-c", "--config", "--log-level"}  # Of every command.
    for line in log("--all", "--format", "json").lines:
        assert {f"`{field}`" for field in json.loads(line)} <= set(re.findall(r"`\w+`", page))


# JSON


def test_json_is_a_record_a_line_with_the_documented_fields(log):
    fields = {
        "Execution": "id args status start_time end_time duration host pid parent_job_id tags",
        "Job": "id execution_id parent_id task_name task_hash call_hash status cached start_time "
        "end_time duration args result error tags",
        "CallNode": "call_hash task_name task_hash timestamp args result error tags",
        "Task": "task_hash fullname name namespace version source tags",
        "Value": "value_hash type text size path tags",
        "File": "path value_hash type text tags",
    }
    found = {}
    for line in log("--all", "--format", "json").lines:
        record = json.loads(line)
        assert record.pop("_version") == 1
        found.setdefault(record.pop("_type"), []).append(" ".join(record))
    assert {kind: set(names) for kind, names in found.items()} == {
        kind: {names} for kind, names in fields.items()
    }


def test_json_says_what_a_job_was(log):
    (line,) = log("--job", "--task-name", "boom", "--format", "json").lines
    job = json.loads(line)
    assert job["id"].startswith("5c1f9a3f-")
    assert job["execution_id"] == BAD
    assert (job["status"], job["cached"], job["task_hash"]) == ("FAILED", False, boom.hash)
    assert [(a["name"], a["text"], a["type"]) for a in job["args"]] == [("x", "41", "builtins.int")]
    assert job["result"] is None
    assert (job["error"]["type"], job["error"]["message"]) == (
        "builtins.ValueError",
        "cannot take 41",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", job["start_time"])
    parent = json.loads(log(job["parent_id"], "--format", "json").out)
    assert parent["task_name"] == "test_log.middle"


def test_json_says_what_a_call_was_made_of(log):
    (line,) = log(
        "--call-node", "--task-name", "total", "--exec-id", "5c1f9a3e", "--format", "json"
    ).lines
    call = json.loads(line)
    counts = {
        json.loads(x)["call_hash"]
        for x in log("--call-node", "--task-name", "count", "--format", "json").lines
    }
    assert set(call["args"][0]["upstream"]) == counts
    assert call["result"]["text"] == "9"
    assert call["error"] is None


def test_json_has_tags_by_key_and_paths_of_files(log):
    records = [
        json.loads(line) for line in log("--exec-tag", "project=x", "--format", "json").lines
    ]
    assert [record["tags"]["project"] for record in records] == [["x"]]
    (file,) = (json.loads(line) for line in log("--file-path", "*bb.txt", "--format", "json").lines)
    (value,) = (json.loads(line) for line in log(file["value_hash"], "--format", "json").lines)
    assert value["path"] == file["path"]


def test_json_counts(log):
    assert json.loads(log("--job", "--task-name", "boom", "--count", "--format", "json").out) == {
        "_type": "Count",
        "_version": 1,
        "record": "Job",
        "count": 1,
    }


# On a terminal


def test_lines_fit_a_terminal(log, recorded, terminal):
    terminal()
    for words in ("--all", "-", "total", "bb.txt", "--call-node"):
        lines = log(*words.split()).lines
        # What is for pasting is whole: the command, and paths.
        assert [ln for ln in lines if len(ln) > 80 and str(recorded.folder) not in ln] == []


def test_colours_are_for_terminals_that_want_them(log, terminal, monkeypatch):
    terminal()
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in log("--job").out
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[1;31mFAILED" in log("--job").out
    assert "\x1b[32m+    return sum(numbers) + 0" in log("total").out
    assert "\x1b[" not in log("--job", "--format", "json").out


# The pager


def test_what_is_longer_than_the_terminal_goes_to_the_pager(log, terminal, tmp_path, monkeypatch):
    terminal(lines=5)
    monkeypatch.setenv("PAGER", f"sh -c 'cat > {tmp_path}/paged'")
    plain = log("--job", "--no-pager").out
    assert log("--job").out == ""
    assert (tmp_path / "paged").read_text() == plain
    assert log("--job", "--limit", 2).lines[0] == plain.splitlines()[0]


@pytest.mark.parametrize("pager", ["no-such-program", "'unclosed", "/", " "])
def test_without_a_pager_lines_go_to_the_terminal(log, terminal, monkeypatch, pager):
    terminal(lines=2)
    plain = log("--job", "--limit", 0, "--no-pager").out
    monkeypatch.setenv("PAGER", pager)
    monkeypatch.setenv("PATH", "")  # Nor is there `less`.
    assert log("--job", "--limit", 0).out == plain


def test_a_pager_that_closes_early_is_no_error(log, terminal, monkeypatch):
    terminal(lines=2)
    monkeypatch.setenv("PAGER", "true")
    shown = log("--all", "--limit", 0)
    assert (shown.code, shown.err) == (0, "")


NO_TEXT = b"caf\xe9".decode("utf-8", "surrogateescape")


def test_a_word_that_is_no_text_stands_for_nothing(log):
    assert log(NO_TEXT).code == 2
    for option in ("--tag", "--arg", "--result", "--file-path", "--task-name", "--value-type"):
        assert log(option, NO_TEXT).code == 1
    assert log(f"*{NO_TEXT}").code == 1


@pytest.mark.parametrize("option", ["--exec-id", "--task-name", "--value-type", "--file-path"])
def test_an_empty_filter_does_not_list_all(log, option):
    for text, end in (("", ": it is empty"), (",", " is empty; leave it out to list all")):
        told = log(option, text)
        assert told.code == 2
        assert f"log: {option}{end}" in told.err


def test_numbers_beyond_the_database_are_as_good_as_all(log):
    assert log("--limit", "9" * 30).lines == log("--limit", 0).lines
    assert log("--since", "9" * 30 + "d").lines == log().lines


def test_a_folder_is_no_repository_unless_it_has_a_configuration(log, tmp_path):
    told = log("--repo", tmp_path)
    assert told.code == 2
    assert f"{tmp_path} is a folder without a redun_lite.ini" in told.err
    (tmp_path / "redun_lite.ini").write_text("[backend]\ndb_uri = sqlite:///mine.db\n")
    assert f"{tmp_path}/mine.db" in log("--repo", tmp_path).err


def test_a_database_that_is_a_folder_is_called_one(log, tmp_path):
    told = log("--repo", f"sqlite:///{tmp_path}")
    assert told.code == 2
    assert told.err == f"redun_lite: error: cannot open {tmp_path}: it is a folder\n"
