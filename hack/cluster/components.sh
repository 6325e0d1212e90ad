# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# components.sh: the components of the node outside of pods, their start and their readiness; sourced after settings.sh. Paths are
# those inside the node.
# shellcheck shell=bash disable=SC2154 # from settings.sh

# The order in which they start.
components="etcd apiserver controller-manager scheduler containerd kubelet kube-proxy"

# launch NAME COMMAND...: runs inside of the node, as a separate shell that ends at once. The component joins the node's cgroup (that
# of the caller may end with the caller) and becomes a child of the node's first process.
launch() {
	local name=$1 group
	shift
	for group in /sys/fs/cgroup/callback-cluster/components /sys/fs/cgroup/*/callback-cluster/components; do
		[ ! -d "$group" ] || echo $$ >"$group/cgroup.procs"
	done
	cd /run/node || exit
	setsid "$@" </dev/null >>"log/$name.log" 2>&1 &
	echo $! >"pid/$name"
}

run_component() { in_node bash -c "$(declare -f launch); launch \"\$@\"" launch "$@"; }

start_component() {
	local pki=/run/node/pki config=/run/node/config
	case $1 in
	etcd)
		# Without syncing: what is kept survives the process, not the machine.
		run_component etcd etcd --data-dir=/run/node/data/etcd --unsafe-no-fsync --log-level=warn \
			--listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 --listen-peer-urls=http://127.0.0.1:2380
		;;
	apiserver)
		# The grace period: without it a shutdown waits a minute for clients to end their watches.
		run_component apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
			--secure-port=6443 --bind-address=0.0.0.0 --advertise-address="$node_address" \
			--tls-cert-file=$pki/apiserver.crt --tls-private-key-file=$pki/apiserver.key --client-ca-file=$pki/ca.crt \
			--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged \
			--service-cluster-ip-range="$service_range" --service-account-issuer=https://kubernetes.default.svc.cluster.local \
			--service-account-key-file=$pki/service-accounts.key --service-account-signing-key-file=$pki/service-accounts.key \
			--kubelet-client-certificate=$pki/kubelet-client.crt --kubelet-client-key=$pki/kubelet-client.key \
			--kubelet-certificate-authority=$pki/ca.crt --kubelet-preferred-address-types=InternalIP \
			--shutdown-watch-termination-grace-period=2s
		;;
	controller-manager)
		# There is only one, and without a lease it survives a minute without the API server.
		run_component controller-manager kube-controller-manager --kubeconfig=$config/kube-controller-manager.kubeconfig \
			--bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials --root-ca-file=$pki/ca.crt \
			--service-account-private-key-file=$pki/service-accounts.key --cluster-cidr="$pod_range" \
			--cluster-signing-cert-file=$pki/ca.crt --cluster-signing-key-file=$pki/ca.key
		;;
	scheduler)
		run_component scheduler kube-scheduler --kubeconfig=$config/kube-scheduler.kubeconfig --bind-address=127.0.0.1 --leader-elect=false
		;;
	containerd) run_component containerd containerd --config=$config/containerd.toml ;;
	kubelet)
		run_component kubelet kubelet --config=$config/kubelet.yaml --kubeconfig=$config/kubelet.kubeconfig \
			--hostname-override="$node_name" --node-ip="$node_address"
		;;
	kube-proxy) run_component kube-proxy kube-proxy --config=$config/kube-proxy.yaml ;;
	*) fail "no component is called $1; they are: $components" ;;
	esac
}

# ready NAME: whether it responds.
ready() {
	case $1 in
	etcd) in_node bash -c 'exec 3<>/dev/tcp/127.0.0.1/2379' ;;
	apiserver) kubectl get --raw /readyz ;;
	controller-manager) in_node bash -c 'exec 3<>/dev/tcp/127.0.0.1/10257' ;;
	scheduler) in_node bash -c 'exec 3<>/dev/tcp/127.0.0.1/10259' ;;
	containerd) in_node ctr version ;;
	kubelet) kubectl wait --for=condition=Ready "node/$node_name" --timeout=1s ;;
	kube-proxy) in_node bash -c 'exec 3<>/dev/tcp/127.0.0.1/10256' ;;
	esac
}

# alive NAME: whether its process exists. The pid file holds a process id of the node's namespace.
alive() {
	# shellcheck disable=SC2016 # for the shell in the node
	in_node bash -c 'read -r pid 2>/dev/null </run/node/pid/$1 && kill -0 "$pid" && ! grep -q "^State:.Z" /proc/$pid/status' alive "$1" 2>/dev/null
}

# await_component NAME: waits until it responds; fails when its process has ended.
await_component() {
	local end=$((SECONDS + 120))
	until ready "$1" >/dev/null 2>&1; do
		if ! alive "$1"; then
			tail -n 15 "$dir/log/$1.log" >&2
			fail "$1 ended; its last lines are above, all of them in $dir/log/$1.log"
		fi
		if [ $SECONDS -ge $end ]; then
			tail -n 15 "$dir/log/$1.log" >&2
			fail "$1 is not ready after 120 s; its last lines are above, all of them in $dir/log/$1.log"
		fi
		sleep 0.2
	done
}
