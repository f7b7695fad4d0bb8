# SPDX-License-Identifier: GPL-3.0-or-later
"""Real name servers for the system tests, each in a directory of its own, on loopback and a high port.

A server is made (its port is known from then on), told about its peers, started, and stopped by its own process id.
Nothing here sleeps for a fixed time: every wait is for an event (a line of a log, an answer) and has a deadline.
tests/README.md tells how to write a test with them.
"""

import base64
import ctypes
import hashlib
import itertools
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rdatatype
import dns.rrset
import dns.tsig

ROOT = Path(__file__).resolve().parents[2]
SBIN = "/usr/sbin:/sbin:/usr/local/sbin"

#: Every deadline is multiplied by this: valgrind and sanitizers take their time.
SLOWNESS = float(os.environ.get("SECONDARY_SLOWNESS", "1"))
#: Seconds until an awaited event counts as not coming; a passing test never waits so long.
PATIENCE = 15 * SLOWNESS
#: The same for kdig and dig, which wait five seconds for the next octets, and then print what they have.
CLIENT_PATIENCE = f"+timeout={int(PATIENCE)}"
#: Pause between two looks at a log or a server, in seconds.
LOOK_AGAIN = 0.01

REPORT = re.compile(r"(ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:|WARNING: ThreadSanitizer|"
                    r"Assertion .* failed|stack smashing)")

#: What servers say of a port that somebody else has.
TAKEN = re.compile(r"(bind|listen).*address (already )?in use|unable to listen on any", re.IGNORECASE)


def tool(name):
    """The path of a program; a daemon's directory need not be in PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":" + SBIN)
    assert path, f"{name} is not installed: ./build.sh deps"
    return path


def module_path():
    """The module under test."""
    return Path(os.environ.get("SECONDARY_SO", ROOT / "build" / "secondary.so")).resolve()


def absolute(name):
    """A name as text with its final dot."""
    return dns.name.from_text(str(name)).to_text()


def await_event(look, what, timeout=None):
    """Calls look() until it returns something true, and returns that."""
    deadline = time.monotonic() + (PATIENCE if timeout is None else timeout * SLOWNESS)
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come in time")
        time.sleep(LOOK_AGAIN)


#: Ports are given away below the range from which the kernel takes ports of clients, in stretches: one for each process that tests.
PORTS_FIRST, PORTS_STRETCH, PORTS_STRETCHES = 10000, 500, 44


def reserve_ports():
    """A stretch of ports that no other test process of this machine has, whoever started it; ends with this process."""
    for stretch in random.sample(range(PORTS_STRETCHES), PORTS_STRETCHES):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0mod-secondary-ports-{stretch}")
        except OSError:
            reservation.close()
            continue
        first = PORTS_FIRST + stretch * PORTS_STRETCH
        # The reservation lives as long as this generator does.
        yield from itertools.cycle(range(first, first + PORTS_STRETCH))
    raise AssertionError("all stretches of ports are taken")


PORTS = reserve_ports()


def free_port(address="127.0.0.1"):
    """A port that is free for UDP and TCP, and was not given away for as long as possible."""
    for port in itertools.islice(PORTS, PORTS_STRETCH):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
                udp.bind((address, port))
                tcp.bind((address, port))
                return port
        except OSError:
            continue
    raise AssertionError(f"no free port at {address}")


def replace_file(path, text):
    """Never half a file, nor one that is cut while a server still reads the one before (knotd maps its configuration)."""
    aside = path.with_suffix(".aside")
    aside.write_text(text)
    os.replace(aside, path)


def listens(path):
    """Does anybody accept connections at this socket? A file of that name may be left over from a killed server."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            return True
        except OSError:
            return False


class Key:
    """A TSIG key that both ends know."""

    def __init__(self, name="transfer", algorithm="hmac-sha256"):
        self.name, self.algorithm = name, algorithm
        self.secret = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()

    def keyring(self):
        return dns.tsig.Key(self.name, self.secret, self.algorithm)


