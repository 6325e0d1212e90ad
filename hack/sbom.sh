#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# sbom.sh VERSION BINARY...: writes the modules of each binary, with their hashes, and the standard library to
# dist/sbom/NAME.cdx.json in CycloneDX format. The output depends on the binary and on VERSION only. Fails when the list differs
# from the list that the linker put into the binary.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 2 ] || {
	echo "usage: sbom.sh VERSION BINARY..." >&2
	exit 2
}
version=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/dist/sbom"

# linked BINARY: the modules that go version reads from the binary; a replacement stands in the line after its module.
linked() {
	go version -m "$1" | awk '
		$1 == "dep" { modules[++n] = $2 "@" $3 }
		$1 == "=>" { modules[n] = $2 "@" $3 }
		END { for (i = 1; i <= n; i++) print modules[i] }'
	echo "std@$(go version "$1" | awk '{ print $NF }')"
}

# listed FILE: the components of an SBOM.
listed() {
	awk -F'"' '
		/^  "components": \[/ { inside = 1 }
		/^  \]/ { inside = 0 }
		inside && $2 == "name" { name = $4 }
		inside && $2 == "version" && name != "" { print name "@" $4; name = "" }' "$1"
}

for binary in "$@"; do
	out=$root/dist/sbom/$(basename "$binary").cdx.json
	file=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
	(cd "$root" && go tool -modfile=hack/tools/go.mod cyclonedx-gomod \
		bin -json -std -noserial -notimestamp -version "$version" -output "$out" "$file")
	linked "$file" | sort >"$work/linked"
	listed "$out" | sort >"$work/listed"
	diff "$work/linked" "$work/listed" >&2 || {
		echo "sbom: $out differs from the modules in $binary (see above: < linked, > listed)" >&2
		exit 1
	}
	echo "$out: $(wc -l <"$work/listed" | tr -d ' ') components"
done
