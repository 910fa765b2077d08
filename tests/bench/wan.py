# SPDX-License-Identifier: Apache-2.0
"""Suite wan: the same over a thin and long line that loses packets."""
from . import ship
from .report import OURS, Report

LINE = "--rate {rate}mbit --delay 20ms --loss 0.1"
POLICIES = None
METRICS = {**ship.METRICS, "limit": ()}


def chains(quick):
    made = ship.disk(quick)
    made.steps = made.steps[:2]
    made.against = ("rbd-mirror", "export-diff", "export-diff-zstd")
    database = ship.database(quick)
    database.against = ("export-diff", "export-diff-zstd")
    _, work = database.steps[-1]
    database.steps.insert(1, (None, work))  # a cycle before it: the first one teaches how thin the line is
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
            full = sorted(cost.received[1] * 8 / (options.rate * 1e6) for cost in costs)
            report.row(workload, "limit", "wall", report.median(workload, OURS, "wall"),
                       full[len(full) // 2])
    return report
