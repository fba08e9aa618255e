package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/hafence/hafence/test/lab/kernel"
)

// What a terminal has that doesn't say how large it is.
const rowsDefault, columnsDefault = 24, 80

// inputChunk is how much of the developer's input is passed on at once, in bytes.
const inputChunk = 1024

// keyboard is this program's standard input, which one shell after another has.
type keyboard struct {
	inputC   chan []byte // closed at its end
	terminal bool
}

func newKeyboard() *keyboard {
	k := &keyboard{inputC: make(chan []byte), terminal: term.IsTerminal(int(os.Stdin.Fd()))}
	go k.read() // until this program ends
	return k
}

func (k *keyboard) read() {
	defer close(k.inputC)
	for {
		buffer := make([]byte, inputChunk)
		n, err := os.Stdin.Read(buffer)
		if n > 0 {
			k.inputC <- buffer[:n]
		}
		if err != nil {
			return
		}
	}
}

// serve gives the one machine's shell, again after a reset, or lets the developer
// choose among several.
func (k *keyboard) serve(ctx context.Context, machines []*kernel.Machine) error {
	for {
		n := 1
		if len(machines) > 1 {
			fmt.Printf("machine (1 to %d), or q: ", len(machines))
			line, err := k.line(ctx)
			if err != nil || line == "q" {
				return nil
			}
			if n, err = strconv.Atoi(line); err != nil || n < 1 || n > len(machines) {
				continue
			}
		}
		err := k.attach(ctx, machines[n-1])
		switch {
		case errors.Is(err, kernel.ErrEnded): // it boots again
			fmt.Println("\n" + err.Error())
		case err != nil || len(machines) == 1 || ctx.Err() != nil:
			return err
		}
	}
}

// line reads what a terminal delivers at once.
func (k *keyboard) line(ctx context.Context) (string, error) {
	select {
	case input, ok := <-k.inputC:
		if !ok {
			return "", io.EOF
		}
		return strings.TrimSpace(string(input)), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// attach runs a shell in the machine until it ends.
func (k *keyboard) attach(ctx context.Context, machine *kernel.Machine) error {
	if err := machine.Ready(ctx); err != nil {
		return err
	}
	command := kernel.Command{Args: []string{"sh"}, Dir: "/", Stdout: os.Stdout, Stderr: os.Stderr}
	if k.terminal {
		columns, rows, err := term.GetSize(int(os.Stdin.Fd()))
		if err != nil || rows == 0 { // a terminal that doesn't know
			columns, rows = columnsDefault, rowsDefault
		}
		before, err := term.MakeRaw(int(os.Stdin.Fd()))
		if err != nil {
			return err
		}
		defer term.Restore(int(os.Stdin.Fd()), before)
		command.Args, command.Env = []string{"bash"}, []string{"TERM=" + os.Getenv("TERM")}
		command.Rows, command.Columns = uint16(rows), uint16(columns)
	}
	shell, err := machine.Go(command)
	if err != nil {
		return err
	}
	exitC := make(chan error, 1)
	go func() {
		_, err := shell.Wait(ctx)
		exitC <- err
	}()
	for inputC := k.inputC; ; {
		select {
		case input, ok := <-inputC:
			if ok {
				_, err = shell.Write(input)
			} else {
				err, inputC = shell.CloseInput(), nil
			}
			if err != nil {
				return err
			}
		case err := <-exitC:
			if ctx.Err() != nil {
				return nil // asked for
			}
			return err
		}
	}
}
