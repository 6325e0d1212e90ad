#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# test.sh: all tests of all modules against a real API server, with the race detector where a C compiler is; then the fault suite.
# What needs a whole cluster is in `make e2e`.
# `make test` sets CODE_MODULES. The last lines are go test's own.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

echo "==> control plane for the tests" >&2
KUBEBUILDER_ASSETS=$(hack/controlplane/build.sh)
export KUBEBUILDER_ASSETS
echo "    $KUBEBUILDER_ASSETS" >&2

race=-race
if ! reason=$(go build -race runtime/cgo 2>&1); then
	race=
	echo "==> NO RACE DETECTOR in this run: it needs a C compiler and its headers (such as gcc and libc6-dev)." >&2
	echo "    go build -race says: $reason" >&2
fi

failed=
for module in $CODE_MODULES; do
	# Go reuses a result until a file inside the test's own module changes. The modules below the root test files that are
	# outside theirs, so theirs are never reused.
	fresh=-count=1
	packages=./...
	# The race detector costs a second build of everything a module stands on. It is for what runs at once: not for tests of
	# files, charts and images.
	detector=
	case $module in
	.) packages=$(go list ./... | grep -v '/test/faults$') detector=$race fresh= ;;
	demo | test/idp) detector=$race ;;
	# The suite itself needs a cluster: make e2e.
	test/cluster) packages=./app/... detector=$race ;;
	esac
	# shellcheck disable=SC2086 # no word at all when a flag is empty
	(cd "$module" && "$root/hack/heartbeat.sh" "test module $module" go test $detector $fresh -timeout 20m $packages) ||
		failed="$failed $module"
done

# The fault suite measures times, so it has the machine for itself and no race detector, and shows its table. These are the
# faults that are over in seconds; `make faults` runs them all.
(cd test/faults && "$root/hack/heartbeat.sh" "break things, briefly" \
	go test -count=1 -timeout 20m -run 'F1[289]|F2[1234]|F4[45]') ||
	failed="$failed test/faults"

if [ -n "$failed" ]; then
	echo "test: failures in:$failed" >&2
	exit 1
fi
