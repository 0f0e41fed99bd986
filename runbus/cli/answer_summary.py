"""Answers that were given: by whom, when, with what, and without what was typed unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import to_json

from runbus.cli import output, times
from runbus.cli.form import fields_of, items_of
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from runbus.protocol.records import Pause

VEIL = "…"


def veiled(pause: Pause) -> Pause:
    """Return a pause in whose answer the secrets are hidden."""
    if pause.value is None:
        return pause
    return replace(pause, value=to_json(without_secrets(pause, read_json(pause.value))))


def without_secrets(pause: Pause, answer: Any) -> Any:
    """Return an answer with its secrets hidden, its fields in the order of the form."""
    return _veil(_in_order(pause.schema or {}, answer), set(_secret_names(pause.schema)))


def _in_order(form: dict[str, Any], answer: Any) -> Any:
    if not isinstance(answer, dict):
        return answer
    given = cast("dict[str, Any]", answer)
    asked = [name for name in fields_of(form.get("properties")) if name in given]
    return {name: given[name] for name in asked} | given


def in_words(pause: Pause) -> str:
    """Say who answered a pause, when and with what."""
    words = f"{pause.by or 'somebody'} answered"
    if pause.answered is not None:
        words += f" at {times.clock(pause.answered)} ({times.relative(pause.answered)})"
    given = without_secrets(pause, read_json(pause.value))
    return f"{words}: {output.value(given, 200)}" if given else words


def _secret_names(schema: Any) -> Iterator[str]:
    # Wherever in the form: what is called so is hidden everywhere, which is sometimes too much.
    if isinstance(schema, list):
        for each in cast("list[Any]", schema):
            yield from _secret_names(each)
    if not isinstance(schema, dict):
        return
    for name, each in cast("dict[str, Any]", schema).items():
        if _is_secret(each):
            yield name
        yield from _secret_names(each)


def _is_secret(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    found = cast("dict[str, Any]", schema)
    return found.get("format") == "password" or any(map(_is_secret, items_of(found.get("anyOf"))))


def _veil(value: Any, names: Set[str]) -> Any:
    if isinstance(value, list):
        return [_veil(each, names) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("dict[str, Any]", value).items()
    return {name: VEIL if name in names else _veil(each, names) for name, each in items}
