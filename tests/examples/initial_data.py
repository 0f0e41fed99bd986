"""A form that is filled in beforehand: only what is different has to be answered.

Try: run it, and answer with `{}`, which takes the form as it is, or with `{"days": 3}`.
"""

import asyncio

from runbus import RunInput, flow, pause_flow_run


class Trip(RunInput):
    city: str
    days: int


@flow
async def plan(city: str = "Ghent") -> None:
    trip = await pause_flow_run(Trip.with_initial_data(city=city, days=2), timeout=300)
    print(f"{trip.days} days in {trip.city}")


if __name__ == "__main__":
    asyncio.run(plan())
