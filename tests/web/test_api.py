"""The API for programs: read, answer, send, cancel, start; and what no request may do to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_process import done, suspended, until

from runbus import get_client

FUZZ_EXAMPLES = 8
FEWEST_REQUESTS = 100
NOBODY = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


def waiting(client):
    """The runs that wait, once there is one."""
    return until(lambda: client.get("/api/waiting").json())


def test_a_program_answers_a_run(guarded_site, started):
    """It reads what is asked, is told what is wrong, answers; who is late is told who was first."""
    started("approve")
    ada, bob = (
        guarded_site.client(headers={"Authorization": f"Bearer {name}-0123456789abcdef"})
        for name in ("ada", "bob")
    )
    [found] = waiting(ada)
    run, pause = found["run"]["id"], found["pause"]
    assert pause["form"]["properties"]["value"]["type"] == "boolean"
    about = {"pause": pause["key"], "generation": pause["generation"]}
    path = f"/api/runs/{run}/answer"
    wrong = ada.post(path, json={"answer": {"value": "perhaps"}})
    assert wrong.status_code == 422
    assert list(wrong.json()["fields"]) == ["value"]
    assert ada.post(path, json={"answer": {"value": True}, "pause": "9"}).status_code == 409
    assert ada.post(path, json={"answer": {"value": True}, **about}).status_code == 204
    late = bob.post(path, json={"answer": {"value": False}, **about})
    assert late.status_code == 409
    assert (late.json()["by"], late.json()["answer"]) == ("ada", {"value": True})
    assert late.json()["when"]
    ended = done(get_client().wait_for_flow_run(run, timeout=20))
    assert ended.state.name == "Completed"
    assert ada.get(f"/api/runs/{run}").json()["result"] is True


def test_a_program_sends_and_reads_inputs(site, started):
    """An input goes to its stream once for each key, with the sender's name."""
    started("chat")
    with site.client() as client:
        run = until(lambda: client.get("/api/runs").json())[0]["id"]
        for value, key in [("hello", "k"), ("hello", "k"), ("stop", None)]:
            sent = {"stream": "str", "value": value, "key": key}
            assert client.post(f"/api/runs/{run}/inputs", json=sent).status_code == 204
        stored = client.get(f"/api/runs/{run}/inputs").json()
        assert [each["value"] for each in stored] == ["hello", "stop"]
        assert stored[0]["sender"].startswith("web:")
        done(get_client().wait_for_flow_run(run, timeout=20))
        assert [line["message"] for line in client.get(f"/api/runs/{run}/log").json()] == [
            "heard hello",
            "heard stop",
        ]


def test_a_run_suspended_from_outside_is_let_go_on(site, valkey):
    """It asks for nothing: the inbox lists it, its page has one button, the API a null pause."""
    run = done(suspended())
    with site.client() as client:
        assert waiting(client)[0]["pause"] is None
        assert "a go-ahead: it is suspended" in client.get("/").text
        assert "Let it go on" in client.get(f"/runs/{run}").text
        late = client.post(f"/runs/{run}/answer", data={"pause": "1", "generation": "1"})
        assert late.status_code == 409
        sent = client.post(f"/runs/{run}/answer", data={"pause": "", "generation": ""})
        assert sent.headers["location"] == f"/runs/{run}"
        assert client.get("/api/waiting").json() == []
        client.post(f"/api/runs/{run}/cancel")


BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"answer": {"value": NaN}}',
    b'{"answer": {"value": 1e999}}',
    b'{"answer": {"value": "\\ud800"}}',
    b'{"answer": {"\\udfff": 1}, "\\ud800": 2}',
    b'{"answer": {"value": ' + b"9" * 5000 + b"}}",
    b'{"answer": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"answer": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
    b'{"stream": "str", "value": "\\ud800"}',
    b'{"stream": "str", "value": NaN}',
    b'{"stream": "\\ud800", "value": 1}',
    b'{"stream": "a/b:c{d}\\n", "value": 1}',
    b'{"stream": "str", "value": 1, "key": "\\ud800"}',
    b'{"stream": "str", "value": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"parameters": {"n": NaN, "\\ud800": 1}, "name": "x"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_no_body_is_too_odd(site, valkey, body):
    """Half characters, numbers that are none, depth without end: refused, no error of ours."""
    run = done(suspended())
    headers = {"Content-Type": "application/json"}
    with site.client(headers=headers) as client:
        for path in (f"runs/{run}/inputs", f"runs/{run}/answer", "deployments/f/x/runs"):
            status = client.post(f"/api/{path}", content=body).status_code
            assert status < 500, (path, status)
        for path in (f"/runs/{run}", f"/api/runs/{run}", f"/api/runs/{run}/inputs", "/", "/runs"):
            assert client.get(path).status_code == 200
        client.post(f"/api/runs/{run}/cancel")


@pytest.mark.parametrize(
    "path",
    [
        "runs?page=99999999999999999999",
        "runs?page=-1",
        "runs?page=%C2%B2",
        "runs?text=%00%ff%ed%a0%80",
        "runs?state=Nowhere",
        "runs?deployment=%00&flow=%f0%9f",
        "?page=x",
        "?page=99999999999999999999999",
        "deployments/%00",
        "deployments/a/b/c",
        "deployments/%ff%fe",
        "api/deployments/%ff/runs",
        "events?run=nonsense",
        "events?after=x",
        f"runs/{NOBODY}/%00",
        "api/runs?text=%ed%a0%80&limit=1",
        "api/runs?state=paused",
        f"api/runs/{NOBODY}/log?after=1-",
        "static/../app.py",
        "static/%2e%2e/app.py",
        "static/%00",
        "login?next=%00//x",
    ],
)
def test_no_address_is_too_odd(site, path):
    """Whatever stands in an address, the answer is a page or a refusal."""
    with site.client() as client:
        assert client.get(f"/{path}").status_code < 500


def test_the_document_says_how_long_a_key_counts(site):
    """Who starts a run reads there until when an idempotency key gives the same one."""
    with site.client() as client:
        schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    said = schemas["StartIn"]["properties"]["idempotency_key"]["description"]
    assert "until RUNBUS_RETENTION_SECONDS after its end" in said
    assert "another run" in said


def test_a_fuzzer_finds_no_error(site, started, tmp_path):
    """Requests made from the OpenAPI document, right ones and wrong ones, at runs that exist."""
    started("chat")
    started("approve")
    with site.client() as client:
        waiting(client)
        known = [run["id"] for run in client.get("/api/runs").json()]
        document = client.get("/api/openapi.json").json()
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "run_id":
                    parameter["schema"] = {"anyOf": [{"enum": known}, parameter["schema"]]}
    file = Path(tmp_path, "openapi.json")
    file.write_text(json.dumps(document))
    words = ["run", str(file), "--url", site.url.rstrip("/"), "--checks", "not_a_server_error"]
    options = ["--phases", "coverage,fuzzing", "--max-examples", str(FUZZ_EXAMPLES)]
    said = subprocess.run(
        [str(Path(sys.executable).with_name("schemathesis")), *words, *options, "--no-color"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stdout[-4000:] + said.stderr[-1000:]
    sent = re.search(r"(\d+) generated", said.stdout)
    assert sent, said.stdout[-4000:]
    assert int(sent[1]) > FEWEST_REQUESTS
