package demo

// Processes are the IDs of the node's processes: the guard and what it started.
func (n *Node) Processes() ([]int, error) {
	if !n.Running() {
		return nil, nil
	}
	children, err := descendants(n.guard.Process.Pid)
	return append([]int{n.guard.Process.Pid}, children...), err
}
