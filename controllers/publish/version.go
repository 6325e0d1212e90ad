// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// This file decides the version of the next config. Pure.

// ErrSuperseded stops a manager that lost its leadership without notice.
var ErrSuperseded = errors.New("a newer leadership publishes this config; this manager stops")

// head identifies a config: its version, the hash of its content, and the report
// key, which differs for each leadership.
type head struct {
	version routetable.Version
	hash    string
	key     string
}

// nextVersion decides the version of the config to publish and whether the
// config must be written. last is the version that this leadership published last
// (zero: none yet), stored is the config that the API server holds (nil: none).
//
//	none published, none stored     a new epoch, generation 1
//	none published, one stored      a new epoch: a leadership begins
//	stored as published             the same; the next generation on change
//	the same, with another key      the next generation: the config was edited
//	stored newer, own key           a write of this manager whose response was lost
//	stored newer, other key         ErrSuperseded
//	stored older or gone            it was restored or deleted: a new epoch
//
// An epoch is the Unix time at which it began, and at least one more than any
// known epoch. So it grows even if the stored one is lost, and no other leadership
// writes the same version as this one.
func nextVersion(last routetable.Version, stored *head, wanted head, now time.Time) (version routetable.Version, write bool, err error) {
	if stored == nil {
		stored = &head{}
	}
	begins := last == routetable.Version{}
	switch order := stored.version.Compare(last); {
	case begins, order < 0:
		epoch := max(now.Unix(), stored.version.Epoch+1, last.Epoch+1)
		generation := max(stored.version.Generation, last.Generation)
		if !begins || stored.hash != wanted.hash {
			generation++
		}
		return routetable.Version{Epoch: epoch, Generation: generation}, true, nil
	case order > 0 && stored.key != wanted.key:
		return routetable.Version{}, false, ErrSuperseded
	case stored.hash != wanted.hash || stored.key != wanted.key:
		return routetable.Version{Epoch: stored.version.Epoch, Generation: stored.version.Generation + 1}, true, nil
	default:
		return stored.version, false, nil
	}
}
