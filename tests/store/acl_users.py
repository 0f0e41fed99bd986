"""What the tests of the users of `runbus acl` share: their passwords, a worker, how to wait."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import forked

from runbus import get_client, run_deployment
from runbus.protocol.keys import Keys
from runbus.store.admin import acl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

# The patterns must take each of these as itself.
PREFIX = r"run*bus[a-z]?\x"
KEYS = Keys(PREFIX)
FLOWS = Path(__file__).with_name("acl_users_flows.py")


def login(user: str) -> dict[str, str]:
    """Who a client of redis-py is to be."""
    return {"username": user, "password": f"{user}-password"}


def write_users(directory: Path) -> Path:
    """Write what `runbus acl` prints, for these passwords; return where."""
    names = ("admin", *acl.USERS)
    path = directory / "users.acl"
    path.write_text(acl.file(PREFIX, {name: acl.digest(f"{name}-password") for name in names}))
    return path


@contextmanager
def serving(url: str, lease_seconds: float = 1) -> Iterator[None]:
    """Have a process that serves the flows of `acl_users_flows.py`."""
    environment = {
        **os.environ,
        "RUNBUS_URL": url,
        "RUNBUS_PREFIX": PREFIX,
        "RUNBUS_LEASE_SECONDS": str(lease_seconds),
    }
    with forked.script(FLOWS, streams=[0, 1, 2], environment=environment) as process:
        yield
        process.terminate()
        process.wait()


async def started(name: str, *parameters: object) -> UUID:
    """Start a run as soon as its deployment is served."""
    while name not in [each.name for each in await get_client().read_deployments()]:
        await asyncio.sleep(0.02)
    return (await run_deployment(name, {"words": list(parameters)}, timeout=0)).id


async def waits(run_id: UUID, state: str) -> None:
    """Wait until a run waits for an answer."""
    while (await get_client().read_flow_run(run_id)).state.name != state:
        await asyncio.sleep(0.02)
