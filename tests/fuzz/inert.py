"""HTML in which nothing acts: it is read as a browser reads it, not searched for words."""

from __future__ import annotations

import re
from html.parser import HTMLParser

FORM_TAGS = {
    *("form", "button", "input", "select", "option", "textarea", "label", "fieldset", "legend"),
    *("p", "span", "div", "ul", "li", "details", "summary", "noscript"),
}
MARKDOWN_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
PAGE_TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "img"),
    *("section", "aside", "b", "time", "dl", "dt", "dd", "datalist"),
    *FORM_TAGS,
    *MARKDOWN_TAGS,
}
_ADDRESS = re.compile(r"https?:|mailto:|[^:]*([/?#]|$)")
_ADDRESSES = {"href", "src", "action", "formaction", "data-events", "data-page"}


class _Inert(HTMLParser):
    def __init__(self, tags: set[str]) -> None:
        super().__init__()
        self._tags = tags

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self._tags, tag
        if tag == "script":
            assert dict(attrs) == {"type": "module", "src": "/static/page.js"}
        for name, value in attrs:
            assert not name.startswith(("on", "style", "srcdoc")), name
            if name in _ADDRESSES:
                assert _ADDRESS.match((value or "").strip().lower()), value

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)

    handle_pi = handle_comment = unknown_decl


def assert_inert(html: str, tags: set[str]) -> None:
    """Only these elements, no handlers, no script but the page's own, no address that is one."""
    html.encode()  # half a character could not be sent
    parser = _Inert(tags)
    parser.feed(html)
    parser.close()
