// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// eventTimeout bounds the writing of one event.
	eventTimeout = 10 * time.Second
	// maxWaitingEvents is how many wait to be written. Then whoever has
	// something to say waits as well.
	maxWaitingEvents = 16 << 10
	// lastEvents is how long what still waits is written when the manager ends;
	// a successor waits for it.
	lastEvents = 500 * time.Millisecond
)

// recorder writes events one by one, in their order. Statuses are written by
// many at a time, so they go before events wherever there are many of both,
// as when ten thousand sunsets pass in one second. client-go's own recorder
// keeps every event for half an hour, to count its repetitions; here nothing is
// repeated, and what waits is small. The name of an event follows from what it
// tells, so that it is there once, whoever tells it and however often.
type recorder struct {
	client   client.Writer
	clock    clock.PassiveClock
	log      logr.Logger
	instance string
	waiting  chan news
	ended    chan struct{}
}

// news is an event that is not written yet.
type news struct {
	at    time.Time
	about *corev1.ObjectReference
	transition
}

func newRecorder(c client.Writer, now clock.PassiveClock, log logr.Logger) *recorder {
	instance, err := os.Hostname()
	if err != nil || instance == "" {
		instance = fieldOwner
	}
	return &recorder{
		client: c, clock: now, log: log, instance: instance,
		waiting: make(chan news, maxWaitingEvents), ended: make(chan struct{}),
	}
}

// tell lets an event be written. One that cannot be written is lost: the
// condition that it is about stays.
func (r *recorder) tell(about *corev1.ObjectReference, t transition) {
	n := news{at: r.clock.Now(), about: about, transition: t}
	select {
	case r.waiting <- n:
	case <-r.ended:
		r.lost(n, context.Canceled)
	}
}

// Start writes events until ctx ends, and then what it can of the rest. It is
// a manager's Runnable.
func (r *recorder) Start(ctx context.Context) error {
	defer close(r.ended)
	writing := context.WithoutCancel(ctx)
	for {
		select {
		case n := <-r.waiting:
			r.write(writing, n)
		case <-ctx.Done():
			rest, cancel := context.WithTimeout(writing, lastEvents)
			defer cancel()
			for rest.Err() == nil && len(r.waiting) > 0 {
				r.write(rest, <-r.waiting)
			}
			return nil
		}
	}
}

func (r *recorder) write(ctx context.Context, n news) {
	event := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: n.about.Namespace, Name: n.name()},
		EventTime:           metav1.NewMicroTime(n.at),
		ReportingController: fieldOwner,
		ReportingInstance:   r.instance,
		Action:              n.condition,
		Reason:              n.reason,
		Type:                n.kind,
		Note:                clip(n.message, maxNoteBytes),
		Regarding:           *n.about,
	}
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	if err := r.client.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
		r.lost(n, err)
	}
}

func (r *recorder) lost(n news, err error) {
	r.log.V(1).Info("event is lost", "kind", n.about.Kind, "namespace", n.about.Namespace, "name", n.about.Name, "reason", n.reason, "error", err.Error())
}

// name is the event's: the object's, as far as there is room, and a hash of what
// is told.
func (n *news) name() string {
	hash := sha256.Sum256([]byte(string(n.about.UID) + " " + n.identity))
	prefix := strings.TrimRight(n.about.Name[:min(len(n.about.Name), maxEventPrefix)], ".-")
	return fmt.Sprintf("%s.%x", prefix, hash[:eventHashBytes])
}

const (
	eventHashBytes = 8
	// maxEventPrefix leaves room for a dot and the hash in an object's name.
	maxEventPrefix = 253 - 1 - 2*eventHashBytes
)
