"""The configuration: where it is found, what its options mean, and how each mistake is told."""

from __future__ import annotations

import json
import os
import pickle
import stat
import sys
from pathlib import Path

import pytest

from redun_lite._config import (
    CONFIG_FILE,
    BackendConfig,
    Config,
    SchedulerConfig,
    find_config_dir,
    init_config_dir,
)
from redun_lite._errors import ConfigError, UsageError


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a configuration from text."""

    def read(text: str) -> Config:
        (tmp_path / CONFIG_FILE).write_text(text, encoding="utf-8")
        return Config.from_file(tmp_path / CONFIG_FILE)

    return read


@pytest.fixture
def refused(read, tmp_path):
    """Return a function that gives the error's line for a configuration, from the line number."""

    def refused(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text)
        file, message = f"{tmp_path / CONFIG_FILE}:", str(caught.value)
        assert message.startswith(file)
        assert "\n" not in message
        return message[len(file) :]

    return refused


# Where it is found


def make_config_dir(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / CONFIG_FILE).write_text("")
    return path


def test_the_directory_on_the_command_line_comes_first(tmp_path):
    explicit = make_config_dir(tmp_path / "explicit")
    make_config_dir(tmp_path / ".redun_lite")
    assert find_config_dir("explicit", tmp_path, {"REDUN_LITE_CONFIG": "other"}) == explicit


def test_a_directory_on_the_command_line_without_a_configuration_is_an_error(tmp_path):
    with pytest.raises(ConfigError) as caught:
        find_config_dir("typo", tmp_path, {})
    assert str(caught.value) == (
        "--config typo: there is no such directory; `init --config typo` makes one"
    )


def test_the_environment_comes_before_the_search(tmp_path):
    make_config_dir(tmp_path / ".redun_lite")
    found = find_config_dir(None, tmp_path, {"REDUN_LITE_CONFIG": "/elsewhere"})
    assert found == Path("/elsewhere")


def test_an_empty_environment_variable_counts_as_not_set(tmp_path):
    found = find_config_dir(None, tmp_path, {"REDUN_LITE_CONFIG": ""})
    assert found == tmp_path / ".redun_lite"


def test_the_search_goes_up_to_the_nearest_directory(tmp_path):
    make_config_dir(tmp_path / ".redun_lite")
    nearest = make_config_dir(tmp_path / "a" / ".redun_lite")
    cwd = tmp_path / "a" / "b" / "c"
    assert find_config_dir(None, cwd, {}) == nearest


def test_a_file_of_the_directorys_name_is_passed_over(tmp_path):
    above = make_config_dir(tmp_path / ".redun_lite")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".redun_lite").write_text("")
    assert find_config_dir(None, tmp_path / "a", {}) == above


def test_where_nothing_is_found_the_current_directory_is_meant(tmp_path):
    assert find_config_dir(None, tmp_path, {}) == tmp_path / ".redun_lite"


def test_find_makes_a_configuration_where_there_is_none(tmp_path):
    config = Config.find(cwd=tmp_path, environ={})
    assert config.config_dir == tmp_path / ".redun_lite"
    assert (tmp_path / ".redun_lite" / CONFIG_FILE).is_file()


