# SPDX-License-Identifier: Apache-2.0
"""The benchmark: Farshore and what people use today, on the same two clusters in the same run.

Those who take part are objects with

    name               as in the result
    images(names)      of the source images, those that it ships
    ship()             from now until the target has what the images hold now; returns the Cost
    check(name)        ends the program where the target does not hold what was shipped last

The first ship() of an image is a first copy."""
import sys

SHIP_S = 7200  # a first copy over a thin line takes long


def note(text):
    """For the person who waits; the result alone is on stdout."""
    print(text, file=sys.stderr, flush=True)
