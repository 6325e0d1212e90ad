// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// eventTimeout bounds the writing of one event.
const eventTimeout = 10 * time.Second

// recorder writes events one by one, in the goroutine of who has something to
// say. client-go's own keeps every event for half an hour, to count its
// repetitions, and queues without end what the API server does not take: ten
// thousand sunsets in one second cost it a quarter of the manager's memory.
// Here nothing is repeated, and whoever says much waits. It is an
// events.EventRecorder.
type recorder struct {
	client   client.Writer
	clock    clock.PassiveClock
	log      logr.Logger
	instance string
}

func newRecorder(c client.Writer, now clock.PassiveClock, log logr.Logger) *recorder {
	instance, err := os.Hostname()
	if err != nil || instance == "" {
		instance = fieldOwner
	}
	return &recorder{client: c, clock: now, log: log, instance: instance}
}

// Eventf writes an event. One that cannot be written is lost: the condition
// that it is about stays.
func (r *recorder) Eventf(regarding, _ runtime.Object, kind, reason, action, note string, args ...any) {
	reference, is := regarding.(*corev1.ObjectReference)
	if !is {
		return
	}
	now := r.clock.Now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: reference.Namespace,
			Name:      fmt.Sprintf("%s.%x", strings.TrimRight(reference.Name[:min(len(reference.Name), maxEventPrefix)], ".-"), now.UnixNano()),
		},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: fieldOwner,
		ReportingInstance:   r.instance,
		Action:              action,
		Reason:              reason,
		Type:                kind,
		Note:                clip(fmt.Sprintf(note, args...), maxNoteBytes),
		Regarding:           *reference,
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	if err := r.client.Create(ctx, event); err != nil {
		r.log.V(1).Info("event is lost", "kind", reference.Kind, "namespace", reference.Namespace, "name", reference.Name, "reason", reason, "error", err.Error())
	}
}

// maxEventPrefix leaves room for a dot and the time in an object's name.
const maxEventPrefix = 253 - 1 - 16
