"""A pause that asks for one value of a built-in type.

Try: run it, and answer from another terminal, as the line says that it prints. A program answers
with `resume_flow_run(id, {"value": "Ada"})`.
"""

import asyncio

from runbus import flow, pause_flow_run


@flow
async def welcome() -> str:
    name = await pause_flow_run(wait_for_input=str, timeout=300)
    print(f"Welcome, {name}!")
    return name


if __name__ == "__main__":
    asyncio.run(welcome())
