#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that keeps writing to images until SIGTERM, and then says how that went: one line of
JSON with the number of writes, the first failures, the longest that a write took, what took longer
than a write does by itself (seconds), the slow ones as (begun by the monotonic clock, seconds), and when
the last one began that went well, by the same clock. It gives up after `patience` failures.

random    4 KiB at random places of every image
sequence  the number n to block 0 of the first image, then of the second, ... then n + 1. At one
          instant no image is ahead of the one before it, and the first is at most one ahead of the
          last.
mixed     both: the sequence, and a random block elsewhere after each number"""
import argparse
import json
import random
import signal
import struct
import subprocess
import sys
import time

BLOCK = 4096
HEADER = struct.Struct("<8sQ")
MAGIC = b"farshseq"
SLOW_S = 5
WAIT_S = 0.02


class Writer:
    """The process, as a test sees it."""

    def __init__(self, site, images, mode="random", rate=100, seed=1, patience=5):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", __file__, "--conf", site.conf, "--mode", mode, "--rate", str(rate),
             "--seed", str(seed), "--patience", str(patience), *images],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        started = self.process.stdout.readline()
        assert started == "writing\n", f"the writer of {images} did not start"

    def stop(self):
        """Its result."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=90)
        return json.loads(out)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def sequence_number(image):
    """What `sequence` wrote last to an image, as it is opened; 0 before the first."""
    magic, number = HEADER.unpack(image.read(0, HEADER.size))
    return number if magic == MAGIC else 0


def write_random(images, source, first_block=0):
    image = source.choice(images)
    offset = source.randrange(first_block, image.size() // BLOCK) * BLOCK
    image.write(source.randbytes(BLOCK), offset)


def write_sequence(images, number):
    block = HEADER.pack(MAGIC, number).ljust(BLOCK, b"\0")
    for image in images:
        image.write(block, 0)


def main():
    import rados
    import rbd

    parser = argparse.ArgumentParser()
    parser.add_argument("--conf", required=True)
    parser.add_argument("--mode", choices=("random", "sequence", "mixed"), default="random")
    parser.add_argument("--rate", type=float, default=100, help="writes a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=int, default=5, help="failures after which it gives up")
    parser.add_argument("images", nargs="+", metavar="POOL/[NAMESPACE/]IMAGE")
    args = parser.parse_args()
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    cluster = rados.Rados(conffile=args.conf, rados_id="admin", conf={"rbd_cache": "false"})
    cluster.connect()
    images = []
    for spec in args.images:
        pool, *namespace, name = spec.split("/")
        io = cluster.open_ioctx(pool)
        io.set_namespace(namespace[0] if namespace else "")
        images.append(rbd.Image(io, name))
    source = random.Random(args.seed)
    result = {"writes": 0, "failures": [], "longest_s": 0.0, "waits": [], "slow": [], "last_ok": 0.0}
    failed = 0
    print("writing", flush=True)
    while not ended:
        begun = time.monotonic()
        try:
            if args.mode != "random":
                write_sequence(images, result["writes"] + 1)
            if args.mode != "sequence":
                write_random(images, source, first_block=int(args.mode == "mixed"))
            result["writes"] += 1
            result["last_ok"] = begun
        except (OSError, rbd.Error) as e:
            failed += 1
            if failed <= 5:
                result["failures"].append(f"{type(e).__name__}: {e}")
            if failed >= args.patience:
                break
        took = time.monotonic() - begun
        result["longest_s"] = max(result["longest_s"], took)
        if took >= WAIT_S:
            result["waits"].append(round(took, 3))
        if took >= SLOW_S:
            result["slow"].append((begun, took))
        time.sleep(max(0.0, 1 / args.rate - took))
    print(json.dumps(result), flush=True)
    for image in images:
        image.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
