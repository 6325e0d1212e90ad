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
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./proxy/...); do
	grep -qs '^func Fuzz' "${package#*/callback-operator/}"/*_test.go || continue
	[ -z "${FUZZ_SKIP:-}" ] || ! echo "$package" | grep -qE "$FUZZ_SKIP" || continue
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' | grep -E "${FUZZ:-.}"); do
		hack/heartbeat.sh "fuzz $target for $time" go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" || failed="$failed $target"
	done
done
if [ -n "$failed" ]; then
	echo "fuzz: failures in:$failed" >&2
	exit 1
fi
