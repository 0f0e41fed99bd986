"""The supervisor: whatever a duty fails with, it begins again; only the end of all ends it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from runbus.supervision.duty import Duty, alive
from runbus.supervision.supervisor import Supervisor


class Fails:
    """Fails with each of some errors in turn; then all is well."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.is_well = asyncio.Event()

    async def work(self, duty: Duty) -> None:
        if self.errors:
            raise self.errors.pop(0)
        duty.beat()
        self.is_well.set()
        await asyncio.Event().wait()


async def until_well(fails: Fails) -> None:
    async with asyncio.timeout(10):
        await fails.is_well.wait()


@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("gone"), asyncio.CancelledError()], ids=repr
)
async def test_a_duty_that_fails_begins_again(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named with its error, and known as long as it is not well."""
    fails = Fails(error)
    duty = Duty("watch", fails.work, interval=1)
    async with Supervisor() as supervisor:
        supervisor.start(duty)
        await until_well(fails)
        assert (duty.failures, duty.error, duty in alive()) == (1, None, True)
    assert "watch failed and begins again" in caplog.text
    assert duty not in alive()


async def test_one_that_fails_ends_no_other() -> None:
    """Nor does it fail whoever supervises it."""
    fails, other = Fails(*(ValueError(str(number)) for number in range(3))), Fails()
    async with Supervisor() as supervisor:
        supervisor.start(Duty("fails", fails.work, interval=1))
        supervisor.start(Duty("other", other.work, interval=1))
        await until_well(fails)
        assert other.is_well.is_set()


async def test_the_same_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """An outage fills no log."""
    from runbus.errors import ServerUnreachable

    caplog.set_level(logging.WARNING, "runbus")
    away = [
        ServerUnreachable(address="here", seconds=1, cause=ConnectionError("away"))
        for _ in range(3)
    ]
    fails = Fails(*away)
    async with Supervisor() as supervisor:
        supervisor.start(Duty("hints", fails.work, interval=1))
        await until_well(fails)
    assert caplog.text.count("hints failed and begins again") == 1


async def test_whoever_is_cancelled_ends_all() -> None:
    """As at the end of a loop, which cancels each of its tasks."""
    fails = Fails()
    duty = Duty("watch", fails.work, interval=1)

    async def supervise() -> None:
        async with Supervisor() as supervisor:
            supervisor.start(duty)
            await asyncio.Event().wait()

    supervising = asyncio.create_task(supervise())
    await until_well(fails)
    supervising.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervising
    assert duty not in alive()
