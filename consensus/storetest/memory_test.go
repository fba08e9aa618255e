package storetest

import (
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

func TestMemoryConforms(t *testing.T) {
	Run(t, func(t *testing.T, nodes []string, ttl time.Duration) []Store {
		m := NewMemory(boottime.Now, consensus.Patience{Drift: 0.01, Margin: consensus.DefaultMargin})
		t.Cleanup(m.Close)
		var stores []Store
		for _, name := range nodes {
			stores = append(stores, m.Node(name))
		}
		return stores
	})
}
