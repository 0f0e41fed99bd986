"""Typed inputs between runs: sent, received, and asked for by a pause.

`send` and `inbox` are the two ends of a stream, `run_input` the model that knows its sender and can
respond, `form` and `question` what a pause makes of a type.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbus.input.form import Form, Keyset
    from runbus.input.inbox import Inbox
    from runbus.input.run_input import (
        AutomaticRunInput,
        RunInput,
        RunInputMetadata,
        receive_input,
    )
    from runbus.input.send import send_input
    from runbus.store.sending.receipt import Sent

__all__ = [
    "AutomaticRunInput",
    "Form",
    "Inbox",
    "Keyset",
    "RunInput",
    "RunInputMetadata",
    "Sent",
    "receive_input",
    "send_input",
]

_HOMES = {
    "AutomaticRunInput": "runbus.input.run_input",
    "Form": "runbus.input.form",
    "Inbox": "runbus.input.inbox",
    "Keyset": "runbus.input.form",
    "RunInput": "runbus.input.run_input",
    "RunInputMetadata": "runbus.input.run_input",
    "Sent": "runbus.store.sending.receipt",
    "receive_input": "runbus.input.run_input",
    "send_input": "runbus.input.send",
}
"""Each is imported when it is asked for: who only sends needs no models."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
