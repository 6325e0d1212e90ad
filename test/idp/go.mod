// The OpenID provider, identity service and browser of the tests and the demo. A module of its own: its requirements must not
// become requirements of the operator.
module github.com/callbackproxy/callback-operator/test/idp

go 1.26.0

require (
	github.com/coreos/go-oidc/v3 v3.21.0
	github.com/go-jose/go-jose/v4 v4.1.8
	github.com/onsi/gomega v1.44.0
	golang.org/x/oauth2 v0.37.0
	k8s.io/utils v0.0.0-20260626114624-be93311217bd
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.56.0 // indirect
	golang.org/x/text v0.38.0 // indirect
)
