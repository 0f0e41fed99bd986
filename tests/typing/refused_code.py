"""What a type checker refuses in what users write. This file is checked and never run.

Each line says so, and a checker that accepts one reports that comment as not needed.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from uuid import uuid4

from pydantic import BaseModel

from runbus import flow, get_run_context, pause_flow_run, receive_input, send_input


class Order(BaseModel):
    number: int


@flow
async def awaits_a_value() -> None:
    """A plain spelling is its value, which is awaited only where it is a class of runbus."""
    await pause_flow_run(bool)  # type: ignore[misc]
    await pause_flow_run(Order)  # type: ignore[misc]
    await receive_input(int).next()  # type: ignore[misc]


@flow
def takes_another_type() -> str:
    """An answer has the type that was asked for."""
    text: str = pause_flow_run(int)  # type: ignore[assignment]
    return text if pause_flow_run(bool) else pause_flow_run(int)  # type: ignore[return-value]


@flow
def reaches_inside() -> None:
    """A receipt and a run's context show what a user may touch."""
    send_input(1, uuid4()).settle("1-0", None, duplicate=False)  # type: ignore[attr-defined]
    get_run_context().end(KeyboardInterrupt())  # type: ignore[attr-defined]
