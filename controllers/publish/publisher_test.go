// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// controlPlane is shared by the tests; each has a namespace of its own.
var controlPlane *fixture.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(fixture.RunSuite(m, fixture.Options{Log: os.Stderr}, func(_ context.Context, cp *fixture.ControlPlane) error {
		controlPlane = cp
		return nil
	}))
}

// rig is one test's namespace, CallbackProxy and Publisher.
type rig struct {
	*WithT
	t         *testing.T
	client    client.Client
	writes    []string
	proxy     *callbackv1alpha1.CallbackProxy
	publisher *Publisher
	now       time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{WithT: NewWithT(t), t: t, now: time.Now()}
	plain, err := client.NewWithWatch(controlPlane.Config, client.Options{Scheme: kube.NewScheme()})
	r.Expect(err).NotTo(HaveOccurred())
	r.client = interceptor.NewClient(plain, interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			r.note("create", object)
			return inner.Create(ctx, object, opts...)
		},
		Update: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
			r.note("update", object)
			return inner.Update(ctx, object, opts...)
		},
		Delete: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			r.note("delete", object)
			return inner.Delete(ctx, object, opts...)
		},
	})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "publish-"}}
	r.Expect(r.client.Create(t.Context(), namespace)).To(Succeed())
	stored := &kube.Proxy{}
	stored.Namespace, stored.Name = namespace.Name, "edge"
	stored.Spec.Mode = callbackv1alpha1.ModeExternal
	stored.Spec.Hosts = []callbackv1alpha1.ProxyHost{{
		Hostname: "auth.acme.test", Namespaces: callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromSame},
	}}
	r.Expect(r.client.Create(t.Context(), stored)).To(Succeed())
	r.proxy = &stored.CallbackProxy
	r.newLeader()
	r.writes = nil
	return r
}

func (r *rig) note(verb string, object client.Object) {
	if part, is := object.(*callbackv1alpha1.CallbackProxyConfig); is {
		r.writes = append(r.writes, verb+" "+string(part.Spec.Part))
	}
}

// newLeader replaces the Publisher, as a new leadership does.
func (r *rig) newLeader() {
	r.t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	r.Expect(err).NotTo(HaveOccurred())
	r.publisher = New(r.client, public)
}

func (r *rig) publish(table *routetable.Table) Config {
	r.t.Helper()
	config, err := r.publisher.Publish(r.t.Context(), r.proxy, table, r.now)
	r.Expect(err).NotTo(HaveOccurred())
	return config
}

// settle publishes a table and then deletes what it replaced.
func (r *rig) settle(table *routetable.Table) Config {
	r.t.Helper()
	config := r.publish(table)
	for !config.Next.IsZero() {
		r.now = config.Next
		config = r.publish(table)
	}
	return config
}

func (r *rig) takeWrites() []string {
	writes := r.writes
	r.writes = nil
	return writes
}

func (r *rig) index() *callbackv1alpha1.CallbackProxyConfig {
	r.t.Helper()
	index := &callbackv1alpha1.CallbackProxyConfig{}
	r.Expect(r.client.Get(r.t.Context(), types.NamespacedName{Namespace: r.proxy.Namespace, Name: "edge"}, index)).To(Succeed())
	return index
}

func (r *rig) shards() []callbackv1alpha1.CallbackProxyConfig {
	r.t.Helper()
	var parts callbackv1alpha1.CallbackProxyConfigList
	r.Expect(r.client.List(r.t.Context(), &parts, client.InNamespace(r.proxy.Namespace))).To(Succeed())
	var shards []callbackv1alpha1.CallbackProxyConfig
	for _, part := range parts.Items {
		if part.Spec.Part == callbackv1alpha1.ConfigShard {
			shards = append(shards, part)
		}
	}
	return shards
}

func versionOf(index *callbackv1alpha1.CallbackProxyConfig) routetable.Version {
	return routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
}

