# SPDX-License-Identifier: Apache-2.0
"""A bench of wrong copies is worth nothing."""
from harness import content


def compare(site_a, name_a, snap_a, site_b, name_b, snap_b, pool="rbd"):
    with site_a.image(name_a, pool, snap_id=snap_a) as a, \
            site_b.image(name_b, pool, snap_id=snap_b, read_only=True) as b:
        here, there, chunks = content.digests(a, b)
        if here != there:
            raise SystemExit(f"bench: {name_b} is not what {name_a} is: "
                             f"{content.first_difference(a, b, chunks)}")
