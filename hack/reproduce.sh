#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# reproduce.sh: builds the binaries of the last commit twice and compares the hashes: from clones in two directories, the second time
# with an empty build cache, so that it reuses nothing of the first build. Prints the hashes; fails when they differ.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# build DIR CACHE
build() {
	mkdir "$1"
	git clone --quiet "$root" "$1/src"
	(cd "$1/src" && GOCACHE=$2 "$root/hack/heartbeat.sh" "build the binaries in $1" "${MAKE:-make}" --no-print-directory build)
	(cd "$1/src/bin" && sha256sum -- *) >"$1/sums"
}
build "$work/one" "$(go env GOCACHE)"
build "$work/another-directory" "$work/cache"
cat "$work/one/sums"
diff "$work/one/sums" "$work/another-directory/sums" >&2 || {
	echo "reproduce: the two builds differ (see above): one contains its directory, the time or the machine" >&2
	exit 1
}
