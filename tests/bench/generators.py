# SPDX-License-Identifier: GPL-3.0-or-later
"""Large zones to measure with: the same records on every machine and in every run (keys and signatures are made once, and kept)."""

import random
import shutil
import subprocess
from pathlib import Path

from servers import tool

DIRECTORY = Path(__file__).resolve().parents[2] / "build-bench"

#: Names and records of h1m; other sizes of it have as many records a name.
H1M_NAMES, H1M_RECORDS = 628_021, 998_416


def scattered(n):
    """Thirty-two bits that differ for each n, in no order."""
    return n * 2654435761 & 0xffffffff


class Zone:
    """A zone of so many names; its file is made when it is asked for, and kept."""

    #: What its origin begins with.
    key = None
    #: How it is signed, for a policy of knotd.
    policy = None
    #: What can be asked, by name: a method that gives the n-th of so many questions (name, type).
    kinds = ()

    def __init__(self, names):
        self.names = names
        self.origin = f"{self.key}.example"

    def lines(self):
        """Its zone file, line by line; a record a line."""
        raise NotImplementedError

    def last(self):
        """A name with an address, or a delegation, from the end of the zone file."""
        raise NotImplementedError

    @property
    def path(self):
        path = DIRECTORY / f"{self.key}-{self.names}.zone"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            plain = path.with_suffix(".new")
            with open(plain, "w") as file:
                file.writelines(line + "\n" for line in self.lines())
            made = self._sign(plain) if self.policy else plain
            made.rename(path)
        return path

    def _sign(self, plain):
        """Signs with kzonesign, and with all processors."""
        work = plain.parent / f"{self.key}-{self.names}.sign"
        work.mkdir(exist_ok=True)
        conf = work / "sign.conf"
        conf.write_text(f"database:\n    storage: {work}\n    journal-db-max-size: 64M\npolicy:\n  - id: bench\n    algorithm: ecdsap256sha256\n"
                        f"    single-type-signing: on\n    signing-threads: 2\n    rrsig-lifetime: 3650d\n    rrsig-refresh: 30d\n{self.policy}"
                        f"zone:\n  - domain: {self.origin}.\n    file: {plain}\n    dnssec-policy: bench\n    journal-content: none\n"
                        f"    semantic-checks: off\n")
        subprocess.run([tool("kzonesign"), "-c", conf, "-o", work, f"{self.origin}."], check=True, capture_output=True)
        signed = (work / plain.name).rename(plain)
        shutil.rmtree(work)
        return signed

    def questions(self, kind, count, seed=1):
        """Random questions over the whole zone, as lines of dnsperf."""
        choose, ask = random.Random(f"{seed} {self.key} {kind}"), getattr(self, kind)
        for _ in range(count):
            name, rdtype = ask(choose)
            yield f"{name}.{self.origin} {rdtype}"

    def nxdomain(self, choose):
        """Names that no wildcard covers, all over the zone."""
        return f"{choose.getrandbits(32):08x}-", "A"

    def apex(self):
        yield f"$ORIGIN {self.origin}."
        yield "$TTL 3600"
        yield "@ SOA ns1.hoster.example. hostmaster.hoster.example. 1 3600 600 604800 300"
        yield "@ NS ns1.hoster.example."
        yield "@ NS ns2.hoster.example."


