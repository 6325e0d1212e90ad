// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package injection

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

const image = "callback-proxy:dev"

// byHand adds the sidecar of package workload to a pod.
func byHand(proxy *callbackv1alpha1.CallbackProxy, pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	var user *int64
	if security := pod.Spec.SecurityContext; security != nil {
		user = security.RunAsUser
	}
	pod.Spec.InitContainers = append([]corev1.Container{workload.Container(proxy, image, user)}, pod.Spec.InitContainers...)
	pod.Spec.Volumes = append(pod.Spec.Volumes, workload.Volumes()...)
	pod.Labels[callbackv1alpha1.ProxyLabel] = proxy.Name
	return pod
}

func noToken(p *corev1.Pod) { no := false; p.Spec.AutomountServiceAccountToken = &no }

func crowded(p *corev1.Pod) {
	p.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "app:1", SecurityContext: p.Spec.Containers[0].SecurityContext}}
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
}

func amounts(cpu, memory string) callbackv1alpha1.ResourceAmounts {
	a := callbackv1alpha1.ResourceAmounts{}
	for _, of := range []struct {
		to    **resource.Quantity
		value string
	}{{&a.CPU, cpu}, {&a.Memory, memory}} {
		if of.value != "" {
			quantity := resource.MustParse(of.value)
			*of.to = &quantity
		}
	}
	return a
}

// The API server injects the same sidecar as package workload builds, after
// the same defaulting and the same admission of the pod's account. The namespace enforces the Pod Security level restricted.
func TestInjection_EqualsWorkload(t *testing.T) {
	c := shared
	pods := map[string]func(*corev1.Pod){
		"bare": nil, "without a token": noToken, "crowded": crowded,
		"labelled":  func(p *corev1.Pod) { p.Labels[callbackv1alpha1.ProxyLabel] = "other" },
		"of a user": func(p *corev1.Pod) { p.Spec.SecurityContext.RunAsUser = new(int64(1000)) },
	}
	for name, resources := range map[string]callbackv1alpha1.ProxyResources{
		"defaults":   {},
		"requests":   {Requests: amounts("1", "300Mi")},
		"no-limits":  {Requests: amounts("50m", "")},
		"limits":     {Limits: amounts("10m", "16Mi")},
		"wide":       {Limits: amounts("2", "1Gi")},
		"whole":      {Requests: amounts("5m", "20Mi"), Limits: amounts("100m", "64Mi")},
		"cpu-alone":  {Limits: amounts("1500m", "")},
		"mixed":      {Requests: amounts("", "40Mi"), Limits: amounts("30m", "")},
		"fractional": {Requests: amounts("0.5", "33554433"), Limits: amounts("1", "134217729")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			namespace := "equal-" + name
			g.Expect(newNamespace(t.Context(), c, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})).To(Succeed())
			g.Expect(c.Create(t.Context(), newProxy(namespace, "bystander", nil))).To(Succeed())
			proxy := newProxy(namespace, "edge", func(s *callbackv1alpha1.CallbackProxySpec) {
				s.Sidecar.Resources = resources
				if name == "wide" {
					s.Listener.Port = 8443
				}
			})
			g.Expect(c.Create(t.Context(), proxy)).To(Succeed())
			for kind, change := range pods {
				pod := newPod(namespace, proxy.Name, change)
				want := byHand(proxy, pod)
				g.Eventually(func() error { return c.Create(t.Context(), pod) }, patience).Should(Succeed(), kind)
				g.Expect(c.Create(t.Context(), want)).To(Succeed(), kind)
				g.Expect(steady(g, pod)).To(Equal(steady(g, want)), kind)
				g.Expect(pod.Spec.InitContainers[0].Name).To(Equal(workload.ContainerName), kind)
				g.Expect(pod.Labels).To(HaveKeyWithValue(callbackv1alpha1.ProxyLabel, proxy.Name), kind)
			}
		})
	}
}

