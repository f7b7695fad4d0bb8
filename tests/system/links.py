# SPDX-License-Identifier: GPL-3.0-or-later
"""Links between servers that a test cuts and heals.

     upper 127.0.0.1 <-- link.up -- 127.0.1.n -- link.down --> lower 127.0.0.1

A link is a relay with an address of its own, of which each end takes it for the other: the lower server asks `up` and transfers from
it, the upper one notifies `down`; and what it passes on comes from the link's address, so that a NOTIFY is from whom the lower
server knows as its primary.

A link that is cut is silent as a wire that is: datagrams are lost, in both directions; connections stay open and bring nothing until
the link is healed, as TCP sends again what was lost. Nobody is told by a reset or an ICMP message.

A link that holds answers lets no more of each than so many octets through, so that a transfer is not over before a test says so.
"""

import itertools
import socket
import threading

from servers import Peer

#: Seconds after which nobody waits for the answer to a datagram any more.
ANSWER = 10
DATAGRAM_MAX = 65535


def wake(some):
    """Ends what others wait for at this socket."""
    try:
        some.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Link:
    """From `upper`; lead_to() tells where to. It passes on until stop()."""

    numbers = itertools.count(1)

    def __init__(self, upper):
        number = next(self.numbers)
        self.address = f"127.0.{1 + number // 250}.{1 + number % 250}"
        self.up, self.down = Peer(address=self.address), Peer(address=self.address)
        self.healed, self.ended, self.sockets = threading.Event(), False, []
        self.released, self.most = threading.Event(), 0
        self.heal()
        self._relay(self.up, upper)

    def lead_to(self, lower):
        self._relay(self.down, lower)
        return self

    def cut(self):
        self.healed.clear()

    def hold(self, most):
        """Of what comes back over a connection only so many octets pass, until the link is healed."""
        self.most = most
        self.released.clear()

    def heal(self):
        self.healed.set()
        self.released.set()

    def stop(self):
        self.ended = True
        self.heal()
        for each in list(self.sockets):
            wake(each)

    def _keep(self, some):
        self.sockets.append(some)
        return some

    def _relay(self, here, there):
        """What comes `here` goes `there`, and what that answers comes back."""
        datagrams = self._keep(socket.socket(type=socket.SOCK_DGRAM))
        datagrams.bind((here.address, here.port))
        listener = self._keep(socket.create_server((here.address, here.port), backlog=64))
        self._run(self._take_datagrams, datagrams, there)
        self._run(self._take_connections, listener, there)

    def _run(self, work, *arguments):
        def until_closed():
            try:
                work(*arguments)
            except OSError:
                pass
        threading.Thread(target=until_closed, daemon=True).start()

    def _take_datagrams(self, here, there):
        with here:
            while not self.ended:
                wire, client = here.recvfrom(DATAGRAM_MAX)
                if self.healed.is_set() and not self.ended:
                    self._run(self._ask, wire, here, client, there)

    def _ask(self, wire, here, client, there):
        with socket.socket(type=socket.SOCK_DGRAM) as onward:
            onward.bind((self.address, 0))
            onward.connect((there.address, there.port))
            onward.settimeout(ANSWER)
            onward.send(wire)
            answer = onward.recv(DATAGRAM_MAX)
        if self.healed.is_set():
            here.sendto(answer, client)

    def _take_connections(self, listener, there):
        with listener:
            while not self.ended:
                self._run(self._join, self._keep(listener.accept()[0]), there)

    def _join(self, near, there):
        """Passes on octets in both directions; ends when both ends have said all."""
        with near:
            self.healed.wait()
            with self._keep(socket.create_connection((there.address, there.port), source_address=(self.address, 0))) as far:
                back = threading.Thread(target=self._pass_on, args=(far, near, self.released), daemon=True)
                back.start()
                self._pass_on(near, far)
                back.join()
                self.sockets.remove(far)
            self.sockets.remove(near)

    def _pass_on(self, source, sink, released=None):
        passed = 0
        try:
            while octets := source.recv(DATAGRAM_MAX):
                self.healed.wait()
                passed += len(octets)
                if released and passed > self.most:
                    released.wait()
                sink.sendall(octets)
            self.healed.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # Whoever resets one connection ends the other one by this.
            wake(source)
            wake(sink)
