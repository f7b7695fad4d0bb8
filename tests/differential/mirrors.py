# SPDX-License-Identifier: GPL-3.0-or-later
"""Secondaries of other makes, set to answer as they would where nobody asks for more than is needed."""

from servers import Named, Nsd, absolute


class NsdMirror(Nsd):
    """NSD as secondary of one primary."""

    def __init__(self, path, mirrored, primary, **common):
        super().__init__(path, **common)
        self.names, self.primary = list(mirrored), primary

    def config(self):
        text = super().config() + ("server:\n    minimal-responses: yes\n    refuse-any: no\n    tcp-count: 200\n    tcp-timeout: 30\n"
                                   "    ipv4-edns-size: 4096\n    round-robin: no\n")
        for name in self.names:
            text += (f"zone:\n    name: \"{absolute(name)}\"\n    request-xfr: AXFR {self.primary.address}@{self.primary.port} NOKEY\n"
                     f"    provide-xfr: 127.0.0.0/8 NOKEY\n    allow-notify: 127.0.0.0/8 NOKEY\n    outgoing-interface: {self.address}\n")
        return text


class NamedMirror(Named):
    """BIND as secondary of one primary."""

    def __init__(self, path, mirrored, primary, **common):
        super().__init__(path, **common)
        self.names, self.primary = list(mirrored), primary

    def config(self):
        text = super().config().replace("recursion no;", "recursion no; minimal-responses yes; zero-no-soa-ttl no; minimal-any no; check-names secondary ignore;\n"
                                        "max-udp-size 4096; edns-udp-size 4096; nocookie-udp-size 4096; answer-cookie no; "
                                        "transfers-in 50; transfers-per-ns 50; max-records-per-type 0; max-types-per-name 0;", 1)
        for name in self.names:
            text += (f'zone "{absolute(name)}" {{ type secondary; masterfile-format text; '
                     f"primaries {{ {self.primary.address} port {self.primary.port}; }}; }};\n")
        return text
