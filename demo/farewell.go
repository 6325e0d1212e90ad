// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// farewell says what to try next. Everything is stopped when it is read.
func (d *demo) farewell() {
	d.say("What to try next:")
	d.say("  make demo KEEP=1     the same, and leaves it running for kubectl and curl")
	d.say("  make control-plane   a control plane alone, with a kubeconfig of its own")
	d.say("  config/samples       the objects that were applied here")
	d.say("  docs/spec            every field and every condition")
	d.say("All that was started here ends with this command.")
}

// invite says how to use what is left running, and how to stop it.
func (d *demo) invite() {
	d.say("It is left running. In another terminal:")
	d.say("  export KUBECONFIG=%s", d.controlPlane.Kubeconfig)
	if d.kubectl.built {
		d.say("  alias kubectl=%s", d.kubectl.path)
	}
	d.say("  kubectl get callbacks -A")
	d.say("  kubectl describe callbackroute %s -n %s", routeName, routeNamespace)
	d.say("A callback that nobody waits for, to the backend that the route names now:")
	d.say("  curl -i --resolve %s:%d:%s '%s?code=made-up&state=made-up'", host, d.port, d.proxies[0].ip, d.publicURL(callbackPath))
	d.say("Back to blue, and then the same curl:")
	d.say("  kubectl patch callbackroute %s -n %s --type=json -p '%s'", routeName, routeNamespace, weights(100, 0))
	d.say("")
	d.say("Ctrl-C stops all of it.")
}
