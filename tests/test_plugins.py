"""From names to classes: what ships with the package, what is installed, what the user wrote."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from redun_lite import Scheduler, _fs_registry, _plugins
from redun_lite._config import Config
from redun_lite._database import database_source
from redun_lite._errors import ConfigError, FileSystemError, UsageError
from redun_lite._executor import executor_class
from redun_lite._fs_registry import get_filesystem_class
from redun_lite._plugins import class_at, known_names


@pytest.fixture(autouse=True)
def fresh_entry_points():
    """Look at what is installed anew, before and after each test."""
    _plugins._installed.cache_clear()
    yield
    _plugins._installed.cache_clear()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that puts a module on the path, under a name of its own."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def module(source: str) -> str:
        name = f"plugin_{tmp_path.name}_{len(made)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        made.append(name)
        return name

    yield module
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(group: str, name: str, path: str, distribution: str = "acme") -> None:
        metadata = tmp_path / f"{distribution}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {path}\n")
        importlib.invalidate_caches()

    return install


def executor(**options: str) -> object:
    """Return the class of an executor with these options."""
    return executor_class(Config({"executors.mine": options}).executors["mine"])


# What ships with the package


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group, names in _plugins._BUILT_IN.items() for name in names],
)
def test_what_ships_with_the_package_can_be_loaded(group, name):
    room = _plugins._BUILT_IN[group][name].partition(":")[0]
    if importlib.util.find_spec(room, "redun_lite") is None:
        pytest.skip(f"there is no {room} yet")
    if room.startswith(".contrib."):
        try:
            importlib.import_module(room, "redun_lite")
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed")
    assert isinstance(_plugins.named_class(group, "name", name), type)


def test_what_ships_with_the_package_is_found_without_reading_what_is_installed():
    code = (
        "import sys, types; from redun_lite import _plugins;"
        "room = types.ModuleType('redun_lite._executor'); room.LocalExecutor = int;"
        "sys.modules[room.__name__] = room;"
        "print(_plugins.named_class(_plugins.EXECUTORS, 'type', 'local').__name__,"
        "'importlib.metadata' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["int", "False"]


def test_an_installed_package_cannot_replace_what_ships_with_this_one(install, module, monkeypatch):
    theirs = module("class Mine: pass\nclass Theirs: pass\n")
    install("redun_lite.executors", "local", f"{theirs}:Theirs")
    monkeypatch.setitem(_plugins._BUILT_IN[_plugins.EXECUTORS], "local", f"{theirs}:Mine")
    assert executor(type="local").__name__ == "Mine"


# What is installed


def test_an_entry_point_gives_an_executor_type(install, module):
    name = module("class Queue: pass\n")
    install("redun_lite.executors", "queue", f"{name}:Queue")
    assert executor(type="queue").__name__ == "Queue"


def test_an_entry_point_gives_a_file_system(install, module, monkeypatch):
    monkeypatch.setattr(_fs_registry, "_classes", {})
    name = module("class FTP: pass\n")
    install("redun_lite.filesystems", "ftp", f"{name}:FTP")
    assert get_filesystem_class(proto="ftp").__name__ == "FTP"


def test_an_entry_point_gives_a_database(install, module):
    name = module("class Oracle:\n    from_config = classmethod(lambda cls, config: cls())\n")
    install("redun_lite.backends", "oracle", f"{name}:Oracle")
    config = Config({"backend": {"db_uri": "oracle://host/db"}})
    assert type(database_source(config)).__name__ == "Oracle"


def test_a_scheduler_records_in_the_database_that_an_entry_point_gives(install, module, tmp_path):
    name = module(
        "from redun_lite._sqlite import SqliteFile\n"
        "class Elsewhere(SqliteFile):\n"
        "    @classmethod\n"
        "    def from_config(cls, config):\n"
        "        return cls(config.backend.db_uri.partition('://')[2])\n"
    )
    install("redun_lite.backends", "elsewhere", f"{name}:Elsewhere")
    path = tmp_path / "elsewhere.db"
    with Scheduler(Config({"backend": {"db_uri": f"elsewhere://{path}"}})) as scheduler:
        assert scheduler.run([1, 2]) == [1, 2]
        assert type(scheduler.backend.source).__name__ == "Elsewhere"
    assert path.exists()


def test_a_scheduler_says_that_it_knows_no_such_database():
    scheduler = Scheduler(Config({"backend": {"db_uri": "mysql://host/db"}}))
    with pytest.raises(ConfigError, match="db_uri: unknown kind of database 'mysql'"):
        scheduler.run(1)


def test_known_names_are_those_that_ship_and_those_installed(install):
    install("redun_lite.executors", "queue", "acme:Queue")
    assert {"alias", "local", "queue"} <= set(known_names("redun_lite.executors"))


def test_an_entry_point_that_does_not_import_is_an_error_that_says_why(install):
    install("redun_lite.executors", "queue", "no_such_module_here:Queue")
    with pytest.raises(ConfigError) as caught:
        executor(type="queue")
    assert str(caught.value) == (
        "config: [executors.mine] type: executor type 'queue' (no_such_module_here:Queue) "
        "cannot be loaded: No module named 'no_such_module_here'"
    )


def test_an_entry_point_that_is_no_class_is_an_error(install, module):
    name = module("queue = 1\n")
    install("redun_lite.executors", "queue", f"{name}:queue")
    with pytest.raises(ConfigError, match=r"expected a class at .*:queue, got int$"):
        executor(type="queue")


def test_one_name_for_two_classes_is_an_error_that_names_both(install):
    install("redun_lite.executors", "queue", "a:Queue", "acme_a")
    install("redun_lite.executors", "queue", "b:Queue", "acme_b")
    with pytest.raises(ConfigError, match="several packages, a:Queue and b:Queue; uninstall all"):
        executor(type="queue")


# What is not known


def test_an_unknown_executor_type_names_file_line_and_known_types(tmp_path):
    (tmp_path / "redun_lite.ini").write_text("[executors.mine]\ntype = locale\n")
    config = Config.from_file(tmp_path / "redun_lite.ini")
    with pytest.raises(ConfigError) as caught:
        executor_class(config.executors["mine"])
    assert str(caught.value).startswith(
        f"{tmp_path}/redun_lite.ini:2: [executors.mine] type: unknown executor type 'locale'; "
        "did you mean local? Known: local, alias"
    )


def test_a_class_given_as_type_is_pointed_out():
    with pytest.raises(ConfigError, match=r"for a class of your own write class = my\.Queue$"):
        executor(type="my.Queue")


def test_an_unknown_url_scheme_lists_the_known_ones():
    with pytest.raises(FileSystemError) as caught:
        get_filesystem_class(proto="httpx")
    assert str(caught.value).startswith(
        "httpx://: unknown URL scheme 'httpx'; did you mean http? Known: http, https"
    )


def test_an_unknown_kind_of_database_is_an_error_at_its_uri():
    config = Config({"backend": {"db_uri": "mysql://host/db"}})
    with pytest.raises(ConfigError, match=r"^config: \[backend\] db_uri: unknown kind of database"):
        database_source(config)


# What the user wrote


def test_a_class_of_the_users_is_found_by_its_path(module):
    name = module("class Outer:\n    class Inner: pass\n")
    assert executor(**{"class": f"{name}.Outer"}).__name__ == "Outer"
    assert class_at(f"{name}:Outer.Inner").__qualname__ == "Outer.Inner"


@pytest.mark.parametrize("path", ["Queue", ".Queue", "._executor.LocalExecutor", "module.", ""])
def test_what_is_no_path_is_an_error_that_shows_one(path):
    with pytest.raises(UsageError, match=r"^expected my_module\.MyClass, got "):
        class_at(path)


@pytest.mark.parametrize(
    ("path", "missing"),
    [("no_such_module.Queue", "no_such_module"), ("json.no_such.Queue", "json.no_such")],
)
def test_a_module_that_is_not_there_is_an_error_that_names_it(path, missing):
    with pytest.raises(ConfigError, match=rf"\[executors\.mine\] class: .* no module {missing} "):
        executor(**{"class": path})


def test_a_class_that_is_not_there_is_an_error_with_the_nearest_one(module):
    name = module("class Queue: pass\n")
    with pytest.raises(UsageError, match=rf"^{name} has no Queeu; did you mean Queue\?"):
        class_at(f"{name}.Queeu")


def test_what_is_no_class_is_an_error(module):
    name = module("queue = 1\n")
    with pytest.raises(UsageError, match=rf"^expected a class at {name}\.queue, got int$"):
        class_at(f"{name}.queue")


@pytest.mark.parametrize("source", ["1 / 0", "import no_such_module_here"])
def test_an_error_inside_the_users_module_comes_through_as_it_is(module, source):
    name = module(source)
    with pytest.raises((ZeroDivisionError, ModuleNotFoundError)) as caught:
        executor(**{"class": f"{name}.Queue"})
    assert not isinstance(caught.value, UsageError)
