"""Runs whose process has ended: the page says that nobody waits, and lists them no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from page_process import done, served, until

from runbus import get_client
from runbus.store.bus import current_bus
from runbus.store.records import deployments

LEASE_SECONDS = "3"
JSON_ANSWER = '{"value": "Ada"}'


@pytest.fixture
def quick_site(valkey):
    """A page under whose lease it is soon known who is dead."""
    with served(valkey.url, says=("no connection",), RUNBUS_LEASE_SECONDS=LEASE_SECONDS) as site:
        yield site


@pytest.fixture
def asking(valkey):
    """A process that waits for an answer."""
    environment = {
        **os.environ,
        "RUNBUS_URL": valkey.url,
        "RUNBUS_LEASE_SECONDS": LEASE_SECONDS,
    }
    words = [sys.executable, "-m", "questions", "ask"]
    process = subprocess.Popen(words, cwd=Path(__file__).parent, env=environment)
    yield process
    process.kill()
    process.wait(20)


def waiting_run(client):
    [found] = until(lambda: client.get("/api/waiting").json())
    return found["run"]["id"]


def no_lease(valkey):
    with valkey.client() as redis:
        until(lambda: not redis.keys("*:lease:*"))


def test_an_answer_to_a_frozen_process_is_not_lost(quick_site, asking, valkey):
    """While nobody knows whether it lives, nothing waits and nothing is changed; then it counts."""
    typed = {"pause": "1", "generation": "1", "do": "json", "json": JSON_ANSWER}
    with quick_site.client() as client:
        run = waiting_run(client)
        os.kill(asking.pid, signal.SIGSTOP)
        no_lease(valkey)
        begun = time.monotonic()
        shown = client.post(f"/runs/{run}/answer", data=typed)
        told = client.post(f"/api/runs/{run}/answer", json={"answer": {"value": "Ada"}})
        assert time.monotonic() - begun < float(LEASE_SECONDS)
        assert (shown.status_code, told.status_code) == (409, 503)
        assert "The process of this run says nothing" in shown.text
        assert "Nothing was sent" in shown.text
        assert "&#34;Ada&#34;}" in shown.text
        assert told.headers["Retry-After"] == "1"
        assert waiting_run(client) == run
        os.kill(asking.pid, signal.SIGCONT)
        until(lambda: client.post(f"/runs/{run}/answer", data=typed).status_code == 303)
        assert done(get_client().wait_for_flow_run(run, 20)).state.result() == "Hello, Ada!"
        assert "says nothing" not in client.get(f"/runs/{run}").text


def test_an_open_page_looks_whether_somebody_waits(quick_site, asking, valkey):
    """Who only looks sees first that it says nothing, then that the run has crashed."""
    with quick_site.client() as client:
        run = waiting_run(client)
        asking.kill()
        asking.wait()
        no_lease(valkey)
        with client.stream("GET", "/events") as stream:
            told = stream.iter_text()
            assert "resync" in heard(told, "resync", "state"), "another verdict"
            assert "says nothing" in client.get(f"/runs/{run}").text
            while client.get(f"/api/runs/{run}").json()["state"] != "Crashed":
                heard(told, "Crashed", "resync")  # each makes an open page look again
        assert client.get("/api/waiting").json() == []
        late = client.post(
            f"/runs/{run}/answer",
            data={"pause": "1", "generation": "1", "do": "json", "json": JSON_ANSWER},
        )
        assert late.status_code == 409
        assert "Nobody waits for it" in late.text
        assert "&#34;Ada&#34;}" in late.text, "what was typed is still there"
        answer = {"answer": {"value": "Ada"}, "pause": "1", "generation": 1}
        late = client.post(f"/api/runs/{run}/answer", json=answer)
        assert late.status_code == 409
        assert "nobody waits for the answer" in late.json()["problem"]


def heard(told, *words):
    """Read a stream to one of these words."""
    text, end = "", time.monotonic() + 60
    for part in told:
        text += part
        assert time.monotonic() < end, text
        if any(each in text for each in words):
            return text
    raise AssertionError(text)


def test_a_run_that_nobody_serves_says_so(site, valkey):
    """On its page, and where it is started."""

    async def served_by_nobody():
        await deployments.register(current_bus(), "f/x", {"flow": "f"})

    done(served_by_nobody())
    words = "No worker serves f/x now: the run waits until one does."
    with site.client() as client:
        assert "0 workers" in client.get("/deployments/f/x").text
        shown = client.post("/deployments/f/x", data={"do": "send"}, follow_redirects=True)
        assert words in shown.text
        run = client.get("/api/runs").json()[0]["id"]
        client.post(f"/api/runs/{run}/cancel")
        assert words not in client.get(f"/runs/{run}").text
