# SPDX-License-Identifier: Apache-2.0
"""Hooks of a failover on real clusters: they are run after the promotion, in their order, and what
becomes of them undoes nothing. What a hook is given and how it ends is tests/unit/test_hook.c's."""
import json

from harness.linked import GROUP, NAMES, farshore


def test_hooks_after_a_failover(linked, workdir):
    seen = workdir / "seen"
    setup = linked()
    pair, (_, west) = setup.pair, setup.sites
    write = f'echo "$FARSHORE_HOOK $FARSHORE_TERM $FARSHORE_POINT" $FARSHORE_VOLUMES >> {seen}'
    pair.west.expect_error("event=hook_failed")
    pair.west.config["policies"]["gold"]["on"] = {
        "stop": f"echo stop >> {seen}", "promoted": f"{write}; exit 3",
        "start": f"{write}; echo gone; sleep 600", "timeout": "2s"}
    pair.west.reload()
    done = farshore(pair.west, "failover", "--yes", "-o", "json", GROUP)
    assert done.returncode == 4, done.stderr
    group = json.loads(done.stdout)["groups"][0]
    assert group["outcome"] == "promoted" and group["duration_seconds"] < 60
    assert [(h["hook"], h["failed"]) for h in group["hooks"]] == [("on.promoted", True),
                                                                  ("on.start", True)]
    assert "status 3" in group["hooks"][0]["message"]
    assert "did not end within 2 s" in group["hooks"][1]["message"]
    assert [line.split()[:3] for line in seen.read_text().splitlines()] == [
        ["on.promoted", "2", group["point"]], ["on.start", "2", group["point"]]]
    assert all(set(line.split()[3:]) == {f"rbd/{name}" for name in NAMES}
               for line in seen.read_text().splitlines())
    assert pair.west.group(GROUP)["role"] == "primary"
    for name in NAMES:
        with west.image(name) as image:
            image.write(b"mine" * 1024, 0)
    steps = [e["step"] for e in pair.west.request("history", group=GROUP)["history"]]
    assert steps == ["begun", "raised", "done", "hook", "hook"]
    pair.west.stop()  # and they are not run again
    pair.west.start()
    assert len(seen.read_text().splitlines()) == 2
