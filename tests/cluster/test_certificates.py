# SPDX-License-Identifier: Apache-2.0
"""Certificates that change, that are wrong and that end, while the daemons run."""
import re
import shutil
import subprocess
import time

from harness import MIB, wait_for
from harness.daemon import CERTS

GOLD = {"farshore.io/policy": "gold"}


def expiry(daemon):
    found = re.search(r"^farshore_certificate_expiry_timestamp_seconds (\d+)$",
                      daemon.http("/metrics"), re.M)
    return int(found.group(1))


def make_short(directory, site, days):
    """A new certificate of the same authority, in place of the old one."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory, capture_output=True)
    (directory / "ext").write_text(f"subjectAltName=DNS:{site}\n")
    openssl("req", "-new", "-key", f"{site}.key", "-subj", f"/CN={site}", "-out", "csr")
    openssl("x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", "ext", "-out", "new.crt")
    (directory / "new.crt").rename(directory / f"{site}.crt")


def test_changed_files_are_taken_up_and_the_end_is_told(east, daemons):
    east.create("disk", 16 * MIB, labels=GOLD)
    pair = daemons()
    pair.ready("rbd/disk")
    certs = pair.dir / "certs"
    before = expiry(pair.west)
    assert before - time.time() > 3000 * 86400
    assert pair.west.status()["site"]["certificate_expiry_timestamp"] == before
    assert not pair.west.events("certificate_ends")

    make_short(certs, "west", 20)
    wait_for(lambda: pair.west.events("certificate_loaded"), 25, "the new one is used")
    assert 19 * 86400 < expiry(pair.west) - time.time() <= 20 * 86400
    warning = wait_for(lambda: pair.west.events("certificate_ends"), 5, "its end is told")
    assert "level=warning" in warning[0] and re.search("days_left=(19|20)", warning[0])
    pair.east.stop()
    pair.east.start()
    pair.synced("rbd/disk")

    # What cannot be used leaves the old one in force.
    pair.west.expect_error("event=certificate_refused")
    shutil.copy(certs / "west.crt", certs / "good.crt")
    (certs / "west.crt").write_text("nonsense\n")
    wait_for(lambda: pair.west.events("certificate_refused"), 25, "it is refused")
    pair.east.stop()
    pair.east.start()
    pair.synced("rbd/disk")
    shutil.copy(certs / "good.crt", certs / "west.crt")

    # On SIGHUP at once; an authority that the peer does not know keeps it out.
    subprocess.run([CERTS, certs / "other", "west"], check=True, stdin=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    for name in ("west.crt", "west.key"):
        shutil.copy(certs / "other" / name, certs / name)
    pair.west.reload()
    assert expiry(pair.west) - time.time() > 3000 * 86400
    pair.east.stop()
    pair.east.start()
    wait_for(lambda: "ertificate" in pair.east.status()["peers"][0]["reason"], 20,
             lambda: f"refused: {pair.east.status()['peers']}")
