# SPDX-License-Identifier: Apache-2.0
"""Medians, and ours over theirs."""
import json
import statistics

from . import note

OURS = "farshore"
UNITS = {"wall": ("s", 1), "cpu": ("s", 1), "wire_bytes": ("MiB", 1 << 20),
         "peak_memory": ("MiB", 1 << 20), "rados_ops": ("", 1), "lag_p99": ("s", 1), "downtime": ("s", 1)}


class Report:
    def __init__(self, quiet=False):
        self.quiet = quiet
        self.costs = {}  # {(workload, who): [Cost]}
        self.rows = []

    def add(self, workload, who, cost):
        self.costs.setdefault((workload, who), []).append(cost)
        if not self.quiet:
            note(f"{workload:<12} {who:<16} {cost}")

    def row(self, workload, against, metric, ours, theirs):
        """For what is not a cost."""
        self.rows.append({"workload": workload, "against": against, "metric": metric,
                          "ours": ours, "theirs": theirs,
                          "ratio": ours / theirs if theirs else None})

    def median(self, workload, who, metric):
        return statistics.median(c.metrics[metric] for c in self.costs[workload, who])

    def compare(self, metrics):
        """Rows of every workload against everybody else; `metrics` {who: names}, or of "all"."""
        for workload, who in self.costs:
            if who != OURS and (workload, OURS) in self.costs:
                theirs = self.costs[workload, who][0]
                for metric in metrics.get(who, metrics["all"]):
                    if metric not in theirs.metrics or theirs.our_part:
                        continue
                    self.row(workload, who, metric, self.median(workload, OURS, metric),
                             self.median(workload, who, metric))

    def print_json(self, out):
        json.dump(self.rows, out, indent=1)
        print(file=out)

    def print_table(self, out):
        print("CPU seconds of each process, medians", file=out)
        for (workload, who), costs in self.costs.items():
            names = sorted({name for cost in costs for name in cost.processes})
            each = [(name, statistics.median(c.processes.get(name, 0) for c in costs))
                    for name in names]
            print(f"  {workload:<12} {who:<16} " + ", ".join(f"{n} {s:.1f}" for n, s in each),
                  file=out)
        print(f"\n{'workload':<12} {'against':<16} {'metric':<12} {'ours':>13} {'theirs':>13} "
              f"{'ratio':>7}", file=out)
        for row in self.rows:
            unit, size = UNITS[row["metric"]]
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
            print(f"{row['workload']:<12} {row['against']:<16} {row['metric']:<12} "
                  f"{row['ours'] / size:>9.2f} {unit:<3} {row['theirs'] / size:>9.2f} {unit:<3} "
                  f"{ratio:>7}", file=out)
