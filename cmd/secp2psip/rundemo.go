package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/secp2psip/secp2psip/internal/demo"
)

// demoTimeout bounds the scripted part.
const demoTimeout = 60 * time.Second

// runDemo runs the LAN, tells what happens, and prints the evidence.
func runDemo(ctx context.Context, opts demoOptions, t tools) (err error) {
	tell := func(format string, args ...any) { fmt.Fprintf(opts.out, "  "+format+"\n", args...) }
	if opts.json {
		tell = nil
	} else {
		fmt.Fprintln(opts.out, "A whole LAN in this process, on 127.0.0.1:")
	}
	script, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	lan, err := demo.Start(ctx, demo.Options{Adapters: opts.adapters, Path: opts.path, Version: t.version, Log: t.log, Tell: tell})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lan.Close()) }()
	report, err := lan.Script(script)
	if err != nil {
		return err
	}
	if opts.json {
		if err := json.NewEncoder(opts.out).Encode(report); err != nil {
			return err
		}
	} else {
		printReport(opts, report)
	}
	if !opts.stay {
		return nil
	}
	if err := lan.Guest(opts.out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func printReport(opts demoOptions, r *demo.Report) {
	w := tabwriter.NewWriter(opts.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(opts.out, "\nOverlay %s: %d nodes, keys in %d shares, %d needed. Ring ideal after %.0f ms, first call after %.0f ms.\n\n",
		r.Overlay, r.Nodes, r.N, r.K, r.RingIdealMS, r.FirstCallMS)
	fmt.Fprintln(w, "CALL\tPATH\tANSWER\tSETUP\tSHARES USED\tCALLEE'S KEY\tVERIFIED\tTALKED")
	for _, c := range r.Calls {
		fmt.Fprintf(w, "%s → %s\t%s\t%d\t%.1f ms\t%v of %d\t%s\t%s\t%s\n",
			c.From, c.To, c.Path, c.Status, c.SetupMS, c.SharesUsed, r.N, c.Key, yes(c.Verified), yes(c.Answered))
	}
	_ = w.Flush()
	if seen := r.Wire; seen != nil {
		fmt.Fprintf(opts.out, "\nOn the wire to and from the two adapters: %d datagrams, %d bytes. With a word of SIP in them: %d; that begin as RTP or RTCP: %d; with a name: %d; in which, read as G.711, a tone is heard: %d.\n",
			seen.Datagrams, seen.Bytes, seen.SIP, seen.RTP, seen.Names, seen.Tones)
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
