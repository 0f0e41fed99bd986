"""The page as a process: where it listens, how it ends, and what it is made of."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from page_process import served

from runbus import web

STATIC = Path(web.__file__).parent / "static"


def test_it_ends_within_two_seconds(valkey):
    """SIGTERM ends it while browsers listen to its events; each stream ends in order."""
    with (
        served(valkey.url) as site,
        httpx.Client(base_url=site.url, timeout=20) as client,
        client.stream("GET", "/events") as one,
        client.stream("GET", "/events") as other,
    ):
        streams = [stream.iter_text() for stream in (one, other)]
        assert all("hello" in next(stream) for stream in streams)
        begun = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        for stream in streams:
            "".join(stream)  # to its end: one that is cut raises
        assert site.process.wait(10) == 0
        assert time.monotonic() - begun < 2


def test_prometheus_has_a_port_of_its_own(valkey):
    """Where the settings say, and nowhere else."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served(valkey.url, RUNBUS_METRICS_PORT=str(port)):
        told = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text
        assert "runbus_pending_pauses 0" in told
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=20).status_code == 200


def test_a_store_that_refuses_is_not_the_visitors_fault(valkey):
    """A password that the server does not take is told as what it is: unavailable."""
    url = valkey.url.replace("redis://", "redis://somebody:wrong@")
    with (
        served(url, says=("event streams cannot be followed",)) as site,
        httpx.Client(base_url=site.url, timeout=20) as client,
    ):
        for path in ("/", "/api/runs"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "refused" in answer.text


def test_a_taken_port_is_said_in_one_line(valkey):
    """No traceback, and an exit code that scripts can use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "runbus.web", "--port", port],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"runbus: cannot listen on 127.0.0.1 port {port}")
    assert ended.stderr.count("\n") == 1


def test_what_it_needs_is_named_where_it_is_missing():
    """Without the extra `web` the words are a command to copy."""
    code = "import sys; sys.modules['fastapi'] = None; from runbus.web import main; exit(main([]))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 2
    assert ended.stderr == "runbus: the web page needs `pip install 'runbus[web]'`.\n"


def test_vendored_files_are_those_of_the_package():
    """Each file has the hash that was written down when it was taken, and its licence beside it."""
    vendor = STATIC / "vendor"
    manifest = json.loads((vendor / "manifest.json").read_text())
    own = {"manifest.json", "refresh.py"}
    assert {file.name for file in vendor.iterdir() if file.is_file()} == own | {*manifest["sha256"]}
    for name, wanted in manifest["sha256"].items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == wanted
    assert any("LICENSE" in name for name in manifest["sha256"])
    assert manifest["version"] in manifest["tarball"]
