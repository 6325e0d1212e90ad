// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestPlan(t *testing.T) {
	const now = 1_800_000_000
	ours := func(epoch, generation int64, hash string) *head {
		return &head{version: routetable.Version{Epoch: epoch, Generation: generation}, hash: hash, key: "ours"}
	}
	theirs := func(epoch, generation int64, hash string) *head {
		h := ours(epoch, generation, hash)
		h.key = "theirs"
		return h
	}
	knows := func(epoch, generation int64) *lineage {
		return &lineage{version: routetable.Version{Epoch: epoch, Generation: generation}}
	}
	for _, tc := range []struct {
		name   string
		before *lineage
		stored *head
		want   string
	}{
		{"the very first config", nil, nil, "1800000000/1 write"},
		{"a leadership begins, content unchanged", nil, theirs(5, 7, "h"), "1800000000/7 write"},
		{"a leadership begins, content changed", nil, theirs(5, 7, "old"), "1800000000/8 write"},
		{"a leadership begins after one of the future", nil, theirs(now+50, 7, "h"), "1800000051/7 write"},
		{"nothing changed", knows(now, 7), ours(now, 7, "h"), "1800000000/7"},
		{"content changed", knows(now, 7), ours(now, 7, "old"), "1800000000/8 write"},
		{"an answer was lost, the write was not", knows(now, 6), ours(now, 7, "h"), "1800000000/7"},
		{"a newer leadership took over", knows(now, 7), theirs(now+1, 7, "h"), "superseded"},
		{"somebody edited the key", knows(now, 7), theirs(now, 7, "h"), "1800000000/8 write"},
		{"somebody wrote beside us", knows(now, 7), theirs(now, 8, "h"), "superseded"},
		{"an older backup was restored", knows(now, 7), theirs(now-9, 3, "h"), "1800000001/8 write"},
		{"the index was deleted", knows(now, 7), nil, "1800000001/8 write"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			version, write, err := plan(tc.before, tc.stored, head{hash: "h", key: "ours"}, time.Unix(now, 0))
			got := fmt.Sprintf("%d/%d", version.Epoch, version.Generation)
			if write {
				got += " write"
			}
			if err != nil {
				got = "superseded"
			}
			if got != tc.want {
				t.Errorf("plan = %s, want %s", got, tc.want)
			}
		})
	}
}

// One change writes one shard and the index, however many shards there are.
func TestPublish_WritesWhatChanged(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration()
	table := manyRoutes(1000)
	proxy := w.liveProxy()
	_, err := w.reconciler.Publisher.Publish(w.ctx, proxy, table, w.clock.Now())
	w.Expect(err).NotTo(HaveOccurred())
	shards := len(w.shards())
	w.Expect(shards).To(BeNumerically(">", 2))
	w.writes.take()

	_, err = w.reconciler.Publisher.Publish(w.ctx, proxy, table, w.clock.Now())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.writes.take()).To(BeEmpty())

	table.Routes[500].Generation++
	_, err = w.reconciler.Publisher.Publish(w.ctx, proxy, table, w.clock.Now())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.writes.take()).To(Equal([]string{
		"create *v1alpha1.CallbackProxyConfig", "update *v1alpha1.CallbackProxyConfig",
	}), "first the shard, then the index that names it")
	w.Expect(w.shards()).To(HaveLen(shards + 1))

	published, err := w.reconciler.Publisher.Publish(w.ctx, proxy, table, w.clock.Now().Add(time.Second))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(published.Next).To(BeTemporally("==", w.clock.Now().Add(shardLinger)), "whoever reads the index before finds its shards")
	published, err = w.reconciler.Publisher.Publish(w.ctx, proxy, table, published.Next)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(published.Next).To(BeZero())
	w.Expect(w.writes.take()).To(Equal([]string{"delete *v1alpha1.CallbackProxyConfig"}), "then away with the predecessor")
	w.Expect(w.shards()).To(HaveLen(shards))
}

func TestPublish_RepairsWhatSomebodyBroke(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	before := w.index()

	for name, breakIt := range map[string]func(){
		"a shard is deleted": func() { w.Expect(w.client.Delete(w.ctx, &w.shards()[0])).To(Succeed()) },
		"a shard is replaced": func() {
			shard := w.shards()[0]
			w.Expect(w.client.Delete(w.ctx, &shard)).To(Succeed())
			shard.ResourceVersion, shard.UID = "", ""
			shard.Spec.Payload = strings.Replace(shard.Spec.Payload, "/acme", "/evil", 1)
			w.create(&shard)
		},
		"the index is edited": func() {
			index := w.index()
			index.Spec.Payload = strings.Replace(index.Spec.Payload, "8080", "8081", 1)
			w.Expect(w.client.Update(w.ctx, index)).To(Succeed())
		},
		"the index's key is edited": func() {
			index := w.index()
			index.Spec.ReportKey = strings.Repeat("A", 43) + "="
			w.Expect(w.client.Update(w.ctx, index)).To(Succeed())
		},
		"the index loses its label": func() {
			index := w.index()
			index.Labels = nil
			w.Expect(w.client.Update(w.ctx, index)).To(Succeed())
		},
		"a shard loses its label": func() {
			shard := w.shards()[0]
			shard.Labels = nil
			w.Expect(w.client.Update(w.ctx, &shard)).To(Succeed())
		},
		"the index is deleted": func() { w.Expect(w.client.Delete(w.ctx, w.index())).To(Succeed()) },
		"the index is set back": func() {
			index := w.index()
			index.Spec.Epoch--
			w.Expect(w.client.Update(w.ctx, index)).To(Succeed())
		},
		"a stray shard appears": func() {
			stray := w.shards()[0].DeepCopy()
			stray.ResourceVersion, stray.UID, stray.Name = "", "", "edge.stray"
			stray.Spec.Payload = "{}"
			stray.Spec.Hash = routetable.HashOf("{}")
			w.create(stray)
		},
	} {
		breakIt()
		w.settle()
		w.Expect(w.table().Routes).To(HaveLen(1), name)
		w.Expect(w.shards()).To(HaveLen(1), name)
		after := w.index()
		w.Expect(after.Spec.ReportKey).To(Equal(w.reconciler.Publisher.reportKey), name)
		w.Expect(after.Labels).To(Equal(before.Labels), name)
		w.Expect(versionOf(after).Compare(versionOf(before))).To(BeNumerically(">=", 0), "%s: no config goes back", name)
		before = after
	}
}

