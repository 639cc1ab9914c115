"""The Git commit that a workflow comes from, told by files alone."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from redun_lite._client import origin
from redun_lite._client.origin import Checkout, DirtyCheck, find_checkout, without_credentials

FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def repository(tmp_path):
    """A checkout, as far as it is looked at."""
    git = tmp_path / "code" / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text(f"{FIRST}\n")
    (git / "config").write_text(
        '[core]\n\tbare = false\n[remote "fork"]\n\turl = /fork\n'
        '[remote "origin"]\n\tfetch = +a:b\n\turl = https://ada:pw@example.com/code.git\n'
        '[branch "main"]\n\turl = /other\n'
    )
    return tmp_path / "code"


def test_the_commit_and_the_origin_are_read_from_files(repository):
    expected = Checkout(str(repository), FIRST, "https://example.com/code.git")
    assert find_checkout(repository) == expected


def test_a_folder_inside_belongs_to_the_checkout(repository):
    (repository / "a" / "b").mkdir(parents=True)
    checkout = find_checkout(repository / "a" / "b")
    assert checkout is not None
    assert checkout.folder == str(repository)


def test_no_git_is_started_to_find_the_commit(repository, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert find_checkout(repository).commit == FIRST


def test_outside_of_any_checkout_there_is_none(tmp_path):
    assert find_checkout(tmp_path) is None


def test_a_packed_branch_is_found(repository):
    (repository / ".git" / "refs" / "heads" / "main").unlink()
    (repository / ".git" / "packed-refs").write_text(
        f"# pack-refs with: peeled\n{SECOND} refs/heads/other\n{FIRST} refs/heads/main\n^{SECOND}\n"
    )
    assert find_checkout(repository).commit == FIRST


def test_a_detached_head_is_a_commit(repository):
    (repository / ".git" / "HEAD").write_text(f"{SECOND}\n")
    assert find_checkout(repository).commit == SECOND


def test_before_the_first_commit_there_is_none(repository):
    (repository / ".git" / "refs" / "heads" / "main").unlink()
    assert find_checkout(repository).commit is None


def test_a_worktree_has_a_head_of_its_own_and_shares_the_rest(repository, tmp_path):
    own = repository / ".git" / "worktrees" / "tree"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/side\n")
    (own / "commondir").write_text("../..\n")
    (repository / ".git" / "refs" / "heads" / "side").write_text(f"{SECOND}\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {own}\n")
    expected = Checkout(str(tree), SECOND, "https://example.com/code.git")
    assert find_checkout(tree) == expected


@pytest.mark.parametrize("head", ["", "ref: ../../secret", "ref: /etc/passwd", "hello"])
def test_a_head_that_is_none_tells_nothing(repository, head):
    (repository / ".git" / "HEAD").write_text(head)
    assert find_checkout(repository).commit is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://token@example.com/x", "https://example.com/x"),
        ("http://a:b@example.com/x", "http://example.com/x"),
        ("ssh://git@example.com/x", "ssh://git@example.com/x"),
        ("ssh://git:pw@example.com/x", "ssh://git@example.com/x"),
        ("git@example.com:x.git", "git@example.com:x.git"),
        ("https://example.com/x?private_token=1#2", "https://example.com/x"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("/srv/git/x.git", "/srv/git/x.git"),
    ],
)
def test_credentials_are_left_out(url, expected):
    assert without_credentials(url) == expected


def test_agrees_with_git_on_a_real_repository(tmp_path):
    git = shutil.which("git")
    if git is None:
        pytest.skip("there is no git")

    def run(*words):
        done = subprocess.run(
            [git, "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    run("init", "-q")
    (tmp_path / "x").write_text("1")
    run("add", "x")
    run("commit", "-q", "-m", "x")
    checkout = find_checkout(tmp_path)
    assert checkout.commit == run("rev-parse", "HEAD")
    assert DirtyCheck(checkout).result(60) is False
    (tmp_path / "new").write_text("no part of it")
    assert DirtyCheck(checkout).result(60) is False
    (tmp_path / "x").write_text("2")
    assert DirtyCheck(checkout).result(60) is True


def test_without_git_it_is_not_known_whether_files_differ(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert DirtyCheck(find_checkout(repository)).result() is None


def test_a_slow_git_is_not_waited_for(repository, monkeypatch, tmp_path):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    assert DirtyCheck(find_checkout(repository)).result(0.01) is None


def test_the_workflow_tells_where_to_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "flow.py").write_text("")
    assert origin.folder_of_workflow("a/flow.py") == str(tmp_path / "a")
    assert origin.folder_of_workflow("package.module") == str(tmp_path)
