"""The long form: `python -m tests.chaos --minutes 10 --seed 7`.

First a million inputs go through one process, whose memory must stay flat; then storm after storm
rages, each in the next world; those over long-lived workers last a minute each.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from servers import EngineMissing, Server

from chaos.long_lived import LongLivedStorm
from chaos.memory import SLACK_BYTES, WARM_PARTS, growth, measure
from chaos.storm import Storm
from chaos.worlds import LONG_LIVED, WORLDS

STORM_SECONDS = 30.0
LONG_SECONDS = 60.0
ALL = [*WORLDS, *LONG_LIVED]


def main() -> int:
    """Return 0 when every storm ended well."""
    options = _options()
    print(f"seed {options.seed}")
    good = bad = 0
    if options.inputs:
        is_flat = _soak(options.inputs)
        good, bad = int(is_flat), int(not is_flat)
    rng, ends = random.Random(options.seed), time.monotonic() + 60 * options.minutes
    names = options.world or ALL
    while (left := ends - time.monotonic()) > 0:
        name = names[(good + bad) % len(names)]
        longest = LONG_SECONDS if name in LONG_LIVED else STORM_SECONDS
        seconds = options.storm_seconds or min(longest, max(5.0, left))
        seed = rng.getrandbits(32)
        is_good = _storm(name, options.storm_seed or seed, seconds, keeps=options.keep)
        good, bad = good + is_good, bad + (not is_good)
    print(f"verdict: {good} ended well, {bad} did not")
    return bad > 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--world", action="append", choices=ALL, help="only in these")
    parser.add_argument("--storm-seed", type=int, help="repeat the storm that was shown with it")
    parser.add_argument("--storm-seconds", type=float, help="how long each storm is")
    parser.add_argument("--keep", action="store_true", help="leave what was written down")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for the memory; 0: none")
    return parser.parse_args()


def _soak(inputs: int) -> bool:
    print(f"{inputs:,} inputs through one process", flush=True)
    with Server.start("valkey", "--appendonly", "no") as server:
        samples = measure(server.url, inputs)
    grown, warm = growth(samples), samples[WARM_PARTS]
    is_flat = grown < SLACK_BYTES
    told = f"{warm / 2**20:.1f} MiB when warm, {grown / 2**20:+.1f} MiB at the end"
    print(f"memory: {'flat' if is_flat else 'NOT FLAT'}; {told}", flush=True)
    return is_flat


def _storm(name: str, seed: int, seconds: float, *, keeps: bool) -> bool:
    shown = f"{name}, storm seed {seed}"
    try:
        world = (LONG_LIVED if name in LONG_LIVED else WORLDS)[name]()
    except EngineMissing as missing:
        print(f"{shown}: skipped, {missing}")
        return True
    with world:
        if name in LONG_LIVED:
            storm: Any = LongLivedStorm(world, seed, seconds, _progress(shown), keeps=keeps)
        else:
            storm = Storm(world, seed, seconds, _progress(shown))
        verdict = asyncio.run(storm.rage())
    _show(f"{shown}: {'good' if verdict.is_good else 'BAD'}; {len(storm.faults_made)} faults\n")
    print(f"  {storm.figures}" if name in LONG_LIVED else f"  {verdict}")
    print(*verdict.violations[:20] if name in LONG_LIVED else (), sep="\n  ", flush=True)
    if not verdict.is_good:
        print(f"  {' '.join(storm.faults_made)}")
    return verdict.is_good


def _progress(shown: str) -> object:
    made: list[str] = []

    def say(fault: str) -> None:
        made.append(fault)
        _show(f"{shown}: {len(made)} faults, now {fault}")

    return say


def _show(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="", flush=True)
    elif line.endswith("\n"):
        print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
