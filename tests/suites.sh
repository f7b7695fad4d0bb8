# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The suites of `./build.sh test`, which sources this. Each adds to the three counts; a suite that ran nothing has failed.

PASSED=0 FAILED=0 SKIPPED=0

tally_add()
{
	PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2)) SKIPPED=$((SKIPPED + $3))
}

fail()
{
	printf 'FAILED: %s\n' "$*"
	tally_add 0 1 0
}

# --- compile: no warning from either compiler

suite_compile()
{
	local cc
	for cc in gcc clang; do
		if CC=$cc build_in "build-$cc" -Dwerror=true; then tally_add 1 0 0; else fail "$cc -Werror"; fi
	done
	if command -v shellcheck >/dev/null; then
		if shellcheck -x build.sh tests/suites.sh tests/demo/demo.sh .ci/run; then tally_add 1 0 0; else fail "shellcheck"; fi
	fi
}

# --- check

# Adds up the summaries of a check program, "100%: Checks: 5, Failures: 0, Errors: 0"; prints "passed failed".
check_summary()
{
	awk -F '[:,]' '/^[0-9]+%: Checks: / { all += $3; bad += $5 + $7 } END { print all - bad, bad + 0 }' "$1"
}

# check_run PROGRAM [WRAPPER…]
check_run()
{
	local program=$1 log passed failed status=0
	shift
	log=$(mktemp)
	timeout "$UNIT_TIMEOUT" "$@" env CK_FORK=no CK_VERBOSITY=normal "$program" >"$log" 2>&1 || status=$?
	read -r passed failed < <(check_summary "$log")
	if [[ $status -ne 0 && $failed -eq 0 ]]; then failed=1; fi
	if [[ $((passed + failed)) -eq 0 ]]; then failed=1; fi
	printf '%-40s %4d passed, %d failed\n' "$program" "$passed" "$failed"
	if [[ $failed -gt 0 ]]; then echo "status $status"; tail -n 200 "$log"; fi
	rm -f "$log"
	tally_add "$passed" "$failed" 0
}

# check_all DIRECTORY [WRAPPER…]
check_all()
{
	local directory=$1 source program ran=0
	shift
	for source in tests/test_*.c; do
		program=$directory/$(basename "$source" .c)
		if [[ ! -x $program ]]; then fail "$program was not built"; continue; fi
		check_run "$program" "$@"
		ran=1
	done
	if [[ $ran -eq 0 ]]; then fail "$directory has no unit tests"; fi
}

suite_unit()
{
	build_in build-asan -Db_sanitize=address,undefined -Db_lundef=false || { fail "the build for ASan"; return; }
	ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		check_all build-asan
}

# ThreadSanitizer of GCC 12 finds no place for its shadow where mmap is randomised by more than 28 bits: that is switched off for it.
suite_tsan()
{
	local fixed=(setarch -R)
	"${fixed[@]}" true 2>/dev/null || fixed=()
	build_in build-tsan -Db_sanitize=thread -Db_lundef=false || { fail "the build for TSan"; return; }
	TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 check_all build-tsan "${fixed[@]}"
}

# --- fuzzing: the everyday run replays the corpora and a few seconds' worth of new inputs

fuzz_targets()
{
	local source
	for source in tests/fuzz_*.c; do
		if [[ -e $source ]]; then basename "$source" .c | sed 's/^fuzz_//'; fi
	done
}

# program_libraries: what a program that is built by hand from tests/ is linked with, after libhouse.a
program_libraries() { pkg-config --cflags --libs libknot libzscanner liburcu liburcu-cds libuv gnutls check; }

# fuzz_build TARGET: the house and one target, instrumented by clang
fuzz_build()
{
	local flags=(-g -O1 "-fsanitize=fuzzer,address,undefined" -fno-sanitize-recover=undefined -std=gnu11 -D_GNU_SOURCE -Iinclude)
	local support=() libraries
	read -ra libraries < <(program_libraries)
	CC=clang build_in build-fuzz -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link || return 1
	if [[ -e tests/support.c ]]; then support=(tests/support.c); fi
	clang "${flags[@]}" -o "build-fuzz/fuzz_$1" "tests/fuzz_$1.c" "${support[@]}" build-fuzz/libhouse.a \
		"${libraries[@]}" -lpthread
}