// steady returns a pod, as it would be written, without what differs between
// two of the same.
func steady(g *WithT, p *corev1.Pod) string {
	p = p.DeepCopy()
	p.ObjectMeta = metav1.ObjectMeta{Labels: p.Labels}
	for i := range p.Spec.Volumes {
		if strings.HasPrefix(p.Spec.Volumes[i].Name, "kube-api-access-") {
			p.Spec.Volumes[i].Name = "kube-api-access"
		}
	}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			for j := range list[i].VolumeMounts {
				if strings.HasPrefix(list[i].VolumeMounts[j].Name, "kube-api-access-") {
					list[i].VolumeMounts[j].Name = "kube-api-access"
				}
			}
		}
	}
	// Admission adds the account's own volume before or after ours.
	volumes := map[string]int{}
	for i := range p.Spec.Volumes {
		volumes[p.Spec.Volumes[i].Name] = i
	}
	if i, found := volumes["kube-api-access"]; found {
		p.Spec.Volumes = append(append(append([]corev1.Volume{}, p.Spec.Volumes[:i]...), p.Spec.Volumes[i+1:]...), p.Spec.Volumes[i])
	}
	written, err := yaml.Marshal(p)
	g.Expect(err).NotTo(HaveOccurred())
	return string(written)
}

// The application's container gets its account's token or not, as it asked;
// the sidecar has its own, once.
func TestInjection_Tokens(t *testing.T) {
	g, c := NewWithT(t), shared
	g.Expect(newNamespace(t.Context(), c, "tokens", nil)).To(Succeed())
	g.Expect(c.Create(t.Context(), newProxy("tokens", "edge", nil))).To(Succeed())
	for mounts, change := range map[int]func(*corev1.Pod){1: nil, 0: noToken} {
		pod := newPod("tokens", "edge", change)
		g.Eventually(func() error { return c.Create(t.Context(), pod) }, patience).Should(Succeed())
		g.Expect(pod.Spec.Containers[0].VolumeMounts).To(HaveLen(mounts))
		var names []string
		for _, m := range pod.Spec.InitContainers[0].VolumeMounts {
			names = append(names, m.Name)
		}
		g.Expect(names).To(Equal([]string{workload.StateVolume, workload.TokenVolume}))
	}
}

// The sidecar declares a user only in a pod of root, which runAsNonRoot refuses:
// OpenShift's restricted-v2 refuses a declared user.
func TestInjection_DeclaresAUserInPodsOfRootOnly(t *testing.T) {
	c := shared
	g := NewWithT(t)
	g.Expect(newNamespace(t.Context(), c, "users", nil)).To(Succeed())
	proxy := newProxy("users", "edge", nil)
	g.Expect(c.Create(t.Context(), proxy)).To(Succeed())
	for name, security := range map[string]*corev1.PodSecurityContext{
		"no context": nil,
		"no user":    {RunAsNonRoot: new(true), FSGroup: new(int64(2000))},
		"a user":     {RunAsUser: new(int64(1000)), RunAsGroup: new(int64(1000))},
		"root":       {RunAsUser: new(int64(0))},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := newPod("users", "edge", func(p *corev1.Pod) { p.Spec.SecurityContext = security })
			want := byHand(proxy, pod)
			g.Eventually(func() error { return c.Create(t.Context(), pod) }, patience).Should(Succeed())
			g.Expect(c.Create(t.Context(), want)).To(Succeed())
			g.Expect(steady(g, pod)).To(Equal(steady(g, want)))
			sidecar := pod.Spec.InitContainers[0].SecurityContext
			g.Expect(sidecar.RunAsNonRoot).To(HaveValue(BeTrue()))
			if name == "root" {
				g.Expect(sidecar.RunAsUser).To(HaveValue(BeEquivalentTo(65532)))
				g.Expect(sidecar.RunAsGroup).To(HaveValue(BeEquivalentTo(65532)))
			} else {
				g.Expect(sidecar.RunAsUser).To(BeNil())
				g.Expect(sidecar.RunAsGroup).To(BeNil())
			}
		})
	}
}

