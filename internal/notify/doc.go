// Package notify tells scripts what has happened. It runs them in order and bounded:
// those of one virtual server or real server never overtake one another, as
// keepalived's do (#996, #1055), and whoever asks for one never waits.
//
// Not implemented: VRRP's scripts, the FIFO, mail.
//
//	q := notify.NewQueue(logger)
//	go q.Run(ctx)
//	q.Post(notify.Job{Key: "web", What: "quorum_down of web", Argv: []string{"/usr/local/bin/alert"}})
package notify
