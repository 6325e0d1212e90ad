// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// loop asks a fleet's instances again and again: quickly after a change,
// slowly once all acknowledged.
func (o *Observer) loop(ctx context.Context, key types.NamespacedName, f *fleet) {
	interval := firstInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			interval = firstInterval
		case <-timer.C:
		}
		if o.round(ctx, key, f) {
			timer.Reset(interval)
			interval = min(2*interval, urgentInterval)
		} else {
			timer.Reset(steadyInterval)
			interval = firstInterval
		}
	}
}

// round asks the instances, all at the same time, and judges what they said
// once all have answered, or roundPatience is over: one that hangs does not
// delay what is known of the others. It reports whether there is one to be
// asked again soon.
func (o *Observer) round(ctx context.Context, key types.NamespacedName, f *fleet) (behind bool) {
	o.mu.Lock()
	f.collecting++
	asked := o.question(ctx, key, f, func(i *instance) bool { return i.asking == nil })
	o.mu.Unlock()
	collect(ctx, asked, roundPatience)
	o.mu.Lock()
	f.collecting--
	news, behind := o.hasNews(f), f.behind()
	o.mu.Unlock()
	if news {
		o.announce(ctx, key)
	}
	return behind
}

// collect waits for answers, that long at most.
func collect(ctx context.Context, answers []<-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for _, answer := range answers {
		select {
		case <-answer:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// hasNews says whether a pass should be asked for, and takes the news as told.
// Where answers are being collected, or the last one was by a pass that has not
// ended, whoever collects them tells. The caller holds the lock.
func (o *Observer) hasNews(f *fleet) bool { return f.collecting == 0 && f.news(o.timer.Now()) }

// announce asks for a pass over a fleet.
func (o *Observer) announce(ctx context.Context, key types.NamespacedName) {
	proxy := &callbackv1alpha1.CallbackProxy{}
	proxy.Namespace, proxy.Name = key.Namespace, key.Name
	select {
	case o.changed <- event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy]{Object: proxy}:
	case <-ctx.Done():
	}
}

// question asks the chosen instances, and returns what is closed when the
// answers are heard. Nobody is asked twice at a time, so answers come in the
// order of the questions, and what an instance counted is heard once. The
// caller holds the lock.
func (o *Observer) question(ctx context.Context, key types.NamespacedName, f *fleet, chosen func(*instance) bool) (asked []<-chan struct{}) {
	if o.ended {
		return nil
	}
	for _, i := range f.instances {
		if !chosen(i) || !i.canBeAsked() {
			continue
		}
		if i.asking != nil {
			asked = append(asked, i.asking)
			continue
		}
		answer := make(chan struct{})
		i.asking = answer
		asked = append(asked, answer)
		address, cursor := i.target.Address, i.report.Cursor
		o.loops.Go(func() {
			defer close(answer)
			told, err := o.asker.ask(ctx, address, cursor)
			if o.answer(ctx, f, i, answer, told, err) {
				o.announce(ctx, key)
			}
		})
	}
	return asked
}

var errAnother = errors.New("another process answered")

// answer keeps what one instance said, and reports whether a pass should be
// asked for.
func (o *Observer) answer(ctx context.Context, f *fleet, i *instance, asking <-chan struct{}, told *words, err error) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i.asking != asking {
		return false // the pod is gone, or elsewhere
	}
	i.asking = nil
	if ctx.Err() != nil {
		return false
	}
	if err == nil && !i.target.Ready && told.report.Boot != i.report.Boot {
		err = errAnother // the address of a pod that ends may have gone to the next one
	}
	if err != nil {
		i.asked = true
		i.misses++
	} else {
		o.hear(f, i, told)
	}
	if f.current() {
		f.settle()
	}
	return o.hasNews(f)
}

// hear keeps what one instance said. The caller holds the lock.
func (o *Observer) hear(f *fleet, i *instance, told *words) {
	i.late = f.told != nil
	f.filter(told)
	again := f.lapse(i, &told.report)
	health, use, ended := i.hear(told, o.clock.Now())
	if again {
		i.report.Cursor = ""
	}
	f.bury(i)
	f.retire(slices.Values(ended))
	f.health, f.use = f.health || i.target.Ready && (health || again), f.use || use
}
