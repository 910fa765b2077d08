# SPDX-License-Identifier: Apache-2.0
"""Comparing what the two sites hold at a point, through librbd and nothing of ours."""
import concurrent.futures
import hashlib

from . import GIB, KIB, MIB

WHOLE_UP_TO = 256 * MIB
EXACT_UP_TO = 8 * GIB  # beyond it, asking every object takes long: only those that the object map has
CHUNK, CHUNK_OF_HUGE = 4 * MIB, 64 * KIB


def chunk_of(size):
    return CHUNK if size <= EXACT_UP_TO else CHUNK_OF_HUGE


def ranges(image):
    """What is allocated at the opened snapshot, in whole chunks; everything of a small image."""
    size = image.size()
    if size <= WHOLE_UP_TO:
        return set(range(0, size, CHUNK))
    if size <= EXACT_UP_TO:
        return allocated(image, 0, size, CHUNK)
    return set().union(*(allocated(image, offset, min(CHUNK, size - offset), CHUNK_OF_HUGE)
                         for offset in allocated(image, 0, size, CHUNK, whole_object=True)))


def allocated(image, at, length, chunk, whole_object=False):
    found = set()

    def extent(offset, length, exists):
        if exists:
            found.update(range(offset // chunk * chunk, offset + length, chunk))
    image.diff_iterate(at, length, None, extent, include_parent=True, whole_object=whole_object)
    return found


def digest(image, chunks):
    size = image.size()
    total = hashlib.sha256(f"size {size}".encode())
    for offset in sorted(chunks):
        length = min(chunk_of(size), size - offset)
        if length > 0:
            total.update(b"%d:" % offset)
            total.update(image.read(offset, length))
    return total.hexdigest()


def digests(image_a, image_b):
    """Those of two images, side by side, and the chunks that they are of: what is allocated in either."""
    with concurrent.futures.ThreadPoolExecutor(2) as both:
        chunks = set.union(*both.map(ranges, (image_a, image_b)))
        a, b = both.map(lambda image: digest(image, chunks), (image_a, image_b))
    return a, b, chunks


def same_point(a, b):
    """Asserts that a point has the same bytes at two sites; a and b are (site, point), the points
    as `points` gives them. Returns the digests by volume."""
    (site_a, point_a), (site_b, point_b) = a, b
    assert point_a["id"] == point_b["id"]
    volumes_a = {v["uuid"]: v for v in point_a["volumes"]}
    volumes_b = {v["uuid"]: v for v in point_b["volumes"]}
    assert volumes_a.keys() == volumes_b.keys() and volumes_a
    found = {}
    for uuid, volume_a in volumes_a.items():
        with opened(site_a, volume_a) as image_a, opened(site_b, volumes_b[uuid]) as image_b:
            assert image_a.size() == image_b.size() == volume_a["size_bytes"]
            found[uuid], there, chunks = digests(image_a, image_b)
            assert found[uuid] == there, \
                f"{volume_a['image']} differs at point {point_a['name']}: " \
                f"{first_difference(image_a, image_b, chunks)}"
    return found


def opened(site, volume):
    return site.image(volume["image"], volume["pool"], volume["namespace"],
                      snap_id=volume["snap_id"])


def first_difference(image_a, image_b, chunks):
    size = image_a.size()
    for offset in sorted(chunks):
        length = min(chunk_of(size), size - offset)
        a, b = image_a.read(offset, length), image_b.read(offset, length)
        if a != b:
            at = next(i for i in range(length) if a[i] != b[i])
            bad = sum(x != y for x, y in zip(a, b))
            return f"first at byte {offset + at}, {bad} bytes of the {length} at {offset}; " \
                   f"there {a[at:at + 16].hex()} here {b[at:at + 16].hex()}"
    return "no difference when read again"


def used(image):
    """The allocated (offset, length) runs, as the object map or the objects themselves say."""
    found = []

    def extent(offset, length, exists):
        if exists:
            found.append((offset, length))
    image.diff_iterate(0, image.size(), None, extent)
    return found
