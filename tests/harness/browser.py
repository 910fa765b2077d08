# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a screen, steered by its own driver."""
import os
import pathlib

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-dev-shm-usage", "--force-device-scale-factor=1")
WIDE, NARROW = (1280, 1600), (390, 1600)


class Browser:
    def __init__(self, directory):
        options = webdriver.ChromeOptions()
        for argument in (*ARGUMENTS, f"--user-data-dir={directory}/chromium"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        # Someone who wants to look gives a directory.
        self.pictures = os.environ.get("FARSHORE_SCREENSHOTS")

    def look(self, dark=False, size=WIDE):
        """As a screen of that size (set beyond the window's own least width) and colour scheme."""
        scheme = "dark" if dark else "light"
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": scheme}]})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False})

    def picture(self, name):
        if self.pictures:
            self.driver.save_screenshot(str(pathlib.Path(self.pictures, f"{name}.png")))

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def complaints(self):
        """What the console says, with refusals of the content security policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def quit(self):
        self.driver.quit()
