#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# verify.sh: what is committed is what the tools would write. Checks the modules, regenerates, lints, runs the tests of the
# tree itself (license headers, PROJECT, links), and fails when the tree then differs from the commit.
# `make verify` sets ALL_MODULES and CODE_MODULES.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "verify: $*" >&2
	exit 1
}

for module in $ALL_MODULES; do
	(cd "$module" && "$root/hack/heartbeat.sh" "check module $module" go mod verify)
	(cd "$module" && "$root/hack/heartbeat.sh" "check that $module/go.mod is tidy" go mod tidy -diff) ||
		fail "$module/go.mod is not tidy (see above): run go mod tidy there"
done

# Before and after, so that the message can tell a stale file from one that is only not committed yet.
snapshot() {
	mkdir "$1"
	for dir in api config charts; do cp -R "$dir" "$1/$dir"; done
}
snapshot "$work/before"
"${MAKE:-make}" generate manifests
snapshot "$work/after"
(cd "$work" && git --no-pager diff --no-index before after) ||
	fail "generated files were stale (the diff is above; they are up to date now): commit them"

"${MAKE:-make}" lint
hack/heartbeat.sh "check license headers, PROJECT, modules and links" go test -count=1 ./test/house/...

if [ -n "$(git status --porcelain)" ]; then
	git --no-pager diff HEAD
	git status --short
	fail "the tree differs from the commit (see above): commit it, or find out who writes there"
fi
