"""Bad weather: connections that drop, replies that get lost, servers that freeze and restart.

Through all of it, a send that returned is stored exactly once, and a receiver gets every input
exactly once and in order. The faults are made by a proxy and by signals to a real server.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from proxy import Proxy

from runbus import receive_input, send_input
from runbus.errors import RunFinished, ServerUnreachable
from runbus.protocol.keys import TAGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server

    Configure = Callable[..., None]


@pytest.fixture
def proxy(server: Server, configure: Configure) -> Iterator[Proxy]:
    """A proxy in front of the server, which runbus goes through."""
    with Proxy(server.host, server.port) as proxy:
        configure(url=proxy.url, reply_timeout_seconds=0.5, connect_timeout_seconds=0.5)
        yield proxy


def stored(server: Server, run_id: UUID, name: str = "int") -> list[str]:
    """The values on a run's stream, read around runbus."""
    key = f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:{name}"
    with server.client() as client:
        return [fields["value"] for _, fields in client.xrange(key)]


async def received(run_id: UUID, count: int) -> list[int]:
    """The next inputs of a run, waited for."""
    inbox = receive_input(int, flow_run_id=run_id, timeout=20, poll_interval=0.5)
    return [await anext(inbox) for _ in range(count)]


async def test_a_reply_is_lost(server: Server, proxy: Proxy) -> None:
    """An input whose reply was lost is found by the retry, and not stored twice."""
    run_id = uuid4()
    await send_input(0, run_id)
    proxy.lose_next_reply()
    sent = await send_input(1, run_id)
    assert sent.entry_id
    assert not sent.duplicate
    await send_input(2, run_id)
    assert stored(server, run_id) == ["0", "1", "2"]


async def test_the_first_reply_of_a_connection_is_lost(server: Server, proxy: Proxy) -> None:
    """A stream's first send has no earlier entry to scan back to, and is found all the same."""
    run_id, other = uuid4(), uuid4()
    with server.client() as client:
        key = f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:int"
        for number in range(450):  # so that the scan takes several pages
            client.xadd(key, {"key": f"old-{number}", "value": "-1"})
    await send_input(0, other)
    proxy.lose_next_reply()
    await send_input(1, run_id)
    assert stored(server, run_id)[449:] == ["-1", "1"]


async def test_a_batch_loses_its_reply(server: Server, proxy: Proxy) -> None:
    """Hundreds of sends share a call; when its reply is lost, each is stored once, in order."""
    run_id = uuid4()
    await send_input(-1, run_id)
    proxy.lose_next_reply()
    sends = [send_input(number, run_id) for number in range(600)]
    await asyncio.gather(*(waiting(sent) for sent in sends))
    assert stored(server, run_id) == [str(number) for number in range(-1, 600)]


async def waiting(sent: Any) -> None:
    """Await a receipt in a task of its own."""
    await sent


@pytest.mark.parametrize("size", [1, 20, 150, 400])
async def test_the_connection_drops_in_the_middle_of_a_send(
    server: Server, proxy: Proxy, size: int
) -> None:
    """A command that arrived in part is not executed, and is sent again."""
    run_id = uuid4()
    await send_input(0, run_id)
    proxy.cut_mid_request(size)
    await send_input(1, run_id)
    await send_input(2, run_id)
    assert stored(server, run_id) == ["0", "1", "2"]


async def test_an_attempt_is_executed_after_its_retry(server: Server, proxy: Proxy) -> None:
    """A first attempt that reaches the server late finds the mark of the retry."""
    run_id = uuid4()
    await send_input(0, run_id)
    proxy.hold_requests()  # on this connection, not on the next
    late = [send_input(number, run_id) for number in (1, 2, 3)]
    for sent in late:
        await sent
    await send_input(4, run_id)
    calls = script_calls(server)
    proxy.hold_requests(False)
    await asyncio.to_thread(proxy.wait_for_late_requests)
    assert script_calls(server) > calls
    assert stored(server, run_id) == ["0", "1", "2", "3", "4"]


def script_calls(server: Server) -> int:
    """How many script calls the server has executed."""
    with server.client() as client:
        return client.info("commandstats")["cmdstat_evalsha"]["calls"]


async def test_own_keys_survive_lost_replies(server: Server, proxy: Proxy) -> None:
    """A send under the caller's own key is stored once, also when its reply is lost."""
    run_id = uuid4()
    await send_input(0, run_id, key="zero")
    proxy.lose_next_reply()
    first = await send_input(1, run_id, key="one")
    again = await send_input(1, run_id, key="one")
    assert again.entry_id == first.entry_id
    assert again.duplicate
    assert stored(server, run_id) == ["0", "1"]


async def test_a_half_open_connection_is_found_by_senders(server: Server, proxy: Proxy) -> None:
    """A connection that went silent is dropped after the reply time-out."""
    run_id = uuid4()
    await send_input(0, run_id)
    proxy.half_open()
    async with asyncio.timeout(5):
        await send_input(1, run_id)
    assert stored(server, run_id) == ["0", "1"]


