"""Asking a person for an answer, field by field, on a terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from runbus.cli.exits import Failed
from runbus.cli.form import (
    NOTHING,
    Part,
    alternatives,
    fields_of,
    items_of,
    part,
    parts,
    with_default,
)
from runbus.cli.prompt import Prompt
from runbus.cli.typed_values import Mistyped, as_value, label, problem_with
from runbus.protocol.printed import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbus.cli.form import Schema

DEEPEST = 12
MOST_UNASKED = 500


def ask(
    schema: Schema, before: Mapping[str, Any] | None = None, only: Iterable[str] | None = None
) -> dict[str, Any]:
    """Ask for each field of a form; return the answer, without what was left out.

    `before` are the values that were typed before, which are offered again; with `only`, those
    fields are asked for and the others keep their values. Raises `EOFError` (Ctrl-D),
    `KeyboardInterrupt`, and `Failed` for a form that cannot be asked for so.
    """
    form = _Form(schema)
    answer = form.model(schema, dict(before or {}), only=set(only or ()))
    if only is not None and not form.prompt.lines:
        # Asking again for nothing would never end.
        raise Failed(f"the form has no fields to ask for. {_OTHERWISE}")
    return answer


_OTHERWISE = "Pass the answer with --input."


class _Form:
    def __init__(self, root: Schema) -> None:
        self.root = root
        self.prompt = Prompt()
        self.depth = 0

    def model(
        self, schema: Schema, before: Mapping[str, Any], only: set[str] | None = None
    ) -> dict[str, Any]:
        answer = dict(before)
        for name, each in parts(self.root, schema).items():
            if only and name not in only:
                continue
            value = self.value(with_default(each, before.get(name, NOTHING)))
            answer.pop(name, None)
            if value is not NOTHING:
                answer[name] = value
        return answer

    def value(self, wanted: Part) -> Any:
        self.prompt.unasked += 1
        if self.prompt.unasked > MOST_UNASKED:  # definitions that use each other, or `minItems`
            raise Failed(f"the form has too many fields to ask for. {_OTHERWISE}")
        if self.depth == DEEPEST:  # and one that needs itself, for no end of them
            wanted = replace(wanted, kind="json")
        self.depth += 1
        try:
            return self._value(wanted)
        finally:
            self.depth -= 1

    def _value(self, wanted: Part) -> Any:
        if "const" in wanted.schema and not wanted.nullable:
            return wanted.schema["const"]  # nothing to ask
        self.prompt.show(wanted)
        while True:
            try:
                value = self._one(wanted)
            except Mistyped as error:
                self.prompt.complain(str(error))
                continue
            if value is NOTHING:
                return value
            if not (problem := problem_with(self.root, wanted, value)):
                return value
            self.prompt.complain(problem)

    def _one(self, wanted: Part) -> Any:
        match wanted.kind:
            case "model":
                return self._model(wanted)
            case "list":
                return self._list(wanted)
            case "tuple":
                return self._tuple(wanted)
            case "map":
                return self._map(wanted)
            case "union" if self._has_structure(wanted):
                return self._union(wanted)
            case _:
                return self._scalar(wanted)

    # What one line answers.

    def _scalar(self, wanted: Part) -> Any:
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if wanted.nullable and text == "null":
            return None
        return as_value(wanted, text)

    def _left_empty(self, wanted: Part) -> Any:
        if wanted.default is not NOTHING:
            return wanted.default
        if not wanted.required:
            return NOTHING
        if wanted.nullable:
            return None
        advice = '; type "" for an empty text' if wanted.kind == "string" else ""
        raise Mistyped(f"it is required{advice}")

    # What takes several.

    def _model(self, wanted: Part) -> Any:
        if (wanted.nullable or not wanted.required) and not self.prompt.agree(
            f"Fill in {one_line(wanted.title)}?", default=bool(fields_of(wanted.default))
        ):
            return self._skipped(wanted)
        self.prompt.depth += 1
        try:
            return self.model(wanted.schema, fields_of(wanted.default))
        finally:
            self.prompt.depth -= 1

    def _skipped(self, wanted: Part) -> Any:
        if wanted.default is NOTHING and not wanted.required:
            return NOTHING
        return None if wanted.nullable else wanted.default

    def _list(self, wanted: Part) -> Any:
        item = part(self.root, wanted.schema.get("items", {}), "Item")
        if item.kind == "choice":
            return self._several(wanted, item)
        if item.kind in {"model", "list", "tuple", "map"}:
            return self._list_of_forms(wanted, item)
        self.prompt.say("One to a line; an empty line ends the list. [] is an empty list.")
        first = self.prompt.value(wanted)
        if not first:
            return self._left_empty(wanted)
        if (whole := _json_list(first)) is not None:
            return whole
        return self._items(item, first)

    def _items(self, item: Part, text: str) -> list[Any]:
        found: list[Any] = []
        while text:
            try:
                value = as_value(item, text)
                problem = problem_with(self.root, item, value)
                if problem:
                    raise Mistyped(problem)
                found.append(value)
            except Mistyped as error:
                self.prompt.complain(str(error))
            text = self.prompt.line("> ")
        return found

    def _several(self, wanted: Part, item: Part) -> Any:
        options = item.options()
        self.prompt.options(options)
        self.prompt.say("Several: with commas between. [] is an empty list.")
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if (whole := _json_list(text)) is not None:
            return whole
        return [as_value(item, each.strip()) for each in text.split(",") if each.strip()]

    def _list_of_forms(self, wanted: Part, item: Part) -> Any:
        offered = items_of(wanted.default)
        if offered and self.prompt.agree(f"Keep {label(offered)}?", default=True):
            return offered
        found: list[Any] = []
        fewest = wanted.schema.get("minItems", 0)
        least = fewest if isinstance(fewest, int) else 0
        while len(found) < least or self.prompt.agree(
            f"Add {'another' if found else 'one'}?", default=False
        ):
            found.append(self.value(item))
        is_left_out = not found and not wanted.required and wanted.default is NOTHING
        return NOTHING if is_left_out else found

    def _tuple(self, wanted: Part) -> Any:
        offered = items_of(wanted.default)
        schemas: list[Any] = wanted.schema["prefixItems"]
        if (wanted.nullable or not wanted.required) and not self.prompt.agree(
            f"Fill in {one_line(wanted.title)}?", default=bool(offered)
        ):
            return self._skipped(wanted)
        defaults = [*offered, *[NOTHING] * len(schemas)]
        return [
            self.value(with_default(part(self.root, each, f"Item {number}"), defaults[number - 1]))
            for number, each in enumerate(schemas, 1)
        ]

    def _map(self, wanted: Part) -> Any:
        inner = wanted.schema.get("additionalProperties")
        item = part(self.root, inner, "Value")
        self.prompt.say("A line for each, name=value; an empty line ends. {} has none.")
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if text.startswith("{"):
            return as_value(wanted, text)
        return self._entries(item, text)

    def _entries(self, item: Part, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while text:
            name, equals, rest = text.partition("=")
            try:
                if not equals:
                    raise Mistyped("type name=value")
                value = as_value(item, rest.strip())
                if problem := problem_with(self.root, item, value):
                    raise Mistyped(problem)
                found[name.strip()] = value
            except Mistyped as error:
                self.prompt.complain(str(error))
            text = self.prompt.line("> ")
        return found

    def _has_structure(self, wanted: Part) -> bool:
        kinds = {each.kind for each in alternatives(self.root, wanted)}
        return bool(kinds & {"model", "list", "tuple", "map"})

    def _union(self, wanted: Part) -> Any:
        found = alternatives(self.root, wanted)
        names = [each.title or each.hint() or each.kind for each in found]
        self.prompt.options(names)
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if text.startswith(("{", "[")):
            return as_value(wanted, text)
        choice = Part(title="", kind="choice", schema={"enum": names})
        return self.value(found[names.index(as_value(choice, text))])


def _json_list(text: str) -> list[Any] | None:
    if not text.startswith("["):
        return None
    value = as_value(Part(title="", kind="list", schema={}), text)
    return cast("list[Any]", value) if isinstance(value, list) else None
