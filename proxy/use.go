// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// kind says what a request was to its route.
type kind int

// The kinds. A callback is a request that passed the gate and has the
// parameters of an answer of the route's protocol; it stays one whatever
// becomes of it. What comes to the path and has none, as probes and scanners
// do, is other; what broke a rule is against.
const (
	other kind = iota
	callback
	against
)

// kindOf judges what passed the gate by its response parameters. An opaque
// route's answers look like anything.
func kindOf(r *routetable.Route, has gate.ParameterSet) kind {
	switch {
	case r.Protocol == routetable.Opaque,
		r.Protocol == routetable.SAML && has.IsSAML(),
		(r.Protocol == routetable.OAuth2 || r.Protocol == routetable.OIDC) && has.IsOAuth():
		return callback
	}
	return other
}

// visit is one request as it is counted.
type visit struct {
	kind kind
	came time.Time
	// late: it came at the sunset or after it.
	late bool
	// backend is where its first byte was sent to, empty when it was nowhere.
	backend string
}

// ledger counts what comes for the routes of the table that is served. What it
// knows of a route lives as long as the route is in the table, through all its
// generations. Counting is one short critical section and allocates nothing
// once a backend is known.
type ledger struct {
	// records are those of the last table. Only follow uses them, one at a time.
	records map[identity]*record

	mu sync.Mutex
	// seq counts the changes. Each of them moves its record to the end of
	// changed, so that the list is in the order of the records' seq.
	seq     uint64
	changed list.List
}

// identity tells a route from a later one of the same name.
type identity struct{ uid, namespace, name string }

// record is what is remembered of one route.
type record struct {
	uid, id string
	latch   latch
	swept   bool // the last sweep found it closed; only the sweep uses it

	// The following belong to the ledger's lock.
	seq     uint64        // of the last change
	element *list.Element // in ledger.changed, nil before the first change
	gone    bool          // the route left the table: nothing is counted any more
	last    int64         // Unix seconds of the last callback, 0 when there was none

	callbacks, late, others, refused int64
	backends                         []backendRecord
}

type backendRecord struct {
	name      string
	callbacks int64
	last      int64
}

// follow goes over to a table and returns the record of each of its routes.
// Records of routes that it does not have end here, and so does what is known
// of backends that a route does not have any more.
func (l *ledger) follow(t *routetable.Table) map[*routetable.Route]*record {
	records := make(map[identity]*record, len(t.Routes))
	byRoute := make(map[*routetable.Route]*record, len(t.Routes))
	for i := range t.Routes {
		route := &t.Routes[i]
		id := identity{route.UID, route.Namespace, route.Name}
		r := l.records[id]
		if r == nil {
			r = &record{uid: route.UID, id: route.ID()}
		} else {
			l.keepBackends(r, route)
		}
		records[id], byRoute[route] = r, r
	}
	for id, r := range l.records {
		if records[id] == nil {
			l.end(r)
		}
	}
	l.records = records
	return byRoute
}

func (l *ledger) keepBackends(r *record, route *routetable.Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(r.backends)
	r.backends = slices.DeleteFunc(r.backends, func(b backendRecord) bool { return !hasBackend(route, b.name) })
	if len(r.backends) != before {
		l.touch(r)
	}
}

func (l *ledger) end(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.gone = true
	if r.element != nil {
		l.changed.Remove(r.element)
	}
}

// count adds one request.
func (l *ledger) count(r *record, v visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.gone {
		return
	}
	l.touch(r)
	switch v.kind {
	case other:
		r.others++
	case against:
		r.refused++
	case callback:
		at := v.came.Unix()
		r.callbacks++
		r.last = latest(r.last, at)
		if v.late {
			r.late++
		}
		if v.backend != "" {
			b := r.backend(v.backend)
			b.callbacks++
			b.last = latest(b.last, at)
		}
	}
}