async def test_a_half_open_connection_is_found_by_receivers(server: Server, proxy: Proxy) -> None:
    """A receiver whose connection went silent hears of the next input within its poll interval."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=20, poll_interval=1)
    with server.client() as client:
        await send_input(0, run_id)
        assert await anext(inbox) == 0
        proxy.half_open()
        client.xadd(f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:int", {"value": "1"})
        started = asyncio.get_running_loop().time()
        assert await anext(inbox) == 1
    assert asyncio.get_running_loop().time() - started < 5, "its own timeout is 20 s"


async def test_receivers_live_through_cuts(server: Server, proxy: Proxy) -> None:
    """Connections are cut again and again while two sides talk; nothing is lost or doubled."""
    run_id = uuid4()
    receiving = asyncio.create_task(received(run_id, 300))
    sends: list[object] = []
    cutting = asyncio.create_task(cut_now_and_then(proxy, lambda: len(sends)))
    for number in range(300):
        sends.append(await send_input(number, run_id))  # noqa: PERF401  (looked at meanwhile)
    assert await receiving == list(range(300))
    cutting.cancel()
    assert stored(server, run_id) == [str(number) for number in range(300)]


async def test_a_connection_that_is_cut_while_its_server_is_looked_at(
    server: Server, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the many questions to a new server none is left whose end nobody hears of.

    The test's runner fails for such a one.
    """
    caplog.set_level(logging.CRITICAL, "runbus")  # a record would hold the error, and with it all
    with server.client() as client:
        client.delete("runbus:wire")
        client.config_resetstat()
        proxy.cut_mid_request(2000)
        await send_input(0, uuid4())
        asked = client.info("commandstats")["cmdstat_exists"]["calls"]
    assert len(TAGS) < asked < 2 * len(TAGS)
    gc.collect()


async def cut_now_and_then(proxy: Proxy, progress: Callable[[], int]) -> None:
    """Cut all connections every few milliseconds, and lose replies in between.

    Ever more rarely while nothing gets through: a busy machine takes longer to connect.
    """
    seconds, before = 0.06, 0
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(proxy.cut)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(proxy.lose_next_reply)
        seconds, before = (0.06 if progress() > before else 2 * seconds), progress()


async def test_replies_are_dropped_for_a_while(server: Server, proxy: Proxy) -> None:
    """While every reply is lost, sends are executed and repeated, and stored once."""
    run_id = uuid4()
    await send_input(0, run_id)
    proxy.drop_replies()
    sends = [send_input(number, run_id) for number in range(1, 50)]
    receiving = asyncio.create_task(received(run_id, 50))
    await asyncio.sleep(1.2)  # long enough for retries to be lost as well
    proxy.drop_replies(False)
    for sent in sends:
        await sent
    assert await receiving == list(range(50))
    assert stored(server, run_id) == [str(number) for number in range(50)]


async def test_a_slow_network_only_delays(server: Server, proxy: Proxy) -> None:
    """With 20 ms each way, order and count stay what they are."""
    proxy.delay(0.02)
    run_id = uuid4()
    receiving = asyncio.create_task(received(run_id, 100))
    for number in range(100):
        send_input(number, run_id)
    assert await receiving == list(range(100))


