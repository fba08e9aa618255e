package script

import "sync"

// keeper keeps the first [OutputMax] bytes that are written to it, and forgets the
// others, so that who writes never waits.
type keeper struct {
	mu   sync.Mutex
	data []byte
	more bool
}

// Write never fails.
func (k *keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	room := min(OutputMax-len(k.data), len(p))
	k.data = append(k.data, p[:room]...)
	k.more = k.more || room < len(p)
	return len(p), nil
}

// kept is what was kept, and whether there was more.
func (k *keeper) kept() ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data, k.more
}
