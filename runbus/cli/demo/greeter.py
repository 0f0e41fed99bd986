"""The greeter: a served flow that greets whoever sends it a name."""

from __future__ import annotations

from runbus import flow, receive_input

EXIT_SIGNAL = "__EXIT__"


@flow
async def greeter() -> int:
    """Greet each name, until the exit signal comes; return how many there were."""
    greeted = 0
    async for name in receive_input(str, timeout=None, with_metadata=True):
        if name.value == EXIT_SIGNAL:
            break
        await name.respond(f"Hello, {name.value}!")
        greeted += 1
    return greeted
