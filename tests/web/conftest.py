"""Fixtures of the page's tests: the page as a process of its own, and a real browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_process import done, served

from runbus import get_client
from runbus.errors import RunbusError

_REQUIRED = bool(os.environ.get("CI") or os.environ.get("RUNBUS_TESTS_REQUIRE_SERVERS"))
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser"])), None)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """The pages that the tests of this module share: each is started at its first use.

    What the server holds is another test's each time, and all connections were cut before. Other
    modules' tests are to find no page that listens: it puts its keys on the empty server.
    """
    file = tmp_path_factory.mktemp("web") / "tokens"
    file.write_text("# who may\nada=ada-0123456789abcdef\nbob=bob-0123456789abcdef\n")
    running = {}
    with contextlib.ExitStack() as stack:

        def site_for(url, *words):
            if (url, words) not in running:
                may_say = ("Invalid HTTP request", "no connection: ")
                running[url, words] = stack.enter_context(served(url, *words, says=may_say))
            return running[url, words]

        yield site_for, file


@pytest.fixture
def site(valkey, sites):
    """The page on loopback, without logins."""
    return sites[0](valkey.url)


@pytest.fixture
def guarded_site(valkey, sites):
    """The page with two people who may log in."""
    return sites[0](valkey.url, "--token-file", str(sites[1]))


@pytest.fixture
def started(valkey):
    """`started("book")` calls a flow of `questions.py` in a process; all end with the test."""
    processes = []

    def start(name):
        words = [sys.executable, "-m", "questions", name]
        environment = {**os.environ, "RUNBUS_URL": valkey.url}
        processes.append(subprocess.Popen(words, cwd=Path(__file__).parent, env=environment))

    yield start
    try:
        done(_cancel_all())
        for process in processes:
            process.wait(20)
    finally:
        for process in processes:
            process.kill()


async def _cancel_all():
    client = get_client()
    for run in await client.read_flow_runs():
        with contextlib.suppress(RunbusError):
            await client.cancel_flow_run(run.id)


@pytest.fixture(scope="module")
def chromium():
    """A real browser. Its event loop is in this thread: no test of its module may be async."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright")
    if _CHROMIUM is None:
        _missing("chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


def _missing(what: str) -> None:
    if _REQUIRED:
        pytest.fail(f"{what} is missing, and a browser is required here")
    pytest.skip(f"{what} is missing")


@pytest.fixture
def browse(chromium):
    """`browse(width=…, …)` opens a window; what went wrong in any of them fails the test."""
    from playwright.sync_api import expect

    expect.set_options(timeout=10_000)
    problems: list[str] = []
    contexts = []

    def window(width=1180, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda said: _note(problems, said))
        return page

    yield window
    for context in contexts:
        context.close()
    assert not problems


def _note(problems: list[str], said) -> None:
    # How a refused answer or a missing page is answered is no problem of the page; nor is a server
    # that a test has stopped.
    expected = ("status of 404", "status of 409", "status of 422", "status of 503")
    gone = ("net::ERR_CONNECTION_", "net::ERR_INCOMPLETE", "net::ERR_EMPTY_RESPONSE")
    known = (*expected, *gone)
    if said.type in {"error", "warning"} and not any(each in said.text for each in known):
        problems.append(f"{said.text} {said.location.get('url')}")
