#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# dockerfile.sh: checks the Dockerfile without a container engine. Copies the files that it copies into an empty directory, runs
# its go build commands there, and compares the final stages with what this project promises: one static binary on scratch that
# runs as user 65532. With docker, buildx and an engine, `docker build --check` lints the file too.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
version=v0.0.0-dockerfile.sh

fail() {
	echo "dockerfile: $*" >&2
	exit 1
}

# stage NAME: the instructions of a stage, one on each line.
stage() {
	sed -e ':join' -e '/\\$/{N;s/\\\n */ /;b join' -e '}' Dockerfile |
		awk -v name="$1" '/^FROM / { inside = ($NF == name) } inside'
}

# expect NAME LINE: the stage has the instruction.
expect() {
	stage "$1" | grep -qxF -- "$2" || fail "stage $1 lacks: $2"
}

# The Go of the images is pinned, and not older than the go line of go.mod.
image_go=$(sed -n 's/^ARG GO_VERSION=//p' Dockerfile)
module_go=$(sed -n 's/^go //p' go.mod)
echo "$image_go" | grep -qE '^[0-9]+\.[0-9]+\.[0-9]+$' || fail "GO_VERSION=$image_go is not a full version"
[ "$(printf '%s\n' "$module_go" "$image_go" | sort -V | head -n 1)" = "$module_go" ] ||
	fail "GO_VERSION=$image_go is older than go $module_go in go.mod"

# The build context is what .dockerignore admits.
mkdir "$work/src"
stage source | awk '$1 == "COPY" && $2 !~ /^--/ { for (i = 2; i < NF; i++) print $i }' >"$work/copied"
while read -r path; do
	grep -qxF -- "!$path" .dockerignore || fail "COPY $path: .dockerignore does not admit it"
	tar -cf - --exclude='*_test.go' --exclude='testdata' "$path" | tar -xf - -C "$work/src"
done <"$work/copied"

goflags=$(stage source | sed -n 's/^ENV GOFLAGS="\([^"]*\)".*/\1/p')
[ -n "$goflags" ] || fail "stage source sets no GOFLAGS"
for target in manager proxy; do
	expect "$target" "FROM scratch AS $target"
	expect "$target" "COPY --from=build-$target /src/bin/$target /$target"
	expect "$target" "COPY --from=source /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt"
	expect "$target" "USER 65532:65532"
	expect "$target" "ENTRYPOINT [\"/$target\"]"

	command=$(stage "build-$target" | sed -n 's/^RUN \(--mount=[^ ]* *\)*//p')
	[ "$(printf '%s\n' "$command" | wc -l)" -eq 1 ] || fail "stage build-$target has several RUN instructions"
	echo "dockerfile: $command"
	(cd "$work/src" && env GOFLAGS="$goflags" GOWORK=off TARGETOS="$(go env GOOS)" TARGETARCH="$(go env GOARCH)" VERSION="$version" \
		sh -c "$command") || fail "the build of $target failed"
	go version -m "$work/src/bin/$target" >"$work/info"
	for setting in CGO_ENABLED=0 -trimpath=true -buildmode=exe; do
		grep -qF -- "$setting" "$work/info" || fail "$target is built without $setting"
	done
	"$work/src/bin/$target" --version 2>&1 | grep -qF "$version" || fail "$target does not print the version of the build"
done

if docker buildx inspect >/dev/null 2>&1; then
	docker buildx build --check .
else
	echo "dockerfile: no docker with buildx and an engine here, so docker build --check is skipped"
fi
