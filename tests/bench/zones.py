# SPDX-License-Identifier: GPL-3.0-or-later
"""Large zones to measure with: the same octets on every machine and in every run."""

H1M = "h1m.example"
H1M_NAMES = 628_021
H1M_RECORDS = 998_416


def h1m(scale=1):
    """Lines of a zone like a hosting company's: four names a customer, addresses, mail, text, wildcards.

    Every tenth name is an alias, half of them to names outside. Without the aliases each name has an address, and as many
    have a second record (in turn AAAA, AAAA, MX, TXT) as make up the count.
    """
    names, records = H1M_NAMES * scale - 1, H1M_RECORDS * scale
    aliases = (names + 9) // 10
    others = names - aliases
    extra = records - 3 - aliases - others
    yield f"$ORIGIN {H1M}."
    yield "$TTL 3600"
    yield "@ SOA ns1.hoster.example. hostmaster.hoster.example. 1 3600 600 604800 300"
    yield "@ NS ns1.hoster.example."
    yield "@ NS ns2.hoster.example."
    seen = given = 0
    for n in range(names):
        owner = h1m_owner(n)
        if n % 10 == 0:
            yield f"{owner} CNAME " + (h1m_owner(n + 1) if n % 20 else f"{owner.replace('*', 'any')}.cdn.example.")
            continue
        yield f"{owner} A 192.0.{n >> 8 & 255}.{n & 255}"
        seen += 1
        if seen * extra // others > given:
            given += 1
            yield owner + (f" AAAA 2001:db8::{n & 0xffff:x}", f" AAAA 2001:db8:1::{n & 0xffff:x}",
                           f" MX 10 {h1m_owner(n - n % 4 + 2)}", f' TXT "v=spf1 ip4:192.0.2.{n & 255} -all"')[given % 4]


def h1m_owner(n):
    """The name number n, relative to the zone; customers come in no order."""
    customer, place = divmod(n, 4)
    label = f"{customer * 2654435761 & 0xffffffff:08x}"
    return ("", "www.", "mail.", "*." if customer % 8 == 0 else "ftp.")[place] + label


def write_h1m(path, scale=1):
    """Writes the zone file, unless it is there."""
    if not path.exists():
        temporary = path.with_suffix(".new")
        with open(temporary, "w") as file:
            file.writelines(line + "\n" for line in h1m(scale))
        temporary.rename(path)
