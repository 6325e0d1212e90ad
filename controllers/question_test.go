// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// crew answers for the instances of a fleet, by address.
type crew struct {
	mu    sync.Mutex
	says  map[string]words
	hangs map[string]bool // until the question is given up
	asked map[string]int
}

func newCrew() *crew {
	return &crew{says: map[string]words{}, hangs: map[string]bool{}, asked: map[string]int{}}
}

func (c *crew) ask(ctx context.Context, address, _ string) (*words, error) {
	c.mu.Lock()
	c.asked[address]++
	said, speaks := c.says[address]
	hangs := c.hangs[address]
	c.mu.Unlock()
	if hangs {
		select {
		case <-time.After(sayTimeout):
		case <-ctx.Done():
		}
	}
	if hangs || !speaks {
		return nil, errors.New("nobody answers")
	}
	return &said, nil
}

func (c *crew) say(address string, generation, callbacks int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := words{report: routetable.Report{
		Version: routetable.Version{Epoch: 1, Generation: generation}, Hash: "h", ListenerPort: 8080, Boot: address,
	}}
	if callbacks > 0 {
		w.routes = []routetable.RouteUse{{UID: "r", Callbacks: callbacks}}
	}
	c.says[address] = w
}

func (c *crew) count(address string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[address]
}

var edge = types.NamespacedName{Namespace: "platform", Name: "edge"}

// watching returns a running Observer of a crew, and how to make a pass.
func watching(t *testing.T, c *crew) (*Observer, func(generation int64, pods ...Target) ([]status.Instance, int64)) {
	t.Helper()
	o := NewObserver(nil, clock.RealClock{}, clock.RealClock{})
	o.asker = c
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = o.Start(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return o, func(generation int64, pods ...Target) ([]status.Instance, int64) {
		told, counted := o.Observe(t.Context(), edge, pods, routetable.Version{Epoch: 1, Generation: generation})
		return told, counted["r"].Callbacks
	}
}

func pod(name string) Target {
	return Target{Pod: name, UID: types.UID(name), Address: name, Ready: true}
}

// An instance that hangs delays neither a pass nor what is known of the
// others.
func TestObserver_OneThatHangsDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		c := newCrew()
		c.say("a", 1, 0)
		c.hangs["b"] = true
		o, pass := watching(t, c)
		begin := time.Now()
		told, _ := pass(1, pod("a"), pod("b"))
		g.Expect(time.Since(begin)).To(BeNumerically("<=", askTimeout+patience))
		g.Expect(told[0].Reached).To(BeTrue())
		g.Expect(told[1].Reached).To(BeFalse())

		pass(2, pod("a"), pod("b"))
		for len(o.changed) > 0 {
			<-o.changed
		}
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(BeEmpty(), "a is behind, and b silent, as they were")
		for range 20 {
			pass(2, pod("a"), pod("b"))
			c.say("a", 1, 0)
			time.Sleep(time.Minute + 37*time.Millisecond)
			g.Expect(o.changed).To(BeEmpty())
			c.say("a", 2, 0)
			time.Sleep(800 * time.Millisecond)
			g.Expect(o.changed).To(HaveLen(1), "the acknowledgement")
			<-o.changed
			c.say("a", 1, 0)
			time.Sleep(time.Minute)
			<-o.changed
		}
	})
}

// Many acknowledgements at a time are one piece of news.
func TestObserver_TellsOnceWhatComesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		c := newCrew()
		pods := []Target{pod("a"), pod("b"), pod("c"), pod("d")}
		for _, p := range pods {
			c.say(p.Address, 1, 0)
		}
		o, pass := watching(t, c)
		pass(1, pods...)
		pass(2, pods...)
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(BeEmpty())
		for _, p := range pods {
			c.say(p.Address, 2, 0)
		}
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(HaveLen(1))
	})
}

// Two answers of one instance could be heard in the wrong order, and all it
// counted would be counted twice.
func TestObserver_AsksNobodyTwiceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		c := newCrew()
		c.hangs["a"] = true
		_, pass := watching(t, c)
		go pass(1, pod("a"))
		go pass(1, pod("a"))
		time.Sleep(sayTimeout / 2)
		pass(2, pod("a"))
		g.Expect(c.count("a")).To(Equal(1))
	})
}

