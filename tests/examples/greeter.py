"""A served flow that greets whoever writes, and leaves its process when nobody does.

Try: run it, and `sender.py` in another terminal. Say nothing for five seconds, and the run is
suspended; resumed, it goes on after the names that it has greeted, whose keys it keeps in a block.
(It suspends once: a second `suspend_flow_run` with the same key, by default its number, finds the
answer of the first, and the run ends.)
"""

from runbus import flow, get_run_context, get_run_logger, receive_input, suspend_flow_run
from runbus.blocks.system import JSON

EXIT_SIGNAL = "__EXIT__"


@flow
async def greeter(idle_seconds: float = 5) -> int:
    greeted_block = f"greeted-{get_run_context().flow_run.id}"
    try:
        greeted = await JSON.load(greeted_block)
    except ValueError:
        greeted = JSON(value=[])

    names = receive_input(str, timeout=idle_seconds, with_metadata=True, exclude_keys=greeted.value)
    try:
        async for name in names:
            if name.value == EXIT_SIGNAL:
                break
            await name.respond(f"Hello, {name.value}!")
            greeted.value.append(name.metadata.key)
            await greeted.save(name=greeted_block, overwrite=True)
    except TimeoutError:
        get_run_logger().info("nobody writes")
        await suspend_flow_run()
    return len(greeted.value)


if __name__ == "__main__":
    greeter.serve(name="hall")
