"""Writes the picture of a derivation on the start page, with Chromium: ``python -m building.screenshots`` in docs/."""

import base64
import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

from building.links import start_network
from deepbp.losses import SumSquaredError

PICTURES = Path(__file__).parents[1] / "pictures"
WIDTH, SCALE = 900, 1.5


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
    """Render the page, and take the picture."""
    net, *_ = start_network()
    driver = browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            driver.get(net.derivation(SumSquaredError()).save(f"{folder}/derivation.html").as_uri())
            shoot(driver, "derivation.png", top_of(driver, "h2", "Backward") + 5, top_of(driver, "h2", "The update"))
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
