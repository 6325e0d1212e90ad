// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/workload"
	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// identity is a ServiceAccount and its expected rights.
type identity struct {
	name    string
	account types.NamespacedName
	may     []string
	mayNot  []string
}

// forbidden are the rights that no identity has: "verb resource[/subresource][.group]
// namespace [name]", where - is no namespace.
var forbidden = []string{
	"get secrets callback-system", "list secrets callback-system", "watch secrets callback-system",
	"list secrets -", "get secrets kube-system", "create secrets callback-system", "get secrets identity edge-tls",
	"create pods callback-system", "delete pods callback-system", "create pods/exec callback-system",
	"create pods/attach identity", "create pods/portforward callback-system", "get pods/log identity", "create pods/eviction callback-system",
	"patch pods identity", "update pods/ephemeralcontainers identity", "create serviceaccounts/token callback-system",
	"create serviceaccounts/token kube-system", "impersonate users -", "impersonate groups -", "impersonate serviceaccounts kube-system",
	"create clusterrolebindings.rbac.authorization.k8s.io -", "patch clusterrolebindings.rbac.authorization.k8s.io -",
	"create clusterroles.rbac.authorization.k8s.io -", "escalate clusterroles.rbac.authorization.k8s.io -",
	"bind clusterroles.rbac.authorization.k8s.io - cluster-admin", "bind clusterroles.rbac.authorization.k8s.io callback-system admin",
	"create roles.rbac.authorization.k8s.io callback-system", "escalate roles.rbac.authorization.k8s.io callback-system",
	"delete rolebindings.rbac.authorization.k8s.io callback-system", "update rolebindings.rbac.authorization.k8s.io callback-system",
	"create namespaces -", "delete namespaces - identity", "patch namespaces - identity", "get nodes -", "list nodes -", "create nodes/proxy -",
	"get configmaps callback-system", "create configmaps callback-system", "patch configmaps kube-system",
	"create mutatingwebhookconfigurations.admissionregistration.k8s.io -", "patch validatingwebhookconfigurations.admissionregistration.k8s.io -",
	"delete validatingadmissionpolicies.admissionregistration.k8s.io -", "patch mutatingadmissionpolicies.admissionregistration.k8s.io -",
	"patch customresourcedefinitions.apiextensions.k8s.io -", "delete customresourcedefinitions.apiextensions.k8s.io -",
	"create callbackroutes.callbackproxy.io identity", "patch callbackroutes.callbackproxy.io identity", "delete callbackroutes.callbackproxy.io identity",
	"create callbackproxies.callbackproxy.io callback-system", "update callbackproxies.callbackproxy.io callback-system",
	"delete callbackproxies.callbackproxy.io callback-system", "update callbackroutes/finalizers.callbackproxy.io identity",
	"create referencegrants.gateway.networking.k8s.io identity", "patch endpointslices.discovery.k8s.io identity",
	"create persistentvolumes -", "create jobs.batch callback-system", "create daemonsets.apps callback-system",
	"patch services identity", "delete services identity", "patch deployments.apps identity", "create deployments.apps kube-system",
	"delete leases.coordination.k8s.io callback-system", "get leases.coordination.k8s.io kube-system",
	"patch ingresses.networking.k8s.io callback-system", "approve certificatesigningrequests.certificates.k8s.io -",
}

// fleetWrites lists rights on the objects of fleets of mode Deployment.
func fleetWrites(verbs, namespace string) []string {
	var lines []string
	for _, resource := range []string{
		"deployments.apps", "services", "serviceaccounts", "poddisruptionbudgets.policy", "networkpolicies.networking.k8s.io",
	} {
		for verb := range strings.SplitSeq(verbs, ",") {
			lines = append(lines, verb+" "+resource+" "+namespace)
		}
	}
	return lines
}

