// Undefended runs the attack tests against copies of the product in which the
// defence that each is about has been switched off, and ends with 1 if one of
// them does not fail then. The folder switches/ says which defence is which
// line of the source; nothing in the product itself can switch anything off.
//
//	go run ./internal/matrix/undefended [--json FILE] [--run EXPR] [--all] [--control] [--check]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/matrix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "undefended:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("undefended", flag.ContinueOnError)
	flags.SetOutput(errs)
	file := flags.String("json", "", "write what was seen to this file, for the report of the matrix")
	expr := flags.String("run", "", "only tests and switches whose names match this")
	control := flags.Bool("control", false, "run the same tests in the same copies with every defence on: all must pass")
	all := flags.Bool("all", false, "those that take long, too")
	check := flags.Bool("check", false, "only look whether every switch still fits the source")
	jobs := flags.Int("jobs", runtime.GOMAXPROCS(0), "rooms at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*expr)
	if err != nil {
		return err
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "undefended")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	tree, err := matrix.NewTree(root, "internal/matrix/undefended/switches", scratch)
	if err != nil {
		return err
	}
	if *check {
		_, err := tree.Sources()
		return err
	}
	seen, err := tree.Run(ctx, func(b matrix.Bare) bool {
		return (*all || !b.Slow) && (!b.Root || os.Geteuid() == 0) && (wanted.MatchString(b.Test) || wanted.MatchString(strings.Join(b.Off, ",")))
	}, *jobs, *control)
	return errors.Join(err, tell(out, *file, seen, *control))
}

// tell prints a line a test, and writes the file if there is to be one.
func tell(out io.Writer, file string, seen []matrix.Seen, control bool) error {
	var wrong []string
	for _, s := range seen {
		word := "fails"
		switch {
		case s.Failed && control:
			word = "FAILS THOUGH DEFENDED"
		case control:
			word = "passes"
		case !s.Failed:
			word = "DOES NOT FAIL"
		}
		if s.Failed == control {
			wrong = append(wrong, s.Test+" without "+strings.Join(s.Off, ","))
		}
		fmt.Fprintf(out, "%-46s without %-32s %s in %v: %s\n", s.Test, strings.Join(s.Off, ","), word,
			(time.Duration(s.Millis) * time.Millisecond).Round(10*time.Millisecond), s.Says)
	}
	if file != "" {
		data, err := json.MarshalIndent(seen, "", "  ")
		if err == nil {
			err = os.WriteFile(file, append(data, '\n'), 0o644) // #nosec G306 -- a report for everybody to read
		}
		if err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", matrix.ErrUndefended, strings.Join(wrong, "; "))
	}
	return nil
}
