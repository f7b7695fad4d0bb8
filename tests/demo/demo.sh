#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `./build.sh run`: a stock knotd as primary, a knotd with the module as its secondary, and a look at what they do.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MODULE=$ROOT/build/secondary.so
ZONES=(plain.example signed.example)
PATIENCE=30
ONCE=no
PRIMARY=127.0.0.1
SECONDARY=127.0.0.1
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" LC_ALL=C

say()
{
	if [[ -t 1 ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

# Only what this run started is stopped, by its process id; only its own directory is removed.
clean_up()
{
	local status=$? pid
	trap '' INT TERM
	for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait "${PIDS[@]}" 2>/dev/null || true
	if [[ $status -eq 0 ]]; then rm -rf "$DIR"; else echo "logs and configurations are kept in $DIR"; fi
}

die()
{
	printf '\nfailed: %s\n' "$*"
	tail -n 15 "$DIR"/*/log 2>/dev/null || true
	exit 1
}

# await WHAT COMMAND…: repeats the command until it succeeds
await()
{
	local what=$1 until=$((SECONDS + PATIENCE))
	shift
	until "$@" >/dev/null 2>&1; do
		alive || die "$what: a server ended"
		[[ $SECONDS -lt $until ]] || die "$what: not within $PATIENCE seconds"
		sleep 0.05
	done
}

alive()
{
	local pid
	for pid in "${PIDS[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
}

# Two ports that are free for UDP and TCP.
ports_choose()
{
	/usr/bin/python3 - <<-'END'
	import random, socket
	found = []
	while len(found) < 2:
	    port = random.randrange(10000, 32000)
	    try:
	        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
	            udp.bind(("127.0.0.1", port)), tcp.bind(("127.0.0.1", port))
	        found += [port] if port not in found else []
	    except OSError:
	        pass
	print(*found)
	END
}

config_common()
{
	cat <<-END
	server:
	    rundir: $DIR/$1
	    listen: $2
	log:
	  - target: stderr
	    any: info
	database:
	    storage: $DIR/$1
	    journal-db-max-size: 64M
	    kasp-db-max-size: 16M
	    timer-db-max-size: 16M
	END
}

config_primary()
{
	config_common primary "$PRIMARY@$PRIMARY_PORT"
	cat <<-END
	remote:
	  - id: secondary
	    address: $SECONDARY@$SECONDARY_PORT
	acl:
	  - id: transfers
	    address: 127.0.0.0/8
	    action: transfer
	template:
	  - id: default
	    storage: $DIR/primary
	    notify: secondary
	    acl: transfers
	    zonefile-sync: -1
	zone:
	  - domain: plain.example
	  - domain: signed.example
	    dnssec-signing: on
	END
}

config_secondary()
{
	config_common secondary "$SECONDARY@$SECONDARY_PORT"
	cat <<-END
	module:
	  - id: mod-secondary
	    file: $MODULE
	remote:
	  - id: primary
	    address: $PRIMARY@$PRIMARY_PORT
	mod-secondary:
	  - id: default
	    transfer-from: primary
	template:
	  - id: default
	    storage: $DIR/secondary
	    zonefile-load: none
	    zonefile-sync: -1
	    journal-content: none
	    module: mod-secondary/default
	zone:
	  - domain: plain.example
	  - domain: signed.example
	END
}

servers_prepare()
{
	local zone
	mkdir "$DIR/primary" "$DIR/secondary"
	for zone in "${ZONES[@]}"; do cp "$ROOT/tests/demo/sample.zone" "$DIR/primary/$zone.zone"; done
	config_primary >"$DIR/primary/knot.conf"
	config_secondary >"$DIR/secondary/knot.conf"
}

# A server dies with this script, should it be killed.
server_start()
{
	setpriv --pdeathsig KILL knotd -c "$DIR/$1/knot.conf" </dev/null >"$DIR/$1/log" 2>&1 &
	PIDS+=($!)
}

at_primary() { kdig +norec +timeout=2 +retry=0 "@$PRIMARY" -p "$PRIMARY_PORT" "$@"; }
at_secondary() { kdig +norec +timeout=2 +retry=0 "@$SECONDARY" -p "$SECONDARY_PORT" "$@"; }
serial_at() { "at_$1" +short "$2" SOA | awk '{ print $3 }'; }
served_by() { [[ $(serial_at "$1" "$2") =~ ^[0-9]+$ ]]; }
same_serial() { served_by primary "$1" && [[ $(serial_at secondary "$1") == "$(serial_at primary "$1")" ]]; }

# show NAME TYPE [kdig option…]: prints the answer; it has to be the primary's
show()
{
	local mine theirs
	say "kdig @$SECONDARY -p $SECONDARY_PORT $*"
	mine=$(at_secondary +nocomments +noquestion +nostats +noheader "$@" | grep -v '^;' | grep . || true)
	theirs=$(at_primary +nocomments +noquestion +nostats +noheader "$@" | grep -v '^;' | grep . || true)
	at_secondary "$@" | grep -v '^;; From\|^;; Received\|^;; Time\|^$' || true
	[[ "$(sort <<<"$mine")" == "$(sort <<<"$theirs")" ]] || die "the primary answers otherwise: $theirs"
}

demo_transfer()
{
	local zone
	say "A primary at $PRIMARY@$PRIMARY_PORT: ${ZONES[*]} (the second is signed)"
	server_start primary
	for zone in "${ZONES[@]}"; do await "the primary serves $zone" served_by primary "$zone"; done
	say "knotd with mod-secondary at $SECONDARY@$SECONDARY_PORT; its log:"
	server_start secondary
	for zone in "${ZONES[@]}"; do await "transfer of $zone" same_serial "$zone"; done
	grep -F "module 'mod-secondary" "$DIR/secondary/log" || die "the module logged nothing"
}

demo_answers()
{
	show www.plain.example A
	show alias.plain.example AAAA
	show any.name.below.wild.plain.example TXT
	show none.plain.example A
	show www.signed.example A +dnssec
}

demo_change()
{
	local zone=plain.example seen
	seen=$(wc -l <"$DIR/secondary/log")
	say "A change at the primary: www.$zone gets the address 192.0.2.99"
	control_primary zone-begin "$zone"
	control_primary zone-unset "$zone" www A
	control_primary zone-set "$zone" www 60 A 192.0.2.99
	control_primary zone-commit "$zone"
	await "the change by NOTIFY" changed
	grep -F "[$zone.] notify, outgoing" "$DIR/primary/log" | tail -n 1 || true
	tail -n "+$((seen + 1))" "$DIR/secondary/log"
	show www.$zone A
}

control_primary() { knotc -s "$DIR/primary/knot.sock" "$@" >/dev/null || die "knotc $*"; }
changed() { [[ $(at_secondary +short www.plain.example A) == 192.0.2.99 ]]; }

demo_status()
{
	say "knotc -s $DIR/secondary/mod-secondary.sock zone-status"
	knotc -s "$DIR/secondary/mod-secondary.sock" zone-status || die "the control socket of the module does not answer"
}

demo_advice()
{
	say "The secondary's configuration: $DIR/secondary/knot.conf"
	cat <<-END
	For your own knot.conf (README.md tells more):

	module:
	  - id: mod-secondary
	    file: $MODULE
	remote:
	  - id: primary
	    address: 192.0.2.1
	mod-secondary:
	  - id: default
	    transfer-from: primary
	template:
	  - id: secondary
	    zonefile-load: none
	    zonefile-sync: -1
	    journal-content: none
	    module: mod-secondary/default
	zone:
	  - domain: example.com
	    template: secondary
	END
}

demo()
{
	DIR=$(mktemp -d "${TMPDIR:-/tmp}/mod-secondary.XXXXXX")
	PIDS=()
	trap clean_up EXIT
	trap 'exit 0' INT TERM
	read -r PRIMARY_PORT SECONDARY_PORT < <(ports_choose)
	servers_prepare
	demo_transfer
	demo_answers
	demo_change
	demo_status
	demo_advice
	if [[ $ONCE == yes ]]; then say "all steps passed"; return; fi
	say "Both servers run until ^C: kdig @$SECONDARY -p $SECONDARY_PORT www.plain.example"
	wait -n "${PIDS[@]}" || true
	die "a server ended"
}

case ${1:-} in
--once) ONCE=yes ;;
"") ;;
*) echo "usage: ./build.sh run [--once]" >&2; exit 2 ;;
esac
demo