// watched lists the manager's rights in each watched namespace.
func watched(namespace string) []string {
	var lines []string
	for verb := range strings.SplitSeq("get,list,watch", ",") {
		for _, resource := range []string{
			"callbackroutes.callbackproxy.io", "callbackproxies.callbackproxy.io", "callbackproxyconfigs.callbackproxy.io",
			"services", "pods", "endpointslices.discovery.k8s.io", "referencegrants.gateway.networking.k8s.io",
		} {
			lines = append(lines, verb+" "+resource+" "+namespace)
		}
	}
	return append(lines,
		"patch callbackroutes/status.callbackproxy.io "+namespace, "patch callbackproxies/status.callbackproxy.io "+namespace,
		"create callbackproxyconfigs.callbackproxy.io "+namespace, "update callbackproxyconfigs.callbackproxy.io "+namespace,
		"delete callbackproxyconfigs.callbackproxy.io "+namespace, "create events "+namespace,
		"create rolebindings.rbac.authorization.k8s.io "+namespace, "patch rolebindings.rbac.authorization.k8s.io "+namespace,
	)
}

func identities() []identity {
	manager := func(namespace string) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: release}
	}
	config := func(verbs, namespace string) []string {
		var lines []string
		for verb := range strings.SplitSeq(verbs, ",") {
			lines = append(lines, verb+" callbackproxyconfigs.callbackproxy.io "+namespace)
		}
		return lines
	}
	configWrites := slices.Concat(config("create,update,patch,delete", system), config("get,list,watch,create", "identity"), config("list", "-"))
	reader := slices.Concat(configWrites, forbidden, watched("tenant-b"), fleetWrites("get,create,patch,delete", system), []string{
		"get callbackproxies.callbackproxy.io callback-system", "list callbackroutes.callbackproxy.io callback-system",
		"patch callbackproxies/status.callbackproxy.io callback-system", "get pods callback-system", "list services callback-system",
		"create events callback-system", "get namespaces -", "create tokenreviews.authentication.k8s.io -",
	})
	return []identity{
		{
			name: "manager, scope cluster", account: manager(system),
			may: slices.Concat(watched("identity"), watched("-"), watched(system), fleetWrites("get,list,watch,create,patch,delete", system), []string{
				"list namespaces -", "watch namespaces -", "create tokenreviews.authentication.k8s.io -",
				"create subjectaccessreviews.authorization.k8s.io -", "bind clusterroles.rbac.authorization.k8s.io identity " + release + "-proxy",
				"list horizontalpodautoscalers.autoscaling callback-system", "update leases.coordination.k8s.io callback-system",
			}),
			mayNot: slices.Concat(forbidden, fleetWrites("create,patch,delete", "identity"), fleetWrites("create,patch", "-"),
				[]string{"patch horizontalpodautoscalers.autoscaling callback-system", "patch deployments/scale.apps callback-system"}),
		},
		{
			name: "manager, scope namespaces", account: manager("narrow"),
			may: slices.Concat(watched("tenant-a"), watched("fleets"), fleetWrites("get,list,watch,create,patch,delete", "fleets"),
				[]string{"update leases.coordination.k8s.io narrow"}),
			mayNot: slices.Concat(forbidden, watched("identity"), watched("-"), watched("tenant-b"), fleetWrites("create,patch,delete", "tenant-a"),
				fleetWrites("create,patch,delete", "narrow"), []string{
					"get namespaces - tenant-a", "list namespaces -", "watch namespaces -",
					"bind clusterroles.rbac.authorization.k8s.io - " + release + "-proxy",
				}),
		},
		{
			name: "proxy of a Deployment", account: types.NamespacedName{Namespace: system, Name: "callback-edge"},
			may: config("get,list,watch", system), mayNot: reader,
		},
		{
			name: "application with a sidecar", account: types.NamespacedName{Namespace: "tenant-a", Name: "shop"},
			may:    config("get,list,watch", "tenant-a"),
			mayNot: slices.Concat(reader, config("create,update,patch,delete", "tenant-a"), config("get,list", system), config("get,list", "tenant-b")),
		},
		{
			name: "application beside it, in another namespace", account: types.NamespacedName{Namespace: "tenant-b", Name: "shop"},
			mayNot: slices.Concat(reader, config("get,list,watch", "tenant-a"), config("get,list,watch", "tenant-b"), config("get", system)),
		},
	}
}

