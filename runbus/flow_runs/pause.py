"""Pause: a flow asks, waits in its process, and goes on with the answer.

Each verb about runs is implemented once, as the coroutine function whose name begins with `a`. The
plain name is one line over it: it blocks in a thread and returns something to await on a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from runbus.execution.current_run import running_flow
from runbus.execution.verbs import verb
from runbus.flow_runs.ask import ask

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from runbus.background.pending import Pending

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])


@overload
async def apause_flow_run(
    wait_for_input: type[T] | None = None,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> T: ...
@overload
async def apause_flow_run(
    wait_for_input: object,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> Any: ...
async def apause_flow_run(
    wait_for_input: object = None,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
) -> object:
    """Wait, in this flow, until somebody resumes the run; return what they answered.

    `wait_for_input` is the type of the answer: a model, a `RunInput` (with `with_initial_data`), or
    a built-in type; without one, nothing is asked. `timeout` is in seconds, None waits for ever.
    `key` names the pause within the run, by default its number: when the flow runs again (a retry),
    a pause that was answered returns its answer at once. Where the form has changed since, an
    answer that still validates is taken; one that does not is asked for again at once.

    Raises `FlowPauseTimeout`; pydantic's `ValidationError` when the model's own validators refuse
    the answer, which then is asked for anew by the next pause; `PauseChanged` where of the two
    only one wants an answer; and `UsageError`.
    """
    return await ask(running_flow("pause_flow_run"), wait_for_input, timeout, poll_interval, key)


@overload
def pause_flow_run(
    wait_for_input: type[V] | None = None,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> V: ...
@overload
def pause_flow_run(
    wait_for_input: object,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> Any: ...
def pause_flow_run(
    wait_for_input: object = None,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
) -> object:
    """See `apause_flow_run`, whose name is for async code that a type checker reads.

    For a checker, `pause_flow_run(bool)` is a `bool`, as it is in code without `await`, and
    `await pause_flow_run(bool)` an error; both are right for a `RunInput`, and without a type.
    """
    return verb("pause_flow_run", apause_flow_run, wait_for_input, timeout, poll_interval, key)
