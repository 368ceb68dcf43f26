"""A headless Chromium, as a reader sees a page in it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"),
    *("disable-background-networking", "disable-component-update"),
]


class Browser:
    """Opens files, runs JavaScript, presses keys."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def command(self, name: str, **arguments: Any) -> Any:
        """One of the browser's own."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def open(self, page: Path, width: int = 1400, **features: str) -> None:
        """Open a file in a window of this width; ``prefers_color_scheme="dark"`` and so on are media features."""
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.command("Emulation.setEmulatedMedia", features=media)
        self.console()
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a JavaScript expression; its arguments are called a, b, …"""
        names = "".join(f"const {name} = arguments[{i}]; " for i, name in enumerate("abc"[: len(arguments)]))
        return self.driver.execute_script(f"{names}return {script};", *arguments)

    def press(self, *keys: str) -> None:
        """Keys, one after another, for whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def press_button(self, name: str) -> None:
        """Click the button of this name, where it stands on the screen."""
        found = [b for b in self.driver.find_elements("css selector", "button") if b.accessible_name == name]
        assert len(found) == 1, name
        found[0].click()

    def console(self) -> list[str]:
        """What was written to the console since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def status(self) -> str:
        return str(self.run("document.getElementById('status').textContent"))

    @property
    def focused(self) -> str:
        """The name of what has the focus."""
        return str(self.run("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"))


def started(profile: Path) -> Iterator[Browser]:
    """A browser, for a fixture to yield; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium to steer a browser: pip install selenium")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if program is None or chromedriver is None:
        pytest.skip("no browser to open the pages in: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
