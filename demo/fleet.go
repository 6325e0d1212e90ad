// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// fleet.go runs the Deployment that the operator created, in the place of
// Kubernetes' controllers and a kubelet.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/fixture"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// startFleet waits for the objects that the operator creates for the fleet, and
// runs one proxy for each declared replica.
func (d *demo) startFleet(ctx context.Context) error {
	_, err := d.kubectl.show(ctx, "wait", "--for=create", waitTimeout, "deployment/"+deploymentName, "-n", proxyNamespace)
	if err != nil {
		return err
	}
	_, err = d.kubectl.show(ctx, "get", "deployments,services,serviceaccounts,rolebindings,poddisruptionbudgets,networkpolicies",
		"-n", proxyNamespace, "-l", "callbackproxy.io/proxy="+proxyName, "-o", "name")
	if err != nil {
		return err
	}
	d.printf("The operator created these. The demo runs the Deployment's pods as processes, with their service account.")
	deployment := &appsv1.Deployment{}
	if err := d.installation.Client.Get(ctx, client.ObjectKey{Namespace: proxyNamespace, Name: deploymentName}, deployment); err != nil {
		return fmt.Errorf("read the fleet's Deployment: %w", err)
	}
	kubeconfig, err := d.writeKubeconfig(ctx, deployment.Spec.Template.Spec.ServiceAccountName)
	if err != nil {
		return err
	}
	for i := range int(*deployment.Spec.Replicas) {
		if err := d.startProxy(ctx, deployment, fmt.Sprintf("%s-%d", deploymentName, i), kubeconfig); err != nil {
			return err
		}
	}
	if err := d.reportReplicas(ctx, deployment); err != nil {
		return err
	}
	err = d.waitRoute(ctx, "Ready", routeName)
	d.checks.add(err == nil, "the route is Ready: every proxy serves it", "%v", err)
	if err != nil {
		return err
	}
	_, err = d.kubectl.show(ctx, "get", "callbacks", "-A")
	return err
}

// writeKubeconfig gives a proxy the access that its pod's service account has.
// The operator creates the account and its rights.
func (d *demo) writeKubeconfig(ctx context.Context, account string) (string, error) {
	config, err := d.installation.ControlPlane.ServiceAccountConfig(ctx, proxyNamespace, account)
	if err != nil {
		return "", err
	}
	path := filepath.Join(d.dir, account+".kubeconfig")
	return path, fixture.WriteKubeconfig(path, config)
}

// startProxy runs one pod of the Deployment: the proxy's program on a loopback
// address of its own, and a Pod object with that address.
func (d *demo) startProxy(ctx context.Context, deployment *appsv1.Deployment, name, kubeconfig string) error {
	ip, err := d.installation.NextHost()
	if err != nil {
		return err
	}
	admin, err := freePort(ctx, ip)
	if err != nil {
		return err
	}
	p, err := d.installation.StartProxy(ctx, installation.ProxyOptions{
		Namespace: proxyNamespace, Fleet: proxyName, Name: name, WithoutPod: true,
		Address: net.JoinHostPort(ip, strconv.Itoa(d.port)), Admin: net.JoinHostPort(ip, strconv.Itoa(admin)),
		Flags: []string{"--kubeconfig=" + kubeconfig},
	})
	if err != nil {
		return err
	}
	d.proxies = append(d.proxies, p)
	if err := p.WaitReady(ctx); err != nil {
		return err
	}
	d.printf("proxy %s is ready on %s (pid %d)", p.Name, p.Address, p.Process().PID())
	_, err = fixture.RunningPod(ctx, d.installation.Client, fixture.Pod{
		Namespace: proxyNamespace, Name: name, Labels: deployment.Spec.Template.Labels, IP: ip,
		Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: int32(admin)}},
	})
	return err
}

// reportReplicas writes the Deployment's status, as the Deployment controller
// does once all pods are ready.
func (d *demo) reportReplicas(ctx context.Context, deployment *appsv1.Deployment) error {
	before := deployment.DeepCopy()
	ready := int32(len(d.proxies))
	deployment.Status = appsv1.DeploymentStatus{
		ObservedGeneration: deployment.Generation,
		Replicas:           ready, UpdatedReplicas: ready, ReadyReplicas: ready, AvailableReplicas: ready,
	}
	if err := d.installation.Client.Status().Patch(ctx, deployment, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("write the Deployment's status: %w", err)
	}
	return nil
}

func freePort(ctx context.Context, ip string) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return 0, fmt.Errorf("choose a port on %s: %w", ip, err)
	}
	tcp, isTCP := listener.Addr().(*net.TCPAddr)
	if !isTCP {
		return 0, errors.New("choose a port: the listener has none")
	}
	return tcp.Port, listener.Close()
}
