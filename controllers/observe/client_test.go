// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// A compromised instance can fill neither the memory nor a status, and causes no
// status that the API server refuses.
func TestValidate_RefusesAReportThatNoProxyMakes(t *testing.T) {
	good := func() *routetable.Report { return &routetable.Report{ListenerPort: 8080, Boot: "b", Cursor: "c"} }
	uses := func(u ...routetable.RouteUse) func(*routetable.Report) {
		return func(r *routetable.Report) { r.Routes = u }
	}
	backends := func(b ...routetable.BackendUse) func(*routetable.Report) {
		return uses(routetable.RouteUse{Backends: b})
	}
	failed := func(failures ...routetable.CallbackFailure) routetable.BackendUse {
		return routetable.BackendUse{Name: "blue", InRow: int64(len(failures)), Failures: failures}
	}
	claims := func(u routetable.ForwardingUse) func(*routetable.Report) {
		return func(r *routetable.Report) { r.Forwarding = u }
	}
	before := time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 23*60*60))
	for name, change := range map[string]func(*routetable.Report){
		"no port":                    func(r *routetable.Report) { r.ListenerPort = 0 },
		"long hash":                  func(r *routetable.Report) { r.Hash = strings.Repeat("a", 65) },
		"short hash":                 func(r *routetable.Report) { r.Hash = "abc" },
		"hash of others":             func(r *routetable.Report) { r.Hash = strings.Repeat("A", 64) },
		"negative version":           func(r *routetable.Report) { r.Generation = -1 },
		"no boot":                    func(r *routetable.Report) { r.Boot = "" },
		"long boot":                  func(r *routetable.Report) { r.Boot = strings.Repeat("a", 65) },
		"long cursor":                func(r *routetable.Report) { r.Cursor = strings.Repeat("a", 129) },
		"too many entries":           func(r *routetable.Report) { r.Targets = make([]routetable.TargetReport, routetable.MaxReportEntries+1) },
		"long target":                func(r *routetable.Report) { r.Targets = []routetable.TargetReport{{ID: strings.Repeat("a", 65)}} },
		"no target":                  func(r *routetable.Report) { r.Targets = []routetable.TargetReport{{}} },
		"negative count":             uses(routetable.RouteUse{Callbacks: -1}),
		"absurd count":               uses(routetable.RouteUse{Other: 1 << 60}),
		"negative repeats":           uses(routetable.RouteUse{Repeats: -1}),
		"absurd repeats":             uses(routetable.RouteUse{Repeats: 1 << 60}),
		"long route":                 uses(routetable.RouteUse{UID: strings.Repeat("a", 65)}),
		"absurd time":                uses(routetable.RouteUse{Last: before}),
		"negative backend":           backends(routetable.BackendUse{Name: "blue", Callbacks: -1}),
		"nameless backend":           backends(routetable.BackendUse{}),
		"long backend":               backends(routetable.BackendUse{Name: strings.Repeat("a", 64)}),
		"absurd last":                backends(routetable.BackendUse{Name: "blue", Last: before}),
		"text as a reason":           uses(routetable.RouteUse{RefusedReason: "see https://evil.example"}),
		"long reason":                uses(routetable.RouteUse{RefusedReason: strings.Repeat("a", 65)}),
		"absurd loop":                uses(routetable.RouteUse{LastLoop: before}),
		"absurd refusal":             uses(routetable.RouteUse{LastRefused: before}),
		"absurd success":             backends(routetable.BackendUse{Name: "blue", LastSuccess: before}),
		"text as a failure":          backends(failed(routetable.CallbackFailure{Time: now, Reason: "a b"})),
		"failure without reason":     backends(failed(routetable.CallbackFailure{Time: now})),
		"absurd failure":             backends(failed(routetable.CallbackFailure{Time: before, Reason: "Timeout"})),
		"many failures":              backends(failed(make([]routetable.CallbackFailure, routetable.FailingAfter+1)...)),
		"fewer than are listed":      backends(routetable.BackendUse{Name: "blue", Failures: failed(routetable.CallbackFailure{Time: now, Reason: "Timeout"}).Failures}),
		"absurd row":                 backends(routetable.BackendUse{Name: "blue", InRow: 1 << 60}),
		"more claims than callbacks": claims(routetable.ForwardingUse{Callbacks: 1, Claims: 2}),
		"negative claims":            claims(routetable.ForwardingUse{Claims: -1}),
		"absurd claims":              claims(routetable.ForwardingUse{Callbacks: 1 << 60}),
		"absurd time of claims":      claims(routetable.ForwardingUse{LastMost: before}),
		"public network":             claims(routetable.ForwardingUse{Networks: []string{"203.0.113.0/24"}}),
		"every network":              claims(routetable.ForwardingUse{Networks: []string{"0.0.0.0/0"}}),
		"wide network":               claims(routetable.ForwardingUse{Networks: []string{"10.0.0.0/8"}}),
		"no network":                 claims(routetable.ForwardingUse{Networks: []string{"10.0.0.0/24]; evil"}}),
		"many networks":              claims(routetable.ForwardingUse{Networks: slices.Repeat([]string{"10.0.0.0/24"}, routetable.MaxForwardingNetworks+1)}),
		"many backends": func(r *routetable.Report) {
			several := make([]routetable.BackendUse, maxBackends+1)
			for i := range several {
				several[i].Name = strconv.Itoa(i)
			}
			backends(several...)(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			report := good()
			if err := validate(report); err != nil {
				t.Fatalf("before: %v", err)
			}
			change(report)
			if validate(report) == nil {
				t.Error("the report is accepted")
			}
		})
	}
}