class Peer:
    """An address that no server of ours need have: a primary that is dead, or a test's own socket."""

    def __init__(self, port=None, address="127.0.0.1", key=None):
        self.address, self.port, self.key = address, port or free_port(address), key


def soa(zone, serial=1, refresh=3600, retry=600, expire=604800, minimum=300):
    return f"{absolute(zone)} 3600 SOA ns1.{absolute(zone)} hostmaster.{absolute(zone)} {serial} {refresh} {retry} {expire} {minimum}\n"


def zone_text(zone, records="", serial=1, **timers):
    """A zone file: SOA, two name servers with addresses, and the records, whose relative names end in the zone."""
    return (f"$ORIGIN {absolute(zone)}\n$TTL 3600\n" + soa(zone, serial, **timers)
            + "@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nns2 A 192.0.2.2\n" + records)


class Server:
    """What all servers have in common: a directory, an address, a log, and a process."""

    kind = None
    #: A line of the log that says: it listens and serves.
    ready = None
    #: A line of the log for each transfer that it sent, whole or an increment; {zone} is the name without final dot.
    sent = None
    #: A wrapped server runs under what SECONDARY_WRAP and SECONDARY_PRELOAD say.
    wrapped = False

    def __init__(self, path, address="127.0.0.1", port=None, zones=None, key=None, notify=(), conf="", zone_conf="", updates=False,
                 mirrored=(), primaries=()):
        self.path, self.address = Path(path), address
        self.port = port or free_port(address)
        self.zones = {str(name).rstrip("."): text for name, text in (zones or {}).items()}
        self.key, self.notify, self.extra = key, list(notify), conf
        #: Lines in each zone; may anybody change zones by UPDATE?
        self.zone_conf, self.updates = zone_conf, updates
        #: Zones that it is secondary for, and of whom.
        self.mirrored, self.primaries = [str(name).rstrip(".") for name in mirrored], list(primaries)
        self.process = None
        self.path.mkdir(parents=True)
        self.log = self.path / "log"
        self.conf = self.path / f"{self.kind}.conf"

    # What each kind defines.
    def config(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def prepare(self):
        """Makes directories and zone files."""
        for name, text in self.zones.items():
            self.zone_file(name).write_text(text)

    # Files
    def zone_file(self, zone):
        return self.path / f"{str(zone).rstrip('.') or 'root'}.zone"

    def log_text(self, after=0):
        with open(self.log, errors="replace") as log:
            log.seek(after)
            return log.read()

    def log_position(self):
        """Where the log ends now, for `after`."""
        return self.log.stat().st_size if self.log.exists() else 0

    def await_log(self, pattern, after=0, timeout=None):
        """Waits for a line that matches and returns the match."""
        def look():
            found = re.search(pattern, self.log_text(after), re.MULTILINE)
            if not found:
                self.assert_alive()
            return found
        return await_event(look, f"{self.path.name}: /{pattern}/ in {self.log}", timeout)

    def transfers(self, zone, after=0):
        """How many transfers of the zone, whole ones and increments, its log tells about."""
        return len(re.findall(self.sent.format(zone=re.escape(str(zone).rstrip("."))), self.log_text(after)))

    # Process
    def environment(self):
        environment = dict(os.environ, LC_ALL="C", TZ="UTC")
        if self.wrapped:
            preload = os.environ.get("SECONDARY_PRELOAD")
            if preload:
                environment["LD_PRELOAD"] = preload
            options = f"log_path={self.path}/report:exitcode=99"
            environment["ASAN_OPTIONS"] = f"{options}:{os.environ.get('ASAN_OPTIONS', '')}"
            environment["TSAN_OPTIONS"] = f"{options}:{os.environ.get('TSAN_OPTIONS', '')}"
            environment["UBSAN_OPTIONS"] = f"{options}:print_stacktrace=1:{os.environ.get('UBSAN_OPTIONS', '')}"
        return environment

    def client_environment(self):
        """For knotc and others that load the module themselves to check a configuration; their own leaks are not ours."""
        environment = self.environment()
        environment["ASAN_OPTIONS"] = f"detect_leaks=0:{os.environ.get('ASAN_OPTIONS', '')}"
        return environment

    def start(self):
        """Starts it and waits until it serves."""
        self.write_config()
        return self.resume()

    def resume(self):
        """The same, with what stands in its directory."""
        await_event(self.try_to_start, f"the port of {self.path.name}")
        return self

    def try_to_start(self):
        """Returns false when somebody else has its port."""
        self.launch()
        try:
            self.await_ready()
        except AssertionError:
            if not self.lost_port():
                raise
        if self.lost_port():
            self.kill()
            return False
        return True

    def lost_port(self):
        """Resolvers ask from random ports, which are not reserved: for a moment one may have what was free_port()."""
        return TAKEN.search(self.log_text(self.started_at))

    def write_config(self):
        self.prepare()
        replace_file(self.conf, self.config())

    def launch(self):
        """Starts the process with what stands in its directory; start() is this and its surroundings."""
        assert self.process is None, f"{self.path.name} is running"
        wrap = shlex.split(os.environ.get("SECONDARY_WRAP", "")) if self.wrapped else []
        self.started_at = self.log_position()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(wrap + [str(word) for word in self.command()], cwd=self.path, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment(), start_new_session=True,
                                            preexec_fn=die_with_parent)

    def await_ready(self):
        self.await_log(self.ready, after=self.started_at)
        return self

    def assert_alive(self):
        status = self.process.poll() if self.process else None
        assert status is None, f"{self.path.name} ended with status {status}:\n{self.tail()}"

    def tail(self, lines=30):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, expect=0):
        """Ends it in order; its exit status is judged, and so is any report of a sanitizer or valgrind."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.terminate()
        try:
            status = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"{self.path.name} did not stop:\n{self.tail()}") from None
        self.assert_clean()
        assert status == expect, f"{self.path.name} stopped with status {status}:\n{self.tail()}"

    def kill(self):
        """Ends it as a power failure would."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def assert_clean(self):
        reports = [report.read_text(errors="replace") for report in sorted(self.path.glob("report.*"))]
        reports += [text for text in (report.read_text(errors="replace") for report in sorted(self.path.glob("valgrind.*")))
                    if "ERROR SUMMARY: 0 errors" not in text]
        reports += [line for line in self.log_text().splitlines() if REPORT.search(line)]
        assert not reports, f"{self.path.name}: " + "\n".join(reports)[:8000]


