"""Tasks that nobody awaits: kept, ended with what they stand beside, and never failing unseen."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from runbus.supervision.tasks import Tasks, started

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def wait_and_note(event: asyncio.Event, noted: list[str]) -> None:
    try:
        await event.wait()
        noted.append("done")
    except asyncio.CancelledError:
        noted.append("cancelled")
        raise


async def test_what_is_kept_outlives_a_collection() -> None:
    """Nobody else refers to it, and what it waits for refers to nothing that is alive."""
    kept, noted, event = Tasks(), list[str](), asyncio.Event()
    kept.start(wait_and_note(event, noted))
    await asyncio.sleep(0)
    gc.collect()
    assert len(kept) == 1
    event.set()
    await asyncio.sleep(0.01)
    assert (len(kept), noted) == (0, ["done"])


async def test_an_error_is_logged_when_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    kept = Tasks()
    kept.start(fail())
    await asyncio.sleep(0.01)
    assert len(kept) == 0
    assert "ZeroDivisionError" in caplog.text
    assert "fail" in caplog.text


async def test_what_is_cancelled_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    kept, noted = Tasks(), list[str]()
    kept.start(wait_and_note(asyncio.Event(), noted))
    await asyncio.sleep(0)
    kept.cancel()
    await asyncio.sleep(0.01)
    assert (len(kept), noted, caplog.text) == (0, ["cancelled"], "")


@pytest.mark.parametrize("error", [None, KeyError, asyncio.CancelledError])
async def test_what_goes_on_beside_a_block_ends_with_it(error: type[BaseException] | None) -> None:
    """Also when the block fails or is cancelled."""
    noted: list[str] = []

    async def body() -> None:
        with started(wait_and_note(asyncio.Event(), noted), wait_and_note(asyncio.Event(), noted)):
            await asyncio.sleep(0)
            if error is not None:
                raise error

    await _passes(body(), error)
    await asyncio.sleep(0.01)
    assert noted == ["cancelled", "cancelled"]


async def _passes(work: Awaitable[None], error: type[BaseException] | None) -> None:
    if error is None:
        await work
        return
    with pytest.raises(error):
        await work
