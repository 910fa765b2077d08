# SPDX-License-Identifier: Apache-2.0
"""A real database on a volume: PostgreSQL on ext4, on a loop device over the FUSE export of
qemu-storage-daemon, which writes through librbd as a virtual machine's host would."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import MIB, wait_for

from .disk import rbd
from .mirror import POOL

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
USER = "postgres"


def run(*argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **more)
    if done.returncode != 0:
        raise SystemExit(f"bench: {argv[0]} failed:\n{done.stdout}")
    return done.stdout


class Database:
    """Lives from create() to stop(). Between the steps it runs, and has nothing to do."""

    def __init__(self, quick):
        self.scale, self.seconds = (1, 2) if quick else (30, 30)
        self.stack = contextlib.ExitStack()
        self.dir = self.base = None

    # --- the steps of a chain ---

    def create(self, site, pool, images, _seed):
        if pool == POOL:
            return self._carry_over(site, images[0])
        self.base = None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="farshore-db-"))
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        self._mount(site, images[0])
        self._start()
        self._pg("pgbench", "-i", "-q", "-s", str(self.scale), "postgres")
        return self._rest()

    def work(self, site, pool, images, seed):
        if pool == POOL:
            return self._carry_over(site, images[0])
        self._pg("pgbench", "-c", "4", "-T", str(self.seconds), "--random-seed", str(1 + seed),
                 "postgres")
        return self._rest()

    def stop(self):
        self.stack.close()

    # --- the parts ---

    def _mount(self, site, image):
        export = self.dir / "disk"
        export.touch()
        with site.entered():
            daemon = subprocess.Popen(
                ["qemu-storage-daemon",
                 "--blockdev", f"driver=rbd,node-name=disk,pool=rbd,image={image},"
                               f"conf={site.conf},user=admin",
                 "--export", f"type=fuse,id=disk,node-name=disk,mountpoint={export},writable=on"],
                stdin=subprocess.DEVNULL)
        self.stack.callback(daemon.wait)
        self.stack.callback(daemon.terminate)
        wait_for(lambda: export.stat().st_size or daemon.poll() is not None, 60, "the FUSE export")
        loop = run("losetup", "--find", "--show", export).strip()
        self.stack.callback(run, "losetup", "--detach", loop)
        run("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", loop)
        mount = self.dir / "mnt"
        mount.mkdir()
        run("mount", loop, mount)
        self.stack.callback(run, "umount", mount)

    def _start(self):
        self.dir.chmod(0o755)
        data = self.dir / "mnt/data"
        data.mkdir(mode=0o700)
        shutil.chown(data, USER, USER)
        shutil.chown(self.dir / "mnt", USER, USER)
        self._pg("initdb", "-D", data, "--no-sync")
        server = subprocess.Popen([BIN / "postgres", "-D", data, "-c", "listen_addresses=",
                                   "-k", self.dir / "mnt"], user=USER, group=USER, cwd="/",
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.stack.callback(server.wait)
        self.stack.callback(server.terminate)
        wait_for(lambda: subprocess.run([BIN / "pg_isready", "-q", "-h", self.dir / "mnt"],
                                        check=False).returncode == 0, 60, "PostgreSQL answers")

    def _pg(self, program, *arguments):
        run(BIN / program, *arguments, user=USER, group=USER, cwd="/",
            env={"PGHOST": str(self.dir / "mnt"), "PATH": os.environ["PATH"], "LC_ALL": "C"})

    def _rest(self):
        """Everything is on the volume, and nothing more will be written for a while."""
        self._pg("psql", "-q", "-c", "CHECKPOINT", "postgres")
        run("sync", "--file-system", self.dir / "mnt")

    def _carry_over(self, site, image):
        """rbd-mirror's image of the same name gets the same bytes in the same places."""
        extents = []
        with site.image(image, read_only=True) as source, site.image(image, POOL) as target:
            source.diff_iterate(0, source.size(), self.base, lambda *extent: extents.append(extent))
            for offset, length, exists in extents:
                for at in range(offset, offset + length, 4 * MIB):
                    step = min(4 * MIB, offset + length - at)
                    if exists:
                        target.write(source.read(at, step), at)
                    else:
                        target.discard(at, step)
        if not self.base:
            self.base = "carried"
            rbd(site, "snap", "create", "--no-progress", f"rbd/{image}@{self.base}")
