package kernel

import "sync"

// consoleMax is how much of a console is kept, in bytes: its end.
const consoleMax = 4 << 20

// console collects what the machine's kernel and agent write.
type console struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (c *console) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, text...)
	if extra := len(c.text) - consoleMax; extra > 0 {
		c.text = append(c.text[:0], c.text[extra:]...)
	}
	return len(text), nil
}

// String returns what is kept.
func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}
