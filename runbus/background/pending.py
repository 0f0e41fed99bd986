"""What a verb gives to code on an event loop: something to await, and good for nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from runbus.errors import MissingAwait

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


class Finished(Coroutine[object, None, None]):
    """The result of a verb that has blocked until its end, for whoever runs it as a coroutine.

    `asyncio.run(serve())` evaluates its argument before there is a loop, so it blocks there.
    """

    def __await__(self) -> Generator[object, None, None]:
        return
        yield  # what makes this a generator

    def send(self, _: None, /) -> NoReturn:
        """Be over, as coroutines are."""
        raise StopIteration

    def throw(self, *error: Any) -> NoReturn:
        """Raise the error, as coroutines do."""
        raise error[0]

    def close(self) -> None:
        """End, as coroutines do."""


class Pending(Coroutine[object, None, T]):
    """The result of a verb called on an event loop: to be awaited, and good for nothing else.

    Used as if it were the value (`if pause_flow_run(bool):`), it raises `MissingAwait`.
    """

    __hash__ = object.__hash__
    _started: Coroutine[object, None, T] | None = None
    _is_reported = True  # until it is whole: `__init__` may be interrupted

    def __init__(
        self,
        verb: str,
        work: Callable[[], Coroutine[object, None, T]],
        on_await: Callable[[Pending[T]], None] | None = None,
    ) -> None:
        self._verb = verb
        self._work = work
        self._on_await = on_await
        self._is_reported = on_await is not None  # a run will, at its end

    def missing(self) -> MissingAwait:
        """Return the error that says what was forgotten."""
        return MissingAwait(self._verb)

    def __await__(self) -> Generator[object, None, T]:
        return self._coroutine().__await__()

    def send(self, value: None, /) -> object:
        """Take a step, as coroutines do."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> object:
        """Take a step with an error, as coroutines do."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """End, as coroutines do."""
        self._coroutine().close()

    def _coroutine(self) -> Coroutine[object, None, T]:
        if self._started is None:
            self._started = self._work()
            if self._on_await is not None:
                self._on_await(self)
        return self._started

    def __del__(self) -> None:
        if self._started is None and not self._is_reported:
            warnings.warn(str(self.missing()), RuntimeWarning, stacklevel=1)

    def __repr__(self) -> str:
        return f"<{self.missing()}>"

    def _refuse(self, *_: object) -> NoReturn:
        self._is_reported = True
        raise self.missing()

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what its value may have; what only libraries look for, it does not have."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._refuse()

    __bool__ = __len__ = __int__ = __float__ = __index__ = __neg__ = __abs__ = _refuse
    __iter__ = __aiter__ = __getitem__ = __contains__ = __reversed__ = _refuse
    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __or__ = __and__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __ror__ = __rand__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse


class PendingFlow(Pending[T]):
    """The result of an async flow that sync code called: to be run on an event loop."""

    def missing(self) -> MissingAwait:
        """Return the error that says what was forgotten."""
        name = self._verb
        return MissingAwait(
            f"{name}(…)",
            f"flow {name} is async, and was called in code without `await`",
            f"write `asyncio.run({name}(…))` there, or make that flow async",
        )
