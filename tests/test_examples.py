"""The examples: each on small inputs, and which of its tasks run again after a change."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pages import write_python
from support import commands

REPOSITORY = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns("build", "report", ".redun_lite", "__pycache__")
SVG = "{http://www.w3.org/2000/svg}"


class Example:
    """A copy of an example's folder, and the runs of its workflow there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = ".redun_lite/redun_lite.db"

    def run(self, *arguments: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the workflow as a user does."""
        return self.command("run", "workflow.py", "main", *arguments, succeeds=succeeds)

    def command(self, *words: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of redun_lite, without site-packages."""
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
        done = commands.run(words, self.folder, environ)
        assert (done.returncode == 0) == succeeds, done.stderr
        return done

    def jobs(self, status: str) -> dict[str, int]:
        """Return how many jobs of each task the last run ended with a status.

        Those of subruns are among them.
        """
        database = sqlite3.connect(self.folder / self.database)
        rows = database.execute(
            "WITH RECURSIVE part (id) AS ("
            "SELECT max(id) FROM execution WHERE parent_job_id IS NULL UNION "
            "SELECT execution.id FROM execution JOIN part ON parent_job_id >> 32 = part.id) "
            "SELECT task.fullname FROM job JOIN task ON task.id = job.task_id "
            "WHERE job.id >> 32 IN (SELECT id FROM part) AND job.status = ?",
            (status,),
        ).fetchall()
        database.close()
        return dict(Counter(name.rpartition(".")[2] for (name,) in rows))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of a file of the example."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


def touch(path: Path) -> None:
    """Set a file's time to one that is certain to differ."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


@pytest.fixture
def example(request, tmp_path):
    """Return a copy of the example that the test's parameter names."""
    folder = tmp_path / request.param
    shutil.copytree(REPOSITORY / "examples" / request.param, folder, ignore=IGNORED)
    return Example(folder)


def of_example(name):
    """Return the mark of a test that runs the example of that name."""
    return pytest.mark.parametrize("example", [name], indirect=True)


# hello


@of_example("hello")
def test_hello_greets_whom_it_is_told_to(example):
    assert example.run().stdout == "'Hello, world! That was 13 characters.'\n"
    assert example.run("--name", "Ada").stdout == "'Hello, Ada! That was 11 characters.'\n"


@of_example("hello")
def test_hello_run_again_takes_every_job_from_the_cache(example):
    first = example.run()
    assert example.jobs("DONE") == {"main": 1, "greet": 1, "remark": 1}
    again = example.run()
    assert again.stdout == first.stdout
    assert example.jobs("CACHED") == {"main": 1, "greet": 1, "remark": 1}
    assert example.jobs("DONE") == {}


@of_example("hello")
def test_hello_runs_only_the_task_whose_code_was_edited(example):
    example.run()
    example.edit("workflow.py", "characters", "letters")
    assert example.run().stdout == "'Hello, world! That was 13 letters.'\n"
    assert example.jobs("DONE") == {"remark": 1}


@of_example("hello")
def test_hello_runs_only_the_tasks_whose_arguments_an_edit_changed(example):
    example.run()
    example.edit("workflow.py", '"Hello, ', '"Howdy, ')
    assert example.run().stdout == "'Howdy, world! That was 13 characters.'\n"
    assert example.jobs("DONE") == {"greet": 1, "remark": 1}


# compile

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def run_program(example: Example, name: str) -> str:
    """Return what a program that the example has built prints."""
    program = example.folder / "build" / name
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


@needs_gcc
@of_example("compile")
def test_compile_builds_programs_that_run(example):
    example.run()
    assert run_program(example, "prog") == "1920 x 1080 is 16:9\n"
    assert run_program(example, "prog2") == "gears of 52 and 39 teeth meet again after 3 turns\n"


@needs_gcc
@of_example("compile")
def test_compile_compiles_the_shared_source_once(example):
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 2, "compile_c": 3, "link": 2}
    assert example.jobs("CACHED") == {"compile_c": 1}


@needs_gcc
@of_example("compile")
def test_compile_run_again_takes_every_job_from_the_cache(example):
    example.run()
    example.run()
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == {"main": 1, "build": 2, "compile_c": 4, "link": 2}


