#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# sbom.sh VERSION BINARY...: writes what each binary is made of to dist/sbom/NAME.cdx.json, in CycloneDX: the modules that the
# linker put into it, with their hashes, and the standard library. What comes out depends on the binary alone.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 2 ] || {
	echo "usage: sbom.sh VERSION BINARY..." >&2
	exit 2
}
version=$1
shift
mkdir -p "$root/dist/sbom"
for binary in "$@"; do
	out=$root/dist/sbom/$(basename "$binary").cdx.json
	file=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
	(cd "$root/hack/sbom" && go tool cyclonedx-gomod bin -json -std -noserial -notimestamp -version "$version" -output "$out" "$file")
	echo "$out"
done
