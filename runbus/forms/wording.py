"""Wording: what a value is and what can be typed for it, in a few words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbus.forms import catalogue
from runbus.forms.core_types import is_decimal, moment
from runbus.forms.parts import Boolean, Json, List, Map, Number, Text, Tuple
from runbus.forms.references import fields_of, items_of
from runbus.forms.values import json_text, label

if TYPE_CHECKING:
    from runbus.forms.parts import Part, Schema

MOST_OPTIONS = 5
_DEEPEST = 3


def humanise(name: str) -> str:
    """Return a label for a field that has no title: `max_seats` is `Max seats`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def in_words(name: str) -> str:
    """Write the name of a class in words: `OrderDetails` is `Order Details`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)


def noun(schema: Schema, depth: int = 0) -> str:
    """Name what a schema without references asks for, without an article: `whole number`."""
    if "const" in schema:
        return label(schema["const"])
    if is_decimal(schema):
        return catalogue.NOUNS_OF_TYPES["number"]
    if options := items_of(schema.get("enum")):
        more = " …" if len(options) > MOST_OPTIONS else ""
        shown = ", ".join(map(label, options[:MOST_OPTIONS])) + more
        return catalogue.ONE_OF.format(options=shown)
    kinds = items_of(schema.get("anyOf")) or items_of(schema.get("oneOf"))
    if kinds and depth < _DEEPEST:
        # In their order, each once: what a reference leads to is not looked at.
        return catalogue.OR.join(dict.fromkeys(noun(fields_of(each), depth + 1) for each in kinds))
    found = _by_type(schema)
    inner = noun(fields_of(schema.get("items")), depth + 1) if depth < _DEEPEST else ""
    several = catalogue.COUNTED.get(inner) if schema.get("type") == "array" else None
    return catalogue.LIST_OF.format(several=several) if several else found


def _by_type(schema: Schema) -> str:
    kind, form = schema.get("type"), schema.get("format")
    by_format = catalogue.NOUNS.get(form) if kind == "string" and isinstance(form, str) else None
    return by_format or catalogue.NOUNS_OF_TYPES.get(str(kind), catalogue.ANY_JSON)


def noun_of(part: Part) -> str:
    """Name what a part asks for, without an article."""
    if isinstance(part, Number):
        return catalogue.NOUNS_OF_TYPES["integer" if part.is_whole else "number"]
    return noun(part.schema)


def with_article(found: str) -> str:
    """Return `a whole number` for `whole number`."""
    if found in catalogue.WITHOUT_ARTICLE or found.startswith("one of"):
        return found
    return f"{'an' if found[:1] in 'aeio' else 'a'} {found}"


def hint(part: Part) -> str:
    """Return what can be typed, in a few words; empty where there is nothing to say."""
    words = [spelling(part), *limits(part)]
    if "pattern" in part.limits:
        words.append(catalogue.LIKE.format(pattern=part.limits["pattern"]))
    if not part.required or part.nullable:
        words.append(catalogue.OPTIONAL)
    return ", ".join(filter(None, words))


def spelling(part: Part) -> str:
    """Return what a value is and how it is written; empty where that is clear."""
    match part:
        case Text(format=found) if found in catalogue.NOUNS:
            named, written = with_article(catalogue.NOUNS[found]), catalogue.SPELLINGS.get(found)
            return f"{named}, {written}" if written else named
        case Number() | Boolean() | List() | Json():
            return with_article(noun_of(part))
        case Map():
            return catalogue.PAIRS
        case Tuple():
            return catalogue.A_LIST
        case _:
            return ""


def limits(part: Part) -> list[str]:
    """Return what bounds a value, each in a few words."""
    found = part.limits
    shortest = found.get("minLength")
    words = [
        _between(found.get("minimum"), found.get("maximum")),
        # That it is required says that there is one.
        _between(None if shortest == 1 else shortest, found.get("maxLength"), catalogue.CHARACTERS),
        _between(found.get("minItems"), found.get("maxItems"), catalogue.OF_THEM),
        *(
            words.format(json_text(found[name]))
            for name, words in catalogue.LIMITS.items()
            if name in found
        ),
        catalogue.NO_TWO_ALIKE if found.get("uniqueItems") else "",
        catalogue.MOMENTS.get(moment(part.schema), ""),
    ]
    return [each for each in words if each]


def _between(least: object, most: object, what: tuple[str, str] = ("", "")) -> str:
    named = what[(least if most is None else most) != 1]
    if named and least == most and least is not None:
        return json_text(least) + named
    if least is not None and most is not None:
        return catalogue.BETWEEN.format(least=json_text(least), most=json_text(most)) + named
    if least is not None:
        return catalogue.LEAST.format(json_text(least)) + named
    return "" if most is None else catalogue.MOST.format(json_text(most)) + named
