// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file writes events.

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

const (
	// eventTimeout bounds the write of one event.
	eventTimeout = 10 * time.Second
	// maxWaitingEvents is how many events may wait; further ones are lost.
	maxWaitingEvents = 16 << 10
	// lastEvents is how long waiting events are still written when the manager
	// ends; a successor waits for it.
	lastEvents = 500 * time.Millisecond
	// maxNoteBytes is what the API allows in an event.
	maxNoteBytes = 1024
	// maxEventPrefix leaves room for a dot and a time in the name of an event.
	maxEventPrefix = 253 - 1 - 16
)

// Recorder writes events one by one, in their order, so they yield to statuses,
// of which several are written at a time. An event that cannot be written is
// lost: the condition that it reports stays. It is a manager's Runnable.
//
// The events are of the core group, because the API server accepts no
// lastTimestamp in those of events.k8s.io, and kubectl sorts by it. client-go's
// recorder is not used: it drops events when ten thousand sunsets pass in one
// second.
type Recorder struct {
	client   client.Writer
	clock    clock.PassiveClock
	log      logr.Logger
	instance string
	waiting  chan *corev1.Event
	last     int64 // the time in the name of the last event
}

// NewRecorder returns a Recorder.
func NewRecorder(c client.Writer, now clock.PassiveClock, log logr.Logger) *Recorder {
	instance, err := os.Hostname()
	if err != nil || instance == "" {
		instance = fieldOwner
	}
	return &Recorder{client: c, clock: now, log: log, instance: instance, waiting: make(chan *corev1.Event, maxWaitingEvents)}
}

// record lets an event be written. It never waits.
func (r *Recorder) record(about client.Object, kind string, t transition) {
	event := r.newEvent(about, kind, t)
	select {
	case r.waiting <- event:
	default:
		r.lose(event, "too many events wait")
	}
}

func (r *Recorder) newEvent(about client.Object, kind string, t transition) *corev1.Event {
	now := r.clock.Now()
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: about.GetNamespace()},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: callbackv1alpha1.SchemeGroupVersion.String(), Kind: kind,
			Namespace: about.GetNamespace(), Name: about.GetName(),
			UID: about.GetUID(), ResourceVersion: about.GetResourceVersion(),
		},
		Type: t.eventType, Reason: t.reason, Action: t.condition, Message: compile.Clip(t.message, maxNoteBytes),
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), EventTime: metav1.NewMicroTime(now), Count: 1,
		Source:              corev1.EventSource{Component: fieldOwner},
		ReportingController: fieldOwner, ReportingInstance: r.instance,
	}
}

// Start writes events until ctx ends, and then as many as it can for a moment.
func (r *Recorder) Start(ctx context.Context) error {
	writing := context.WithoutCancel(ctx)
	for {
		select {
		case event := <-r.waiting:
			r.write(writing, event)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(writing, lastEvents)
			defer cancel()
			for last.Err() == nil && len(r.waiting) > 0 {
				r.write(last, <-r.waiting)
			}
			return nil
		}
	}
}

func (r *Recorder) write(ctx context.Context, event *corev1.Event) {
	// The name ends with the time, which no other event has: kubectl keeps the
	// order of names among events of the same second.
	r.last = max(r.last+1, event.EventTime.UnixNano())
	event.Name = fmt.Sprintf("%s.%x", strings.TrimRight(compile.Clip(event.InvolvedObject.Name, maxEventPrefix), ".-"), r.last)
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	if err := r.client.Create(ctx, event); err != nil {
		r.lose(event, err.Error())
	}
}

func (r *Recorder) lose(event *corev1.Event, why string) {
	eventsLost.Inc()
	about := &event.InvolvedObject
	r.log.V(1).Info("event is lost", "kind", about.Kind, "namespace", about.Namespace, "name", about.Name, "reason", event.Reason, "error", why)
}
