"""Typed inputs between runs."""

from runbus.input.form import Form, Keyset
from runbus.input.inbox import Inbox
from runbus.input.run_input import (
    AutomaticRunInput,
    RunInput,
    RunInputMetadata,
    receive_input,
    send_input,
)
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
