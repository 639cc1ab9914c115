"""The promises about the package as a whole: nothing but the standard library, wherever it lies."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from support import run_examples

import redun_lite

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "redun_lite"
for name in redun_lite.__all__:
    getattr(redun_lite, name)  # Which defines the tasks of the package.
PACKAGE_TASKS = [
    task
    for task in redun_lite.get_task_registry()
    if task.func.__module__.startswith("redun_lite.")
]
CORE = sorted(path for path in PACKAGE.rglob("*.py") if "contrib" not in path.parts)
WORKFLOW = """\
import sys
from {package} import File, task

redun_namespace = "vendored"

@task
def read(file):
    return file.read()

@task
def pair(text, numbers):
    return (File("in.txt"), {{text, *numbers}})

@task
def main():
    return pair(read(File("in.txt")), [1, 2])
"""


VALUES = """\
import json, sys
from {package} import File, Value, task
from {package}._errors import HashError
from {package}._expr import dumps_expr, key_of_expr, loads_expr
from {package}._record import ErrorValue

@task(namespace="values", version="1")
def f(x=None, **others):
    return x

values = [
    File("in.txt"), [{{File("in.txt"): 1}}], Value, File, Value(), f, f.partial(f(1)), f(f(1) + 1),
    f(File("in.txt"), a={{f.options(memory=2)}}), ErrorValue("a", "b", "c"), HashError("a", "b"),
    [File("in.txt"), f(1)], dumps_expr, f(1).__class__,
]
known = [loads_expr(bytes.fromhex(line)) for line in sys.stdin.read().split()]
stored = [dumps_expr(value).hex() for value in values]
json.dump([list(map(repr, map(key_of_expr, known or values))), stored], sys.stdout)
"""


def run_python(
    *args: str, cwd: Path, path: Path | str = "", given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a Python without site-packages, with nothing but `path` to import from."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-S", *args],
        cwd=cwd,
        env=environ,
        text=True,
        capture_output=True,
        input=given,
    )


def statuses(folder: Path) -> dict[str, int]:
    """Return how many jobs of the last execution ended how."""
    with sqlite3.connect(folder / ".redun_lite" / "redun_lite.db") as connection:
        rows = connection.execute(
            "SELECT status, count(*) FROM job WHERE id >> 32 = (SELECT max(id) FROM execution) "
            "GROUP BY status"
        ).fetchall()
    connection.close()
    return dict(rows)


@pytest.fixture
def vendored(tmp_path):
    """A project with a copy of the package under another name."""
    shutil.copytree(
        PACKAGE,
        tmp_path / "myapp" / "_vendor" / "redun_lite",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (tmp_path / "in.txt").write_text("some text")
    (tmp_path / "own.py").write_text(WORKFLOW.format(package="redun_lite"))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "own.py").write_text(WORKFLOW.format(package="myapp._vendor.redun_lite"))
    return tmp_path


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_a_core_file_imports_the_standard_library_and_its_own_package_relatively(path):
    if sys.version_info < (3, 10):
        pytest.skip("sys.stdlib_module_names came with Python 3.10")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module or "")
    roots = {name.partition(".")[0] for name in imported}
    assert roots <= set(sys.stdlib_module_names)


def test_the_names_for_type_checkers_and_the_names_at_run_time_are_the_same():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == redun_lite._HOME
    assert all(hasattr(redun_lite, name) for name in redun_lite.__all__)


def test_an_error_is_called_as_people_import_it_and_found_there():
    for name in redun_lite.__all__:
        value = getattr(redun_lite, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert f"{value.__module__}.{value.__qualname__}" == f"redun_lite.{name}"
            assert type(pickle.loads(pickle.dumps(value("no")))) is value


def test_the_version_has_redun_s_name_too():
    assert redun_lite.version == redun_lite.__version__


def test_importing_the_package_imports_none_of_its_rooms():
    script = (
        "import sys, redun_lite; print([m for m in sys.modules if m.startswith('redun_lite.')])"
    )
    shown = run_python("-c", script, cwd=ROOT, path=ROOT)
    assert ast.literal_eval(shown.stdout) == ["redun_lite._version"]


def test_a_vendored_copy_replays_what_the_installed_package_recorded(vendored):
    command = ("-m", "redun_lite", "run", "-q", "own.py", "main")
    first = run_python(*command, cwd=vendored, path=ROOT)
    assert first.returncode == 0, first.stderr
    assert statuses(vendored) == {"DONE": 3}

    copied = ("-m", "myapp._vendor.redun_lite", "run", "-q", "copy/own.py", "main")
    second = run_python(*copied, cwd=vendored, path=vendored)
    assert second.returncode == 0, second.stderr
    assert statuses(vendored) == {"CACHED": 3}
    assert sorted(second.stdout) == sorted(first.stdout)


def test_the_installed_package_replays_what_a_vendored_copy_recorded(vendored):
    copied = ("-m", "myapp._vendor.redun_lite", "run", "-q", "copy/own.py", "main")
    assert run_python(*copied, cwd=vendored, path=vendored).returncode == 0
    assert statuses(vendored) == {"DONE": 3}

    command = ("-m", "redun_lite", "run", "-q", "own.py", "main")
    assert run_python(*command, cwd=vendored, path=ROOT).returncode == 0
    assert statuses(vendored) == {"CACHED": 3}


def test_values_of_the_package_have_one_key_and_one_form_in_all_its_copies(vendored):
    own = VALUES.format(package="redun_lite")
    copy = VALUES.format(package="myapp._vendor.redun_lite")
    found = {}
    for name, script, path in (("own", own, ROOT), ("copy", copy, vendored)):
        done = run_python("-c", script, cwd=vendored, path=path)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
        assert not any(b"myapp" in bytes.fromhex(stored) for stored in found[name][1])
    keys = found["own"][0]
    assert found["copy"][0] == keys
    for script, path, other in ((own, ROOT, "copy"), (copy, vendored, "own")):
        given = "\n".join(found[other][1])
        done = run_python("-c", script, cwd=vendored, path=path, given=given)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0] == keys


@pytest.mark.parametrize("executor", ["default", "process"])
def test_a_zipapp_runs_a_workflow(tmp_path, executor):
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / "redun_lite", ignore=shutil.ignore_patterns("__pycache__"))
    archive = tmp_path / "redun-lite.pyz"
    zipapp.create_archive(source, archive, main="redun_lite._cli:main")
    (tmp_path / "in.txt").write_text("some text")
    (tmp_path / "own.py").write_text(WORKFLOW.format(package="redun_lite"))
    command = (str(archive), "run", "-q", "-o", f"executor={executor}", "own.py", "main")
    done = run_python(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "some text" in done.stdout
    assert statuses(tmp_path) == {"DONE": 3}


def test_an_isolated_python_runs_a_workflow_from_a_zipapp(tmp_path):
    archive = tmp_path / "redun-lite.pyz"
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / "redun_lite", ignore=shutil.ignore_patterns("__pycache__"))
    zipapp.create_archive(source, archive, main="redun_lite._cli:main")
    (tmp_path / "in.txt").write_text("some text")
    (tmp_path / "own.py").write_text(WORKFLOW.format(package="redun_lite"))
    shown = run_python("-I", str(archive), "--version", cwd=tmp_path)
    assert shown.stdout == f"redun_lite {redun_lite.__version__}\n"
    done = run_python("-I", str(archive), "run", "-q", "own.py", "main", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "some text" in done.stdout


def test_the_version_is_said_without_the_engine():
    script = (
        "import json, sys\n"
        "from redun_lite._cli import main\n"
        "main(['--version'])\n"
        "print(json.dumps([m for m in sys.modules if m in ('sqlite3', 'argparse', 'inspect')]))\n"
    )
    shown = run_python("-c", script, cwd=ROOT, path=ROOT).stdout.splitlines()
    assert shown[0] == f"redun_lite {redun_lite.__version__}"
    assert json.loads(shown[1]) == []


@pytest.mark.parametrize(
    "task",
    [task for task in PACKAGE_TASKS if task.__doc__ and ">>>" in task.__doc__],
    ids=lambda task: task.fullname,
)
def test_the_examples_in_the_docstrings_of_tasks_hold(task):
    run_examples(task.__doc__, task.fullname, vars(sys.modules[task.func.__module__]))