def test_find_does_not_make_a_directory_that_was_given_explicitly(tmp_path):
    with pytest.raises(ConfigError):
        Config.find("typo", tmp_path, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_new_directory_is_private_to_the_user(tmp_path):
    assert init_config_dir(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_new_configuration_says_what_applies_without_it(tmp_path):
    init_config_dir(tmp_path)
    config = Config.from_file(tmp_path / CONFIG_FILE)
    assert config.scheduler == SchedulerConfig()
    assert config.backend == BackendConfig()


def test_the_commented_out_options_of_a_new_configuration_are_valid(tmp_path, read):
    init_config_dir(tmp_path)
    text = (tmp_path / CONFIG_FILE).read_text()
    options = [line[2:] for line in text.split("\n") if " = " in line or line.startswith("# [")]
    config = read("\n".join(options))
    assert config.backend == BackendConfig()
    assert config.executors["default"].type == "local"
    assert config.limits == {"web_api": 5}


def test_a_configuration_that_is_there_is_left_alone(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("[limits]\n")
    assert not init_config_dir(tmp_path)
    assert (tmp_path / CONFIG_FILE).read_text() == "[limits]\n"


def test_a_directory_without_its_file_gets_one(tmp_path):
    assert init_config_dir(tmp_path)
    assert (tmp_path / CONFIG_FILE).is_file()


def test_a_directory_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/x: cannot make .* with --config or REDUN_LITE"):
        init_config_dir(tmp_path / "file" / "x")


def test_a_file_in_the_directorys_place_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "odd" / CONFIG_FILE).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"odd/redun_lite\.ini: expected a file, got a dir"):
        Config.from_dir(tmp_path / "odd")
    with pytest.raises(ConfigError, match="file: expected a directory, got a file"):
        init_config_dir(tmp_path / "file")


# What its sections mean


def test_an_empty_configuration_has_defaults(read):
    config = read("")
    assert config.scheduler == SchedulerConfig()
    assert config.backend == BackendConfig()
    assert (config.limits, config.executors, config.context()) == ({}, {}, {})


def test_scheduler_options_have_their_types(read):
    scheduler = read(
        "[scheduler]\n"
        "cache = no\n"
        "ignore_warnings = namespace other\n"
        "job_status_interval = 5\n"
        "setup_scheduler = ../workflow.py::setup\n"
        'context = {"a":\n  1}\n'
        "federated_configs =\n  /a dir/one\n  two\n"
    ).scheduler
    assert scheduler == SchedulerConfig(
        cache=False,
        ignore_warnings=("namespace", "other"),
        job_status_interval=5.0,
        setup_scheduler="../workflow.py::setup",
        context={"a": 1},
        federated_configs=("/a dir/one", "two"),
    )


def test_every_scheduler_option_can_be_set():
    options = {**SchedulerConfig()._asdict(), "setup_scheduler": "a::b", "context_file": "c.json"}
    assert Config({"scheduler": options}).scheduler == SchedulerConfig(**options)


def test_every_backend_option_can_be_set():
    options = {**BackendConfig()._asdict(), "value_store_path": "v", "db_aws_secret_name": "s"}
    assert Config({"backend": options}).backend == BackendConfig(**options)


def test_limits_are_whole_numbers_by_name(read):
    assert read("[limits]\nDB = 10\nweb_api = 5\n").limits == {"DB": 10, "web_api": 5}


def test_a_limit_of_nothing_is_an_error_since_its_tasks_would_never_run(refused):
    assert refused("[limits]\ndb = 0\n") == (
        "2: [limits] db: expected a whole number of at least 1, got '0'"
    )


def test_an_executor_has_a_type_and_options(read):
    executor = read("[executors.big]\ntype = local\nmax_workers = 40\n").executors["big"]
    assert (executor.name, executor.type, executor.class_path) == ("big", "local", None)
    assert executor.options == {"max_workers": "40"}
    assert executor.parse({"max_workers": int, "mode": ("thread", "process")}) == {
        "max_workers": 40
    }


def test_an_executor_may_be_of_a_class_of_the_users(read):
    executor = read("[executors.mine]\nclass = my_module.MyExecutor\n").executors["mine"]
    assert (executor.type, executor.class_path) == (None, "my_module.MyExecutor")


def test_an_executor_knows_where_it_is_written(read, tmp_path):
    config = read("[limits]\n[executors.a]\ntype = local\n")
    assert config.executors["a"].where == f"{tmp_path / CONFIG_FILE}:2"


def test_an_executor_without_type_is_an_error(refused):
    assert refused("[executors.a]\nmax_workers = 1\n") == (
        "1: [executors.a]: it has no type; write type = local, or class = my_module.MyExecutor"
    )


def test_a_misspelt_type_of_an_executor_gets_a_suggestion(refused):
    assert refused("[executors.a]\ntyp = local\n") == (
        "1: [executors.a]: it has no type, but typ: did you mean type? Known: type, class"
    )


def test_an_executor_of_both_type_and_class_is_an_error(refused):
    assert "it has both type and class" in refused("[executors.a]\ntype = local\nclass = m.C\n")


def test_an_unknown_option_of_an_executor_names_file_line_and_nearest_option(read, tmp_path):
    executor = read("[executors.a]\ntype = local\nmax_worker = 1\n").executors["a"]
    with pytest.raises(ConfigError) as caught:
        executor.parse({"max_workers": int, "mode": ("thread", "process")})
    assert str(caught.value).startswith(
        f"{tmp_path / CONFIG_FILE}:3: [executors.a] max_worker: unknown option; "
        "did you mean max_workers? Known: "
    )


def test_an_option_of_an_executor_of_the_wrong_type_is_an_error(read):
    executor = read("[executors.a]\ntype = local\nmax_workers = many\n").executors["a"]
    with pytest.raises(ConfigError, match=r":3: .* expected a whole number, got 'many'$"):
        executor.parse({"max_workers": int})


def test_an_executor_that_is_not_used_may_have_variables_that_are_not_set(read, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    executor = read("[executors.a]\ntype = local\nrole = ${NOWHERE}\n").executors["a"]
    with pytest.raises(ConfigError, match="NOWHERE"):
        executor.parse({"role": str})


def test_repos_and_federated_tasks_are_kept_by_name(read):
    config = read("[repos.far]\nconfig_dir = /far\n[federated_tasks.f]\nnamespace = n\n")
    assert config.repos["far"]["config_dir"] == "/far"
    assert config.federated_tasks["f"]["namespace"] == "n"


def test_a_section_of_the_users_own_is_kept(read):
    config = read("[report]\ntitle = Hello\n[report.colors]\ntext = red\n")
    assert config["report"]["title"] == "Hello"
    assert config["report.colors"]["text"] == "red"


def test_sections_under_a_name_are_a_dict_of_it(read):
    config = read("[executors.a]\ntype = local\n[executors.b]\ntype = alias\n")
    assert {name: section["type"] for name, section in config["executors"].items()} == {
        "a": "local",
        "b": "alias",
    }


def test_get_gives_a_default_for_a_section_that_is_not_there(read):
    config = read("[mine]\na = 1\n")
    assert config.get("mine")["a"] == "1"
    assert config.get("yours", 7) == 7
    assert "mine" in config
    assert "yours" not in config
    with pytest.raises(KeyError):
        config["yours"]


# Mistakes


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("executor.batch", "executors.batch"),
        ("Executors.batch", "executors.batch"),
        ("limit", "limits"),
        ("backends", "backend"),
        ("schedular", "scheduler"),
        ("repo", "repos.NAME"),
    ],
)
def test_a_section_nearly_of_a_known_name_is_an_error(refused, name, meant):
    assert refused(f"\n[{name}]\n").startswith(
        f"2: [{name}]: unknown section; did you mean [{meant}]?"
    )


