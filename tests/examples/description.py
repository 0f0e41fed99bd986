"""A Markdown description above the form, made when the flow knows what to say.

Try: run it; `pause.description` of `await get_client().read_pause(id)` is what a person is shown.
Answer with `{"amount": 42.5}`.
"""

import asyncio
from datetime import date

from runbus import RunInput, flow, pause_flow_run


class Payment(RunInput):
    amount: float


@flow
async def pay(customer: str, open_bills: list[float]) -> None:
    total = sum(open_bills)
    lines = [
        f"## {customer} has {len(open_bills)} open bills",
        *(f"- {bill:.2f}" for bill in sorted(open_bills)),
        f"\nHow much of **{total:.2f}** was paid until {date.today():%d %B}?",
    ]
    form = Payment.with_initial_data(description="\n".join(lines), amount=total)
    payment = await pause_flow_run(wait_for_input=form, timeout=300)
    print(f"{customer} still owes {total - payment.amount:.2f}")


if __name__ == "__main__":
    asyncio.run(pay("Grace", [20.0, 130.5]))
