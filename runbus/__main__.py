"""`python -m runbus` is the command `runbus`."""

from __future__ import annotations

from runbus.cli import main

if __name__ == "__main__":
    main()