// A pod that has the sidecar already, by hand or by kubectl callback inject,
// gets no second one.
func TestInjection_HappensOnce(t *testing.T) {
	g, c := NewWithT(t), shared
	g.Expect(newNamespace(t.Context(), c, "once", nil)).To(Succeed())
	proxy := newProxy("once", "edge", nil)
	g.Expect(c.Create(t.Context(), proxy)).To(Succeed())
	pod := newPod("once", "edge", nil)
	g.Eventually(func() error { return c.Create(t.Context(), pod) }, patience).Should(Succeed())
	again := pod.DeepCopy()
	again.ObjectMeta = metav1.ObjectMeta{Namespace: "once", GenerateName: "again-", Labels: pod.Labels}
	g.Expect(c.Create(t.Context(), again)).To(Succeed())
	g.Expect(again.Spec.InitContainers).To(Equal(pod.Spec.InitContainers))
	g.Expect(again.Spec.Volumes).To(HaveLen(len(pod.Spec.Volumes)))
}

// Pods without the label, and updates of pods, stay unchanged.
func TestInjection_SkipsOtherPods(t *testing.T) {
	g, c := NewWithT(t), shared
	g.Expect(newNamespace(t.Context(), c, "alone", nil)).To(Succeed())
	g.Expect(c.Create(t.Context(), newProxy("alone", "edge", nil))).To(Succeed())
	pod := newPod("alone", "", nil)
	g.Expect(c.Create(t.Context(), pod)).To(Succeed())
	g.Expect(pod.Spec.InitContainers).To(BeEmpty())
	g.Expect(pod.Labels).To(BeEmpty())
	pod.Labels = map[string]string{callbackv1alpha1.InjectLabel: "edge"}
	g.Expect(c.Update(t.Context(), pod)).To(Succeed())
	g.Expect(pod.Spec.InitContainers).To(BeEmpty())
}

// A labelled pod without its sidecar is denied with a message that lists the
// remedies.
func TestInjection_DeniesPodsWithoutTheirSidecar(t *testing.T) {
	c := shared
	g := NewWithT(t)
	for _, namespace := range []string{"denied", "denied-other", "denied-empty"} {
		g.Expect(newNamespace(t.Context(), c, namespace, nil)).To(Succeed())
	}
	g.Expect(c.Create(t.Context(), newProxy("denied", "sidecar", nil))).To(Succeed())
	g.Expect(c.Create(t.Context(), newProxy("denied-other", "elsewhere", nil))).To(Succeed())
	for name, mode := range map[string]callbackv1alpha1.ProxyMode{"fleet": callbackv1alpha1.ModeDeployment, "external": callbackv1alpha1.ModeExternal} {
		g.Expect(c.Create(t.Context(), newProxy("denied", name, func(s *callbackv1alpha1.CallbackProxySpec) {
			s.Mode, s.Sidecar = mode, callbackv1alpha1.ProxySidecar{}
		}))).To(Succeed())
	}
	g.Eventually(func() error { return c.Create(t.Context(), newPod("denied", "sidecar", nil), client.DryRunAll) }, patience).Should(Succeed())
	fake := func(args ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			always := corev1.ContainerRestartPolicyAlways
			p.Spec.InitContainers = []corev1.Container{{Name: workload.ContainerName, Image: image, Args: args, RestartPolicy: &always}}
		}
	}
	for _, tc := range []struct {
		name, namespace, proxy string
		change                 func(*corev1.Pod)
	}{
		{"no such proxy", "denied", "missing", nil},
		{"empty name", "denied", "", func(p *corev1.Pod) { p.Labels = map[string]string{callbackv1alpha1.InjectLabel: ""} }},
		{"mode Deployment", "denied", "fleet", nil},
		{"mode External", "denied", "external", nil},
		{"another namespace's", "denied", "elsewhere", nil},
		{"no proxy in the namespace", "denied-empty", "sidecar", nil},
		{"a container of that name", "denied", "sidecar", fake()},
		{"another proxy's sidecar", "denied", "sidecar", fake("--namespace=denied", "--proxy=fleet")},
		{"another namespace's sidecar", "denied", "sidecar", fake("--namespace=other", "--proxy=sidecar")},
		{"a sidecar that ends", "denied", "sidecar", func(p *corev1.Pod) {
			fake("--namespace=denied", "--proxy=sidecar")(p)
			p.Spec.InitContainers[0].RestartPolicy = nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			err := c.Create(t.Context(), newPod(tc.namespace, tc.proxy, tc.change))
			g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring(
				"requires the sidecar of CallbackProxy '" + tc.proxy + "', and the pod has none: create a CallbackProxy of that name with spec.mode Sidecar in namespace '" + tc.namespace + "'")))
			g.Expect(err).To(MatchError(ContainSubstring("kubectl callback inject")))
		})
	}
}