def die_with_parent():
    """In the child: a test run that is killed leaves no servers (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Knotd(Server):
    """A stock knotd: primary for `zones` (name: text), secondary of `primaries` for `mirrored` names."""

    kind = "knotd"
    ready = r"server started"
    sent = r"\[{zone}\.\] [AI]XFR, outgoing, .*finished"

    def __init__(self, path, template_conf="", server_conf="", workers=2, **common):
        super().__init__(path, **common)
        self.template_conf, self.server_conf, self.workers = template_conf, server_conf, workers
        self.run, self.storage, self.database = self.path / "run", self.path / "storage", self.path / "database"
        for directory in (self.run, self.storage, self.database):
            directory.mkdir()

    def await_ready(self):
        super().await_ready()
        await_event(lambda: listens(self.run / "knot.sock"), f"{self.path.name}: control socket")
        return self

    def zone_file(self, zone):
        return self.storage / f"{str(zone).rstrip('.') or 'root'}.zone"

    def command(self):
        return [tool("knotd"), "-c", self.conf]

    def config(self):
        return "".join((self._server(), self._keys(), self._remotes(), self._acl(), self.module_section(),
                        self._template(), self._zones(), self.extra))

    def _server(self):
        # By default it closes connections that bring nothing for half a second: on a busy machine that hits clients which are only slow.
        patience = "" if "tcp-io-timeout" in self.server_conf else "    tcp-io-timeout: 5000\n"
        return (f"server:\n    rundir: {self.run}\n    listen: {self.address}@{self.port}\n"
                f"    udp-workers: {self.workers}\n    tcp-workers: {self.workers}\n    background-workers: 1\n{patience}{self.server_conf}"
                f"log:\n  - target: stderr\n    any: debug\n"
                f"database:\n    storage: {self.database}\n"
                f"    journal-db-max-size: 64M\n    kasp-db-max-size: 16M\n    timer-db-max-size: 16M\n")

    def known_keys(self):
        return [peer.key for peer in [self, *self.primaries, *self.notify] if peer.key]

    def _keys(self):
        keys = {key.name: key for key in self.known_keys()}
        items = "".join(f"  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}\n" for key in keys.values())
        return f"key:\n{items}" if items else ""

    def _remotes(self):
        peers = [(f"primary{n}", peer) for n, peer in enumerate(self.primaries)]
        peers += [(f"peer{n}", peer) for n, peer in enumerate(self.notify)]
        items = ""
        for name, peer in peers:
            items += f"  - id: {name}\n    address: {peer.address}@{peer.port}\n    via: {self.address}\n"
            key = peer.key or self.key
            if key:
                items += f"    key: {key.name}\n"
        return f"remote:\n{items}" if items else ""

    def rules(self):
        """ACL rules by name, valid for all zones: transfers out with the own key, NOTIFY from the primaries with theirs."""
        rules = {"transfers": ("transfer", self.key)}
        rules.update((f"notify{n}", ("notify", peer.key)) for n, peer in enumerate(self.primaries))
        if self.updates:
            rules["updates"] = ("update", None)
        return rules

    def _acl(self):
        items = ""
        for name, (action, key) in self.rules().items():
            items += f"  - id: {name}\n    address: 127.0.0.0/8\n    action: {action}\n" + (f"    key: {key.name}\n" if key else "")
        return f"acl:\n{items}" if items else ""

    def module_section(self):
        return ""

    def _template(self):
        acl = f"    acl: [{', '.join(self.rules())}]\n" if self.rules() else ""
        return (f"template:\n  - id: default\n    storage: {self.storage}\n    semantic-checks: off\n"
                f"    zonefile-sync: -1\n{acl}{self.template_items()}{self.template_conf}")

    def template_items(self):
        return ""

    def _zones(self):
        notify = f"    notify: [{', '.join(f'peer{n}' for n in range(len(self.notify)))}]\n" if self.notify else ""
        items = "".join(f"  - domain: {absolute(name)}\n    file: {self.zone_file(name)}\n{notify}{self.zone_conf}"
                        for name in self.zones)
        masters = ", ".join(f"primary{n}" for n in range(len(self.primaries)))
        items += "".join(f"  - domain: {absolute(name)}\n    master: [{masters}]\n    zonefile-load: none\n"
                         f"    journal-content: none\n{notify}{self.zone_conf}" for name in self.mirrored)
        return f"zone:\n{items}" if items else ""

    def knotc(self, *words, check=True):
        """Runs knotc against the server and returns what it printed."""
        return knotc(self.run / "knot.sock", *words, check=check)

    def change(self, zone, *commands):
        """Changes a zone of a primary: each command is the words of `zone-set ZONE …`, or of zone-unset with a leading '-'."""
        zone = absolute(zone)
        self.knotc("zone-begin", zone)
        for command in commands:
            verb = "zone-unset" if command.startswith("-") else "zone-set"
            self.knotc(verb, zone, *shlex.split(command.lstrip("-")))
        self.knotc("zone-commit", zone)

    def set_zone(self, zone, text):
        """Replaces the zone's file and loads it."""
        self.zones[str(zone).rstrip(".")] = text
        self.zone_file(zone).write_text(text)
        self.knotc("-b", "zone-reload", absolute(zone))

    def reload(self):
        """knotc reload with the configuration as it is written now."""
        self.write_config()
        return self.knotc("reload")


