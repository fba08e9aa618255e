// Package scenarios holds the bad days that a cluster must live through, each a test
// on real nodes in network namespaces: wrong keys, full disks, damaged files,
// interfaces that vanish. Every one ends with the judgement from outside: two nodes
// never answered.
//
// The scenarios of `hafence demo` are not repeated here.
package scenarios
