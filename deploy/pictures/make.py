"""Make the pictures of the README: `python deploy/pictures/make.py`.

Serves flows and the page over an embedded server of its own, and looks at it with Chromium.
`--all DIRECTORY` takes one picture of every page in every guise instead, to look at. Needs the
extra `dev`, and a browser: `chromium` on the PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright, expect

from runbus import get_client, send_input
from runbus.flow_runs import asuspend_flow_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import Browser, Page

    from runbus import Client

HERE = Path(__file__).parent
DESK = {"width": 1080, "height": 760}
PHONE = {"width": 390, "height": 844}
GUISES: dict[str, dict[str, Any]] = {
    "desk": {"viewport": DESK},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
}
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
BROWSER += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
TOKEN = "a-token-for-the-pictures"  # noqa: S105 - opens a page that is gone in a minute


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIRECTORY")
    everything = parser.parse_args().all
    with tempfile.TemporaryDirectory(prefix="runbus-", ignore_cleanup_errors=True) as home:
        os.environ["RUNBUS_HOME"] = home
        os.environ.pop("RUNBUS_URL", None)
        try:
            if everything:
                everything.mkdir(parents=True, exist_ok=True)
            asyncio.run(look(everything) if everything else pictures())
        finally:
            subprocess.run([sys.executable, "-m", "runbus", "server", "stop"], check=False)


async def pictures() -> None:
    """Take the inbox and a form, light and dark."""
    async with async_playwright() as playwright:
        browser = await started_browser(playwright)
        with served("--port", "0") as url, running("deploy/pictures/flows.py"):
            run_ids = await begin(get_client())
            for name, guise in (("light", GUISES["desk"]), ("dark", GUISES["dark"])):
                page = await window(browser, guise, scale=2)
                await page.goto(url)
                await page.evaluate("document.fonts.load('16px Inter')")
                await page.reload()  # the font is there from the beginning now
                await expect(page.locator("a.card")).to_have_count(4)
                await page.screenshot(path=HERE / f"inbox-{name}.png")
                await page.goto(f"{url}runs/{run_ids['print-book']}")
                await expect(page.get_by_label("Decision")).to_be_focused()
                await page.screenshot(path=HERE / f"form-{name}.png")
        await browser.close()


async def look(directory: Path) -> None:
    """Take every page in every guise."""
    async with async_playwright() as playwright:
        browser = await started_browser(playwright)
        with ExitStack() as stack:
            url = stack.enter_context(served("--port", "0"))
            locked = stack.enter_context(served("--port", "0", RUNBUS_WEB_TOKEN=TOKEN))
            for guise in GUISES:
                await shoot(browser, guise, f"{url}", directory / f"empty-inbox-{guise}.png")
            stack.enter_context(running("deploy/pictures/flows.py"))
            pages = await addresses(get_client())
            for guise in GUISES:
                for name, path in pages.items():
                    await shoot(browser, guise, f"{url}{path}", directory / f"{name}-{guise}.png")
                await shoot(browser, guise, f"{locked}login", directory / f"login-{guise}.png")
                await shoot_refusals(browser, guise, url, pages, directory)
                await shoot_second(browser, guise, url, directory)
        await browser.close()


async def begin(client: Client) -> dict[str, Any]:
    """Start runs of all kinds; return their ids by flow."""
    started = {
        "print-book": await start(client, "print-book/press", "quiet-heron"),
        "name-ship": await start(client, "name-ship/harbour", "amber-gull"),
        "pay-invoice": await start(
            client, "pay-invoice/office", "brisk-otter", {"supplier": "Paper & Sons"}
        ),
        "collect": await start(client, "collect/test", "patient-crane"),
        "break-down": await start(client, "break-down/test", "weary-mole"),
    }
    await send_input("andrew", started["collect"], sender="the night shift")
    await send_input("grace", started["collect"], sender="web:ada")
    for flow in ("print-book", "name-ship", "pay-invoice"):
        await paused(client, started[flow])
    await client.wait_for_flow_run(started["break-down"], timeout=30)
    await asuspend_flow_run(flow_run_id=started["collect"])
    while await client.count_waiting() < 4:  # noqa: ASYNC110, PLR2004
        await asyncio.sleep(0.1)
    return started


async def addresses(client: Client) -> dict[str, str]:
    """Start some more, and return every page's path by its name."""
    started = await begin(client)
    answered = await start(client, "print-book/press", "swift-robin")
    await paused(client, answered)
    await client.resume_flow_run(answered, {"decision": "print it", "copies": 900}, by="grace")
    await client.wait_for_flow_run(answered, timeout=30)
    everything = await start(client, "order-all/test", "curious-wren")
    await paused(client, everything)
    return {
        "inbox": "",
        "form": f"runs/{started['print-book']}",
        "everything": f"runs/{everything}",
        "answered": f"runs/{answered}",
        "suspended": f"runs/{started['collect']}",
        "failed": f"runs/{started['break-down']}",
        "runs": "runs?state=Paused",
        "deployments": "deployments",
        "start": "deployments/print-book/press",
        "missing": "nowhere",
        "error": "runs/3fa85f64-5717-4562-b3fc-2c963f66afa6",
    }


