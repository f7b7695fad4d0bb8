# SPDX-License-Identifier: GPL-3.0-or-later
"""The test's end of ../unsteady.c: a server's wall clock, calls and disk, changed while it runs."""

import mmap
import os
import random
import struct

from servers import ROOT

LIBRARY = ROOT / "build" / "unsteady.so"
READ, WRITE, CONNECT, ACCEPT, WAIT, DISK = KINDS = range(6)
EVERYTHING = sum(1 << kind for kind in KINDS)
#: Whose calls: the module's and its libraries', or knotd's as well.
MODULE, HOST = 3, 7
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400

#: control_t: seconds ahead, generator, rate, mask, whose, error of the disk, counters.
AHEAD, STATE, RATE, DISK_ERROR, COUNTERS = 0, 8, 16, 28, 32
SIZE = COUNTERS + 8 * len(KINDS)


class Unsteady:
    """What surrounds the servers that it was given to."""

    def __init__(self, path):
        self.path = path
        with open(path, "w+b") as file:
            file.truncate(SIZE)
            self.shared = mmap.mmap(file.fileno(), SIZE)

    def around(self, server):
        """The server will start within these surroundings. The library stands before a sanitizer's, whose calls would look like its own."""
        own = server.environment

        def environment():
            made = own()
            made["LD_PRELOAD"] = ":".join(filter(None, (str(LIBRARY), made.get("LD_PRELOAD"))))
            made["UNSTEADY"] = str(self.path)
            made["ASAN_OPTIONS"] = f"verify_asan_link_order=0:{made.get('ASAN_OPTIONS', '')}"
            return made
        server.environment = environment
        return server

    def jump(self, seconds):
        """The wall clock jumps, forward or back."""
        struct.pack_into("=q", self.shared, AHEAD, self.ahead() + seconds)

    def ahead(self):
        return struct.unpack_from("=q", self.shared, AHEAD)[0]

    def disturb(self, share, kinds=EVERYTHING, whose=MODULE):
        """From now on this share of calls is interrupted, or does less than it was asked to. Prints the seed, and takes it from SEED."""
        seed = int(os.environ.get("SEED", random.getrandbits(32)))
        print(f"SEED={seed}")
        struct.pack_into("=QIII", self.shared, STATE, seed, round(share * 0x10000), kinds, whose)

    def calm(self):
        """Nothing happens any more; returns how many calls of each kind were disturbed."""
        struct.pack_into("=IIIi", self.shared, RATE, 0, 0, 0, 0)
        return struct.unpack_from(f"={len(KINDS)}Q", self.shared, COUNTERS)

    def break_disk(self, error):
        """Each change of a file fails with this errno; 0: no more."""
        struct.pack_into("=Ii", self.shared, DISK_ERROR - 4, MODULE if error else 0, error)
