"""A flow that is called with amounts and asks for one: `python -m priced` serves it."""

from __future__ import annotations

from decimal import Decimal  # noqa: TC003  (a flow resolves its annotations)
from typing import Annotated

from pydantic import BaseModel, Field

from runbus import RunInput, flow, pause_flow_run, serve


class Item(BaseModel):
    title: str
    count: Annotated[int, Field(ge=1)] = 1


class Offer(RunInput):
    total: Decimal


@flow
def price(
    total: Decimal,
    item: Item | None = None,
    words: dict[str, int] = {},  # noqa: B006
    loud: bool = False,
    most: Annotated[int, Field(le=3)] = 5,
) -> list[str]:
    offered = pause_flow_run(Offer)
    return [str(total), str(offered.total), str(loud), str(most)]


if __name__ == "__main__":
    serve(price.to_deployment("x"))
