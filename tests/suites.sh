# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The suites of `./build.sh test`, which sources this. Each adds to the three counts; a suite that ran nothing has failed.

PASSED=0 FAILED=0 SKIPPED=0
# What runs at once: as many programs as there are processors, and two tests of servers more, since these mostly wait.
JOBS=$(nproc) WORKERS=$(($(nproc) + 2))
# Builds with sanitizers: half of the time of a run goes to compilers, which take a third less for this.
INSTRUMENTED=(-Doptimization=1 -Db_lundef=false)

tally_add()
{
	PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2)) SKIPPED=$((SKIPPED + $3))
}

fail()
{
	printf 'FAILED: %s\n' "$*"
	tally_add 0 1 0
}

# item_run PREFIX COMMAND…: runs a part of a suite in a subshell. Its output appears in one piece, its counts are left in a file.
item_run()
{
	local prefix=$1
	shift
	PASSED=0 FAILED=0 SKIPPED=0
	"$@" >"$prefix.out" 2>&1
	printf '%d %d %d\n' "$PASSED" "$FAILED" "$SKIPPED" >"$prefix.counts"
	cat "$prefix.out"
}

# each "ITEM…" COMMAND…: runs the command with each item as its last argument, JOBS at a time, and adds up the counts.
each()
{
	local items item results running=0 passed failed skipped
	read -ra items <<<"$1"
	shift
	results=$(mktemp -d)
	for item in "${items[@]}"; do
		if [[ $running -ge $JOBS ]]; then wait -n || true; else running=$((running + 1)); fi
		item_run "$results/$item" "$@" "$item" &
	done
	wait
	for item in "${items[@]}"; do
		if read -r passed failed skipped 2>/dev/null <"$results/$item.counts"; then tally_add "$passed" "$failed" "$skipped"
		else cat "$results/$item.out"; fail "$item ended early"
		fi
	done
	rm -rf "$results"
}

# --- compile: no warning from either compiler, nor from shellcheck

suite_compile()
{
	local cc
	for cc in gcc clang; do
		if CC=$cc build_in "build-$cc" -Dwerror=true; then tally_add 1 0 0; else fail "$cc -Werror"; fi
	done
	if shellcheck -x build.sh tests/suites.sh tests/demo/demo.sh module/manual.sh .ci/run; then tally_add 1 0 0; else fail "shellcheck"; fi
}

# --- check

# Adds up the summaries of a check program, "100%: Checks: 5, Failures: 0, Errors: 0"; prints "passed failed".
check_summary()
{
	awk -F '[:,]' '/^[0-9]+%: Checks: / { all += $3; bad += $5 + $7 } END { print all - bad, bad + 0 }' "$1"
}

# check_run DIRECTORY [WRAPPER…] NAME: runs the program DIRECTORY/NAME
check_run()
{
	local program=$1/${*: -1} wrapper=("${@:2:$#-2}") log passed failed status=0 began=$SECONDS
	if [[ ! -x $program ]]; then fail "$program was not built"; return; fi
	log=$(mktemp)
	timeout "$UNIT_TIMEOUT" "${wrapper[@]}" env CK_FORK=no CK_VERBOSITY=normal "$program" >"$log" 2>&1 || status=$?
	read -r passed failed < <(check_summary "$log")
	if [[ $status -ne 0 && $failed -eq 0 ]]; then failed=1; fi
	if [[ $((passed + failed)) -eq 0 ]]; then failed=1; fi
	printf '%-40s %4d passed, %d failed %4d s\n' "$program" "$passed" "$failed" $((SECONDS - began))
	if [[ $failed -gt 0 ]]; then echo "status $status"; tail -n 200 "$log"; fi
	rm -f "$log"
	tally_add "$passed" "$failed" 0
}

# unit_names [PATTERN]: the unit tests whose source has it
unit_names() { grep -lE "${1:-}" tests/test_*.c | sed 's,.*/\(.*\)\.c$,\1,' | xargs; }

suite_unit()
{
	build_in build-asan "${INSTRUMENTED[@]}" -Db_sanitize=address,undefined || { fail "the build for ASan"; return; }
	ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		each "$(unit_names)" check_run build-asan
}

