"""The JSON Schema of a flow's parameters: what a form to start it is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from runbus import flow


class Order(BaseModel):
    """What is bought."""

    item: str


class Opaque:
    """Something that JSON cannot say."""


@flow
def shop(
    order: Order,
    /,
    count: Annotated[int, Field(gt=0, description="how many")] = 1,
    *others: int,
    how: Opaque = Opaque(),  # noqa: B008
    anything=None,
    **more: str,
) -> None: ...


def test_parameters_are_described_by_their_names() -> None:
    """With types, bounds, texts and defaults; what has no JSON Schema is left open."""
    schema = shop.parameters_schema()
    assert schema["required"] == ["order"]
    assert schema["additionalProperties"] == {"type": "string"}
    fields = schema["properties"]
    assert list(fields) == ["order", "count", "how", "anything"]
    assert fields["order"] == {"$ref": "#/$defs/Order"}
    assert schema["$defs"]["Order"]["properties"]["item"]["type"] == "string"
    assert fields["count"] == {
        "default": 1,
        "description": "how many",
        "exclusiveMinimum": 0,
        "title": "Count",
        "type": "integer",
    }
    assert "type" not in fields["how"]
    assert fields["anything"]["default"] is None
