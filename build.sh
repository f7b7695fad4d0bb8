#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The project's commands; README.md tells about each.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"
# Daemons live in /usr/sbin, which is not in everybody's PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# Debian's, with the packages that `deps` installs; another python3 may come first in PATH.
PYTHON=/usr/bin/python3

RUN_PACKAGES=(gcc libc6-dev binutils meson ninja-build pkg-config
	knot knot-dnsutils libknot-dev liburcu-dev libuv1-dev libunbound-dev libgnutls28-dev libxxhash-dev lowdown)
TEST_PACKAGES=(check valgrind clang libclang-rt-dev shellcheck python3-pytest python3-pytest-xdist python3-dnspython python3-cryptography
	knot-dnssecutils knot-module-dnstap python3-libknot nsd bind9 bind9-dnsutils ldnsutils unbound dnsperf)
PACKAGE_PACKAGES=(debhelper dpkg-dev)
SERVICES=(knot nsd named unbound)

say() { printf '\n== %s\n' "$*"; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }

usage()
{
	cat <<-'END'
	usage: ./build.sh COMMAND
	  run [--once]           three servers to look at: a primary, knotd with the module, and a secondary of that
	  test [SUITE…]          all tests; or some of: compile unit tsan fuzz system asan hostile torture valgrind full, or a file (notify: test_notify.py)
	  build                  build/secondary.so
	  install                puts it into knotd's module directory, with manual page and examples (DESTDIR is honoured)
	  package                build/knot-module-secondary_VERSION_ARCH.deb, for the Knot that is installed
	  bench [NAME…]          measures: answer load swap increment zones transfer upstream reload store timers growth, or a room: bench_NAME.c (BENCH_SIZE=small: tries it)
	  fuzz TARGET SECONDS    fuzzes one room
	  torture SECONDS        everything at once, with a module under ASan and then under TSan
	  deps                   installs the packages that the commands need; each command does so itself
	END
}

# --- packages

# Prints those of the given packages that are not installed.
packages_missing()
{
	comm -23 <(printf '%s\n' "$@" | sort) \
		<(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | awk '$2 == "installed" { print $1 }' | sort -u)
}

as_root()
{
	if [[ $(id -u) -eq 0 ]]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else die "installing packages takes root: su -c 'apt-get install $PACKAGES'"
	fi
}

# Debian's packages of daemons start them, unless policy-rc.d forbids it.
services_forbid()
{
	POLICY=/usr/sbin/policy-rc.d
	if [[ -x $POLICY ]] && ! "$POLICY" knot start >/dev/null 2>&1; then return; fi
	trap services_allow EXIT
	if [[ -e $POLICY ]]; then as_root mv "$POLICY" "$POLICY.mod-secondary"; fi
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
	as_root chmod 755 "$POLICY"
}

services_allow()
{
	trap - EXIT
	as_root rm -f "$POLICY"
	if [[ -e $POLICY.mod-secondary ]]; then as_root mv "$POLICY.mod-secondary" "$POLICY"; fi
}

services_installed()
{
	local service
	for service in "${SERVICES[@]}"; do
		if [[ -e /lib/systemd/system/$service.service ]]; then echo "$service"; fi
	done
}