// A pod that is not ready for a while counts on where it was, and its last word
// from before stands for nothing.
func TestObserver_APodThatIsNotReadyForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		c := newCrew()
		c.say("a", 1, 10)
		_, pass := watching(t, c)
		told, counted := pass(1, pod("a"))
		g.Expect(told).To(HaveLen(1))
		g.Expect(counted).To(BeEquivalentTo(10))

		unready := pod("a")
		unready.Ready = false
		told, counted = pass(1, unready)
		g.Expect(told).To(BeEmpty())
		g.Expect(counted).To(BeEquivalentTo(10))
		time.Sleep(time.Minute)
		c.say("a", 1, 12)
		told, counted = pass(1, pod("a"))
		g.Expect(told[0].Reached).To(BeTrue())
		g.Expect(counted).To(BeEquivalentTo(12))

		pass(1, unready)
		c.mu.Lock()
		delete(c.says, "a")
		c.mu.Unlock()
		told, _ = pass(1, pod("a"))
		g.Expect(told[0].Reached).To(BeFalse(), "it is ready and does not answer")
	})
}

// A pod that ends is no instance any more and holds nothing back, but what it
// counts while it drains is heard, until it is silent; not what answers at its
// address after it.
func TestObserver_APodThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		c := newCrew()
		c.say("a", 1, 10)
		c.say("b", 1, 0)
		o, pass := watching(t, c)
		pass(1, pod("a"), pod("b"))
		ending := pod("a")
		ending.Ready = false
		c.say("b", 2, 0)
		c.say("a", 1, 13)
		begin := time.Now()
		told, _ := pass(2, ending, pod("b"))
		g.Expect(time.Since(begin)).To(BeNumerically("<", patience), "b has acknowledged")
		g.Expect(told).To(HaveLen(1))
		time.Sleep(steadyInterval)
		_, counted := pass(2, ending, pod("b"))
		g.Expect(counted).To(BeEquivalentTo(13))

		c.say("c", 2, 100)
		c.mu.Lock()
		c.says["a"] = c.says["c"]
		c.mu.Unlock()
		time.Sleep(time.Minute)
		_, counted = pass(2, ending, pod("b"))
		g.Expect(counted).To(BeEquivalentTo(13))
		asked := c.count("a")
		time.Sleep(time.Minute)
		g.Expect(c.count("a")).To(Equal(asked), "it is silent")

		_, counted = pass(2, pod("b"))
		g.Expect(counted).To(BeEquivalentTo(13))
		g.Expect(o.fleets[edge].instances).To(HaveLen(1))
	})
}

// A ready pod that cannot be asked is an instance that is not reached; it is no
// reason to ask the others all the time.
func TestObserver_APodThatCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		c := newCrew()
		c.say("a", 1, 0)
		_, pass := watching(t, c)
		mute := pod("b")
		mute.Address = ""
		told, _ := pass(1, pod("a"), mute)
		g.Expect(told).To(HaveLen(2))
		g.Expect(told[1].Reached).To(BeFalse())
		time.Sleep(time.Minute + time.Second)
		asked := c.count("a")
		time.Sleep(time.Minute)
		g.Expect(c.count("a") - asked).To(Equal(int(time.Minute / steadyInterval)))
		g.Expect(c.count("")).To(BeZero())
	})
}

// What an instance says of the time of day is judged by the clock of the
// sunsets; how long it is since the last pass is measured.
func TestObserver_TellsTheTimeByTheJudgedClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &speaker{}
		s.say(1, nil)
		o, want := observing(t, s)
		judged := time.Now().Add(2 * time.Hour) // this machine's clock went back
		o.mu.Lock()
		o.clock = fixed(judged)
		o.mu.Unlock()
		want(1)
		for range 2 {
			s.tell([]routetable.RouteUse{{UID: "r", Callbacks: 1, Last: judged}}, nil)
			time.Sleep(2 * useInterval)
			g.Expect(o.changed).NotTo(BeEmpty())
			for len(o.changed) > 0 {
				<-o.changed
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		g.Expect(o.fleets[edge].counted()["r"].Last).To(BeTemporally("==", judged))
	})
}
