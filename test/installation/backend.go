// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package installation

// backend.go: backends behind Services, and the addresses that lead to them.

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// servicePort is the port of every backend and its Service.
const servicePort = 8080

// BackendOptions configure a backend.
type BackendOptions struct {
	// Name is the body of its responses, and the key in Installation.Backends.
	Name string
	// Namespace and Service name a Service; it is created unless it exists.
	Namespace, Service string
	// Respond may be nil; see callbacks.NewRecorder.
	Respond http.Handler
}

// StartBackend starts a backend, writes the Pod and, without a controller
// manager, the EndpointSlice of its Service, and maps the Service's address for
// proxies that start after it.
func (in *Installation) StartBackend(ctx context.Context, o BackendOptions) (*callbacks.Backend, error) {
	host, err := in.NextHost()
	if err != nil {
		return nil, err
	}
	b, err := callbacks.StartBackend(ctx, o.Name, net.JoinHostPort(host, strconv.Itoa(servicePort)), o.Respond)
	if err != nil {
		return nil, err
	}
	in.Backends[o.Name] = b
	service, err := in.ensureService(ctx, o.Namespace, o.Service)
	if err != nil {
		return nil, err
	}
	return b, in.Serve(ctx, service, b.Address())
}

// Serve makes a process on this machine the backend of a Service, as far as the
// cluster and the proxies can see: a Pod that is ready, an EndpointSlice, and
// the mapping of the Service's first port.
func (in *Installation) Serve(ctx context.Context, service *corev1.Service, address string) error {
	in.backendPods++
	// The API server takes no loopback address in an EndpointSlice. These are
	// for documentation (RFC 5737).
	ip := fmt.Sprintf("203.0.113.%d", in.backendPods)
	port := service.Spec.Ports[0]
	pod, err := fixture.RunningPod(ctx, in.Client, fixture.Pod{
		Namespace: service.Namespace, Name: service.Name + "-0", Labels: service.Spec.Selector, IP: ip, OnNode: true,
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port.Port}},
	})
	if err != nil {
		return err
	}
	if !in.o.ControllerManager {
		if err := fixture.WriteEndpointSlice(ctx, in.Client, service, pod); err != nil {
			return err
		}
	}
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		ip = service.Spec.ClusterIP
	}
	in.Connect(net.JoinHostPort(ip, strconv.Itoa(int(port.Port))), address)
	return nil
}

// Connect maps an address (host:port) to another one for proxies that start
// after it.
func (in *Installation) Connect(from, to string) {
	in.connectTo = append(in.connectTo, "--connect-to="+from+"="+to)
}

// ConnectTo returns the flags of all mappings.
func (in *Installation) ConnectTo() []string { return in.connectTo }

func (in *Installation) ensureService(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: servicePort}},
		},
	}
	err := in.Client.Create(ctx, service)
	if apierrors.IsAlreadyExists(err) {
		err = in.Client.Get(ctx, client.ObjectKeyFromObject(service), service)
	}
	if err != nil {
		return nil, fmt.Errorf("make service %s/%s: %w", namespace, name, err)
	}
	return service, nil
}
