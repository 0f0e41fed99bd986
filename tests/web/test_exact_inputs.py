"""Numbers that are sent as inputs: all their digits arrive, whichever door they came by."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from page_process import done
from pydantic import BaseModel, Field

from runbus import RunInput, receive_input

LONG = "12345678901234567890.123456789"


class Order(RunInput):
    total: Decimal
    parts: list[Decimal | None] = Field([])
    weight: float | str = 0
    more: Any = None


class Plain(BaseModel):
    total: Decimal


class OwnWay(RunInput):
    total: Decimal

    @classmethod
    def decode(cls, data: bytes):
        return super().decode(data.replace(b"?", b""))


def by_the_api(site, run_id, stream, value):
    with site.client() as client:
        body = f'{{"stream": "{stream}", "value": {value}}}'
        sent = client.post(
            f"/api/runs/{run_id}/inputs",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert sent.status_code == 204, sent.text


def by_the_page(site, run_id, stream, value):
    with site.client() as client:
        typed = {"stream": stream, "value": value}
        assert client.post(f"/runs/{run_id}/inputs", data=typed).status_code == 303


def by_a_command(site, run_id, stream, value):
    words = ["send", str(run_id), value, "--type", stream]
    subprocess.run(
        [sys.executable, "-m", "runbus", *words],
        env={**os.environ, "RUNBUS_URL": site.redis},
        check=True,
        timeout=60,
    )


DOORS = [by_the_api, by_the_page, by_a_command]


@pytest.fixture
def send(valkey, site):
    site.redis = valkey.url
    return site


async def received(run_id, type_):
    return await receive_input(type_, flow_run_id=run_id, timeout=5).next()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("number", [LONG, "0.10", "-0.0", "1.0", "1e3"])
def test_a_decimal_arrives_with_all_digits(send, door, number):
    """In a model, and at a bare `Decimal`; other types get the number as they always did."""
    run_id = uuid4()
    others = f'"weight": {number}, "more": [{number}]'
    door(send, run_id, "Order", f'{{"total": {number}, "parts": [{number}, null], {others}}}')
    found = done(received(run_id, Order))
    assert repr([found.total, *found.parts]) == repr([Decimal(number), Decimal(number), None])
    assert repr([found.weight, found.more]) == repr([float(number), [float(number)]])
    for type_ in (Plain, OwnWay):
        door(send, run_id, type_.__name__, f'{{"total": {number}}}')
        assert repr(done(received(run_id, type_)).total) == repr(Decimal(number))
    door(send, run_id, "Decimal", number)
    assert repr(done(received(run_id, Decimal))) == repr(Decimal(number))
    door(send, run_id, "float", number)
    assert repr(done(received(run_id, float))) == repr(float(number))


@pytest.mark.parametrize("door", [by_the_api, by_the_page])
def test_a_key_that_is_there_twice_is_not_sent(send, door):
    """Nor is one of them chosen."""
    with pytest.raises(AssertionError):
        door(send, uuid4(), "dict", '{"a": 1, "a": 2}')
