#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `./build.sh run`: a stock knotd as primary, a knotd with the module as its secondary, a stock knotd that transfers from the
# module, and a look at what they do.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MODULE=$ROOT/build/secondary.so
ZONES=(plain.example signed.example)
PATIENCE=30
ONCE=no
PRIMARY=127.0.0.1
SECONDARY=127.0.0.1
DOWNSTREAM=127.0.0.1
# A key of this demonstration, between the module and those that transfer from it.
KEY_SECRET=Cm9TQlV0cG9yT0tXaWthcnQyN0ZDVGVsVzFhU0xSQ20=
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

# ports_choose N: so many ports that are free for UDP and TCP
ports_choose()
{
	/usr/bin/python3 - "$1" <<-'END'
	import random, socket, sys
	found = []
	while len(found) < int(sys.argv[1]):
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
	  - domain: outside.example
	END
}

config_key()
{
	cat <<-END
	key:
	  - id: downstream
	    algorithm: hmac-sha256
	    secret: $KEY_SECRET
	END
}

config_secondary()
{
	config_common secondary "$SECONDARY@$SECONDARY_PORT"
	config_key
	cat <<-END
	module:
	  - id: mod-secondary
	    file: $MODULE
	remote:
	  - id: primary
	    address: $PRIMARY@$PRIMARY_PORT
	  - id: downstream
	    address: $DOWNSTREAM@$DOWNSTREAM_PORT
	    key: downstream
	acl:
	  - id: downstream
	    key: downstream
	    action: transfer
	mod-secondary:
	  - id: default
	    transfer-from: primary
	    transfer-to: downstream
	    notify: downstream
	    upstream: $PRIMARY@$PRIMARY_PORT
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

config_downstream()
{
	config_common downstream "$DOWNSTREAM@$DOWNSTREAM_PORT"
	config_key
	cat <<-END
	remote:
	  - id: secondary
	    address: $SECONDARY@$SECONDARY_PORT
	    key: downstream
	acl:
	  - id: notices
	    remote: secondary
	    action: notify
	template:
	  - id: default
	    storage: $DIR/downstream
	    master: secondary
	    acl: notices
	    zonefile-load: none
	    zonefile-sync: -1
	    journal-content: none
	zone:
	  - domain: plain.example
	  - domain: signed.example
	END
}

servers_prepare()
{
	local zone
	mkdir "$DIR/primary" "$DIR/secondary" "$DIR/downstream"
	for zone in "${ZONES[@]}"; do cp "$ROOT/tests/demo/sample.zone" "$DIR/primary/$zone.zone"; done
	cp "$ROOT/tests/demo/sample.zone" "$DIR/primary/outside.example.zone"
	config_primary >"$DIR/primary/knot.conf"
	config_secondary >"$DIR/secondary/knot.conf"
	config_downstream >"$DIR/downstream/knot.conf"
}

# A server dies with this script, should it be killed.
server_start()
{
	setpriv --pdeathsig KILL knotd -c "$DIR/$1/knot.conf" </dev/null >"$DIR/$1/log" 2>&1 &
	PIDS+=($!)
}

at_primary() { kdig +norec +timeout=2 +retry=0 "@$PRIMARY" -p "$PRIMARY_PORT" "$@"; }
at_secondary() { kdig +norec +timeout=2 +retry=0 "@$SECONDARY" -p "$SECONDARY_PORT" "$@"; }
at_downstream() { kdig +norec +timeout=2 +retry=0 "@$DOWNSTREAM" -p "$DOWNSTREAM_PORT" "$@"; }
serial_at() { "at_$1" +short "$2" SOA | awk '{ print $3 }'; }
served_by() { [[ $(serial_at "$1" "$2") =~ ^[0-9]+$ ]]; }
same_serial() { served_by primary "$2" && [[ $(serial_at "$1" "$2") == "$(serial_at primary "$2")" ]]; }
# Without what differs from run to run.
readable() { grep -v '^;; From\|^;; Received\|^;; Time\|^$' || true; }
records() { grep -v '^;' | grep . | sort || true; }

# show NAME TYPE [kdig option…]: prints the answer; it has to be the primary's
show()
{
	local mine theirs
	say "kdig @$SECONDARY -p $SECONDARY_PORT $*"
	mine=$(at_secondary +nocomments +noquestion +nostats +noheader "$@" | grep -v '^;' | grep . || true)
	theirs=$(at_primary +nocomments +noquestion +nostats +noheader "$@" | grep -v '^;' | grep . || true)
	at_secondary "$@" | readable
	[[ "$(sort <<<"$mine")" == "$(sort <<<"$theirs")" ]] || die "the primary answers otherwise: $theirs"
}

demo_transfer()
{
	local zone
	say "A primary at $PRIMARY@$PRIMARY_PORT: ${ZONES[*]} (the second is signed)"
	server_start primary
	for zone in "${ZONES[@]}"; do await "the primary serves $zone" served_by primary "$zone"; done
	say "A stock knotd at $DOWNSTREAM@$DOWNSTREAM_PORT, secondary of the one that comes next"
	server_start downstream
	await "the start of the stock secondary" grep -q "server started" "$DIR/downstream/log"
	say "knotd with mod-secondary at $SECONDARY@$SECONDARY_PORT, between the two; its log:"
	server_start secondary
	for zone in "${ZONES[@]}"; do await "transfer of $zone" same_serial secondary "$zone"; done
	for zone in "${ZONES[@]}"; do await "transfer of $zone onwards" same_serial downstream "$zone"; done
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

# Who has the key may transfer from the module, and others may not.
demo_transfer_out()
{
	local zone=plain.example key="hmac-sha256:downstream:$KEY_SECRET" refused
	say "kdig @$SECONDARY -p $SECONDARY_PORT -y $key $zone AXFR"
	at_secondary -y "$key" "$zone" AXFR | readable
	[[ "$(at_secondary -y "$key" +noall +answer "$zone" AXFR | records)" == "$(at_primary +noall +answer "$zone" AXFR | records)" ]] ||
		die "the primary has other records"
	say "kdig @$SECONDARY -p $SECONDARY_PORT $zone AXFR, without the key: refused"
	refused=$(at_secondary "$zone" AXFR 2>&1 || true)
	readable <<<"$refused"
	[[ $refused == *NOTAUTH* && -z "$(records <<<"$refused")" ]] || die "it was not refused"
	grep -F "outgoing" "$DIR/secondary/log" | grep -F "refused" | tail -n 1 || die "the module logged no refusal"
}

resolved() { [[ $(at_secondary +rec +short external.plain.example AAAA) == *2001:db8::80* ]]; }

demo_outside()
{
	say "An alias that leads out of the secondary's zones, followed through its upstream (here the primary, which has outside.example)"
	await "the target of external.plain.example" resolved
	at_secondary +rec external.plain.example AAAA | grep -v '^;; From\|^;; Received\|^;; Time\|^$' || true
}

demo_change()
{
	local zone=plain.example seen further
	seen=$(wc -l <"$DIR/secondary/log")
	further=$(wc -l <"$DIR/downstream/log")
	say "A change at the primary: www.$zone gets the address 192.0.2.99"
	control_primary zone-begin "$zone"
	control_primary zone-unset "$zone" www A
	control_primary zone-set "$zone" www 60 A 192.0.2.99
	control_primary zone-commit "$zone"
	await "the change by NOTIFY" changed secondary
	await "the change by NOTIFY of the module" changed downstream
	grep -F "[$zone.] notify, outgoing" "$DIR/primary/log" | tail -n 1 || true
	tail -n "+$((seen + 1))" "$DIR/secondary/log"
	show www.$zone A
	say "The stock secondary has it through the module; its log:"
	tail -n "+$((further + 1))" "$DIR/downstream/log"
	at_downstream +noall +answer "www.$zone" A
}

control_primary() { knotc -s "$DIR/primary/knot.sock" "$@" >/dev/null || die "knotc $*"; }
changed() { [[ $("at_$1" +short www.plain.example A) == 192.0.2.99 ]]; }

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
	read -r PRIMARY_PORT SECONDARY_PORT DOWNSTREAM_PORT < <(ports_choose 3)
	servers_prepare
	demo_transfer
	demo_answers
	demo_outside
	demo_transfer_out
	demo_change
	demo_status
	demo_advice
	if [[ $ONCE == yes ]]; then say "all steps passed"; return; fi
	say "The servers run until ^C: kdig @$SECONDARY -p $SECONDARY_PORT www.plain.example"
	wait -n "${PIDS[@]}" || true
	die "a server ended"
}

case ${1:-} in
--once) ONCE=yes ;;
"") ;;
*) echo "usage: ./build.sh run [--once]" >&2; exit 2 ;;
esac
demo
