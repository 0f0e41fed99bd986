"""JSON Schema of types that it cannot describe: they stay open."""

from __future__ import annotations

from typing import Any, ClassVar

from runbus.forms.form_schema import FormSchema


class LenientSchema(FormSchema):
    """Leaves open (`{}`) what JSON Schema cannot say."""

    ignored_warning_kinds: ClassVar[Any] = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        """Return what anything fits."""
        return {}
