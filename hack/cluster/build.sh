#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints a directory with all programs of the node and of its tests, as the last line of stdout; progress goes to stderr. The
# programs are static and built from the modules pinned beside this file and in hack/controlplane. The cache is
# ${XDG_CACHE_HOME:-$HOME/.cache}/callback-operator: each group is keyed by its module, its source, the Go version and the flags, so
# that a new version of one group does not rebuild the others.
#
# Needs Go and git. Any number may run at once: one builds, the others wait; a directory appears under its final name only whole.
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/callback-operator

# As hack/controlplane/build.sh has them, which also says why: other flags would compile Kubernetes a second time.
flags="-mod=readonly -buildvcs=false"
case " ${GOFLAGS:-} " in
*" -modcacherw "*) flags="$flags -modcacherw" ;;
esac
export CGO_ENABLED=0 GOWORK=off GOFLAGS=$flags

fail() {
	echo "cluster: $*" >&2
	exit 1
}

# version MODULE DIR: the version that the module in DIR pins.
version() { awk -v module="$1" '$1 == module { print $2; exit }' "$here/$2/go.mod"; }

has_all() {
	local target=$1 program
	shift
	for program in "$@"; do [ -x "$target/$program" ] || return 1; done
}

# group DIR PROGRAMS PACKAGES FLAGS...: builds the packages, whose programs have those names, in the module of DIR.
# Prints the directory that they are in.
group() {
	local module=$1 programs=$2 packages=$3 stamp target
	shift 3
	stamp=$({
		cd "$here/$module"
		cat ./go.mod ./go.sum ./*.go 2>/dev/null || true
		go env GOVERSION GOOS GOARCH
		echo "$packages $*"
	} | git hash-object --stdin | cut -c1-16)
	target=$cache/cluster-$module-$stamp
	# shellcheck disable=SC2086 # lists
	if ! has_all "$target" $programs; then make_group "$target" "$module" "$programs" "$packages" "$@"; fi
	echo "$target"
}

# make_group TARGET DIR PROGRAMS PACKAGES FLAGS...: one process builds, others wait for it. The kernel drops the lock of a dead one.
make_group() {
	local target=$1 module=$2 programs=$3 packages=$4 work
	shift 4
	mkdir -p "$cache"
	exec 9>"$cache/cluster-$module.lock"
	flock 9
	# shellcheck disable=SC2086 # lists
	if has_all "$target" $programs; then return; fi
	work=$target.part
	rm -rf "$work" "$target"
	mkdir "$work"
	# shellcheck disable=SC2086 # lists
	(cd "$here/$module" && "$root/hack/heartbeat.sh" "build $programs (minutes when cold)" \
		go build -trimpath -gcflags=all=-dwarf=false "$@" -o "$work/" $packages 9>&-) >&2 || fail "could not build $programs"
	# shellcheck disable=SC2086 # lists
	has_all "$work" $programs || fail "the build made no $programs"
	mv "$work" "$target"
	exec 9>&-
}

build_all() {
	local kubernetes version=k8s.io/component-base/version containerd=github.com/containerd/containerd/v2
	kubernetes=$(version k8s.io/kubernetes kubernetes)
	[ "$kubernetes" = "$(version k8s.io/kubernetes ../controlplane)" ] ||
		fail "hack/cluster/kubernetes and hack/controlplane pin different versions of Kubernetes"
	# Not from KUBEBUILDER_ASSETS: a kubelet may not be newer than its API server.
	env -u KUBEBUILDER_ASSETS "$root/hack/controlplane/build.sh" --with-controller-manager | tail -n 1
	group kubernetes "kube-scheduler kubelet kube-proxy" \
		"k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes/cmd/kube-proxy" \
		-ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$(echo "$kubernetes" | cut -d. -f2)"
	group containerd "containerd containerd-shim-runc-v2 ctr" \
		"$containerd/cmd/containerd $containerd/cmd/containerd-shim-runc-v2 $containerd/cmd/ctr" \
		-tags "no_btrfs no_devmapper no_zfs" \
		-ldflags "-s -w -X $containerd/version.Version=$(version $containerd containerd)"
	group coredns coredns . -ldflags "-s -w"
	group helm helm helm.sh/helm/v4/cmd/helm \
		-ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$(version helm.sh/helm/v4 helm)"
	group image image . -ldflags "-s -w"
	group pause pause . -ldflags "-s -w"
	group specimen specimen . -ldflags "-s -w"
}

command -v go >/dev/null || fail "go is not on the PATH"
command -v flock >/dev/null || fail "flock is not on the PATH (util-linux)"
places=$(build_all)

# One directory of links to all of them.
all=$cache/cluster-$(echo "$places" | git hash-object --stdin | cut -c1-16)
if [ ! -d "$all" ]; then
	work=$(mktemp -d "$cache/cluster-links.XXXXXX")
	for place in $places; do
		for program in "$place"/*; do
			if [ -f "$program" ]; then ln -sf "$program" "$work/"; fi
		done
	done
	# A concurrent run may have been faster; its result is the same.
	mv -T "$work" "$all" 2>/dev/null || rm -rf "$work"
fi
echo "$all"
