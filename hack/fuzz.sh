#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh: runs each fuzz target of the proxy for FUZZTIME (30s by default), one after the other, beginning with its committed corpus.
# FUZZ selects targets, and FUZZ_SKIP leaves out packages, by regular expressions. An input that fails is written to the target's
# corpus, testdata/fuzz/<target>: commit it with the mend.
set -eu
cd "$(dirname "$0")/.."
time=${FUZZTIME:-30s}
failed=
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz TARGET PACKAGE. The end of the time may fail a run without an input that fails: go reports the deadline itself then.
fuzz() {
	# shellcheck disable=SC2016 # the inner shell expands them
	hack/heartbeat.sh "fuzz $1 for $time" sh -c 'go test -run "^$" -fuzz "^$1\$" -fuzztime "$2" "$3" >"$4" 2>&1' fuzz "$1" "$time" "$2" "$log" && status=0 || status=$?
	tail -n 20 "$log"
	[ "$status" -eq 0 ] || { grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"; }
}

for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./proxy/...); do
	grep -qs '^func Fuzz' "${package#*/callback-operator/}"/*_test.go || continue
	[ -z "${FUZZ_SKIP:-}" ] || ! echo "$package" | grep -qE "$FUZZ_SKIP" || continue
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' | grep -E "${FUZZ:-.}"); do
		fuzz "$target" "$package" || failed="$failed $target"
	done
done
if [ -n "$failed" ]; then
	echo "fuzz: failures in:$failed" >&2
	exit 1
fi
