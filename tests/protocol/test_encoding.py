"""What is encoded with orjson is the JSON that pydantic makes of it."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import from_json

from runbus.errors import NotSerializable
from runbus.protocol import values
from runbus.protocol.values import decoder, encode


class Word(str): ...


class Number(int): ...


class Colour(Enum):
    RED = 1
    PALE = ("a", 2)
    EMPTY = None


class Name(StrEnum):
    ADA = "ada"


class Level(IntEnum):
    LOW = 1


@dataclass
class Point:
    x: float


class Order(BaseModel):
    amount: float


Pair = namedtuple("Pair", "one two")

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
odd = st.sampled_from([
    *(Word("w"), Number(3), *Colour, Name.ADA, Level.LOW, Point(1.5), Order(amount=2.5)),
    *(Pair(1, "x"), date(2026, 2, 3), timedelta(1), UUID(int=7), Decimal("1.10"), b"\xff", 2**70),
    *((1, 2), {3}, OrderedDict(a=1)),
])  # fmt: skip


def containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.text() | st.integers() | st.sampled_from([Name.ADA, Word("k"), Level.LOW])
    return st.lists(items, max_size=4) | st.dictionaries(keys, items, max_size=4)


@given(st.recursive(plain | odd, containers, max_leaves=12))
def test_it_is_the_same_json(value: Any) -> None:
    """Of plain values, and of plain containers with whatever in them."""
    try:
        by_pydantic = values._by_pydantic(value)
        if b"null" in by_pydantic:
            by_pydantic = values._with_lost_numbers(by_pydantic, value)
    except Exception:
        with pytest.raises(NotSerializable):
            encode(value)
    else:
        # Byte for byte with the versions of today; some wrote a number of this size as 1e+16.
        assert from_json(encode(value)) == from_json(by_pydantic)


@given(st.recursive(plain, containers, max_leaves=12))
def test_it_comes_back(value: Any) -> None:
    """Numbers keep all their digits, texts all their characters."""
    if "\ud800" <= max(str(value), default="") <= "\udfff":
        return
    read = decoder(type(value))(encode(value))
    assert from_json(encode(read)) == from_json(encode(value))


@pytest.mark.parametrize("depth", [100, 300])
def test_deep_values_are_written_or_refused(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    try:
        written = encode(value)
    except NotSerializable:
        assert depth > 100
    else:
        assert written == b"[" * (depth + 1) + b"]" * (depth + 1)


def test_a_value_in_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotSerializable, match="Circular reference"):
        encode(value)
