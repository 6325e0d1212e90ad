#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# down.sh [--quiet]: stops the cluster in CLUSTER_DIR and removes all of its state, also after an incomplete up.sh. Repeating it is
# safe.
#
# The kernel does most of the work: when the first process of a process namespace ends, all others in it end too, containers and
# their shims included; with the last process its mounts, interfaces, bridges and firewall rules disappear.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/settings.sh"
require_root

verbose=
[ "${1:-}" = --quiet ] || verbose=yes

# Polls, because a process that is about to start the first process of the node has the mark as well.
ended() {
	local pids
	pids=$(marked)
	# shellcheck disable=SC2086 # a list of numbers
	[ -z "$pids" ] || { kill -KILL $pids 2>/dev/null && false; }
}
unlinked() { ! ip link show "$host_link"; }

no_cgroups() {
	local group left=
	for group in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
		[ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
		[ ! -d "$group" ] || left=yes
	done
	[ -z "$left" ]
}

# empty NAMESPACE...: whether none of them contains a process. A process loses its mark before it ends, and the first process of the
# node waits for all others in between.
empty() {
	local namespace in_use
	in_use=$(readlink /proc/[0-9]*/ns/* 2>/dev/null | sort -u)
	for namespace in "$@"; do
		if grep -qxF "$namespace" <<<"$in_use"; then return 1; fi
	done
}

if [ -n "$(marked)" ]; then
	init=$(init_pid)
	namespaces=
	[ -z "$init" ] || namespaces=$(readlink /proc/"$init"/ns/{pid,mnt,net})
	await 30 "the end of the node's processes" ended
	# shellcheck disable=SC2086 # a list of names
	await 30 "the end of the node's namespaces" empty $namespaces
fi

# The cable and the cgroup of another cluster have the same names.
if [ -z "$(any_init_pid)" ]; then
	if command -v ip >/dev/null && ip link show "$host_link" >/dev/null 2>&1; then
		# The kernel takes the other end away a moment after the namespace.
		await 5 "the end of $host_link" unlinked 2>/dev/null || ip link delete "$host_link"
	fi
	await 30 "the end of the cgroups" no_cgroups
fi

if [ -e "$dir/.callback-cluster" ]; then
	rm -rf "$dir"
	[ -z "$verbose" ] || log "the cluster in $dir is gone"
elif [ -n "$verbose" ]; then
	log "no cluster in $dir"
fi
