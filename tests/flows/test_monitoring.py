"""What a worker tells Prometheus, and whoever restarts what is stuck."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from faults import LEASE_SECONDS, answer, result_of, started, state_of, until
from prometheus_client.parser import text_string_to_metric_families

from runbus import receive_input, send_input
from runbus.errors import SettingsError
from runbus.monitoring.health_server import monitored
from runbus.settings import temporary_settings
from runbus.store.admin import acl, gauges
from runbus.store.bus import current_bus
from runbus.store.connection import scripts
from runbus.store.records import deployments, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import StartWorker
    from redis import Redis
    from servers import Server

    from runbus.store.connection.scripts import Script

Samples = dict[tuple[str, str], float]
DUTIES = {
    *("claims", "hints", "sweep", "recovery", "deadlines", "index repair"),
    *("worker's record", "deployments' records", "kept ends"),
    *("lease renewal", "reconciliation", "wire check"),
}
"""What a worker does again and again."""


@contextmanager
def watched(server: Server, port: int) -> Iterator[str]:
    """This process's own monitoring, at a port."""
    with temporary_settings(url=server.url, metrics_port=port, retry_seconds=1), monitored():
        yield f"http://127.0.0.1:{port}"


def fetched(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(url: str) -> Samples:
    """The samples by name and by the label that they have, if any."""
    status, text = fetched(f"{url}/metrics")
    assert status == 200
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sends_and_receives_are_counted(server: Server, free_port: int) -> None:
    """With how long the wakes took, in buckets."""
    with watched(server, free_port) as url:
        before = samples(url)
        run_id = uuid4()
        inbox = receive_input(int, flow_run_id=run_id, timeout=10)
        for number in range(3):
            send_input(number, run_id)
            assert inbox.next() == number
        after = samples(url)
    for name in ("runbus_sends_total", "runbus_receives_total"):
        assert after[name, ""] - before[name, ""] == 3
    wakes = {label: count for (name, label), count in after.items() if name.endswith("_bucket")}
    assert list(wakes)[-1] == "+Inf"
    assert list(wakes.values()) == sorted(wakes.values())
    assert after["runbus_pending_pauses", ""] == 0
    assert not [label for _, label in after if str(run_id) in label]


def test_waiting_runs_and_queues_are_measured(
    start_worker: StartWorker, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker itself: runs that wait for an answer, and those that wait for a worker."""
    monkeypatch.setenv("RUNBUS_METRICS_PORT", str(free_port))
    start_worker("shop", limit=1)
    url = f"http://127.0.0.1:{free_port}"
    run_id = started("shop/x", {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    found = samples(url)
    assert found["runbus_pending_pauses", ""] == 1
    assert 0 <= found["runbus_oldest_wait_seconds", ""] < 30
    assert found["runbus_executing_runs", ""] == 1
    for check in ("livez", "readyz"):
        status, text = fetched(f"{url}/{check}")
        first, *duties, slots = text.splitlines()
        assert (status, first) == (200, "ok")
        assert {line.partition(":")[0] for line in duties} == DUTIES
        assert all(re.search(r": last good round \d+\.\d s ago", line) for line in duties)
        assert slots == "slots of shop/x: 0 taken, limit 1", "it waits"
    assert fetched(f"{url}/other")[0] == 404
    answer(run_id, 1)
    answer(run_id, True)
    result_of(run_id)


@pytest.mark.long
@pytest.mark.parametrize(
    ("server", "duty", "script"),
    [
        ("valkey", "recovery", scripts.RECOVER_RUNS),
        ("redis", "claims", scripts.CLAIM_RUN),
        ("valkey", "index repair", scripts.REPAIR_INDEX),
    ],
    indirect=["server"],
)
def test_a_duty_that_does_nothing_good_is_named(
    server: Server,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    duty: str,
    script: Script,
) -> None:
    """A worker that may not call one of its scripts is not ready, and is when it may again."""
    line = acl.line("worker", "runbus", acl.digest("secret"))
    less = line.replace(f"+evalsha|{script.sha} ", "")
    assert less != line
    with server.client() as client:
        set_user(client, line)
        monkeypatch.setenv("RUNBUS_URL", server.url.replace("redis://", "redis://worker:secret@"))
        monkeypatch.setenv("RUNBUS_METRICS_PORT", str(free_port))
        monkeypatch.setenv("RUNBUS_LEASE_SECONDS", str(LEASE_SECONDS))
        words = [sys.executable, str(Path(__file__).with_name("served.py")), "2", "double"]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as worker:
            url = f"http://127.0.0.1:{free_port}/readyz"
            try:
                until(lambda: fetched(url)[0] == 200, urllib.error.URLError)
                assert result_of(started("double/x", {"number": 2})) == 4
                set_user(client, less)
                run_id = started("double/x", {"number": 3})
                until(lambda: fetched(url)[0] == 503)
                first, *others = fetched(url)[1].splitlines()
                stuck = rf"{duty}: STUCK, last good round \d+\.\d s ago; failed \d+ times"
                assert re.match(stuck, first)
                assert f"for the script {script.name}" in first
                assert "slots of double/x: 0 taken, limit 2" in others
                assert not [each for each in others if "STUCK" in each]
                assert fetched(url.replace("readyz", "livez"))[0] == 200
                set_user(client, line)
                until(lambda: fetched(url)[0] == 200)
                assert result_of(run_id) == 6
            finally:
                worker.terminate()
        client.execute_command("ACL", "DELUSER", "worker")


def set_user(client: Redis, line: str) -> None:
    """Give a user the rights of a line of an ACL file, in place of what it had."""
    _, name, *rights = line.split()
    client.execute_command("ACL", "SETUSER", name, "reset", *rights)


@pytest.mark.keys_without_lifetime
async def test_queues_are_measured(server: Server) -> None:
    """By deployment: the runs that wait for a worker."""
    bus = current_bus()
    for number in range(5):
        name = f"f/{number % 2}"
        await deployments.register(bus, name, {"flow": "f"})
        await runs.create(bus, uuid4(), {"name": "n", "flow": "f", "deployment": name})
    found = (await gauges.read(bus, [])).queue_lengths
    assert found == {"f/0": 3, "f/1": 2}
    for run_id, _ in await runs.scheduled(bus, found, 20):
        await runs.move(bus, await runs.read(bus, run_id), "Cancelled")


def test_who_is_alive_need_not_be_ready(own_server: Server, free_port: int) -> None:
    """A process whose server is gone lives, is not ready, and still tells its counts."""
    with watched(own_server, free_port) as url:
        assert fetched(f"{url}/readyz")[0] == 200
        own_server.kill()
        assert fetched(f"{url}/livez")[0] == 200
        status, text = fetched(f"{url}/readyz")
        assert status == 503
        assert text
        found = samples(url)
        assert ("runbus_sends_total", "") in found
        assert ("runbus_pending_pauses", "") not in found


def test_a_port_that_is_taken_is_told(valkey: Server, free_port: int) -> None:
    """By the name of the setting."""
    taken = pytest.raises(SettingsError, match=r"METRICS_PORT.*in use")
    with watched(valkey, free_port), taken, watched(valkey, free_port):
        pass
