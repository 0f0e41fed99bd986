"""The page while a part of a cluster is away, and after its connections were lost."""

from __future__ import annotations

import re
import time

from clusters import Cluster
from page_process import done, read_until, served, suspended

from runbus.settings import temporary_settings


def test_the_page_says_that_a_part_is_away(tmp_path):
    """It comes soon, with what the others have, and names who does not answer."""
    options = ("--cluster-require-full-coverage", "no", "--cluster-replica-no-failover", "yes")
    with Cluster("valkey", *options) as cluster, temporary_settings(url=cluster.url):
        runs = [done(suspended()) for _ in range(20)]
        with served(cluster.url, says=("does not answer",)) as site, site.client() as client:
            page = client.get("/runs").text
            assert all(run in page for run in runs)
            assert 'id="away" class="problems" role="status" data-live hidden' in page
            cluster.nodes[1].freeze()
            started = time.monotonic()
            page = client.get("/").text
            assert time.monotonic() - started < 5
            assert f"127.0.0.1:{cluster.nodes[1].port} does not answer" in page
            cluster.nodes[1].thaw()


def test_a_browser_looks_again_after_the_store_was_reconnected(valkey):
    """What came meanwhile may have been missed, and a failover takes states back: `resync`."""
    with served(valkey.url, says=("no connection",)) as site, site.client() as client:
        told = re.search(r'/events\?told=([^"&]+)', client.get("/").text)[1]
        assert "hello" in read_until(client, f"/events?told={told}", "hello")
        run = done(suspended())
        read_until(client, f"/events?told={told}", run)  # by now it is followed
        with valkey.client() as redis:
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert "event: resync" in read_until(client, f"/events?told={told}", "resync")
        client.post(f"/api/runs/{run}/cancel")