class Secondary(Knotd):
    """knotd with the module, secondary for `names`, in zone scope or global scope.

    `items` are further items of the stanza, `module_conf` the whole section where the usual one does not fit. `acl` are rules for
    `transfer-to` or a zone's `acl`: {name: {item: value}}; `keys` are known beside those of the peers. `modules` is the list of a
    zone or of `global-module`, ours and others'.
    """

    wrapped = True

    def __init__(self, path, names=(), primaries=(), scope="zone", items=None, module_conf=None, acl=None, keys=(),
                 modules=("mod-secondary/default",), **common):
        super().__init__(path, primaries=primaries, **common)
        self.acl, self.keys, self.modules = dict(acl or {}), list(keys), list(modules)
        self.names, self.scope = [str(name).rstrip(".") for name in names], scope
        self.items, self.module_conf = dict(items or {}), module_conf

    def rules(self):
        """None: the module judges by its primaries; a test that wants rules brings them in `conf` and `template_conf`."""
        return {}

    def _acl(self):
        rules = "".join(f"  - id: {name}\n" + "".join(f"    {item}: {value}\n" for item, value in rule.items())
                        for name, rule in self.acl.items())
        usual = super()._acl()
        return usual + rules if usual or not rules else f"acl:\n{rules}"

    def known_keys(self):
        return super().known_keys() + self.keys

    @property
    def control(self):
        return self.run / "mod-secondary.sock"

    def module_section(self):
        section = f"module:\n  - id: mod-secondary\n    file: {module_path()}\n"
        return section + (self.module_conf if self.module_conf is not None else self._stanza())

    def _stanza(self):
        items = {"transfer-from": f"[{', '.join(f'primary{n}' for n in range(len(self.primaries)))}]"}
        if self.scope == "global" and "zones-file" not in self.items:
            items["zones"] = f"[{', '.join(absolute(name) for name in self.names)}]"
        items.update(self.items)
        return "mod-secondary:\n  - id: default\n" + "".join(f"    {item}: {value}\n" for item, value in items.items())

    def template_items(self):
        items = "    zonefile-load: none\n    journal-content: none\n"
        return items + (f"    global-module: [{', '.join(self.modules)}]\n" if self.scope == "global" else "")

    def _zones(self):
        own = super()._zones().replace("zone:\n", "", 1)
        if self.zones:
            own = own.replace("    file:", "    zonefile-load: whole\n    file:")
        if self.scope == "zone":
            modules = ", ".join(self.modules)
            own += "".join(f"  - domain: {absolute(name)}\n    module: [{modules}]\n" for name in self.names)
        return f"zone:\n{own}" if own else ""

    def knotc_module(self, *words, check=True):
        """Runs the stock knotc against the module's control socket."""
        return knotc(self.control, *words, check=check)

    def await_serial(self, zone, serial=None, timeout=None):
        """Waits until it answers with this serial, or with any; returns the serial."""
        return await_serial(self, zone, serial, timeout)


