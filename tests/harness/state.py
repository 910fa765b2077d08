# SPDX-License-Identifier: Apache-2.0
"""What a site keeps of a group in its state pool: for tests that lose it, restore it or change it."""
import json

import rados


class State:
    """The omap objects of one group in a site's state pool."""

    def __init__(self, site, uuid, pool="rbd"):
        self.site, self.pool = site, pool
        self.objects = {f"group.{uuid}": None, "groups": [uuid], "current": [uuid]}

    def read(self):
        found = {}
        with self.site.ioctx(self.pool, "farshore") as io:
            for name, keys in self.objects.items():
                with rados.ReadOpCtx() as op:
                    values, _ = io.get_omap_vals(op, "", "", 1000)
                    try:
                        io.operate_read_op(op, name)
                    except rados.ObjectNotFound:
                        continue
                    found[name] = {k: v for k, v in values if keys is None or k in keys}
        return found

    def write(self, content):
        self.forget()
        with self.site.ioctx(self.pool, "farshore") as io:
            for name, pairs in content.items():
                with rados.WriteOpCtx() as op:
                    io.set_omap(op, tuple(pairs), tuple(pairs.values()))
                    io.operate_write_op(op, name)

    def forget(self):
        with self.site.ioctx(self.pool, "farshore") as io:
            for name, keys in self.objects.items():
                if keys is None:
                    io.remove_object(name)
                    continue
                with rados.WriteOpCtx() as op:
                    io.remove_omap_keys(op, tuple(keys))
                    io.operate_write_op(op, name)

    def edit(self, change):
        """Rewrite the group's record: change(record) works on its JSON in place."""
        content = self.read()
        pairs = next(v for name, v in content.items() if name.startswith("group."))
        record = json.loads(pairs["record"].decode().rstrip("\0"))
        change(record)
        pairs["record"] = json.dumps(record).encode()
        self.write(content)
