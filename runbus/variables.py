"""Variables: JSON values under names that all runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors import InvalidArgument
from runbus.execution.verbs import verb
from runbus.store.bus import current_bus
from runbus.store.records import named_values

if TYPE_CHECKING:
    from runbus.background.pending import Pending
    from runbus.protocol.json_value import JSONValue


class Variable:
    """The variables. Each lives until it is unset.

    `aget`, `aset` and `aunset` are coroutines, for async code that a type checker reads.
    """

    @classmethod
    def get(cls, name: str, default: JSONValue = None) -> JSONValue:
        """Return a variable's value, `default` if it is not set; on an event loop, `await` it."""
        return verb("Variable.get()", _get, named_values.check_name(name), default)

    @classmethod
    def set(cls, name: str, value: JSONValue, overwrite: bool = False) -> Pending[None]:
        """Give a variable a value; on an event loop, `await` it.

        Raises `InvalidArgument`, which is a `ValueError`, if it has another value and `overwrite`
        is False, or if the value is too large; `NotSerializable` if the value has no JSON.
        """
        data = named_values.to_stored(value)
        return verb("Variable.set()", _set, named_values.check_name(name), data, overwrite)

    @classmethod
    def unset(cls, name: str) -> bool:
        """Remove a variable and return whether it was set; on an event loop, `await` it."""
        return verb("Variable.unset()", _unset, named_values.check_name(name))

    @classmethod
    async def aget(cls, name: str, default: JSONValue = None) -> JSONValue:
        """See `get`."""
        return await _get(named_values.check_name(name), default)

    @classmethod
    async def aset(cls, name: str, value: JSONValue, overwrite: bool = False) -> None:
        """See `set`."""
        await _set(named_values.check_name(name), named_values.to_stored(value), overwrite)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """See `unset`."""
        return await _unset(named_values.check_name(name))


async def _get(name: str, default: JSONValue) -> JSONValue:
    data = await named_values.load(_key(name))
    return default if data is None else named_values.from_stored(name, data)


async def _set(name: str, data: bytes, overwrite: bool) -> None:
    if not await named_values.save(_key(name), data, overwrite=overwrite):
        reason = "the variable has another value: pass overwrite=True to replace it"
        raise InvalidArgument("name", name, reason)


async def _unset(name: str) -> bool:
    return await named_values.remove(_key(name))


def _key(name: str) -> str:
    return current_bus().keys.variable(name)
