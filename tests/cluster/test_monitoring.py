# SPDX-License-Identifier: Apache-2.0
"""Prometheus over a pair of daemons to which things happen: the metrics, the alerts as they are shipped
(with a shorter `for:`) and every query of the dashboard."""
import json
import re

import pytest
from harness import MIB, SOURCE, wait_for
from harness.prometheus import Prometheus
from harness.proxy import Proxy

GOLD = {"farshore.io/policy": "gold", "csi.storage.k8s.io/pvc/name": "shop-data",
        "csi.storage.k8s.io/pvc/namespace": "shop"}
DASHBOARD = SOURCE / "docs/grafana/farshore.json"


@pytest.fixture
def proxy(east, daemons):
    """A pair with points every second, and the link between."""
    east.create("shop", 32 * MIB, labels=GOLD)
    east.fill("shop")
    pair = daemons(start=False, policies={"gold": {"interval": "1s"}})
    link = Proxy(int(pair.west.config["listen"].rpartition(":")[2]))
    link.pair = pair
    pair.east.config["peers"]["west"]["endpoints"] = [f"127.0.0.1:{link.port}"]
    pair.east.config["peers"]["west"]["bandwidth"] = "10 Gbit/s"  # the dashboard shows it
    pair.east.write_config()
    pair.start().ready("rbd/shop")
    yield link
    link.close()


@pytest.fixture
def prometheus(proxy, workdir):
    with Prometheus(workdir, [d.config["http"] for d in proxy.pair]) as made:
        yield made


def dashboard_queries():
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            text = re.sub(r"\$(group|policy)\b", ".*", target["expr"])
            yield panel["title"], text.replace("$__rate_interval", "30s")


def check_metrics(prometheus):
    value = prometheus.value
    wait_for(lambda: value('sum(up{job="farshore"})') == 2, 30, prometheus.log.read_text)
    lag = wait_for(lambda: value('max by (group) (farshore_rpo_lag_seconds{group="rbd/shop"})'), 30,
                   "a lag")
    assert 0 <= lag < 60
    shop = 'group="rbd/shop",role="primary"'
    assert value(f"farshore_rpo_interval_seconds{{{shop}}}") == 1
    assert value(f'farshore_rpo_threshold_seconds{{{shop},severity="critical"}}') == 3
    assert value(f"sum by (group) (farshore_group_state{{{shop}}})") == 1
    assert value("min(farshore_peer_up)") == 1
    assert value(f'farshore_sync_bytes_total{{{shop},stage="changed"}}') >= 4 * MIB
    assert value("max(farshore_snapshot_pause_seconds_count)") >= 1
    assert value("count(farshore_build_info)") == 2
    volume = 'farshore_volume_size_bytes{namespace="shop",pvc="shop-data",pool="rbd",image="shop"}'
    assert value(f"count({volume} == {32 * MIB})") == 2


def check_dashboard(prometheus):
    """Every query of every panel has something to show."""
    def empty():
        return [f"{title}: {query}" for title, query in dashboard_queries()
                if not prometheus.query(query)]
    assert len(list(dashboard_queries())) > 20  # it was read
    wait_for(lambda: not empty(), 60, lambda: "no data for:\n" + "\n".join(empty()))


def lag_grows(prometheus):
    series = 'farshore_rpo_lag_seconds{group="rbd/shop",role="secondary"}'
    before = prometheus.value(series)
    wait_for(lambda: (prometheus.value(series) or 0) > before + 2, 60, "the lag grows")


def test_link_and_daemon_come_and_go(east, proxy, prometheus):
    pair = proxy.pair
    check_metrics(prometheus)
    pair.west.request("verify", group="rbd/shop")
    east.fill("shop", seed=1)
    check_dashboard(prometheus)
    prometheus.wait_quiet("FarshoreRpoLagWarning", "FarshoreRpoLagCritical")
    assert not prometheus.firing(), prometheus.firing()

    proxy.refuse()
    proxy.cut()
    for site, peer in (("east", "west"), ("west", "east")):
        assert len(prometheus.wait_firing("FarshorePeerDown", site=site, peer=peer)) == 1
    # Both sites count, and it is one alert.
    assert len(prometheus.wait_firing("FarshoreRpoLagCritical", group="rbd/shop")) == 1
    proxy.heal()
    prometheus.wait_quiet("FarshorePeerDown", "FarshoreRpoLagWarning", "FarshoreRpoLagCritical")

    pair.east.kill()
    prometheus.wait_firing("FarshoreDaemonDown", instance=pair.east.config["http"])
    lag_grows(prometheus)  # as the other site sees it
    pair.east.start()
    prometheus.wait_quiet("FarshoreDaemonDown", "FarshorePeerDown", "FarshoreRpoLagCritical")

    # Somebody takes them out of Prometheus' configuration: then nothing else could tell.
    prometheus.scrape()
    prometheus.wait_firing("FarshoreDaemonAbsent")
    prometheus.scrape(*(daemon.config["http"] for daemon in pair))
    prometheus.wait_quiet("FarshoreDaemonAbsent")


def test_tampering_fires_until_adopted(east, west, proxy, prometheus):
    pair = proxy.pair
    pair.west.expect_error("event=tampered")
    pair.west.expect_error("event=lease_lost")  # taking a lock off blocklists its owner
    pair.east.request("pause", group="rbd/shop")
    wait_for(lambda: pair.west.group("rbd/shop")["sync"]["phase"] == "idle", 30, "idle")
    with west.image("shop") as image:
        for client, cookie, _ in image.list_lockers()["lockers"]:
            image.break_lock(client, cookie)
    with west.image("shop") as image:
        image.write(b"\xee" * 4096, 8 * MIB)
    east.fill("shop", seed=2)
    pair.east.request("resume", group="rbd/shop")
    prometheus.wait_firing("FarshoreTampered", group="rbd/shop", policy="gold")

    def adopted():
        if pair.west.group("rbd/shop")["state"] == "tampered":
            pair.west.request("adopt", group="rbd/shop", yes=True)
        return "FarshoreTampered" not in prometheus.firing()
    wait_for(adopted, 90, lambda: f"cleared: {pair.west.group('rbd/shop')}", every_s=1)
