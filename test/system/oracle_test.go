// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// fleet names the CallbackProxy of the samples.
var fleet = types.NamespacedName{Namespace: "callback-system", Name: "edge"}

// converges waits until everything is as declared, and returns how long that
// took. It fails the spec after limit.
func (s *system) converges(limit time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	var last error
	s.Eventually(func() error {
		err := s.converged()
		if err != nil {
			last = err
		}
		return err
	}, limit, 50*time.Millisecond).Should(Succeed())
	took := time.Since(began)
	if took > time.Second {
		s.t.Logf("waited %.1f s, at last for: %v", took.Seconds(), last)
	}
	return took
}

// converged returns what is not as declared: the stored config in its bytes,
// what the proxies run, and the statuses.
func (s *system) converged() error {
	wanted, routes, err := s.compile()
	if err != nil {
		return err
	}
	index, err := s.storedAs(wanted)
	if err != nil {
		return err
	}
	version := routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
	for i := range s.proxies {
		runs, err := s.version(i)
		if err != nil {
			return err
		}
		if runs != version {
			return fmt.Errorf("proxy %d runs %+v, published is %+v", i, runs, version)
		}
	}
	for i := range routes {
		condition := meta.FindStatusCondition(routes[i].Status.Conditions, callbackv1alpha1.ConditionProgrammed)
		if condition == nil || condition.Status != metav1.ConditionTrue || condition.ObservedGeneration != routes[i].Generation {
			return fmt.Errorf("route %s, generation %d, has Programmed %+v", routes[i].Name, routes[i].Generation, condition)
		}
	}
	return nil
}

// compile makes the bytes that should be stored from the objects that are
// stored, without the manager: the oracle.
func (s *system) compile() (*routetable.Encoded, []callbackv1alpha1.CallbackRoute, error) {
	proxy := &callbackv1alpha1.CallbackProxy{}
	var routes callbackv1alpha1.CallbackRouteList
	var services corev1.ServiceList
	var namespaces corev1.NamespaceList
	err := s.client.Get(s.ctx, fleet, proxy)
	for _, list := range []client.ObjectList{&routes, &services, &namespaces} {
		err = errors.Join(err, s.client.List(s.ctx, list))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read what is declared: %w", err)
	}
	snapshot := &compile.Snapshot{
		Key: fleet, Proxy: proxy,
		Namespaces: map[string]labels.Set{}, Services: map[types.NamespacedName]*corev1.Service{},
	}
	for i := range routes.Items {
		snapshot.Routes = append(snapshot.Routes, compile.Route{Object: &routes.Items[i]})
	}
	for i := range services.Items {
		snapshot.Services[client.ObjectKeyFromObject(&services.Items[i])] = &services.Items[i]
	}
	for _, namespace := range namespaces.Items {
		snapshot.Namespaces[namespace.Name] = namespace.Labels
	}
	encoded, err := routetable.Encode(compile.Compile(snapshot, time.Now()).Table, routetable.DefaultShardBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("encode what is declared: %w", err)
	}
	return encoded, routes.Items, nil
}

// storedAs returns the stored index, or what keeps the stored config from
// being exactly the wanted one: no byte differs, no shard is missing or left.
func (s *system) storedAs(wanted *routetable.Encoded) (*callbackv1alpha1.CallbackProxyConfig, error) {
	var parts callbackv1alpha1.CallbackProxyConfigList
	if err := s.client.List(s.ctx, &parts, client.InNamespace(fleet.Namespace), client.MatchingLabels{callbackv1alpha1.ProxyLabel: fleet.Name}); err != nil {
		return nil, fmt.Errorf("read stored config: %w", err)
	}
	var index *callbackv1alpha1.CallbackProxyConfig
	shards := map[string]string{}
	for i := range parts.Items {
		if spec := &parts.Items[i].Spec; spec.Part == callbackv1alpha1.ConfigIndex {
			index = &parts.Items[i]
		} else {
			shards[spec.Hash] = spec.Payload
		}
	}
	if index == nil {
		return nil, errors.New("no index is stored")
	}
	if index.Spec.Payload != wanted.Index.Data || index.Spec.Hash != wanted.Index.Hash {
		return nil, fmt.Errorf("stored index of epoch %d generation %d is not what is declared", index.Spec.Epoch, index.Spec.Generation)
	}
	if len(parts.Items) != len(wanted.Shards)+1 {
		return nil, fmt.Errorf("%d parts are stored, %d shards and an index are wanted", len(parts.Items), len(wanted.Shards))
	}
	for _, shard := range wanted.Shards {
		if shards[shard.Hash] != shard.Data {
			return nil, fmt.Errorf("shard %.12s is not stored", shard.Hash)
		}
	}
	return index, nil
}

// version is what a proxy runs.
func (s *system) version(i int) (routetable.Version, error) {
	page, err := scrape(s.admin(i) + "/metrics")
	if err != nil {
		return routetable.Version{}, err
	}
	return routetable.Version{
		Epoch: int64(page.sum("callbackproxy_config_epoch")), Generation: int64(page.sum("callbackproxy_config_generation")),
	}, nil
}

// publishedVersion is what the API server holds.
func (s *system) publishedVersion() routetable.Version {
	s.t.Helper()
	index := &callbackv1alpha1.CallbackProxyConfig{}
	s.Expect(s.client.Get(s.ctx, fleet, index)).To(Succeed())
	return routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
}
