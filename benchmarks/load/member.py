"""A child process of the load test, with its share of the senders or of the receivers.

Requests: `["runs", ids]` tells the ids of the runs and answers those of its own, once it is ready;
`["start", moment]` (`time.monotonic_ns`); `["progress"]`; `["finish"]` answers all that it saw.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
from typing import TYPE_CHECKING, Any

from benchmarks import child
from benchmarks.load.plan import Plan
from benchmarks.load.receivers import Receivers
from benchmarks.load.senders import Senders
from benchmarks.load.tally import Tally
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


async def _receive(receivers: Receivers, tally: Tally) -> None:
    async for request in child.requests():
        match request:
            case ["runs", ids]:
                await receivers.begin(_by_number(ids))
                child.reply(receivers.ids)
            case ["start", moment]:
                tally.start = moment
                child.reply("started")
            case ["finish"]:
                child.reply({"got": await receivers.finish(), "tally": tally.encode()})
            case _:
                raise ValueError(request)
    if receivers.tasks:
        await child.cancel(receivers.tasks)


async def _send(senders: Senders, tally: Tally) -> None:
    sending: asyncio.Task[None] | None = None
    async for request in child.requests():
        match request:
            case ["runs", ids]:
                await senders.prepare(_by_number(ids))
                child.reply(senders.inboxes)
            case ["start", moment]:
                tally.start = moment
                sending = asyncio.ensure_future(senders.send())
                child.reply("started")
            case ["progress"] if sending is not None:
                child.reply([senders.done, tally.longest, not sending.done()])
            case ["finish"] if sending is not None:
                await sending
                child.reply({**await senders.finish(), "tally": tally.encode()})
            case _:
                raise ValueError(request)


def _by_number(ids: Mapping[str, str]) -> dict[int, str]:
    return {int(run): text for run, text in ids.items()}


def _main(given: Mapping[str, Any]) -> None:
    plan, part = Plan(**given["plan"]), given["part"]
    tally = Tally(plan.interval)
    # Other selectors wake up to a millisecond late, which would count as the server's.
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        if given["role"] == "receiver":
            runner.run(_receive(Receivers(plan, part, tally), tally))
        else:
            runner.run(_send(Senders(plan, part, tally), tally))


if __name__ == "__main__":
    arguments = child.arguments()
    logging.getLogger("runbus").addHandler(logging.NullHandler())  # no line for each run
    with temporary_settings(url=arguments["url"], prefix=arguments["prefix"]):
        _main(arguments)
