"""The flows of long-lived workers: each execution writes down when its body begins and ends.

What is written down goes to a file: around runbus, and around the server that things go wrong with.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runbus import (
    RunInput,
    flow,
    get_run_context,
    pause_flow_run,
    receive_input,
    run_deployment,
    serve,
    suspend_flow_run,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from chaos.history import Recorder

KINDS = (
    *("ask", "sync-ask", "ask-later", "converse", "call-child", "start-child"),
    *("doze", "sync-doze", "stumble"),
)
"""The flows that a storm starts runs of."""
_recorder: Recorder
_worker = ""


class Answer(RunInput):
    """What a pause takes: an answer to it and to no other."""

    answer: str


class Question(RunInput):
    """What a conversation takes."""

    text: str


class Reply(RunInput):
    """What a conversation gives."""

    text: str


@contextmanager
def _body() -> Generator[dict[str, str]]:
    context = get_run_context()
    run: dict[str, Any] = {"run": str(context.run_id), "epoch": context.epoch, "process": _worker}
    _recorder.note("executing", **run)
    try:
        yield run
    except BaseException as error:
        _recorder.note("executed", how=type(error).__name__, **run)
        raise
    _recorder.note("executed", how="returned", **run)


def _note_answer(run: dict[str, str], key: str, began: float, answer: Answer) -> None:
    _recorder.note("step", began=began, **run)
    _recorder.note("resumed", pause=f"{run['run']} {key}", answer=answer.answer, **run)


@flow
async def ask() -> str:
    """Pause twice."""
    with _body() as run:
        for key in ("first", "second"):
            began = time.monotonic()
            answer = await pause_flow_run(Answer, timeout=None, key=key)
            _note_answer(run, key, began, answer)
        return run["epoch"]


@flow
def sync_ask() -> str:
    with _body() as run:
        began = time.monotonic()
        _note_answer(run, "only", began, pause_flow_run(Answer, timeout=None, key="only"))
        return run["epoch"]


@flow
async def ask_later() -> str:
    """Leave the process until an answer comes."""
    with _body() as run:
        began = time.monotonic()
        answer = await suspend_flow_run(Answer, timeout=None, key="later")
        _note_answer(run, "later", began, answer)
        return run["epoch"]


@flow
async def converse() -> str:
    """Receive, and respond, until told to end."""
    with _body() as run:
        async for question in receive_input(Question, timeout=None):
            await question.respond(Reply(text=question.text), key_prefix=run["epoch"])
            if question.text == "end":
                break
        return run["epoch"]


@flow
async def ask_in_child() -> str:
    with _body() as run:
        began = time.monotonic()
        answer = await pause_flow_run(Answer, timeout=None, key="child")
        _note_answer(run, "child", began, answer)
        return run["epoch"]


@flow
async def call_child() -> str:
    with _body() as run:
        await ask_in_child()
        return run["epoch"]


@flow
async def start_child(seconds: float) -> str:
    with _body() as run:
        child = await run_deployment("doze/x", {"seconds": seconds})
        child.state.result()
        return run["epoch"]


@flow
async def doze(seconds: float) -> str:
    """Execute for a while, without a verb."""
    with _body() as run:
        await asyncio.sleep(seconds)
        return run["epoch"]


@flow
def sync_doze(seconds: float) -> str:
    with _body() as run:
        time.sleep(seconds)
        return run["epoch"]


@flow(retries=1, retry_delay_seconds=0.5)
async def stumble(seconds: float) -> str:
    """Fail once, and be called again."""
    with _body() as run:
        await asyncio.sleep(seconds)
        if get_run_context().flow_run.retry == 0:
            raise ValueError("on purpose")
        return run["epoch"]


@flow
async def fresh() -> str:
    """Begin, and nothing else: to see how soon."""
    with _body() as run:
        return run["epoch"]


def serve_all(recorder: Recorder, name: str, limit: int) -> None:
    """Serve all of them, and `fresh` under a name of this worker's own, until SIGTERM."""
    global _recorder, _worker
    _recorder, _worker = recorder, name
    shared = (
        *(ask, sync_ask, ask_later, converse, call_child, start_child),
        *(doze, sync_doze, stumble),
    )
    own = fresh.to_deployment(name.partition(".")[0])
    serve(*(each.to_deployment("x") for each in shared), own, limit=limit)
