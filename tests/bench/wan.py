# SPDX-License-Identifier: Apache-2.0
"""Suite wan: the same over a thin and long line that loses packets."""
from . import ship
from .report import OURS, Report

RATE_BIT_PER_S = 100_000_000
LINE = "--rate 100mbit --delay 20ms --loss 0.1"
POLICIES = None
METRICS = {**ship.METRICS, "limit": ()}


def chains(quick):
    made = ship.disk(quick)
    made.steps = made.steps[:2]
    made.against = tuple(name for name in made.against if name != "limit")
    database = ship.database(quick)
    database.against = ("export-diff", "export-diff-zstd")
    return [made, database]


def suite(stage, options):
    report = Report()
    chosen = [chain for chain in chains(options.quick)
              if set(options.workloads).intersection(chain.workloads())]
    ship.play(stage, chosen, options, report)
    report.compare(METRICS)
    # What we sent, had the line been full all the time: the ratio is one divided by the use of the line.
    for (workload, who), costs in list(report.costs.items()):
        if who == OURS:
            full = sorted(cost.received[1] * 8 / RATE_BIT_PER_S for cost in costs)
            report.row(workload, "limit", "wall", report.median(workload, OURS, "wall"),
                       full[len(full) // 2])
    return report
