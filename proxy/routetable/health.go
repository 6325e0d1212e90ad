// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// health.go: health checks and the IDs of what they check.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// HealthCheck is how the instances check a backend.
type HealthCheck struct {
	// Path of a GET that must get a status from 200 to 399. Empty: an accepted
	// connection is enough.
	Path string `json:"path,omitempty"`
	// Host of that GET.
	Host string `json:"host,omitempty"`
	// Seconds between two checks, and for one.
	IntervalSeconds int32 `json:"intervalSeconds"`
	TimeoutSeconds  int32 `json:"timeoutSeconds"`
	// How many checks in a row must fail, or succeed, before the backend counts
	// as unhealthy, or healthy again.
	UnhealthyThreshold int32 `json:"unhealthyThreshold"`
	HealthyThreshold   int32 `json:"healthyThreshold"`
}

const (
	maxCheckInterval  = 300
	maxCheckTimeout   = 60
	maxCheckThreshold = 10
)

func (c *HealthCheck) validate() error {
	if c.IntervalSeconds < 1 || c.IntervalSeconds > maxCheckInterval ||
		c.TimeoutSeconds < 1 || c.TimeoutSeconds > min(c.IntervalSeconds, maxCheckTimeout) {
		return fmt.Errorf("a check takes 1 to %d s and comes every 1 to %d s, not before the last is over", maxCheckTimeout, maxCheckInterval)
	}
	if c.UnhealthyThreshold < 1 || c.UnhealthyThreshold > maxCheckThreshold ||
		c.HealthyThreshold < 1 || c.HealthyThreshold > maxCheckThreshold {
		return fmt.Errorf("thresholds are 1 to %d", maxCheckThreshold)
	}
	if c.Path == "" {
		if c.Host != "" {
			return errors.New("a check without a path has no host")
		}
		return nil
	}
	if _, ok := CanonicalHost(c.Host); !ok {
		return fmt.Errorf("host %q of the check is not a host", c.Host)
	}
	return checkPath(c.Path)
}

// TargetID names a check of an address: two routes with the same check of the same
// address share one. An address without a check has an ID as well, under which
// failures to reach it are reported.
func TargetID(address string, c *HealthCheck) string {
	if c == nil {
		return idOf(address)
	}
	return idOf(fmt.Sprintf("%s check %s %s %d %d %d %d", address, c.Path, c.Host,
		c.IntervalSeconds, c.TimeoutSeconds, c.UnhealthyThreshold, c.HealthyThreshold))
}

// PathProbeID names the probe of one callback's path at one address of a backend.
// It covers all that the request is made of: the scheme, see Forwarding.Scheme, and
// the forwarded hostname too, by which the backend may distinguish its tenants.
func PathProbeID(address, scheme string, r *Route, c *Callback, b *Backend) string {
	host, path := b.Host, b.PathOf(c.Name)
	if host == "" {
		host = r.Hostnames[0]
	}
	if path == "" {
		path = c.Path
	}
	if c.Query != "" {
		path += "?" + string(c.Query)
	}
	return idOf(fmt.Sprintf("%s pathProbe %s %s %s %s %s", address, scheme, r.Protocol, r.Hostnames[0], host, path))
}

func idOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:10])
}
