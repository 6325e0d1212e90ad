// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// Names collide wherever they can: the same name in two namespaces, names of the
// maximal length, hosts in other spellings, and a shard under the name of another
// one. Each request reaches the backend of its own route, or none, and always the
// same.
func TestF21_NamesCollide(t *testing.T) {
	s := shared(t, "F21")
	const international = "xn--bcher-kva.acme.test"
	s.edit(func(p *callbackv1alpha1.CallbackProxy) {
		p.Spec.Hosts = append(p.Spec.Hosts, callbackv1alpha1.ProxyHost{
			Hostname: international, Namespaces: callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromAll},
		})
	})
	s.after(func() {
		s.edit(func(p *callbackv1alpha1.CallbackProxy) {
			p.Spec.Hosts = slices.DeleteFunc(p.Spec.Hosts, func(h callbackv1alpha1.ProxyHost) bool { return h.Hostname == international })
		})
	})
	long := strings.Repeat("n", 253)
	for _, namespace := range tenants {
		s.declare(claim{namespace: namespace, name: "twin", host: openHost, path: "/twin/" + namespace, service: "idp"})
		s.declare(claim{namespace: namespace, name: long, host: openHost, path: "/long/" + namespace, service: "idp"})
		s.declare(claim{namespace: namespace, name: "idn", host: international, path: "/idn/" + namespace, service: "idp"})
	}
	s.converges(patience)

	sent := 0
	for range times(2, 50) {
		for i := range s.proxies {
			for _, namespace := range tenants {
				for _, path := range []string{"/twin/", "/long/"} {
					sent += s.spellings(i, openHost, path+namespace, namespace)
				}
				sent += s.spellings(i, international, "/idn/"+namespace, namespace)
			}
		}
	}
	refused := s.refusedHosts()
	took := s.collideShard()
	s.record("%d requests in %d spellings of a host: each reached the right backend or none; %d spellings refused in a route; other bytes under a shard's name: replaced after %.1f s",
		sent, len(spellingsOf(openHost)), refused, took.Seconds())
	s.finish()
}

// spellingsOf are spellings of a host in a request, and whether it is the same
// host by RFC 9110 and RFC 3986.
func spellingsOf(host string) map[string]bool {
	first, rest, _ := strings.Cut(host, ".")
	return map[string]bool{
		host: true, strings.ToUpper(host): true, host + ":443": true, host + ":8080": true,
		"evil." + host: false, first + "-" + rest: false, "*." + rest: false, rest: false, host + ".evil.test": false,
		"bücher.acme.test": false, host + "\u200b": false, "user@" + host: false, host + ":443:443": false, host + ":port": false,
		host + ",other.test": false, "[" + host + "]": false, host + "%2e": false,
	}
}

// spellings sends a callback with each spelling of its host to a proxy, and
// returns their number. Only the one backend may respond.
func (s *system) spellings(proxy int, host, path, backend string) (sent int) {
	s.t.Helper()
	for spelling, same := range spellingsOf(host) {
		status, body := s.callRaw(proxy, spelling, path)
		sent++
		if same {
			s.Expect(status).To(Equal(http.StatusOK), "%q", spelling)
			s.Expect(body).To(Equal(backend), "%q", spelling)
		} else {
			s.Expect(status).NotTo(Equal(http.StatusOK), "%q", spelling)
			s.Expect(body).NotTo(BeElementOf("blue", "green", "moody", "tenant-a", "tenant-b"), "%q", spelling)
		}
	}
	// A trailing dot may be served or refused.
	status, body := s.callRaw(proxy, host+".", path)
	s.Expect(status == http.StatusOK && body == backend || status >= 400 && status < 500).To(BeTrue(), "%d %s", status, body)
	return sent + 1
}

// callRaw is call with a Host that no client library sends.
func (s *system) callRaw(proxy int, host, path string) (status int, body string) {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", s.proxies[proxy].Address, patience)
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = conn.Close() }()
	s.Expect(conn.SetDeadline(time.Now().Add(patience))).To(Succeed())
	_, err = fmt.Fprintf(conn, "GET %s?%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, callbacks.Single(), host)
	s.Expect(err).NotTo(HaveOccurred())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	s.Expect(err).NotTo(HaveOccurred(), "%q", host)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred(), "%q", host)
	return response.StatusCode, string(content)
}

// refusedHosts declares hosts in spellings that the schema refuses, and returns
// their number.
func (s *system) refusedHosts() int {
	s.t.Helper()
	hosts := []string{"A.example", "a.example.", "a.example:443", "*.example", "bücher.example", "10.0.0.1", "[::1]", "a..example", "-a.example", "https://a.example", "a_b.example"}
	for _, host := range hosts {
		err := s.Client.Create(s.ctx, claim{namespace: "tenant-a", name: "refused", host: host, path: "/refused", service: "idp"}.object())
		s.Expect(err).To(HaveOccurred(), host)
	}
	return len(hosts)
}

// collideShard stores other bytes under the name of a shard that the next config
// needs, and returns how long it takes until the right ones are stored.
func (s *system) collideShard() time.Duration {
	s.t.Helper()
	m := s.managers[0]
	m.Kill()
	next, err := s.snapshot(fleet)
	s.Expect(err).NotTo(HaveOccurred())
	for i := range next.Routes {
		if r := next.Routes[i].Object; r.Name == "twin" && r.Namespace == "tenant-a" {
			r.Generation++
			r.Spec.InfoURL = "https://wiki.acme.test/changed"
		}
	}
	encoded, err := routetable.Encode(compile.Compile(next, time.Now()).Table, routetable.DefaultShardBytes)
	s.Expect(err).NotTo(HaveOccurred())
	const digits = 20 // of the hash are in a shard's name
	hash := encoded.Shards[0].Hash
	planted := &callbackv1alpha1.CallbackProxyConfig{}
	planted.Namespace, planted.Name = fleet.Namespace, fleet.Name+"."+hash[:digits]
	planted.Labels = map[string]string{callbackv1alpha1.ProxyLabel: fleet.Name}
	planted.Spec = callbackv1alpha1.CallbackProxyConfigSpec{
		Part: callbackv1alpha1.ConfigShard, Hash: hash[:digits] + strings.Repeat("0", len(hash)-digits), Payload: `{"routes":[]}`,
	}
	s.Expect(s.Client.Create(s.ctx, planted)).To(Succeed())
	r := &callbackv1alpha1.CallbackRoute{}
	s.Expect(s.Client.Get(s.ctx, client.ObjectKey{Namespace: "tenant-a", Name: "twin"}, r)).To(Succeed())
	r.Spec.InfoURL = "https://wiki.acme.test/changed"
	s.Expect(s.Client.Update(s.ctx, r)).To(Succeed())
	began := time.Now()
	m.start()
	s.converges(patience)
	took := time.Since(began)
	s.Expect(s.Client.Get(s.ctx, client.ObjectKeyFromObject(planted), planted)).To(Succeed())
	s.Expect(planted.Spec.Hash).To(Equal(hash), "the planted name was the one that the config needed")
	return took
}