# fuzz_replay TARGET: the corpus and some new inputs, which are the same in each run
fuzz_replay()
{
	local scratch=build-fuzz/scratch-$1
	rm -rf "$scratch"
	mkdir -p "tests/corpus/$1" "$scratch"
	timeout 600 "build-fuzz/fuzz_$1" -seed=1 -runs="$FUZZ_RUNS" -timeout=10 -artifact_prefix="build-fuzz/$1-" "$scratch" "tests/corpus/$1" \
		>"build-fuzz/$1.log" 2>&1 || { tail -n 50 "build-fuzz/$1.log"; return 1; }
}

suite_fuzz()
{
	local target
	for target in $(fuzz_targets); do
		if fuzz_build "$target" && fuzz_replay "$target"; then tally_add 1 0 0; else fail "fuzz_$target"; fi
	done
}

# --- benches of rooms: bench_<name>.c

bench_program()
{
	local libraries program=build/bench_$1
	read -ra libraries < <(program_libraries)
	gcc -O2 -g -std=gnu11 -D_GNU_SOURCE -Iinclude -o "$program" "tests/bench_$1.c" tests/support.c build/libhouse.a "${libraries[@]}" -lpthread
	"$program"
}

command_bench()
{
	local name names=()
	deps_test
	build
	for name in "$@"; do
		if [[ -e tests/bench_$name.c ]]; then say "$name"; bench_program "$name"; else names+=("$name"); fi
	done
	if [[ $# -eq 0 || ${#names[@]} -gt 0 ]]; then "$PYTHON" -B tests/bench/bench.py "${names[@]}"; fi
}

# --- pytest

# system_run NAME [FILE…]: runs pytest on files of tests/system, all without one
system_run()
{
	local name=$1 counts passed failed skipped status=0
	shift
	if [[ $# -eq 0 ]]; then set -- tests/system; fi
	counts=$(mktemp)
	SECONDARY_TALLY=$counts "$PYTHON" -B -m pytest -q -p no:cacheprovider -rs --durations=5 "$@" || status=$?
	if ! read -r passed failed skipped <"$counts"; then passed=0 failed=0 skipped=0; fi
	rm -f "$counts"
	if [[ $status -ne 0 && $failed -eq 0 ]]; then failed=1; fi
	if [[ $((passed + failed)) -eq 0 ]]; then failed=1; fi
	printf '%s: %d passed, %d failed, %d skipped\n' "$name" "$passed" "$failed" "$skipped"
	tally_add "$passed" "$failed" "$skipped"
}

suite_system() { system_run system "$@"; }

# The module is instrumented, knotd is not: the runtime has to come first.
suite_asan()
{
	build_in build-asan -Db_sanitize=address,undefined -Db_lundef=false || { fail "the build for ASan"; return; }
	SECONDARY_SO=$ROOT/build-asan/secondary.so SECONDARY_PRELOAD=$(gcc -print-file-name=libasan.so) SECONDARY_SLOWNESS=3 \
		system_run "system with ASan" "$@"
}

suite_valgrind()
{
	SECONDARY_WRAP="valgrind --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=98 --fair-sched=yes --log-file=valgrind.%p" \
		SECONDARY_SLOWNESS=10 system_run valgrind tests/system/test_memory.py
}

# --- all together

EVERYDAY=(compile unit tsan fuzz system asan valgrind)

suite_run()
{
	local suite=$1 before=$((PASSED + FAILED)) began=$SECONDS
	say "$suite"
	if declare -F "suite_$suite" >/dev/null; then "suite_$suite"
	else system_run "$suite" "tests/system/test_$suite.py"
	fi
	if [[ $((PASSED + FAILED)) -eq $before ]]; then fail "$suite ran nothing"; fi
	printf '%s took %d s\n' "$suite" $((SECONDS - began))
}

suites_check()
{
	local suite
	for suite in "$@"; do
		declare -F "suite_$suite" >/dev/null || [[ -e tests/system/test_$suite.py ]] || die "there is no suite $suite; there are: ${EVERYDAY[*]} full, and files of tests/system"
	done
}

command_test()
{
	local suite
	UNIT_TIMEOUT=120 FUZZ_RUNS=20000
	if [[ ${1:-} == full ]]; then
		shift
		export TEST_FULL=1
		UNIT_TIMEOUT=900 FUZZ_RUNS=2000000
	fi
	if [[ $# -eq 0 ]]; then set -- "${EVERYDAY[@]}"; fi
	suites_check "$@"
	deps_test
	build
	for suite in "$@"; do suite_run "$suite"; done
	printf '\n%d passed, %d failed' "$PASSED" "$FAILED"
	if [[ $SKIPPED -gt 0 ]]; then printf ', %d skipped' "$SKIPPED"; fi
	printf '\n'
	[[ $FAILED -eq 0 ]]
}
