"""Stored values: what a run's record keeps of a flow's parameters and of what it returned."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from runbus.errors import NotSerializable
from runbus.execution import subflows
from runbus.execution.call import CallResult
from runbus.protocol.values import encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from runbus.execution.call import FlowCall
    from runbus.execution.run_context import RunningFlow

_SCRYPT_COST = 2**13
"""Some tens of milliseconds, and 8 MiB."""
_log = logging.getLogger("runbus.flow_runs")


def recorded(flow_call: FlowCall) -> bytes:
    """Return the JSON that a run's record keeps of its parameters, without what is secret in them.

    What can be read only once, the flow reads: of an iterator its kind is kept.
    """
    data, hidden = _as_json(flow_call.parameters), flow_call.hidden_names()
    if not hidden:
        return data
    from runbus.forms.secrets import veiled  # late: most flows take no secrets

    return to_json(veiled(from_json(data), hidden))


def digest_of_secrets(flow_call: FlowCall, parent_run_id: UUID) -> str:
    """Return what a child's call is known by whose record lacks its secrets; empty for others.

    It is salted and slow to make, so that a short secret is not soon guessed, and no door shows it.
    """
    from runbus.protocol.secret_values import secrets_in  # late: it loads pydantic's models

    found = secrets_in(flow_call.parameters)
    secrets = sorted(repr(each.get_secret_value()).encode(errors="replace") for each in found)
    if not secrets and not flow_call.hidden_names():
        return ""
    given = b"\n".join([_as_json(flow_call.parameters), *secrets])
    salt = parent_run_id.bytes
    return hashlib.scrypt(given, salt=salt, n=_SCRYPT_COST, r=8, p=1, dklen=16).hex()


def _as_json(parameters: Mapping[str, Any]) -> bytes:
    readable = {
        name: _kind(value) if isinstance(value, Iterator) else value
        for name, value in parameters.items()
    }
    try:
        return to_json(readable, by_alias=False, bytes_mode="base64", fallback=repr)
    except Exception:  # of something that contains itself, say: the flow can do without a record
        return to_json({name: _kind(value) for name, value in parameters.items()})


def _kind(value: Any) -> str:
    return f"<{type(value).__name__}>"


def completed(flow_call: FlowCall, context: RunningFlow, value: object) -> CallResult:
    """Return the outcome of a call that returned a value. Raises what the value's own code raises.

    It is made where the flow's code runs, before the run's end is recorded.
    """
    data = _storable(value)
    exact = context.caller is not None and subflows.is_exact(value, data, flow_call.result_type)
    return CallResult(value=value, data=data, is_exact=exact)


def _storable(value: object) -> bytes:
    if isinstance(value, Iterator):
        return b""  # to read it would leave nothing for the caller
    try:
        return encode(value)
    except NotSerializable as error:
        from runbus.protocol.secret_values import secret_in  # late: it loads pydantic's models

        if secret_in(value) is not None:
            _log.warning("the result is not kept: %s", error)
        return b""
