# SPDX-License-Identifier: GPL-3.0-or-later
"""Random small zones, dense in what interacts: few labels, so that cuts, wildcards and aliases meet; each follows from its seed."""

import random

LABELS = ["a", "b", "c", "*", "A", "ns", "x", "\\000", "zz"]
ADDRESSES = ["A 192.0.2.{n}", "AAAA 2001:db8::{n:x}"]


def owner(rng):
    depth = rng.choices([1, 2, 3, 4], [6, 5, 2, 1])[0]
    return ".".join(rng.choice(LABELS) for _ in range(depth))


def key(name):
    return name.lower()


class Zone:
    """Records that may stand together: one CNAME or DNAME for a name, and a CNAME alone."""

    def __init__(self, rng, apex):
        self.rng, self.apex, self.records, self.types = rng, apex, [], {}
        self.names = [owner(rng) for _ in range(rng.randint(3, 14))]

    def target(self):
        """Mostly a name of the zone, in some other case now and then."""
        kind = self.rng.random()
        if kind < 0.1:
            return "host.elsewhere.test."
        if kind < 0.15:
            return "@"
        name = self.rng.choice(self.names) if kind < 0.75 else owner(self.rng)
        return name.swapcase() if kind > 0.9 else name

    def is_below_dname(self, name):
        """knotd refuses to load what stands below a DNAME."""
        labels = key(name).split(".")
        return any("DNAME" in self.types.get(".".join(labels[i:]), ()) for i in range(1, len(labels)))

    def has_below(self, name):
        return name == "@" or any(other.endswith("." + key(name)) for other in self.types)

    def add(self, name, rdtype, rdata, ttl=""):
        if self.is_below_dname(name) or (rdtype == "DNAME" and self.has_below(name)):
            return
        types = self.types.setdefault(key(name), set())
        if "CNAME" in types or (rdtype == "CNAME" and types) or (rdtype == "DNAME" and ("DNAME" in types or "NS" in types)) \
           or (rdtype == "NS" and "DNAME" in types) or (rdtype in ("NS", "DS", "CNAME", "SOA") and name == "@"):
            return
        if rdtype in ("NS", "DS") and name.split(".")[0] == "*":
            return
        types.add(rdtype)
        self.records.append(f"{name} {ttl} {rdtype} {rdata}")

    def add_some(self, name):
        rng, n = self.rng, self.rng.randint(1, 250)
        kind = rng.choices(["address", "cut", "cname", "mx", "txt", "dname", "srv", "svcb", "ds", "many", "odd"],
                           [30, 14, 16, 8, 8, 6, 4, 4, 3, 3, 4])[0]
        if kind == "address":
            for form in rng.sample(ADDRESSES, rng.randint(1, 2)):
                self.add(name, *form.format(n=n).split(" ", 1))
        elif kind == "cut":
            for _ in range(rng.randint(1, 3)):
                below = "" if name == "@" else "." + name
                host = rng.choice([f"ns{below}", f"{rng.choice(LABELS[:3])}{below}", self.target()])
                self.add(name, "NS", host)
                if not host.endswith(".") and host != "@" and rng.random() < 0.7:
                    for form in rng.sample(ADDRESSES, rng.randint(1, 2)):
                        self.add(host, *form.format(n=n).split(" ", 1))
        elif kind == "cname":
            self.add(name, "CNAME", self.target())
        elif kind == "mx":
            for _ in range(rng.randint(1, 3)):
                self.add(name, "MX", f"{n} {self.target()}")
        elif kind == "txt":
            self.add(name, "TXT", f'"{n}"', rng.choice(["", "60", "0", "2147483647"]))
        elif kind == "dname":
            self.add(name, "DNAME", self.target())
        elif kind == "srv":
            self.add(name, "SRV", f"1 2 {n} {self.target()}")
        elif kind == "svcb":
            self.add(name, rng.choice(["SVCB", "HTTPS"]), f"1 {self.target()} port={n}")
        elif kind == "ds":
            self.add(name, "DS", f"{n} 13 2 " + "ab" * 32)
        elif kind == "many":
            for i in range(rng.randint(5, 60)):
                self.add(name, "TXT", f'"{i} {"x" * 40}"')
        else:
            self.add(name, f"TYPE{65280 + n % 3}", f"\\# 2 {n:04x}")


def records(seed, apex):
    """The records of the zone with this seed, less SOA and NS of the apex."""
    rng = random.Random(seed)
    zone = Zone(rng, apex)
    for name in zone.names:
        for _ in range(rng.randint(1, 3)):
            zone.add_some(name)
    if rng.random() < 0.3:
        zone.add_some("@")
    return zone.records
