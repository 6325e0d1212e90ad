// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workload computes the objects that run a fleet of proxies. In: a
// CallbackProxy and the settings of the manager; out: the proxy's container and
// volumes, and in mode Deployment every object that runs them. Pure.
package workload

import (
	"cmp"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Names in a pod, the same in both modes.
const (
	// ContainerName is the name of the proxy's container.
	ContainerName = "callback-proxy"
	// StateVolume holds the last good config.
	StateVolume = "callback-proxy-state"
	// TokenVolume holds the token with which the proxy reads its config.
	TokenVolume = "callback-proxy-token"
	// HTTPPortName is the port for callbacks; the admin port's name is
	// callbackv1alpha1.AdminPortName.
	HTTPPortName = "http"
	// AdminPort is the admin port of every proxy that the operator runs.
	AdminPort = 9090
	// rootlessUser is the user and the group of the proxy's image.
	rootlessUser = 65532
)

const (
	stateDir = "/var/lib/callback-proxy"
	// tokenDir is the directory in which client libraries look for the account.
	tokenDir = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path, no secret
	// tokenSeconds is how long a token is valid; the kubelet renews it.
	tokenSeconds = 3600
	// tokenMode lets the proxy read the token, whichever user it runs as.
	tokenMode = 0o444
	// defaultPort is the CRD's default of spec.listener.port, for manifests that
	// did not pass an API server.
	defaultPort = 8080
	// goneSeconds is how long a stopping proxy serves on, so that every node
	// removes it first.
	goneSeconds = 5
)

// Container returns the proxy's container for the mode of a CallbackProxy: the
// only one of its pod, or a native sidecar that goes before the other init
// containers. It meets the Pod Security level "restricted" by itself, and so in
// any pod. podUser is the runAsUser of the pod's security context; nil for none.
// Its volumes are those of Volumes.
func Container(proxy *callbackv1alpha1.CallbackProxy, image string, podUser *int64) corev1.Container {
	port := Port(proxy)
	container := corev1.Container{
		Name:  ContainerName,
		Image: image,
		Args: []string{
			"--namespace=" + proxy.Namespace,
			"--proxy=" + proxy.Name,
			fmt.Sprintf("--listen-address=:%d", port),
			"--state-dir=" + stateDir,
		},
		Ports: []corev1.ContainerPort{
			{Name: HTTPPortName, ContainerPort: port, Protocol: corev1.ProtocolTCP},
			{Name: callbackv1alpha1.AdminPortName, ContainerPort: AdminPort, Protocol: corev1.ProtocolTCP},
		},
		Resources:       resources(proxy),
		SecurityContext: restricted(podUser),
		LivenessProbe:   probe("/healthz", 10, 6),
		VolumeMounts: []corev1.VolumeMount{
			{Name: StateVolume, MountPath: stateDir},
			{Name: TokenVolume, MountPath: tokenDir, ReadOnly: true},
		},
	}
	// The kubelet restarts a process that hangs for a minute, not a slow one.
	container.LivenessProbe.TimeoutSeconds = 5
	if proxy.Spec.Mode == callbackv1alpha1.ModeSidecar {
		always := corev1.ContainerRestartPolicyAlways
		container.RestartPolicy = &always
		// It stops after the application, when its pod gets no requests any more.
		container.Args = append(container.Args, fmt.Sprintf("--app-port=%d", proxy.Spec.Sidecar.AppPort), "--drain-delay=0s")
		container.ReadinessProbe = probe("/readyz", 5, 2)
		// The application starts once the sidecar has a config; after a minute
		// without one the kubelet restarts the sidecar.
		container.StartupProbe = probe("/readyz", 1, 60)
		return container
	}
	container.Args = append(container.Args, "--drain-delay=3s")
	container.ReadinessProbe = probe("/readyz", 2, 2)
	container.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
		Sleep: &corev1.SleepAction{Seconds: goneSeconds},
	}}
	return container
}

// Volumes returns the volumes of Container, the same in both modes. The token is
// a volume of its own, because an application's pod need not mount one.
//
// Any user can use them, so the pod needs no fsGroup. The kubelet gives an
// emptyDir the mode 0777. It gives the token tokenMode, or, in a pod with an
// fsGroup or with one runAsUser for all containers, the mode 0600 and the
// ownership of that group or user.
func Volumes() []corev1.Volume {
	size, seconds, mode := resource.MustParse("64Mi"), int64(tokenSeconds), int32(tokenMode)
	return []corev1.Volume{
		{Name: StateVolume, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &size},
		}},
		{Name: TokenVolume, VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
					Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
				}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
					{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
				}}},
			}},
		}},
	}
}

// Port returns the port for callbacks.
func Port(proxy *callbackv1alpha1.CallbackProxy) int32 {
	return cmp.Or(proxy.Spec.Listener.Port, defaultPort)
}

func probe(path string, periodSeconds, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromString(callbackv1alpha1.AdminPortName),
		}},
		PeriodSeconds:    periodSeconds,
		FailureThreshold: failures,
	}
}

// restricted returns the security context that the Pod Security level of that name
// requires. It belongs to the container, so that it holds in any pod.
//
// It contains a user only where the pod's is root, which RunAsNonRoot refuses.
// Elsewhere the user is the pod's or the image's, or the one that OpenShift
// assigns from the namespace's range; OpenShift refuses a declared one.
func restricted(podUser *int64) *corev1.SecurityContext {
	yes, no := true, false
	security := &corev1.SecurityContext{
		RunAsNonRoot:             &yes,
		ReadOnlyRootFilesystem:   &yes,
		AllowPrivilegeEscalation: &no,
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if podUser != nil && *podUser == 0 {
		user := int64(rootlessUser)
		security.RunAsUser, security.RunAsGroup = &user, &user
	}
	return security
}

// resources are the declared amounts over the defaults. A default never
// contradicts what was declared: a request is at most the limit.
func resources(proxy *callbackv1alpha1.CallbackProxy) corev1.ResourceRequirements {
	requests := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("20m"),
		corev1.ResourceMemory: resource.MustParse("32Mi"),
	}
	limits := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}
	wanted := declared(proxy)
	least, most := amounts(wanted.Requests), amounts(wanted.Limits)
	maps.Copy(requests, least)
	maps.Copy(limits, most)
	for name, limit := range limits {
		request := requests[name]
		if request.Cmp(limit) <= 0 {
			continue
		}
		_, isRequested := least[name]
		_, isLimited := most[name]
		switch {
		case !isRequested:
			requests[name] = limit
		case !isLimited:
			limits[name] = request
		}
		// When both are declared, the API server refuses a limit below a request,
		// and its message is in the status.
	}
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}

func declared(proxy *callbackv1alpha1.CallbackProxy) callbackv1alpha1.ProxyResources {
	if proxy.Spec.Mode == callbackv1alpha1.ModeSidecar {
		return proxy.Spec.Sidecar.Resources
	}
	return proxy.Spec.Deployment.Resources
}

func amounts(declared callbackv1alpha1.ResourceAmounts) corev1.ResourceList {
	list := corev1.ResourceList{}
	if declared.CPU != nil {
		list[corev1.ResourceCPU] = *declared.CPU
	}
	if declared.Memory != nil {
		list[corev1.ResourceMemory] = *declared.Memory
	}
	return list
}
