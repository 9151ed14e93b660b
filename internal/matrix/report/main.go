// Report reads what `go test -json` prints from its standard input, prints
// what `go test` would have printed, and then the attack matrix: one line a
// row of docs/security.md, with what its tests measured. It ends with 1 if a
// test failed, or if a row that the document calls covered has no test that
// passed.
//
//	go test -json ./... | go run ./internal/matrix/report [--json] [--quiet] [--seen FILE] docs/security.md
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/secp2psip/secp2psip/internal/matrix"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out, errs io.Writer) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(errs)
	asJSON := flags.Bool("json", false, "print the matrix as JSON, and everything else to standard error")
	seenIn := flags.String("seen", "", "what internal/matrix/undefended has seen, a file of its --json; missing is as good as empty")
	quiet := flags.Bool("quiet", false, "leave out the results of packages that passed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("say where the table is: docs/security.md")
	}
	document, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	rows, err := matrix.ReadTable(string(document))
	if err != nil {
		return err
	}
	shown := out
	if *asJSON {
		shown = errs
	}
	results, err := matrix.Run(in, shown, *quiet)
	if err != nil {
		return err
	}
	lines, failure := results.Report(rows)
	seen, err := readSeen(*seenIn)
	if err != nil {
		return err
	}
	matrix.Mark(lines, seen)
	if *asJSON {
		if err := matrix.WriteJSON(out, lines); err != nil {
			return err
		}
	} else {
		matrix.WriteText(out, lines)
	}
	if results.Why != "" { // once more, where whoever reads the end of a long output sees it
		fmt.Fprintf(shown, "\nwhat failed:\n%s", results.Why)
	}
	if failure == nil && results.Failed {
		failure = matrix.ErrFailed
	}
	return failure
}

func readSeen(name string) (seen []matrix.Seen, err error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &seen)
	}
	return seen, err
}