def test_executors_without_a_name_are_an_error(refused):
    assert refused("[executors]\n") == (
        "1: [executors]: it needs a name of its own, as in [executors.NAME]"
    )


def test_a_name_where_none_belongs_is_an_error(refused):
    assert refused("[limits.db]\n") == (
        "1: [limits.db]: there is only one such section; write [limits]"
    )


def test_an_unknown_option_of_a_known_section_names_file_line_and_nearest_option(refused):
    assert refused("[backend]\n\ndb_url = sqlite://\n").startswith(
        "3: [backend] db_url: unknown option; did you mean db_uri? Known: db_uri, "
    )


def test_an_option_of_the_wrong_type_names_file_and_line(refused):
    assert refused("[scheduler]\njob_status_interval = often\n") == (
        "2: [scheduler] job_status_interval: expected a number, got 'often'"
    )


def test_setup_scheduler_without_a_function_is_an_error(refused):
    assert "expected file.py::function or module::function, got 'setup.py'" in refused(
        "[scheduler]\nsetup_scheduler = setup.py\n"
    )


def test_a_section_that_is_no_dict_is_an_error():
    with pytest.raises(ConfigError, match=r"^config: \[limits\]: expected a dict, got 5$"):
        Config({"limits": 5})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user:hunter2@host/db",
        "postgresql://user:hun/ter2@host/db",
        "postgresql+psycopg://user@host/db",
        "postgresql://host/db?user=me&password=hunter2",
    ],
)
def test_a_login_in_the_uri_is_refused_without_showing_it(refused, uri):
    message = refused(f"[backend]\ndb_uri = {uri}\n")
    assert "REDUN_LITE_DB_USERNAME and REDUN_LITE_DB_PASSWORD" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("uri", ["", "jobs.db", "sqlite:jobs.db", "sqlite://jobs.db", "://x"])
