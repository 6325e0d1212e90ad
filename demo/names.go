// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// names.go repeats the names of config/samples and holds the demo's own.

// Names in config/samples. Ports, addresses and times are read from the samples
// or from the running system.
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

// The second route, and the provider's client and user.
const (
	partnerRoute = "partner-sso"
	partnerPath  = "/partner/callback"

	clientID = "acme"
	demoUser = "ada@acme.test"
	subject  = "ada" // the same user at the provider
)

// deploymentName is the name of the Deployment that the operator creates for
// the fleet.
const deploymentName = "callback-" + proxyName

// waitTimeout is for kubectl wait. An idle machine takes less than a second.
const waitTimeout = "--timeout=60s"