# A daemon that came as a tool shall not start with the next boot either.
services_disable()
{
	if [[ $# -eq 0 ]] || ! command -v systemctl >/dev/null; then return 0; fi
	as_root systemctl --quiet disable "$@" 2>/dev/null || true
}

apt_install()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# Installs what is missing of the given packages; without that, neither apt nor root nor network is touched.
packages_install()
{
	local missing before
	mapfile -t missing < <(packages_missing "$@")
	if [[ ${#missing[@]} -eq 0 ]]; then return; fi
	PACKAGES="${missing[*]}"
	command -v apt-get >/dev/null || die "these packages are missing, and there is no apt-get: $PACKAGES"
	say "installing $PACKAGES"
	before=$(services_installed)
	services_forbid
	apt_install "${missing[@]}" || { as_root apt-get update -q && apt_install "${missing[@]}"; } || die "could not install $PACKAGES"
	if [[ $(trap -p EXIT) ]]; then services_allow; fi
	mapfile -t missing < <(comm -13 <(echo "$before" | sort) <(services_installed | sort))
	services_disable "${missing[@]}"
}

deps_run() { packages_install "${RUN_PACKAGES[@]}"; }
deps_package() { packages_install "${RUN_PACKAGES[@]}" "${PACKAGE_PACKAGES[@]}"; }
deps_test() { packages_install "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${PACKAGE_PACKAGES[@]}"; }

# --- building

# knotd tells modules nothing about releases that its ABI number does not change for: built for what is installed, or not at all.
knot_check()
{
	local headers server
	headers=$(pkg-config --modversion knotd 2>/dev/null) || die "the headers of Knot DNS (libknot-dev) are not there"
	[[ $headers == 3.2 || $headers == 3.2.* ]] || die "mod-secondary is built for Knot DNS 3.2, and the headers here are of $headers"
	server=$(knotd -V | grep -o '[0-9][0-9.]*[0-9]$') || die "knotd does not run"
	[[ $server == "$headers" ]] || die "knotd is $server, but its headers are of $headers: install the same version of both"
}

# What a build directory depends on beyond what ninja sees; another checkout, Knot or list of files begins anew.
build_stamp()
{
	printf '%s\n' "$ROOT" "${CC:-cc}" "$(pkg-config --modversion knotd)" "$@" module/*.c tests/*.c
	meson --version
}

# build_in DIRECTORY [meson option…]
build_in()
{
	local directory=$1 stamp
	shift
	stamp=$(build_stamp "$@")
	if [[ ! -e $directory/build.ninja || $(cat "$directory/stamp" 2>/dev/null) != "$stamp" ]]; then
		rm -rf "$directory"
		meson setup "$directory" "$@" >"/tmp/mod-secondary-setup.$$" || { cat "/tmp/mod-secondary-setup.$$"; rm -f "/tmp/mod-secondary-setup.$$"; return 1; }
		rm -f "/tmp/mod-secondary-setup.$$"
		printf '%s\n' "$stamp" >"$directory/stamp"
	fi
	ninja -C "$directory" --quiet
}

module_verify()
{
	local exported
	exported=$(nm -D --defined-only build/secondary.so | awk '{ print $3 }')
	[[ $exported == knotd_mod_api ]] || die "secondary.so exports more than knotd_mod_api: $exported"
	readelf -d build/secondary.so | grep -q NODELETE || die "secondary.so lacks NODELETE: a conf-commit would crash knotd"
}

build()
{
	knot_check
	# Assertions are for the builds that the tests add. Digesting a transfer takes a tenth less with -O3 than with -O2, an answer a hundredth.
	build_in build -Db_ndebug=true -Doptimization=3 || die "the build failed"
	[[ -e build/secondary.so ]] || die "the build left no build/secondary.so"
	module_verify
}

install_module()
{
	local target
	target=${DESTDIR:-}$(pkg-config --variable=module_instdir knotd)
	mkdir -p "$target"
	# A running knotd has the old file mapped: it is replaced by name, never written over.
	install -m 644 build/secondary.so "$target/secondary.so.new"
	mv -f "$target/secondary.so.new" "$target/secondary.so"
	install_documents "${DESTDIR:-}${PREFIX:-/usr/local}/share"
	echo "$target/secondary.so is installed; a knotd that runs with an older one needs a restart, a reload does not do"
}

# install_documents DIRECTORY: below share/, where packages have them
install_documents()
{
	ninja -C build --quiet mod-secondary.7
	install -D -m 644 -t "$1/man/man7" build/mod-secondary.7
	install -D -m 644 -t "$1/doc/knot-module-secondary/examples" module/examples/*
}

# Debian's tools want their files in debian/ of a tree that they may write to: they get a copy of what belongs to the build.
package_module()
{
	local tree
	tree=$(mktemp -d /tmp/secondary-package.XXXXXX)
	mkdir "$tree/source"
	cp -a LICENSE README.md include meson.build module "$tree/source"
	cp -a module/debian "$tree/source/debian"
	(cd "$tree/source" && dpkg-buildpackage --build=binary --no-sign) >"$tree/log" 2>&1 || { cat "$tree/log" >&2; rm -rf "$tree"; die "the package could not be built"; }
	mkdir -p build
	rm -f build/knot-module-secondary*.deb
	mv "$tree"/knot-module-secondary*.deb build/
	rm -rf "$tree"
	ls build/knot-module-secondary_*.deb
}

# --- commands

command_fuzz()
{
	[[ $# -eq 2 && -e tests/fuzz_$1.c ]] || die "usage: ./build.sh fuzz TARGET SECONDS; targets: $(fuzz_targets | xargs)"
	deps_test
	knot_check
	fuzz_build_house
	fuzz_build "$1"
	mkdir -p "build-fuzz/corpus/$1" "tests/corpus/$1"
	"build-fuzz/fuzz_$1" -max_total_time="$2" -timeout=10 -rss_limit_mb=4096 -artifact_prefix="build-fuzz/$1-" \
		-print_final_stats=1 "build-fuzz/corpus/$1" "tests/corpus/$1"
}

main()
{
	local command=${1:-}
	if [[ $# -gt 0 ]]; then shift; fi
	# shellcheck source=tests/suites.sh
	source tests/suites.sh
	case $command in
	deps) deps_run; deps_test ;;
	build) deps_run; build; ls -l build/secondary.so ;;
	run) deps_run; build; exec tests/demo/demo.sh "$@" ;;
	test) command_test "$@" ;;
	bench) command_bench "$@" ;;
	fuzz) command_fuzz "$@" ;;
	torture) command_torture "$@" ;;
	install) deps_run; build; install_module ;;
	package) deps_package; knot_check; package_module ;;
	help | -h | --help) usage ;;
	*) usage >&2; exit 2 ;;
	esac
}

main "$@"
