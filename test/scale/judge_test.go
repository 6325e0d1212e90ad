// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTable_NamesFiguresAboveTheirLimit(t *testing.T) {
	var all table
	all.add(100, []figure{{name: "time", value: "1 s", limit: "under 60 s", ok: true}, {name: "memory", value: "60 MB"}})
	all.add(1000, []figure{{name: "time", value: "61 s", limit: "under 60 s"}})
	if got := all.missed(); !reflect.DeepEqual(got, []string{"1000 routes: time is 61 s, must be under 60 s"}) {
		t.Errorf("missed %q", got)
	}
	for _, want := range []string{"1 s ok", "61 s FAILED", "60 MB"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, all.String())
		}
	}
}

func TestResult_CountsEveryOtherResponse(t *testing.T) {
	fine := &result{codes: map[int]int{410: 3}, last: map[int]time.Duration{410: time.Second}}
	if !fine.all(410) || fine.all(200) || fine.others(410) != "none" {
		t.Errorf("three times 410 is judged as %q", fine.others(410))
	}
	fine.merge(&result{codes: map[int]int{200: 1}, last: map[int]time.Duration{200: 20 * time.Millisecond}})
	if fine.all(410) || fine.others(410) != "1 with status 200, the last after 20 ms" {
		t.Errorf("one 200 among them is judged as %q", fine.others(410))
	}
	if (&result{}).all(410) {
		t.Error("no answer at all counts as right")
	}
}

func TestWrites_AreSeparated(t *testing.T) {
	for want, labels := range map[string]map[string]string{
		"APPLY callbackroutes/status":     {"verb": "APPLY", "resource": "callbackroutes", "subresource": "status", "code": "200"},
		"PUT callbackproxyconfigs (409)":  {"verb": "PUT", "resource": "callbackproxyconfigs", "code": "409"},
		"POST callbackproxyconfigs":       {"verb": "POST", "resource": "callbackproxyconfigs", "code": "201"},
		"POST subjectaccessreviews (403)": {"verb": "POST", "resource": "subjectaccessreviews", "code": "403"},
	} {
		if got := writeKey(labels); got != want {
			t.Errorf("%v is %q, want %q", labels, got, want)
		}
	}
	news, others := split(map[string]int64{"PUT leases": 6, "POST events": 2, "POST tokenreviews": 1})
	if total(news) != 2 || total(others) != 7 {
		t.Errorf("news %v, others %v", news, others)
	}
}
