"""The parameters of a run, as they are given on the page, to the API and to the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from page_process import done, until

from runbus import get_client, run_deployment
from runbus.errors import ParametersRefused

LONG = "12345678901234567890.123456789"
WRONG = [
    ({"total": "much"}, "total", "it must be a number, such as 12.50"),
    ({"total": 1, "loud": "perhaps"}, "loud", "it must be yes or no"),
    ({"total": 1, "most": 4}, "most", "it must be at most 3, and is 4"),
    ({"total": 1, "item": {"title": "a", "count": 0}}, "item.count", "at least 1, and is 0"),
    ({"total": 1, "x": 1}, "x", "there is no such parameter: the parameters are total, item"),
    ({}, "total", "it is required"),
]


@pytest.fixture
def site(site, valkey):
    """The page, and a worker that serves `price/x`."""
    site.redis = valkey.url
    process = subprocess.Popen(
        [sys.executable, "-m", "priced"],
        cwd=Path(__file__).parent,
        env={**os.environ, "RUNBUS_URL": valkey.url},
    )
    with site.client() as client:
        until(lambda: client.get("/api/deployments").json())
    yield site
    done(cancelled())
    process.terminate()
    process.wait(20)


async def cancelled():
    client = get_client()
    for run in await client.read_flow_runs():
        if not run.state.is_final():
            await client.cancel_flow_run(run.id)


def command(site, *words):
    return subprocess.run(
        [sys.executable, "-m", "runbus", *words],
        env={**os.environ, "RUNBUS_URL": site.redis},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def by_command(site, parameters):
    words = [f"{name}={json.dumps(each)}" for name, each in parameters.items()]
    ended = command(site, "deployment", "run", "price/x", *(x for w in words for x in ("-p", w)))
    assert ended.returncode == 2, ended
    return ended.stderr


def result_of(run_id):
    return done(get_client().wait_for_flow_run(run_id, timeout=20)).state.result()


def body(site, path, text):
    with site.client() as client:
        sent = client.post(path, content=text, headers={"Content-Type": "application/json"})
    assert sent.status_code in {201, 204}, sent.text
    return sent


def answer(site, run_id, number):
    with site.client() as client:
        until(lambda: client.get("/api/waiting").json())
    body(site, f"/api/runs/{run_id}/answer", f'{{"answer": {{"total": {number}}}}}')


@pytest.mark.parametrize("number", ["0.10", LONG])
def test_amounts_keep_their_digits(site, number):
    """Of a run that a command starts, of one that a program starts, and of an answer's raw body."""
    words = ("-p", f"total={number}", "-p", "loud=yes")
    started = command(site, "deployment", "run", "price/x", *words)
    assert started.returncode == 0, started
    begun = [started.stdout.strip()]
    answer(site, begun[0], number)
    assert result_of(begun[0]) == [number, number, "True", "5"]
    sent = body(site, "/api/deployments/price/x/runs", f'{{"parameters": {{"total": {number}}}}}')
    answer(site, sent.json()["id"], number)
    assert result_of(sent.json()["id"]) == [number, number, "False", "5"]


def test_a_command_takes_what_a_call_takes(site):
    """A yes, a number that is a text, a default beyond its own bounds."""
    for words in (["loud=yes"], ["loud=0"], ["most=2"], ["most=5"], ['item={"title": "1984"}']):
        given = [each for word in ("total=1", *words) for each in ("-p", word)]
        started = command(site, "deployment", "run", "price/x", *given)
        assert started.returncode == 0, started


@pytest.mark.parametrize(("parameters", "field", "words"), WRONG)
def test_what_does_not_fit_is_told_at_every_door(site, parameters, field, words):
    """With the field, in the same words, and nothing is started."""
    with pytest.raises(ParametersRefused) as refused:
        run_deployment("price/x", parameters, timeout=0)
    told = refused.value.problems[field]
    assert words in told
    assert f"{field}: {told}" in by_command(site, parameters)
    with site.client() as client:
        sent = client.post("/api/deployments/price/x/runs", json={"parameters": parameters})
        assert sent.status_code == 422
        assert sent.json()["fields"] == refused.value.problems
        form = {"do": "json", "json": json.dumps(parameters)}
        page = client.post("/deployments/price/x", data=form)
        assert page.status_code == 422
        on_the_page = told.replace("parameter", "field").replace('"', "&#34;")
        assert on_the_page in page.text
        assert client.get("/api/runs").json() == []


def test_what_is_typed_wrong_stands_at_its_field(site):
    """The form comes back with the words at the field, and what was typed."""
    with site.client() as client:
        typed = {"do": "send", "/total": "much", "/most": "4"}
        page = client.post("/deployments/price/x", data=typed)
        assert page.status_code == 422
        assert 'value="much"' in page.text
        for name in ("/total", "/most"):
            field = page.text.partition(f'name="{name}"')
            assert 'aria-invalid="true"' in field[2].partition(">")[0], name
        assert "it is not a number, such as 1.5" in page.text


def test_a_key_that_is_there_twice_is_told(site):
    """In a parameter on the command line, and in a body."""
    twice = '{"a": 1, "a": 2}'
    ended = command(site, "deployment", "run", "price/x", "-p", "total=1", "-p", f"words={twice}")
    assert (ended.returncode, "words: a is there twice" in ended.stderr) == (2, True), ended
    with site.client() as client:
        sent = client.post(
            "/api/deployments/price/x/runs",
            content=f'{{"parameters": {{"total": 1, "words": {twice}}}}}',
            headers={"Content-Type": "application/json"},
        )
        assert (sent.status_code, sent.json()["problem"]) == (422, "a is there twice")


def test_half_a_character_is_told(site):
    """A terminal may give bytes that are no text."""
    ended = command(site, "deployment", "run", "price/x", "-p", "total=\udcff")
    assert (ended.returncode, "half a character" in ended.stderr) == (2, True), ended
