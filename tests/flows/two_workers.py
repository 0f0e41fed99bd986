"""Two workers in one process: `python two_workers.py loop|thread`."""

from __future__ import annotations

import asyncio
import sys
import threading

from lasting import ask, listen

from runbus import serve


async def main() -> None:
    await asyncio.gather(serve(ask.to_deployment("x")), serve(listen.to_deployment("x")))


if __name__ == "__main__":
    if sys.argv[1] == "loop":
        asyncio.run(main())
    else:
        threading.Thread(target=lambda: serve(ask.to_deployment("x"))).start()
        serve(listen.to_deployment("x"))
