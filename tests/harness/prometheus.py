# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus over the daemons of a test, as an operator would run it: the scrape configuration
of the manual, with the alerts of docs/prometheus and a shorter `for:`."""
import json
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import yaml

from . import SOURCE, wait_for
from .daemon import free_port

RULES = SOURCE / "docs/prometheus/farshore.rules.yaml"
READY_S = 60


def hurried(rules):
    """The same alerts, without patience."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    return rules


class Prometheus:
    def __init__(self, directory, targets):
        self.dir = directory / "prometheus"
        self.dir.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        (self.dir / "rules.yaml").write_text(
            yaml.safe_dump(hurried(yaml.safe_load(RULES.read_text()))))
        self.write_config(targets)
        self.log = self.dir / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.dir}/prometheus.yaml",
                 f"--storage.tsdb.path={self.dir}/tsdb", f"--web.listen-address={self.address}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def write_config(self, targets):
        (self.dir / "prometheus.yaml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "farshore", "static_configs": [{"targets": list(targets)}]}]}))

    def scrape(self, *targets):
        """Only these from now on."""
        self.write_config(targets)
        self.process.send_signal(signal.SIGHUP)

    def __enter__(self):
        try:
            wait_for(lambda: self.query('up{job="farshore"}'), READY_S,
                     lambda: self.log.read_text(errors="replace"))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *failure):
        self.stop()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, path, **arguments):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            if refused.code == 503:
                return None  # it is still reading its own files
            raise ValueError(f"{arguments}: {refused.read().decode()}") from refused
        except OSError:
            return None  # it is not up yet

    def query(self, expression):
        """[({label: value}, number)]"""
        data = self.ask("query", query=expression)
        return [(r["metric"], float(r["value"][1])) for r in data["result"]] if data else []

    def value(self, expression):
        """Of the first series, or None."""
        found = self.query(expression)
        return found[0][1] if found else None

    def firing(self):
        """{alert: [labels]}"""
        found = {}
        for alert in (self.ask("alerts") or {"alerts": []})["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def wait_firing(self, name, timeout_s=60, **labels):
        """Until the alert fires with these labels; returns how often it does."""
        def check():
            return [f for f in self.firing().get(name, ()) if labels.items() <= f.items()]
        return wait_for(check, timeout_s, lambda: f"{name} fires with {labels}: {self.firing()}")

    def wait_quiet(self, *names, timeout_s=60):
        wait_for(lambda: not self.firing().keys() & set(names), timeout_s,
                 lambda: f"{names} clear: {self.firing()}")
