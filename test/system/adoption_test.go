// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// adoption_test.go: the configs that proxies adopted and refused, by their logs.

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// adoption is a line of a proxy's log about a config that it adopted or
// refused.
type adoption struct {
	Message    string `json:"msg"`
	Reason     string `json:"reason"`
	Epoch      int64  `json:"epoch"`
	Generation int64  `json:"generation"`
	Hash       string `json:"hash"`
}

// adoptions returns those of a proxy, over all its restarts.
func (s *system) adoptions(i int) []adoption {
	s.t.Helper()
	file, err := os.Open(s.proxies[i].Log())
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	var found []adoption
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line adoption
		if json.Unmarshal(lines.Bytes(), &line) == nil && strings.HasPrefix(line.Message, "config ") {
			found = append(found, line)
		}
	}
	s.Expect(lines.Err()).NotTo(HaveOccurred())
	return found
}

// expectOnlyWholeConfigs fails the test if a proxy ever returned to an older
// config, adopted one that no manager committed, or received an index without
// its shards.
func (s *system) expectOnlyWholeConfigs() {
	s.t.Helper()
	var logged [2][]adoption
	for i := range s.proxies {
		logged[i] = s.adoptions(i)
	}
	committed := s.committed() // after the logs, as managers may still write
	for i := range s.proxies {
		var last routetable.Version
		adopted := 0
		for _, a := range logged[i] {
			version := routetable.Version{Epoch: a.Epoch, Generation: a.Generation}
			switch a.Message {
			case "config adopted":
				s.Expect(version.Compare(last)).To(BeNumerically(">=", 0), "proxy %d went from %+v to %+v", i, last, version)
				s.Expect(committed[version]).To(Equal(a.Hash), "proxy %d adopted %+v, which no manager committed", i, version)
				last = version
				adopted++
			case "config refused":
				s.Expect(a.Reason).To(Equal(routetable.RefusedOlder), "proxy %d received an incomplete or broken config: %+v", i, a)
			}
		}
		s.Expect(adopted).To(BeNumerically(">", 0), "proxy %d: its log has no adoption", i)
	}
}

// committed returns the hash of each version that a manager wrote, by the calls
// of the interposers. A version has the same hash always.
func (s *system) committed() map[routetable.Version]string {
	s.t.Helper()
	committed := map[routetable.Version]string{}
	for _, m := range s.managers {
		writes := m.api.Calls(interposer.And(interposer.Writes, interposer.CallsOf("", "callbackproxyconfigs"),
			func(c interposer.Call) bool { return c.Forwarded && c.Verb != interposer.Delete && c.Code < 300 }))
		for _, write := range writes {
			var part callbackv1alpha1.CallbackProxyConfig
			s.Expect(json.Unmarshal(write.Body, &part)).To(Succeed())
			if part.Spec.Part != callbackv1alpha1.ConfigIndex || part.Name != fleet.Name {
				continue
			}
			version := routetable.Version{Epoch: part.Spec.Epoch, Generation: part.Spec.Generation}
			if known := committed[version]; known != "" {
				s.Expect(part.Spec.Hash).To(Equal(known), "%+v was published with two contents", version)
			}
			committed[version] = part.Spec.Hash
		}
	}
	return committed
}
