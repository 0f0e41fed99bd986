"""Secrets behind every door: what a form or a flow marks as one comes out of none of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from page_process import done, until

from runbus import get_client
from runbus.cli.exits import DONE, FAILED

CANARY = "canary-7Qx"
PARAMETERS = {
    "account": {"user": "ada", "token": f"{CANARY}-token"},
    "keys": [f"{CANARY}-key"],
    "note": "not a secret",
}
ANSWER = {
    "user": "ada",
    "password": f"{CANARY}-password",
    "spare": [f"{CANARY}-spare"],
    "pin": "7314992",
    "place": {"city": "Rome", "door_code": f"{CANARY}-door"},
}
SECRET = (CANARY, ANSWER["pin"])
PAGES = ("/", "/runs", "/deployments", "/deployments/log-in/x", "/runs/{id}")
API = ("/runs", "/waiting", "/deployments", "/runs/{id}")
API_OF_RUN = ("/runs/{id}/pauses", "/runs/{id}/log", "/runs/{id}/inputs")
ASKED = ("run ls --waiting --json", "run show {id}")
ENDED = (
    "inputs {id} --json",
    "run ls --json",
    "run show {id}",
    "run show {id} --json",
    "run logs {id}",
)


class Doors:
    """What came out of all doors."""

    def __init__(self, valkey, site, run_id):
        self.url, self.site, self.run_id = valkey.url, site, run_id

    def look(self, commands):
        with self.site.client() as client:
            for path in (*PAGES, *(f"/api{each}" for each in (*API, *API_OF_RUN))):
                found = client.get(path.format(id=self.run_id), follow_redirects=True)
                assert found.status_code == 200, path
                check(found.text, path)
        for command in commands:
            told = self.command(*command.format(id=self.run_id).split())
            assert told.returncode == DONE, (command, told.stderr)

    def command(self, *words):
        ended = subprocess.run(
            [sys.executable, "-m", "runbus", *words],
            env={**os.environ, "RUNBUS_URL": self.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        check(ended.stdout + ended.stderr, " ".join(words[:3]))
        return ended


def check(text, door):
    for secret in SECRET:
        assert secret not in text, door


@pytest.fixture
def worker(valkey, tmp_path):
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "secret_flow"],
            cwd=Path(__file__).parent,
            env={**os.environ, "RUNBUS_URL": valkey.url},
            stderr=said,
        )
        yield tmp_path / "said"
        process.terminate()
        process.wait(20)


@pytest.fixture
def events(valkey, tmp_path):
    """What `runbus events` prints meanwhile."""
    with (tmp_path / "events").open("w") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "runbus", "events", "--follow", "--json"],
            env={**os.environ, "RUNBUS_URL": valkey.url},
            stdout=printed,
        )
        yield tmp_path / "events"
        process.terminate()
        process.wait(20)


@pytest.mark.long
def test_no_door_shows_a_secret(valkey, site, worker, events):
    """Not while the run waits, not to who is refused or too late, and not when it has ended."""
    with site.client() as client:
        until(lambda: client.get("/api/deployments").json())
        begun = client.post("/api/deployments/log-in/x/runs", json={"parameters": PARAMETERS})
        assert begun.status_code == 201
        check(begun.text, "start")
        assert begun.json()["parameters"]["note"] == "not a secret"
        run_id = begun.json()["id"]
        until(lambda: client.get("/api/waiting").json())
        doors = Doors(valkey, site, run_id)
        doors.look(ASKED)

        path = f"/api/runs/{run_id}/answer"
        short = {"user": 5, "password": CANARY[:7], "pin": "x7314992", "spare": [[ANSWER["pin"]]]}
        refused = client.post(path, json={"answer": short})
        assert refused.status_code == 422
        assert CANARY[:7] not in refused.text
        check(refused.text, "refusal")
        told = doors.command("resume", run_id, "--input", json.dumps(short))
        assert told.returncode == FAILED, told.stderr
        assert "password: it must have at least 8 characters" in told.stderr
        late_word = "a word that a reader may see"
        assert doors.command("send", run_id, late_word, "--type", "str").returncode == DONE

        form = {
            "pause": "1",
            "generation": "1",
            "do": "json",
            "json": '{"password": "canary-7Qx-"}',
        }
        assert client.post(path, json={"answer": ANSWER}).status_code == 204
        late = client.post(path, json={"answer": ANSWER, "pause": "1", "generation": 1})
        assert late.status_code == 409
        check(late.text, "too late")
        page = client.post(f"/runs/{run_id}/answer", data=form)
        assert page.status_code == 409, page.text
        check(page.text, "too late, on the page")
        assert "ada" in page.text
        told = doors.command("resume", run_id, "--input", json.dumps({**ANSWER, "user": "bob"}))
        assert told.returncode == FAILED, told.stderr
        assert late_word in doors.command("inputs", run_id).stdout

        ended = done(get_client().wait_for_flow_run(run_id, timeout=20))
        assert ended.state.result() == "ada"
        doors.look(ENDED)
    check(worker.read_text(), "the worker's terminal")
    until(lambda: "Completed" in events.read_text())
    check(events.read_text(), "events")
    told = doors.command(
        *("deployment", "run", "log-in/x", "--json", "-p", f'keys=["{CANARY}"]'),
        *("-p", f'account={{"user": "bo", "token": "{CANARY}"}}'),
    )
    assert told.returncode == 0, told.stderr
    done(get_client().cancel_flow_run(json.loads(told.stdout)["id"]))