# Of the programs those that make threads, or use a room that does: the others would tell nothing new. ThreadSanitizer of GCC 12
# finds no place for its shadow where mmap is randomised by more than 28 bits: that is switched off for it.
suite_tsan()
{
	local fixed=(setarch -R)
	"${fixed[@]}" true 2>/dev/null || fixed=()
	build_in build-tsan "${INSTRUMENTED[@]}" -Db_sanitize=thread || { fail "the build for TSan"; return; }
	TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
		each "$(unit_names 'pthread_create|secondary/(worker|resolver|upstream|versions|completion|compaction|saver)\.h')" check_run build-tsan "${fixed[@]}"
}

# --- fuzzing: each run replays the corpora; the everyday one adds a few seconds' worth of new inputs

fuzz_targets()
{
	local source
	for source in tests/fuzz_*.c; do
		if [[ -e $source ]]; then basename "$source" .c | sed 's/^fuzz_//'; fi
	done
}

# program_libraries: what a program that is built by hand from tests/ is linked with, after libhouse.a
program_libraries() { echo "$(pkg-config --cflags --libs libknot libzscanner liburcu liburcu-cds libuv gnutls check)" -lunbound; }

# The house, instrumented by clang.
fuzz_build_house()
{
	CC=clang build_in build-fuzz "${INSTRUMENTED[@]}" -Db_sanitize=address,undefined -Dc_args=-fsanitize=fuzzer-no-link
}

# fuzz_build TARGET: one target, on the instrumented house
fuzz_build()
{
	local flags=(-g -O1 "-fsanitize=fuzzer,address,undefined" -fno-sanitize-recover=undefined -std=gnu11 -D_GNU_SOURCE -Iinclude)
	local support=() libraries
	read -ra libraries < <(program_libraries)
	if [[ -e tests/support.c ]]; then support=(tests/support.c); fi
	clang "${flags[@]}" -o "build-fuzz/fuzz_$1" "tests/fuzz_$1.c" "${support[@]}" build-fuzz/libhouse.a \
		"${libraries[@]}" -lpthread
}