// A change of the CallbackProxy applies to the next pod.
func TestInjection_FollowsItsProxy(t *testing.T) {
	g, c := NewWithT(t), shared
	g.Expect(newNamespace(t.Context(), c, "follows", nil)).To(Succeed())
	proxy := newProxy("follows", "edge", nil)
	g.Expect(c.Create(t.Context(), proxy)).To(Succeed())
	args := func() []string {
		pod := newPod("follows", "edge", nil)
		if err := c.Create(t.Context(), pod, client.DryRunAll); err != nil {
			return nil
		}
		return pod.Spec.InitContainers[0].Args
	}
	g.Eventually(args, patience).Should(ContainElement("--app-port=3000"))
	proxy.Spec.Sidecar.AppPort = 4000
	g.Expect(c.Update(t.Context(), proxy)).To(Succeed())
	g.Eventually(args, patience).Should(ContainElement("--app-port=4000"))
	proxy.Spec.Mode, proxy.Spec.Sidecar = callbackv1alpha1.ModeDeployment, callbackv1alpha1.ProxySidecar{}
	g.Expect(c.Update(t.Context(), proxy)).To(Succeed())
	g.Eventually(args, patience).Should(BeNil())
}

// F57: a pod whose application speaks HTTP/2 behind the sidecar is denied with the
// reason; the annotation decides over the name of the port.
func TestF57_Injection_DeniesHTTP2(t *testing.T) {
	g, c := NewWithT(t), shared
	g.Expect(newNamespace(t.Context(), c, "http2", nil)).To(Succeed())
	g.Expect(c.Create(t.Context(), newProxy("http2", "edge", nil))).To(Succeed())
	g.Eventually(func() error { return c.Create(t.Context(), newPod("http2", "edge", nil), client.DryRunAll) }, patience).Should(Succeed())
	for _, tc := range []struct {
		name, protocol, port string
		number               int32
		want                 string
	}{
		{"gRPC by name", "", "grpc", 3000, "the port behind it is named 'grpc', which stands for HTTP/2: let the application serve the callbacks on a port of its own with HTTP/1.1"},
		{"h2c by name", "", "h2c-api", 3000, "the port behind it is named 'h2c-api'"},
		{"HTTP/2 by name", "", "http2", 3000, "the port behind it is named 'http2'"},
		{"h2c by annotation", "kubernetes.io/h2c", "web", 3000, "the annotation callbackproxy.io/app-protocol states that the application speaks 'kubernetes.io/h2c'"},
		{"gRPC by annotation", "grpc", "", 0, "the annotation callbackproxy.io/app-protocol states that the application speaks 'grpc'"},
		{"HTTP/1.1 by annotation", "http", "grpc", 3000, ""},
		{"gRPC-Web", "", "grpc-web", 3000, ""},
		{"another port", "", "grpc", 3001, ""},
		{"HTTP", "", "http-app", 3000, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			err := c.Create(t.Context(), newPod("http2", "edge", func(p *corev1.Pod) {
				if tc.protocol != "" {
					p.Annotations = map[string]string{callbackv1alpha1.AppProtocolAnnotation: tc.protocol}
				}
				if tc.port != "" {
					p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: tc.port, ContainerPort: tc.number}}
				}
			}))
			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring("the sidecar of CallbackProxy 'edge' speaks HTTP/1.1, and " + tc.want)))
		})
	}
}
