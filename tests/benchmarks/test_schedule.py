"""The schedule: seeded, as fast as it is asked to be, and open."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from benchmarks.load.plan import Operation, Plan
from benchmarks.load.search import highest_rate
from benchmarks.load.senders import keep_to_schedule
from benchmarks.load.tally import Tally

PLAN = Plan(rate=1000, duration=20, warm_up=0, senders=10, runs=4, receivers=4)


def test_a_seed_makes_a_schedule() -> None:
    """The same one each time; other seeds and other senders have others."""
    first = [*PLAN.schedule(3)]
    assert first == [*PLAN.schedule(3)]
    assert first != [*replace(PLAN, seed=1).schedule(3)]
    assert first != [*PLAN.schedule(4)]


def test_all_senders_together_keep_the_rate() -> None:
    """Their operations are as many as rate and duration say, and in order, before the end."""
    schedules = [[each.due for each in PLAN.schedule(sender)] for sender in range(10)]
    assert sum(map(len, schedules)) == pytest.approx(20_000, rel=0.03)
    for dues in schedules:
        assert dues == sorted(dues)
        assert dues[-1] < 20


async def test_what_is_due_in_the_warm_up_is_not_timed() -> None:
    """It is done like what follows, at the same rate, and no latency of it counts."""
    plan = Plan(rate=400, duration=0.1, warm_up=0.2, senders=1)
    tally = Tally(plan.interval, time.monotonic_ns() + 200_000_000)
    done: list[float] = []

    async def operate(operation: Operation, due: int) -> str:
        done.append(operation.due)
        return "until done"

    assert await keep_to_schedule(plan, 0, tally, operate) == 0
    before = [due for due in done if due < 0]
    assert -0.2 < before[0] < -0.15
    assert len(before) > len(done) / 2
    for measure in ("until begun", "until done"):
        assert tally.total(measure).get_total_count() == len(done) - len(before) > 0


def test_a_paused_run_has_one_sender() -> None:
    """So that its answers have an order."""
    plan = replace(PLAN, mode="pause", senders=3)
    assert [[*plan.targets(sender)] for sender in range(3)] == [[0, 3], [1], [2]]


async def test_a_stall_is_seen_in_all_that_were_due_meanwhile() -> None:
    """Latencies count from the intended time: the sender who waited did not send less."""
    plan = Plan(rate=200, duration=0.5, warm_up=0, senders=1)
    tally = Tally(plan.interval, time.monotonic_ns())
    began: list[int] = []

    async def stall_once(operation: Operation, due: int) -> str:
        began.append(due)
        await asyncio.sleep(0.3 if len(began) == 1 else 0)
        return "until done"

    assert await keep_to_schedule(plan, 0, tally, stall_once) == 0
    dues = [each.due for each in plan.schedule(0)]
    stalled = [due for due in dues if due <= dues[0] + 0.25]
    assert len(stalled) > 30
    assert tally.total("until done").get_total_count() == len(dues) == len(began)
    # Each of these was due at least 50 ms before the stall was over.
    at = 100 * (1 - len(stalled) / len(dues)) + 1
    assert tally.total("until done").get_value_at_percentile(at) >= 50_000


async def test_what_has_not_begun_after_the_grace_is_missed() -> None:
    """A sender that cannot keep the rate ends, and says how many it left."""
    plan = Plan(rate=100, duration=0.5, warm_up=0, senders=1)
    tally = Tally(plan.interval, time.monotonic_ns() - int((plan.duration + plan.grace) * 1e9))

    async def never(operation: Operation, due: int) -> str:
        raise AssertionError(operation, due)

    missed = await keep_to_schedule(plan, 0, tally, never)
    assert missed == len([*plan.schedule(0)])
    assert tally.total("until begun").get_total_count() == missed


def test_histograms_of_processes_are_merged() -> None:
    """Two processes' latencies become one distribution; intervals stay apart."""
    now = time.monotonic_ns()
    one, other = Tally(1.0, now - 1_000_000), Tally(1.0, now - 2_000_000_000)
    one.record("until stored", now - 1_000_000)
    other.record("until stored", now - 900_000_000)
    other.merge(one.encode())
    total = other.total("until stored")
    assert total.get_total_count() == 2
    assert total.get_max_value() >= 900_000
    assert [*other.over_time("until stored")] == [0, 2]


@pytest.mark.parametrize("limit", [3, 170, 1000, 1001, 90_000])
def test_the_search_finds_the_highest_rate(limit: float) -> None:
    """Within a tenth, from below and from above."""
    found = highest_rate(1000, lambda rate: rate <= limit)
    assert found is not None
    assert limit / 1.1 <= found <= limit
    assert highest_rate(1000, lambda _: False) is None


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"receivers": 1}, "--receivers"),
        ({"mode": "roundtrip", "receivers": 40}, "--receivers"),
        ({"mode": "pause", "senders": 30}, "--senders"),
        ({"rate": 0}, "rate"),
        ({"warm_up": -1}, "warm_up"),
    ],
)
def test_a_plan_that_cannot_be_done_is_refused(options: dict[str, object], option: str) -> None:
    """It says which option is at fault."""
    with pytest.raises(ValueError, match=option):
        Plan(**options).check()  # pyright: ignore[reportArgumentType]
