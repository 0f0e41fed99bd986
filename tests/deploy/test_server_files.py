"""`redis.conf`, `users.acl` and `make-secrets.sh`: a real server starts with them, and serves."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from redis import Redis
from redis.asyncio.connection import parse_url
from servers import _PORTS, Engine, Server

from runbus import get_client, resume_flow_run, run_deployment, wait_for_flow_run
from runbus.errors import ServerRefused
from runbus.settings import temporary_settings
from runbus.store.admin import acl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_users_are_those_of_this_version() -> None:
    """`users.acl` is what the command prints. Else: `runbus acl > deploy/users.acl`."""
    command = [sys.executable, "-m", "runbus", "acl"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (DEPLOY / "users.acl").read_text() == printed


@contextmanager
def script(
    directory: Path, server: str = "valkey:6379/0", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The script while it runs."""
    known = {**os.environ, "RUNBUS_COMMAND": f"{sys.executable} -m runbus"}
    command = [str(DEPLOY / "make-secrets.sh"), str(directory), server]
    with subprocess.Popen(command, env=known | environment) as process:
        yield process


def make_secrets(directory: Path, server: str, scheme: str) -> dict[str, str]:
    """Run the script; return the URL of each user who gets one."""
    with script(directory, server, RUNBUS_SCHEME=scheme) as process:
        assert process.wait() == 0
    return {path.stem: tomllib.loads(path.read_text())["url"] for path in directory.glob("*.toml")}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """Only their owner gets at them, they are kept, and the operator's is in no program's file."""
    directory = tmp_path / "secrets"
    urls = make_secrets(directory, "valkey:6379/0", "redis")
    assert set(urls) == set(acl.USERS)
    assert directory.stat().st_mode & 0o077 == 0
    before = {path.name: path.read_text() for path in directory.iterdir()}
    assert make_secrets(directory, "valkey:6379/0", "redis") == urls
    assert {path.name: path.read_text() for path in directory.iterdir()} == before
    assert len(before["web-tokens"].partition("=")[2].strip()) == 48
    with script(directory, RUNBUS_COMMAND="false") as process:
        assert process.wait() == 1
    assert {path.name: path.read_text() for path in directory.iterdir()} == before


def test_a_server_that_has_mounted_its_users_sees_the_new_ones(tmp_path: Path) -> None:
    """The file stays the same one, with its mode, and at no moment lets everybody in."""
    users, mounted = tmp_path / "users.acl", tmp_path / "mounted"
    users.write_text("user default off\n" + "user of a former version\n" * 9_000)
    users.chmod(0o640)
    mounted.hardlink_to(users)
    seen: set[str] = set()
    with script(tmp_path) as process:
        while process.poll() is None:
            seen.add(mounted.read_text())
    assert process.returncode == 0
    assert all(text.startswith("user default off\n") for text in seen)
    assert mounted.read_text() == users.read_text()
    assert [line.split()[1] for line in users.read_text().splitlines()] == [
        *("default", "admin"),
        *acl.USERS,
    ]
    assert users.stat().st_mode & 0o777 == 0o640


def test_a_password_may_have_any_characters(tmp_path: Path) -> None:
    """It comes out of the program's URL as it is in the file, whose last line may lack its end."""
    password = """ #/@%"'\\:é?& """
    lines = [f"{name}:{password}{name}:" for name in ("admin", *acl.USERS)]
    (tmp_path / "passwords").write_text("\n".join(lines))
    urls = make_secrets(tmp_path, "valkey:6379/0", "redis")
    found = {name: parse_url(url) for name, url in urls.items()}
    assert found == {
        name: {"username": name, "password": f"{password}{name}:", "host": "valkey"}
        | {"port": 6379, "db": 0}
        for name in acl.USERS
    }
    assert acl.digest(f"{password}worker:") in (tmp_path / "users.acl").read_text()


def conf_for(engine: Engine, directory: Path) -> Path:
    """The file as it is, but for a directory of this machine.

    The wheel's Valkey is built without TLS, and does not take the lines about it.
    """
    text = (DEPLOY / "redis.conf").read_text().replace("dir /data", f"dir {directory}")
    lines = [line for line in text.splitlines() if engine == "redis" or line[:4] != "tls-"]
    path = directory / "redis.conf"
    path.write_text("\n".join(lines))
    return path


