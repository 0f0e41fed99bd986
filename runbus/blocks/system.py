"""The blocks that come with runbus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from runbus.errors import InvalidArgument
from runbus.execution.verbs import verb
from runbus.protocol.json_value import JSONValue  # noqa: TC001  (dataclasses are introspected)
from runbus.store.bus import current_bus
from runbus.store.records import named_values

if TYPE_CHECKING:
    from collections.abc import Generator

    from runbus.background.pending import Pending


@dataclass(kw_only=True)
class JSON:
    """A JSON value to store under a name, until somebody deletes it."""

    value: JSONValue

    if TYPE_CHECKING:  # `await JSON.load(…)` is a block too

        def __await__(self) -> Generator[object, None, Self]: ...

    @classmethod
    def load(cls, name: str) -> Self:
        """Return the block of this name; on an event loop, `await` it.

        Raises `InvalidArgument`, which is a `ValueError`, if there is none.
        """
        return verb("JSON.load()", cls.aload, named_values.check_name(name))

    def save(self, name: str, overwrite: bool = False) -> Pending[None]:
        """Store the value, as it is now, under a name; on an event loop, `await` it.

        Raises `InvalidArgument`, which is a `ValueError`, if another value has the name and
        `overwrite` is False, or if the value is too large; `NotSerializable` if it has no JSON.
        """
        data = named_values.to_stored(self.value)
        return verb("block.save()", _save, named_values.check_name(name), data, overwrite)

    @classmethod
    async def aload(cls, name: str) -> Self:
        """Return the block of this name. Raises as `load`."""
        data = await named_values.load(_key(named_values.check_name(name)))
        if data is None:
            reason = "there is no JSON block of that name: JSON(value=…).save(name=…) makes one"
            raise InvalidArgument("name", name, reason)
        return cls(value=named_values.from_stored(name, data))

    async def asave(self, name: str, overwrite: bool = False) -> None:
        """Store the value under a name. Raises as `save`."""
        await _save(named_values.check_name(name), named_values.to_stored(self.value), overwrite)


async def _save(name: str, data: bytes, overwrite: bool) -> None:
    if not await named_values.save(_key(name), data, overwrite=overwrite):
        reason = "there is a JSON block of that name: pass overwrite=True to replace it"
        raise InvalidArgument("name", name, reason)


def _key(name: str) -> str:
    return current_bus().keys.block(name)
