#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# test.sh contributor: the tests of the root module and of the light modules (make test).
# test.sh rest: the tests of the other modules, the system tests, and the checks of the Dockerfile and the SBOM (make check).
#
# All tests use a real API server. They run with the race detector where a C compiler is installed. Tests on a whole cluster are
# in `make e2e`. The Makefile sets CODE_MODULES.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# Modules that `make test` includes beside the root module.
light="demo test/idp hack/cluster/image test/consumer"
# Packages of the root module that `make test` leaves to `make check`.
heavy='/test/(system|scale|edges)$'

race=-race
if ! reason=$(go build -race runtime/cgo 2>&1); then
	race=
	echo "==> NO RACE DETECTOR in this run: it requires a C compiler and its headers (such as gcc and libc6-dev)." >&2
	echo "    go build -race: $reason" >&2
fi

failed=

# run LABEL DIR COMMAND...: runs a command in a directory and records a failure.
run() {
	label=$1
	dir=$2
	shift 2
	(cd "$dir" && "$root/hack/heartbeat.sh" "$label" "$@") || failed="$failed [$label]"
}

is_light() {
	case " $light " in *" $1 "*) return 0 ;; esac
	return 1
}

# contributor: Go reuses results of the root module. The results of other modules are never reused, because Go does not notice
# changes of the root module's files, which they test.
contributor() {
	# shellcheck disable=SC2046,SC2086 # lists of words
	run "test the root module" . go test $race -timeout 20m $(go list ./... | grep -vE "$heavy")
	for module in $CODE_MODULES; do
		if is_light "$module"; then
			# shellcheck disable=SC2086
			run "test module $module" "$module" go test $race -count=1 -timeout 20m ./...
		fi
	done
}

# rest: tests of files, charts and images run without the race detector, which would compile their dependencies a second time.
rest() {
	for module in $CODE_MODULES; do
		case $module in
		.) ;;
		# The suite itself requires a cluster: make e2e.
		test/cluster) run "test module $module" "$module" go test -count=1 -timeout 20m ./app/... ;;
		*) is_light "$module" || run "test module $module" "$module" go test -count=1 -timeout 20m ./... ;;
		esac
	done
	run "check the Dockerfile" . hack/dockerfile.sh
	run "list the modules of the binaries" . "${MAKE:-make}" --no-print-directory sbom
	# shellcheck disable=SC2046
	scale=$(go list ./... | grep -E '/test/scale$' || true)
	[ -z "$scale" ] || run "test the scale tests" . go test -count=1 -timeout 20m "$scale"
	run "test with a browser, a front and five origins" . hack/edges.sh
	# Fuzzing compiles all dependencies anew. Those of proxy/source include client-go, which takes minutes.
	run "fuzz the proxy" . env FUZZTIME=4s FUZZ_SKIP='/proxy/source$' hack/fuzz.sh
	# The system tests measure times, so they run alone and without the race detector, and print the table of the faults. These
	# faults end within seconds; `make faults` runs all of them, and `make soak` a soak of a million callbacks.
	run "test the system" test/system env SOAK=20000 go test -count=1 -timeout 20m -run 'TestSoak|TestUse|T10|F1[289]|F2[1234]|F4[456]|F70'
}

case ${1:-} in
contributor | rest) ;;
*)
	echo "usage: test.sh contributor|rest" >&2
	exit 2
	;;
esac
echo "==> control plane for the tests" >&2
KUBEBUILDER_ASSETS=$(hack/controlplane/build.sh)
export KUBEBUILDER_ASSETS
echo "    $KUBEBUILDER_ASSETS" >&2
"$1"
if [ -n "$failed" ]; then
	echo "test: failures in:$failed" >&2
	exit 1
fi
