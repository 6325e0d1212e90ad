#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# build.sh [--with-controller-manager]: prints a directory that holds etcd, kube-apiserver and kubectl, and with the option
# kube-controller-manager too. The directory is the only line on stdout; progress goes to stderr.
#
# The first source that has the programs is used:
#   1. KUBEBUILDER_ASSETS. Programs that it lacks are built, beside links to the others: the script never writes into it;
#   2. the cache, ${XDG_CACHE_HOME:-$HOME/.cache}/callback-operator, keyed by go.mod, go.sum, the Go version and the flags below;
#   3. the store of setup-envtest, when it holds this Kubernetes minor version;
#   4. a download by setup-envtest, which verifies checksums; it is given up after DOWNLOAD_SECONDS;
#   5. a build from the modules that go.mod in this directory pins.
# kube-controller-manager is in neither 3 nor 4, so it is always built.
#
# Settings: CONTROLPLANE_DOWNLOAD=never skips 3 and 4.
#
# Requires Go and git. Concurrent runs are safe: one builds while the others wait, and a directory gets its final name when it
# is complete.
set -eu

DOWNLOAD_SECONDS=20 # limit for a download
PROGRESS_SECONDS=20 # interval of the progress lines

binaries="etcd kube-apiserver kubectl"
case ${1:-} in
"") ;;
--with-controller-manager) binaries="$binaries kube-controller-manager" ;;
*)
	echo "usage: build.sh [--with-controller-manager]" >&2
	exit 2
	;;
esac

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/callback-operator

# All builds share these flags: other flags would compile Kubernetes a second time. The user's GOFLAGS are ignored
# (-race fails without cgo), except for the mode of the module cache.
go_flags="-mod=readonly -buildvcs=false"
case " ${GOFLAGS:-} " in
*" -modcacherw "*) go_flags="$go_flags -modcacherw" ;;
esac
# Debug information is left out where it is made: the linker would drop it, and compiling takes a seventh less time.
build_flags="-trimpath -gcflags=all=-dwarf=false"

log() { echo "controlplane: $*" >&2; }

fail() {
	log "$*"
	exit 1
}

# Replaces the current shell by go, in the environment that all builds share. Call it in a subshell, so that the subshell's
# process id is the id of go.
become_go() {
	cd "$here" && exec env CGO_ENABLED=0 GOWORK=off GOFLAGS="$go_flags" go "$@"
}

kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$here/go.mod")
minor=$(echo "$kubernetes" | cut -d. -f2)
version=k8s.io/component-base/version
ld_flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"

# has DIR BINARY...: whether DIR holds all of them.
has() {
	has_dir=$1
	shift
	for b in "$@"; do
		[ -x "$has_dir/$b" ] || return 1
	done
}

# missing DIR: prints the wanted binaries that DIR lacks.
missing() {
	for b in $binaries; do
		[ -x "$1/$b" ] || printf ' %s' "$b"
	done
}

package_of() {
	case $1 in
	etcd) echo go.etcd.io/etcd/server/v3 ;;
	*) echo "k8s.io/kubernetes/cmd/$1" ;;
	esac
}

# estimate BINARY...: prints how long a cold build takes on this machine. Measured: 480 s of two cores for etcd, kube-apiserver
# and kubectl, and 180 s more for kube-controller-manager.
estimate() {
	cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
	seconds=0
	for b in "$@"; do
		case $b in
		kube-apiserver) seconds=$((seconds + 660)) ;;
		kube-controller-manager) seconds=$((seconds + 360)) ;;
		*) seconds=$((seconds + 150)) ;;
		esac
	done
	echo "$(((seconds / cores + 59) / 60)) min on $cores cores when Go's build cache is empty, seconds when it is not"
}

# build DIR BINARY...: builds the binaries into DIR and logs progress. go build -v prints a line for each package.
build() {
	dir=$1
	shift
	packages=
	for b in "$@"; do packages="$packages $(package_of "$b")"; done
	log "building $* $kubernetes: about $(estimate "$@")"
	mkdir -p "$dir/out"
	# shellcheck disable=SC2086 # a list of package paths
	(become_go build -v $build_flags -ldflags "$ld_flags" -o "$dir/out/" $packages >"$dir/log" 2>&1) &
	child=$!
	seconds=0
	while kill -0 "$child" 2>/dev/null; do
		sleep 1
		seconds=$((seconds + 1))
		if [ $((seconds % PROGRESS_SECONDS)) -eq 0 ]; then
			log "building for $seconds s: $(wc -l <"$dir/log" | tr -d ' ') packages fetched or compiled"
		fi
	done
	status=0
	wait "$child" || status=$?
	child=
	if [ "$status" -ne 0 ]; then
		tail -n 40 "$dir/log" >&2
		fail "the build failed (go build exited with $status)"
	fi
	log "built in $seconds s"
	# etcd's main package is named after its directory.
	if [ -e "$dir/out/server" ]; then mv "$dir/out/server" "$dir/out/etcd"; fi
	for b in "$@"; do mv "$dir/out/$b" "$dir/$b"; done
	rm -rf "$dir/out" "$dir/log"
}

# copy_from_store DIR: copies etcd, kube-apiserver and kubectl of this minor version out of setup-envtest's store. Fails
# silently when the store lacks them.
copy_from_store() {
	case $(uname -s) in
	Darwin) store="$HOME/Library/Application Support/io.kubebuilder.envtest" ;;
	*) store=${XDG_DATA_HOME:-$HOME/.local/share}/kubebuilder-envtest ;;
	esac
	for dir in "$store/k8s/1.$minor."*; do
		if has "$dir" etcd kube-apiserver kubectl; then
			for b in etcd kube-apiserver kubectl; do
				cp "$dir/$b" "$1/$b" && chmod 755 "$1/$b" || return 1
			done
			log "copied etcd, kube-apiserver and kubectl from $dir"
			return 0
		fi
	done
	return 1
}