@needs_gcc
@of_example("compile")
def test_an_edit_of_the_shared_source_compiles_it_and_links_both_programs(example):
    example.run()
    example.edit("lib.c", "return a;", "return a + 0;")
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 2, "compile_c": 1, "link": 2}


@needs_gcc
@of_example("compile")
def test_an_edit_of_one_program_leaves_the_other_alone(example):
    example.run()
    example.edit("prog.c", "1080", "1200")
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 1, "compile_c": 1, "link": 1}
    assert run_program(example, "prog") == "1920 x 1200 is 8:5\n"


@needs_gcc
@of_example("compile")
def test_an_edit_of_the_header_compiles_everything(example):
    example.run()
    touch(example.folder / "lib.h")
    example.run()
    assert example.jobs("DONE") == {"main": 1, "build": 2, "compile_c": 3, "link": 2}


@needs_gcc
@of_example("compile")
def test_a_program_that_was_deleted_is_linked_again(example):
    example.run()
    (example.folder / "build" / "prog").unlink()
    example.run()
    assert example.jobs("DONE") == {"link": 1}
    assert run_program(example, "prog") == "1920 x 1080 is 16:9\n"


@needs_gcc
@of_example("compile")
def test_c_that_does_not_compile_fails_with_what_gcc_says(example):
    example.edit("lib.c", "return a;", "return c;")
    failed = example.run(succeeds=False)
    assert "lib.c" in failed.stderr
    assert "'c' undeclared" in failed.stderr.replace("‘", "'").replace("’", "'")
    assert example.jobs("FAILED")["compile_c"] >= 1
    assert "link" not in example.jobs("DONE")


# stdlib_report

SOURCES = {
    "alone.py": '"""Doc."""\n\n# A comment.\n\n\ndef public():\n    """Say so."""\n    return 1\n',
    "latin.py": "# -*- coding: latin-1 -*-\nname = 'café'\n",
    "broken.py": "def f(:\n    pass\n# end\n",
    "null.py": "x = '\0'\n",
    "odd.py": "pattern = '\\d'\n",
    "pack/__init__.py": "",
    "pack/deep/__init__.py": "class A:\n    async def b(self):\n        def c(): 'Doc.'\n",
    "pack/deep/tests/test_it.py": "assert True\n",
    "pack/__pycache__/stale.py": "x = 1\n",
    "test/__init__.py": "x = 1\n",
    "no_package/module.py": "x = 1\n",
}


@pytest.fixture
def root(tmp_path):
    """Return a folder of sources to report on."""
    folder = tmp_path / "sources [1]"
    for name, text in SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    return folder


def rows(example: Example) -> dict[str, dict[str, str]]:
    """Return the rows of the table by module."""
    with (example.folder / "report" / "modules.csv").open(encoding="utf-8", newline="") as table:
        return {row["name"]: row for row in csv.DictReader(table)}


@of_example("stdlib_report")
def test_the_report_counts_lines_and_definitions_of_each_module(example, root):
    example.run("--root", str(root))
    counted = rows(example)
    assert counted["alone"] == {
        "name": "alone",
        "lines": "8",
        "code": "2",
        "docstrings": "2",
        "comments": "1",
        "blank": "3",
        "functions": "1",
        "classes": "0",
        "documented": "1",
        "unparsable": "0",
    }
    nested = counted["pack.deep"]
    assert (nested["functions"], nested["classes"], nested["documented"]) == ("2", "1", "1")


@of_example("stdlib_report")
def test_the_report_leaves_out_tests_caches_and_folders_that_are_no_packages(example, root):
    example.run("--root", str(root))
    assert sorted(rows(example)) == ["alone", "broken", "latin", "null", "odd", "pack", "pack.deep"]


@of_example("stdlib_report")
def test_the_report_counts_the_lines_of_files_that_do_not_parse(example, root):
    done = example.run("--root", str(root))
    counted = rows(example)
    assert [name for name in counted if counted[name]["unparsable"] == "1"] == ["broken", "null"]
    assert counted["broken"]["lines"] == "3"
    assert "SyntaxWarning" not in done.stderr


@of_example("stdlib_report")
def test_the_totals_are_printed(example, root):
    printed = example.run("--root", str(root)).stdout
    assert "'modules': 7" in printed
    assert "'unparsable': 2" in printed


