"""Makes the README's picture: `.venv/bin/python docs/screenshots.py`, after `manage.py test` has installed a browser.

Starts the app with its demo gateway on a free port and an empty data folder, talks a little, and takes the picture.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import expect, sync_playwright

from tests.parts import chromium
from tests.server import Server

HERE = Path(__file__).resolve().parent
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
TALKS = ["Remember that my train leaves at 7:42.", "Flights to Lisbon in March", "Show me markdown."]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data").start()
        try:
            take(server)
        finally:
            server.end()


def take(server: Server) -> None:
    person = server.first_account("ada")
    for text in TALKS:
        person.chat(text).reply()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1280, "height": 860}, device_scale_factor=2).new_page()
        page.context.add_cookies(person.cookies)
        page.goto(f"{server.url}/chats/new/")
        page.get_by_label("Name").fill("Budget 2027")
        page.get_by_role("button", name="Create & switch").click()
        for text in TALKS[2:]:
            page.locator("#composer textarea").fill(text)
            page.keyboard.press("Enter")
            expect(page.locator("[data-role=assistant]").last).to_have_attribute("data-state", "done", timeout=60_000)
        page.locator("#composer textarea").blur()
        page.screenshot(path=HERE / "screenshot.png")
        browser.close()


if __name__ == "__main__":
    main()
