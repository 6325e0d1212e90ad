// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// What config/samples calls things. The demo reads ports, addresses and times
// from the running system; only names are repeated here.
const (
	proxyNamespace = "callback-system"
	proxyName      = "edge"

	routeNamespace = "identity"
	routeName      = "acme-sso"
	host           = "auth.acme.test"
	callbackPath   = "/oauth2/callback"

	blueService  = "legacy-idp"
	greenService = "new-idp"
)

// The demo's own: a second route with a sunset that is waited for, and what
// the provider knows.
const (
	partnerRoute = "partner-sso"
	partnerPath  = "/partner/callback"

	managerAccount = "callback-manager"
	proxyAccount   = "callback-proxy"

	clientID = "acme"
	demoUser = "ada@acme.test"
	subject  = "ada" // the same user, as the provider identifies her
)

const (
	// lifetime of the second route: enough to program it and to log in twice.
	partnerLifetime = 12 * time.Second
	// patience is for what takes a second when all is well.
	patience = 60 * time.Second
	// kubectlPatience is what kubectl wait is given.
	kubectlPatience = "--timeout=60s"
	stopGrace       = 20 * time.Second
)
