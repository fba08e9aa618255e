package health

import (
	"context"
	"time"
)

// TCP is TCP_CHECK: up when a connection can be made. It is closed at once, with FIN
// as keepalived does.
type TCP struct{ Connect }

// Lane is [LaneSocket].
func (t TCP) Lane() Lane { return LaneSocket }

// Bound is the timeout.
func (t TCP) Bound() time.Duration { return t.Timeout }

// Try connects.
func (t TCP) Try(ctx context.Context) Result {
	conn, err := t.open(ctx, tcpSocket)
	if err != nil {
		return failed("connect", err)
	}
	_ = conn.Close()
	return up("connected")
}
