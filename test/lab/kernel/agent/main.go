// Command agent runs a machine of the kernel lab, at both ends.
//
//	agent keep PROGRAM ARG...   on the host: process 1 of the machine's PID namespace
//	agent                       in the guest: its first process (init)
//	agent serve BACKEND MODULES in the guest: does what the host asks over the serial line
//
// It is static and has no other file, since it starts before there is a root
// file system to speak of.
package main

import (
	"fmt"
	"os"
)

func main() {
	var role string
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	var err error
	switch {
	case role == "keep":
		err = keep(os.Args[2:])
	case role == "serve" && len(os.Args) == 4:
		err = serve(backends[os.Args[2]], os.Args[3])
	case os.Getpid() == 1: // its variables are what the kernel did not know
		err = initialise(os.Getenv("BACKEND"), os.Getenv("MODULES"))
	default:
		err = fmt.Errorf("this is a part of the kernel lab (test/lab/kernel), not for use by hand")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}
