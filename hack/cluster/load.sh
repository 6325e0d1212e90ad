#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# load.sh: builds the manager and the proxy as the Makefile does (VERSION=... names the version) and loads them into the node as
#   localhost/callback-manager:dev and localhost/callback-proxy:dev.
# load.sh NAME=BINARY...: loads these static programs instead, as localhost/NAME:dev; a NAME with a slash and a tag is used
#   unchanged.
# Pods use the images with imagePullPolicy Never or IfNotPresent. Loading a tag again replaces its image.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/settings.sh"
require_root
[ -n "$(init_pid)" ] || fail "no cluster is up in $dir; make cluster starts one"

if [ $# -eq 0 ]; then
	"${MAKE:-make}" -C "$root" --no-print-directory build >&2
	set -- callback-manager="$root/bin/manager" callback-proxy="$root/bin/proxy"
fi

version=$(git -C "$root" describe --tags --always --dirty 2>/dev/null || echo dev)
for image in "$@"; do
	name=${image%%=*}
	binary=${image#*=}
	if [ "$name" = "$image" ] || [ ! -x "$binary" ]; then fail "$image: want NAME=BINARY, and a program there"; fi
	case $name in
	*/*:*) ;;
	*) name=localhost/$name:dev ;;
	esac
	archive=$(mktemp "$dir/images/XXXXXX.tar")
	"$dir/bin/image" --output "$archive" --name "$name" --label org.opencontainers.image.version="${VERSION:-$version}" "$binary"
	if ! answer=$(in_node ctr --namespace k8s.io images import --local "/run/node/images/$(basename "$archive")" 2>&1); then
		fail "containerd cannot import $name: $answer"
	fi
	rm "$archive"
	log "loaded $name"
done
