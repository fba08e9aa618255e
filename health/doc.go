// Package health checks real servers and says what each virtual server should have in
// IPVS. It behaves as keepalived does, so that a configuration that is moved does the
// same.
//
// # What it keeps
//
// Trouble on this side ends on the last known state: a try that could not be made
// ([Result].Inconclusive), a restart of the process ([PoolState]), a reload or a host
// that was suspended removes no server and adds none.
//
// # Parts
//
// [Schedule] decides when which check is tried and judges the outcomes: retries,
// recovery, limits. [Pool] is one virtual server: weights, quorum, sorry server. Both
// are pure: no clock, no goroutine, no I/O. [Runner] is the schedule's shell.
// [TCP], [HTTP], [SMTP], [DNS], [Misc], [Ping] and [UDP] do one try each; [WatchFiles]
// follows files, and BFD_CHECK is what somebody else observes.
//
//	check       up when                                          retry  delay_before_retry
//	TCP_CHECK   a connection is made                             1      1 s
//	HTTP_GET    status, digest and pattern are right, each URL   1      3 s
//	SSL_GET     the same over TLS; any certificate, unless ca    1      3 s
//	SMTP_CHECK  220, HELO 250, a reply to QUIT                   1      1 s
//	DNS_CHECK   an answer with the ID, the question and rcode 0  3      delay_loop
//	MISC_CHECK  exit 0; misc_dynamic: 2 to 255 set the weight    0      1 s, from the start of the run
//	UDP_CHECK   no ICMP error within connect_timeout; the reply  1      1 s
//	PING_CHECK  an echo comes back                               1      1 s
//	FILE_CHECK  number × weight is added; weight 0: number is 0  –      –
//	BFD_CHECK   the session is up                                –      –
//
// Defaults are the configuration's to fill in: everything here has its value.
//
//	first try     at random within warmup; until it, the server is in the pool, or, with
//	              alpha, is not
//	first result  counts at once, whatever retry says
//	failure       while up: retry others are survived, delay_before_retry after each;
//	              while down: the next try comes after delay_loop
//	recovery      one success; with several URLs, the one that failed and then all of
//	              them, one per delay_loop, or without delay with fast_recovery
//	server        up when every check is
//	quorum        gained at quorum + hysteresis, lost below quorum − hysteresis or at 0;
//	              weights count as the checks have changed them
//	sorry server  replaces all others while the quorum is lost; without one, what is up
//	              serves on
//	inhibit       weight 0 instead of removal
//	reload        keeps the state of every check whose name stays; new weights count at
//	              once; what is gone is notified as down
//	stop          with omega: everything is notified as down
//
// # Where it differs from keepalived on purpose
//
//   - Tries keep to a grid of delay_loop; keepalived counts from the end of the last try.
//   - A single URL recovers with its first success; keepalived wants two.
//   - A check whose options a reload changes keeps its state; keepalived begins anew, and
//     brings a failed server back.
//   - A program that can't be started says nothing about the server.
//   - Whole exchanges are bounded in time and size; an answer is complete at its
//     Content-Length; patterns are RE2 ([Pattern]); ping_group_range is left alone.
//   - DNS answers must repeat the question.
//
// # Concurrency and units
//
// [Pool] and [Schedule] may be used by one goroutine at a time, [Runner] by any. Nothing
// starts a goroutine but [Runner.Run]. Instants are nanoseconds of CLOCK_BOOTTIME;
// within a try, timeouts are those of sockets and programs. Weights are 0 to [WeightMax].
//
// # Not implemented
//
// The protocol BFD; OpenSSL's and PCRE2's options that Go doesn't have (regex_stack, "extended",
// passwords of keys).
//
// Sources: keepalived 2.4.3, keepalived.conf(5) and keepalived/check/*.c; RFC 792, 1035,
// 1071, 4443, 5321, 9112.
//
// # Example
//
//	pool, changes := health.NewPool(boottime.Now(), config, nil)
//	runner := health.NewRunner(health.RunnerOptions{
//		Limits: health.LimitsFor(descriptors), Now: boottime.Now, Random: rand.N[time.Duration],
//		Reports: func(reports []health.Report) {
//			for _, r := range reports {
//				changes = append(changes, pool.Apply(r)...)
//			}
//			want := pool.Destinations()
//		},
//	})
//	runner.Configure([]health.Check{health.NewCheck(options, health.TCP{Connect: connect})})
//	err := runner.Run(ctx)
package health