@of_example("stdlib_report")
def test_the_chart_is_an_accessible_image_without_external_resources(example, root):
    example.run("--root", str(root), "--largest", "3")
    text = (example.folder / "report" / "packages.svg").read_text(encoding="utf-8")
    svg = ElementTree.fromstring(text)
    assert svg.tag == f"{SVG}svg"
    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "The 3 largest packages in sources [1]"
    assert svg.findtext(f"{SVG}desc")
    assert len(svg.findall(f"{SVG}g")) == 3
    assert text.count("http") == 1  # The name space.
    assert "href" not in text
    assert "url(" not in text


@of_example("stdlib_report")
def test_the_report_run_again_takes_every_job_from_the_cache(example, root):
    example.run("--root", str(root))
    ran = example.jobs("DONE")
    assert ran["read_module"] == 7
    example.run("--root", str(root))
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == ran


@of_example("stdlib_report")
def test_a_file_that_was_only_touched_is_read_again_and_nothing_follows(example, root):
    example.run("--root", str(root))
    touch(root / "pack" / "deep" / "__init__.py")
    example.run("--root", str(root))
    assert example.jobs("DONE") == {"survey": 1, "read_files": 1, "read_module": 1}


@of_example("stdlib_report")
def test_an_edited_file_is_read_again_and_the_report_written_anew(example, root):
    example.run("--root", str(root))
    (root / "pack" / "deep" / "__init__.py").write_text("x = 1\ny = 2\n", encoding="utf-8")
    example.run("--root", str(root))
    assert example.jobs("DONE") == {
        "survey": 1,
        "read_files": 1,
        "read_module": 1,
        "join": 1,
        "by_package": 1,
        "summarize": 1,
        "write_table": 1,
        "draw_chart": 1,
    }
    assert rows(example)["pack.deep"]["code"] == "2"


@of_example("stdlib_report")
def test_a_file_that_was_added_is_the_only_one_that_is_read(example, root):
    example.run("--root", str(root))
    (root / "pack" / "new.py").write_text("x = 1\n", encoding="utf-8")
    example.run("--root", str(root))
    assert example.jobs("DONE")["read_module"] == 1
    assert "pack.new" in rows(example)


@of_example("stdlib_report")
def test_a_chart_that_was_deleted_is_drawn_again(example, root):
    example.run("--root", str(root))
    chart = example.folder / "report" / "packages.svg"
    chart.unlink()
    example.run("--root", str(root))
    assert example.jobs("DONE") == {"draw_chart": 1}
    assert chart.exists()


@of_example("stdlib_report")
def test_the_report_is_the_same_from_worker_processes(example, root):
    example.run("--root", str(root))
    expected = rows(example)
    example.run("--root", str(root), "--option", "executor=process", "--no-cache")
    assert rows(example) == expected