async def start(
    client: Client, deployment: str, name: str, parameters: dict[str, Any] | None = None
) -> Any:
    """Start a run, once its deployment is served."""
    while deployment not in {each.name for each in await client.read_deployments()}:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    run = await client.create_flow_run_from_deployment(deployment, parameters, flow_run_name=name)
    return run.id


async def paused(client: Client, run_id: Any) -> None:
    """Wait until a run waits for an answer."""
    while await client.read_pause(run_id) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def started_browser(playwright: Any) -> Browser:
    """Start Chromium."""
    return await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=BROWSER)


async def window(browser: Browser, guise: dict[str, Any], scale: int = 1) -> Page:
    """Open a window."""
    context = await browser.new_context(
        device_scale_factor=scale, timezone_id="UTC", reduced_motion="reduce", **guise
    )
    return await context.new_page()


async def shoot(browser: Browser, guise: str, url: str, file: Path) -> None:
    """Take a picture of a whole page."""
    page = await window(browser, GUISES[guise])
    await page.goto(url)
    await page.wait_for_timeout(300)
    await page.screenshot(path=file, full_page=True)
    await page.context.close()


async def shoot_refusals(
    browser: Browser, guise: str, url: str, pages: dict[str, str], directory: Path
) -> None:
    """Take the form with all kinds of fields as it is refused."""
    page = await window(browser, GUISES[guise])
    await page.goto(f"{url}{pages['everything']}")
    await page.get_by_label("Whole").fill("12")
    await page.get_by_role("button", name="Send the answer").last.click()
    await page.screenshot(path=directory / f"refused-{guise}.png", full_page=True)
    await page.context.close()


async def shoot_second(browser: Browser, guise: str, url: str, directory: Path) -> None:
    """Take what somebody sees whose answer comes second."""
    client = get_client()
    asked = await start(client, "print-book/press", "late-wren")
    await paused(client, asked)
    page = await window(browser, GUISES[guise])
    await page.goto(f"{url}runs/{asked}")
    await page.get_by_label("Decision").select_option(index=1)
    await page.evaluate("window.stop()")  # no news: the page is as it was
    await client.resume_flow_run(asked, {"decision": "print it", "copies": 900}, by="grace")
    await page.get_by_role("button", name="Send the answer").first.click()
    await page.wait_for_timeout(600)
    await page.screenshot(path=directory / f"second-{guise}.png", full_page=True)
    await page.context.close()


@contextmanager
def served(*words: str, **environment: str) -> Iterator[str]:
    """Serve the page; yield its address."""
    command = [sys.executable, "-m", "runbus.web", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None  # noqa: S101
        yield process.stdout.readline().partition(": ")[2].strip()
        process.terminate()


@contextmanager
def running(script: str) -> Iterator[None]:
    """Run a script meanwhile."""
    with subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL) as process:
        yield
        process.terminate()


if __name__ == "__main__":
    main()
