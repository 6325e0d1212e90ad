// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestNextVersion(t *testing.T) {
	const now = 1_800_000_000
	ours := func(epoch, generation int64, hash string) *head {
		return &head{version: routetable.Version{Epoch: epoch, Generation: generation}, hash: hash, key: "ours"}
	}
	theirs := func(epoch, generation int64, hash string) *head {
		h := ours(epoch, generation, hash)
		h.key = "theirs"
		return h
	}
	last := func(epoch, generation int64) routetable.Version {
		return routetable.Version{Epoch: epoch, Generation: generation}
	}
	var none routetable.Version
	for _, tc := range []struct {
		name   string
		last   routetable.Version
		stored *head
		want   string
	}{
		{"the very first config", none, nil, "1800000000/1 write"},
		{"a leadership begins, content unchanged", none, theirs(5, 7, "h"), "1800000000/7 write"},
		{"a leadership begins, content changed", none, theirs(5, 7, "old"), "1800000000/8 write"},
		{"a leadership begins after one of the future", none, theirs(now+50, 7, "h"), "1800000051/7 write"},
		{"nothing changed", last(now, 7), ours(now, 7, "h"), "1800000000/7"},
		{"content changed", last(now, 7), ours(now, 7, "old"), "1800000000/8 write"},
		{"the response to a write was lost", last(now, 6), ours(now, 7, "h"), "1800000000/7"},
		{"a newer leadership took over", last(now, 7), theirs(now+1, 7, "h"), "superseded"},
		{"the key was edited", last(now, 7), theirs(now, 7, "h"), "1800000000/8 write"},
		{"another leader wrote a newer version", last(now, 7), theirs(now, 8, "h"), "superseded"},
		{"an older backup was restored", last(now, 7), theirs(now-9, 3, "h"), "1800000001/8 write"},
		{"the index was deleted", last(now, 7), nil, "1800000001/8 write"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			version, write, err := nextVersion(tc.last, tc.stored, head{hash: "h", key: "ours"}, time.Unix(now, 0))
			got := fmt.Sprintf("%d/%d", version.Epoch, version.Generation)
			if write {
				got += " write"
			}
			if err != nil {
				got = "superseded"
			}
			if got != tc.want {
				t.Errorf("version = %s, want %s", got, tc.want)
			}
		})
	}
}
