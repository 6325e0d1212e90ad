# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# settings.sh: shared by the scripts of this directory, which source it. config/, manifests/ and pki.sh repeat the addresses.
# shellcheck shell=bash disable=SC2034 # used by the scripts that source it

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

# All state: data, logs, keys. It is /run/node inside the node, so that no path in config/ depends on it.
dir=$(realpath -m "${CLUSTER_DIR:-$root/bin/cluster}")

node_name=callback-node
host_link=callback-host # this machine's end of the cable to the node
host_address=10.245.0.1
node_address=10.245.0.2
pod_range=10.244.0.0/16
service_range=10.96.0.0/16
cgroup=callback-cluster

# Environment variable that marks the first process of a node and holds the node's directory. Unlike a pid file, it ends with the
# process.
mark=CALLBACK_CLUSTER_NODE

log() { echo "cluster: $*" >&2; }

fail() {
	log "$*"
	exit 1
}

# marked: prints the processes with the mark of $dir: the node's first process and its parent, which may not have started it yet.
marked() { { grep -lzsxF -- "$mark=$dir" /proc/[0-9]*/environ || true; } | tr -dc '0-9\n'; }

# init_pid: prints the machine's process id of the first process of the node in $dir; nothing when there is none.
init_pid() { marked | first_of_namespace; }

# any_init_pid: prints the process id of the first process of any cluster.
any_init_pid() { { grep -lzs -- "^$mark=" /proc/[0-9]*/environ || true; } | tr -dc '0-9\n' | first_of_namespace; }

# first_of_namespace: selects, from the process ids on stdin, the one that has number 1 in its own process namespace.
first_of_namespace() {
	local pid
	while read -r pid; do
		if grep -qsE '^NSpid:.*[[:space:]][0-9]+[[:space:]]1$' "/proc/$pid/status"; then
			echo "$pid"
			return
		fi
	done
}

# in_node COMMAND...: runs a command in the node's namespaces, with the node's programs on the PATH. Its processes do not inherit the
# lock of up.sh.
in_node() {
	local init
	init=$(init_pid)
	[ -n "$init" ] || fail "no cluster is up in $dir"
	nsenter --target "$init" --mount --uts --ipc --net --pid --wd=/ -- \
		env PATH="/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@" 8<&-
}

# await SECONDS WHAT COMMAND...: waits until the command succeeds.
await() {
	local seconds=$1 what=$2 end=$((SECONDS + $1))
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			log "$what: not within $seconds s; the last answer:"
			"$@" >&2 || true
			return 1
		fi
		sleep 0.2
	done
}

# kubectl: the cluster's kubectl with the administrator's access, independent of the user's environment.
kubectl() { "$dir/bin/kubectl" --kubeconfig="$dir/kubeconfig" "$@"; }

require_root() {
	[ "$(uname -s)" = Linux ] || fail "a node needs Linux; elsewhere point E2E_KUBECONFIG at a kind cluster"
	[ "$(id -u)" = 0 ] || fail "a node mounts and makes network interfaces: run this as root"
}
