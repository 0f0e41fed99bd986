"""Indexes that somebody has deleted: what workers heal by themselves, and what the doctor heals."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from owners import claimed, created, ended

from runbus import get_client
from runbus.protocol.keys import TAGS, tag
from runbus.store.bus import current_bus
from runbus.store.maintenance import index_repair
from runbus.store.maintenance.index_repair import TAGS_AT_ONCE, IndexRepair
from runbus.store.records import runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Server

PREFIXES = ["runbus", "we*rd", "[a-z]?", "back\\slash^"]


async def round_of_repair() -> int:
    """What a worker puts right while it goes through all tags."""
    repair = IndexRepair(current_bus())
    return sum([await repair.step() for _ in range(len(TAGS) // TAGS_AT_ONCE)])


async def indexes_check() -> tuple[bool | None, str]:
    (check,) = [
        each for each in (await get_client().server_report()).checks if each.name == "indexes"
    ]
    return check.ok, check.found


async def test_a_lost_index_of_a_deployment_is_healed_by_workers(server: Server) -> None:
    """The runs that wait for a worker are found again, once."""
    bus, run_id = current_bus(), uuid4()
    await created(run_id, {"flow": "f", "deployment": "f/x"})
    await bus.commands.command("DEL", bus.keys.scheduled(tag(run_id), "f/x"))
    assert await runs.scheduled(bus, ["f/x"], 20) == []
    one = "(runs looked at: 1, all there are)"
    assert await indexes_check() == (False, f"wrong entries: 1 {one}")
    assert await runs.scheduled(bus, ["f/x"], 20) == [], "the doctor changes nothing"
    assert await round_of_repair() == 1
    assert await runs.scheduled(bus, ["f/x"], 20) == [(run_id, "f/x")]
    assert await round_of_repair() == 0
    assert await indexes_check() == (True, f"wrong entries: 0 {one}")
    await runs.move(bus, await runs.read(bus, run_id), "Cancelled")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_all_lost_indexes_are_healed_by_the_doctor(
    server: Server, configure: Callable[..., None], prefix: str
) -> None:
    """Whatever the prefix of the keys is; no other prefix's runs are touched."""
    other = uuid4()
    configure(prefix="a" if prefix != "runbus" else "other")
    there = current_bus()
    await created(other, {"flow": "f", "deployment": "f/x"})
    await there.commands.command("DEL", there.keys.active(tag(other)))
    configure(prefix=prefix)
    bus, waiting, executed = current_bus(), uuid4(), uuid4()
    for run_id in (waiting, executed):
        await created(run_id, {"flow": "f", "deployment": "f/x"})
    run = await claimed(executed, "one")
    assert run is not None
    for run_id in (waiting, executed):
        of_tag = tag(run_id)
        lost = (bus.keys.runs(of_tag), bus.keys.active(of_tag), bus.keys.executing(of_tag))
        await bus.commands.command("DEL", *lost, bus.keys.scheduled(of_tag, "f/x"))
    assert await get_client().read_flow_runs() == []
    assert await round_of_repair() == 0, "who stands in no index is not found so"
    two = "(runs looked at: 2, all there are)"
    assert await indexes_check() == (False, f"wrong entries: 6 {two}")
    assert await index_repair.repair_all(bus) == 6
    assert await index_repair.repair_all(bus) == 0
    assert {each.id for each in await get_client().read_flow_runs()} == {waiting, executed}
    assert await runs.scheduled(bus, ["f/x"], 20) == [(waiting, "f/x")]
    assert await ended(run, "Completed") == ("ENDED", "Completed")
    assert await claimed(waiting, "one")
    assert await there.commands.command("EXISTS", there.keys.active(tag(other))) == 0
    await runs.move(bus, await runs.read(bus, waiting), "Crashed")
    await index_repair.repair_all(there)
    await runs.move(there, await runs.read(there, other), "Cancelled")
