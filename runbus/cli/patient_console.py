"""Rich's console, but for what it does when nobody reads on."""

from __future__ import annotations

from rich.console import Console


class PatientConsole(Console):
    """A console for a pipe that may end."""

    def on_broken_pipe(self) -> None:
        """Raise `BrokenPipeError`: who has read enough, as `head` has, is not an error.

        Rich would end the process with 1.
        """
        raise BrokenPipeError