# fuzz_corpus TARGET: each input of the tree, once; that there are none is a failure
fuzz_corpus()
{
	local inputs=("tests/corpus/$1/"*) executed
	if [[ ! -e ${inputs[0]} ]]; then echo "tests/corpus/$1 has no inputs"; return 1; fi
	timeout 600 "build-fuzz/fuzz_$1" -timeout=10 -artifact_prefix="build-fuzz/$1-" "${inputs[@]}" \
		>"build-fuzz/$1.log" 2>&1 || { tail -n 50 "build-fuzz/$1.log"; return 1; }
	executed=$(grep -c '^Executed tests/corpus/' "build-fuzz/$1.log")
	if [[ $executed -ne ${#inputs[@]} ]]; then echo "of ${#inputs[@]} inputs of tests/corpus/$1 $executed were executed"; return 1; fi
}

# fuzz_more TARGET: new inputs, beginning with the corpus; the everyday ones are the same in each run
fuzz_more()
{
	local scratch=build-fuzz/scratch-$1
	rm -rf "$scratch"
	mkdir -p "$scratch"
	timeout 600 "build-fuzz/fuzz_$1" "${FUZZ_MORE[@]}" -timeout=10 -artifact_prefix="build-fuzz/$1-" "$scratch" "tests/corpus/$1" \
		>"build-fuzz/$1.log" 2>&1 || { tail -n 50 "build-fuzz/$1.log"; return 1; }
}

# fuzz_test TARGET
fuzz_test()
{
	local began=$SECONDS
	if fuzz_build "$1" && fuzz_corpus "$1" && fuzz_more "$1"; then tally_add 1 0 0; else fail "fuzz_$1"; fi
	printf 'fuzz_%-35s %4d s\n' "$1" $((SECONDS - began))
}

suite_fuzz()
{
	fuzz_build_house || { fail "the build for fuzzing"; return; }
	each "$(fuzz_targets | xargs)" fuzz_test
}

# --- benches of rooms: bench_<name>.c

# bench_build NAME: build/bench_NAME
bench_build()
{
	local libraries
	read -ra libraries < <(program_libraries)
	gcc -O2 -g -std=gnu11 -D_GNU_SOURCE -Iinclude -o "build/bench_$1" "tests/bench_$1.c" tests/support.c build/libhouse.a "${libraries[@]}" -lpthread
}

# A name may be that of a room's program, of a bench of servers, or (answer) of both. Options go to the benches of servers.
command_bench()
{
	local word words=() names=0
	deps_test
	build
	bench_build answer
	for word in "$@"; do
		if [[ -e tests/bench_$word.c ]]; then bench_build "$word"; say "$word"; "build/bench_$word"; names=$((names + 1)); fi
		if [[ -e tests/bench/$word.py || ! -e tests/bench_$word.c ]]; then words+=("$word"); fi
	done
	if [[ $names -eq 0 || ${#words[@]} -gt 0 ]]; then "$PYTHON" -B tests/bench/bench.py "${words[@]}"; fi
}

# --- pytest

# pytest_run ARGUMENT…: adds its counts; that its choice of tests is empty is for the caller to judge
pytest_run()
{
	local counts passed=0 failed=0 skipped=0 status=0
	counts=$(mktemp)
	SECONDARY_TALLY=$counts "$PYTHON" -B -m pytest -q -p no:cacheprovider -rs --durations=5 "$@" || status=$?
	read -r passed failed skipped <"$counts" || true
	rm -f "$counts"
	# 5: no test was chosen.
	if [[ $status -ne 0 && $status -ne 5 && $failed -eq 0 ]]; then failed=1; fi
	tally_add "$passed" "$failed" "$skipped"
}

# system_run NAME CHOICE [FILE…]: those tests of the files (all without one) that the choice of markers leaves; several at
# a time, and then those marked `alone`. The servers' directories stay if a test failed. They have short names below /tmp:
# the path of a socket has room for 107 characters.
system_run()
{
	local name=$1 choice=${2:+ and $2} passed=$PASSED failed=$FAILED skipped=$SKIPPED scratch
	shift 2
	if [[ $# -eq 0 ]]; then set -- tests/system; fi
	scratch=$(mktemp -d /tmp/secondary.XXXXXX)
	pytest_run -n "$WORKERS" --dist loadgroup --basetemp="$scratch/some" -m "not alone$choice" "$@"
	pytest_run --basetemp="$scratch/alone" -m "alone$choice" "$@"
	passed=$((PASSED - passed)) failed=$((FAILED - failed)) skipped=$((SKIPPED - skipped))
	printf '%s: %d passed, %d failed, %d skipped\n' "$name" "$passed" "$failed" "$skipped"
	if [[ $failed -gt 0 ]]; then echo "the servers' directories are in $scratch"; else rm -rf "$scratch"; fi
	if [[ $((passed + failed)) -eq 0 ]]; then fail "$name ran nothing"; fi
}

suite_system() { system_run system "not hostile"; }

# Increments both ways, and what goes with them through a tree.
suite_increments() { system_run increments "" tests/system/test_increments*.py tests/system/test_tree.py tests/system/test_expire_out.py; }

# What the operator sees and touches; part of `system`, too.
suite_operator()
{
	system_run operator "" tests/system/test_operator.py tests/system/test_control.py tests/system/test_statistics.py tests/system/test_prometheus.py tests/system/test_extended_errors.py
}

# What is kept over a restart, and what is refused before it serves; part of `system`, too.
suite_keep() { system_run keep "" tests/system/test_keep.py tests/system/test_zonemd.py; }

# asan_run NAME CHOICE [FILE…]: system_run with a module that is instrumented. knotd is not: the runtime has to come first.
asan_run()
{
	build_in build-asan "${INSTRUMENTED[@]}" -Db_sanitize=address,undefined || { fail "the build for ASan"; return; }
	SECONDARY_SO=$ROOT/build-asan/secondary.so SECONDARY_PRELOAD=$(gcc -print-file-name=libasan.so) SECONDARY_SLOWNESS=3 system_run "$@"
}

suite_asan()
{
	local choice="not plain and not hostile"
	if [[ -n ${TEST_FULL:-} ]]; then choice="not hostile"; fi
	asan_run "system with ASan" "$choice"
}

# Misbehaving and failing primaries: the module is always instrumented.
suite_hostile() { asan_run hostile "" tests/system/test_hostile.py tests/system/test_faults.py; }

suite_valgrind()
{
	SECONDARY_WRAP="valgrind --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=98 --fair-sched=yes --log-file=valgrind.%p" \
		SECONDARY_SLOWNESS=10 system_run valgrind "" tests/system/test_memory.py
}

# --- torture: everything at once, in knotd with an instrumented module

# What a server is preloaded with that tells how much memory is in use.
torture_heap() { gcc -O1 -g -Wall -Wextra -Werror -shared -fPIC -o build/heap.so tests/torture/heap.c -lpthread; }

# torture_asan SECONDS: little of what was freed is kept back, so that the size of the process means something
torture_asan()
{
	build_in build-asan "${INSTRUMENTED[@]}" -Db_sanitize=address,undefined || return
	ASAN_OPTIONS=quarantine_size_mb=1:thread_local_quarantine_size_kb=64 \
		SECONDARY_SO=$ROOT/build-asan/secondary.so SECONDARY_PRELOAD="$(gcc -print-file-name=libasan.so) $ROOT/build/heap.so" SECONDARY_SLOWNESS=3 \
		"$PYTHON" -B tests/torture/torture.py "$1"
}

# torture_tsan SECONDS
torture_tsan()
{
	local fixed=("setarch -R")
	setarch -R true 2>/dev/null || fixed=()
	build_in build-tsan "${INSTRUMENTED[@]}" -Db_sanitize=thread || return
	TSAN_OPTIONS=second_deadlock_stack=1:suppressions=$ROOT/tests/torture/tsan.supp SECONDARY_WRAP=${fixed[*]} \
		SECONDARY_SO=$ROOT/build-tsan/secondary.so SECONDARY_PRELOAD="$(gcc -print-file-name=libtsan.so) $ROOT/build/heap.so" SECONDARY_SLOWNESS=3 \
		"$PYTHON" -B tests/torture/torture.py "$1"
}

# torture_test SECONDS BUILD
torture_test()
{
	if "torture_$2" "$1"; then tally_add 1 0 0; else fail "torture, $2"; fi
}

suite_torture()
{
	torture_heap || { fail "tests/torture/heap.c"; return; }
	each "asan tsan" torture_test 8
}

command_torture()
{
	[[ ${1:-} =~ ^[1-9][0-9]*$ && $# -eq 1 ]] || die "usage: ./build.sh torture SECONDS"
	deps_test
	build
	torture_heap || die "tests/torture/heap.c does not compile"
	# Half of the time for each, and one after the other: neither is disturbed, and one sees what they say.
	torture_test $(($1 / 2)) asan
	torture_test $(($1 / 2)) tsan
	printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
	[[ $FAILED -eq 0 ]]
}

# --- all together

EVERYDAY=(compile unit tsan fuzz system asan hostile torture valgrind)
TIMES=()

suite_run()
{
	local suite=$1 before=$((PASSED + FAILED)) began=$SECONDS
	say "$suite"
	if declare -F "suite_$suite" >/dev/null; then "suite_$suite"
	else system_run "$suite" "" "tests/system/test_$suite.py"
	fi
	if [[ $((PASSED + FAILED)) -eq $before ]]; then fail "$suite ran nothing"; fi
	TIMES+=("$suite $((SECONDS - began)) s")
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
	UNIT_TIMEOUT=120 FUZZ_MORE=(-seed=1 -runs=5000)
	if [[ ${1:-} == full ]]; then
		shift
		export TEST_FULL=1
		UNIT_TIMEOUT=600 FUZZ_MORE=(-max_total_time=120)
	fi
	if [[ $# -eq 0 ]]; then set -- "${EVERYDAY[@]}"; fi
	suites_check "$@"
	deps_test
	build
	for suite in "$@"; do suite_run "$suite"; done
	say "times"
	printf '%s\n' "${TIMES[@]}" "all $SECONDS s"
	printf '\n%d passed, %d failed' "$PASSED" "$FAILED"
	if [[ $SKIPPED -gt 0 ]]; then printf ', %d skipped' "$SKIPPED"; fi
	printf '\n'
	[[ $FAILED -eq 0 ]]
}
