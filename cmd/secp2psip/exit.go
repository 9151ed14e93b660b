package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/metrics"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// The exit codes, as the help lists them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotFound    = 4
	exitRefused     = 5
	exitNotNow      = 6
	exitInterrupted = 130
)

// exitError is an error that knows its exit code and what to do about it.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) Hint() string  { return e.hint }

// fail returns an exitError.
func fail(code int, hint, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...), hint: hint}
}

// usageError turns what cobra found wrong with the arguments into an error
// that points to the command's help.
func usageError(cmd *cobra.Command, err error) error {
	message, words, ok := strings.Cut(err.Error(), suggestions)
	hint := fmt.Sprintf("run '%s --help'", cmd.CommandPath())
	if ok {
		hint = "did you mean " + strings.Join(strings.Fields(words), " or ") + "?"
	}
	return &exitError{code: exitUsage, err: errors.New(message), hint: hint}
}

// one accepts exactly one argument, which the help calls what.
func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("one %s is needed, not %d", what, len(args))
		}
		return nil
	}
}

// none accepts no arguments.
func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("no argument is needed, and %q is one", args[0])
	}
	return nil
}

// group makes cmd one that only stands for its subcommands.
func group(cmd *cobra.Command, what string) {
	cmd.SuggestionsMinimumDistance = 2 // as cobra has it for the root
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New(what)
		}
		message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			message += suggestions + strings.Join(near, "\n")
		}
		return errors.New(message)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return cmd.Args(cmd, args) }
}

// suggestions stands before similar commands in cobra's errors.
const suggestions = "\n\nDid you mean this?\n"

// report tells a person what happened and returns the exit code.
func report(ctx context.Context, w io.Writer, err error) int {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "secp2psip: interrupted")
		return exitInterrupted
	}
	code, hint := classify(err)
	if message := clean(err.Error()); message != "" {
		for line := range strings.SplitSeq(message, "\n") {
			fmt.Fprintln(w, "secp2psip: error: "+line)
		}
	}
	if hint != "" {
		fmt.Fprintln(w, "secp2psip: hint: "+clean(hint))
	}
	return code
}

// classify finds the exit code and a hint. An error anywhere in the tree may
// bring its own hint.
func classify(err error) (code int, hint string) {
	code = exitFailure
	var own *exitError
	var answer *admin.Error
	switch {
	case errors.As(err, &own):
		code = own.code
	case errors.As(err, &answer):
		code, hint = answerCode(answer)
	case errors.Is(err, configs.ErrInvalid), errors.Is(err, configs.ErrRead), errors.Is(err, joinlink.ErrLink):
		code = exitUsage
	case errors.Is(err, admin.ErrUnreachable):
		code = exitUnreachable
		hint = "start it, or name its state folder with --state; another user's daemon needs sudo"
	case errors.Is(err, seal.ErrLocked), errors.Is(err, seal.ErrWeak):
		code = exitUsage
	case errors.Is(err, seal.ErrPassphrase), errors.Is(err, node.ErrSealed), errors.Is(err, node.ErrNotSealed):
		code = exitRefused
	case errors.Is(err, context.DeadlineExceeded):
		code = exitNotNow
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		hint = h.Hint()
	}
	if hint == "" {
		hint = commonHint(err)
	}
	return code, hint
}

func answerCode(e *admin.Error) (code int, hint string) {
	switch e.Code {
	case admin.CodeBadRequest:
		return exitUsage, e.Hint
	case admin.CodeNotFound:
		return exitNotFound, e.Hint
	case admin.CodeRefused:
		return exitRefused, e.Hint
	case admin.CodeUnavailable:
		return exitNotNow, e.Hint
	case admin.CodeUnknownMethod:
		return exitUsage, "that daemon is of another kind or version; name the state folder of the right one with --state"
	}
	return exitFailure, e.Hint
}

// commonHint knows what to do about what can happen to any program.
func commonHint(err error) string {
	switch {
	case errors.Is(err, seal.ErrLocked):
		return "start it on a terminal, name a file with passphrase_file, or under systemd add LoadCredentialEncrypted=" + credential + ":FILE to the unit"
	case errors.Is(err, node.ErrSealed):
		return "'secp2psip passphrase change' gives them another"
	case errors.Is(err, node.ErrNotSealed):
		return "'secp2psip passphrase set' gives them one"
	case errors.Is(err, admin.ErrRunning):
		return "stop the other one, or give this one a folder of its own with --state"
	case errors.Is(err, metrics.ErrListen):
		return "choose another address with --metrics-listen"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has the port; stop it, or choose another with --listen, or --sip-listen for the phones' side"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this host does not have that address; see 'ip address'"
	case errors.Is(err, syscall.ENOSPC):
		return "make room on the disk; nothing was overwritten"
	case errors.Is(err, fs.ErrPermission):
		return "run it as the user that owns the file, or choose another state folder with --state"
	}
	return ""
}

// clean makes text from elsewhere safe for a terminal: control characters
// other than the line feed become question marks.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u202e') {
			return '?'
		}
		return r
	}, text)
}
