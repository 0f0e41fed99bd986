"""A store that is away, a page that is gone: people are told so within seconds."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from page_process import done, served, suspended, until

from runbus import get_client

try:
    from playwright.sync_api import expect
except ImportError:  # then the fixture `browse` says so
    expect = None

NOBODY = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
on_each_engine = pytest.mark.parametrize(
    ("own_server", "gone"), [("valkey", "frozen"), ("redis", "killed")], indirect=["own_server"]
)
"""A page sees no difference between the engines: not each way of being gone with each."""
only_valkey = pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
REQUESTS = [
    ("GET", "/"),
    ("GET", "/runs"),
    ("GET", "/deployments"),
    ("GET", f"/runs/{NOBODY}"),
    ("POST", f"/runs/{NOBODY}/cancel"),
    ("POST", f"/runs/{NOBODY}/answer"),
    ("GET", "/api/waiting"),
    ("POST", f"/api/runs/{NOBODY}/cancel"),
]


def stop(server, gone):
    server.kill() if gone == "killed" else server.freeze()


def bring_back(server, gone):
    server.restart() if gone == "killed" else server.thaw()


@pytest.fixture
def own_site(own_server):
    """A page, and a store that may be stopped; what the page logs about that is its affair."""
    with served(own_server.url, says=("",)) as site:
        yield site


@on_each_engine
def test_a_store_that_is_away_is_told_within_five_seconds(own_server, own_site, gone):
    """Each page and post says so, with the status for it; the login needs no store."""
    with own_site.client() as client:
        assert client.get("/").status_code == 200
        stop(own_server, gone)
        with ThreadPoolExecutor(len(REQUESTS)) as people:
            list(people.map(partial(is_told_in_time, client), REQUESTS))
        assert client.get("/login").status_code == 200
        bring_back(own_server, gone)
        until(lambda: client.get("/").status_code == 200)


def is_told_in_time(client, request):
    method, path = request
    begun = time.monotonic()
    answer = client.request(method, path)
    assert time.monotonic() - begun < 5, path
    assert answer.status_code == 503, path
    if not path.startswith("/api"):
        assert "The store is away" in answer.text


@on_each_engine
def test_event_streams_say_that_the_store_is_away(own_server, own_site, gone):
    """Also one that begins meanwhile, and that of a run; none ends; when it is back they say it."""
    with own_site.client() as client, client.stream("GET", f"/events?run={NOBODY}") as stream:
        told = stream.iter_text()
        heard(told, "event: alive")
        stop(own_server, gone)
        begun = time.monotonic()
        heard(told, "event: away")
        assert time.monotonic() - begun < 5
        with client.stream("GET", f"/events?run={NOBODY}") as late:
            heard(late.iter_text(), "event: away")
        bring_back(own_server, gone)
        heard(told, "event: resync")


def heard(told, words):
    """Read a stream to these words."""
    text = ""
    for part in told:
        text += part
        if words in text:
            return
    raise AssertionError(text)


def stale(page, why):
    """The page says that it may be old, since when and why, and looks like it."""
    expect(page.locator("#lost")).to_contain_text(why, timeout=20_000)
    expect(page.locator("#lost")).to_contain_text(re.compile(r"as it was at \d\d:\d\d:\d\d"))
    expect(page.locator("#waiting")).to_have_css("opacity", "0.55")


def fresh(page):
    """The page is as new as it looks."""
    expect(page.locator("#lost")).to_be_hidden(timeout=20_000)
    expect(page.locator("#waiting")).to_have_css("opacity", "1")


@pytest.mark.long
@only_valkey
def test_an_open_inbox_shows_that_it_is_old(own_server, browse):
    """While the store is away, the page is gone or mute; then it follows again by itself."""
    with served(own_server.url, says=("",)) as site:
        page = browse()
        page.goto(site.url)
        fresh(page)
        own_server.freeze()
        stale(page, "The store cannot be reached.")
        own_server.thaw()
        fresh(page)
        site.process.send_signal(signal.SIGSTOP)
        stale(page, "The connection is lost.")
        site.process.send_signal(signal.SIGCONT)
        fresh(page)
        port = site.host.partition(":")[2]
    stale(page, "The connection is lost.")
    with served(own_server.url, "--port", port, says=("",)):
        fresh(page)
        run = done(suspended())
        expect(page.locator("a.card")).to_have_count(1)
        done(get_client().cancel_flow_run(run))


@only_valkey
def test_the_page_of_an_error_goes_on_when_the_store_is_back(own_server, browse):
    """Who came while it was away sees the inbox by and by, without a reload."""
    with served(own_server.url, says=("",)) as site:
        own_server.kill()
        page = browse()
        page.goto(site.url)
        expect(page.get_by_role("heading")).to_have_text("The store is away")
        own_server.restart()
        expect(page.get_by_text("Nothing waits for you")).to_be_visible(timeout=20_000)
