"""A person who reads a report: a real headless Chromium that points, drags, presses keys and measures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.chromium import start_chromium

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from selenium.webdriver.remote.webelement import WebElement

# Text that is seen: its ratio of contrast to the nearest background that is painted (WCAG 2.2, 1.4.3).
CONTRASTS = """
const channel = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
const colour = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const found = colour(getComputedStyle(e).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const found = [];
while (walker.nextNode()) {
  const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
  if (!text || element.closest("script, style, title, desc, [hidden], .unseen, .skip, caption, :disabled")) continue;
  if (element.checkVisibility && !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const a = light(colour(element.closest("svg") ? style.fill : style.color)), b = light(behind(element));
  found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), text.slice(0, 40)]);
}
return found;
"""


class ReportBrowser:
    """Use as a context manager."""

    def __init__(self, profile: Path) -> None:
        self.driver = start_chromium(profile, log="performance")

    def __enter__(self) -> ReportBrowser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()

    def open(
        self, page: Path, *, width: int = 1200, height: int = 1000, dark: bool = False, script: bool = True
    ) -> None:
        """A page as it first meets a reader, in a window of some size, under a system that is light or dark."""
        if self.driver.current_url.startswith("file:"):
            self.driver.execute_script("localStorage.clear()")
        self.open_again(page, width=width, height=height, dark=dark, script=script)

    def open_again(
        self, page: Path, *, width: int = 1200, height: int = 1000, dark: bool = False, script: bool = True
    ) -> None:
        """The same with what the reader chose before; what was logged before is dropped."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setDeviceMetricsOverride", size)
        self.command("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.command(
            "Emulation.setFocusEmulationEnabled", {"enabled": True}
        )  # also after the focus went past the page
        self.command("Emulation.setScriptExecutionDisabled", {"value": not script})
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.as_uri())

    def command(self, name: str, arguments: dict[str, Any]) -> Any:
        """One command of Chromium's DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def js(self, script: str) -> Any:
        """What a script in the page returns, run once everything before it is drawn."""
        return self.driver.execute_async_script(
            f"const done = arguments[0], run = () => done((() => {{{script}}})());"
            "requestAnimationFrame(() => requestAnimationFrame(run));"
        )

    def all(self, selector: str) -> list[WebElement]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def point_at(self, element: WebElement) -> None:
        """Move the pointer to the middle of something, in the middle of the window."""
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        ActionChains(self.driver, duration=0).move_to_element(element).perform()

    def press(self, *keys: str) -> None:
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def slide(self, **values: float) -> None:
        """Drag sliders to values."""
        self.driver.execute_script(
            "for (const [id, value] of Object.entries(arguments[0])) {"
            "  const slider = document.getElementById(id);"
            "  slider.value = value;"
            "  slider.dispatchEvent(new Event('input', {bubbles: true}));"
            "}",
            {name.replace("_", "-"): value for name, value in values.items()},
        )

    def complaints(self) -> list[str]:
        """Everything the console has said since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """Every address the browser asked for since the page was opened."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def contrasts(self) -> list[tuple[float, str]]:
        """The contrast of every text that is seen, the least first."""
        return sorted((float(ratio), str(text)) for ratio, text in self.driver.execute_script(CONTRASTS))

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.driver.execute_script(script))
