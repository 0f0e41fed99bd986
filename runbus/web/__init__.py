"""The web page on which people answer the runs that wait: `python -m runbus.web`.

`app` puts it together: list pages, the page of a run with its form (`form_page`, `form_fields`,
`form_values`), the JSON API, and streams of what happens (`live`). `guard` stands before all of it:
logins, bounds of bodies and headers, and how often somebody may guess.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_NEEDED = {"fastapi", "starlette", "uvicorn", "jinja2", "markupsafe", "markdown_it", "nh3"}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until it is told to end; return 0, or 2 when it was wrongly called.

    `argv` are the command's words, by default those of `sys.argv`.
    """
    try:
        from runbus.web.serving import serve
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _NEEDED:
            raise
        print("runbus: the web page needs `pip install 'runbus[web]'`.", file=sys.stderr)
        return 2
    return serve(sys.argv[1:] if argv is None else argv)