# download DIR: lets setup-envtest download etcd, kube-apiserver and kubectl into DIR. setup-envtest compares the archive with
# the checksum in its index. Fails when that does not work in time.
download() {
	# The build of setup-envtest does not count: it compiles, it does not download.
	if ! (cd "$root" && env GOFLAGS=-mod=readonly go build -modfile=hack/tools/go.mod -o "$1/setup-envtest" \
		sigs.k8s.io/controller-runtime/tools/setup-envtest) >/dev/null 2>&1; then
		log "setup-envtest does not build here: the download is skipped"
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
		log "setup-envtest cannot download Kubernetes 1.$minor here: everything is built"
		return 1
	fi
	for b in etcd kube-apiserver kubectl; do
		cp "$(cat "$1/path")/$b" "$1/$b" && chmod 755 "$1/$b" || return 1
	done
	chmod -R u+w "$1/download" # setup-envtest leaves them read-only
	rm -rf "$1/download" "$1/setup-envtest" "$1/path"
	log "downloaded etcd, kube-apiserver and kubectl 1.$minor"
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

# lock NAME DIR: waits until DIR is complete (returns 1) or this process holds the lock (returns 0). The lock of a dead process
# is taken over; when two processes take it over at once, both build and one result is kept.
lock() {
	seconds=0
	while ! mkdir "$1" 2>/dev/null; do
		# shellcheck disable=SC2086 # a list of names
		if has "$2" $binaries; then return 1; fi
		holder=$(cat "$1/pid" 2>/dev/null || echo)
		if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
			log "process $holder ended without releasing its lock; taking over"
			rm -rf "$1"
			continue
		fi
		if [ $((seconds % PROGRESS_SECONDS)) -eq 0 ]; then
			log "waiting for process ${holder:-unknown}, which builds the same"
		fi
		sleep 1
		seconds=$((seconds + 1))
		# A process that died between mkdir and the write of its id.
		if [ -z "$holder" ] && [ $seconds -gt 10 ]; then rm -rf "$1"; fi
	done
	locked=$1
	echo $$ >"$1/pid"
	# shellcheck disable=SC2086 # a list of names
	if has "$2" $binaries; then return 1; fi
}

# finish WORK DIR: gives WORK its final name. A DIR that exists gets the binaries that it lacks, each by a rename.
finish() {
	if [ ! -e "$2" ]; then
		mv "$1" "$2"
		return 0
	fi
	for b in $(missing "$2"); do
		if [ -x "$1/$b" ]; then mv "$1/$b" "$2/$b"; fi
	done
	rm -rf "$1"
}

# complete DIR FILL ARG: calls FILL for the binaries that DIR lacks, and prints DIR.
complete() {
	# shellcheck disable=SC2086 # a list of names
	if ! has "$1" $binaries; then
		mkdir -p "$cache"
		if lock "$1.lock" "$1"; then
			work=$1.part.$$
			mkdir "$work"
			"$2" "$work" "$1" "$3"
			finish "$work" "$1"
			work=
			# shellcheck disable=SC2086
			has "$1" $binaries || fail "$1 lacks$(missing "$1")"
		fi
		if [ -n "$locked" ]; then rm -rf "$locked"; fi
		locked=
	fi
	echo "$1"
}

# fill_cache WORK DIR: sources 3 to 5.
fill_cache() {
	if ! has "$2" etcd kube-apiserver kubectl && [ "${CONTROLPLANE_DOWNLOAD:-}" != never ]; then
		if ! copy_from_store "$1" && ! download "$1"; then
			chmod -R u+w "$1"
			rm -rf "$1"
			mkdir "$1"
		fi
	fi
	needed=
	for b in $(missing "$2"); do
		[ -x "$1/$b" ] || needed="$needed $b"
	done
	# shellcheck disable=SC2086 # a list of names
	[ -z "$needed" ] || build "$1" $needed
}

# link_assets WORK DIR ASSETS: links to the binaries of ASSETS; the missing ones are built.
link_assets() {
	needed=
	for b in $binaries; do
		if [ -x "$3/$b" ]; then
			ln -s "$3/$b" "$1/$b"
		elif [ ! -x "$2/$b" ]; then
			needed="$needed $b"
		fi
	done
	log "KUBEBUILDER_ASSETS lacks$needed"
	# shellcheck disable=SC2086 # a list of names
	[ -z "$needed" ] || build "$1" $needed
}

command -v go >/dev/null || fail "go is not on the PATH"
stamp=$({
	cat "$here/go.mod" "$here/go.sum"
	(become_go env GOVERSION GOOS GOARCH)
	echo "$build_flags $ld_flags"
} | git hash-object --stdin | cut -c1-16)
cached=$cache/controlplane-$stamp

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	assets=$(cd "$KUBEBUILDER_ASSETS" 2>/dev/null && pwd) || fail "KUBEBUILDER_ASSETS is not a directory: $KUBEBUILDER_ASSETS"
	if [ "$assets" != "$cached" ]; then
		has "$assets" etcd kube-apiserver || fail "KUBEBUILDER_ASSETS lacks etcd or kube-apiserver: unset it, and all programs are built"
		# shellcheck disable=SC2086 # a list of names
		if has "$assets" $binaries; then
			echo "$assets"
			exit 0
		fi
		links=$(printf '%s' "$stamp $assets" | git hash-object --stdin | cut -c1-16)
		complete "$cache/assets-$links" link_assets "$assets"
		exit 0
	fi
fi
complete "$cached" fill_cache ""
