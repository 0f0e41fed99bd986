"""The flows that the worker of `test_acl.py` serves."""

from __future__ import annotations

from uuid import UUID

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    get_run_logger,
    pause_flow_run,
    receive_input,
    run_deployment,
    send_input,
    serve,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.blocks.system import JSON
from runbus.context import get_run_context
from runbus.variables import Variable


@flow
async def everything(words: list[str]) -> list[object]:
    get_run_logger().info("%s begins", words)
    number = await pause_flow_run(int)
    heard = await receive_input(str, timeout=20).next()
    me = str(get_run_context().run_id)
    await run_deployment("speak/x", {"words": [me]})
    from_child = await receive_input(str, key_prefix="child", timeout=20).next()
    sure = await suspend_flow_run(bool)
    other = await run_deployment("wait/x", {"words": []}, timeout=0)
    await cancel_flow_run(other.id)
    await wait_for_flow_run(other.id, timeout=20)
    assert await get_client().read_flow_runs(state="Cancelled")
    await JSON(value=["kept"]).save("settings", overwrite=True)
    await Variable.set("last", (await JSON.load("settings")).value[0], overwrite=True)
    return [number, heard, from_child, sure, await Variable.get("last")]


@flow
async def speak(words: list[str]) -> None:
    await send_input("from the child", UUID(words[0]), key_prefix="child", key="child")


@flow
async def wait(words: list[str]) -> None:
    get_run_logger().info("it waits")
    await pause_flow_run(str, timeout=60)


if __name__ == "__main__":
    serve(*(each.to_deployment("x") for each in (everything, speak, wait)))
