# SPDX-License-Identifier: Apache-2.0
"""The page at /, in Chromium, beside real daemons to which things happen."""
import re
import time
import urllib.error
import urllib.request

import pytest
from harness import MIB, wait_for
from harness.browser import NARROW, WIDE, Browser
from harness.tool import farshore
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

GOLD = {"farshore.io/policy": "gold"}
# The contrast that WCAG asks of text, over what is really painted below it; and what is too wide.
CONTRAST = """
const lum = (c) => { const v = c.map((x) => { x /= 255; return x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; });
  return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const bad = [];
let looked = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("noscript, .skip")) continue;
  const style = getComputedStyle(node), svg = node instanceof SVGElement;
  let under = node, back;
  do { back = rgb(getComputedStyle(under).backgroundColor); under = under.parentElement; } while (back[3] === 0 && under);
  const [a, b] = [lum(rgb(svg ? style.fill : style.color).slice(0, 3)), lum(back.slice(0, 3))].sort((x, y) => y - x);
  looked++;
  if ((a + .05) / (b + .05) < 4.5) bad.push(`${node.tagName} ${node.className} "${walker.currentNode.data}" ${((a + .05) / (b + .05)).toFixed(2)}`);
}
return [looked, bad];
"""
UNNAMED = """
return [...document.querySelectorAll("a, button, input, select, progress, img, svg, table, section")]
  .filter((e) => e.checkVisibility() && !(e.labels?.[0]?.innerText || e.innerText?.trim() || e.getAttribute("aria-label")
    || e.getAttribute("aria-labelledby") || e.getAttribute("alt") !== null))
  .map((e) => e.outerHTML.slice(0, 120));
"""


@pytest.fixture
def browser(workdir):
    made = Browser(workdir)
    yield made
    made.quit()


@pytest.fixture
def make_pair(east, daemons):
    """Two groups: one with points every two seconds, one every hour."""
    labels = {"csi.storage.k8s.io/pvc/namespace": "web", "csi.storage.k8s.io/pvc/name": "shop-data"}

    def make(change):
        east.create("shop", 16 * MIB, labels={**GOLD, **labels})
        east.create("desk", 16 * MIB, labels={"farshore.io/policy": "slow"})
        for name in ("shop", "desk"):
            east.fill(name)
        made = daemons(start=False, policies={"gold": {"interval": "2s"}, "slow": {"interval": "1h"}})
        change(made.east.config)
        made.east.write_config()
        made.start()
        made.ready("rbd/shop")
        made.ready("rbd/desk")
        return made
    return make


@pytest.fixture
def pair(east, make_pair):
    """And one that west refuses."""
    east.create("lost", 16 * MIB, pool="rbd-data", labels=GOLD)
    return make_pair(lambda config: config["policies"]["gold"]["pools"].update({"rbd-data": "rbd-data"}))


@pytest.fixture
def slow_pair(make_pair):
    """With a limit, so that 16 MiB can be watched."""
    return make_pair(lambda config: config["peers"]["west"].update(bandwidth="8 Mbit/s"))


def shown(browser, selector, text, timeout_s=40):
    wait_for(lambda: text in browser.text(selector), timeout_s,
             lambda: f"\"{text}\" in {selector}: {browser.text('body')}")


def opened(browser, daemon, path="/"):
    browser.look()
    browser.driver.get(f"http://{daemon.config['http']}{path}")
    shown(browser, "#live", "Live")


def names(browser):
    return browser.run("return [...document.querySelectorAll('#rows th a')].map((a) => a.innerText)")


def choose(browser, field, value):
    Select(browser.driver.find_element(By.NAME, field)).select_by_value(value)


def check_looks(browser, name):
    """In light, dark and narrow: no text is hard to read, nothing is wider than the screen."""
    for dark in (False, True):
        for size in (WIDE, NARROW):
            browser.look(dark, size)
            looked, faint = browser.run(CONTRAST)
            assert looked > 20 and not faint, "\n".join(faint)
            assert browser.run("return document.documentElement.scrollWidth") <= size[0]
            browser.picture(f"{name}-{'dark' if dark else 'light'}-{size[0]}")
    browser.look()
    assert not browser.run(UNNAMED)


def check_sort_and_filters(pair, browser):
    # Worst first: never synced in many intervals, then late or not, then far from its hour.
    wait_for(lambda: len(names(browser)) == 3, 30, lambda: names(browser))
    wait_for(lambda: names(browser)[0] == "rbd-data/lost" and names(browser)[-1] == "rbd/desk", 60,
             lambda: names(browser))
    search = browser.driver.find_element(By.NAME, "text")
    search.send_keys("SHOP-DATA")
    assert names(browser) == ["rbd/shop"] and "1 of 3" in browser.text("#shown")
    search.clear()
    search.send_keys("no such thing")
    assert names(browser) == [] and "No group matches" in browser.text("#rows-none")
    browser.driver.find_element(By.CSS_SELECTOR, "#filter button").click()
    wait_for(lambda: len(names(browser)) == 3, 10, "all again")
    for field, value, expected in (("policy", "slow", ["rbd/desk"]), ("namespace", "web", ["rbd/shop"]),
                                   ("role", "other", [])):
        choose(browser, field, value)
        wait_for(lambda: names(browser) == expected, 10, lambda: f"{field}: {names(browser)}")
        choose(browser, field, "")
    pair.east.request("pause", group="rbd/desk")
    shown(browser, "#rows", "paused")
    choose(browser, "state", "paused")
    wait_for(lambda: names(browser) == ["rbd/desk"], 10, lambda: names(browser))
    choose(browser, "state", "")
    pair.east.request("resume", group="rbd/desk")


