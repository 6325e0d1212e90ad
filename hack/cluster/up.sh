#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# up.sh: starts a Kubernetes cluster of one node and returns when the node is Ready and DNS answers. See README.md.
#
# The node is a set of namespaces (processes, mounts, network, names), like a container. Its ports, interfaces, firewall rules and
# mounts are separate from those of the machine, and down.sh removes all of them by ending one process.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/settings.sh"
. "$here/pki.sh"
. "$here/components.sh"

main() {
	require_root
	# One at a time. The lock is the folder of this file, so that none is left behind.
	exec 8<"$here"
	flock --nonblock 8 || {
		log "another up.sh is at work; waiting for it"
		flock 8
	}
	if [ -n "$(init_pid)" ]; then
		if is_ready; then
			log "it is up already"
			announce
			return
		fi
		log "half of a cluster is up in $dir; starting again"
	fi
	"$here/down.sh" --quiet
	"$here/packages.sh"
	check_machine
	claim_directory
	local bin
	bin=$("$here/build.sh" | tail -n 1)
	prepare "$bin"
	log "starting a node in $dir"
	start_node "$bin"
	start_components
	start_dns
	announce
}

is_ready() {
	local component
	[ -e "$dir/ready" ] || return 1
	for component in $components; do alive "$component" || return 1; done
	ready apiserver >/dev/null 2>&1 && ready kubelet >/dev/null 2>&1
}

# claim_directory: creates the directory and marks it as one that down.sh may remove.
claim_directory() {
	case $dir/ in
	/run/* | /var/run/* | /var/lib/* | /var/log/*) fail "CLUSTER_DIR may not be in $dir: the node has its own folder there" ;;
	esac
	if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then fail "$dir is not empty and no cluster's; name another CLUSTER_DIR"; fi
	mkdir -p "$dir"
	chmod 700 "$dir"
	touch "$dir/.callback-cluster"
}

# check_machine: checks requirements that would otherwise cause obscure failures later.
check_machine() {
	local range
	[ -z "$(any_init_pid)" ] || fail "another cluster is up on this machine; one is all that its addresses are for"
	if ip link show "$host_link" >/dev/null 2>&1; then fail "there is an interface $host_link already"; fi
	for range in $pod_range $service_range $node_address/32; do
		if ip route show match "$range" | grep -qv ^default || [ -n "$(ip route show root "$range")" ]; then
			fail "this machine has a route to $range already, which the cluster would use"
		fi
	done
	unshare --mount --net --pid --fork true 2>/dev/null || fail "this machine (or the container that this is) allows no new namespaces"
	# Pods on one node talk over a bridge, and a Service between them needs the firewall to see that.
	[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || modprobe br_netfilter 2>/dev/null ||
		fail "the kernel has no br_netfilter"
	grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || fail "the kernel has no overlay file system"
}

# prepare BIN: writes all files that the node reads.
prepare() {
	mkdir -p "$dir"/{pki,config,log,pid,images,data/{etcd,containerd,kubelet}}
	cp -R "$here/config/." "$dir/config/"
	ln -s "$1" "$dir/bin"
	make_identities
	make_cgroups
}

make_cgroups() {
	local hierarchy file
	for hierarchy in $(awk '$3 ~ /^cgroup2?$/ && $2 ~ /^\/sys\/fs\/cgroup/ { print $2 }' /proc/mounts); do
		mkdir -p "$hierarchy/$cgroup/components"
		for file in cpuset.cpus cpuset.mems; do
			# In the old hierarchies a new cpuset has no processors until it is given some.
			if [ -e "$hierarchy/$file" ]; then
				cat "$hierarchy/$file" >"$hierarchy/$cgroup/$file"
				cat "$hierarchy/$file" >"$hierarchy/$cgroup/components/$file"
			fi
		done
		# In the new one a group has the controllers that the group above it hands on.
		if [ -e "$hierarchy/cgroup.subtree_control" ]; then
			for file in $(cat "$hierarchy/cgroup.controllers"); do
				echo "+$file" >"$hierarchy/cgroup.subtree_control" 2>/dev/null || log "no cgroup controller $file"
			done
		fi
	done
}

# start_node BIN: creates the namespaces, held by a process that only waits, and the virtual cable to them.
start_node() {
	env "$mark=$dir" setsid unshare --pid --fork --mount --mount-proc --uts --ipc --net -- \
		"$dir/bin/pause" </dev/null >/dev/null 2>&1 8<&- &
	disown
	await 10 "the node's first process" first_process
	in_node bash -c "$(declare -f furnish); furnish \"\$@\"" furnish "$dir" "$1" "$node_name"
	ip link add "$host_link" type veth peer name eth0 netns "$(init_pid)"
	ip address add "$host_address/30" dev "$host_link"
	ip link set "$host_link" up
	in_node bash -c "$(declare -f connect); connect \"\$@\"" connect "$node_address" "$host_address"
	ip route add "$pod_range" via "$node_address"
	ip route add "$service_range" via "$node_address"
}

first_process() { [ -n "$(init_pid)" ]; }

# furnish DIR BIN NAME: runs inside of the new node; gives it its own /run, /var/lib and /var/log.
furnish() {
	set -euo pipefail
	local folder setting target
	echo "$3" >/proc/sys/kernel/hostname
	mount --make-rshared /
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir /run/node /run/bin /run/sysctl /run/lock
	mount --bind "$1" /run/node
	mount --bind "$2" /run/bin
	for folder in /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $folder; done
	for folder in containerd kubelet; do
		mkdir /var/lib/$folder
		mount --bind /run/node/data/$folder /var/lib/$folder
	done
	# The kubelet sets these for the whole machine unless it finds them as it wants them. It finds files of ours.
	for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
		kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
		target=/run/sysctl/$(echo "${setting%=*}" | tr / .)
		echo "${setting#*=}" >"$target"
		mount --bind "$target" "/proc/sys/${setting%=*}"
	done
	target=$(readlink -m /etc/resolv.conf)
	mkdir -p "$(dirname "$target")"
	[ -e "$target" ] || : >"$target"
	mount --bind /run/node/config/resolv.conf "$target"
}

# connect NODE HOST: runs inside of the new node.
connect() {
	set -euo pipefail
	ip link set lo up
	ip address add "$1/30" dev eth0
	ip link set eth0 up
	ip route add default via "$2"
	echo 1 >/proc/sys/net/ipv4/ip_forward
	echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

start_components() {
	local component
	for component in $components; do
		start_component "$component"
		case $component in
		# The kubelet needs the image of every pod's first container, and starts kube-proxy's rules no sooner.
		containerd)
			await_component containerd
			"$here/load.sh" pause="$dir/bin/pause" coredns="$dir/bin/coredns"
			;;
		etcd | apiserver) await_component "$component" ;;
		esac
	done
	for component in $components; do await_component "$component"; done
}

start_dns() {
	kubectl apply -f "$here/manifests/dns.yaml" >/dev/null
	await 90 "the cluster's DNS" in_node getent ahostsv4 kubernetes.default.svc.cluster.local ||
		fail "see kubectl -n kube-system describe pods, and $dir/log"
	touch "$dir/ready"
}

announce() {
	local bin
	bin=$(readlink "$dir/bin")
	cat <<-END
		export KUBECONFIG=$dir/kubeconfig PATH=$bin:\$PATH
	END
	log "node $node_name is Ready: Kubernetes $(kubectl version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -n 1)," \
		"API at https://$node_address:6443"
	log "next: the line above for your shell, then hack/cluster/load.sh brings our images in; logs are in $dir/log; make cluster-down ends it"
}

main
