# SPDX-License-Identifier: Apache-2.0
"""A site is lost under a machine at work: it starts at the other site from what landed there, and what it
had acknowledged is there up to the moment that the failover tells. Then the way home."""
from harness import content, wait_for
from harness.guest import SIZE
from harness.site import lab
from harness.tool import farshore
from workload import (GROUP, IMAGES, NAMES, Hook, at_work, becomes, begun, check_survivors, failover, fenced,
                      halt, land, last_records, lose, operate)


def test_failover_of_a_site_that_is_gone(east, west, lab_dir, daemons, guest):
    pair, old = at_work(daemons, guest, east)
    lose(pair.east, lab_dir)
    told, asked = failover(pair.west)
    new = guest(west, IMAGES)
    there = check_survivors(old, new, told, asked)
    new.write(20)
    assert new.last() > there
    for ceph in ("mon", "osd"):
        lab("start", lab_dir, "east", ceph)
    # Nobody was fenced: the old machine goes on where it stood, and nothing of it comes to the new one.
    old.writes(10)
    pair.east.start()
    becomes(pair.east, "superseded")
    old.halt()
    halt(pair.west, new)
    again = guest(west, IMAGES)
    assert last_records(again) == (new.last(), new.last())
    again.halt()


def exported(site):
    """Images with what a failback kept of each disk; without its labels, they are nobody's volumes."""
    made = []
    for name in NAMES:
        made.append(f"left-{name}")
        site.create(made[-1], SIZE)
        with site.image(name, read_only=True) as disk, site.image(made[-1]) as copy:
            left, = [s["name"] for s in disk.list_snaps() if s["name"].startswith("farshore.left.")]
            disk.set_snap(left)
            for offset, length in content.used(disk):
                copy.write(disk.read(offset, length), offset)
    return [f"rbd/{name}" for name in made]


def test_failover_and_the_way_home(east, west, workdir, daemons, guest):
    stop, start = Hook(workdir, "stop"), Hook(workdir, "start")
    pair, old = at_work(daemons, guest, east, {"west": {"stop": stop.command},
                                               "east": {"start": start.command}})
    pair.east.kill()
    old.writes(10)
    told, asked = failover(pair.west, fence="best-effort")
    new = guest(west, IMAGES)
    check_survivors(old, new, told, asked)
    new.write(20)
    # The daemon that comes back learns that its machine is not to write any more, and sees to it.
    pair.east.start()
    becomes(pair.east, "superseded")
    old.fails_to_write()
    wait_for(lambda: fenced(pair.east) == set(IMAGES), 60, lambda: f"fenced: {pair.east.group(GROUP)}")
    old.kill()
    assert farshore(pair.east, "unfence", GROUP).returncode == 0
    operate(pair.east, "failback")
    # All that it had acknowledged until then, and no point has, is kept.
    copy = guest(east, exported(east))
    _, kept = last_records(copy)
    assert old.last() <= kept <= old.last() + 1
    copy.halt()
    land(pair.west, pair.east, 2)
    # Home, under load: what the hooks stop has every record where they start it.
    said = workdir / "relocation"
    with begun(pair.west, said, "relocate", "--to", "east") as relocation:
        stop.answer(new.halt, said.read_text)
        home = start.answer(lambda: guest(east, IMAGES).ready(), said.read_text)
        assert relocation.wait(60) == 0, said.read_text()
    assert last_records(home) == (new.last(), new.last())
    becomes(pair.west, "secondary")
    home.write(20)
    land(pair.east, pair.west, 2)
    halt(pair.east, home)
