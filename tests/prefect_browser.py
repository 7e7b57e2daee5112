"""A person at the Prefect UI: a real headless Chromium that clicks, types and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.chromium import start_chromium
from tests.searches import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from selenium.webdriver.remote.webelement import WebElement

LOOK_SECONDS = 60.0


class PrefectBrowser:
    """Use as a context manager; pictures of what is seen go to `pictures`."""

    def __init__(self, ui: str, profile: Path, pictures: Path) -> None:
        self.ui = ui
        self._pictures = pictures
        self._driver = start_chromium(profile)

    def __enter__(self) -> PrefectBrowser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.picture("last-seen")
        self._driver.quit()

    def open(self, path: str = "") -> None:
        self._driver.get(f"{self.ui}{path}")

    def picture(self, name: str) -> None:
        """The whole page, however long it is."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        script = "return Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight))"
        height = int(self._driver.execute_script(script))
        seen = self._inner_height()
        self._driver.set_window_size(1300, min(height + 150, 4000))
        self._driver.save_screenshot(str(self._pictures / f"{name}.png"))
        self._driver.set_window_size(1300, 1000)
        # What is clicked while the page is still laid out anew is missed.
        eventually(lambda: self._inner_height() == seen, what="the window's old size")

    def _inner_height(self) -> int:
        return int(self._driver.execute_script("return window.innerHeight"))

    def text(self) -> str:
        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def see(self, words: str, *, seconds: float = LOOK_SECONDS) -> None:
        eventually(lambda: words in self.text(), seconds=seconds, what=f"{words!r} on the page")

    def see_badge(self, words: str, *, seconds: float = LOOK_SECONDS) -> None:
        """Until something on the page reads just so; a line of a log that holds the words is no badge."""
        found = f"//*[normalize-space(text())='{words}']"
        eventually(
            lambda: any(_shown(element) for element in self._driver.find_elements(By.XPATH, found)),
            seconds=seconds,
            what=f"a badge {words!r}",
        )

    def click(self, words: str, *, kind: str = "a,button,[role=menuitem],[role=option]") -> None:
        """Click what reads so, once it is there."""

        def clicked() -> bool:
            try:
                for element in self._driver.find_elements(By.CSS_SELECTOR, kind):
                    if element.text.strip() == words and element.is_displayed() and element.is_enabled():
                        self._scroll_to(element)
                        element.click()
                        return True
            except StaleElementReferenceException:  # the page was drawn anew meanwhile
                pass
            return False

        eventually(clicked, seconds=LOOK_SECONDS, what=f"something to click that reads {words!r}")

    def complaints(self) -> dict[str, str]:
        """What the browser itself says against the boxes of the form, by field."""
        boxes = self._driver.find_elements(By.CSS_SELECTOR, "form :invalid:not(fieldset)")
        label = "document.querySelector(`label[for='${arguments[0].id}']`)"
        script = f"return [{label}?.innerText, arguments[0].validationMessage]"
        said = [self._driver.execute_script(script, box) for box in boxes]
        return {str(label).removesuffix(" (Optional)"): str(message) for label, message in said}

    def described(self) -> dict[str, str]:
        """The form's fields with what is written beside each."""
        return {
            self._name(label): label.find_element(By.XPATH, "./following-sibling::p").text
            for label in self._labels()
            if label.find_elements(By.XPATH, "./following-sibling::p")
        }

    def type_into(self, field: str, value: str) -> None:
        """Fill a field of the form as a person does; one that may be left out is switched on first."""
        block = self._block(field)
        for tab in block.find_elements(By.CSS_SELECTOR, "[role=tab]"):
            if tab.text in {"str", "int", "float"}:
                self._scroll_to(tab)
                tab.click()
        box = eventually(
            lambda: self._block(field).find_elements(By.CSS_SELECTOR, "textarea,input"), what=f"a box of {field}"
        )[0]  # fmt: skip
        self._scroll_to(box)
        box.click()
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(Keys.DELETE)
        box.send_keys(value)
        assert box.get_attribute("value") == value

    def choose(self, field: str, value: str) -> None:
        """Pick one of a field's choices."""
        button = self._block(field).find_element(By.CSS_SELECTOR, "button[aria-haspopup=listbox]")
        self._scroll_to(button)
        button.click()
        self.click(value, kind="[role=option]")
        eventually(lambda: value in self._block(field).text, what=f"{field} {value}")

    def _labels(self) -> list[WebElement]:
        return list(self._driver.find_elements(By.CSS_SELECTOR, "form label"))

    def _name(self, label: WebElement) -> str:
        return label.text.removesuffix(" (Optional)")

    def _block(self, field: str) -> WebElement:
        """What belongs to a field: its label, its words, its boxes."""

        def found() -> Any:
            return [label for label in self._labels() if self._name(label) == field]

        label = eventually(found, what=f"a field {field}")[0]
        return label.find_element(By.XPATH, "./ancestor::div[.//fieldset][1]")

    def _scroll_to(self, element: WebElement) -> None:
        self._driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)


def _shown(element: WebElement) -> bool:
    try:
        return bool(element.is_displayed())
    except StaleElementReferenceException:  # the page was drawn anew meanwhile
        return False
