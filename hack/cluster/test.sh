#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# test.sh: starts a cluster in a separate directory, uses the features of its kubelet, stops it, and compares the machine before and
# after: mounts, namespaces, interfaces, routes, firewall rules, cgroups, system settings, processes and directories. Repeats this
# with an up.sh that is killed halfway. No other cluster may run, and no other program may create namespaces or interfaces meanwhile.
# Takes a minute when everything is built.
set -euo pipefail
shopt -s inherit_errexit
work=$(mktemp -d "${TMPDIR:-/tmp}/cluster-test.XXXXXX")
CLUSTER_DIR=$work/place/state
export CLUSTER_DIR
. "$(dirname "$0")/settings.sh"
require_root
"$here/packages.sh"
bin=$("$here/build.sh" | tail -n 1)
[ -z "$(any_init_pid)" ] || fail "a cluster is up; this test needs the machine's addresses (make cluster-down)"

mkdir "$work/place"
trap '"$here/down.sh" --quiet; rm -rf "$work"' EXIT

# rules: prints firewall rules and chains, without the built-in chains of tables that were only read.
rules() { { "$1" 2>/dev/null || true; } | grep -E '^(-|:[^ ]+ -)' || true; }

# settings: prints /proc/sys, without counters, random values and secrets.
settings() {
	{ find /proc/sys -type f -perm -0400 -exec grep -Hs '' {} + 2>/dev/null || true; } | tr -d '\0' |
		grep -vE '^/proc/sys/(kernel/(random/|perf_event_max_sample_rate|ns_last_pid|pty/nr)|fs/(quota/[^:]*|dentry-state|inode-|file-nr|aio-nr)|[^:]*(_count|secret):)'
}

# machine: prints the state of the machine, one item on each line. Processes are those with the mark, and programs of a node.
machine() {
	{
		sed 's/^/mount /' /proc/mounts
		lsns --noheadings --output TYPE,NS,COMMAND | grep -E '^(net|mnt|pid|uts|ipc) ' | awk '{ print "namespace", $1, $2 }'
		ip -o link | sed 's/^[0-9]*: /link /; s/@.*//; s/ qdisc.*//; s/<.*>//'
		ip -o address | sed 's/^[0-9]*: /address /; s/ valid_lft.*//'
		ip route show table all | sed 's/^/route /; s/expires.*//'
		for table in iptables-save ip6tables-save iptables-legacy-save ip6tables-legacy-save; do
			rules $table | sed "s/^/$table /; s/\[[0-9:]*\]//"
		done
		{ find /sys/fs/cgroup -type d -path "*$cgroup*" 2>/dev/null || true; } | sed 's/^/cgroup /'
		settings | sed 's/^/setting /'
		{ grep -lzs -- "^$mark=" /proc/[0-9]*/environ || true; } | sed 's/^/process /'
		{ ps -e -o comm= | grep -E '^(containerd|kubelet|kube-proxy|kube-scheduler|coredns|pause|specimen|runc)' || true; } | sed 's/^/process /'
		{ find "$work/place" /run /var/lib/cni /var/lib/kubelet /var/lib/containerd /var/log/pods /var/log/containers /etc/cni /opt/cni \
			2>/dev/null || true; } | sed 's/^/path /'
	} | sort
}

# unchanged WHAT: fails when the machine differs from its state before.
unchanged() {
	machine >"$work/after"
	if ! diff "$work/before" "$work/after" >&2; then
		fail "left behind after $1 (above: < before, > after)"
	fi
	log "nothing is left after $1"
}

check() {
	local what=$1
	shift
	"$@" >/dev/null || fail "not so: $what"
	log "ok: $what"
}

logs() { kubectl -n specimen logs client -c "$1" | grep -q "$2"; }
reach() { timeout 5 bash -c "exec 3<>/dev/tcp/$1/$2"; }

# use: checks the features of the kubelet that the tests need.
use() {
	"$here/load.sh" specimen="$bin/specimen"
	kubectl apply -f "$here/testdata/pods.yaml" >/dev/null
	check "a Deployment becomes available under the restricted standard" kubectl -n specimen rollout status deployment/server --timeout=60s
	check "a pod with a native sidecar succeeds" kubectl -n specimen wait --for=jsonpath='{.status.phase}'=Succeeded pod/client --timeout=90s
	check "the sidecar was there before the container" logs sidecar-client 'from the sidecar'
	check "a Service is found by its name and answers" logs service-client 'from the Service'
	check "the API server is found by its name and trusted" logs api-client gitVersion
	check "a command runs in a container" kubectl -n specimen exec deploy/server -- /specimen get http://server.specimen.svc/ 10
	check "a Service answers on this machine" reach "$(kubectl -n specimen get service server -o jsonpath='{.spec.clusterIP}')" 80
	check "a node port answers on this machine" reach "$node_address" 30080
	check "privileged pods are refused there" refused
	check "policies that mutate are served" kubectl get mutatingadmissionpolicies.v1.admissionregistration.k8s.io
	local began=$SECONDS
	kubectl -n specimen delete pod --selector=app=server --wait >/dev/null
	check "pods sleep before they stop" test $((SECONDS - began)) -ge 3
	"$here/component.sh" stop apiserver
	check "without the API server there is no answer from it" unanswered
	check "without the API server a Service goes on" reach "$node_address" 30080
	"$here/component.sh" start apiserver
	check "the API server is back with its objects" kubectl -n specimen get pod client
	check "a second up changes nothing" "$here/up.sh"
}

refused() {
	! kubectl -n specimen run privileged --image=localhost/specimen:dev --privileged 2>/dev/null
}
unanswered() { ! kubectl get --raw /readyz 2>/dev/null; }

# killed_when CONDITION: kills up.sh, without a chance to clean up, when the condition is true.
killed_when() {
	local up
	setsid "$here/up.sh" >"$work/up.log" 2>&1 &
	up=$!
	await 60 "$1" eval "$1" || fail "up.sh: $(tail -n 3 "$work/up.log")"
	kill -KILL -- "-$up"
	wait "$up" || true
	[ ! -e "$dir/ready" ] || fail "up.sh was done before it was killed"
	"$here/down.sh"
	unchanged "an up.sh killed when $1"
}

machine >"$work/before"
"$here/up.sh"
use
"$here/down.sh"
unchanged "down"
"$here/down.sh"
unchanged "a second down"

# Killed when the node is empty, while components start, and with a pod on it.
killed_when 'test -n "$(init_pid)"'
killed_when 'test -e "$dir/pid/apiserver"'
killed_when 'in_node ctr --namespace k8s.io tasks list --quiet | grep -q .'
log "passed"
