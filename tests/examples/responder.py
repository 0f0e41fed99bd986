"""A run that answers whoever writes to it, and one that asks it; here both in one process.

Try: run it. A sync flow works the same, without `await`.
"""

import asyncio
from uuid import UUID

from runbus import RunInput, flow, get_run_context, receive_input


class Sum(RunInput):
    numbers: list[int]


@flow
async def calculator(ready: asyncio.Future[UUID]) -> None:
    ready.set_result(get_run_context().flow_run.id)
    async for task in Sum.receive(timeout=60):
        if not task.numbers:
            return
        await task.respond(sum(task.numbers))


@flow
async def pupil(teacher: UUID) -> list[int]:
    answers = receive_input(int, timeout=60)
    learnt: list[int] = []
    for numbers in ([1, 2], [3, 4, 5]):
        await Sum(numbers=numbers).send_to(teacher)
        learnt.append(await answers.next())
    await Sum(numbers=[]).send_to(teacher)
    return learnt


async def main() -> None:
    ready: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()
    calculating = asyncio.create_task(calculator(ready))
    print(await pupil(await ready))
    await calculating


if __name__ == "__main__":
    asyncio.run(main())
