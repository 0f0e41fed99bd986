"""`runbus acl` as an operator calls it."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from servers import Server, ServerFailed

from runbus.store import acl

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "runbus", "acl", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("engine", ["valkey", "redis"])
def test_there_is_no_default_password(engine: str, tmp_path: Path) -> None:
    """What is printed without passwords is no file that a server would start with."""
    printed = run()
    assert printed.returncode == 0
    path = tmp_path / "users.acl"
    path.write_text(printed.stdout)
    with pytest.raises(ServerFailed, match="ACL"):
        Server.start(engine, "--aclfile", str(path))  # pyright: ignore[reportArgumentType]


def test_passwords_are_made_up_once(tmp_path: Path) -> None:
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


def test_the_prefix_is_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --prefix it is that of RUNBUS_PREFIX; with one, it is checked like that."""
    monkeypatch.setenv("RUNBUS_PREFIX", "shop")
    assert "~shop:{??}:*" in run().stdout
    assert "~till:{??}:*" in run("--prefix", "till").stdout
    wrong = run("--prefix", "a b")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "1 to 64 characters" in wrong.stderr


def test_a_file_that_holds_no_passwords(tmp_path: Path) -> None:
    """It is an error, and stays as it is."""
    path = tmp_path / "passwords"
    path.write_text("sender hunter2\n")
    ended = run("--password-file", str(path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "user:password" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert path.read_text() == "sender hunter2\n"
