"""Strangers at the door: what anybody may send before a login, how much of it, how often."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path

import httpx
import pytest
from page_process import done, served, suspended, until

from runbus import get_client
from runbus.web import connection, login_throttle
from runbus.web.addresses import client_address
from runbus.web.login_throttle import Guesses, TooManyGuesses
from runbus.web.options import read_options

ADA = "ada-0123456789abcdef"
BOB = "bob-0123456789abcdef"
SIZE = 3_200_000
MEGABYTE = 1_000_000


@pytest.fixture
def site_with_logins(valkey, sites):
    """A page of its own: nobody has guessed yet, and it may open as many files as is usual."""
    with contextlib.ExitStack() as stack:
        with open_files(1024):
            site = stack.enter_context(served(valkey.url, "--token-file", str(sites[1])))
        yield site


@contextlib.contextmanager
def open_files(most):
    """So many files may be open in this process, and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def flood(site, count, *parts):
    """Connections that send all that is taken of these parts, and then nothing more."""
    host, _, port = site.host.partition(":")
    with open_files(4096), contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                for part in parts:
                    one.send(part)
            sockets.append(one)
        yield sockets


def post(site, path, *headers):
    """The head of a post from the page itself."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {site.host}", f"Origin: http://{site.host}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def memory(site):
    """The resident memory of the page's process, in bytes."""
    pages = int(Path(f"/proc/{site.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def reachable(site):
    """The page answers a newcomer, in seconds also on a busy machine."""
    assert httpx.get(f"{site.url}login", timeout=10, verify=False).status_code == 200


PIECE = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
UNFINISHED = {
    "told": (f"Content-Length: {SIZE}", [b"x" * 250_000] * 12),
    "in pieces": ("Transfer-Encoding: chunked", [PIECE] * 12),
}


@pytest.mark.parametrize("path", ["/login", "/runs/x/answer", "/api/runs"])
@pytest.mark.parametrize(("header", "parts"), UNFINISHED.values(), ids=UNFINISHED)
def test_unfinished_posts_before_a_login_cost_no_memory(site_with_logins, path, header, parts):
    """200 of 3.2 MB each raise it by less than 30 MB, and the page is there for others."""
    site = site_with_logins
    reachable(site)
    before = memory(site)
    with flood(site, 200, post(site, path, header), *parts) as sockets:
        for one in sockets:
            until(lambda one=one: answered(one))
        assert memory(site) - before < 30 * MEGABYTE
        reachable(site)


def answered(one):
    """The refusal has come, or the connection is gone."""
    try:
        return one.recv(100) is not None
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_all_bodies_in_flight_have_a_bound(valkey):
    """200 unfinished posts of somebody who may post are refused when there is no room left."""
    with served(valkey.url) as site:
        reachable(site)
        before = memory(site)
        head = post(site, "/runs/x/answer", f"Content-Length: {SIZE}")
        with flood(site, 200, head, *[b"x" * 250_000] * 12) as sockets:
            until(lambda: any(refused(one) for one in sockets))
            reachable(site)
            assert memory(site) - before < 80 * MEGABYTE
        url = f"{site.url}runs/3fa85f64-5717-4562-b3fc-2c963f66afa6/cancel"
        origin = {"Origin": site.url.rstrip("/")}
        until(lambda: httpx.post(url, content=b"x" * SIZE, headers=origin).status_code == 404)


def refused(one):
    """Somebody is told that there is too much."""
    try:
        return b" 503 " in one.recv(100)
    except (BlockingIOError, ConnectionError):
        return False


HALVES = {
    "headers": lambda site: [f"GET / HTTP/1.1\r\nHost: {site.host}\r\nX-Slow: ".encode()],
    "nothing": lambda site: [],
    "bodies": lambda site: [post(site, "/login", "Content-Length: 100"), b"token="],
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_half_sent_requests_do_not_shut_others_out(site_with_logins, half):
    """1,100 connections that send no whole request: newcomers are served all the same."""
    site = site_with_logins
    with flood(site, 1100, *half(site)) as sockets:
        reachable(site)
        open_ones = [one for one in sockets if not answered(one)]
        assert len(open_ones) <= connection.MOST_UNFINISHED


def test_headers_have_a_time(site_with_logins):
    """Who sends them letter by letter is cut off, whatever was done on the connection before."""
    site = site_with_logins
    request = f"GET /login HTTP/1.1\r\nHost: {site.host}\r\n".encode()
    with flood(site, 1, request) as [fresh], flood(site, 1, request, b"\r\n") as [used]:
        until(lambda: answered(used))
        begun = time.monotonic()
        trickle([fresh, used])
        assert time.monotonic() - begun < connection.HEADER_SECONDS + 3


def trickle(sockets):
    """Send letters until each connection is cut."""
    cut = set()
    while len(cut) < len(sockets):
        for one in sockets:
            with contextlib.suppress(BlockingIOError):
                try:
                    one.send(b"x")
                    if one.recv(1_000_000) == b"":
                        cut.add(one)
                except ConnectionError:
                    cut.add(one)
        time.sleep(0.05)


def test_a_body_that_is_cut_is_not_taken_for_a_whole_one(site):
    """A connection that ends in the middle of a post has asked for nothing."""
    one, other = done(suspended()), done(suspended())
    with flood(site, 1, post(site, f"/runs/{one}/cancel", "Content-Length: 100"), b"half"):
        pass
    with site.client() as client:
        client.post(f"/runs/{other}/cancel")
        states = {run: done(get_client().read_flow_run(run)).state.name for run in (one, other)}
        client.post(f"/runs/{one}/cancel")
    assert states == {one: "Suspended", other: "Cancelled"}


# --- Guesses ---------------------------------------------------------------------------------


def from_address(site, address, **options):
    """A client at another address of this machine."""
    transport = httpx.HTTPTransport(local_address=address, verify=False)
    return site.client(transport=transport, **options)


def as_bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def guess_as_program(client, number):
    return client.get("/api/runs", **as_bearer(f"wrong-{number:015}"))


def guess_by_cookie(client, number):
    return client.get("/", headers={"Cookie": f"runbus_session=ada.9999999999.{number:064x}"})


def guess_in_the_form(client, number):
    return client.post("/login", data={"token": f"wrong-{number:015}"})


@pytest.mark.parametrize("guess", [guess_as_program, guess_by_cookie, guess_in_the_form])
def test_guesses_are_slowed_by_address(site_with_logins, guess):
    """After some, none is judged for a while, at any door; elsewhere people log in."""
    site = site_with_logins
    with from_address(site, "127.0.0.1") as knows, from_address(site, "127.0.0.1") as guesser:
        assert knows.get("/api/runs", **as_bearer(ADA)).status_code == 200
        told = [guess(guesser, number) for number in range(login_throttle.ADDRESS_BURST + 4)]
        assert [answer.status_code for answer in told[-2:]] == [429, 429]
        assert 429 not in [answer.status_code for answer in told[: login_throttle.ADDRESS_BURST]]
        assert 1 <= int(told[-1].headers["Retry-After"]) <= login_throttle.ADDRESS_SECONDS
        assert guesser.post("/login", data={"token": BOB}).status_code == 429
        assert knows.get("/api/runs", **as_bearer(ADA)).status_code == 200, "it was right before"
    with from_address(site, "127.0.0.2") as elsewhere:
        assert elsewhere.post("/login", data={"token": ADA}).status_code == 303
        assert elsewhere.get("/runs").status_code == 200


def test_guesses_are_slowed_in_all(site_with_logins):
    """From however many addresses; who was right before stays in."""
    site = site_with_logins
    with from_address(site, "127.0.0.1") as ada:
        assert ada.post("/login", data={"token": ADA}).status_code == 303
        told = []
        for number in range(login_throttle.ALL_BURST + 100):
            with from_address(site, f"127.0.{1 + number // 5}.9") as guesser:
                told.append(guess_as_program(guesser, number).status_code)
        assert told[: login_throttle.ALL_BURST] == [401] * login_throttle.ALL_BURST
        assert 429 in told
        assert ada.get("/runs").status_code == 200


def test_a_trusted_proxy_says_who_guesses(valkey, sites):
    """Its clients are slowed one by one; what others say of themselves counts for nothing."""
    words = ("--token-file", str(sites[1]), "--trusted-proxy", "127.0.0.1/32")
    with served(valkey.url, *words) as site:
        for proxy, statuses in (("127.0.0.1", {401}), ("127.0.0.2", {401, 429})):
            told = set()
            with from_address(site, proxy) as client:
                for number in range(30):
                    client.headers["X-Forwarded-For"] = f"198.51.100.{number}, 192.0.2.{number}"
                    told.add(guess_as_program(client, number).status_code)
            assert told == statuses, proxy


def test_the_address_of_a_client():
    """The last one that no trusted proxy has; nonsense ends the search."""
    trusted = read_options(["--trusted-proxy", "10.0.0.0/8"]).trusted_proxies

    def seen(peer, *forwarded):
        headers = httpx.Headers([("x-forwarded-for", each) for each in forwarded])
        headers.getlist = lambda name: headers.get_list(name)
        return client_address({"client": (peer, 1)}, headers, trusted)

    assert seen("192.0.2.1", "198.51.100.1") == "192.0.2.1"
    assert seen("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert seen("10.0.0.1", "6.6.6.6, 198.51.100.1", "10.0.0.2") == "198.51.100.1"
    assert seen("::ffff:10.0.0.1", "2001:db8::1") == "2001:db8::1"
    assert seen("10.0.0.1", "nonsense") == "10.0.0.1"
    assert seen("10.0.0.1") == "10.0.0.1"


class Clock:
    """A clock that stands still until it is told."""

    now = 1000.0

    def __call__(self):
        return self.now


def test_buckets_fill_again_and_are_bounded():
    """One guess more after some seconds, all of them after a while; few addresses are kept."""
    clock = Clock()
    judged = Guesses(clock)

    def guess(address="192.0.2.1"):
        try:
            return judged.judge(address, "wrong", lambda _: None)
        except TooManyGuesses as error:
            return error.seconds

    assert [guess() for _ in range(login_throttle.ADDRESS_BURST)] == [
        None
    ] * login_throttle.ADDRESS_BURST
    assert guess() == login_throttle.ADDRESS_SECONDS
    clock.now += login_throttle.ADDRESS_SECONDS
    assert guess() is None
    assert guess() == login_throttle.ADDRESS_SECONDS
    clock.now += 1e6
    assert [guess() for _ in range(login_throttle.ADDRESS_BURST + 1)][-2:] == [None, 5]
    for number in range(3000):
        clock.now += 1
        guess(f"2001:db8:{number:x}::1")
        judged.judge(f"2001:db8:{number:x}::1", "right", lambda _: "ada")
    assert len(judged._buckets) == len(judged._known) == login_throttle.MOST_KEPT


def test_a_subscriber_of_ipv6_is_one_address():
    """A network of 64 bits is what one person has; IPv4 in IPv6 is IPv4."""
    judged = Guesses(Clock())
    for number in range(login_throttle.ADDRESS_BURST):
        judged.judge(f"2001:db8::{number:x}", "wrong", lambda _: None)
        judged.judge("::ffff:192.0.2.1", "wrong", lambda _: None)
    for address in ("2001:db8::ffff", "192.0.2.1"):
        with pytest.raises(TooManyGuesses):
            judged.judge(address, "wrong", lambda _: None)
    assert judged.judge("2001:db8:0:1::1", "wrong", lambda _: None) is None
