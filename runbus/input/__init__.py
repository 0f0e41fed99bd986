"""Typed inputs between runs."""

from runbus.input.inbox import Inbox
from runbus.input.run_input import (
    AutomaticRunInput,
    RunInput,
    RunInputMetadata,
    receive_input,
    send_input,
)
from runbus.store.receipt import Sent

__all__ = [
    "AutomaticRunInput",
    "Inbox",
    "RunInput",
    "RunInputMetadata",
    "Sent",
    "receive_input",
    "send_input",
]
