"""Fields that are gone: what a form had that came back, and the question as it is now does not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.forms.references import items_of
from runbus.forms.secrets import hidden_names
from runbus.forms.values import Mistyped, json_text, read_json
from runbus.web.form_fields import written_step
from runbus.web.templating import last

if TYPE_CHECKING:
    from collections.abc import Set

    from runbus.forms.parts import Schema
    from runbus.web.form_fields import Posted
    from runbus.web.form_page import Form


@dataclass(frozen=True, kw_only=True)
class GoneField:
    """A field that is no longer asked for."""

    place: str
    text: str
    """What it held; empty where that is a secret, or may be one."""


def names_of_secrets(schema: Schema | None) -> str:
    """Write which fields of a form are secret: it comes back with that."""
    return json_text(sorted(hidden_names(schema)))


def gone_fields(posted: Posted, form: Form, schema: Schema | None) -> list[GoneField]:
    """List what was filled in and has no field in the form of now, whose schema this is."""
    if form.root is None or form.box_is_open:
        return []  # what was typed stands in the JSON box
    kept = {each.name for each in form.root.walk()}
    secret = _secrets_before(posted)
    if secret is not None:
        secret |= hidden_names(schema)
    return [
        _gone(name, texts[-1], secret)
        for name, texts in posted.items()
        if name.startswith("/") and "#" not in name and name not in kept and texts[-1].strip()
    ]


def _secrets_before(posted: Posted) -> Set[str] | None:
    """Return which fields of the form that came back are secret; None where it does not say."""
    with suppress(Mistyped):
        named = read_json(last(posted, "secrets"))
        if isinstance(named, list):
            return set(map(str, items_of(named)))
    return None


def _gone(name: str, text: str, secret: Set[str] | None) -> GoneField:
    steps = [each.replace("~1", "/").replace("~0", "~") for each in name.split("/")[1:]]
    place = ".".join(written_step(int(each) if each.isdecimal() else each) for each in steps)
    may_be_secret = secret is None or not secret.isdisjoint(steps)
    return GoneField(place=place, text="" if may_be_secret else text)
