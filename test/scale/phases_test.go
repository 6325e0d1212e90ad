// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

const (
	// patience is the limit for a phase.
	patience = 15 * time.Minute
	// quietFor is how long there must be no write before rest is measured, and
	// quietWithin the limit for that.
	quietFor    = 5 * time.Second
	quietWithin = 3 * time.Minute
)

// create fills the empty installation.
func (r *run) create() {
	r.b.Helper()
	stopProfiles := r.startProfiles()
	programmed := r.tracker.expect(r.n, isProgrammed)
	r.lapse.begin()
	began, took := r.createAll()
	r.report("created, by the API server's responses", seconds(took))
	last, err := r.tracker.wait(r.ctx, programmed, patience)
	r.Expect(err).NotTo(HaveOccurred(), "Programmed; the manager's log ends with\n%s", r.logTail())
	stopProfiles()
	r.filled = last.Sub(began)
	r.judge("from the first create to all Programmed", seconds(r.filled), "under 60 s", r.filled < time.Minute)
	writes, _ := split(r.lapse.end("create"))
	delete(writes, "POST callbackroutes")
	r.report("status writes for each route", fmt.Sprintf("%.2f", float64(writes[routeStatus])/float64(r.n)))
	r.reportWrites("create", writes)
	r.reportMemory("after the creation")
}

// routeStatus is the write of a route's status.
const routeStatus = "APPLY callbackroutes/status"

// reportWrites reports the writes of a phase, and logs them in full.
func (r *run) reportWrites(phase string, writes map[string]int64) {
	r.log("  writes, %s: %s", phase, shown(writes))
	configs := int64(0)
	for key, n := range writes {
		if strings.Contains(key, " callbackproxyconfigs") {
			configs += n
		}
	}
	r.report("writes, "+phase+" (route statuses/proxy statuses/configs/events/all)", fmt.Sprintf("%d/%d/%d/%d/%d",
		writes[routeStatus], writes["APPLY callbackproxies/status"], configs, writes["POST events"], total(writes)))
}

func (r *run) reportMemory(when string) {
	u, err := fixture.UsageOf(r.managerProcess().PID())
	r.Expect(err).NotTo(HaveOccurred())
	r.report("manager RSS "+when, megabytes(u.Resident))
}

// rest counts the writes while nothing changes.
func (r *run) rest() {
	r.b.Helper()
	r.report("until the last write after the changes", r.waitQuiet())
	r.lapse.begin()
	time.Sleep(r.settings.steady)
	news, others := split(r.lapse.end("steady"))
	perMinute := float64(total(news)) * time.Minute.Seconds() / r.settings.steady.Seconds()
	r.judge("steady: API writes a minute", fmt.Sprintf("%.0f", perMinute), "0", total(news) == 0)
	r.log("  steady: %s; and %s", shown(news), shown(others))
	r.report("steady: leases renewed", strconv.FormatInt(total(others), 10))
	r.reportMemory("at rest")
}

// waitQuiet waits until no writes come any more, events included, and returns
// how long that took.
func (r *run) waitQuiet() string {
	r.b.Helper()
	began := time.Now()
	last := began
	before, _ := split(r.lapse.writesNow())
	for time.Since(last) < quietFor {
		if time.Since(began) > quietWithin {
			return "never quiet within " + quietWithin.String()
		}
		time.Sleep(500 * time.Millisecond)
		now, _ := split(r.lapse.writesNow())
		if total(now) != total(before) {
			last, before = time.Now(), now
		}
	}
	return seconds(last.Sub(began))
}

// sum reports the figures of the whole run.
func (r *run) sum() {
	r.b.Helper()
	u, err := fixture.UsageOf(r.managerProcess().PID())
	r.Expect(err).NotTo(HaveOccurred())
	r.judge("manager RSS, peak", megabytes(u.Peak), "at most 256 MB", u.Peak <= 256<<20)
	var most uint64
	for _, p := range r.Proxies {
		u, err := fixture.UsageOf(p.Process().PID())
		r.Expect(err).NotTo(HaveOccurred())
		most = max(most, u.Peak)
	}
	r.report("proxy RSS, peak of the largest", megabytes(most))
	r.judge("manager restarts", strconv.Itoa(r.Managers[0].Restarts()), "none", r.Managers[0].Restarts() == 0)
}
