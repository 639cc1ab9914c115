"""The pages of docs/: every block does what the page says, and nothing is left out or made up."""

from __future__ import annotations

import argparse
import inspect
import os
import re
from pathlib import Path

import pytest
from pages import blocks_of, replace_definitions
from support import ROOT, commands, python

import redun_lite
from redun_lite import AliasExecutor, Config, LocalExecutor
from redun_lite._client.command import COMMANDS, find_command
from redun_lite._config import BackendConfig, SchedulerConfig
from redun_lite._federation import _DESCRIPTION, _REQUIRED
from redun_lite._ini import read_sections
from redun_lite._options import DEFINITION_OPTIONS, KNOWN_OPTIONS

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
# Their commands are for other places: the clone, and one that has redun.
NOT_RUN = {"design.md", "differences-from-redun.md", "README.md"}
WITH_JINJA2 = {"reference/tools.md"}

PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


def run_page(page, folder):
    """Run a page in a folder that looks like a clone to its reader."""
    place = folder / Path(page).stem
    place.mkdir()
    (place / "redun_lite").symlink_to(ROOT / "redun_lite")
    commands.start()
    words = (ROOT / "tests" / "pages.py", DOCS / page, place, commands.socket)
    if page in WITH_JINJA2:
        return python(*words, check=False)
    return commands.python(words, place, {**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("page", [page for page in PAGES if page not in NOT_RUN])
def test_every_block_of_a_page_does_what_the_page_says(page, tmp_path):
    done = run_page(page, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in links_of(text_of(page)):
        path, _, anchor = target.partition("#")
        file = (DOCS / page).parent / path if path else DOCS / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            known = anchors_of(file.read_text(encoding="utf-8"))
            assert anchor in known, f"{page}: {target}: there is {sorted(known)}"


def test_every_page_is_in_the_index():
    linked = set(links_of(text_of("README.md")))
    assert set(PAGES) - linked == {"README.md"}


@pytest.mark.parametrize("page", PAGES)
def test_every_configuration_on_a_page_can_be_read(page):
    for block in blocks_of(text_of(page)):
        if block.fence == "ini":
            config = Config(read_sections(block.text, f"{page}:{block.line}"))
            for executor in config.executors.values():
                kind = {"alias": AliasExecutor, "local": LocalExecutor}.get(executor.type)
                if kind is not None:
                    kind(executor.name, None, executor)


# What the reference has to say


def test_every_task_option_has_an_entry_and_every_entry_is_an_option():
    options = {name for name in {*KNOWN_OPTIONS, *DEFINITION_OPTIONS} if name[0] != "_"}
    text = text_of("reference/task-options.md")
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == options
    assert set(re.findall(r"^\| \[(\w+)\]", text, re.MULTILINE)) == options


def test_every_public_name_is_in_the_reference():
    text = "".join(path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md"))
    named = set(re.findall(r"`(?:redun_lite\.)?@?(\w+)[^`]*`", text))
    headings = set(re.findall(r"\w+", " ".join(re.findall(r"^###? (.*)$", text, re.MULTILINE))))
    missing = [name for name in redun_lite.__all__ if name not in named | headings]
    assert not missing


def test_every_built_in_function_and_class_has_a_heading_or_a_row():
    text = text_of("reference/built-ins.md")
    told = set(re.findall(r"\w+", " ".join(re.findall(r"^### (.*)$", text, re.MULTILINE))))
    told |= set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|[^|]*\|", text, re.MULTILINE))))
    # Told of beside what makes them.
    told |= {"SchedulerTask", "QuotedExpression", "Thread", "TypeRegistry", "get_current_namespace"}
    told |= {"Job", "StagingDir", "StagingFile", "TaskRegistry", "set_current_scheduler"}
    told |= {"get_filesystem", "glob_file", "register_filesystem"}
    missing = [name for name in redun_lite.__all__ if name not in told and name != "__version__"]
    assert not missing


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("[scheduler]", set(SchedulerConfig._fields)),
        ("[backend]", set(BackendConfig._fields)),
        ("[executors.NAME]", {"type", "class", "mode", "max_workers", "start_method", "target"}),
    ],
)
def test_every_option_of_the_configuration_is_in_its_section_and_no_other(section, options):
    _, found, rest = text_of("reference/configuration.md").partition(f"## {section}\n")
    assert found
    rows = re.findall(r"^\| `(\w+)` \|", rest.partition("\n## ")[0], re.MULTILINE)
    assert set(rows) == options
    assert len(rows) == len(options)


def test_every_option_of_a_federated_task_is_in_the_configuration_page():
    text = text_of("reference/configuration.md").partition("## [federated_tasks.NAME]")[2]
    told = set(re.findall(r"`(\w+)`", text.partition("\n## ")[0]))
    assert {*_REQUIRED, *_DESCRIPTION, "new_execution"} <= told


def test_the_defaults_in_the_configuration_page_are_the_defaults():
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|", text_of("reference/configuration.md"), re.MULTILINE
    )
    told = dict(rows)
    parameters = inspect.signature(LocalExecutor.__init__).parameters
    local = {name: parameters[name].default for name in ("mode", "max_workers", "start_method")}
    for name, default in {
        **SchedulerConfig._field_defaults,
        **BackendConfig._field_defaults,
        **local,
    }.items():
        words = told[name].strip("`")
        if default in (None, ()):
            assert words == "none", name
        elif isinstance(default, bool):
            assert words.split("`")[0] == str(default).lower(), name
        elif isinstance(default, (int, float)):
            assert float(words) == default, name
        else:
            assert words == str(default), name


def test_every_command_and_every_option_of_run_is_in_the_command_line_page():
    text = text_of("reference/command-line.md")
    assert set(re.findall(r"^\| \[([\w-]+)\]", text, re.MULTILINE)) == set(COMMANDS)
    parser = find_command("run").parser()
    options = {
        option
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
        for option in action.option_strings
    }
    rows = " ".join(re.findall(r"^\| (`-[^|]*)\|", text.partition("## log")[0], re.MULTILINE))
    told = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", rows))
    assert told - {"-h", "--help", "-V", "--version"} == options


# The runner itself


def test_a_block_that_shows_something_else_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\necho one 12 ms\n```\n\n```text\none 3 ms\n```\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    command = (ROOT / "tests" / "pages.py", page, folder, commands.socket)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert commands.python(command, folder, environ).returncode == 0
    page.write_text("```sh\necho one\n```\n\n```text\ntwo\n```\n")
    (tmp_path / "folder.terminal").rename(tmp_path / "before")
    done = commands.python(command, folder, environ)
    assert done.returncode == 1
    assert "page.md:5: shows something else" in done.stderr


def test_definitions_take_the_place_of_those_of_the_same_name():
    source = "import a\n\n\n@task\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n"
    part = "from b import c\n\n\ndef h():\n    return 3\n\n\ndef g():\n    return 4\n"
    assert replace_definitions(source, part) == (
        "import a\nfrom b import c\n\n\n@task\ndef f():\n    return 1\n\n\n"
        "def h():\n    return 3\n\ndef g():\n    return 4\n"
    )


# Markdown


def links_of(text):
    """Return where the relative links of a page lead."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))
    return [target for target in found if "://" not in target]


def anchors_of(text):
    """Return the anchors of a page's headings, as they are made where Markdown is shown."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
