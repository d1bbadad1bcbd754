"""A browser without a window, with 3-D by the processor and a camera that shows a test picture."""

import os
import shutil
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def find_browser():
    """The program; None where there is none."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("TR2M_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        found = own if os.path.exists(own) else None
    return found


@contextmanager
def browsing(program, width=1280, height=1400):
    """A tab of the browser while the block runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()
