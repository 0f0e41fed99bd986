"""Markdown from runs, as HTML that can do no harm."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

MOST_CHARACTERS = 20_000
_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
# `js-default` escapes HTML that is written in the text; nh3 then lets through what is listed here.
_parser = MarkdownIt("js-default", {"linkify": False, "maxNesting": 20})


def to_html(text: str) -> str:
    """Return the HTML of a Markdown text; no images, and links only to http(s) and mail."""
    too_long = len(text) > MOST_CHARACTERS
    html = _parser.render(text[:MOST_CHARACTERS] + ("…" if too_long else ""))
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