class Nsd(Server):
    kind = "nsd"
    ready = r"nsd started|setup of .* done|nsd starting"
    sent = r"[ai]xfr for {zone}\."

    def command(self):
        return [tool("nsd"), "-d", "-c", self.conf, "-V", "2"]

    def await_ready(self):
        self.await_log(r"nsd started", after=self.started_at)
        for zone in self.zones:
            await_serial(self, zone)
        return self

    def config(self):
        key = self.key.name if self.key else "NOKEY"
        text = (f"server:\n    ip-address: {self.address}@{self.port}\n    ip-transparent: no\n    username: \"\"\n    chroot: \"\"\n"
                f"    database: \"\"\n    zonesdir: \"{self.path}\"\n    xfrdir: \"{self.path}\"\n    pidfile: \"{self.path}/nsd.pid\"\n"
                f"    zonelistfile: \"{self.path}/zone.list\"\n    xfrdfile: \"{self.path}/xfrd.state\"\n    server-count: 1\n"
                f"    verbosity: 2\n    zonefiles-check: yes\n    zonefiles-write: 0\n    rrl-ratelimit: 0\n"
                f"remote-control:\n    control-enable: no\n")
        if self.key:
            text += f"key:\n    name: {self.key.name}\n    algorithm: {self.key.algorithm}\n    secret: \"{self.key.secret}\"\n"
        for name in self.zones:
            text += f"zone:\n    name: {absolute(name)}\n    zonefile: \"{self.zone_file(name)}\"\n    provide-xfr: 127.0.0.0/8 {key}\n"
            text += f"    outgoing-interface: {self.address}\n{self.zone_conf}"
            text += "".join(f"    notify: {peer.address}@{peer.port} {key}\n" for peer in self.notify)
        for name in self.mirrored:
            text += f"zone:\n    name: {absolute(name)}\n    provide-xfr: 127.0.0.0/8 {key}\n    outgoing-interface: {self.address}\n{self.zone_conf}"
            text += "".join(f"    request-xfr: {peer.address}@{peer.port} {peer.key.name if peer.key else 'NOKEY'}\n"
                            f"    allow-notify: {peer.address} NOKEY\n    allow-notify: {peer.address} {key}\n" for peer in self.primaries)
            text += "".join(f"    notify: {peer.address}@{peer.port} {key}\n" for peer in self.notify)
        return text + self.extra

    def set_zone(self, zone, text):
        self.zones[str(zone).rstrip(".")] = text
        self.zone_file(zone).write_text(text)
        self.signal(signal.SIGHUP)


