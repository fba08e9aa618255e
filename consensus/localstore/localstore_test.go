package localstore

import (
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/consensus/storetest"
	"github.com/hafence/hafence/internal/boottime"
)

func TestLocalStoreConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T, nodes []string, ttl time.Duration) []storetest.Store {
		c := New(boottime.Now, consensus.Patience{Drift: 0.01, Margin: consensus.DefaultMargin})
		t.Cleanup(c.Close)
		var stores []storetest.Store
		for _, name := range nodes {
			stores = append(stores, c.Node(name))
		}
		return stores
	})
}
