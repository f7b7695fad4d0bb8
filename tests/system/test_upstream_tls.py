# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolvers over TLS: Unbound with certificates that are right and wrong, and servers that misbehave."""

import datetime
import socket
import ssl
import struct
import threading

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scripted import answer
from servers import Peer, await_event, free_port, query, zone_text
from test_upstream import FOREIGN, RECORDS, TARGET, ZONE, assert_ours, at, await_ede, cname, conf_check, pair, settled, texts

NAME = "dns.example.net"


class Authority:
    """Signs certificates; `file` is what its trust is made of."""

    def __init__(self, path):
        self.path, self.key = path, ec.generate_private_key(ec.SECP256R1())
        path.mkdir()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {path.name}")])
        self.file = path / "ca.pem"
        certificate = self._builder(self.name, self.key, -1, 10).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file.write_bytes(certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, key, first, last):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now + datetime.timedelta(days=first)).not_valid_after(now + datetime.timedelta(days=last)))

    def certificate(self, name=NAME, first=-1, last=10):
        """Files with a certificate for the name, valid from the one day to the other, and with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = (self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, first, last)
                 .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
                 .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False))
        files = self.path / f"{name}.{first}.{last}.pem", self.path / f"{name}.{first}.{last}.key"
        files[0].write_bytes(built.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                               serialization.NoEncryption()))
        return files


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "trusted")


def tls_resolver(servers, files, name="resolver"):
    """Unbound, over TLS alone, with NSD behind it."""
    zone = servers.nsd({TARGET: zone_text(TARGET, FOREIGN)}, name=f"{name}-authority").start()
    unbound = servers.unbound({TARGET: zone}, name=name)
    unbound.extra = (f"server:\n    tls-service-pem: {files[0]}\n    tls-service-key: {files[1]}\n    tls-port: {unbound.port}\n")
    return unbound.start()


def items(authority, name=NAME, **more):
    return {"upstream-tls-name": name, "upstream-tls-ca-file": authority.file, **more}


def questions(unbound):
    """What it was asked about the target's zone."""
    return [line for line in unbound.log_text().splitlines() if "info: 127.0.0.1 " in line and TARGET in line]


def test_verified(servers, authority):
    """Rows of the table over TLS; all questions go over few connections."""
    resolver = tls_resolver(servers, authority.certificate())
    secondary = pair(servers, at(resolver), **items(authority))
    found = settled(secondary, f"ext.{ZONE}")
    assert_ours(found)
    assert texts(found.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}"), (f"www.{TARGET}.", "A", ["198.51.100.80"])]
    assert settled(secondary, f"nx.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    assert settled(secondary, f"nodata.{ZONE}").authority
    settled(secondary, f"big.{ZONE}", "TXT", tcp=True)
    whole = await_event(lambda: (lambda r: r if len(r.answer) == 2 else None)(query(secondary, f"big.{ZONE}", "TXT", rd=True, tcp=True)), "all")
    assert len(whole.answer[1]) == 20
    assert texts(settled(secondary, f"home.{ZONE}").answer)[-1] == (f"www.{ZONE}.", "A", ["192.0.2.80"])
    assert questions(resolver)


@pytest.mark.parametrize("what, reason", [
    ("name", "certificate is for another name"), ("expired", "certificate has expired"), ("early", "certificate is not valid yet"),
    ("untrusted", "certificate is not of a trusted authority"), ("plain", "TLS failed")])
def test_not_verified(servers, authority, tmp_path, what, reason):
    """Who does not prove to be who was configured is told nothing; the log says why, once."""
    files = {"name": lambda: authority.certificate("other.example.net"), "expired": lambda: authority.certificate(first=-9, last=-1),
             "early": lambda: authority.certificate(first=5), "untrusted": lambda: Authority(tmp_path / "other").certificate(),
             "plain": lambda: None}[what]()
    if files:
        resolver = tls_resolver(servers, files)
    else:
        zone = servers.nsd({TARGET: zone_text(TARGET, FOREIGN)}, name="authority").start()
        resolver = servers.unbound({TARGET: zone}, name="resolver").start()
    secondary = pair(servers, at(resolver), **items(authority, **{"upstream-prefetch": "0"}))
    response = await_ede(secondary, f"ext.{ZONE}", (22, 23))
    assert_ours(response)
    assert texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]
    if files:
        secondary.await_log(rf"warning: .*upstream, remote {at(resolver)}, not asked, TLS failed \({reason}\)")
    await_ede(secondary, f"any.wild.{ZONE}", (22, 23), "AAAA")
    assert secondary.log_text().count("TLS failed") <= 1
    assert not questions(resolver), "asked although not verified"


