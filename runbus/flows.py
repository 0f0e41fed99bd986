"""Flows: functions whose calls are runs."""

from __future__ import annotations

import inspect
import sys
from asyncio import coroutines
from functools import partial, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from runbus.background.bridge import on_loop
from runbus.background.pending import PendingFlow
from runbus.errors import InvalidArgument
from runbus.execution.call import FlowCall
from runbus.execution.current_run import current_flow_run
from runbus.execution.engine import run_async, run_sync
from runbus.execution.run_names import friendly_name
from runbus.execution.verbs import pending
from runbus.worker.deployment import Deployment
from runbus.worker.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbus.background.pending import Finished, Pending
    from runbus.execution.parameters import Args, Arguments, Kwargs
    from runbus.protocol.json_value import JSONObject, JSONValue

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Generic[P, R]):
    """A function whose calls are runs: recorded, and able to pause, send and receive.

    Calling an async flow gives a coroutine, calling a sync flow gives its value. Parameters are
    validated and coerced by their annotations, as pydantic does it.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        flow_run_name: str | Callable[[], str] | None = None,
        retries: int = 0,
        retry_delay_seconds: float = 0,
        timeout_seconds: float | None = None,
        log_prints: bool | None = None,
    ) -> None:
        # Late: it loads pydantic's models, and who sends and answers makes no flow.
        from runbus.execution.parameters import Parameters

        if not callable(fn):
            raise InvalidArgument("fn", fn, "a flow is made of a function")
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise InvalidArgument("fn", fn, "a flow returns and does not yield: return a list")
        if retries < 0:
            raise InvalidArgument("retries", retries, "pass 0 or more")
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise InvalidArgument("timeout_seconds", timeout_seconds, "pass more than 0, or None")
        self.fn = fn
        self.name = name or fn.__name__.replace("_", "-")
        # Its own, not `inspect.getdoc`, which looks for that of a method in its class: there is
        # the flow again.
        self.description = description or inspect.cleandoc(fn.__doc__ or "") or None
        self.flow_run_name = flow_run_name
        self.retries = retries
        self.retry_delay_seconds = retry_delay_seconds
        self.timeout_seconds = timeout_seconds
        self.log_prints = log_prints
        self.is_async = inspect.iscoroutinefunction(fn)
        self._parameters = Parameters(fn)
        update_wrapper(self, fn)
        if self.is_async:
            self._mark_async()

    def _mark_async(self) -> None:
        """Have whoever asks be told that a call gives a coroutine: this is no function itself."""
        # asyncio's mark, and that of `inspect` from Python 3.12 on.
        self._is_coroutine: object = vars(coroutines).get("_is_coroutine")
        getattr(inspect, "markcoroutinefunction", bool)(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow. Raises what its function raises."""
        call = self.prepare(args, kwargs)
        run: Any = run_async if self.is_async else run_sync
        if self.is_async and current_flow_run() is not None and not on_loop():
            # Nobody can await it there; that it was called is not to be lost in silence.
            return pending(self.fn.__name__, partial(run, call), PendingFlow)  # pyright: ignore[reportReturnType]
        return run(call)

    def __get__(self, instance: object | None, owner: type | None = None) -> Flow[..., R]:
        """Bind a flow that is a method to its instance, as functions do."""
        if instance is None:
            return self
        return Flow(MethodType(self.fn, instance), **self._options())

    def with_options(self, **options: Any) -> Flow[P, R]:
        """Return the same flow with other options, those of `flow`."""
        return Flow(self.fn, **{**self._options(), **options})

    def _options(self) -> Kwargs:
        return {
            "name": self.name,
            "description": self.description,
            "flow_run_name": self.flow_run_name,
            "retries": self.retries,
            "retry_delay_seconds": self.retry_delay_seconds,
            "timeout_seconds": self.timeout_seconds,
            "log_prints": self.log_prints,
        }

    def to_deployment(self, name: str, *, limit: int | None = None) -> Deployment:
        """Return this flow as something to `serve` under `flow/name`."""
        return Deployment(flow=self, name=f"{self.name}/{name}", limit=limit)

    def serve(self, name: str, *, limit: int | None = None) -> Pending[None] | Finished:
        """Execute the runs of the deployment `flow/name` until Ctrl-C or SIGTERM.

        Blocks in a plain script; on an event loop it is to be awaited, and
        `asyncio.run(some_flow.serve(…))` works too. `limit` bounds how many runs execute at once.
        """
        return serve(self.to_deployment(name), limit=limit)

    def prepare(self, args: Args, kwargs: Kwargs, run_name: str = "") -> FlowCall:
        """Make ready what a call with these arguments does. Raises as `__call__` does."""
        return self._prepared(self._parameters.validate(args, kwargs), run_name)

    def prepare_stored(self, parameters: Mapping[str, JSONValue], run_name: str = "") -> FlowCall:
        """Make ready what a call with stored parameters does. Raises as `__call__` does."""
        return self._prepared(self._parameters.validate_stored(parameters), run_name)

    def _prepared(self, arguments: Arguments, run_name: str) -> FlowCall:
        args, kwargs = arguments
        parameters = self._parameters.named(args, kwargs)
        return FlowCall(
            flow_name=self.name,
            run_name=run_name or self.run_name(parameters),
            fn=self.fn,
            args=args,
            kwargs=kwargs,
            parameters=parameters,
            hidden_names=lambda: self._parameters.hidden_names,
            result_type=self._parameters.result_type,
            retries=self.retries,
            retry_delay_seconds=self.retry_delay_seconds,
            timeout_seconds=self.timeout_seconds,
            log_prints=self.log_prints,
        )

    def parameters_schema(self) -> JSONObject:
        """Return the JSON Schema of what the flow is called with."""
        return self._parameters.schema

    def run_name(self, parameters: Kwargs) -> str:
        """Return a name for a new run."""
        if callable(self.flow_run_name):
            return self.flow_run_name()
        if self.flow_run_name is not None:
            return self.flow_run_name.format(**parameters)
        return friendly_name()

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by the path of the import, as a function is."""
        if isinstance(self.fn, MethodType):
            return getattr, (self.fn.__self__, self.fn.__name__)
        found: Any = sys.modules.get(self.__module__)
        for name in self.fn.__qualname__.split("."):
            found = getattr(found, name, None)
        if found is not self and getattr(found, "fn", None) is self.fn:
            return partial(found.with_options, **self._options()), ()
        return self.fn.__qualname__  # which pickle refuses if it leads elsewhere

    def __repr__(self) -> str:
        return f"<Flow {self.name}>"


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    fn: None = None,
    /,
    *,
    name: str | None = ...,
    description: str | None = ...,
    flow_run_name: str | Callable[[], str] | None = ...,
    retries: int = ...,
    retry_delay_seconds: float = ...,
    timeout_seconds: float | None = ...,
    log_prints: bool | None = ...,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow: `@flow`, or `@flow(name=…, retries=…, …)`.

    `name` is the flow's, by default the function's with dashes. `flow_run_name` names each run that
    is called (`run_deployment` has a name of its own): a text with `{parameter}` in it, or a
    function; by default two words. A flow that raises an error
    is called again up to `retries` times, `retry_delay_seconds` apart. `timeout_seconds` ends one
    call: an async one where it awaits, a sync one at its next verb. With `log_prints`, what the
    flow's code prints becomes lines of `get_run_logger`, at the level of information, unless it is
    printed to a `file`; by default as in the flow that this one is called in.
    """
    return partial(Flow, **options) if fn is None else Flow(fn, **options)
