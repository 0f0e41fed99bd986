"""Where the data is: one server, the primary that Sentinel names, or a cluster of primaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.store.topology.cluster import Cluster
from runbus.store.topology.sentinel import SentinelServer
from runbus.store.topology.server import EmbeddedServer, RemoteServer
from runbus.store.topology.single import Single
from runbus.store.topology.urls import parse

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings

Topology = Single | Cluster


def topology_for(settings: Settings, keys: Keys) -> Topology:
    """Return what the settings' URL names; without a URL, the embedded server."""
    if settings.url is None:
        return Single(EmbeddedServer(settings), keys, settings)
    url = settings.url.get_secret_value()
    several = parse(url)
    if several is None:
        server = RemoteServer(url, settings, has_all=True)
        server.check_files()
        return Single(server, keys, settings)
    if several.kind == "sentinel":
        server = SentinelServer(several, settings)
        return Single(server, keys, settings, server.follow)
    return Cluster(several, keys, settings)
