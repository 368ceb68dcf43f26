"""Writes the pictures of a derivation and of the explorer, with Chromium: ``python -m building.screenshots`` in docs/.

Both show one step of the notes' network, as the start page does. Run it after a change of how either page looks.
"""

import base64
import io
import tempfile
from pathlib import Path
from time import sleep
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

from building.links import start_network
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD

PICTURES = Path(__file__).parents[1] / "pictures"
WIDTH, SCALE, STEPS = 900, 1.5, 8


def browser() -> Any:
    """Chromium without a window, in light colours."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--force-device-scale-factor={SCALE}"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={WIDTH},1000")
    return webdriver.Chrome(options)


def shoot(driver: Any, name: str, top: float, bottom: float) -> None:
    """Store a strip of the page with few colours."""
    clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top, "scale": 1}
    answer = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")
    image.quantize(64, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


def top_of(driver: Any, selector: str, start: str = "") -> float:
    """Where the first element stands whose text begins so."""
    return float(
        driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].find(one => one.textContent.startsWith(arguments[1]))"
            ".getBoundingClientRect().top + scrollY",
            selector,
            start,
        )
    )


def main() -> None:
    """Render both pages, and take their pictures."""
    net, x, y = start_network()
    driver = browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            driver.get(net.derivation(SumSquaredError()).save(f"{folder}/derivation.html").as_uri())
            shoot(driver, "derivation.png", top_of(driver, "h2", "Backward") + 5, top_of(driver, "h2", "The update"))
            page = net.explore(x, y, SumSquaredError(), optimizer=SGD(1.0), path=f"{folder}/explorer.html")
            driver.get(page.as_uri())
            forward = next(one for one in driver.find_elements(By.TAG_NAME, "button") if one.text == "Forward")
            for _ in range(STEPS):
                forward.click()
            sleep(1)  # until the colours have faded in
            shoot(driver, "explorer.png", 0, 1110)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
