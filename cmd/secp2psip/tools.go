package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/secp2psip/secp2psip/configs"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check a configuration file, or print a sample",
		Long:    "Check a configuration file, or print a sample with every setting and its default.",
		Example: "  secp2psip config sample adapter > adapter.toml\n  secp2psip config check adapter.toml",
	}
	group(cmd, "say what to do: check or sample")
	cmd.AddCommand(a.configCheckCommand(), a.configSampleCommand())
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Name each mistake in a configuration file, with line and mend",
		Long: `Name each mistake in a configuration file, with its line and what to do. Whether
the file is a bootstrap server's or an adapter's is found out by its keys. The
environment and the defaults are not looked at.`,
		Example: "  secp2psip config check adapter.toml\n  secp2psip config check --for bootstrap lan.toml",
		Args:    one("FILE"),
	}
	kind := cmd.Flags().String("for", "", "what the file is for: bootstrap or adapter")
	kinds := []string{configs.KindBootstrap, configs.KindAdapter}
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		kind, warnings, err := a.checkConfig(*kind, args[0])
		if err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Fprintln(a.stderr, "secp2psip: warning: "+clean(w))
		}
		fmt.Fprintf(a.stdout, "%s: a valid configuration of %s\n", clean(args[0]), kind)
		return nil
	}
	return cmd
}

// checkConfig loads file as what kind says, or as what more of its keys are of.
func (a *app) checkConfig(kind, file string) (is string, warnings []string, err error) {
	src := configs.Source{File: file}
	adapter, _, adapterErr := a.loadAdapter(src)
	bootstrap, bootstrapErr := configs.LoadBootstrap(src, a.defaultState(configs.KindBootstrap))
	switch {
	case kind != "" && kind != configs.KindAdapter && kind != configs.KindBootstrap:
		return "", nil, fail(exitUsage, "", "--for takes bootstrap or adapter, not %q", kind)
	case kind == "" && adapterErr == nil && bootstrapErr == nil:
		return "an adapter and of a bootstrap server", adapter.Warnings, nil
	case kind == configs.KindAdapter, kind == "" && strangeness(adapterErr, file, configs.KindAdapter) <= strangeness(bootstrapErr, file, configs.KindBootstrap):
		if adapterErr != nil {
			return "", nil, adapterErr
		}
		return "an adapter", adapter.Warnings, nil
	case bootstrapErr != nil:
		return "", nil, bootstrapErr
	}
	return "a bootstrap server", bootstrap.Warnings, nil
}

// strangeness counts the keys that speak against a file being of a kind; its
// name decides between equals.
func strangeness(err error, file, kind string) int {
	n := 0
	var e *configs.Error
	if errors.As(err, &e) {
		for _, p := range e.Problems {
			if p.Unknown {
				n += 2
			}
		}
	}
	if !strings.Contains(filepath.Base(file), kind) {
		n++
	}
	return n
}

func (a *app) configSampleCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "sample bootstrap|adapter",
		Short:     "Print a commented configuration file with the defaults",
		Long:      "Print a commented configuration file that sets everything to its default.",
		Example:   "  secp2psip config sample bootstrap > bootstrap.toml",
		ValidArgs: []string{configs.KindBootstrap, configs.KindAdapter},
		Args:      cobra.MatchAll(one("KIND"), cobra.OnlyValidArgs),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := configs.Sample(args[0])
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(data)
			return err
		},
	}
}

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man FOLDER",
		Short:   "Write the manual pages into a folder",
		Long:    "Write a manual page for each command into a folder, which is made if need be.",
		Example: "  secp2psip man /usr/local/share/man/man1",
		Args:    one("FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// #nosec G301 -- manual pages are for everybody to read
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			header := &doc.GenManHeader{Title: "SECP2PSIP", Section: "1", Source: "secp2psip", Manual: "secp2psip"}
			if built := buildTime(); !built.IsZero() {
				header.Date = &built
			}
			return doc.GenManTree(cmd.Root(), header, args[0])
		},
	}
}

// versionInfo is what version prints.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version, the revision it was built from, and the platform.",
		Example: "  secp2psip version\n  secp2psip version --json",
		Args:    none,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := versionInfo{buildVersion(), buildSetting("vcs.revision"), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		if *asJSON {
			return a.printJSON(v)
		}
		_, err := fmt.Fprintf(a.stdout, "secp2psip %s (%s, %s)\n", v.Version, v.Go, v.Platform)
		return err
	}
	return cmd
}

// buildVersion is the module's version, or "devel" for a build without one.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

func buildSetting(key string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

func buildTime() time.Time {
	t, err := time.Parse(time.RFC3339, buildSetting("vcs.time"))
	if err != nil {
		return time.Time{}
	}
	return t
}