// One change writes one shard and the index, however many shards there are.
func TestPublish_WritesOnlyChanges(t *testing.T) {
	r := newRig(t)
	table := manyRoutes(1000)
	r.publish(table)
	shards := len(r.shards())
	r.Expect(shards).To(BeNumerically(">", 2))
	r.takeWrites()

	r.publish(table)
	r.Expect(r.takeWrites()).To(BeEmpty())

	table = manyRoutes(1000)
	table.Routes[500].Generation++
	r.publish(table)
	r.Expect(r.takeWrites()).To(Equal([]string{"create Shard", "update Index"}), "first the shard, then the index that names it")
	r.Expect(r.shards()).To(HaveLen(shards + 1))

	wrote := r.now
	r.now = r.now.Add(time.Second)
	config := r.publish(table)
	r.Expect(config.Next).To(BeTemporally("==", wrote.Add(ShardLinger)), "a reader of the old index still finds its shards")
	r.now = config.Next
	r.Expect(r.publish(table).Next).To(BeZero())
	r.Expect(r.takeWrites()).To(Equal([]string{"delete Shard"}))
	r.Expect(r.shards()).To(HaveLen(shards))
}

func TestPublish_RepairsEditedConfigs(t *testing.T) {
	r := newRig(t)
	table := manyRoutes(1)
	r.settle(table)
	before := r.index()
	ctx := t.Context()
	for name, breakIt := range map[string]func(){
		"a shard is deleted": func() { r.Expect(r.client.Delete(ctx, &r.shards()[0])).To(Succeed()) },
		"a shard is replaced": func() {
			shard := r.shards()[0]
			r.Expect(r.client.Delete(ctx, &shard)).To(Succeed())
			shard.ResourceVersion, shard.UID = "", ""
			shard.Spec.Payload = strings.Replace(shard.Spec.Payload, "/route", "/evil", 1)
			r.Expect(r.client.Create(ctx, &shard)).To(Succeed())
		},
		"the index is edited": func() {
			index := r.index()
			index.Spec.Payload = strings.Replace(index.Spec.Payload, "8080", "8081", 1)
			r.Expect(r.client.Update(ctx, index)).To(Succeed())
		},
		"the index's key is edited": func() {
			index := r.index()
			index.Spec.ReportKey = strings.Repeat("A", 43) + "="
			r.Expect(r.client.Update(ctx, index)).To(Succeed())
		},
		"the index loses its label": func() {
			index := r.index()
			index.Labels = nil
			r.Expect(r.client.Update(ctx, index)).To(Succeed())
		},
		"a shard loses its label": func() {
			shard := r.shards()[0]
			shard.Labels = nil
			r.Expect(r.client.Update(ctx, &shard)).To(Succeed())
		},
		"the index is deleted": func() { r.Expect(r.client.Delete(ctx, r.index())).To(Succeed()) },
		"the index is set back": func() {
			index := r.index()
			index.Spec.Epoch--
			r.Expect(r.client.Update(ctx, index)).To(Succeed())
		},
		"a stray shard appears": func() {
			stray := r.shards()[0].DeepCopy()
			stray.ResourceVersion, stray.UID, stray.Name = "", "", "edge.stray"
			stray.Spec.Payload = "{}"
			stray.Spec.Hash = routetable.HashOf("{}")
			r.Expect(r.client.Create(ctx, stray)).To(Succeed())
		},
	} {
		breakIt()
		r.settle(table)
		r.Expect(r.shards()).To(HaveLen(1), name)
		stored, err := New(r.client, nil).Published(ctx, r.proxy)
		r.Expect(err).NotTo(HaveOccurred())
		r.Expect(stored.Table).NotTo(BeNil(), name)
		r.Expect(stored.Table.Routes).To(HaveLen(1), name)
		after := r.index()
		r.Expect(after.Spec.ReportKey).To(Equal(r.publisher.reportKey), name)
		r.Expect(after.Labels).To(Equal(before.Labels), name)
		r.Expect(versionOf(after).Compare(versionOf(before))).To(BeNumerically(">=", 0), "%s: no version goes back", name)
		before = after
	}
}

