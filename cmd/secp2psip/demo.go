package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/metrics"
)

// demoOptions are the flags of demo, and where its result goes.
type demoOptions struct {
	stay     bool   // keep the LAN up until ctx ends
	json     bool   // print one JSON object instead of the trace
	adapters int    // 2 to 64
	path     string // of the calls: "direct", "carried", "protected"; "" for one direct and one carried
	out      io.Writer
}

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole LAN in one process and make a call",
		Long: `Run a bootstrap server, adapters and two scripted SIP phones in one process on
loopback: enrol, register, call by name, follow the 302, send a second of audio,
hang up, and show what happened and why it can be trusted. Nothing is left
behind.`,
		Example: "  secp2psip demo\n  secp2psip demo --path protected\n  secp2psip demo --stay\n  secp2psip demo --json",
		Args:    none,
	}
	opts := demoOptions{out: a.stdout}
	cmd.Flags().BoolVar(&opts.stay, "stay", false, "keep it running and say how to attach a phone")
	cmd.Flags().IntVar(&opts.adapters, "adapters", 8, "how many adapters, 2 to 64")
	cmd.Flags().StringVar(&opts.path, "path", "", "how the calls go on: direct, carried or protected; empty: one direct, one carried")
	level := cmd.Flags().String("log-level", "warn", "least level that is logged (trace|debug|info|warn|error)")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if opts.adapters < 2 || opts.adapters > 64 {
			return fail(exitUsage, "", "--adapters takes 2 to 64, not %d", opts.adapters)
		}
		if opts.path != "" && opts.path != "protected" && opts.path != "direct" && opts.path != "carried" {
			return fail(exitUsage, "", "--path takes direct, carried or protected, not %q", opts.path)
		}
		t := tools{version: buildVersion(), log: a.logger(configs.Log{Level: *level, Format: "auto"})}
		t.metrics = metrics.New(t.version, "demo")
		return a.daemons.demo(cmd.Context(), opts, t)
	}
	return cmd
}
