"""The page while a part of a cluster is away."""

from __future__ import annotations

import time

from clusters import Cluster
from page_process import done, served, suspended

from runbus.settings import temporary_settings


def test_the_page_says_that_a_part_is_away(tmp_path):
    """It comes soon, with what the others have, and names who does not answer."""
    options = ("--cluster-require-full-coverage", "no", "--cluster-replica-no-failover", "yes")
    with Cluster("valkey", *options) as cluster, temporary_settings(url=cluster.url):
        runs = [done(suspended()) for _ in range(20)]
        with served(cluster.url, says="does not answer") as site, site.client() as client:
            page = client.get("/runs").text
            assert all(run in page for run in runs)
            assert 'id="away" class="problems" role="status" data-live hidden' in page
            cluster.nodes[1].freeze()
            started = time.monotonic()
            page = client.get("/").text
            assert time.monotonic() - started < 5
            assert f"127.0.0.1:{cluster.nodes[1].port} does not answer" in page
            cluster.nodes[1].thaw()
