"""The short form: storms whose seeds make a good mix of faults. `python -m tests.chaos` goes on."""

from __future__ import annotations

import asyncio

import clocks
import pytest

from chaos import worlds
from chaos.storm import Storm

STORMS = {
    "bad connections, valkey": (1, 10),
    "bad server, redis": (1, 7),
    "full server, valkey": (3, 3),
    "jumping clock": (4, 2),
    "cluster, valkey": (1, 4),
    "sentinel, valkey": (1, 3),
}
"""World → seed, and seconds of faults."""


@pytest.mark.long
@pytest.mark.parametrize("name", STORMS)
def test_a_storm(name: str) -> None:
    """Nothing is lost, doubled, out of order or late, whatever goes wrong."""
    if name == "jumping clock" and clocks.LIBFAKETIME is None:
        pytest.skip("libfaketime is not installed")
    seed, seconds = STORMS[name]
    with worlds.WORLDS[name]() as world:
        storm = Storm(world, seed, seconds)
        verdict = asyncio.run(storm.rage())
    print(name, storm.faults_made, verdict)
    assert verdict.is_good, f"{storm.faults_made}: {verdict}"
