"""What the page refuses: other sites, strangers, large bodies, to be reached without a login."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import httpx
import pytest
from page_process import served

from runbus.web import markdown
from runbus.web.logins import COOKIE, Logins

ADA = "ada-0123456789abcdef"


def serve_words(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "runbus.web", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment or None,
    )


def test_it_does_not_bind_elsewhere_without_a_login():
    """An address that others can reach needs names and tokens; no socket is opened."""
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        ended = serve_words("--host", host, "--port", "0")
        assert ended.returncode == 2
        assert "nobody would have to log in" in ended.stderr
        assert ended.stdout == ""


@pytest.mark.parametrize("line", ["ada=short", "=0123456789abcdef", "a b=0123456789abcdef", "ada"])
def test_a_token_file_is_read_strictly(tmp_path, line):
    """A short token, a name that is none: an error that names the file and no token."""
    file = tmp_path / "tokens"
    file.write_text(line + "\n")
    ended = serve_words("--token-file", str(file), "--port", "0")
    assert ended.returncode == 2
    assert str(file) in ended.stderr
    assert "0123456789abcdef" not in ended.stderr


def test_only_our_own_names_are_served(site):
    """A name of somebody else's that points to this machine is refused (DNS rebinding)."""
    for host, status in [
        ("evil.example", 421),
        ("localhost", 200),
        ("127.0.0.1:4210", 200),
        ("", 421),
    ]:
        assert httpx.get(site.url, headers={"Host": host}).status_code == status, host


def test_a_name_may_be_added(valkey):
    """`--allowed-host` is how a proxy's name is served."""
    with served(valkey.url, "--allowed-host", "runs.example.org") as site:
        assert httpx.get(site.url, headers={"Host": "runs.example.org"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 404),
    ],
    ids=str,
)
def test_other_sites_cannot_post_a_form(site, headers, status):
    """A post must come from the page itself; then it is the run that is not there."""
    url = f"{site.url}runs/3fa85f64-5717-4562-b3fc-2c963f66afa6/cancel"
    assert httpx.post(url, headers=headers).status_code == status


def test_other_sites_cannot_use_the_api(site):
    """A program needs no Origin; a browser that is on another site says so, and is refused."""
    url = f"{site.url}api/runs/3fa85f64-5717-4562-b3fc-2c963f66afa6/cancel"
    assert httpx.post(url).status_code == 404
    assert httpx.post(url, headers={"Origin": "http://evil.example"}).status_code == 403


def test_every_response_forbids_scripts_from_elsewhere(site):
    """Also refusals and errors: no inline script or style, no eval, no frame, nothing sniffed."""
    for path in ("", "runs", "nowhere", "static/page.js", "api/runs", "login"):
        headers = httpx.get(site.url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_a_large_body_is_refused_before_it_is_read(site):
    """By its length where it is told, by what came where it is not."""
    url = f"{site.url}api/runs/3fa85f64-5717-4562-b3fc-2c963f66afa6/inputs"
    with site.client() as client:
        assert client.post(url, content=b"x" * 5_000_000).status_code == 413

        def parts():
            for _ in range(100):
                yield b"x" * 50_000

        with contextlib.suppress(httpx.WriteError):  # the server closed before all was written
            assert client.post(url, content=parts()).status_code == 413


def test_nobody_gets_in_without_a_token(guarded_site):
    """Pages lead to the login, programs and posts are refused, nothing of the store is shown."""
    with guarded_site.client() as client:
        assert client.get("/runs?state=Paused").headers["location"] == (
            "/login?next=%2Fruns%3Fstate%3DPaused"
        )
        assert client.get("/api/runs").status_code == 401
        assert client.get("/api/openapi.json").status_code == 401
        assert client.get("/events").status_code == 401
        assert client.post("/runs/3fa85f64-5717-4562-b3fc-2c963f66afa6/cancel").status_code == 401
        assert client.get("/static/page.css").status_code == 200


def test_a_token_logs_in_and_out(guarded_site):
    """The cookie is out of reach of scripts and of other sites, and the page names who it is."""
    with guarded_site.client() as client:
        assert client.post("/login", data={"token": "ada-wrong-token-00000"}).status_code == 403
        done = client.post("/login", data={"token": ADA, "next": "/runs"})
        assert (done.status_code, done.headers["location"]) == (303, "/runs")
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert ADA not in cookie
        assert ">ada<" in client.get("/runs").text
        assert client.post("/logout").headers["location"] == "/login"
        assert client.get("/runs").status_code == 303


def test_programs_send_the_token(guarded_site):
    """`Authorization: Bearer` does what the cookie does."""
    with guarded_site.client() as client:
        for token, status in [(ADA, 200), ("x" * 30, 401), (ADA[:-1], 401)]:
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/api/runs", headers=headers).status_code == status


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "http://evil.example", "x"]
)
def test_the_login_leads_nowhere_else(guarded_site, target):
    """What comes after the login is a page of ours."""
    with guarded_site.client() as client:
        done = client.post("/login", data={"token": ADA, "next": target})
        assert done.headers["location"] == "/"


def test_a_cookie_cannot_be_made_up_or_kept():
    """Another name, another time, another token: the signature no longer fits."""
    logins = Logins({"ada": ADA, "bob": "bob-0123456789abcdef"})
    cookie = logins.cookie_for("ada")
    name, expiry, signature = cookie.split(".")
    assert logins.name_in(cookie) == "ada"
    later = str(int(expiry) + 1)
    for forged in (
        f"bob.{expiry}.{signature}",
        f"ada.{later}.{signature}",
        "ada",
        "",
        "ada..",
        "é.1.é",
    ):
        assert logins.name_in(forged) is None
    old = int(time.time()) - 1
    assert logins.name_in(f"ada.{old}.{logins._sign('ada', old)}") is None
    assert Logins({name: "another-0123456789"}).name_in(cookie) is None
    assert COOKIE


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "<javascript:alert(1)>",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](http://evil.example/pixel.png)",
    "<a href='#' onclick='alert(1)'>x</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[x]: javascript:alert(1)\n\n[x]",
    "<svg><animate onbegin=alert(1)>",
    "`<script>`",
    "<style>*{display:none}</style>",
    '<form action="http://evil.example"><input name=token></form>',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_does_nothing(text):
    """No tag, handler, image or address that could act comes through."""
    html = markdown.to_html(text).lower()
    for tag in (
        "<script",
        "<img",
        "<svg",
        "<style",
        "<form",
        "<input",
        "<iframe",
        'onclick="',
        ' href="javascript',
        ' href="data',
    ):
        assert tag not in html


def test_very_long_markdown_takes_no_time():
    """Texts that made parsers slow are cut, and are done in time."""
    for text in ("[" * 200_000, "*a " * 100_000, "> " * 50_000, "`" * 100_000):
        begun = time.process_time()
        markdown.to_html(text)
        assert time.process_time() - begun < 2
