"""Servers whose clock can be set: libfaketime stands between them and the machine's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from servers import Server, popen

LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class ClockedServer(Server):
    """A server whose clock is set by a file."""

    def jump(self, seconds: int) -> None:
        """Set the clock so many seconds ahead of the machine's, or behind it."""
        # As a whole: an empty file would be read as no change at all.
        fresh = self.clock_file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        fresh.replace(self.clock_file)

    @property
    def clock_file(self) -> Path:
        return self.directory / "clock"

    def _popen(self, stdout: Any) -> Any:
        self.jump(0)
        preload = (
            f"LD_PRELOAD={LIBFAKETIME}",
            f"FAKETIME_TIMESTAMP_FILE={self.clock_file}",
            *("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"),
        )
        arguments = [
            part for name, value in self._config().items() for part in (f"--{name}", value)
        ]
        env = shutil.which("env") or "env"
        return popen([env, *preload, str(self._binary), *arguments, *self._config_args], stdout)
