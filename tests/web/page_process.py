"""The page as a process of its own, for its tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from runbus.store.bus import current_bus
from runbus.store.records import runs


def done(coroutine):
    """Run a coroutine to its end in a thread of its own: a browser's loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


async def suspended():
    """A run of a deployment that was suspended from outside, and asks for nothing."""
    bus, run_id = current_bus(), uuid4()
    fields = {"flow": "f", "name": "calm-otter", "deployment": "f/x"}
    run = await runs.create(bus, run_id, fields)
    await runs.move(bus, run, "Suspended", after=["Scheduled"])
    return str(run_id)


def until(look):
    """What `look` returns, once it is something."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@dataclass
class Site:
    """A page that is served."""

    url: str
    process: subprocess.Popen[str]
    token: str = ""
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def client(self, **options) -> httpx.Client:
        """A client that speaks as the page's own forms do."""
        headers = {"Origin": self.url.rstrip("/"), **options.pop("headers", {})}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=20, **options)
        self.clients.append(client)
        return client


@contextlib.contextmanager
def served(
    url: str, *words: str, says: tuple[str, ...] = ("Invalid HTTP request",), **environment: str
):
    """Serve the page as a process; `url` is the store's. It writes no lines but what it may say.

    A fuzzer may send what is no HTTP.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "runbus.web", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RUNBUS_URL": url, "PYTHONUNBUFFERED": "1", **environment},
    )
    first = process.stdout.readline()
    site = Site(url=first.partition(": ")[2].strip(), process=process)
    try:
        assert first.startswith("runbus web: http://"), first + process.stdout.read()
        yield site
    finally:
        for client in site.clients:
            client.close()
        process.terminate()
        said = process.communicate(timeout=15)[0]
    assert process.returncode == 0, said
    told = [line for line in said.splitlines() if not any(may in line for may in says)]
    assert told == [], said


def read_until(client, path, words):
    """What an event stream says, to the first of these words."""
    text = ""
    with client.stream("GET", path) as stream:
        for part in stream.iter_text():
            text += part
            if words in text:
                return text
    raise AssertionError(text)
