"""A flow that is called with secrets, asks for some and returns none: `python -m secret_flow`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from pydantic import BaseModel, Field, SecretStr

from runbus import RunInput, flow, get_run_logger, pause_flow_run, serve


class Account(BaseModel):
    user: str
    token: SecretStr


@dataclass
class Place:
    city: str
    door_code: SecretStr


class Login(RunInput):
    user: str
    password: SecretStr = Field(min_length=8)
    spare: list[SecretStr] = Field([])
    pin: str = Field("", pattern=r"^\d*$", json_schema_extra={"writeOnly": True})
    place: Place | None = None


@flow
def log_in(account: Account, keys: list[SecretStr], note: str = "") -> str:
    login = pause_flow_run(Login)
    get_run_logger().info("%s, %s: %s, %s", account, keys, note, login.password)
    return login.user


if __name__ == "__main__":
    serve(log_in.to_deployment("x"))
    sys.exit()
