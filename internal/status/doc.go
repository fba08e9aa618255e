// Package status is what hafence says of itself: the types, the HTTP server on the
// node's Unix socket, its client, and the text for people.
//
// It is a leaf: it knows nothing of how the facts come about. The JSON form is
// stable: fields are added, never renamed or given another meaning.
//
//	cluster, err := status.Fetch(ctx, "/run/hafence/hafence.sock")
//	status.Render(os.Stdout, cluster)
package status
