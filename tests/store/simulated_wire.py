"""What lies between processes and the server: calls that are on their way, and their replies.

Each call waits until somebody executes it, and its reply until somebody delivers it. A reply may be
lost: then the call is made again, or given up; one that was not executed still may be, later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runbus.errors import FlowRunCancelled, RunbusError
from runbus.store.connection import scripts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from simulated_process import Process

    from runbus.store.connection.connection import Command
    from runbus.store.connection.scripts import Script


class Unanswered(RunbusError):
    """Nobody knows whether the call was executed."""


_ENDS = {scripts.END_RUN.sha, scripts.END_LARGE_RUN.sha}
_EXPECTED = (RunbusError, FlowRunCancelled, type(None))


class Call:
    """Commands of a process that go out together."""

    def __init__(
        self,
        process: Process,
        commands: tuple[Command, ...],
        future: asyncio.Future[Any],
        task: Any,
    ) -> None:
        self.process = process
        self.commands = commands
        self.future = future
        self.task = task
        self.replies: list[Any] | None = None
        """None until it is executed."""
        self.is_heard = True
        """Whether the process waits for the reply."""

    @property
    def can_be_lost(self) -> bool:
        """Whether anybody waits for its reply who could find out that none comes."""
        return self.is_heard and self.process.can_act

    @property
    def must_be_repeated(self) -> bool:
        """Whether the process never gives up: an end is tried as long as it lives."""
        return any(each[1] in _ENDS for each in self.commands)

    @property
    def can_be_delivered(self) -> bool:
        """Whether it has a reply that the process can take."""
        return self.replies is not None and self.can_be_lost


class Wire:
    """All calls that are on their way, and the loop on which the processes live."""

    def __init__(self, do: Callable[[Call, Command], Any]) -> None:
        """`do` lets the server execute one command."""
        self.calls: list[Call] = []
        self.tasks: dict[asyncio.Task[Any], Process] = {}
        self._do = do
        self._loop = asyncio.new_event_loop()

    def begin(self, process: Process, work: Coroutine[Any, Any, Any]) -> None:
        """Let a process begin something beside what it does at the moment."""
        self.tasks[self._loop.create_task(work)] = process

    def start(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let a process begin something, up to its first call."""
        task = self._loop.create_task(work)
        self.tasks[task] = process
        self.settle()
        return task

    def finish(self, task: asyncio.Task[Any], most: int = 1000) -> None:
        """Execute and deliver what a task calls, at most so often, until it cannot go on."""
        for _ in range(most):
            call = next((each for each in self.calls if each.is_heard and each.task is task), None)
            if call is None or not call.process.can_reach:
                return
            self.execute(call)
            self.deliver(call)

    def execute(self, call: Call) -> None:
        """Let the server execute a call."""
        if call.replies is None:
            call.replies = [self._do(call, command) for command in call.commands]
        if not call.is_heard:
            self.calls.remove(call)

    def deliver(self, call: Call) -> None:
        """Let the process have the replies."""
        self.calls.remove(call)
        call.future.set_result(call.replies)
        self.settle()

    def lose(self, call: Call, *, again: bool) -> None:
        """Lose the reply, or the connection on which it would come."""
        if call.replies is None:
            call.is_heard = False
        else:
            self.calls.remove(call)
        if again:
            self.calls.append(Call(call.process, call.commands, call.future, call.task))
        else:
            call.future.set_exception(Unanswered())
            self.settle()

    def drop(self, process: Process) -> None:
        """End all that a process does. What it has asked for may still be executed."""
        for task in [task for task, owner in self.tasks.items() if owner is process]:
            task.cancel()
        for call in [call for call in self.calls if call.process is process]:
            call.is_heard = False
            if call.replies is not None:
                self.calls.remove(call)
        self.settle()

    def settle(self) -> None:
        """Let the processes go on as far as they can."""
        self._loop.run_until_complete(_turns())
        for task in [task for task in self.tasks if task.done()]:
            del self.tasks[task]
            if not task.cancelled() and not isinstance(task.exception(), _EXPECTED):
                task.result()

    def close(self) -> None:
        """End everything."""
        for task in self.tasks:
            task.cancel()
        self._loop.run_until_complete(_turns())
        self._loop.close()


async def _turns() -> None:
    for _ in range(6):  # as many as the longest chain of awaits without a call
        await asyncio.sleep(0)


class Asker:
    """What the code of a process knows as the commands, primaries and notifier of its bus."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self._wire = wire
        self._process = process

    async def each(self, *commands: Command) -> list[Any]:
        """As `Primaries.each`: one error where nothing answered."""
        return await self._ask(commands) if commands else []

    has_one_server = True

    async def available(self, *commands: Command) -> list[Any]:
        """As `Primaries.available`, of one server."""
        return await self.together(*commands)

    async def soon(self, _: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """As `Primaries.soon`, of one server."""
        return await work()

    async def together(self, *commands: Command) -> list[Any]:
        """As `Commands.together`: an error is raised."""
        replies = await self._ask(commands) if commands else []
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def command(self, *command: Any) -> Any:
        """As `Commands.command`."""
        return (await self.together(command))[0]

    async def script(self, script: Script, call: Command) -> Any:
        """As `Commands.script`."""
        return await self.command("EVALSHA", script.sha, *call)

    def raise_if_forbidden(self, *_: object) -> None:
        """Nothing is forbidden here."""

    async def tell(self, *commands: Command) -> None:
        """As `Notifier.tell`: nobody here listens to hints."""

    async def _ask(self, commands: tuple[Command, ...]) -> list[Any]:
        future = asyncio.get_running_loop().create_future()
        self._wire.calls.append(Call(self._process, commands, future, asyncio.current_task()))
        return await future
