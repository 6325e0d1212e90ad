#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Makes a directory that holds etcd, kube-apiserver, kube-controller-manager
# and kubectl, and prints its path as the last line of stdout. Everything else
# that is said goes to stderr.
#
# Where they come from, first hit wins:
#   1. KUBEBUILDER_ASSETS; what is missing there is built, and the directory
#      that is printed is then one of links in the cache: nothing is ever
#      written into yours;
#   2. the cache, ${XDG_CACHE_HOME:-$HOME/.cache}/callback-operator, under a
#      stamp of go.mod, go.sum, the Go version and the flags below;
#   3. a download by setup-envtest, given up after DOWNLOAD_SECONDS, and then
#      only kube-controller-manager is built;
#   4. a build of all four from the modules pinned in go.mod here.
#
# Settings: CONTROLPLANE_DOWNLOAD=never leaves out 3.
#
# Needs Go and git, nothing else. Any number may run at once: one builds, the
# others wait for it, and a directory appears under its final name only whole.
set -eu

DOWNLOAD_SECONDS=20 # how long a download may take
PROGRESS_SECONDS=20 # how often a running build says that it is alive

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/callback-operator
binaries="etcd kube-apiserver kube-controller-manager kubectl"

# The same flags for every target, always: other flags would compile
# Kubernetes a second time. What the user has in GOFLAGS is for their own code
# (-race would even fail with cgo off), except for the module cache's mode.
go_flags="-mod=readonly -buildvcs=false"
case " ${GOFLAGS:-} " in
*" -modcacherw "*) go_flags="$go_flags -modcacherw" ;;
esac
build_flags=-trimpath

say() { echo "controlplane: $*" >&2; }

fail() {
	say "$*"
	exit 1
}

# Becomes go in this module, in the one environment that all builds here
# share. Always called in a subshell, so that its process id is that of go.
become_go() {
	cd "$here" && exec env CGO_ENABLED=0 GOWORK=off GOFLAGS="$go_flags" go "$@"
}

kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$here/go.mod")
minor=$(echo "$kubernetes" | cut -d. -f2)
version=k8s.io/component-base/version
ld_flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"

# What must be on disk for a directory to count as whole.
has_all() {
	for b in $binaries; do
		[ -x "$1/$b" ] || return 1
	done
}

package_of() {
	case $1 in
	etcd) echo go.etcd.io/etcd/server/v3 ;;
	*) echo "k8s.io/kubernetes/cmd/$1" ;;
	esac
}

# build DIR BINARY...: builds the binaries into DIR, with a sign of life while
# it takes minutes. go build -v prints a line for each package it compiled.
build() {
	dir=$1
	shift
	packages=
	for b in "$@"; do packages="$packages $(package_of "$b")"; done
	say "building $* $kubernetes (minutes when cold, seconds when Go's build cache is warm)"
	mkdir -p "$dir/out"
	# shellcheck disable=SC2086 # a list of package paths
	(become_go build -v $build_flags -ldflags "$ld_flags" -o "$dir/out/" $packages >"$dir/log" 2>&1) &
	child=$!
	seconds=0
	while kill -0 "$child" 2>/dev/null; do
		sleep 1
		seconds=$((seconds + 1))
		if [ $((seconds % PROGRESS_SECONDS)) -eq 0 ]; then
			say "still building after $seconds s: $(wc -l <"$dir/log" | tr -d ' ') packages fetched or compiled"
		fi
	done
	status=0
	wait "$child" || status=$?
	child=
	if [ "$status" -ne 0 ]; then
		tail -n 40 "$dir/log" >&2
		fail "the build failed (go build exited with $status)"
	fi
	say "built in $seconds s"
	# etcd's main package is named after its directory.
	if [ -e "$dir/out/server" ]; then mv "$dir/out/server" "$dir/out/etcd"; fi
	for b in "$@"; do mv "$dir/out/$b" "$dir/$b"; done
	rm -rf "$dir/out" "$dir/log"
}