def test_page_is_live_and_closed_to_others(east, pair, browser):
    opened(browser, pair.east)
    shown(browser, "#rows", "rbd/desk")
    assert "site east" in browser.text("h1") and "west up" in browser.text("#links")
    check_looks(browser, "overview")

    # No reload: what the page remembers stays, and the figures go on.
    browser.run("window.mark = 'here'")
    before = browser.run("return document.querySelector('#rows').innerText")
    pair.east.request("pause", group="rbd/shop")
    shown(browser, "#rows", "paused")
    assert browser.run("return window.mark") == "here"
    assert browser.run("return document.querySelector('#rows').innerText") != before
    pair.east.request("resume", group="rbd/shop")
    check_sort_and_filters(pair, browser)

    for path in ("/page.j", "/../etc/passwd", "/api/v1/groups/", "/api/v1/groups/none",
                 "/api/v1/groups/00000000-0000-0000-0000-000000000000"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            pair.east.http(path)

    # Nothing from elsewhere, and no script that is not the page's own.
    origin = f"http://{pair.east.config['http']}/"
    loaded = browser.run("return performance.getEntriesByType('resource').map((r) => r.name)")
    assert len(loaded) >= 5 and all(name.startswith(origin) for name in loaded), loaded
    assert not browser.complaints()
    with urllib.request.urlopen(origin, timeout=10) as page:
        policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    browser.run("const s = document.createElement('script'); s.textContent = 'window.bad = 1';"
                "document.body.append(s); document.body.insertAdjacentHTML('beforeend',"
                "'<img src=\"http://127.0.0.1:9/x.png\" onerror=\"window.bad = 2\">');")
    time.sleep(0.5)
    assert browser.run("return window.bad") is None
    assert any("Content Security Policy" in said for said in browser.complaints())


def test_group_with_its_points_and_history(east, slow_pair, browser):
    pair = slow_pair
    pair.west.request("verify", group="rbd/desk")
    opened(browser, pair.west)
    # By keyboard alone.
    wait_for(lambda: "rbd/desk" in names(browser), 30, lambda: names(browser))
    link = browser.driver.find_element(By.LINK_TEXT, "rbd/desk")
    browser.run("arguments[0].focus()", link)
    link.send_keys(Keys.ENTER)
    shown(browser, "#detail", "proved the same")
    assert browser.run("return document.activeElement.id") == "detail"
    drilled = farshore(pair.west, "drill", "rbd/desk", "--exec", "exit 3")
    assert drilled.returncode == 4, drilled.stderr
    assert farshore(pair.west, "drill", "--end", "rbd/desk").returncode == 0
    shown(browser, "#detail", "failed (3)")
    shown(browser, "#detail table[aria-label^=Operations]", "drill of farshore.")
    assert browser.run("return document.querySelectorAll('#detail .drill.failed').length") == 1
    assert "crash" in browser.text("#detail") and "Received from" in browser.text("#detail")
    label = "return document.querySelector('#detail svg').getAttribute('aria-label')"
    assert "the objective is 1 h 00 m" in browser.run(label)
    assert browser.run("return document.querySelectorAll('#detail .goal, #detail .lag').length") == 2
    assert browser.run("return document.querySelectorAll('#detail .point').length") == 1
    shown(browser, "#events", "verified")
    assert "rbd/shop" not in browser.text("#events")
    check_looks(browser, "group")
    # A new point comes into the line by itself.
    east.fill("desk", seed=1)
    pair.east.sync("rbd/desk")
    wait_for(lambda: browser.run("return document.querySelectorAll('#detail .point').length") == 2, 30,
             "two points")
    browser.driver.back()
    wait_for(lambda: not browser.run("return document.querySelector('#detail').checkVisibility()"), 20,
             "the overview")
    assert "← from east" in browser.text("#rows")
    # What was done outlives the daemon.
    pair.west.stop()
    pair.west.start()
    desk = wait_for(lambda: pair.west.group("rbd/desk"), 20, "the group is known again")
    opened(browser, pair.west, f"/#{desk['uuid']}")
    shown(browser, "#detail table[aria-label^=Operations]", "drill of farshore.")

    opened(browser, pair.east)
    check_transfer(east, pair, browser)


def check_transfer(east, pair, browser):
    """Progress while it moves; and a daemon that goes away and comes back."""
    east.fill("desk", seed=2, ranges=((0, 16 * MIB),))
    pair.ask("rbd/desk")
    value = "return document.querySelector('#moving progress')?.value ?? 0"
    wait_for(lambda: re.search(r"shipping [1-9]\d* % of .* to west, .*/s, .* left", browser.text("#moving"))
             and browser.run(value) > 0, 60, lambda: browser.text("#moving"))
    browser.picture("moving")
    told = farshore(pair.east, "status").stdout
    assert re.search(r"rbd/desk .* shipping \d+ % [1-9][\d.]* \w+/s, .* left", told), told
    wait_for(lambda: "rbd/desk" not in browser.text("#moving"), 60, lambda: browser.text("#moving"))
    pair.east.stop()
    shown(browser, "#live", "does not answer")
    assert "rbd/desk" in browser.text("#rows")
    browser.picture("lost")
    pair.east.start()
    shown(browser, "#live", "Live")
