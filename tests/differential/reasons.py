# SPDX-License-Identifier: GPL-3.0-or-later
"""What of two responses is compared, and why one of the three servers may say something else than the module."""

import corpus
from dnswire import TYPES, wire_name

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN = range(7)
NS, CNAME, DNAME, ANY = TYPES["NS"], TYPES["CNAME"], TYPES["DNAME"], TYPES["ANY"]

PARTS = ("rcode", "flags", "EDNS", "question", "answer", "authority", "additional")


def comparable(response):
    """Response code, flags, EDNS, question, and the sections as sets of records, duplicates counted."""
    return (response.rcode, response.bits & 0x7FF0, response.edns, response.question,
            sorted(response.answer), sorted(response.authority), sorted(response.additional))


def differing(theirs, ours):
    """The names of the parts that are different."""
    return {part for part, a, b in zip(PARTS, comparable(theirs), comparable(ours)) if a != b}


# --- what the corpus knows

APEXES = {wire_name(name).lower(): owner_list for name, owner_list in
          ((name, {owner.lower() for owner, _ in corpus.owners(name, text)}) for name, text in corpus.ZONES.items())}


def parents(name):
    """The name and its ancestors, the root last."""
    while True:
        yield name
        if name == b"\0":
            return
        name = name[1 + name[0]:]


def zone_of(name):
    """The longest apex that the name is at or below, or None."""
    return next((apex for apex in parents(name.lower()) if apex in APEXES), None)


def exists_elsewhere(name):
    """Is there a record at the name or below it in a zone that is not the closest one (or, for DS, begins there)?"""
    closest = zone_of(name)
    return any(name in parents(owner) for apex, owners in APEXES.items() if apex != closest or apex == name for owner in owners)


# --- what a response shows

def aliases(response):
    return {record[0]: record[4] for record in response.answer if record[1] == CNAME}


def crosses(response):
    """Does an alias in the answer lead from one zone of the corpus into another?"""
    return any(zone_of(target) not in (None, zone_of(owner)) for owner, target in aliases(response).items())


def records(response, *types):
    return {record for record in response.answer if record[1] in types}


def full(question, *responses):
    """Is a response as large as it may be, but for a record or two?"""
    return not question.tcp and max(response.size for response in responses) > (question.payload or 512) - 60


META = {0, 41, 128, *range(249, 256)}

REASONS = [
    (("nsd", "bind"), "optional additional records: set to answer minimally, they send none; the module does as knotd",
     lambda q, theirs, ours: differing(theirs, ours) == {"additional"} and set(theirs.additional) <= set(ours.additional)),
    (("knotd", "bind"), "aliases into another zone of the server: these two stop there, NSD and the module go on",
     lambda q, theirs, ours: crosses(ours) and set(theirs.answer) <= set(ours.answer) and theirs.rcode == NOERROR
     and {record[1] for record in theirs.authority} <= {NS}),
    (("bind",), "an alias that leads back to itself: SERVFAIL, the module NOERROR with each alias once",
     lambda q, theirs, ours: theirs.rcode == SERVFAIL and ours.rcode == NOERROR and aliases(ours)
     and (theirs.tc or differing(theirs, ours) <= {"rcode", "answer"})),
    (("knotd", "bind"), "long chains: knotd follows 5 aliases, BIND 11, the module 20",
     lambda q, theirs, ours: len(aliases(theirs)) >= 5 and set(theirs.answer) < set(ours.answer)
     and {record[1] for record in theirs.authority} <= {NS}),
    (("knotd", "bind"), "a DNAME that leads to below itself never ends: the module follows it once",
     lambda q, theirs, ours: any(owner in parents(target) for owner, _, _, _, target in records(ours, DNAME))
     and set(ours.answer) <= set(theirs.answer)),
    (("bind",), "QTYPE SIG: BIND answers it like RRSIG",
     lambda q, theirs, ours: q.qtype == TYPES["SIG"] and aliases(ours) and not theirs.answer),
    (("nsd", "bind"), "ANY: the module sends one RRset as knotd does (RFC 8482), NSD its choice, BIND all",
     lambda q, theirs, ours: q.qtype == ANY and differing(theirs, ours) <= {"answer", "additional"}
     and len({record[:3] for record in ours.answer}) == 1 and (set(ours.answer) <= set(theirs.answer) or len({record[1] for record in theirs.answer}) == 1)),
    (("bind",), "ANY below a DNAME: BIND does not follow it",
     lambda q, theirs, ours: q.qtype == ANY and records(theirs, DNAME) and not theirs.authority and set(theirs.answer) <= set(ours.answer)),
    (("knotd",), "larger: a wildcard that stands for the target of its own CNAME does not give it the owner's place",
     lambda q, theirs, ours: not differing(theirs, ours) and any(owner == target for owner, target in aliases(ours).items())),
    (("knotd",), "records once: where aliases meet a wildcard again, knotd sends its CNAME again",
     lambda q, theirs, ours: differing(theirs, ours) == {"answer"} and set(theirs.answer) == set(ours.answer) and len(theirs.answer) > len(ours.answer)),
    (("knotd",), "additional records that a wildcard has for a host: knotd sends them as the wildcard's, of use to nobody",
     lambda q, theirs, ours: differing(theirs, ours) == {"additional"} and not full(q, theirs, ours)
     and set(theirs.additional) - set(ours.additional) <= {record for record in theirs.additional if record[0].startswith(b"\1*")}
     and {record[1:] for record in theirs.additional} >= {record[1:] for record in ours.additional}),
    (("knotd",), "targets of SVCB whatever their case: knotd finds only lower ones",
     lambda q, theirs, ours: differing(theirs, ours) == {"additional"}
     and any(record[4].lower() != record[4] for record in records(ours, TYPES["SVCB"], TYPES["HTTPS"]))),
    (("knotd",), "additional records once: knotd sends SVCB again that stands in the answer",
     lambda q, theirs, ours: differing(theirs, ours) == {"additional"} and set(theirs.additional) - set(ours.additional) <= set(ours.answer)),
    (("knotd",), "a DNAME owned by a wildcard: knotd gives it the name asked for, and ends a chain that meets it again",
     lambda q, theirs, ours: differing(theirs, ours) - ({"flags"} if ours.tc else set()) == {"answer"}
     and any(owner.startswith(b"\1*") for owner, *_ in records(ours, DNAME))),
    (("nsd", "bind"), "QTYPEs that no record can have: the module does as knotd, be it NODATA, FORMERR or NOTIMP",
     lambda q, theirs, ours: q.qtype in META - {ANY}),
    (("knotd", "nsd", "bind"), "optional additional records end where there is no room: the module stops at the first that does not fit",
     lambda q, theirs, ours: differing(theirs, ours) == {"additional"} and full(q, theirs, ours)),
    (("nsd", "bind"), "QTYPEs NSEC and RRSIG: NSD follows aliases for the former, BIND and NSD for the latter, knotd and the module do not",
     lambda q, theirs, ours: q.qtype in (TYPES["NSEC"], TYPES["RRSIG"]) and aliases(theirs) and not ours.answer),
    (("nsd",), "names of all zones in one tree: NSD takes a name for an empty non-terminal that only another zone has",
     lambda q, theirs, ours: theirs.rcode == NOERROR and ours.rcode == NXDOMAIN and exists_elsewhere(q.qname.lower())),
]


def explain(member, question, theirs, ours):
    """The text of the first reason that holds, or None."""
    for members, text, holds in REASONS:
        if member in members and theirs is not None and holds(question, theirs, ours):
            return text
    return None
