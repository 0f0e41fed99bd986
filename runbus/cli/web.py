"""`runbus web`: the page, which is a program of its own."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Annotated

from cyclopts import Parameter

from runbus.cli.exits import WrongCall


def web(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
) -> int:
    """Serve the web page. Its options are those of `python -m runbus.web`."""
    if find_spec("runbus.web") is None:
        raise WrongCall("the web page needs `pip install 'runbus[web]'`.")
    sys.stdout.flush()
    command = [sys.executable, "-m", "runbus.web", *words]
    try:
        os.execv(sys.executable, command)  # noqa: S606 # the words are the caller's own
    except ValueError as error:
        raise WrongCall(f"web: {error}") from None