class Hosting(Zone):
    """Like a hosting company's: four names a customer, addresses, mail, text, wildcards.

    Every tenth name is an alias, half of them to names outside. Without the aliases each name has an address, and as many
    have a second record (in turn AAAA, AAAA, MX, TXT) as make up the count.
    """

    key = "h1m"

    def __init__(self, names=H1M_NAMES):
        super().__init__(names)
        self.records = H1M_RECORDS * names // H1M_NAMES

    def lines(self):
        names = self.names - 1
        aliases = (names + 9) // 10
        others = names - aliases
        extra = self.records - 3 - aliases - others
        yield from self.apex()
        seen = given = 0
        for n in range(names):
            owner = self.owner(n)
            if n % 10 == 0:
                yield f"{owner} CNAME " + (self.owner(n + 1) if n % 20 else f"{owner.replace('*', 'any')}.cdn.example.")
                continue
            yield f"{owner} A 192.0.{n >> 8 & 255}.{n & 255}"
            seen += 1
            if seen * extra // others > given:
                given += 1
                yield owner + (f" AAAA 2001:db8::{n & 0xffff:x}", f" AAAA 2001:db8:1::{n & 0xffff:x}",
                               f" MX 10 {self.owner(n - n % 4 + 2)}", f' TXT "v=spf1 ip4:192.0.2.{n & 255} -all"')[given % 4]

    @staticmethod
    def owner(n):
        """The name number n, relative to the zone; customers come in no order."""
        customer, place = divmod(n, 4)
        return ("", "www.", "mail.", "*." if customer % 8 == 0 else "ftp.")[place] + f"{scattered(customer):08x}"

    def last(self):
        number = self.names - 2
        return self.owner(number - (number % 10 == 0)).replace("*", "any")

    def hits(self, choose):
        return self.owner(choose.randrange(self.names - 1)).replace("*", "any"), "A"

    def nodata(self, choose):
        return self.hits(choose)[0], "SRV"

    def mixed(self, choose):
        """Of twenty questions fourteen hits, three names that do not exist, three without the type."""
        place = choose.randrange(20)
        return (self.hits if place < 14 else self.nxdomain if place < 17 else self.nodata)(choose)


class HostingSigned(Hosting):
    """The same signed with NSEC: 1.3 M records for 250,000 names."""

    key, policy = "hnsec", "    nsec3: off\n"


class Tld(Zone):
    """Like a top-level domain: delegations with two name servers, a third of them with glue (three addresses), DS for half."""

    key = "t1m"
    WORDS = ("", "shop", "-online", "media", "24", "-group", "web")

    def owner(self, n):
        return f"{scattered(n):08x}{self.WORDS[n % len(self.WORDS)]}"

    def lines(self):
        yield from self.apex()
        for n in range(self.names):
            owner = self.owner(n)
            if n % 3 == 0:
                yield f"{owner} NS ns1.{owner}"
                yield f"{owner} NS ns2.{owner}"
                yield f"ns1.{owner} A 192.0.{n >> 8 & 255}.{n & 255}"
                yield f"ns2.{owner} A 198.51.{n >> 8 & 255}.{n & 255}"
                yield f"ns1.{owner} AAAA 2001:db8::{n & 0xffff:x}"
            else:
                yield f"{owner} NS ns1.dns{n % 2000}.example.net."
                yield f"{owner} NS ns2.dns{n % 2000}.example.net."
            if n % 2 == 0:
                yield f"{owner} DS {n & 0xffff} 13 2 " + 4 * f"{n * 0x9E3779B97F4A7C15 & 0xffffffffffffffff:016x}"

    def last(self):
        return self.owner(self.names - 1)

    def referrals(self, choose):
        return f"www.{self.owner(choose.randrange(self.names))}", "A"


class TldSigned(Tld):
    """The same signed with NSEC3 and opt-out: 2.5 M records for 500,000 delegations."""

    key, policy = "tnsec3", "    nsec3: on\n    nsec3-opt-out: on\n    nsec3-iterations: 0\n    nsec3-salt-length: 0\n"


class Tiny(Zone):
    """A zone that fits every cache."""

    key = "tiny"

    def __init__(self, names=10):
        super().__init__(names)

    def lines(self):
        yield from self.apex()
        for n in range(self.names):
            yield f"www{n} A 192.0.2.{n}"

    def last(self):
        return f"www{self.names - 1}"

    def hits(self, choose):
        return f"www{choose.randrange(self.names)}", "A"


def zones(small):
    """The zones of TARGETS by key; the small form has the same shapes with some thousands of names."""
    return {zone.key: zone for zone in ((Hosting(10_000), Tld(10_000), HostingSigned(4_000), TldSigned(5_000), Tiny()) if small else
                                        (Hosting(), Tld(1_000_001), HostingSigned(250_000), TldSigned(500_000), Tiny()))}


def hosting(small, scale):
    """h1m times `scale`."""
    return Hosting((10_000 if small else H1M_NAMES) * scale)
