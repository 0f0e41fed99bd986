"""What a browser posts for a form as it is shown, without a script."""

from __future__ import annotations

from html.parser import HTMLParser


class Controls(HTMLParser):
    """Reads the controls of the first form in some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.posted: dict[str, list[str]] = {}
        self._forms = 0
        self._area: str | None = None
        self._options: list[tuple[str, bool]] | None = None
        self._name = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._forms += tag == "form"
        if tag in {"input", "textarea", "select"}:
            self._name = given.get("name", "")
        if tag == "input" and (
            given.get("type") not in {"radio", "checkbox"} or "checked" in given
        ):
            self._post(given.get("value", ""))
        elif tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._options = []
        elif tag == "option" and self._options is not None:
            self._options.append((given.get("value", ""), "selected" in given))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            self._post(self._area.removeprefix("\n"))
            self._area = None
        elif tag == "select" and self._options:
            chosen = [value for value, is_selected in self._options if is_selected]
            self._post((chosen or [self._options[0][0]])[-1])
            self._options = None

    def _post(self, value: str) -> None:
        if self._name and self._forms == 1:
            self.posted.setdefault(self._name, []).append(value)


def untouched(html: str) -> dict[str, list[str]]:
    """Return what is posted when nothing is changed and the form is sent."""
    return {**Controls(html).posted, "do": ["send"]}