// latest returns when the last callback came, of which two are known in the
// order of their ends. The time that is judged goes back by more than the
// tolerance only when it was wrong before: then the earlier word is void, or
// one callback that came under a clock that is years ahead would be the last
// for years.
func latest(known, at int64) int64 {
	if known > at+int64(sunset.Tolerance/time.Second) {
		return at
	}
	return max(known, at)
}

// touch notes a change. The lock is held.
func (l *ledger) touch(r *record) {
	l.seq++
	r.seq = l.seq
	if r.element == nil {
		r.element = l.changed.PushBack(r)
	} else {
		l.changed.MoveToBack(r.element)
	}
}

func (r *record) backend(name string) *backendRecord {
	for i := range r.backends {
		if r.backends[i].name == name {
			return &r.backends[i]
		}
	}
	r.backends = append(r.backends, backendRecord{name: name})
	return &r.backends[len(r.backends)-1]
}

// Changed returns what came for the routes for which anything came after
// since, in the order of their last change and at most that many. next is the
// since of the next call; more says that some had no room. A since that the
// ledger never gave out gets everything. A route that changes meanwhile may be
// there twice, the later word last.
func (l *ledger) Changed(since uint64, most int) (entries []routetable.RouteUse, next uint64, more bool) {
	for next, more = since, true; more; {
		room := min(most-len(entries), reportAtOnce)
		entries, next, more = l.appendChanged(entries, next, room)
		if len(entries) >= most {
			break
		}
	}
	return entries, next, more
}

// reportAtOnce is how many entries are made in one critical section, so that a long
// report makes no request wait.
const reportAtOnce = 128

func (l *ledger) appendChanged(to []routetable.RouteUse, since uint64, most int) (entries []routetable.RouteUse, next uint64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since > l.seq {
		since = 0
	}
	next = since
	for e := l.firstAfter(since); e != nil; e = e.Next() {
		if most == 0 {
			return to, next, true
		}
		r := e.Value.(*record)
		to, next, most = append(to, r.report()), r.seq, most-1
	}
	return to, next, false
}

// firstAfter returns where the changes after since begin. The lock is held.
func (l *ledger) firstAfter(since uint64) *list.Element {
	var first *list.Element
	for e := l.changed.Back(); e != nil && e.Value.(*record).seq > since; e = e.Prev() {
		first = e
	}
	return first
}

func (r *record) report() routetable.RouteUse {
	use := routetable.RouteUse{
		UID: r.uid, Last: instant(r.last),
		Callbacks: r.callbacks, AfterSunset: r.late, Other: r.others, Refused: r.refused,
	}
	for _, b := range r.backends {
		use.Backends = append(use.Backends, routetable.BackendUse{Name: b.name, Callbacks: b.callbacks, Last: instant(b.last)})
	}
	return use
}

func instant(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

var (
	callbacksDesc = prometheus.NewDesc("callbackproxy_callbacks_total",
		"Well-formed callbacks that came for a route, whatever became of them.", []string{"route"}, nil)
	lateDesc = prometheus.NewDesc("callbackproxy_callbacks_after_sunset_total",
		"Well-formed callbacks that came for a route after its sunset.", []string{"route"}, nil)
)

// Describe names the series, for the registry.
func (l *ledger) Describe(ch chan<- *prometheus.Desc) {
	ch <- callbacksDesc
	ch <- lateDesc
}

// Collect makes the series from what is counted anyway: they cost a request
// nothing and end with their route.
func (l *ledger) Collect(ch chan<- prometheus.Metric) {
	type row struct {
		id              string
		callbacks, late int64
	}
	var rows []row
	l.mu.Lock()
	for e := l.changed.Front(); e != nil; e = e.Next() {
		r := e.Value.(*record)
		rows = append(rows, row{r.id, r.callbacks, r.late})
	}
	l.mu.Unlock()
	for _, r := range rows {
		ch <- prometheus.MustNewConstMetric(callbacksDesc, prometheus.CounterValue, float64(r.callbacks), r.id)
		ch <- prometheus.MustNewConstMetric(lateDesc, prometheus.CounterValue, float64(r.late), r.id)
	}
}
