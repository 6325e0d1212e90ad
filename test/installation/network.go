// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package installation

// network.go: loopback addresses that no other installation on this machine uses.

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// network is the first three numbers of an installation's addresses; on Linux
// all of 127/8 is loopback.
type network struct {
	prefix string
	claim  net.Listener
	last   int
}

// claimPort is bound as long as a network is in use.
const claimPort = ":8079"

func claimNetwork() (*network, error) {
	var last error
	for a := 16; a < 250; a++ {
		for b := range 250 {
			prefix := fmt.Sprintf("127.%d.%d", a, b)
			claim, err := net.Listen("tcp", prefix+".1"+claimPort)
			if err == nil {
				return &network{prefix: prefix, claim: claim}, nil
			}
			last = err
			if errors.Is(err, syscall.EADDRNOTAVAIL) { // not on Linux
				return nil, fmt.Errorf("claim loopback addresses: %w", err)
			}
		}
	}
	return nil, fmt.Errorf("claim loopback addresses: %w", last)
}

func (n *network) release() {
	if n != nil {
		_ = n.claim.Close()
	}
}

// NextHost returns a loopback address that nothing else uses.
func (in *Installation) NextHost() (string, error) {
	if in.network == nil {
		var err error
		if in.network, err = claimNetwork(); err != nil {
			return "", err
		}
	}
	if in.network.last == 254 {
		return "", errors.New("choose a loopback address: all of this installation's are in use")
	}
	in.network.last++
	return fmt.Sprintf("%s.%d", in.network.prefix, in.network.last), nil
}
