// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// oracle_test.go: the comparison of what is stored, run and reported with what is declared.

import (
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// converges waits until everything is as declared, and returns how long that
// took. It fails the test after limit.
func (s *system) converges(limit time.Duration) time.Duration {
	s.t.Helper()
	return s.convergesPolled(limit, 50*time.Millisecond)
}

// convergesPolled is converges for thousands of routes: to read them costs the
// API server seconds.
func (s *system) convergesPolled(limit, interval time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	var last error
	s.Eventually(func() error {
		err := s.converged()
		if err != nil {
			last = err
		}
		return err
	}, limit, interval).Should(Succeed())
	took := time.Since(began)
	if took > time.Second {
		s.t.Logf("waited %.1f s, at last for: %v", took.Seconds(), last)
	}
	return took
}

// converged returns the first difference from what is declared: in the stored
// config's bytes, in what the proxies run, or in whether each route of the fleet
// is accepted and served.
func (s *system) converged() error {
	wanted, verdicts, err := s.compile()
	if err != nil {
		return err
	}
	index, err := s.storedAs(wanted)
	if err != nil {
		return err
	}
	version := routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
	for i := range s.proxies {
		if runs, err := s.version(i); err != nil || runs != version {
			return fmt.Errorf("proxy %d runs %+v, published is %+v (%w)", i, runs, version, err)
		}
	}
	for i := range verdicts {
		if client.ObjectKeyFromObject(verdicts[i].Route) == s.mute {
			continue
		}
		if err := compareStatus(&verdicts[i]); err != nil {
			return err
		}
	}
	return nil
}

// compareStatus returns the difference between a route's status and its verdict.
func compareStatus(v *compile.Verdict) error {
	accepted := meta.FindStatusCondition(v.Route.Status.Conditions, callbackv1alpha1.ConditionAccepted)
	if accepted == nil || accepted.ObservedGeneration != v.Route.Generation || accepted.Reason != v.Accepted.Reason ||
		(accepted.Status == metav1.ConditionTrue) != v.Accepted.OK {
		return fmt.Errorf("route %s/%s, generation %d, should have Accepted with reason %s and has %+v",
			v.Route.Namespace, v.Route.Name, v.Route.Generation, v.Accepted.Reason, accepted)
	}
	programmed := meta.FindStatusCondition(v.Route.Status.Conditions, callbackv1alpha1.ConditionProgrammed)
	if programmed == nil || programmed.ObservedGeneration != v.Route.Generation || (programmed.Status == metav1.ConditionTrue) != v.Accepted.OK {
		return fmt.Errorf("route %s/%s, generation %d, has Programmed %+v", v.Route.Namespace, v.Route.Name, v.Route.Generation, programmed)
	}
	return nil
}

// compile makes, without the manager, the bytes that should be stored. Claims
// that the stored table holds are an input: a table that is right reproduces
// itself.
func (s *system) compile() (*routetable.Encoded, []compile.Verdict, error) {
	snapshot, err := s.snapshot(fleet)
	if err != nil {
		return nil, nil, err
	}
	plan := compile.Compile(snapshot, time.Now())
	encoded, err := routetable.Encode(plan.Table, routetable.DefaultShardBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("encode what is declared: %w", err)
	}
	return encoded, plan.Verdicts, nil
}

// storedAs returns the stored index, or how the stored config differs from the
// wanted one: no byte may differ, no shard be missing or left over.
func (s *system) storedAs(wanted *routetable.Encoded) (*callbackv1alpha1.CallbackProxyConfig, error) {
	index, shards, err := s.storedConfig(fleet)
	if err != nil {
		return nil, err
	}
	if index == nil {
		return nil, errors.New("no index is stored")
	}
	if index.Spec.Payload != wanted.Index.Data || index.Spec.Hash != wanted.Index.Hash {
		return nil, fmt.Errorf("stored index of epoch %d generation %d is not what is declared", index.Spec.Epoch, index.Spec.Generation)
	}
	if len(shards) != len(wanted.Shards) {
		return nil, fmt.Errorf("%d shards are stored, %d are wanted", len(shards), len(wanted.Shards))
	}
	for _, shard := range wanted.Shards {
		if shards[shard.Hash] != shard.Data {
			return nil, fmt.Errorf("shard %.12s is not stored", shard.Hash)
		}
	}
	return index, nil
}

// storedConfig returns the index and the payloads of the shards by their hash.
func (s *system) storedConfig(key types.NamespacedName) (index *callbackv1alpha1.CallbackProxyConfig, shards map[string]string, err error) {
	var parts callbackv1alpha1.CallbackProxyConfigList
	if err := s.Client.List(s.ctx, &parts, client.InNamespace(key.Namespace), client.MatchingLabels{callbackv1alpha1.ProxyLabel: key.Name}); err != nil {
		return nil, nil, fmt.Errorf("read stored config: %w", err)
	}
	shards = map[string]string{}
	for i := range parts.Items {
		if spec := &parts.Items[i].Spec; spec.Part == callbackv1alpha1.ConfigIndex {
			index = &parts.Items[i]
		} else {
			shards[spec.Hash] = spec.Payload
		}
	}
	return index, shards, nil
}

// version is what a proxy runs.
func (s *system) version(i int) (routetable.Version, error) {
	metrics, err := installation.Scrape(s.ctx, s.proxies[i].AdminURL("/metrics"))
	return routetable.Version{
		Epoch: int64(metrics.Sum("callbackproxy_config_epoch")), Generation: int64(metrics.Sum("callbackproxy_config_generation")),
	}, err
}

// published is the index that the API server holds.
func (s *system) published() callbackv1alpha1.CallbackProxyConfigSpec {
	s.t.Helper()
	index := &callbackv1alpha1.CallbackProxyConfig{}
	s.Expect(s.Client.Get(s.ctx, fleet, index)).To(Succeed())
	return index.Spec
}

// apiServes waits until the API server serves requests.
func (s *system) apiServes() {
	s.t.Helper()
	s.Eventually(func() error {
		_, _, err := s.compile()
		return err
	}, patience).Should(Succeed())
}
