"""The child process that answers what `conversations` asks, with runbus and with redis-py."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis as AsyncRedis

from benchmarks import child
from benchmarks.bench import plain_fields
from benchmarks.micro.conversations import Note, PlainReader
from runbus.settings import temporary_settings


async def _answer(flow_run_id: str) -> None:
    async for note in Note.receive(flow_run_id=flow_run_id, timeout=None):
        await note.respond(Note(text=note.text))


async def _answer_plainly(url: str, questions: str, answers: str) -> None:
    async with AsyncRedis.from_url(url) as client:
        reader = PlainReader(client, questions)
        while True:
            await client.xadd(answers, plain_fields(await reader.next()))


async def _main(url: str, flow_run_id: str, questions: str, answers: str) -> None:
    async with asyncio.TaskGroup() as group:  # one that fails ends the process, with its error
        work = _answer(flow_run_id), _answer_plainly(url, questions, answers)
        tasks = [group.create_task(each) for each in work]
        child.reply("ready")
        async for _ in child.requests():
            pass
        await child.cancel(tasks)


if __name__ == "__main__":
    given = child.arguments()
    with temporary_settings(url=given["url"], prefix=given.pop("prefix")):
        asyncio.run(_main(**given))