// The API server's authorizer decides from the chart's roles and the operator's
// RoleBinding. An attacker in a proxy has the rights of the proxy's account.
func TestT13_ProxyReadsItsConfigOnly(t *testing.T) {
	expectRights(t, func(who identity) bool { return who.account.Name != release })
}

// The same for an attacker in the manager, or a bug in it.
func TestT14_ManagerHasNoOtherRights(t *testing.T) {
	expectRights(t, func(who identity) bool { return who.account.Name == release })
}

func expectRights(t *testing.T, selected func(identity) bool) {
	t.Helper()
	_, c := cluster(t)
	installRights(t, c)
	for _, who := range identities() {
		if !selected(who) {
			continue
		}
		t.Run(who.name, func(t *testing.T) {
			NewWithT(t).Expect(len(who.mayNot)).To(BeNumerically(">", 60))
			for _, line := range who.may {
				if !isAllowed(t, c, who.account, line) {
					t.Errorf("missing right: %s", line)
				}
			}
			for _, line := range who.mayNot {
				if isAllowed(t, c, who.account, line) {
					t.Errorf("excessive right: %s", line)
				}
			}
		})
	}
}

// installRights applies the roles of two releases, one of each scope, and the
// RoleBinding that the operator creates for a fleet of each mode.
func installRights(t *testing.T, c client.Client) {
	t.Helper()
	kinds := []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
	apply := func(object client.Object) {
		t.Helper()
		if err := c.Create(t.Context(), object); client.IgnoreAlreadyExists(err) != nil {
			t.Fatalf("create %s: %v", object.GetName(), err)
		}
	}
	for _, r := range []rendering.Release{
		{Name: release, Namespace: system, Values: parse(t, "")},
		{Name: release + "-narrow", Namespace: "narrow", Values: parse(t,
			`{scope: namespaces, namespaces: [tenant-a], proxyNamespaces: [fleets], metrics: {secure: false}, serviceAccount: {name: callback-operator}}`)},
	} {
		apply(newNamespace(r.Namespace))
		objects, _, err := rendering.Render(load(t), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range ofKind(objects, kinds...) {
			apply(object.Unstructured)
		}
	}
	for _, fleet := range []callbackv1alpha1.CallbackProxy{
		{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "edge"}, Spec: callbackv1alpha1.CallbackProxySpec{Mode: callbackv1alpha1.ModeDeployment}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant-a", Name: "shop"}, Spec: callbackv1alpha1.CallbackProxySpec{Mode: callbackv1alpha1.ModeSidecar}},
	} {
		fleet.UID = "11111111-2222-3333-4444-555555555555"
		binding, err := workload.RoleBinding(&fleet, workload.Options{ClusterRole: release + "-proxy"})
		if err != nil {
			t.Fatal(err)
		}
		apply(binding)
	}
}

// isAllowed returns the decision of the API server's authorizer for an account
// with its groups.
func isAllowed(t *testing.T, c client.Client, account types.NamespacedName, line string) bool {
	t.Helper()
	fields := strings.Fields(line)
	resource, group, _ := strings.Cut(fields[1], ".")
	resource, subresource, _ := strings.Cut(resource, "/")
	attributes := &authorizationv1.ResourceAttributes{
		Verb: fields[0], Group: group, Resource: resource, Subresource: subresource,
		Namespace: strings.TrimPrefix(fields[2], "-"), Version: "*",
	}
	if len(fields) > 3 {
		attributes.Name = fields[3]
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: attributes,
		User:               "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
	}}
	if err := c.Create(t.Context(), review); err != nil {
		t.Fatalf("review %q: %v", line, err)
	}
	return review.Status.Allowed
}
