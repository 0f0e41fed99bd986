"""`runbus acl` as an operator calls it."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest
from servers import Server, ServerFailed

from runbus.cli import app
from runbus.store.admin import acl

if TYPE_CHECKING:
    from pathlib import Path


class Ended(NamedTuple):
    """How a call of the command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("--prefix", "shop")` calls the command in this process, which takes less time."""

    def call(*words: str) -> Ended:
        code = app.run(["acl", *words])
        return Ended(code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("engine", ["valkey", "redis"])
def test_there_is_no_default_password(run: Run, engine: str, tmp_path: Path) -> None:
    """What is printed without passwords is no file that a server would start with."""
    printed = run()
    assert printed.returncode == 0
    path = tmp_path / "users.acl"
    path.write_text(printed.stdout)
    with pytest.raises(ServerFailed, match="ACL"):
        Server.start(engine, "--aclfile", str(path))  # pyright: ignore[reportArgumentType]


def test_passwords_are_made_up_once(run: Run, tmp_path: Path) -> None:
    """Missing passwords are added to the file, which is its owner's alone; the rest stay."""
    path = tmp_path / "passwords"
    path.write_text("web:of my own")
    path.chmod(0o600)
    first, second = run("--password-file", str(path)), run("--password-file", str(path))
    assert first.stdout == second.stdout
    passwords = dict(line.split(":", 1) for line in path.read_text().split("\n") if line)
    assert passwords["web"] == "of my own"
    assert set(passwords) == {"admin", *acl.USERS}
    assert len({*passwords.values()}) == len(passwords)
    for name, password in passwords.items():
        assert f"user {name} on #{acl.digest(password)} " in first.stdout
        assert password not in first.stdout
    fresh = tmp_path / "fresh"
    run("--password-file", str(fresh))
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600


def test_the_prefix_is_the_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --prefix it is that of RUNBUS_PREFIX; with one, it is checked like that."""
    monkeypatch.setenv("RUNBUS_PREFIX", "shop")
    assert "~shop:{??}:*" in run().stdout
    assert "~till:{??}:*" in run("--prefix", "till").stdout
    wrong = run("--prefix", "a b")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "1 to 64 characters" in wrong.stderr


def test_two_versions_side_by_side(run: Run, tmp_path: Path) -> None:
    """With another version's file, the scripts of both may be called, and a server takes it."""
    passwords, other = tmp_path / "passwords", tmp_path / "other.acl"
    printed = run("--password-file", str(passwords)).stdout
    other.write_text(printed.replace("evalsha|", "evalsha|abcd"))
    both = run("--password-file", str(passwords), "--beside", str(other)).stdout
    for name in acl.USERS:
        (line,) = [each for each in both.splitlines() if each.startswith(f"user {name} ")]
        scripts = re.findall(r"evalsha\|(\w+)", line)
        assert scripts
        assert {f"abcd{each}" for each in scripts if len(each) == 40} <= {*scripts}
        assert line.count("(") == len({*re.findall(r"\(.*?\)", line)})
    path = tmp_path / "users.acl"
    path.write_text(both)
    with Server.start("redis", "--aclfile", str(path)) as server:
        assert server.is_alive
    assert run("--password-file", str(passwords), "--beside", str(passwords)).stdout == printed


def test_a_file_that_holds_no_passwords(run: Run, tmp_path: Path) -> None:
    """It is an error, and stays as it is."""
    path = tmp_path / "passwords"
    path.write_text("sender hunter2\n")
    ended = run("--password-file", str(path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "user:password" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert path.read_text() == "sender hunter2\n"
