// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/callbackproxy/callback-operator/test/idp/identity"
)

// next_steps.go prints what a user can do after the run.

func (d *demo) printNextSteps() {
	d.printf("Next:")
	d.printf("  make demo KEEP=1     the same, left running for kubectl and curl")
	d.printf("  make control-plane   a control plane alone, with a kubeconfig of its own")
	d.printf("  config/samples       the objects that were applied here")
	d.printf("  docs/spec            every field and every condition")
	d.printf("All processes of the demo end with this command.")
}

// printKeptCommands lists commands for the running demo.
func (d *demo) printKeptCommands() {
	d.printf("Everything is still running. In another terminal:")
	d.printf("  export KUBECONFIG=%s", d.kubectl.Kubeconfig)
	d.printf("  alias kubectl=%s", d.kubectl.Path)
	d.printf("  kubectl get callbacks -A")
	d.printf("  kubectl describe callbackroute %s -n %s", routeName, routeNamespace)
	d.printf("A callback goes to blue, and with a cookie of green to green; each refuses it, because no login began:")
	curl := fmt.Sprintf("  curl -i --connect-to '::%s' '%s?code=made-up&state=made-up'", d.proxies[0].Address, d.publicURL(callbackPath))
	d.printf("%s", curl)
	d.printf("%s -b %sx=1", curl, identity.LoginCookiePrefix("green"))
	d.printf("Back to blue for new logins, while those that began at green still finish there:")
	d.printf("  kubectl patch callbackroute %s -n %s --type=json -p '[%s]'", routeName, routeNamespace, weights(100, 0))
	d.printf("Pods and Services of your own get no containers and no endpoints here: there is no node.")
	d.printf("")
	d.printf("Ctrl-C stops everything.")
}
