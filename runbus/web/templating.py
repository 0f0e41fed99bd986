"""Rendering: the templates, what they all can use, and reading what a page's form posted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic_core import from_json, to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from runbus.forms import catalogue
from runbus.forms.title import first_line, title_of
from runbus.forms.wording import limits, spelling
from runbus.protocol.printed import readable
from runbus.web import markdown, times
from runbus.web.form_fields import Posted
from runbus.web.login_throttle import Guesses

if TYPE_CHECKING:
    from runbus.client import Client
    from runbus.protocol.json_value import JSONObject, JSONValue
    from runbus.web.live import Live
    from runbus.web.options import Options

HERE = Path(__file__).parent
MOST_FIELDS = 20_000
LONGEST_SHOWN = 4000
_NONE = "–"  # noqa: RUF001 - a dash, for people


class Site:
    """What every page has at hand."""

    def __init__(self, client: Client, options: Options, live: Live) -> None:
        self.client = client
        self.options = options
        self.live = live
        self.guesses = Guesses()
        self._templates = _environment()

    async def begin_page(self, request: Request) -> None:
        """Note what was told by now: what happens while the page is made may not be on it."""
        request.state.told = self.live.told

    async def page(
        self, request: Request, template: str, status: int = 200, /, **values: object
    ) -> HTMLResponse:
        """Render a page, with the navigation around it."""
        shown: JSONObject = {
            "by": request.state.by,
            "path": request.scope["path"],
            "told": request.state.told,
            "waiting": await self.client.count_waiting(),
            "away": await self.client.servers_away(),
        }
        # In a thread: a form may have thousands of fields.
        return await asyncio.to_thread(self.bare_page, template, status, **shown, **values)

    def bare_page(self, template: str, status: int = 200, /, **values: object) -> HTMLResponse:
        """Render a page that needs nothing from the store: it can tell that the store is away."""
        around: JSONObject = {
            "by": None,
            "path": "",
            "told": "",
            "waiting": 0,
            "away": [],
            "has_logins": bool(self.options.logins.tokens),
        }
        html = self._templates.get_template(template).render({**around, **values})
        return HTMLResponse(html, status)


async def read_posted(request: Request) -> Posted:
    """Read a form that a page posted. Raises `HTTPException` for what is none."""
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise HTTPException(400, "The form could not be read.") from None
    posted: Posted = {}
    for name, value in pairs:
        posted.setdefault(name, []).append(value)
    return posted


def last(posted: Posted, name: str) -> str:
    """Return a posted field's value, empty when it was not posted."""
    return (posted.get(name) or [""])[-1]


def see_other(url: str) -> RedirectResponse:
    """Send a browser on to a page, after it changed something."""
    return RedirectResponse(url, 303)


def pretty(value: object) -> str:
    """Write a value, or bytes of JSON, as JSON for people, cut where it is very long."""
    if isinstance(value, bytes):
        try:
            value = from_json(value)
        except ValueError:
            return _cut(value.decode(errors="replace"))
    return _cut(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + " …"


def _as_pairs(value: object) -> list[tuple[str, str]] | None:
    # An object without depth reads better as a list of its fields than as JSON, a text as itself.
    try:
        data = from_json(value) if isinstance(value, bytes) else value
    except ValueError:
        return None
    if isinstance(data, (str, int, float)):
        return [("", _in_words(data))]
    if not isinstance(data, dict):
        return None
    return [(name, _in_words(each)) for name, each in cast("JSONObject", data).items()]


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return _NONE
    return (_cut(value) or _NONE) if isinstance(value, str) else pretty(value)


def _shown(value: object) -> JSONValue:
    # Each text that a template shows; `typed` is what a form gives back as it is.
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _typed(text: object) -> Markup:
    return escape(str(text))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(_GLOBALS)
    return environment


def _safe_html(text: str) -> Markup:
    # The one place where HTML is not escaped: it comes out of the sanitiser.
    return Markup(readable(markdown.to_html(text)))  # noqa: S704


def _as_query(values: JSONObject) -> str:
    return urlencode({name: value for name, value in values.items() if value not in {"", None}})


_GLOBALS: JSONObject = {"browser_words": to_json(catalogue.IN_A_BROWSER).decode()}
_FILTERS: JSONObject = {
    "ago": times.ago,
    "exact": times.exact,
    "first_line": first_line,
    "left": times.left,
    "limits": limits,
    "markdown": _safe_html,
    "pairs": _as_pairs,
    "pretty": pretty,
    "query": _as_query,
    "spelling": spelling,
    "title_of": title_of,
    "typed": _typed,
}
