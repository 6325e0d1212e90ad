// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// errSuperseded stops a controller that was the leader and does not know yet
// that it is not any more.
var errSuperseded = errors.New("a newer leadership publishes this config; this one stands back")

// head is what identifies a config: its version, the hash of its content, and
// the report key, which also tells whose leadership wrote it.
type head struct {
	version routetable.Version
	hash    string
	key     string
}

// plan decides the version of the config to publish and whether it must be
// written. before is what this leadership published last (nil: nothing yet),
// stored what the API server holds (nil: nothing). Pure.
//
//	nothing known, nothing stored   a new epoch, generation 1
//	nothing known, something stored a new epoch: a leadership begins
//	stored as published             the same; the next generation on change
//	the same, with another key      the next generation: somebody edited it
//	stored newer, own key           a write of ours whose answer was lost
//	stored newer, other key         errSuperseded
//	stored older or gone            somebody restored or deleted it: a new epoch
//
// An epoch is the Unix time at which it began, at least one more than any
// known: so it grows even if the stored one is lost, and no other leadership
// writes the very version that this one knows.
func plan(before *lineage, stored *head, wanted head, now time.Time) (version routetable.Version, write bool, err error) {
	if stored == nil {
		stored = &head{}
	}
	var known routetable.Version
	if before != nil {
		known = before.version
	}
	begins := before == nil
	switch order := stored.version.Compare(known); {
	case begins, order < 0:
		epoch := max(now.Unix(), stored.version.Epoch+1, known.Epoch+1)
		generation := max(stored.version.Generation, known.Generation)
		if !begins || stored.hash != wanted.hash {
			generation++
		}
		return routetable.Version{Epoch: epoch, Generation: generation}, true, nil
	case order > 0 && stored.key != wanted.key:
		return routetable.Version{}, false, errSuperseded
	case stored.hash != wanted.hash || stored.key != wanted.key:
		return routetable.Version{Epoch: stored.version.Epoch, Generation: stored.version.Generation + 1}, true, nil
	default:
		return stored.version, false, nil
	}
}