class Copied(Server):
    """AppArmor profiles of Debian bind a daemon to its usual directories; they go by path, so a copy of the program is free."""

    def binary(self):
        copy = self.path / self.kind
        if not copy.exists():
            shutil.copy(os.path.realpath(tool(self.kind)), copy)
        return copy


class Named(Copied):
    kind = "named"
    ready = r" running$"
    sent = r"transfer of '{zone}/IN': (AXFR|IXFR|AXFR-style IXFR) started"

    def command(self):
        return [self.binary(), "-g", "-n", "1", "-c", self.conf]

    def config(self):
        text = ""
        allow = "127.0.0.0/8;"
        if self.key:
            text += f'key "{self.key.name}" {{ algorithm {self.key.algorithm}; secret "{self.key.secret}"; }};\n'
            allow = f'key "{self.key.name}";'
        peers = " ".join(f"{peer.address} port {peer.port}" + (f' key "{self.key.name}"' if self.key else "") + ";" for peer in self.notify)
        text += (f'options {{ directory "{self.path}"; pid-file "{self.path}/named.pid"; session-keyfile "{self.path}/session.key";\n'
                 f"listen-on port {self.port} {{ {self.address}; }}; listen-on-v6 {{ none; }}; recursion no;\n"
                 f"query-source address {self.address}; transfer-source {self.address}; notify-source {self.address};\n"
                 f"allow-transfer {{ {allow} }}; notify explicit; also-notify {{ {peers} }}; notify-delay 0;\n"
                 f"dnssec-validation no; check-names primary ignore; }};\ncontrols {{ }};\n")
        more = self.zone_conf + (" allow-update { 127.0.0.0/8; };" if self.updates else "")
        for name in self.zones:
            text += f'zone "{absolute(name)}" {{ type primary; file "{self.zone_file(name)}"; check-integrity no; {more} }};\n'
        primaries = " ".join(f"{peer.address} port {peer.port}" + (f' key "{self.key.name}"' if self.key else "") + ";" for peer in self.primaries)
        for name in self.mirrored:
            text += f'zone "{absolute(name)}" {{ type secondary; file "{self.zone_file(name)}"; primaries {{ {primaries} }}; {self.zone_conf} }};\n'
        return text + self.extra

    def set_zone(self, zone, text):
        self.zones[str(zone).rstrip(".")] = text
        self.zone_file(zone).write_text(text)
        self.signal(signal.SIGHUP)


