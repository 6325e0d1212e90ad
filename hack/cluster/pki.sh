# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# pki.sh: the certificate authority of one cluster, and the identities in it; sourced by up.sh after settings.sh. Certificates are
# valid for a month, longer than the life of a cluster.
# shellcheck shell=bash disable=SC2154 # from settings.sh

days=30

make_authority() {
	local pki=$dir/pki
	(
		umask 077
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -subj /CN=callback-cluster \
			-config <(printf '%s\n' '[req]' 'distinguished_name=dn' 'x509_extensions=ca' '[dn]' '[ca]' \
				'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign,digitalSignature' 'subjectKeyIdentifier=hash') \
			-keyout "$pki/ca.key" -out "$pki/ca.crt"
		openssl ecparam -name prime256v1 -genkey -noout -out "$pki/service-accounts.key"
	) 2>"$dir/log/openssl.log" || fail "openssl made no authority; see $dir/log/openssl.log"
}

# certificate NAME USER GROUP [SUBJECT-ALT-NAMES]: makes a client certificate; with names it is a server certificate too.
certificate() {
	local name=$1 user=$2 group=$3 names=${4:-} pki=$dir/pki extensions='extendedKeyUsage=clientAuth'
	[ -z "$names" ] || extensions=$(printf 'extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=%s' "$names")
	(
		umask 077
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=$group/CN=$user" \
			-config <(printf '%s\n' '[req]' 'distinguished_name=dn' '[dn]') -keyout "$pki/$name.key" -out "$pki/$name.csr"
		openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -days $days \
			-set_serial "0x$(openssl rand -hex 16)" -extfile <(echo "$extensions") -out "$pki/$name.crt"
		rm "$pki/$name.csr"
	) 2>>"$dir/log/openssl.log" || fail "openssl made no certificate for $user; see $dir/log/openssl.log"
}

# kubeconfig NAME FILE SERVER: writes a self-contained kubeconfig with the certificate of that name.
kubeconfig() {
	local pki=$dir/pki
	(
		umask 077
		cat >"$2" <<-END
			apiVersion: v1
			kind: Config
			current-context: callback-cluster
			contexts: [{name: callback-cluster, context: {cluster: callback-cluster, user: $1}}]
			clusters: [{name: callback-cluster, cluster: {server: "$3", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}]
			users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}}]
		END
	)
}

make_identities() {
	local local_server=https://127.0.0.1:6443 name
	make_authority
	certificate apiserver kube-apiserver callback-cluster \
		"DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:$node_address"
	certificate kubelet "system:node:$node_name" system:nodes "DNS:$node_name,IP:127.0.0.1,IP:$node_address"
	certificate admin admin system:masters
	certificate kubelet-client kube-apiserver-kubelet-client system:masters
	certificate kube-controller-manager system:kube-controller-manager callback-cluster
	certificate kube-scheduler system:kube-scheduler callback-cluster
	certificate kube-proxy system:kube-proxy callback-cluster
	for name in kubelet kube-controller-manager kube-scheduler kube-proxy; do
		kubeconfig $name "$dir/config/$name.kubeconfig" $local_server
	done
	kubeconfig admin "$dir/kubeconfig" "https://$node_address:6443"
}
