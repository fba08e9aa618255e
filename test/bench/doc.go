// Command bench measures what hafence promises to reach, on this machine, and
// prints each figure beside its goal: outages and stale time over a number of
// stories of `hafence demo`, and what a cluster at rest costs.
//
//	make bench                     # 20 stories, 30 seconds at rest
//	make bench ARGS="-runs 5 -rest 10s -json"
//
// Figures are medians, with the worst beside them; machines are shared and noisy,
// so nothing here fails but a broken promise.
package main
