package health

import "slices"

// lane is the queue of one kind of checks, and how many of them run.
type lane struct {
	limit   int
	running int
	ready   []*check // first come, first served
}

func (l *lane) push(c *check) { l.ready = append(l.ready, c) }

// next takes the first check in the queue if there is room for it.
func (l *lane) next() *check {
	if len(l.ready) == 0 || l.running >= l.limit {
		return nil
	}
	c := l.ready[0]
	l.ready[0] = nil // the array must not keep it alive
	l.ready = l.ready[1:]
	l.running++
	return c
}

func (l *lane) remove(c *check) {
	if i := slices.Index(l.ready, c); i >= 0 {
		l.ready = slices.Delete(l.ready, i, i+1)
	}
}

// dueHeap has the check that is due first on top; see container/heap.
type dueHeap []*check

func (h dueHeap) Len() int { return len(h) }

// Less orders by time, and what is due at one instant by the order of configuration.
func (h dueHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].order < h[j].order
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push is for container/heap alone.
func (h *dueHeap) Push(x any) {
	c := x.(*check)
	c.heapIndex = len(*h)
	*h = append(*h, c)
}

// Pop is for container/heap alone.
func (h *dueHeap) Pop() any {
	old := *h
	last := len(old) - 1
	c := old[last]
	old[last] = nil
	*h = old[:last]
	return c
}
