"""The key trackings of one event loop: one for each node, made when somebody first waits there.

When keys have moved to another node, the streams of those who wait go over to its tracking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runbus.store.receiving.tracking import KeyTracking

if TYPE_CHECKING:
    from runbus.errors import RunbusError
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.topology import Topology
    from runbus.store.topology.node import Node


class NodeTrackings:
    """Finds the tracking of a key."""

    def __init__(self, topology: Topology, keys: Keys, settings: Settings) -> None:
        self._topology = topology
        self._keys = keys
        self._settings = settings
        # A server that has left its cluster takes its tracking along.
        self._of_node: WeakKeyDictionary[Node, KeyTracking] = WeakKeyDictionary()
        topology.observe(self)

    def of(self, key: str | bytes) -> KeyTracking:
        """Return the tracking of a key, at the node that has it at this moment."""
        node = self._topology.owner(key)
        tracking = self._of_node.get(node)
        if tracking is None:
            tracking = self._of_node[node] = KeyTracking(
                node.server, self._keys, self._settings, self._topology.note_redirect
            )
            node.attach(*tracking.connections())
        return tracking

    def on_moved(self) -> None:
        """Take the listeners whose keys have moved along to where these are now."""
        for tracking in list(self._of_node.values()):
            for listener in tracking.listeners():
                owner = self.of(listener.key)
                if owner is not tracking:
                    listener.move(owner)

    def on_refused(self, error: RunbusError) -> None:
        """Raise an error in whoever waits."""
        for tracking in list(self._of_node.values()):
            tracking.fail(error)
