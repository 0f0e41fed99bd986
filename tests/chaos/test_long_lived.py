"""The short form of storms over long-lived workers; `python -m tests.chaos` goes on."""

from __future__ import annotations

import asyncio

import pytest

from chaos.long_lived import LongLivedStorm
from chaos.worlds import LONG_LIVED

STORMS = {
    "long outages, valkey": (1, 20),
    "long outages, redis": (2, 20),
    "lost promotions, valkey": (2, 20),
    "away in part, valkey": (2, 20),
}
"""World → seed, and seconds of faults."""


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", STORMS)
def test_a_storm_over_long_lived_workers(name: str) -> None:
    """Each run ends once, no place, duty or lease is lost, and all is as quick as before."""
    seed, seconds = STORMS[name]
    with LONG_LIVED[name]() as world:
        storm = LongLivedStorm(world, seed, seconds)
        verdict = asyncio.run(storm.rage())
    print(name, storm.figures)
    shown = "\n".join(verdict.violations)
    assert verdict.is_good, f"{storm.faults_made}:\n{shown}"
