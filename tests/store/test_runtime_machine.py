"""Who has a run, and how it ends, on a real server: whatever goes wrong, in whatever order.

More of it, with `RUNBUS_TESTS_MACHINE_EXAMPLES=5000` in the environment:
`pytest -n 0 --timeout 0 -k whatever tests/store/test_runtime_machine.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from former_rules import SOURCES, FormerRules
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from runtime_judge import OutageCounted, StaleWrite, TakenUnderLease, Violation
from runtime_machine import RuntimeMachine
from runtime_rules import Rules
from simulated_process import one_after_another
from simulated_server import TAG

from runbus.store.connection import scripts
from runbus.store.maintenance import occupied_tags, reconciliation, recovery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servers import Server

EXAMPLES = int(os.environ.get("RUNBUS_TESTS_MACHINE_EXAMPLES", "100"))
STEPS = 50
PHASES = [Phase.generate]


@pytest.fixture(autouse=True)
def one_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs are in one tag, so the other 255 need not be asked."""
    monkeypatch.setattr(occupied_tags, "TAGS", [TAG])
    monkeypatch.setattr(recovery, "available", one_after_another)
    monkeypatch.setattr(reconciliation, "available", one_after_another)


def run(server: Server, rulebook: Rules, sources: Iterable[str], **options: Any) -> None:
    """Run the machine with the scripts of some rules."""
    client = server.client(decode_responses=False, protocol=3)
    for source in sources:
        client.script_load(source)
    connection = client.connection_pool.get_connection()
    chosen = {"max_examples": EXAMPLES, "phases": PHASES, "stateful_step_count": STEPS}
    chosen |= {
        key: options.pop(key) for key in list(options) if key in chosen or key == "derandomize"
    }
    run_state_machine_as_test(
        type(
            "Machine",
            (RuntimeMachine,),
            {"connection": connection, "rulebook": rulebook, **options},
        ),
        settings=settings(
            deadline=None, database=None, suppress_health_check=list(HealthCheck), **chosen
        ),
    )


@pytest.mark.long
@pytest.mark.timeout(400)  # it only computes: beside others it takes its time
@pytest.mark.keys_without_lifetime
def test_whatever_goes_wrong_each_run_has_one_owner_and_one_end(server: Server) -> None:
    """No order of calls and faults breaks a promise, and all heals."""
    run(server, Rules(), (script.source for script in scripts.ALL))


@pytest.mark.long
@pytest.mark.timeout(400)  # it only computes: beside others it takes its time
@pytest.mark.keys_without_lifetime
@pytest.mark.parametrize(
    ("violation", "faults"),
    [
        (OutageCounted, {"outage"}),
        (TakenUnderLease, {"outage", "freeze"}),
        (StaleWrite, {"fail_over"}),
    ],
    ids=["outages count", "taken under a lease", "an older epoch writes"],
)
def test_the_machine_finds_what_was_wrong_with_the_former_rules(
    valkey: Server, violation: type[Violation], faults: set[str]
) -> None:
    """Each fault that the present rules were made against is found in the former ones."""
    with pytest.raises(violation):
        run(
            *(valkey, FormerRules(), SOURCES.values()),
            looks_for=(violation,),
            faults=faults,
            heals=False,
            max_examples=3000,
            stateful_step_count=40,
            derandomize=True,
            phases=[Phase.generate],
        )
