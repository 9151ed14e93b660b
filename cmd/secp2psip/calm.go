package main

import (
	"os"
	"runtime"
)

// oneProcessor has the runtime use one, unless the environment says otherwise.
// An adapter wakes up for each packet, does little and sleeps again. With more
// than one processor at hand the runtime would wake another thread each time,
// which costs as much as what there is to do.
func oneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
