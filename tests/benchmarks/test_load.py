"""`python -m benchmarks.load` on a real server, with real processes."""

from __future__ import annotations

import json
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.bench import Bench
from benchmarks.load.__main__ import main
from benchmarks.load.plan import MODES, Plan
from benchmarks.load.processes import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import Server

MEASURES = {
    "send": {"until stored", "until received"},
    "roundtrip": {"until stored", "until received", "until answered"},
    "pause": {"until stored", "until it goes on"},
    "suspend": {"until stored", "until it goes on"},
    "deploy": {"until its first line", "until its result"},
}
SMALL = Plan(rate=100, duration=1, warm_up=0, senders=4, runs=4, receivers=4)


@pytest.fixture(autouse=True)
def kept_signals() -> Iterator[None]:
    """The command handles SIGTERM: what did so before does it again."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@contextmanager
def benched(server: Server) -> Iterator[Bench]:
    bench = Bench(url=server.url, quick=False, owns_server=False, prefix="load-test")
    try:
        yield bench
    finally:
        bench.clean()


def measured(file: Path) -> dict[str, Any]:
    (test,) = json.loads(file.read_text())["tests"]
    return test


@pytest.mark.parametrize("mode", MODES)
def test_all_that_was_planned_arrives(
    mode: str, valkey: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mode does its schedule, shows what it took, and leaves nothing on the server."""
    file = tmp_path / "load.json"
    options = ["--rate", "40", "--duration", "0.5", "--senders", "4", "--runs", "4"]
    options += ["--warm-up", "0.2"]
    words = ["--url", valkey.url, "--mode", mode, *options, "--json", str(file)]
    assert main(words) == 0
    shown = capsys.readouterr()
    found = measured(file)
    plan = Plan(mode=mode, rate=40, duration=0.5, warm_up=0.2, senders=4, runs=4, receivers=4)
    dues = [each.due for sender in range(4) for each in plan.schedule(sender)]
    counts = {row["measure"]: row["count"] for row in found["rows"]}
    timed = sum(due >= 0 for due in dues)
    assert counts == dict.fromkeys({"until begun", *MEASURES[mode]}, timed)
    assert found["sent"] == len(dues) * (2 if mode == "roundtrip" else 1) > timed
    assert found["faults"] == []
    assert "arrived exactly once" in shown.out
    assert not shown.err  # no progress where there is no terminal
    with valkey.client() as client:
        assert client.keys("runbus-load-*") == []


def test_processes_share_the_work(valkey: Server, tmp_path: Path) -> None:
    """Several senders', several receivers' processes: one result, and a chart of it."""
    files = tmp_path / "load.json", tmp_path / "load.png"
    words = ["--url", valkey.url, "--processes", "2", "--rate", "100", "--duration", "0.5"]
    words += ["--warm-up", "0"]
    words += ["--runs", "3", "--receivers", "6"]
    assert main([*words, "--json", str(files[0]), "--plot", str(files[1])]) == 0
    counts = {row["measure"]: row["count"] for row in measured(files[0])["rows"]}
    assert counts["until received"] == 2 * counts["until stored"] > 0
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_an_input_that_is_there_twice_fails_the_test(
    valkey: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody stores a copy of an input behind the library's back: it is told which."""
    copied: list[str] = []

    def copy_one(seconds: float, done: int, longest: int) -> None:
        with valkey.client() as client:
            for key in [] if copied else client.scan_iter("runbus-load-*", _type="stream"):
                for _, fields in client.xrange(key):
                    if '"number":0' in fields.get("value", "") and '"sender":-1' not in str(fields):
                        copied.append(fields["value"])
                        client.xadd(key, fields)
                        return

    monkeypatch.setattr("benchmarks.load.report.watch", copy_one)
    words = ["--url", valkey.url, "--rate", "100", "--duration", "0.6", "--senders", "2"]
    words += ["--warm-up", "0"]
    assert main([*words, "--runs", "1"]) == 1
    assert f"doubled: number 0 from sender {json.loads(copied[0])['sender']} to run 0" in (
        capsys.readouterr().out
    )


def test_a_server_that_stands_still_is_seen_in_all_that_were_due(valkey: Server) -> None:
    """Not only in those that were under way; and nothing is lost by it."""
    frozen: list[float] = []

    def freeze_once(seconds: float, done: int, longest: int) -> None:
        if done and not frozen:
            frozen.append(seconds)
            valkey.freeze()
            time.sleep(0.5)
            valkey.thaw()

    with benched(valkey) as bench:
        outcome = load(bench, SMALL, freeze_once)
    assert frozen
    assert outcome.faults == []
    stored = outcome.tally.total("until stored")
    # Half of the operations were due while it stood, and half of these for 250 ms and more.
    assert stored.get_value_at_percentile(85) > 150_000
    assert stored.get_total_count() == outcome.done


def test_the_highest_rate_is_searched(
    valkey: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A p99 that nothing reaches leaves no rate: it says so, and fails."""
    file = tmp_path / "load.json"
    words = ["--url", valkey.url, "--rate", "1.5", "--duration", "0.8", "--find-max"]
    words += ["--warm-up", "0"]
    assert main([*words, "--p99", "0.001", "--senders", "1", "--json", str(file)]) == 1
    assert "no rate is low enough" in capsys.readouterr().out
    assert json.loads(file.read_text())["highest_rate"] is None


def test_an_operation_that_raises_fails_the_test(
    valkey: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Inputs larger than the settings allow: told by the error's name, and not as lost."""
    words = ["--url", valkey.url, "--rate", "20", "--duration", "0.5", "--payload", "1100000"]
    words += ["--warm-up", "0"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "operations raised InputTooLarge" in shown
    assert "truth: all of 0 arrived" in shown
