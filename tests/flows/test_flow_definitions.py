"""Where and how a flow may be defined: in functions, in classes, with postponed annotations."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, ValidationError

from runbus import flow

if TYPE_CHECKING:
    from servers import Server


def test_a_postponed_annotation_of_a_local_model_is_checked(valkey: Server) -> None:
    """A model that only the function around the flow has is one like any other."""

    class Local(BaseModel):
        n: int

    @flow
    def one(x: Local) -> Local:
        return x

    @flow(name="several")
    async def several(x: list[Local]) -> int:
        return x[0].n

    assert one({"n": "3"}) == Local(n=3)  # type: ignore[arg-type]
    assert asyncio.run(several([{"n": 4}])) == 4  # type: ignore[list-item]
    with pytest.raises(ValidationError):
        one({"n": "x"})  # type: ignore[arg-type]
    assert one.parameters_schema()["properties"]["x"] == {"$ref": "#/$defs/Local"}


def test_an_annotation_that_names_nothing_is_told(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the flow is defined; its parameter is then taken as it comes."""
    with caplog.at_level(logging.WARNING, logger="runbus"):

        @flow
        def odd(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
            assert x == {"n": 1}

    assert "Nowhere" in caplog.text
    odd({"n": 1})


def test_a_flow_that_calls_itself(valkey: Server) -> None:
    """Its own name is there only after it was defined."""

    @flow
    def down(n: int) -> int:
        return down(n - 1) if n else 0

    assert down(1) == 0


class Shop:
    @classmethod
    @flow
    def of_class(cls, n: int) -> int:
        return n + 1

    @staticmethod
    @flow
    def of_nothing(n: int) -> int:
        return n + 1

    @flow
    def of_one(self, n: int) -> int:
        return n + 1


def test_a_flow_may_be_a_method_of_any_kind(valkey: Server) -> None:
    """Without a docstring too; what it is called with is checked."""
    assert Shop.of_class("1") == Shop().of_class(1) == 2  # type: ignore[arg-type]
    assert Shop.of_nothing("1") == Shop().of_nothing(1) == 2  # type: ignore[arg-type]
    assert Shop().of_one("1") == 2  # type: ignore[arg-type]
