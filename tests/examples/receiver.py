"""A run that receives while it runs, without pausing: models of one type, numbers of another.

Try: run it, and with the id that it prints send it what you like; it ends after three seconds
without a reading:

    python -c "from runbus import send_input; send_input(21.5, '<id>')"
"""

import asyncio

from runbus import RunInput, flow, get_run_context, receive_input


class Alarm(RunInput):
    text: str


async def watch_alarms() -> None:
    async for alarm in Alarm.receive(timeout=None):
        print(f"Alarm: {alarm.text}", flush=True)


@flow
async def thermometer() -> float:
    print(get_run_context().flow_run.id, flush=True)
    alarms = asyncio.create_task(watch_alarms())
    highest = float("-inf")
    async for degrees in receive_input(float, timeout=3, raise_timeout_error=False):
        highest = max(highest, degrees)
        print(f"{degrees} °C", flush=True)
    alarms.cancel()
    print(f"{highest} °C at most")
    return highest


if __name__ == "__main__":
    asyncio.run(thermometer())
