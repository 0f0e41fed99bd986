"""Events: what a browser is told without asking."""

from __future__ import annotations

import re

from page_process import done, read_until, suspended

NOBODY = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


def test_what_happens_before_a_browser_listens_is_told(site, valkey):
    """Between the making of a page and its first listening nothing is missed."""
    with site.client() as client:
        told = re.search(r'/events\?told=([^"&]+)', client.get("/").text)[1]
        run = done(suspended())
        assert "event: state" in read_until(client, f"/events?told={told}", run)
        now = re.search(r'/events\?told=([^"&]+)', client.get("/").text)[1]
        client.post(f"/api/runs/{run}/cancel")
        text = read_until(client, f"/events?told={now}", "Cancelled")
        assert "Suspended" not in text, "that was on the page"


def test_a_page_that_another_process_made_looks_again(site):
    """After a restart, or when too much was missed, nobody knows what: `resync`."""
    with site.client() as client:
        client.get("/")
        assert "resync" in read_until(client, "/events?told=00000000-3", "resync")


def test_a_run_that_is_not_there_is_not_followed_for_ever(site):
    """Its stream is open, silent and costs nothing: no error is logged (the fixture looks)."""
    with site.client() as client:
        assert "hello" in read_until(client, f"/events?run={NOBODY}", "hello")
