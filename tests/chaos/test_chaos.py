"""The short form: a storm in each world, with a seed that is known to make a good mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos import worlds
from chaos.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.worlds import World

STORMS: dict[str, tuple[Callable[[], World], int, float]] = {
    "bad connections": (lambda: worlds.BadConnections("valkey"), 1, 8),
    "bad server": (lambda: worlds.BadServer("redis", fsync="always"), 1, 8),
    "full server": (lambda: worlds.FullServer("valkey", fsync="everysec"), 1, 4),
}


@pytest.mark.parametrize("name", STORMS)
async def test_a_storm(name: str) -> None:
    """Nothing is lost, doubled, out of order or late, whatever goes wrong."""
    make, seed, seconds = STORMS[name]
    with make() as world:
        storm = Storm(world, seed, seconds)
        verdict = await storm.rage()
    print(name, storm.faults_made, verdict)
    assert verdict.is_good, f"{storm.faults_made}: {verdict}"
