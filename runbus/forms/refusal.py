"""A refusal: where an answer does not fit and why, in a sentence for a person.

What the model says itself (`json_schema_extra={"error": "…"}`) comes before all else. A value that
fits none of several kinds is told what is wrong by the kind that it comes closest to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runbus.forms import catalogue
from runbus.forms.core_types import KEYWORD, core_error
from runbus.forms.limits import without_point
from runbus.forms.references import along, fields_of, items_of, resolve
from runbus.forms.secrets import is_secret
from runbus.forms.tags import tags_of
from runbus.forms.values import json_text, label
from runbus.forms.wording import noun, with_article
from runbus.protocol.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema_rs import ValidationError

    from runbus.forms.parts import Schema
    from runbus.forms.tags import Tags
    from runbus.protocol.json_value import JSONValue

LONGEST_VALUE = 40
_BOUNDS = {
    "Minimum": catalogue.AT_LEAST,
    "Maximum": catalogue.AT_MOST,
    "ExclusiveMinimum": catalogue.MORE_THAN,
    "ExclusiveMaximum": catalogue.LESS_THAN,
}
_UNFIT = {"AnyOf", "OneOfNotValid"}
_AT_ONCE = {"Constant", "Enum", "Type"}
"""What says of a kind that it was not meant."""


def refusals(root: JSONValue, error: ValidationError) -> Iterator[Problem]:
    """Yield what an error says of each place that it is about."""
    for each in _closer(root, error):
        error = each
        if problem := _wrong_tag(root, error):
            yield problem
            return
    path = list(along(root, error.evaluation_path))
    place = tuple(error.instance_path)
    kind = type(error.kind).__name__
    if kind == "Required":
        yield Problem(loc=(*place, str(_of(error).property)), message=catalogue.REQUIRED)
    elif kind in {"AdditionalProperties", "UnevaluatedProperties"}:
        words = unknown_words(path[-1] if path else {})
        yield from (Problem(loc=(*place, name), message=words) for name in _of(error).unexpected)
    else:
        yield Problem(loc=place, message=_own_words(path) or _words(root, error, path))


def _of(error: ValidationError) -> Any:
    return error.kind


def _closer(root: JSONValue, error: ValidationError) -> Iterator[ValidationError]:
    """Yield the error, and then what is wrong by the kind that was most likely meant."""
    yield error
    while type(error.kind).__name__ in _UNFIT:
        tags = _tags(root, error)
        tag = tags.name if tags else ""
        meant = [each for each in _of(error).context if not _is_other_kind(each, error, tag)]
        if not meant:
            return
        error = min(meant, key=len)[0]
        yield error


def _tags(root: JSONValue, error: ValidationError) -> Tags | None:
    path = list(along(root, error.evaluation_path))
    return tags_of(fields_of(root), path[-1]) if path else None


def _wrong_tag(root: JSONValue, error: ValidationError) -> Problem | None:
    given = error.instance
    if not isinstance(given, dict) or not (tags := _tags(root, error)):
        return None
    path = list(along(root, error.evaluation_path))
    loc = (*error.instance_path, tags.name)
    options = _short(", ".join(map(label, tags.values)), 200)
    if tags.name not in given:
        words = catalogue.REQUIRED_ONE_OF.format(options=options)
        return Problem(loc=loc, message=words) if tags.required else None
    value = fields_of(given)[tags.name]
    if tags.has(value):
        return None
    wanted = catalogue.MUST_BE if len(tags.values) == 1 else catalogue.MUST_BE_ONE_OF
    words = wanted.format(what=options, options=options, is_=catalogue.IS)
    words = words.replace(catalogue.IS, _shown(fields_of(root), value, path))
    return Problem(loc=loc, message=_own_words(path) or words)


def _is_other_kind(errors: list[ValidationError], whole: ValidationError, tag: str) -> bool:
    here = len(whole.instance_path)
    return any(
        type(each.kind).__name__ in _AT_ONCE
        and (len(each.instance_path) == here or _is_tag(each, here, tag))
        for each in errors
    )


def _is_tag(error: ValidationError, here: int, tag: str) -> bool:
    # A constant right inside tells kinds apart.
    if len(error.instance_path) != here + 1:
        return False
    return type(error.kind).__name__ == "Constant" or error.instance_path[-1] == tag


def _own_words(path: list[Schema]) -> str:
    for schema in reversed(path):
        if isinstance(words := schema.get("error"), str):
            return words
    return ""


def _words(root: JSONValue, error: ValidationError, path: list[Schema]) -> str:
    here: Schema = path[-1] if path else {}
    if type(error.kind).__name__ in _UNFIT:
        words = _must_be(_kinds(fields_of(root), here))
    else:
        words = _sentence(error, here)
    # A described type says it better: its bounds have all their digits.
    described = (core_error(each[KEYWORD], error.instance) for each in path if KEYWORD in each)
    words = next(filter(None, described), words)
    return words.replace(catalogue.IS, _shown(fields_of(root), error.instance, path))


def _kinds(root: Schema, here: Schema) -> str:
    kinds = items_of(here.get("anyOf")) or items_of(here.get("oneOf"))
    named = (with_article(noun(resolve(root, each))) for each in kinds)
    return catalogue.OR.join(dict.fromkeys(named))


def _sentence(error: ValidationError, here: Schema) -> str:
    name, kind = type(error.kind).__name__, _of(error)
    if name in _BOUNDS:
        return _BOUNDS[name].format(bound=without_point(kind.limit), is_=catalogue.IS)
    if name[:3] in {"Min", "Max"} and name[3:] in catalogue.THINGS:
        return _count(name, kind.limit, error.instance)
    return _BY_KIND.get(name, _other)(error, here)


def _count(name: str, limit: int, value: object) -> str:
    words = catalogue.COUNT_AT_LEAST if name.startswith("Min") else catalogue.COUNT_AT_MOST
    things = catalogue.THINGS[name[3:]][limit != 1]
    return words.format(bound=limit, things=things, count=len(cast("str", value)))


def _other(_: ValidationError, here: Schema) -> str:
    return catalogue.NOT_FITTING


def _nothing_here(_: ValidationError, here: Schema) -> str:
    return catalogue.NOTHING_HERE


def _alike(_: ValidationError, here: Schema) -> str:
    return catalogue.ALIKE


def _must_be(what: str) -> str:
    return catalogue.MUST_BE.format(what=what, is_=catalogue.IS)


def _pattern(error: ValidationError, here: Schema) -> str:
    pattern = here.get("pattern") or _of(error).pattern
    return catalogue.MUST_MATCH.format(pattern=pattern, is_=catalogue.IS)


def _options(error: ValidationError, _: Schema) -> str:
    shown = ", ".join(map(label, _of(error).options))
    return catalogue.MUST_BE_ONE_OF.format(options=_short(shown, 200), is_=catalogue.IS)


def _type(error: ValidationError, here: Schema) -> str:
    kinds = [each for each in _of(error).types if each != "null"] or ["null"]
    stated = here if here.get("type") == kinds[0] else {"type": kinds[0]}
    wanted = [stated, *({"type": each} for each in kinds[1:])]
    return _must_be(catalogue.OR.join(with_article(noun(each)) for each in wanted))


def _of_a_key(error: ValidationError, here: Schema) -> str:
    inner = _of(error).error
    words = _sentence(inner, {}).replace(catalogue.IS, "")
    return catalogue.OF_A_KEY.format(key=_short(json_text(inner.instance)), words=words)


_BY_KIND: dict[str, Callable[[ValidationError, Schema], str]] = {
    "Constant": lambda error, _: _must_be(label(_of(error).expected_value)),
    "Custom": lambda error, _: _of(error).message,
    "Enum": _options,
    "FalseSchema": _nothing_here,
    "Format": lambda error, _: _must_be(
        catalogue.FORMATS.get(_of(error).format) or with_article(_of(error).format)
    ),
    "MultipleOf": lambda error, _: catalogue.MULTIPLE_OF.format(
        bound=without_point(_of(error).multiple_of), is_=catalogue.IS
    ),
    "Pattern": _pattern,
    "PropertyNames": _of_a_key,
    "Type": _type,
    "UniqueItems": _alike,
}


def unknown_words(
    here: Schema, words: str = catalogue.UNKNOWN, alone: str = catalogue.UNKNOWN_ALONE
) -> str:
    """Return what is said of a name that is none of an object's."""
    names = ", ".join(fields_of(here.get("properties")))
    return words.format(fields=_short(names, 200)) if names else alone


def _shown(root: Schema, value: object, path: list[Schema]) -> str:
    if any(is_secret(root, each) for each in path):
        return ""
    text = json_text(value)
    # What is long is not read, and what has parts may hold secrets.
    is_shown = not isinstance(value, (dict, list)) and value != ""
    return catalogue.AND_IS.format(_short(text)) if is_shown else ""


def _short(text: str, most: int = LONGEST_VALUE) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
