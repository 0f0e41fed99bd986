"""`python -m benchmarks.anatomy`: where each microsecond of a send and of a receive goes.

For each act: what an input costs this process's processor by part, the server by its script and in
all, and the clock. Then what the machine allows at best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import table
from benchmarks.anatomy import acts, limits
from benchmarks.anatomy.sampler import sampled
from benchmarks.program import benched

if TYPE_CHECKING:
    from redis import Redis

    from benchmarks.bench import Bench

_WARM_UP_SECONDS = 0.5
_COSTLIEST = 8


def main() -> int:
    """Run the command; return its exit status."""
    options = _parse_options()
    found: dict[str, dict[str, float]] = {}
    with benched(options.url) as bench:
        facts = table.machine_facts(bench.url, quick=False)
        for name, act in acts.ALL.items():
            with bench.settings():
                found[name] = asyncio.run(_take_apart(bench, act, options.seconds))
            _print(name, found[name])
        at_best = asyncio.run(limits.of_client(bench.url))
        found["at best"] = at_best | limits.of_server(bench.url, bench.plain_key())
        _print("what the machine allows", found["at best"])
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": facts, "us": found}, indent=2) + "\n")
    return 0


async def _take_apart(bench: Bench, act: acts.Act, seconds: float) -> dict[str, float]:
    with bench.control() as control:
        await act(_WARM_UP_SECONDS)
        script, server = _used(control)
        clock, client = time.perf_counter(), time.process_time()
        with sampled() as samples:
            count = await act(seconds)
        client, clock = time.process_time() - client, time.perf_counter() - clock
        now = _used(control)
        script, server = now[0] - script, now[1] - server
    per_input = client / count * 1e6
    costliest = samples.costliest(_COSTLIEST).items()
    return {
        "clock": clock / count * 1e6,
        "client": per_input,
        **{f"  {part}": share * per_input for part, share in samples.parts().items()},
        **{f"    {name}": share * per_input for name, share in costliest},
        "server, its commands": script / count,
        "server, in all": server / count * 1e6,
    }


def _used(control: Redis) -> tuple[float, float]:
    """Return the server's microseconds in scripts and reads, and its seconds in all."""
    commands: dict[str, Any] = control.info("commandstats")
    processor: dict[str, Any] = control.info("cpu")
    names = ("cmdstat_evalsha", "cmdstat_xread")
    asked = sum(commands.get(name, {}).get("usec", 0) for name in names)
    return asked, processor["used_cpu_user"] + processor["used_cpu_sys"]


def _print(name: str, found: dict[str, float]) -> None:
    print(f"\n{name:<48} {'us':>8}")
    print("-" * 57)
    for what, cost in found.items():
        print(f"{what:<48} {cost:>8.2f}", flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anatomy", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each act (default: 8)")
    parser.add_argument("--url", help="a server to use, idle otherwise (default: one of our own)")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/anatomy.json"), metavar="FILE"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