@of_example("stdlib_report")
def test_an_empty_folder_makes_an_empty_report(example, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "'modules': 0" in example.run("--root", str(empty)).stdout


@of_example("stdlib_report")
def test_a_root_that_is_not_there_is_an_error_that_names_it(example, tmp_path):
    failed = example.run("--root", str(tmp_path / "nowhere"), succeeds=False)
    assert "nowhere: there is no such folder" in failed.stderr


# variants


def samples(example: Example) -> dict[str, dict[str, float]]:
    """Return the rows of the table by sample."""
    with (example.folder / "build" / "samples.csv").open(encoding="utf-8", newline="") as table:
        rows = {row.pop("sample"): row for row in csv.DictReader(table)}
    return {name: {key: float(row[key]) for key in row} for name, row in rows.items()}


def variants(example: Example, folder: str, name: str) -> list[list[str]]:
    """Return position, base of the reference and base of the sample of variants in a file."""
    text = (example.folder / "build" / folder / f"{name}.vcf").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [[row[1], *row[3:5]] for row in rows]


@of_example("variants")
def test_all_variants_that_are_there_are_found_where_reads_are_deep_and_no_others(example):
    example.run("--samples", "5", "--depth", "50")
    deep = [name for name, row in samples(example).items() if row["depth"] > 15]
    assert len(deep) > 2
    for name in deep:
        truth = variants(example, "truth", name)
        assert len(truth) >= 4
        assert variants(example, "calls", name) == truth


@of_example("variants")
def test_the_table_says_how_many_variants_were_missed_where_reads_are_few(example):
    example.run("--samples", "4", "--depth", "8")
    table = samples(example)
    assert any(row["missed"] for row in table.values())
    for name, row in table.items():
        truth, calls = variants(example, "truth", name), variants(example, "calls", name)
        found = [variant for variant in calls if variant in truth]
        counts = (row["found"], row["missed"], row["false"])
        assert counts == (len(found), len(truth) - len(found), len(calls) - len(found))
        assert row["recall"] == pytest.approx(len(found) / len(truth), abs=1e-4)


@of_example("variants")
def test_variants_run_again_take_every_job_from_the_cache(example):
    example.run("--samples", "2", "--depth", "8")
    ran = example.jobs("DONE")
    steps = ("sequence", "trim", "align", "call")
    assert {ran[step] for step in steps} == {2}
    example.run("--samples", "2", "--depth", "8")
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == ran


@of_example("variants")
def test_touched_reads_run_the_chain_of_their_sample_and_the_comparison(example):
    example.run("--samples", "3", "--depth", "8")
    touch(example.folder / "build" / "reads" / "s001.fastq")
    example.run("--samples", "3", "--depth", "8")
    assert example.jobs("DONE") == {"sequence": 1, "trim": 1, "align": 1, "call": 1, "compare": 1}


@of_example("variants")
def test_an_edit_of_the_caller_runs_the_calls_and_the_comparison(example):
    example.run("--samples", "3", "--depth", "8")
    example.edit("workflow.py", "0.75 * len(column)", "0.8 * len(column)")
    example.run("--samples", "3", "--depth", "8")
    assert example.jobs("DONE") == {"call": 3, "compare": 1}


@of_example("variants")
def test_samples_that_are_added_run_their_own_chains_and_the_report(example):
    example.run("--samples", "2", "--depth", "8")
    before = samples(example)
    example.run("--samples", "3", "--depth", "8")
    ran = example.jobs("DONE")
    assert {ran[step] for step in ("analyse", "sequence", "trim", "align", "call")} == {1}
    after = samples(example)
    assert {name: after[name] for name in before} == before


@of_example("variants")
def test_the_chart_of_variants_has_a_row_for_each_sample_and_no_external_resources(example):
    example.run("--samples", "3", "--depth", "8")
    text = (example.folder / "build" / "samples.svg").read_text(encoding="utf-8")
    svg = ElementTree.fromstring(text)
    assert svg.get("role") == "img"
    rows = [group.findtext(f"{SVG}title") for group in svg.findall(f"{SVG}g")]
    assert sorted(row.partition(":")[0] for row in rows) == ["s000", "s001", "s002"]
    assert text.count("http") == 1  # The name space.
    assert "href" not in text
    assert "url(" not in text


@of_example("variants")
def test_no_samples_are_an_error_that_names_the_argument(example):
    failed = example.run("--samples", "0", succeeds=False)
    assert "--samples 0: it takes 1 at least" in failed.stderr


# control_flow


@of_example("control_flow")
def test_on_a_quiet_day_only_the_branch_that_applies_is_evaluated(example):
    assert example.run("--day", "1").stdout == "nothing to fear\n'nothing to fear'\n"
    done = example.jobs("DONE")
    assert done["say"] == 1
    assert "warn" not in done


@of_example("control_flow")
def test_in_a_storm_the_siren_frames_the_message(example):
    told = example.run("--day", "2").stdout.splitlines()[:3]
    assert told[0] == "the siren goes on"
    assert told[1].startswith("storm of force 10 at station ")
    assert told[2] == "the siren goes off"


@of_example("control_flow")
def test_a_station_that_is_down_is_replaced_by_its_spare_or_left_out(example):
    example.run("--day", "2")
    done, failed = example.jobs("DONE"), example.jobs("FAILED")
    assert failed == {"measure": 3, "ask_spare": 1, "ask": 1}
    assert (done["ask"], done["ask_spare"], done["rate"]) == (7, 1, 7)


@of_example("control_flow")
def test_a_storm_watch_run_again_says_it_again_and_asks_again_who_was_left_out(example):
    first = example.run("--day", "2")
    assert example.run("--day", "2").stdout == first.stdout
    assert example.jobs("DONE") == {"say": 3}
    # A third station's failure was made good by a spare, so it is not met again.
    assert example.jobs("FAILED") == {"measure": 2, "ask_spare": 1, "ask": 1}


@of_example("control_flow")
def test_too_few_stations_are_an_error(example):
    failed = example.run("--day", "12", "--stations", "1", succeeds=False)
    assert "TooFewStations: 0 of 1 stations answer; it takes half" in failed.stderr
    assert "say" not in example.jobs("DONE")


# context


@of_example("context")
def test_context_that_nobody_sets_is_the_default(example):
    assert ast.literal_eval(example.run().stdout) == [
        "Oslo: -3.2 °C, wind 8 m/s",
        "Quito: 14.8 °C, wind 2 m/s",
        "Boston: 71.1 °F, wind 9 mph",
    ]


@of_example("context")
def test_context_comes_from_the_configuration(example):
    (example.folder / ".redun_lite").mkdir()
    shutil.copy(example.folder / "redun_lite.ini", example.folder / ".redun_lite")
    assert "Oslo: -3.2 °C, wind 28 km/h" in example.run().stdout


@of_example("context")
def test_another_context_runs_the_jobs_that_ask_for_it(example):
    example.run()
    lines = ast.literal_eval(example.run("--context", "units.temperature=kelvin").stdout)
    assert lines[0] == "Oslo: 269.9 K, wind 8 m/s"
    assert lines[2] == "Boston: 71.1 °F, wind 9 mph"
    assert example.jobs("DONE") == {"show_temperature": 2}


@of_example("context")
def test_context_in_an_option_makes_no_job_run_again(example):
    example.run()
    example.run("--context", "observe.executor=process")
    assert example.jobs("DONE") == {}


# tags


def tagged(example: Example, key: str) -> list[tuple[str, Any]]:
    """Return what has a tag of a key, and the values of the tags, in the order of recording."""
    database = sqlite3.connect(example.folder / ".redun_lite" / "redun_lite.db")
    rows = database.execute("SELECT entity, value FROM tag WHERE key = ? ORDER BY id", (key,))
    found = [(entity, json.loads(value)) for entity, value in rows]
    database.close()
    return found


@of_example("tags")
def test_tags_are_put_on_values_jobs_tasks_and_the_execution(example):
    best = ast.literal_eval(example.run("--sensors", "2").stdout)
    assert sorted(value for _, value in tagged(example, "quality")) == ["good", "poor"]
    assert [value for _, value in tagged(example, "points")] == [100, 100]
    jobs = {entity for entity, _ in tagged(example, "points")}
    methods = tagged(example, "method")
    assert jobs < {entity for entity, _ in methods}  # The task has it as well.
    assert len(methods) == 3
    assert [value for _, value in tagged(example, "best")] == [best]


@of_example("tags")
def test_log_shows_the_tags_of_what_it_shows(example):
    example.run("--sensors", "2", "--tag", "reason=trial")
    listed = example.command("log").stdout
    assert "best=sensor" in listed
    assert "reason=trial" in listed
    assert "method=least squares" in example.command("log", "tags.fit").stdout
    (line, quality), *_ = tagged(example, "quality")
    assert f"quality={quality}" in example.command("log", line).stdout
    (job, _), *_ = tagged(example, "points")
    assert "method=least squares, points=100" in example.command("log", job).stdout


@of_example("tags")
def test_tags_run_again_take_every_job_from_the_cache_and_tag_the_new_ones(example):
    example.run("--sensors", "2")
    example.run("--sensors", "2")
    assert example.jobs("DONE") == {}
    assert len(tagged(example, "quality")) == 2
    assert len(tagged(example, "points")) == 4
    assert len(tagged(example, "best")) == 2


# handles


def months(example: Example) -> list[list[str]]:
    """Return the rows of the summary."""
    with (example.folder / "build" / "months.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.reader(table))


@of_example("handles")
def test_the_summary_is_what_the_databases_come_to(example):
    example.run("--stations", "3", "--days", "60")
    header, *rows = months(example)
    assert header == ["month", "coldest", "mean", "warmest"]
    source = sqlite3.connect(example.folder / "build" / "source.db")
    (count,) = source.execute("SELECT count(*) FROM reading").fetchone()
    expected = source.execute(
        "SELECT day / 30, min(mean), avg(mean), max(mean) FROM (SELECT day, avg(celsius) AS mean "
        "FROM reading GROUP BY station, day) GROUP BY day / 30"
    ).fetchall()
    source.close()
    assert count == 3 * 60 * 3
    assert [[float(cell) for cell in row] for row in rows] == [
        pytest.approx(row, abs=0.05) for row in expected
    ]


@of_example("handles")
def test_databases_that_were_left_alone_are_not_written_again(example):
    example.run("--stations", "2", "--days", "30")
    ran = example.jobs("DONE")
    example.run("--stations", "2", "--days", "30")
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == ran


@of_example("handles")
def test_an_edit_of_the_summary_that_is_undone_runs_it_both_times(example):
    example.run("--stations", "2", "--days", "30")
    first = months(example)
    example.edit("workflow.py", "avg(celsius), max", "avg(celsius) + 100, max")
    example.run("--stations", "2", "--days", "30")
    assert example.jobs("DONE") == {"summarise": 1, "report": 1}
    assert months(example) != first
    example.edit("workflow.py", "avg(celsius) + 100, max", "avg(celsius), max")
    example.run("--stations", "2", "--days", "30")
    assert example.jobs("DONE") == {"summarise": 1, "report": 1}
    assert months(example) == first


@of_example("handles")
def test_other_rows_are_loaded_again(example):
    example.run("--stations", "2", "--days", "30")
    example.edit("workflow.py", "SELECT day, avg(celsius) FROM", "SELECT day, max(celsius) FROM")
    example.run("--stations", "2", "--days", "30")
    assert example.jobs("DONE") == {"extract": 2, "load": 2, "summarise": 1, "report": 1}


@of_example("handles")
def test_a_station_that_is_added_is_a_branch_of_its_own_and_may_be_left_out_again(example):
    example.run("--stations", "2", "--days", "30")
    first = months(example)
    example.run("--stations", "3", "--days", "30")
    steps = ("main", "measure", "extract", "load", "summarise", "report")
    assert example.jobs("DONE") == dict.fromkeys(steps, 1)
    assert months(example) != first
    example.run("--stations", "2", "--days", "30")
    assert example.jobs("DONE") == {"summarise": 1, "report": 1}
    assert months(example) == first


@of_example("handles")
def test_databases_that_are_gone_are_made_again(example):
    example.run("--stations", "2", "--days", "30")
    first = months(example)
    ran = example.jobs("DONE")
    shutil.rmtree(example.folder / "build")
    example.run("--stations", "2", "--days", "30")
    assert example.jobs("CACHED") == {"extract": ran.pop("extract")}
    assert example.jobs("DONE") == ran
    assert months(example) == first


# scripts


def total(example: Example) -> dict[str, tuple[int, int]]:
    """Return requests and bytes of each page."""
    text = (example.folder / "build" / "total.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    return {page: (int(requests), int(size)) for requests, size, page in rows}


def requests(example: Example) -> list[list[str]]:
    """Return the fields of all lines of the logs."""
    logs = sorted((example.folder / "build" / "logs").iterdir())
    return [line.split("\t") for log in logs for line in log.read_text().splitlines()]


@of_example("scripts")
def test_scripts_adds_up_what_the_logs_hold(example):
    shown = ast.literal_eval(
        re.sub(r"(File|Dir)\(path=([^,]*), hash=\w*\)", r"'\2'", example.run("--days", "3").stdout)
    )
    lines = requests(example)
    answered = [(page, int(size)) for _, status, size, page in lines if status == "200"]
    assert total(example) == {
        page: (
            sum(name == page for name, _ in answered),
            sum(size for name, size in answered if name == page),
        )
        for page in {name for name, _ in answered}
    }
    counts = [count for count, _ in total(example).values()]
    assert counts == sorted(counts, reverse=True)
    assert shown["failures"] == str(sum(status == "500" for _, status, _, _ in lines))
    hours = Path(shown["hours"])
    assert {int(file.stem) for file in hours.iterdir()} == {int(line[0]) // 60 for line in lines}
    chart = ElementTree.parse(shown["chart"]).getroot()
    assert [text.text for text in chart.iter(f"{SVG}text")] == list(total(example))


@of_example("scripts")
def test_scripts_leaves_nothing_but_its_outputs(example):
    example.run("--days", "1")
    made = example.folder / "build"
    assert sorted(os.listdir(made)) == ["chart.svg", "days", "hours", "logs", "total.tsv"]
    assert sorted(os.listdir(made / "days" / "0")) == ["failures.gz", "pages.tsv"]


@of_example("scripts")
def test_scripts_run_again_takes_every_job_from_the_cache(example):
    first = example.run("--days", "2").stdout
    assert example.run("--days", "2").stdout == first
    assert example.jobs("DONE") == {}


@of_example("scripts")
def test_scripts_makes_an_output_anew_that_is_gone(example):
    example.run("--days", "2")
    os.remove(example.folder / "build" / "hours" / "07.tsv")
    example.run("--days", "2")
    assert example.jobs("DONE") == {"script": 1}
    assert (example.folder / "build" / "hours" / "07.tsv").exists()
    os.remove(example.folder / "build" / "days" / "1" / "pages.tsv")
    example.run("--days", "2")
    assert example.jobs("DONE") == {"script": 3, "count_lines": 1, "add_up": 1, "draw": 1}


@of_example("scripts")
def test_scripts_runs_only_the_script_that_was_edited_and_what_reads_its_output(example):
    example.run("--days", "2")
    example.edit("workflow.py", "-k 1,1nr", "-k 2,2nr")
    example.run("--days", "2")
    assert example.jobs("DONE") == {"add_up": 1, "draw": 1, "script": 2}
    sizes = [size for _, size in total(example).values()]
    assert sizes == sorted(sizes, reverse=True)


# What the READMEs say

READMES = [
    "README.md",
    *sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("examples/*/README.md")),
]
NOT_RUN = ("make ", "python3 benchmarks/", "python3 -m venv")
# What takes long: it is the commands that are tried here, and what they run need not be large.
SMALLER = {
    "README.md": ("stdlib_report/workflow.py", '["stdlib"])', '["stdlib"]) / "xml"'),
    "examples/variants/README.md": ("variants/sequencer.py", "LENGTH = 5000", "LENGTH = 400"),
}


def clone(folder: Path, readme: str) -> Path:
    """Make a copy of the repository in which `python3` is this Python without site-packages.

    The first page that is tried has nothing but the copy.  For the others, the package is not
    copied, and a server runs its commands.
    """
    copy, python = folder / "clone", folder / "bin" / "python3"
    shutil.copytree(REPOSITORY / "examples", copy / "examples", ignore=IGNORED)
    for name in ("README.md", "CHANGELOG.md", ".gitignore"):
        shutil.copy(REPOSITORY / name, copy)
    python.parent.mkdir()
    if readme == "README.md":
        shutil.copytree(REPOSITORY / "redun_lite", copy / "redun_lite")  # With its bytecode.
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
        python.chmod(0o755)
    else:
        (copy / "redun_lite").symlink_to(REPOSITORY / "redun_lite")
        commands.start()
        write_python(python, commands.socket)
    if readme in SMALLER:
        name, *change = SMALLER[readme]
        Example(copy / "examples").edit(name, *change)
    return copy


@pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("git") is None, reason="gcc or git is not installed"
)
@pytest.mark.parametrize("readme", READMES)
def test_every_command_of_a_readme_works_when_pasted_and_leaves_nothing_to_commit(tmp_path, readme):
    folder = clone(tmp_path, readme)
    text = (folder / readme).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    pasted = "".join(block for block in blocks if not block.startswith(NOT_RUN))
    assert "python3 -m redun_lite run " in pasted
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environ['PATH']}"

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("git", "init", "-q")
    to_commit = run("git", "ls-files", "--others", "--exclude-standard")
    run("bash", "-e", "-c", pasted)
    assert run("git", "ls-files", "--others", "--exclude-standard") == to_commit


def test_the_first_command_of_the_readme_runs_the_main_job():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert first is not None
    assert first[1] == "python3 -m redun_lite run examples/stdlib_report/workflow.py main\n"


# async


@of_example("async")
def test_async_halves_the_settings_until_one_is_left(example):
    lines = ast.literal_eval(example.run("--count", "8", "--steps", "50").stdout)
    assert [line.split()[0] for line in lines] == ["8", "4", "2", "1"]
    assert [int(line.split()[2]) for line in lines] == [50, 100, 200, 400]
    best = [float(line.split()[4]) for line in lines]
    assert best[-1] < best[0]
    assert example.jobs("DONE") == {"main": 1, "settings": 1, "anneal": 15}


@of_example("async")
def test_async_run_again_runs_nothing_and_more_settings_run_what_is_new(example):
    first = example.run("--count", "8", "--steps", "50")
    again = example.run("--count", "8", "--steps", "50")
    assert again.stdout == first.stdout
    assert example.jobs("DONE") == {}
    example.run("--count", "9", "--steps", "50")
    assert example.jobs("CACHED")["anneal"] >= 8


# subrun


def shares(example: Example, *arguments: str) -> dict[str, int]:
    """Run the example, and return the percentage of fires that crossed, by density."""
    lines = ast.literal_eval(example.run("--size", "20", *arguments).stdout)
    found = {line.partition(" ")[0]: line.partition(":")[2].split("%")[0] for line in lines}
    return {density: int(share) for density, share in found.items()}


@of_example("subrun")
def test_fires_cross_dense_forests_and_not_sparse_ones(example):
    found = shares(example, "--trials", "20")
    assert list(found) == ["50%", "54%", "58%", "62%", "66%"]
    assert list(found.values()) == sorted(found.values())
    assert found["50%"] < 50 < found["66%"]
    assert example.jobs("DONE") == {
        "main": 1,
        "chart": 1,
        "subrun_root_task": 5,
        "study": 5,
        "share": 5,
        "burn": 100,
    }


@of_example("subrun")
def test_subruns_run_again_start_nothing(example):
    first = shares(example, "--trials", "2")
    assert shares(example, "--trials", "2") == first
    assert example.jobs("DONE") == {}
    assert example.jobs("CACHED") == {"main": 1, "chart": 1, "subrun_root_task": 5}


@of_example("subrun")
def test_an_edit_inside_the_subruns_runs_what_it_affects(example):
    shares(example, "--trials", "2")
    example.edit("workflow.py", "sum(crossed) / len(crossed)", "1 - sum(crossed) / len(crossed)")
    shares(example, "--trials", "2")
    assert set(example.jobs("DONE")) == {"chart", "subrun_root_task", "share"}
    assert example.jobs("CACHED")["burn"] == 10


@of_example("subrun")
def test_more_fires_burn_beside_those_that_have_burnt(example):
    shares(example, "--trials", "2")
    shares(example, "--trials", "3")
    assert example.jobs("DONE")["burn"] == 5
    assert example.jobs("CACHED")["burn"] == 10


# federated_task


@of_example("federated_task")
def test_the_harvest_is_planned_by_the_forecasts_of_the_other_project(example):
    told = ast.literal_eval(example.run("-c", "config", "--fields", "hill", "river").stdout)
    assert [line.partition(",")[0] for line in told] == ["hill", "river"]
    shape = r"\w+, day \d+: [\d.]+ h of sun, [\d.]+ mm of rain"
    assert all(re.fullmatch(shape, line) for line in told)
    example.database = "build/harvest.db"
    assert example.jobs("DONE") == {"main": 1, "plan": 2, "choose": 2, "federated_root_task": 2}
    example.database = "build/forecasts.db"
    assert example.jobs("DONE") == {"forecast": 1, "simulate": 5, "average": 1}


@of_example("federated_task")
def test_forecasts_are_asked_for_again_and_found_cached_on_their_side(example):
    first = example.run("-c", "config", "--fields", "hill")
    assert example.run("-c", "config", "--fields", "hill").stdout == first.stdout
    example.database = "build/harvest.db"
    assert example.jobs("DONE") == {"federated_root_task": 1}
    example.database = "build/forecasts.db"
    assert example.jobs("CACHED") == {"forecast": 1, "simulate": 5, "average": 1}


@of_example("federated_task")
def test_an_edit_of_the_other_project_is_noticed(example):
    example.run("-c", "config", "--fields", "hill")
    example.edit("forecasts/forecasts.py", "12 * (1 - wet)", "10 * (1 - wet)")
    example.run("-c", "config", "--fields", "hill")
    example.database = "build/forecasts.db"
    assert example.jobs("DONE") == {"simulate": 5, "average": 1}
    example.database = "build/harvest.db"
    assert example.jobs("DONE") == {"federated_root_task": 1, "choose": 1}
