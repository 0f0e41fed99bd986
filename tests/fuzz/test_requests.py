"""Any headers, queries and bodies: the page refuses them or answers, and never fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuzz import hostile
from fuzz.asgi import FROM_HERE, OURS, ask
from fuzz.stored import RUN_ID
from runbus.web.app import Page
from runbus.web.logins import Logins
from runbus.web.options import Options

if TYPE_CHECKING:
    from servers import Server

pytestmark = pytest.mark.keys_without_lifetime
some = settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a finding smaller takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TOKEN = "ada-0123456789abcdef"
HEADERS = (
    *(b"host", b"origin", b"cookie", b"last-event-id", b"authorization", b"content-length"),
    *(b"sec-fetch-site", b"content-type", b"transfer-encoding", b"range", b"if-none-match"),
)
VALUES = (
    *(b"", b"localhost", b"localhost:1", b"[::1", b"[::1]", b"//", b"a@b", b"null", b"\xff\xfe"),
    *(b"http://localhost", b"http://", b"same-origin", b"9" * 5000, b"\xb2", b"-1", b"chunked"),
    *(b"runbus_session=ada.1.x", b"runbus_session=\xe9.9.\xe9", b'runbus_session="\\777"', b"$"),
    *(b"Bearer ", b"Bearer \xff", b"Bearer " + TOKEN.encode(), b"1-1", b"0-0", b"bytes=9-1"),
    *(b"99999999999999999999-0", b"1-1\n", b"; ; =", b"a" * 5000, b"application/json"),
)
values = st.sampled_from(VALUES) | st.binary(max_size=12)
headers = st.lists(st.tuples(st.sampled_from(HEADERS), values), max_size=4)
paths = st.sampled_from([
    *("/", "/runs", f"/runs/{RUN_ID}", "/events", "/login", "/logout", "/static/page.css"),
    *(f"/runs/{RUN_ID}/answer", f"/runs/{RUN_ID}/inputs", f"/runs/{RUN_ID}/cancel", "/api/runs"),
    *("/deployments/a/b", f"/api/runs/{RUN_ID}/log", f"/api/runs/{RUN_ID}/inputs"),
]) | hostile.texts.map(lambda text: f"/{text}")  # fmt: skip
queries = st.sampled_from(["run", "after", "told", "page", "text", "next"]).flatmap(
    lambda name: values.map(lambda value: b"%s=%s" % (name.encode(), value))
)
bodies = st.sampled_from([b"do=send", b"do=add+/a&/a%23item=" + b"9" * 5000]) | values


@pytest.fixture(params=[{}, {"ada": TOKEN}], ids=["open", "guarded"])
def page(request: pytest.FixtureRequest, valkey: Server) -> Page:
    """The page; a run that asks for a list waits in the store."""
    with valkey.client() as client:
        key = f"runbus:{{b7}}:{RUN_ID}"
        client.hset(f"{key}:run", mapping={"state_name": "Paused", "pause": "1"})
        form = '{"type": "object", "properties": {"a": {"type": "array"}}}'
        client.hset(f"{key}:pause:1", mapping={"state": "pending", "schema": form})
    names = frozenset({"localhost"})
    return Page(Options(logins=Logins(request.param), allowed_hosts=names, somebody="ada"))


@some
@given(
    path=paths,
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "\xe9"]),
    query=queries | st.binary(max_size=12),
    more=headers,
    is_ours=st.booleans(),
    body=bodies,
)
async def test_any_request(
    page: Page, path: str, method: str, query: bytes, more: Any, is_ours: bool, body: bytes
) -> None:
    """No 5xx, nothing raised, and the headers that guard a browser."""
    told = [OURS, FROM_HERE, *more] if is_ours else more
    with hostile.bounded():
        answer = await ask(page, path, method=method, query=query, headers=told, body=body)
    assert answer.status < 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not set("\r\n") & set(answer.headers.get("location", ""))