class Unbound(Copied):
    """A resolver that knows `zones` (name: text of local-data lines, or a Server to ask), and nothing else of the world."""

    kind = "unbound"
    ready = r"start of service"

    def command(self):
        return [self.binary(), "-d", "-c", self.conf]

    def prepare(self):
        pass

    def config(self):
        text = (f"server:\n    interface: {self.address}@{self.port}\n    username: \"\"\n    chroot: \"\"\n    directory: \"{self.path}\"\n"
                f"    pidfile: \"{self.path}/unbound.pid\"\n    use-syslog: no\n    logfile: \"\"\n    verbosity: 1\n    log-queries: yes\n"
                f"    num-threads: 1\n    do-not-query-localhost: no\n    do-ip6: no\n    access-control: 127.0.0.0/8 allow\n"
                f"    module-config: \"iterator\"\n    do-daemonize: no\n    minimal-responses: no\n")
        stubs = ""
        for name, source in self.zones.items():
            if isinstance(source, Server):
                text += f"    local-zone: {absolute(name)} nodefault\n"
                stubs += f"stub-zone:\n    name: {absolute(name)}\n    stub-addr: {source.address}@{source.port}\n"
            else:
                text += f"    local-zone: {absolute(name)} static\n"
                text += "".join(f"    local-data: '{line}'\n" for line in source.splitlines() if line.strip())
        return text + "remote-control:\n    control-enable: no\n" + stubs + self.extra


class Servers:
    """Makes servers below one directory and stops all of them at the end."""

    def __init__(self, path):
        self.path, self.all = Path(path), []

    def _add(self, cls, *args, name=None, **kwargs):
        server = cls(self.path / (name or f"{cls.__name__.lower()}{len(self.all)}"), *args, **kwargs)
        self.all.append(server)
        return server

    def knotd(self, zones=None, **kwargs):
        return self._add(Knotd, zones=zones, **kwargs)

    def nsd(self, zones=None, **kwargs):
        return self._add(Nsd, zones=zones, **kwargs)

    def named(self, zones=None, **kwargs):
        return self._add(Named, zones=zones, **kwargs)

    def unbound(self, zones=None, **kwargs):
        return self._add(Unbound, zones=zones, **kwargs)

    def secondary(self, names=(), primaries=(), **kwargs):
        return self._add(Secondary, names=names, primaries=primaries, **kwargs)

    def pair(self, zones, scope="zone", kind="knotd", items=None, key=None, **kwargs):
        """A primary and a secondary of its zones that knows each change by NOTIFY; both run, all zones are served."""
        primary = self._add({"knotd": Knotd, "nsd": Nsd, "named": Named}[kind], zones=zones, key=key, name="primary")
        secondary = self.secondary(names=zones, primaries=[primary], scope=scope, items=items, name="secondary", **kwargs)
        primary.notify.append(secondary)
        primary.start()
        secondary.start()
        for zone in zones:
            secondary.await_serial(zone)
        return primary, secondary

    def stop(self):
        """Stops all, the last one first, and raises what the first trouble was."""
        trouble = None
        for server in reversed(self.all):
            try:
                server.stop()
            except AssertionError as error:
                trouble = trouble or error
        if trouble:
            raise trouble


