// Command secp2psip lets people call each other by name with the SIP phones
// they have, without a SIP server: one program with a command for each part
// it plays. "secp2psip help" lists them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "adapter" {
		oneProcessor()
		lateTimers()
	}
	// The first signal ends the program cleanly; after it the default returns,
	// so that the second one ends it at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