def options_of(engine: Engine, directory: Path, port: int) -> tuple[str, ...]:
    """What a test sets instead: places on this machine, and its port."""
    users = str(directory / "secrets" / "users.acl")
    bus = ("--include", str(conf_for(engine, directory)), "--bind", "127.0.0.1")
    bus += ("--aclfile", users)
    if engine == "valkey":
        return (*bus, "--port", str(port))
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    issued.cert_chain_pems[0].write_to_path(str(directory / "server.crt"))
    issued.private_key_pem.write_to_path(str(directory / "server.key"))
    tls = [f"--tls-{name}-file" for name in ("cert", "key", "ca-cert")]
    files = [str(directory / name) for name in ("server.crt", "server.key", "ca.crt")]
    pairs = [part for pair in zip(tls, files, strict=True) for part in pair]
    return (*bus, *pairs, "--tls-port", str(port))


@pytest.mark.parametrize("engine", ["valkey", "redis"], ids=["valkey", "redis7"])
async def test_a_server_with_these_files_serves(
    engine: Engine, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """The example worker's run is started, answered and completed, each by its own user.

    On Redis 7.0 over TLS.
    """
    port = secrets.choice(_PORTS)
    scheme = "redis" if engine == "valkey" else "rediss"
    query = "" if engine == "valkey" else f"?ssl_ca_certs={tmp_path / 'ca.crt'}"
    urls = make_secrets(tmp_path / "secrets", f"localhost:{port}/0{query}", scheme)
    with start_server(engine, *options_of(engine, tmp_path, port)) as server:
        with example_worker(tmp_path / "secrets"), temporary_settings(url=urls["web"]):
            await until_served("deploy-release/production")
            run = await run_deployment("deploy-release/production", {"version": "1.0"}, timeout=0)
            while not await get_client().count_waiting():
                await asyncio.sleep(0.02)
            await resume_flow_run(run.id, {"approve": True}, by="ada")
            ended = await wait_for_flow_run(run.id, timeout=30)
            assert ended.state.result() == "deployed"
        nobody = f"{scheme}://localhost:{port}/0{query}"
        with temporary_settings(url=nobody), pytest.raises(ServerRefused):
            await get_client().read_flow_runs()
        check_server(server, tmp_path / "secrets" / "passwords")


@contextmanager
def example_worker(made: Path) -> Iterator[None]:
    """Run `flows.py` with its own settings file; it ends the orderly way."""
    environment = {**os.environ, "RUNBUS_CONFIG": str(made / "worker.toml")}
    command = [sys.executable, str(DEPLOY / "flows.py")]
    with subprocess.Popen(command, env=environment) as process:
        yield
        process.terminate()
        assert process.wait() == 0


async def until_served(name: str) -> None:
    """Wait until a deployment can be started."""
    while name not in [each.name for each in await get_client().read_deployments()]:
        await asyncio.sleep(0.02)


def check_server(server: Server, passwords: Path) -> None:
    """What must not be lost on the way: nothing is evicted, everything is written down."""
    known = dict(line.split(":", 1) for line in passwords.read_text().splitlines() if line)
    with Redis(
        unix_socket_path=str(server.socket_path),
        username="admin",
        password=known["admin"],
        decode_responses=True,
    ) as admin:
        found = admin.config_get("*")
        assert found["maxmemory-policy"] == "noeviction"
        assert found["appendonly"] == "yes"
        assert found["appendfsync"] == "everysec"
        assert found["enable-debug-command"] == "no"
        assert int(found["maxmemory"]) > 0
        assert "default" in {line.split()[1] for line in admin.acl_list() if " off " in line}
        if server.engine == "redis":
            assert found["port"] == "0"


@pytest.mark.parametrize("engine", ["valkey", "redis"], ids=["valkey", "redis7"])
def test_a_backup_is_brought_back(
    engine: Engine, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """As the runbook says: a snapshot, an empty directory, once without the append-only file.

    That file is written slowly, and the server ends once it tells what the runbook waits for.
    """
    saved, written = told_when_done("rdb"), told_when_done("aof")
    with start_server(engine) as server, server.client() as client:
        client.xadd("stream", {"value": "1"})
        client.bgsave()
        until(lambda: saved.items() <= client.info("persistence").items())
        shutil.copy(server.directory / "dump.rdb", tmp_path)
    fresh = ("--dir", str(tmp_path))
    slow = (*fresh, "--appendonly", "no", "--rdb-key-save-delay", "200000")
    with start_server(engine, *slow) as server, server.client() as client:
        assert client.xlen("stream") == 1
        client.config_set("appendonly", "yes")
        until(lambda: written.items() <= client.info("persistence").items())
    with start_server(engine, *fresh) as server, server.client() as client:
        assert client.xlen("stream") == 1


def told_when_done(file: str) -> dict[str, int | str]:
    """What the runbook waits for in `INFO persistence`, of one of the two files."""
    section = (DEPLOY / "README.md").read_text().partition("## Back up")[2]
    found = re.findall(rf"`({file}_\w+):(\w+)`", section)
    return {name: int(value) if value.isdecimal() else value for name, value in found}


def until(found: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not found():
        time.sleep(0.01)