// What this leadership wrote brings no pass, and whatever somebody else did to
// it does.
func TestPublish_KnowsItsOwnConfig(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	isNews := w.reconciler.unexpected()
	created := func(part *callbackv1alpha1.CallbackProxyConfig) bool {
		return isNews.Create(event.CreateEvent{Object: part})
	}
	deleted := func(part *callbackv1alpha1.CallbackProxyConfig) bool {
		return isNews.Delete(event.DeleteEvent{Object: part})
	}
	index, shard := w.index(), w.shards()[0]
	w.Expect(created(index)).To(BeFalse())
	w.Expect(created(&shard)).To(BeFalse())
	w.Expect(deleted(index)).To(BeTrue())
	w.Expect(deleted(&shard)).To(BeTrue())

	stale := shard.DeepCopy()
	stale.Spec.Hash = routetable.HashOf("of the config before")
	w.Expect(created(stale)).To(BeTrue())
	w.Expect(deleted(stale)).To(BeFalse())
	for name, change := range map[string]func(*callbackv1alpha1.CallbackProxyConfigSpec){
		"version": func(s *callbackv1alpha1.CallbackProxyConfigSpec) { s.Generation++ },
		"key":     func(s *callbackv1alpha1.CallbackProxyConfigSpec) { s.ReportKey = "theirs" },
		"hash":    func(s *callbackv1alpha1.CallbackProxyConfigSpec) { s.Hash = stale.Spec.Hash },
		"payload": func(s *callbackv1alpha1.CallbackProxyConfigSpec) { s.Payload += " " },
	} {
		edited := index.DeepCopy()
		change(&edited.Spec)
		w.Expect(isNews.Update(event.UpdateEvent{ObjectOld: index, ObjectNew: edited})).To(BeTrue(), name)
	}
	broken := shard.DeepCopy()
	broken.Spec.Payload += " "
	w.Expect(created(broken)).To(BeTrue())
}

// Two controllers that both think they lead: the older one stands back and
// never undoes what the newer one published.
func TestT20_Publish_AnOldLeaderStandsBack(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	old := w.reconciler
	w.newLeader()
	w.settle()
	newest := w.index()

	w.create(w.newRoute("second"))
	old.Observer.Forget(w.proxyKey())
	_, err := old.Publisher.Publish(w.ctx, w.liveProxy(), manyRoutes(3), w.clock.Now())
	w.Expect(err).To(MatchError(errSuperseded))
	w.Expect(w.index().Spec).To(Equal(newest.Spec))
}

// A write between reading and committing makes the commit fail: nothing is
// overwritten that was not seen.
func TestPublish_ACommitNeedsWhatItRead(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	seen := w.index()
	touched := seen.DeepCopy()
	touched.Labels["touched"] = "yes"
	w.Expect(w.client.Update(w.ctx, touched)).To(Succeed())
	err := w.reconciler.Publisher.commit(w.ctx, w.liveProxy(), seen, versionOf(seen), routetable.Payload{Hash: seen.Spec.Hash, Data: seen.Spec.Payload})
	w.Expect(err).To(MatchError(ContainSubstring("the object has been modified")))
}

func versionOf(index *callbackv1alpha1.CallbackProxyConfig) routetable.Version {
	return routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
}

func (w *world) shards() []callbackv1alpha1.CallbackProxyConfig {
	w.t.Helper()
	var parts callbackv1alpha1.CallbackProxyConfigList
	w.Expect(w.client.List(w.ctx, &parts, client.InNamespace(w.platform))).To(Succeed())
	var shards []callbackv1alpha1.CallbackProxyConfig
	for _, part := range parts.Items {
		if part.Spec.Part == callbackv1alpha1.ConfigShard {
			shards = append(shards, part)
		}
	}
	return shards
}

func (w *world) liveProxy() *callbackv1alpha1.CallbackProxy {
	w.t.Helper()
	proxy := &kube.Proxy{}
	w.Expect(w.client.Get(w.ctx, w.proxyKey(), proxy)).To(Succeed())
	return &proxy.CallbackProxy
}

func manyRoutes(n int) *routetable.Table {
	table := &routetable.Table{Settings: routetable.Settings{ListenerPort: 8080}}
	for i := range n {
		name := fmt.Sprintf("route-%05d", i)
		table.Routes = append(table.Routes, routetable.Route{
			Namespace: "identity", Name: name, UID: name, Generation: 1,
			Hostnames: []string{"auth.acme.test"}, Protocol: routetable.OIDC,
			Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/" + name}}, TimeoutSeconds: 30,
			Backends:    []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{"10.0.0.1:8080"}}},
			Sunset:      time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
			AfterSunset: routetable.Reject,
		})
	}
	return table
}