def knotc(control, *words, check=True):
    done = subprocess.run([tool("knotc"), "-t", str(int(30 * SLOWNESS)), "-s", str(control), *map(str, words)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check:
        assert done.returncode == 0, f"knotc {' '.join(map(str, words))}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def message(name, rdtype="A", rdclass="IN", do=False, payload=1232, rd=False, options=(), key=None):
    """A query. Without `do`, payload None leaves EDNS out."""
    query_message = dns.message.make_query(absolute(name), rdtype, rdclass)
    query_message.flags = dns.flags.RD if rd else 0
    if payload is not None or do or options:
        query_message.use_edns(0, ednsflags=dns.flags.DO if do else 0, payload=payload or 1232, options=list(options))
    if key:
        query_message.use_tsig(key.keyring())
    return query_message


def ask(server, query_message, tcp=False, timeout=None, source=None):
    """Sends a message as it is and returns the response."""
    where = {"where": server.address, "port": server.port, "source": source, "timeout": timeout or 5 * SLOWNESS}
    if tcp:
        return dns.query.tcp(query_message, **where)
    # A late answer to somebody who had the port before is nobody's business.
    return dns.query.udp(query_message, ignore_unexpected=True, **where)


def query(server, name, rdtype="A", *, tcp=False, timeout=None, source=None, **flags):
    """Asks and returns the response; flags are those of message()."""
    return ask(server, message(name, rdtype, **flags), tcp=tcp, timeout=timeout, source=source)


def notify(server, zone, serial=None, key=None, source=None, rdtype="SOA"):
    """Sends NOTIFY and returns the response."""
    notify_message = dns.message.make_query(absolute(zone), rdtype)
    notify_message.set_opcode(dns.opcode.NOTIFY)
    notify_message.flags = dns.flags.AA | (notify_message.flags & ~dns.flags.RD)
    if serial is not None:
        notify_message.answer.append(dns.rrset.from_text(absolute(zone), 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    if key:
        notify_message.use_tsig(key.keyring())
    return ask(server, notify_message, source=source)


def serial_of(server, zone):
    """The serial that a server answers with, or None."""
    try:
        response = query(server, zone, "SOA", timeout=1)
    except (dns.exception.Timeout, OSError):
        return None
    found = [rrset[0].serial for rrset in response.answer if rrset.rdtype == dns.rdatatype.SOA]
    return found[0] if found else None


def await_serial(server, zone, serial=None, timeout=None):
    def look():
        server.assert_alive()
        found = serial_of(server, zone)
        return [found] if found is not None and serial in (None, found) else None
    try:
        return await_event(look, f"serial {serial} of {zone} at {server.path.name}", timeout)[0]
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.tail()}") from None


def sign_zone(path, zone, text, nsec3=False, opt_out=False, iterations=0, salt=0, algorithm="ecdsap256sha256"):
    """Signs a zone with kzonesign and returns the signed zone's text (same serial as kzonesign sets)."""
    name = str(zone).rstrip(".")
    path = Path(path) / name
    path.mkdir(parents=True, exist_ok=True)
    source, signed = path / f"{name}.zone", path / "signed"
    signed.mkdir(exist_ok=True)
    source.write_text(text)
    conf = path / "sign.conf"
    conf.write_text(f"database:\n    storage: {path}\npolicy:\n  - id: sign\n    algorithm: {algorithm}\n    single-type-signing: on\n"
                    f"    nsec3: {'on' if nsec3 else 'off'}\n    nsec3-opt-out: {'on' if opt_out else 'off'}\n    nsec3-iterations: {iterations}\n"
                    f"    nsec3-salt-length: {salt}\n"
                    f"zone:\n  - domain: {absolute(zone)}\n    storage: {path}\n    file: {source}\n    dnssec-policy: sign\n"
                    f"    journal-content: none\n    serial-policy: increment\n")
    done = subprocess.run([tool("kzonesign"), "-c", str(conf), "-o", str(signed), absolute(zone)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(signed.iterdir()).read_text()
