#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# verify.sh: checks that the committed files are those that the tools generate. Verifies the modules, regenerates, lints, and fails when a file then differs from the commit. The Makefile sets ALL_MODULES and CODE_MODULES.
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

# Compares the state before and after, so that files which are current but not committed yet do not count as stale.
snapshot() {
	mkdir "$1"
	for dir in api config charts; do cp -R "$dir" "$1/$dir"; done
}
snapshot "$work/before"
"${MAKE:-make}" generate manifests
snapshot "$work/after"
(cd "$work" && git --no-pager diff --no-index before after) ||
	fail "generated files were stale (see the diff above). They are current now: commit them"

"${MAKE:-make}" lint
if [ -n "$(git status --porcelain)" ]; then
	git --no-pager diff HEAD
	git status --short
	fail "files differ from the commit (see above): commit them, or find the command that writes them"
fi
