package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func (a *app) charterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "charter",
		Short: "Show the overlay's rules, or issue new ones",
		Long: `Show the charter: the rules that every node of the overlay follows, signed by the
root key, as the daemon on this host knows them.`,
		Example: "  secp2psip charter\n  secp2psip charter set grace=365d",
		Args:    cobra.NoArgs,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.askCharter(cmd, admin.CharterRequest{}, *state, *asJSON, eitherKind()...)
	}
	cmd.AddCommand(a.charterSetCommand())
	return cmd
}

func (a *app) charterSetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set KEY=VALUE…",
		Short: "Issue the next edition of the charter",
		Long: `Sign the next edition of the charter, in which the given values are other than
before. 'secp2psip charter' lists the keys. The bootstrap server must run. Nodes
take the edition over within seconds, those that are switched off soon after
they are started. There is no way back to an earlier edition; issue another one.

How many shares and replicas there are is fixed: it decides where records lie.
Where the root key was moved away, --root-key names its file.`,
		Example: `  secp2psip charter set grace=365d certificate-lifetime=180d
  secp2psip charter set paths=protected,carried --root-key /media/stick/root.key`,
		Args: cobra.MinimumNArgs(1),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	rootKey := cmd.Flags().String("root-key", "", "file of the root key, where it is not in the state folder")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := admin.CharterRequest{Set: map[string]string{}}
		for _, arg := range args {
			key, value, ok := strings.Cut(arg, "=")
			if _, twice := req.Set[key]; !ok || key == "" || twice {
				return fail(exitUsage, "say KEY=VALUE, each key once; 'secp2psip charter' lists them", "%q is no value for a charter", arg)
			}
			if d, err := configs.ParseDuration(value); err == nil && inSeconds(key) {
				value = strconv.FormatInt(int64(d.Std()/time.Second), 10)
			}
			req.Set[key] = value
		}
		if *rootKey != "" {
			file, err := readBounded(*rootKey, admin.MaxRequest/2)
			if err != nil {
				return err
			}
			req.Use = file
		}
		return a.askCharter(cmd, req, *state, *asJSON, configs.KindBootstrap)
	}
	return cmd
}

func (a *app) askCharter(cmd *cobra.Command, req admin.CharterRequest, state string, asJSON bool, kinds ...string) error {
	var res admin.Charter
	if err := admin.Dial(a.findState(state, kinds...)).Call(cmd.Context(), admin.MethodCharter, req, &res); err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(res)
	}
	fmt.Fprintf(a.stdout, "%s, edition %d of %s\n\n", clean(res.Overlay), res.Edition, moment(res.Issued))
	t := a.table("KEY", "VALUE", "")
	for _, r := range res.Rules {
		note := ""
		if r.Fixed {
			note = "fixed"
		}
		t.row(r.Key, ruleValue(r), note)
	}
	return t.flush()
}

// ruleValue writes lifetimes as the configuration does.
func ruleValue(r identity.Rule) string {
	s, err := strconv.ParseInt(r.Value, 10, 64)
	if !r.Seconds || err != nil {
		return r.Value
	}
	return configs.Duration(time.Duration(s) * time.Second).String()
}

// inSeconds tells whether a rule is a lifetime, which travels in seconds.
func inSeconds(key string) bool {
	return slices.ContainsFunc(identity.Charter{}.Rules(), func(r identity.Rule) bool { return r.Key == key && r.Seconds })
}