def test_system_authorities_are_the_default(servers, authority):
    """They do not know ours."""
    resolver = tls_resolver(servers, authority.certificate())
    secondary = pair(servers, at(resolver), **{"upstream-tls-name": NAME})
    secondary.await_log(r"TLS failed \(certificate is not of a trusted authority\)")
    assert not questions(resolver)


def test_failover(servers, authority, tmp_path):
    """A dead one, one that is somebody else, and a good one."""
    impostor = tls_resolver(servers, Authority(tmp_path / "other").certificate(), name="impostor")
    good = tls_resolver(servers, authority.certificate(), name="good")
    secondary = pair(servers, f"[{at(Peer())}, {at(impostor)}, {at(good)}]", **items(authority))
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    assert not questions(impostor)


def test_restarted(servers, authority):
    """A resolver that comes back is used again, whether it was missed or not. A line of log when it was."""
    resolver = tls_resolver(servers, authority.certificate())
    secondary = pair(servers, at(resolver), "".join(f"n{n} CNAME n{n}.{TARGET}.\n" for n in range(9)), **items(authority, **{"upstream-prefetch": "0"}))
    assert settled(secondary, f"n0.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    resolver.restart()
    assert settled(secondary, f"n1.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    resolver.stop()
    for n in range(2, 6):
        await_ede(secondary, f"n{n}.{ZONE}", (22, 23))
    secondary.await_log(r"warning: .*upstream, .* does not answer")
    resolver.start()
    secondary.await_log(r"notice: .*upstream, .* answers again")
    assert settled(secondary, f"n7.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_authorities_that_change(servers, authority):
    """Their file is read when it changes, and who was trusted before is judged anew."""
    resolver = tls_resolver(servers, authority.certificate())
    secondary = pair(servers, at(resolver), **items(authority, **{"upstream-max-ttl": "1", "upstream-stale": "0"}))
    assert not settled(secondary, f"ext.{ZONE}").options
    trusted, new = authority.file.read_bytes(), authority.path / "new"
    new.write_bytes(Authority(authority.path / "other").file.read_bytes())
    new.rename(authority.file)
    await_ede(secondary, f"ext.{ZONE}", (22, 23))
    secondary.await_log(r"TLS failed \(certificate is not of a trusted authority\)")
    new.write_bytes(trusted)
    new.rename(authority.file)
    await_event(lambda: len(query(secondary, f"ext.{ZONE}", rd=True).answer) == 2, "trust")


class TlsScripted:
    """A resolver over TLS that treats each connection as `script(connection, receive, send)` does: receive() gives a query or None."""

    def __init__(self, files, script):
        self.script, self.address, self.port = script, "127.0.0.1", free_port()
        self.queries, self.connections, self.stopped = [], 0, False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*files)
        self.listener = socket.create_server((self.address, self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as tls:
                self.connections += 1

                def exactly(count):
                    octets = b""
                    while len(octets) < count:
                        more = tls.recv(count - len(octets))
                        if not more:
                            return None
                        octets += more
                    return octets

                def receive():
                    head = exactly(2)
                    wire = exactly(struct.unpack("!H", head)[0]) if head else None
                    if wire is None:
                        return None
                    self.queries.append(wire)
                    return dns.message.from_wire(wire)

                def send(reply):
                    wire = reply if isinstance(reply, bytes) else reply.to_wire(max_size=65535)
                    tls.sendall(struct.pack("!H", len(wire)) + wire)
                self.script(tls, receive, send)
        except (OSError, ssl.SSLError):
            pass

    def stop(self):
        self.listener.close()


@pytest.fixture
def tls_scripted(authority):
    some = []

    def make(script):
        some.append(TlsScripted(authority.certificate(), script))
        return some[-1]
    yield make
    for resolver in some:
        resolver.stop()


def found(question):
    return answer(question, f"{question.question[0].name} 60 A 198.51.100.80") if question.question[0].rdtype == 1 else answer(question)


def test_pipelined_and_padded(servers, authority, tls_scripted):
    """Questions do not wait for each other's answers, which come in any order; all are padded; one connection does."""
    def script(tls, receive, send):
        waiting = []
        while question := receive():
            waiting.append(question)
            if len(waiting) >= 20:
                for question in reversed(waiting):
                    send(found(question))
    resolver = tls_scripted(script)
    secondary = pair(servers, at(resolver), "".join(f"n{n} CNAME n{n}.{TARGET}.\n" for n in range(10)), **items(authority))
    for n in range(10):
        assert texts(settled(secondary, f"n{n}.{ZONE}").answer)[-1] == (f"n{n}.{TARGET}.", "A", ["198.51.100.80"])
    assert resolver.connections == 1
    assert {len(wire) for wire in resolver.queries} == {128}
    options = [option for wire in resolver.queries for option in dns.message.from_wire(wire).options]
    assert {option.otype for option in options} == {dns.edns.OptionType(12)} and len(options) == len(resolver.queries)


def test_server_that_closes_after_each_answer(servers, authority, tls_scripted):
    """What was under way is asked again over the next connection."""
    def script(tls, receive, send):
        send(found(receive()))
    resolver = tls_scripted(script)
    secondary = pair(servers, at(resolver), **items(authority, **{"upstream-prefetch": "0"}))
    for name in ("ext", "any.wild", "chain", "nx"):
        assert texts(settled(secondary, f"{name}.{ZONE}").answer)[-1][1] == "A"
    assert resolver.connections > 1


def test_lies_within_tls(servers, authority, tls_scripted):
    """A verified server is no reason to believe another id, another question, no question, or half a message."""
    def script(tls, receive, send):
        while question := receive():
            wrong = found(question).to_wire()
            send(bytes([wrong[0] ^ 0x55]) + wrong[1:])
            send(wrong[:13] + b"x" + wrong[14:])
            send(wrong[:4] + b"\0\0" + wrong[6:])
            send(wrong[:2])
            send(b"")
            if question.question[0].rdtype == dns.rdatatype.TXT:
                continue
            send(found(question))
    secondary = pair(servers, at(tls_scripted(script)), **items(authority, **{"upstream-prefetch": "0"}))
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    await_ede(secondary, f"ext.{ZONE}", (22, 23), "TXT")


def test_reasons_of_failures(servers, authority, tls_scripted):
    """A code about DNSSEC is relayed."""
    def script(tls, receive, send):
        while question := receive():
            reply = answer(question, rcode=dns.rcode.SERVFAIL)
            reply.use_edns(0, options=[dns.edns.EDEOption(7, "late")])
            send(reply)
    resolver = tls_scripted(script)
    secondary = pair(servers, at(resolver), **items(authority, **{"upstream-prefetch": "0"}))
    await_ede(secondary, f"ext.{ZONE}", (7,))
    assert len(resolver.queries) == 1


@pytest.mark.parametrize("how", ["silent", "garbage", "half", "closes"])
def test_server_that_fails_after_the_handshake(servers, authority, tls_scripted, how):
    def script(tls, receive, send):
        receive()
        if how == "garbage":
            socket.socket.send(tls, b"\x17\x03\x03\x00\x20" + b"x" * 32)
        elif how == "half":
            tls.sendall(b"\xff\xff" + b"\0" * 100)
        if how in ("silent", "half"):
            receive()
    good = tls_scripted(lambda tls, receive, send: [send(found(question)) for question in iter(receive, None)])
    bad = tls_scripted(script)
    secondary = pair(servers, f"[{at(bad)}, {at(good)}]", **items(authority, **{"upstream-prefetch": "0"}))
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    assert bad.queries


def test_reload_and_stop_with_questions_under_way(servers, authority, tls_scripted):
    """The fixture judges the end: no leak, no report of a sanitizer."""
    def script(tls, receive, send):
        while receive():
            pass
    resolver = tls_scripted(script)
    secondary = pair(servers, at(resolver), RECORDS + "".join(f"e{n} CNAME e{n}.{TARGET}.\n" for n in range(100)), **items(authority))
    for n in range(3):
        for number in range(0, 100, 7):
            query(secondary, f"e{number}.{ZONE}", "TXT", rd=True)
        secondary.items["upstream-stale"] = str(10 + n)
        secondary.reload()
    await_event(lambda: resolver.queries, "questions")
    secondary.stop()


@pytest.mark.parametrize("more, message", [
    ({"upstream-tls-name": "192.0.2.1"}, "not a host name"), ({"upstream-tls-name": "a..b"}, "not a host name"),
    ({"upstream-tls-ca-file": "/x"}, "without 'upstream-tls-name'"),
    ({"upstream-tls-name": NAME, "upstream-tls-ca-file": "relative"}, "not an absolute path"),
    ({"upstream-tls-name": NAME, "upstream-tls-ca-file": "/nonexistent"}, "no such file"),
    ({"upstream-tls-name": NAME, "upstream-tls-ca-file": "/dev/null"}, "no certificate")])
def test_refused(servers, more, message):
    assert message in conf_check(servers, {"upstream": "192.0.2.1", **more})