// T20: of two managers that both act as leader, the older one stops and never
// replaces what the newer one published.
func TestT20_Publish_StopsWhenSuperseded(t *testing.T) {
	r := newRig(t)
	r.settle(manyRoutes(1))
	old := r.publisher
	r.newLeader()
	r.now = r.now.Add(time.Second)
	r.settle(manyRoutes(1))
	newest := r.index()

	_, err := old.Publish(t.Context(), r.proxy, manyRoutes(3), r.now)
	r.Expect(err).To(MatchError(ErrSuperseded))
	r.Expect(r.index().Spec).To(Equal(newest.Spec))
}

// A write between reading and committing makes the commit fail.
func TestPublish_CommitsOnlyOverTheVersionRead(t *testing.T) {
	r := newRig(t)
	r.settle(manyRoutes(1))
	read := r.index()
	touched := read.DeepCopy()
	touched.Labels["touched"] = "yes"
	r.Expect(r.client.Update(t.Context(), touched)).To(Succeed())
	err := r.publisher.commit(t.Context(), r.proxy, read, versionOf(read), routetable.Payload{Hash: read.Spec.Hash, Data: read.Spec.Payload})
	r.Expect(err).To(MatchError(ContainSubstring("the object has been modified")))
}

// A config whose stale shards cannot be deleted is published nevertheless.
func TestPublish_ReturnsAConfigDespiteAFailedDeletion(t *testing.T) {
	r := newRig(t)
	before := r.settle(manyRoutes(1))
	for i := range maxLingering + 1 {
		stray := r.shards()[0].DeepCopy()
		stray.ResourceVersion, stray.UID, stray.Name = "", "", fmt.Sprintf("edge.stray-%d", i)
		stray.Spec.Payload = fmt.Sprintf("{%d}", i)
		stray.Spec.Hash = routetable.HashOf(stray.Spec.Payload)
		r.Expect(r.client.Create(t.Context(), stray)).To(Succeed())
	}
	r.publisher.client = undeletable{r.client}
	config, err := r.publisher.Publish(t.Context(), r.proxy, manyRoutes(2), r.now)
	r.Expect(err).To(MatchError(ContainSubstring("deletion fails")))
	r.Expect(config.Wrote).To(BeTrue())
	r.Expect(config.Version.Compare(before.Version)).To(BeNumerically(">", 0))
	r.Expect(versionOf(r.index())).To(Equal(config.Version))
}

type undeletable struct{ client.Client }

func (undeletable) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	return errors.New("deletion fails")
}

// Published returns the table of the last Publish, and after a change of the
// leader the stored one.
func TestPublished_SurvivesANewLeader(t *testing.T) {
	r := newRig(t)
	config, err := r.publisher.Published(t.Context(), r.proxy)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(config).To(BeZero(), "nothing is published yet")

	table := manyRoutes(3)
	want := r.settle(table)
	config, err = r.publisher.Published(t.Context(), r.proxy)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(config.Table).To(BeIdenticalTo(table))
	r.Expect(config.Version).To(Equal(want.Version))

	r.newLeader()
	config, err = r.publisher.Published(t.Context(), r.proxy)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(config.Table).To(Equal(table))
	r.Expect(config.Version).To(Equal(want.Version))
	r.Expect(config.Hash).To(Equal(want.Hash))

	successor := r.proxy.DeepCopy()
	successor.UID = "successor"
	config, err = r.publisher.Published(t.Context(), successor)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(config).To(BeZero(), "a new CallbackProxy of the same name inherits nothing")

	again := r.settle(manyRoutes(3))
	r.Expect(again.Since("route-00001")).To(Equal(want.Version), "routes stay acknowledged under a new leader")
}

func manyRoutes(n int) *routetable.Table {
	table := &routetable.Table{Settings: routetable.Settings{ListenerPort: 8080}}
	for i := range n {
		name := fmt.Sprintf("route-%05d", i)
		table.Routes = append(table.Routes, routetable.Route{
			Namespace: "identity", Name: name, UID: name, Generation: 1,
			Hostnames: []string{"auth.acme.test"}, Protocol: routetable.OIDC,
			Callbacks:      []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/" + name}},
			TimeoutSeconds: 30,
			Backends:       []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{"10.0.0.1:8080"}}},
			Sunset:         time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
			AfterSunset:    routetable.Reject,
		})
	}
	return table
}
