"""Flows whose children are called with secrets: `python secret_family.py` serves them."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  (a flow resolves its annotations)
from typing import Annotated

from pydantic import Field, SecretStr

from runbus import flow, pause_flow_run, serve

Pin = Annotated[str, Field(json_schema_extra={"format": "password"})]


@flow
def by_pin(pin: Pin) -> int:
    return os.getpid()


@flow
def by_token(token: SecretStr) -> int:
    return os.getpid()


@flow
def pay(secret: Path) -> list[int]:
    """Call both with what stands in a file by then, and ask."""
    given = secret.read_text()
    paid = [by_pin(given), by_token(SecretStr(given))]
    pause_flow_run(bool)
    return paid


if __name__ == "__main__":
    serve(pay.to_deployment("x"))
