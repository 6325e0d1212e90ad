// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

const (
	// graceSeconds is the time in which a stopping proxy completes its requests.
	graceSeconds = 45
	// firstFreePort is the first port that needs no privilege.
	firstFreePort = 1024
	// evictAnnotation lets the cluster autoscaler remove a node although a pod
	// keeps a copy of its config on it.
	evictAnnotation = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
)

// deployment returns the Deployment of the proxies. A new pod is ready before an
// old one stops, and a stopping pod accepts connections until every node has
// removed it.
func deployment(proxy *callbackv1alpha1.CallbackProxy, o Options, replicas int32) *appsv1.Deployment {
	none, one, history := intstr.FromInt32(0), intstr.FromInt32(1), int32(3)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"},
		ObjectMeta: meta(proxy, Name(proxy.Name)),
		Spec: appsv1.DeploymentSpec{
			Replicas:             &replicas,
			RevisionHistoryLimit: &history,
			Selector:             &metav1.LabelSelector{MatchLabels: selector(proxy)},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      labels(proxy),
					Annotations: map[string]string{evictAnnotation: StateVolume},
				},
				Spec: podSpec(proxy, o),
			},
		},
	}
}

func podSpec(proxy *callbackv1alpha1.CallbackProxy, o Options) corev1.PodSpec {
	no, grace := false, int64(graceSeconds)
	container := Container(proxy, o.Image, nil)
	container.ImagePullPolicy = o.PullPolicy
	pod := corev1.PodSpec{
		ServiceAccountName:            Name(proxy.Name),
		AutomountServiceAccountToken:  &no,
		EnableServiceLinks:            &no,
		TerminationGracePeriodSeconds: &grace,
		SecurityContext:               podSecurity(Port(proxy)),
		Containers:                    []corev1.Container{container},
		Volumes:                       Volumes(),
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew:           1,
			TopologyKey:       corev1.LabelHostname,
			WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector:     &metav1.LabelSelector{MatchLabels: selector(proxy)},
			MatchLabelKeys:    []string{"pod-template-hash"},
		}},
	}
	for _, name := range o.PullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	pod.NodeSelector = plain(proxy.Spec.Deployment.NodeSelector)
	pod.Tolerations = tolerations(proxy.Spec.Deployment.Tolerations)
	return pod
}

// podSecurity returns the security context of the pods, in which the proxy can
// listen on privileged ports without root. It contains no user and no group, as
// that of the container.
func podSecurity(port int32) *corev1.PodSecurityContext {
	yes := true
	security := &corev1.PodSecurityContext{
		RunAsNonRoot:   &yes,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if port < firstFreePort {
		security.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: strconv.Itoa(int(port))}}
	}
	return security
}

// plain converts a map to the type of the Kubernetes API; nil for an empty one.
func plain[T ~string](declared map[string]T) map[string]string {
	if len(declared) == 0 {
		return nil
	}
	out := make(map[string]string, len(declared))
	for key, value := range declared {
		out[key] = string(value)
	}
	return out
}

func tolerations(declared []callbackv1alpha1.Toleration) []corev1.Toleration {
	tolerated := make([]corev1.Toleration, 0, len(declared))
	for _, d := range declared {
		t := corev1.Toleration{
			Key:      d.Key,
			Operator: corev1.TolerationOperator(d.Operator),
			Value:    d.Value,
			Effect:   corev1.TaintEffect(d.Effect),
		}
		if d.TolerationSeconds != nil {
			seconds := int64(*d.TolerationSeconds)
			t.TolerationSeconds = &seconds
		}
		tolerated = append(tolerated, t)
	}
	return tolerated
}

// disruptionBudget returns the PodDisruptionBudget: one proxy at a time may be
// evicted, and every unhealthy one, so that a node with a broken proxy can be
// drained.
func disruptionBudget(proxy *callbackv1alpha1.CallbackProxy) *policyv1.PodDisruptionBudget {
	one, always := intstr.FromInt32(1), policyv1.AlwaysAllow
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: policyv1.SchemeGroupVersion.String(), Kind: "PodDisruptionBudget"},
		ObjectMeta: meta(proxy, Name(proxy.Name)),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable:             &one,
			Selector:                   &metav1.LabelSelector{MatchLabels: selector(proxy)},
			UnhealthyPodEvictionPolicy: &always,
		},
	}
}