func TestValidate_BoundsTheTextOfAnInstance(t *testing.T) {
	g := NewWithT(t)
	report := &routetable.Report{
		ListenerPort: 8080, Boot: "b", Hash: strings.Repeat("0f", 32),
		Refused: &routetable.Refusal{Hash: "abc", Reason: strings.Repeat("x", 100), Message: strings.Repeat("y", 1000)},
		Targets: []routetable.TargetReport{
			{ID: "1", State: routetable.TargetUnhealthy, Reason: "<script>"},
			{ID: "2", State: routetable.TargetUnhealthy},
			{ID: "3", State: "Strange", Reason: "Unreachable"},
			{ID: "4", State: routetable.TargetUnhealthy, Reason: routetable.TargetBadStatus},
		},
		Routes: []routetable.RouteUse{{
			UID: "r", Callbacks: 1, RefusedReason: "noLength", LastRefused: now, LastLoop: now,
			Backends: []routetable.BackendUse{{
				Name: strings.Repeat("b", 63), Callbacks: 1, LastSuccess: now,
				InRow: 9, Failures: []routetable.CallbackFailure{{Time: now, Reason: routetable.FailureReset}},
			}},
		}},
		Forwarding: routetable.ForwardingUse{Callbacks: 2, Claims: 1, LastMost: now, Networks: []string{"10.0.3.0/24", "fd00:1:2:3::/64"}},
	}
	g.Expect(validate(report)).To(Succeed())
	g.Expect(*report.Refused).To(Equal(routetable.Refusal{Reason: strings.Repeat("x", maxReasonBytes), Message: strings.Repeat("y", maxMessageBytes)}))
	g.Expect(report.Targets).To(Equal([]routetable.TargetReport{
		{ID: "1", State: routetable.TargetUnhealthy, Reason: routetable.TargetUnreachable},
		{ID: "2", State: routetable.TargetUnhealthy, Reason: routetable.TargetUnreachable},
		{ID: "3", State: routetable.TargetUnmeasured},
		{ID: "4", State: routetable.TargetUnhealthy, Reason: routetable.TargetBadStatus},
	}))
}

// servePages runs an instance whose reports have pages without end.
func servePages(t *testing.T, fill func(page int64, report *routetable.Report)) (address string, requests *atomic.Int64) {
	t.Helper()
	requests = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		page := requests.Add(1)
		report := &routetable.Report{ListenerPort: 8080, Boot: "b", Cursor: strconv.FormatInt(page, 10), More: true}
		fill(page, report)
		_ = json.NewEncoder(w).Encode(report)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), requests
}

func newClient(t *testing.T) *Client {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	c, err := NewClient(key, clock.RealClock{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

// The pages of a slow instance count as far as they arrived in time.
func TestClient_BoundsTheTimeOfAReport(t *testing.T) {
	g := NewWithT(t)
	slow := time.Tick(300 * time.Millisecond)
	address, _ := servePages(t, func(page int64, r *routetable.Report) {
		<-slow
		r.Full = page == 1
		r.Routes = []routetable.RouteUse{{UID: strconv.FormatInt(page, 10), Callbacks: 1}}
	})
	begin := time.Now()
	report, err := newClient(t).Report(t.Context(), address, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(time.Since(begin)).To(BeNumerically("<", reportTimeout+requestTimeout))
	g.Expect(report.More).To(BeTrue())
	g.Expect(report.Full).To(BeTrue(), "the first page begins a full list")
	g.Expect(len(report.Routes)).To(BeNumerically(">", 1))
	g.Expect(report.Cursor).To(Equal(report.Routes[len(report.Routes)-1].UID), "the next request goes on there")
}

func TestClient_BoundsTheSizeOfAReport(t *testing.T) {
	g := NewWithT(t)
	address, requests := servePages(t, func(_ int64, r *routetable.Report) {
		r.Refused = &routetable.Refusal{Message: strings.Repeat("x", maxPageBytes*3/4)}
	})
	client := newClient(t)
	client.timeout, client.client.Timeout = time.Minute, time.Minute // it is about sizes, also on a slow machine
	report, err := client.Report(t.Context(), address, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(requests.Load()).To(BeEquivalentTo(3), "two pages and one that is cut off")
	g.Expect(report.Cursor).To(Equal("2"))
	g.Expect(report.More).To(BeTrue())

	address, _ = servePages(t, func(_ int64, r *routetable.Report) {
		r.Refused = &routetable.Refusal{Message: strings.Repeat("x", maxPageBytes)}
	})
	_, err = client.Report(t.Context(), address, "")
	g.Expect(err).To(HaveOccurred(), "no page arrived")
}

// Pages of another process are not mixed with those of the first one.
func TestClient_EndsAReportAtARestart(t *testing.T) {
	g := NewWithT(t)
	address, _ := servePages(t, func(page int64, r *routetable.Report) {
		r.Boot = strconv.FormatInt(page, 10)
		r.Routes = []routetable.RouteUse{{UID: "r", Callbacks: page}}
	})
	report, err := newClient(t).Report(t.Context(), address, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.Boot).To(Equal("1"))
	g.Expect(report.Routes).To(HaveLen(1))
}

// A page that begins a full list voids the pages before it.
func TestClient_BeginsAFullListAnew(t *testing.T) {
	g := NewWithT(t)
	address, _ := servePages(t, func(page int64, r *routetable.Report) {
		r.Full, r.More = page == 2, page < 3
		r.Routes = []routetable.RouteUse{{UID: strconv.FormatInt(page, 10), Callbacks: 1}}
	})
	report, err := newClient(t).Report(t.Context(), address, "cursor")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.Full).To(BeTrue())
	g.Expect(report.More).To(BeFalse())
	g.Expect(report.Routes).To(HaveLen(2))
	g.Expect(report.Routes[0].UID).To(Equal("2"))
}