def test_a_uri_that_is_none_is_an_error_with_an_example(refused, uri):
    assert "sqlite:///" in refused(f"[backend]\ndb_uri = {uri}\n")


# The database's place


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite://", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite:///jobs.db", "{config_dir}/jobs.db"),
        ("sqlite:///../a@b/jobs.db", "{config_dir.parent}/a@b/jobs.db"),
        ("sqlite:////data/jobs.db", "/data/jobs.db"),
    ],
)
def test_a_relative_database_starts_at_the_config_directory(read, uri, path, tmp_path):
    config = read(f"[backend]\ndb_uri = {uri}\n")
    assert config.db_path() == path.format(config_dir=tmp_path)


def test_the_database_is_beside_the_configuration_by_default(read, tmp_path):
    assert read("").db_path() == str(tmp_path / "redun_lite.db")


def test_a_configuration_without_directory_has_its_database_in_memory():
    assert Config().db_path() == ":memory:"


def test_a_relative_database_without_config_directory_starts_at_the_current_one(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = Config({"backend": {"db_uri": "sqlite:///jobs.db"}})
    assert config.db_path() == str(tmp_path / "jobs.db")


def test_another_kind_of_database_has_a_scheme_and_no_path(read):
    config = read("[backend]\ndb_uri = postgresql+psycopg://host/db\n")
    assert config.db_scheme() == "postgresql"
    with pytest.raises(ConfigError, match=r":2: \[backend\] db_uri: expected sqlite:///PATH"):
        config.db_path()


@pytest.mark.parametrize(
    ("uri", "expected"), [("sqlite:///a.db", True), ("postgresql://host/db", False)]
)
def test_only_sqlite_is_migrated_unless_the_configuration_says_so(uri, expected):
    assert Config({"backend": {"db_uri": uri}}).backend.automigrate is expected
    said = Config({"backend": {"db_uri": uri, "automigrate": "yes"}})
    assert said.backend.automigrate is True


# Context


def test_the_context_of_file_and_option_is_merged_and_the_option_wins(read, tmp_path):
    in_file = {"tool": {"ratio": 1, "name": "t"}, "kept": [1]}
    (tmp_path / "context.json").write_text(json.dumps(in_file))
    config = read(
        '[scheduler]\ncontext_file = context.json\ncontext = {"tool": {"ratio": 2}, "new": 3}\n'
    )
    assert config.context() == {"tool": {"ratio": 2, "name": "t"}, "kept": [1], "new": 3}


def test_an_error_in_the_context_names_the_line_inside_it(refused):
    assert refused('[scheduler]\ncontext = {\n  "a": 1,\n  "b": oops\n  }\n').startswith(
        "4: [scheduler] context: expected JSON ("
    )


def test_an_error_in_the_context_file_names_file_and_line(read, tmp_path):
    (tmp_path / "context.json").write_text('{\n"a": oops}')
    with pytest.raises(ConfigError, match=r"context\.json:2: expected JSON \(Expecting value\)$"):
        read("[scheduler]\ncontext_file = context.json\n").context()


def test_a_context_file_that_is_missing_is_an_error_at_the_option(read):
    with pytest.raises(ConfigError, match=r":2: \[scheduler\] context_file: there is no file /.*c"):
        read("[scheduler]\ncontext_file = c.json\n").context()


# As data


def test_the_dict_of_a_configuration_makes_an_equal_one(read, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    config = read(
        "[DEFAULT]\nregion = r\n[executors.a]\ntype = local\nkey = ${SECRET}\n[limits]\ndb = 1\n"
    )
    as_dict = config.get_config_dict()
    assert "hunter2" not in str(as_dict)
    again = Config(as_dict, config.config_dir)
    assert again.executors["a"].options == {"key": "hunter2", "region": "r"}
    assert (again.limits, again.backend) == (config.limits, config.backend)


def test_a_configuration_can_be_pickled(read):
    config = pickle.loads(
        pickle.dumps(read("[executors.a]\ntype = local\n[limits]\ndb = ${n}\nn = 1"))
    )
    assert config.limits["db"] == 1
    assert config.executors["a"].where.endswith(":1")


def test_sections_of_one_file_keep_their_place_in_another_configuration(read):
    far = read("[executors.far]\ntype = local\nmax_workers = x\n")
    config = Config({"executors.near": far["executors.far"]})
    with pytest.raises(ConfigError, match=r"redun_lite\.ini:3: \[executors\.far\] max_workers"):
        config.executors["near"].parse({"max_workers": int})


def test_reading_a_configuration_does_not_import_slow_modules():
    import subprocess

    code = (
        "import sys; from redun_lite._config import Config; Config({'limits': {'a': '1'}});"
        "print(sorted({'json', 'difflib', 'inspect', 'dataclasses', 'logging', 'configparser',"
        "'importlib.metadata'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can chown")
def test_a_directory_that_a_stranger_left_in_a_shared_folder_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    planted = shared / ".redun_lite"
    planted.mkdir()
    (planted / "redun_lite.ini").write_text("")
    os.chown(planted, 4242, 4242)
    with pytest.raises(ConfigError, match=r"belongs to another user.*--config"):
        find_config_dir(None, shared, {})
    assert find_config_dir(str(planted), shared, {}) == planted
    shared.chmod(0o755)
    assert find_config_dir(None, shared, {}) == planted


def test_another_repository_is_named_by_its_section_its_uri_or_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config({"repos.team": {"db_uri": "sqlite:////srv/team.db"}})
    assert config.repository("team").db_path() == "/srv/team.db"
    assert config.repository("sqlite:////srv/other.db").db_path() == "/srv/other.db"
    assert config.repository("new.db").db_path() == str(tmp_path / "new.db")
    assert config.repository("some/where").db_path() == str(tmp_path / "some/where")
    with pytest.raises(UsageError, match="no repository 'tema': did you mean team"):
        config.repository("tema")


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ("db_uri = sqlite:///a.db\ndb_retris = 3", 4, " db_retris: unknown option; did you mean"),
        ("db_uri = sqlite:///a.db\ndb_retries = many", 4, " db_retries: expected a whole number"),
        ("db_uri = postgresql://me@host/jobs", 3, " db_uri: expected no user name or password"),
        ("db_retries = 3", 2, ": expected db_uri, or the config_dir whose repository it is"),
    ],
)
def test_a_mistake_in_another_repository_is_named_with_its_line(tmp_path, lines, line, message):
    file = tmp_path / "redun_lite.ini"
    file.write_text(f"\n[repos.team]\n{lines}\n")
    config = Config.from_file(file)
    with pytest.raises(ConfigError) as caught:
        config.repository("team")
    assert str(caught.value).startswith(f"{file}:{line}: [repos.team]{message}")
