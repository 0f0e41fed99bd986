"""Memory: flat after warm-up, however many inputs go through a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.memory import SLACK_BYTES, growth, measure

if TYPE_CHECKING:
    from servers import Server


def test_a_hundred_thousand_inputs(valkey: Server) -> None:
    """The short form; `python -m tests.chaos` sends a million."""
    samples = measure(valkey.url, 100_000)
    assert growth(samples) < SLACK_BYTES, samples


def test_growth_is_found() -> None:
    """A process that keeps a hundred bytes of each of a million inputs is not flat."""
    flat = [50_000_000 + 10_000 * (number % 3) for number in range(20)]
    leaking = [50_000_000 + 5_000_000 * number for number in range(20)]
    assert growth(flat) < SLACK_BYTES < growth(leaking)
