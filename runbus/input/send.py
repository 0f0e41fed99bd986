"""The verb that sends an input."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from runbus.background import bridge
from runbus.errors import NotSerializable
from runbus.execution.current_run import bound_run, current_run
from runbus.input.random_keys import random_digits
from runbus.protocol.durability import Durability, check_durability
from runbus.protocol.entries import check_text, new_key
from runbus.protocol.ids import parse_run_id, text_of
from runbus.protocol.types import check_key_prefix, name_of_value
from runbus.protocol.values import encode
from runbus.store.sending.receipt import Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.store.sending.receipt import Sent


def send_input(
    run_input: object,
    flow_run_id: UUID | str,
    sender: UUID | str | None = None,
    key_prefix: str | None = None,
    key: str | None = None,
    durability: Durability = "memory",
) -> Sent:
    """Send a value to a run.

    In a thread the call returns when the value is stored. On an event loop it is under way when
    the call returns, and `await` waits until it is stored. Sends to one stream keep their order.

    `sender` is the current run by default. `key_prefix` names the stream, instead of the type.
    `key` makes the send idempotent: a run stores one input under a key, however often it is sent.

    `durability` is what must have happened before it counts as stored: `"memory"`, the server has
    it; `"fsync"`, it is in the append-only file on the server's disk; `Replicated(n)`, n replicas
    have it too.

    Raises `UsageError` and `SendRefused`, `ServerUnreachable`, and `NotDurable` where it is stored,
    but no more than that is known.
    """
    run = current_run()
    return _under_way(_made(run_input, flow_run_id, sender, key_prefix, key, durability, run), run)


def send_response(
    value: object,
    flow_run_id: UUID | str,
    sender: UUID | str,
    key_prefix: str | None,
    durability: Durability,
) -> Sent:
    """Send a value to a run that may have ended meanwhile: then its receipt is `refused`."""
    run = current_run()
    sent = _made(value, flow_run_id, sender, key_prefix, None, durability, run)
    sent.is_response = True
    return _under_way(sent, run)


def _made(
    run_input: object,
    flow_run_id: UUID | str,
    sender: UUID | str | None,
    key_prefix: str | None,
    key: str | None,
    durability: Durability,
    run: bound_run | None,
) -> Send:
    receiver = parse_run_id(flow_run_id)
    if _is_automatic(type(run_input)):
        run_input = cast("Any", run_input).value
    name = name_of_value(run_input) if key_prefix is None else check_key_prefix(key_prefix)
    # Without names, as a class that is called with them takes twice as long.
    return Send(
        receiver,
        name,
        new_key(name, random_digits()) if key is None else check_text("key", key),
        key is not None,
        _sender_text(sender, run),
        _encoder(type(run_input))(run_input),
        check_durability(durability),
    )


def _under_way(sent: Send, run: bound_run | None) -> Send:
    if run is None:
        bridge.send(sent)
    else:
        run.send(sent)
    return sent


def _sender_text(sender: UUID | str | None, run: bound_run | None) -> str | None:
    if sender is None:
        return None if run is None else run.id_text
    return text_of(sender) if isinstance(sender, UUID) else check_text("sender", sender)


# By the class and by a mark on it: a program that sends texts need not load the models, and
# `isinstance` asks a model's metaclass, which takes a while.
@lru_cache(maxsize=1024)
def _is_automatic(cls: type[Any]) -> bool:
    return getattr(cls, "__runbus_input__", None) == "value"


@lru_cache(maxsize=1024)
def _encoder(cls: type[Any]) -> Callable[[Any], bytes]:
    return _encode_own_way if hasattr(cls, "__runbus_input__") else encode


def _encode_own_way(value: Any) -> bytes:
    data: Any = value.encode()
    if not isinstance(data, bytes):
        raise NotSerializable(value, f"its encode() returned a {type(data).__name__}, not bytes")
    return data
