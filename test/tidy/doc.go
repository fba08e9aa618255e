// Package tidy checks the form of this repository: which package imports which,
// what is documented, how large things are, and that the docs say nothing that
// is not so. It is nothing but tests:
//
//	go test ./test/tidy
//
// They read the working tree as it is, whether committed or not, and run the go
// command. Nothing is changed. Sizes are a smell first ([functionSmell],
// [fileSmell]: a line in the log of go test -v) and a failure only far beyond.
package tidy
