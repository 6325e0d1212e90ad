// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// settings.go: which settings a proxy refuses.

import (
	"fmt"
	"net/netip"
)

func (s *Settings) validate() error {
	if s.ListenerPort < 1 || s.ListenerPort > 65535 {
		return fmt.Errorf("listener port %d is not a port", s.ListenerPort)
	}
	for _, cidr := range s.Forwarding.TrustedProxies {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil || prefix.Masked().String() != cidr {
			return fmt.Errorf("trusted proxies: %q is not a network without host bits", cidr)
		}
	}
	switch s.Forwarding.ExternalScheme {
	case "", "http", "https":
	default:
		return fmt.Errorf("external scheme %q is neither http nor https", s.Forwarding.ExternalScheme)
	}
	switch s.Forwarding.HostFrom {
	case "", FromHost, FromForwardedHost:
	default:
		return fmt.Errorf("hostFrom %q is not known", s.Forwarding.HostFrom)
	}
	if s.HealthPath != "" {
		if err := checkRegisteredPath(s.HealthPath); err != nil {
			return fmt.Errorf("health path: %w", err)
		}
	}
	return s.Limits.validate()
}

// The highest limits, in KiB: what a front may send at most.
const (
	maxHeaderKiB = 1024
	maxTargetKiB = 256
	maxBodyKiB   = 16 * 1024
)

func (l *Limits) validate() error {
	for _, limit := range []struct {
		name       string
		value, max int32
	}{{"headerKiB", l.HeaderKiB, maxHeaderKiB}, {"targetKiB", l.TargetKiB, maxTargetKiB}, {"bodyKiB", l.BodyKiB, maxBodyKiB}} {
		if limit.value < 0 || limit.value > limit.max {
			return fmt.Errorf("limit %s is %d, 1 to %d are allowed", limit.name, limit.value, limit.max)
		}
	}
	return nil
}
