"""Whatever strangers have stored, each command and each page shows it, and it stays a text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from fuzz import hostile, stored
from fuzz.asgi import ask
from fuzz.called import call
from fuzz.inert import PAGE_TAGS, assert_inert
from runbus.web.app import Page
from runbus.web.logins import Logins
from runbus.web.options import Options

if TYPE_CHECKING:
    from servers import Server

pytestmark = pytest.mark.keys_without_lifetime
few = settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a finding smaller takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
some_store = given(
    run=stored.runs,
    pause=stored.pauses,
    deployment=stored.deployments,
    entry=stored.entries,
    stream=hostile.texts,
)
ID = str(stored.RUN_ID)
COMMANDS = (
    ["run", "ls"],
    ["run", "ls", "--waiting"],
    ["run", "show", ID],
    ["run", "logs", ID],
    ["inputs", ID],
    ["deployment", "ls"],
    ["worker", "ls"],
    ["resume", ID, "--input", "{}"],
)
PAGES = ("/", "/runs", f"/runs/{ID}", "/deployments", f"/deployments/{stored.DEPLOYMENT}")
ANSWERS = (
    *(f"/api/runs/{ID}", f"/api/runs/{ID}/pauses", f"/api/runs/{ID}/log", f"/api/runs/{ID}/inputs"),
    *("/api/runs", "/api/waiting", "/api/deployments"),
)


@pytest.fixture
def page(valkey: Server) -> Page:
    """The page, on which nobody has to log in."""
    options = Options(logins=Logins({}), allowed_hosts=frozenset({"localhost"}), somebody="ada")
    return Page(options)


@few
@some_store
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
def test_commands(valkey: Server, on_terminal: bool, **written: Any) -> None:
    """In a pipe and on a terminal."""
    stored.store(valkey, **written)
    with patch.dict(os.environ, RUNBUS_URL=valkey.url, TERM="dumb"):
        for words in COMMANDS:
            with hostile.bounded():
                ended = call(*words, on_terminal=on_terminal)
            hostile.assert_harmless(ended.shown.replace("\t", "") + ended.told)
            assert "should not happen" not in ended.told, (words, ended)


@few
@some_store
async def test_pages(valkey: Server, page: Page, **written: Any) -> None:
    """Nothing in them acts, and none fails."""
    stored.store(valkey, **written)
    for path in PAGES:
        with hostile.bounded():
            answer = await ask(page, path)
        assert answer.status in {200, 404}, (path, answer)
        assert_inert(answer.text, PAGE_TAGS)
    for path in ANSWERS:
        answer = await ask(page, path)
        assert answer.status in {200, 404}, (path, answer)
        assert answer.headers["content-type"] == "application/json"
    events = await ask(page, "/events", query=f"run={ID}".encode())
    assert events.status == 200
    assert events.text.startswith("retry: ")
