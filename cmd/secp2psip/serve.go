package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/metrics"
)

func (a *app) bootstrapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Run the bootstrap server of an overlay",
		Long: `Run the bootstrap server: it enrols people and starts the ring. The first
start makes the overlay (name, root key, charter) in the state folder; later
starts resume it. Once people are enrolled, their calls need it no more.`,
		Example: `  secp2psip bootstrap
  secp2psip bootstrap --overlay home.example --advertise 192.168.1.2
  secp2psip bootstrap --enrol open
  secp2psip bootstrap --config /etc/secp2psip/bootstrap.toml`,
		Args: none,
	}
	file := a.configFlags(cmd, configs.KindBootstrap)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := configs.LoadBootstrap(a.source(*file, cmd), a.defaultState(configs.KindBootstrap))
		if err != nil {
			return err
		}
		c := l.Config
		return a.serve(cmd.Context(), service{
			kind: configs.KindBootstrap, state: c.State, passphrase: c.PassphraseFile, log: c.Log, metrics: c.Metrics, warnings: l.Warnings,
			build: func(t tools) (*daemon, error) { return a.daemons.bootstrap(c, t) },
		})
	}
	return cmd
}

func (a *app) adapterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adapter",
		Short: "Run the adapter beside a phone",
		Long: `Run the adapter: it speaks plain SIP to the phones of this host and a signed,
encrypted protocol to the other adapters. The join link is needed once. Then
point the phone's registrar, or its outbound proxy, at 127.0.0.1:5060.`,
		Example: `  secp2psip adapter --join 'secp2psip://192.168.1.2:5870/lan.example#v1.…'
  secp2psip adapter
  secp2psip adapter --sip-redirect never
  secp2psip adapter --config /etc/secp2psip/adapter.toml`,
		Args: none,
	}
	file := a.configFlags(cmd, configs.KindAdapter)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, join, err := a.loadAdapter(a.source(*file, cmd))
		if err != nil {
			return err
		}
		c := l.Config
		return a.serve(cmd.Context(), service{
			kind: configs.KindAdapter, state: c.State, passphrase: c.PassphraseFile, log: c.Log, metrics: c.Metrics, warnings: l.Warnings,
			build: func(t tools) (*daemon, error) { return a.daemons.adapter(c, join, t) },
		})
	}
	return cmd
}

// configFlags adds a flag for each setting, and --config, whose value it
// returns.
func (a *app) configFlags(cmd *cobra.Command, kind string) *string {
	configs.DefineFlags(cmd.Flags(), kind, a.defaultState(kind))
	for _, f := range configs.Fields(kind) {
		if len(f.OneOf) > 0 {
			_ = cmd.RegisterFlagCompletionFunc(f.Flag(), cobra.FixedCompletions(f.OneOf, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	return cmd.Flags().String("config", a.getenv(configs.EnvPrefix+"CONFIG"), "TOML file with settings")
}

func (a *app) source(file string, cmd *cobra.Command) configs.Source {
	return configs.Source{File: file, Env: a.env, Flags: cmd.Flags()}
}

// loadAdapter also reads the join link, nil if there is none.
func (a *app) loadAdapter(src configs.Source) (*configs.Loaded[configs.Adapter], *joinlink.Link, error) {
	l, err := configs.LoadAdapter(src, a.defaultState(configs.KindAdapter))
	if err != nil || l.Config.Join == "" {
		return l, nil, err
	}
	join, err := joinlink.Parse(l.Config.Join)
	if err != nil {
		return nil, nil, l.Error("join", err.Error(), "on the bootstrap server, 'secp2psip invite NAME' prints one")
	}
	return l, &join, nil
}

// service is what the two daemons have in common.
type service struct {
	kind, state string
	passphrase  string // file that holds it, or fd:N
	log         configs.Log
	metrics     configs.Metrics
	warnings    []string
	build       func(tools) (*daemon, error)
}

// serve claims the state folder, builds the daemon and runs it with its admin
// socket and its metrics until ctx ends.
func (a *app) serve(ctx context.Context, s service) error {
	t := tools{version: buildVersion(), log: a.logger(s.log), keys: a.passphraseSource(s.passphrase)}
	t.metrics = metrics.New(t.version, s.kind)
	for _, w := range s.warnings {
		t.log.Warn().Msg(w)
	}
	if err := identity.MakeStateDir(s.state); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	door, err := admin.Listen(s.state)
	if err != nil {
		return err
	}
	defer door.Close()
	d, err := s.build(t)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if s.metrics.Listen != "" {
		page, err := t.metrics.Listen(s.metrics.Listen, d.health)
		if err != nil {
			return err
		}
		t.log.Info().Str("listen", page.Addr()).Msg("metrics are served")
		g.Go(func() error { return page.Run(ctx) })
	}
	g.Go(func() error { return door.Serve(ctx, d.handlers) })
	g.Go(func() error { return a.announce(ctx, t.log, s, d.ready) })
	g.Go(func() error {
		if err := d.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return errEnded // so that the others end too
	})
	if err := g.Wait(); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	t.log.Info().Msg("ended")
	return nil
}

// errEnded: the daemon has done its work.
var errEnded = errors.New("ended")

// announce tells the log and systemd when the daemon is ready and when it ends.
func (a *app) announce(ctx context.Context, log zerolog.Logger, s service, ready <-chan struct{}) error {
	select {
	case <-ready:
		log.Info().Str("kind", s.kind).Str("state", s.state).Msg("ready")
		notify(log, sd.SdNotifyReady)
		<-ctx.Done()
	case <-ctx.Done():
	}
	log.Info().Msg("ending; once more ends at once")
	notify(log, sd.SdNotifyStopping)
	return nil
}

// notify does nothing outside systemd.
func notify(log zerolog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn().Err(err).Msg("systemd cannot be told")
	}
}

// logger writes to the standard error. A level that configs accepted parses.
func (a *app) logger(c configs.Log) zerolog.Logger {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	var w io.Writer = a.stderr
	if c.Format == "console" || c.Format == "auto" && terminal(a.stderr) {
		w = zerolog.ConsoleWriter{
			Out: a.stderr, TimeFormat: time.DateTime,
			NoColor: a.getenv("NO_COLOR") != "" || !terminal(a.stderr),
		}
	}
	return zerolog.New(zerolog.SyncWriter(w)).Level(level).With().Timestamp().Logger()
}