async def test_scripts_are_flushed_while_sends_are_in_flight(server: Server) -> None:
    """SCRIPT FLUSH and another client's reload neither reorder nor double hundreds of sends."""
    run_ids = [uuid4() for _ in range(20)]
    with server.client() as client:
        flushing = asyncio.create_task(asyncio.to_thread(flush_scripts, client, rounds=60))
        sends = []
        while not flushing.done():
            number = len(sends) // len(run_ids)
            sends += [send_input(number, run_id) for run_id in run_ids]
            if number % 20 == 19:
                for sent in sends[-len(run_ids) :]:
                    await sent
        for sent in sends:
            await sent
    expected = [str(number) for number in range(len(sends) // len(run_ids))]
    assert len(expected) > 40
    for run_id in run_ids:
        assert stored(server, run_id) == expected


def flush_scripts(client: Any, rounds: int) -> None:
    """Flush all scripts, and load the one of sends again from another client's side."""
    from runbus.store.connection import scripts

    for _ in range(rounds):
        client.script_flush()
        client.script_load(scripts.SEND.source)


async def test_the_server_restarts(own_server: Server, configure: Configure) -> None:
    """Senders and receivers go on after a server was killed and came back."""
    configure(reply_timeout_seconds=1, connect_timeout_seconds=1)
    run_id = uuid4()
    receiving = asyncio.create_task(received(run_id, 200))
    for number in range(100):
        await send_input(number, run_id)
    sends = [send_input(number, run_id) for number in range(100, 200)]
    await asyncio.to_thread(own_server.kill)
    await asyncio.to_thread(own_server.restart)
    for sent in sends:
        await sent
    assert await receiving == list(range(200))
    assert stored(own_server, run_id) == [str(number) for number in range(200)]


async def test_the_server_freezes_while_a_retry_goes_ahead(
    own_server: Server, configure: Configure
) -> None:
    """A frozen server executes attempt and retries in any order when it wakes; one is stored."""
    configure(reply_timeout_seconds=0.1, connect_timeout_seconds=0.1)
    run_ids = [uuid4() for _ in range(40)]
    for run_id in run_ids:
        await send_input(0, run_id)
    for round_ in range(1, 4):
        own_server.freeze()
        sends = [send_input(round_, run_id) for run_id in run_ids]
        await asyncio.sleep(0.35)  # several attempts time out on several connections
        own_server.thaw()
        for sent in sends:
            await sent
    for run_id in run_ids:
        assert stored(own_server, run_id) == ["0", "1", "2", "3"]


async def test_a_server_that_stays_away(own_server: Server, configure: Configure) -> None:
    """After the retry time, senders and receivers get an error that names the address."""
    configure(retry_seconds=0.5, connect_timeout_seconds=0.2)
    own_server.kill()
    address = own_server.url.removeprefix("redis://").removesuffix("/0")
    with pytest.raises(ServerUnreachable, match=address):
        await send_input(1, uuid4())
    with pytest.raises(ServerUnreachable, match=address):
        await receive_input(int, flow_run_id=uuid4(), timeout=5).next()
    own_server.restart()
    await send_input(1, uuid4())  # and once it is back, everything works again


async def test_a_receiver_may_ask_again_after_an_outage(
    own_server: Server, configure: Configure
) -> None:
    """The same inbox raises each time the server stays away, and goes on once it is back."""
    configure(retry_seconds=1, connect_timeout_seconds=1)
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=10)
    await send_input(0, run_id)
    assert await anext(inbox) == 0
    own_server.kill()
    for _ in range(3):
        with pytest.raises(ServerUnreachable):
            await anext(inbox)
    own_server.restart()
    await send_input(1, run_id)
    assert await anext(inbox) == 1


async def test_a_connection_that_is_lost_as_soon_as_it_is_made(
    server: Server, proxy: Proxy
) -> None:
    """A receiver whose new connections end at once, again and again, gets one in the end."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=20, poll_interval=0.5)
    waiting = asyncio.ensure_future(anext(inbox))
    for _ in range(30):
        await asyncio.to_thread(proxy.cut)
        await asyncio.sleep(0.01)
    await send_input(1, run_id)
    assert await waiting == 1


async def test_an_outage_fails_all_that_waited_at_once(
    own_server: Server, configure: Configure
) -> None:
    """Hundreds of sends to one stream do not each wait for the retry time in turn."""
    own_server.kill()
    configure(retry_seconds=0.5, connect_timeout_seconds=0.2)
    run_id = uuid4()
    sends = [send_input(number, run_id) for number in range(640)]
    async with asyncio.timeout(5):
        for sent in sends:
            with pytest.raises(ServerUnreachable):
                await sent
    own_server.restart()


async def test_a_retry_to_a_run_that_has_ended(server: Server, proxy: Proxy) -> None:
    """A reply that is lost while the run ends: the input is found, and no key lives for ever."""
    run_id = uuid4()
    await send_input(0, run_id)
    beginning = f"runbus:{{{run_id.hex[-2:]}}}:{run_id}"
    proxy.lose_next_reply()
    sending = send_input(1, run_id)
    with server.client() as client:
        client.hset(f"{beginning}:streams", "ended", "COMPLETED")
        client.hset(f"{beginning}:run", "state", "COMPLETED")
        client.expire(f"{beginning}:run", 600)
    with suppress(RunFinished):  # where the run ended before the first attempt
        await sending
    with pytest.raises(RunFinished):
        await send_input(2, run_id)


async def test_an_unconfirmed_send_says_so(own_server: Server, configure: Configure) -> None:
    """A send that may have been stored without an answer says so in its error."""
    configure(retry_seconds=0.5, connect_timeout_seconds=0.2, reply_timeout_seconds=0.2)
    run_id = uuid4()
    await send_input(0, run_id)
    own_server.freeze()
    with pytest.raises(ServerUnreachable, match="may be stored") as caught:
        await send_input(1, run_id)
    own_server.thaw()
    assert caught.value.maybe_stored


def test_sync_senders_live_through_cuts(server: Server, proxy: Proxy) -> None:
    """Threads that send without a loop are stored once each, in the order of each thread."""
    run_ids = [uuid4() for _ in range(4)]
    progress = threading.Event()

    def send_all(run_id: UUID) -> None:
        for number in range(60):
            send_input(number, run_id)
            progress.set()

    threads = [threading.Thread(target=send_all, args=(run_id,)) for run_id in run_ids]
    for thread in threads:
        thread.start()
    # However slow the machine is, something is sent between two faults.
    for fault in cycle([proxy.cut, proxy.lose_next_reply]):
        progress.clear()
        fault()
        while not progress.wait(0.05) and any(thread.is_alive() for thread in threads):
            pass
        if not any(thread.is_alive() for thread in threads):
            break
    for run_id in run_ids:
        assert stored(server, run_id) == [str(number) for number in range(60)]