# download DIR: puts etcd, kube-apiserver and kubectl into DIR; fails quietly.
download() {
	if [ "${CONTROLPLANE_DOWNLOAD:-}" = never ]; then
		say "no download is tried (CONTROLPLANE_DOWNLOAD=never)"
		return 1
	fi
	# Built first and without the limit: compiling is not downloading.
	if ! (cd "$root" && env GOFLAGS=-mod=readonly go build -modfile=hack/tools/go.mod -o "$1/setup-envtest" \
		sigs.k8s.io/controller-runtime/tools/setup-envtest) >/dev/null 2>&1; then
		say "no download is tried: setup-envtest does not build here"
		return 1
	fi
	"$1/setup-envtest" use "1.$minor.x" --bin-dir "$1/download" -p path >"$1/path" 2>/dev/null &
	child=$!
	seconds=0
	while kill -0 "$child" 2>/dev/null && [ $seconds -lt $DOWNLOAD_SECONDS ]; do
		sleep 1
		seconds=$((seconds + 1))
	done
	kill "$child" 2>/dev/null || true
	status=0
	wait "$child" 2>/dev/null || status=$?
	child=
	if [ $status -ne 0 ] || [ ! -d "$(cat "$1/path")" ]; then
		say "setup-envtest could not download binaries for 1.$minor; all are built"
		return 1
	fi
	for b in etcd kube-apiserver kubectl; do
		cp "$(cat "$1/path")/$b" "$1/$b" && chmod 755 "$1/$b" || return 1
	done
	chmod -R u+w "$1/download" # setup-envtest leaves them read-only
	rm -rf "$1/download" "$1/setup-envtest" "$1/path"
	say "downloaded etcd, kube-apiserver and kubectl 1.$minor"
}

child=
locked=
work=
cleanup() {
	if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi
	if [ -n "$work" ]; then
		chmod -R u+w "$work" 2>/dev/null || true
		rm -rf "$work"
	fi
	if [ -n "$locked" ]; then rm -rf "$locked"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# lock NAME DIR: waits until DIR is whole (returns 1: nothing to do) or the
# lock is ours (returns 0). A lock whose process is gone is taken over; should
# two take it over at the same instant, both build and one result is kept.
lock() {
	seconds=0
	while ! mkdir "$1" 2>/dev/null; do
		if has_all "$2"; then return 1; fi
		holder=$(cat "$1/pid" 2>/dev/null || echo)
		if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
			say "process $holder left its lock behind; taking over"
			rm -rf "$1"
			continue
		fi
		if [ $((seconds % PROGRESS_SECONDS)) -eq 0 ]; then
			say "waiting for process ${holder:-unknown}, which is building the same"
		fi
		sleep 1
		seconds=$((seconds + 1))
		# A process that died between mkdir and the write of its id.
		if [ -z "$holder" ] && [ $seconds -gt 10 ]; then rm -rf "$1"; fi
	done
	locked=$1
	echo $$ >"$1/pid"
	if has_all "$2"; then return 1; fi
}

# finish WORK DIR: gives a complete directory its name.
finish() {
	has_all "$1" || fail "$1 should hold $binaries by now and does not"
	if [ -d "$2" ]; then
		has_all "$2" && return 0
		rm -rf "$2"
	fi
	mv "$1" "$2"
}

# make_dir DIR FILL ARG: has FILL fill DIR, unless that is done already.
make_dir() {
	if ! has_all "$1"; then
		mkdir -p "$cache"
		if lock "$1.lock" "$1"; then
			work=$1.part.$$
			mkdir "$work"
			"$2" "$work" "$3"
			finish "$work" "$1"
		fi
		if [ -n "$locked" ]; then rm -rf "$locked"; fi
		locked=
	fi
	echo "$1"
}

fill_all() {
	if download "$1"; then
		build "$1" kube-controller-manager
		return
	fi
	chmod -R u+w "$1"
	rm -rf "$1"
	mkdir "$1"
	# shellcheck disable=SC2086 # a list of names
	build "$1" $binaries
}

# fill_beside DIR ASSETS: links to all that ASSETS has; the rest is built.
fill_beside() {
	missing=
	for b in $binaries; do
		if [ -x "$2/$b" ]; then ln -s "$2/$b" "$1/$b"; else missing="$missing $b"; fi
	done
	say "KUBEBUILDER_ASSETS has no$missing: built, and kept in the cache"
	# shellcheck disable=SC2086 # a list of names
	build "$1" $missing
}

command -v go >/dev/null || fail "go is not on the PATH"
stamp=$({
	cat "$here/go.mod" "$here/go.sum"
	(become_go env GOVERSION GOOS GOARCH)
	echo "$build_flags $ld_flags"
} | git hash-object --stdin | cut -c1-16)

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	assets=$(cd "$KUBEBUILDER_ASSETS" 2>/dev/null && pwd) || fail "KUBEBUILDER_ASSETS names no directory"
	for b in etcd kube-apiserver; do
		[ -x "$assets/$b" ] || fail "KUBEBUILDER_ASSETS has no $b; unset it to have all built"
	done
	if has_all "$assets"; then
		echo "$assets"
		exit 0
	fi
	beside=$(printf '%s' "$stamp $assets" | git hash-object --stdin | cut -c1-16)
	make_dir "$cache/assets-$beside" fill_beside "$assets"
	exit 0
fi
make_dir "$cache/controlplane-$stamp" fill_all ""
