// Tally adds runs of fuzz targets, read from its standard input as lines
// "PACKAGE TARGET EXECUTIONS SECONDS", to the table in docs/security.md.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/secp2psip/secp2psip/internal/matrix"
)

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader) error {
	if len(args) != 1 {
		return errors.New("say where the table is: docs/security.md")
	}
	document, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	text, err := matrix.Tally(string(document), in, time.Now().Format(time.DateOnly))
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(text), 0o644) // #nosec G306 -- a page of the documentation
}
