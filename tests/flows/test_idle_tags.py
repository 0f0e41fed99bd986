"""A tag in which nothing was held for a while: what is given there is sure at once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from faults import until

from runbus import settings
from runbus.background import lease_holder
from runbus.protocol.keys import tag
from runbus.settings import temporary_settings
from runbus.store.maintenance.boot_clock import boot_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server


@pytest.fixture
def holder(valkey: Server) -> Iterator[lease_holder.LeaseHolder]:
    with temporary_settings(url=valkey.url, lease_seconds=1):
        yield lease_holder.of(settings.current())


def grant(holder: lease_holder.LeaseHolder, run_id: UUID) -> None:
    with holder.intent(run_id):
        holder.note_granted(run_id, boot_time())


def test_a_run_in_an_idle_tag_is_sure(holder: lease_holder.LeaseHolder) -> None:
    """Nothing was held that others could have taken, so nothing has to be found out."""
    run_id = uuid4()
    grant(holder, run_id)
    until(lambda: holder.is_doubtful(run_id))
    grant(holder, run_id)
    assert not holder.is_doubtful(run_id)


def test_a_run_beside_one_whose_lease_was_overdue_is_not(holder: lease_holder.LeaseHolder) -> None:
    """Which of them this process still has, the server says."""
    held, run_id = uuid4(), uuid4()
    held = UUID(held.hex[:-2] + tag(run_id))
    with holder.intent(held):
        holder.note_granted(held, boot_time() - 2)
        grant(holder, run_id)
        assert holder.is_doubtful(held)
