"""The processes that take part: senders, receivers and workers, each with a history of its own.

`python parties.py <role> <directory> <name> <run id …>`; SIGTERM ends senders and workers in order.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import forked
from pydantic import Field

from chaos.history import Recorder
from runbus import (
    Replicated,
    RunInput,
    flow,
    get_run_context,
    pause_flow_run,
    receive_input,
    send_input,
    serve,
    suspend_flow_run,
)
from runbus.errors import RunbusError, SendRefused, ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

# All replicas of a sentinel group: one that still follows a primary which is none any more may
# vouch for what is thrown away when it turns to the new one.
LEVELS: dict[str, Any] = {"memory": "memory", "fsync": "fsync", "replicated": Replicated(2)}
LONGEST_BURST = 5
LONGEST_REST_SECONDS = 0.08


class Party:
    """One process; started again, it takes another name."""

    def __init__(
        self,
        role: str,
        directory: Path,
        name: str,
        runs: list[UUID],
        environment: Mapping[str, str],
    ) -> None:
        self.role = role
        self.name = name
        self._arguments = [str(directory), name, *map(str, runs)]
        self._environment = {**os.environ, **environment}
        self._log = (directory / f"{name}.log").open("a+b")
        self._process: forked.Process | None = None
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        directory, name, *runs = self._arguments
        words = [self.role, directory, f"{name}.{self._lives}", *runs]
        with Path(os.devnull).open() as nothing:
            streams = [nothing.fileno(), 1, self._log.fileno()]
            self._process = forked.script(
                Path(__file__), *words, streams=streams, environment=self._environment
            )

    @property
    def process_name(self) -> str:
        """What its present process is called in the history."""
        return f"{self.name}.{self._lives}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, seconds: float = 30) -> int | None:
        """Tell it to end, and return its exit code; None when it had to be killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def said(self) -> str:
        """What it has written to its terminal."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def failure(self) -> str:
        """What it said when it ended by itself; empty while it lives or when it was ended."""
        ended = (None, 0, -signal.SIGKILL, -signal.SIGTERM)  # the last one: before it had begun
        if self._process is None or self._process.poll() in ended:
            return ""
        return f"{self.role} ended by itself: {self.said()[-1500:]}"

    def close(self) -> None:
        self.kill()
        self._log.close()


# --- Senders -------------------------------------------------------------------------------------


async def send(recorder: Recorder, name: str, runs: list[UUID]) -> None:
    """Send to each run from two tasks, one with keys of its own, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    levels = os.environ["CHAOS_LEVELS"].split()
    async with asyncio.TaskGroup() as group:
        for number, run_id in enumerate(runs):
            for own_keys in (False, True):
                sender = f"{name}-{number}{'k' if own_keys else ''}"
                level = levels[(number + own_keys) % len(levels)]
                group.create_task(
                    _send(recorder, sender, run_id, level, own_keys=own_keys, stop=stop)
                )


async def _send(
    recorder: Recorder,
    sender: str,
    run_id: UUID,
    level: str,
    *,
    own_keys: bool,
    stop: asyncio.Event,
) -> None:
    numbers, rng = count(), random.Random(sender)
    while not stop.is_set():
        burst = []
        for number in (next(numbers) for _ in range(rng.randint(1, LONGEST_BURST))):
            name = f"{sender}-{number}"
            recorder.note(
                "sending",
                input=name,
                sender=sender,
                stream=str(run_id),
                number=number,
                durability=level,
            )
            key = name if own_keys else None
            burst.append(
                (name, send_input(name, run_id, sender, key=key, durability=LEVELS[level]))
            )
        for name, sent in burst:
            await _await(recorder, name, sent)
        await asyncio.sleep(rng.uniform(0, LONGEST_REST_SECONDS))


async def _await(recorder: Recorder, name: str, sent: Any) -> None:
    try:
        await sent
    except RunbusError as error:
        refused = isinstance(error, SendRefused) or (
            isinstance(error, ServerUnreachable) and not error.maybe_stored
        )
        stored = "no" if refused else "maybe"
        recorder.note("unsent", input=name, error=str(error), stored=stored)
    else:
        recorder.note("sent", input=name, entry=sent.entry_id)


# --- Receivers -----------------------------------------------------------------------------------


async def receive(recorder: Recorder, name: str, runs: list[UUID]) -> None:
    """Receive what comes for each run, for the first one in a thread too, until killed."""
    thread = threading.Thread(
        target=_receive_in_thread, args=(recorder, f"{name}-thread", runs[0]), daemon=True
    )
    thread.start()
    async with asyncio.TaskGroup() as group:
        for number, run_id in enumerate(runs):
            group.create_task(_receive(recorder, f"{name}-{number}", run_id))


async def _receive(recorder: Recorder, receiver: str, run_id: UUID) -> None:
    inbox = receive_input(str, flow_run_id=run_id, timeout=None, poll_interval=1)
    while True:
        try:
            value = await anext(inbox)
        except (ServerUnreachable, ServerRefused) as error:
            recorder.note("trouble", receiver=receiver, error=str(error))
            await asyncio.sleep(0.2)
        else:
            recorder.note("received", input=value, receiver=receiver, stream=str(run_id))


def _receive_in_thread(recorder: Recorder, receiver: str, run_id: UUID) -> None:
    inbox = receive_input(str, flow_run_id=run_id, timeout=None, poll_interval=1)
    while True:
        try:
            value = inbox.next()
        except (ServerUnreachable, ServerRefused) as error:
            recorder.note("trouble", receiver=receiver, error=str(error))
            time.sleep(0.2)
        else:
            recorder.note("received", input=value, receiver=receiver, stream=str(run_id))


# --- Workers -------------------------------------------------------------------------------------


class First(RunInput):
    """What the first pause takes: an answer to it and to no other."""

    answer: str = Field(pattern="^first-")


class Second(RunInput):
    """What the second pause takes."""

    answer: str = Field(pattern="^second-")


@flow
async def dialogue() -> list[str]:
    """Pause for one answer, suspend for another, and write down what came."""
    first = await _ask("first", pause_flow_run, First)
    second = await _ask("second", suspend_flow_run, Second)
    return [first, second]


async def _ask(key: str, verb: Any, model: type[First | Second]) -> str:
    context, began = get_run_context(), time.monotonic()
    answer = await verb(model, timeout=None, key=key)
    run = {"run": str(context.run_id), "epoch": context.epoch, "process": _recorder_name}
    _recorder.note("step", began=began, **run)
    _recorder.note("resumed", pause=f"{context.run_id} {key}", answer=answer.answer, **run)
    return answer.answer


def work(*_: Any) -> None:
    """Serve the flow until SIGTERM."""
    serve(dialogue.to_deployment("x"))


if __name__ == "__main__":
    _role, _directory, _recorder_name, *_ids = sys.argv[1:]
    _recorder = Recorder(Path(_directory), _recorder_name)
    _runs = [UUID(each) for each in _ids]
    if _role == "worker":
        work()
    elif _role == "long-lived":
        from chaos.long_lived_flows import serve_all

        serve_all(_recorder, _recorder_name, int(os.environ["CHAOS_LIMIT"]))
    else:
        asyncio.run({"sender": send, "receiver": receive}[_role](_recorder, _recorder_name, _runs))
