package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// stateFlag adds --state to a command that asks a daemon of one of the kinds.
func stateFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("state", "", "state folder of the daemon (default: the one that answers of this user's)")
}

// findState returns the state folder to ask: what the flag or
// SECP2PSIP_STATE says, else the first default folder whose daemon answers,
// else the first.
func (a *app) findState(flag string, kinds ...string) string {
	if flag == "" {
		flag = a.getenv(configs.EnvPrefix + "STATE")
	}
	if flag != "" {
		return flag
	}
	for _, kind := range kinds {
		if dir := a.defaultState(kind); admin.Answers(dir) {
			return dir
		}
	}
	return a.defaultState(kinds[0])
}

// anyKind is the order in which daemons are looked for.
func anyKind() []string { return []string{configs.KindAdapter, configs.KindBootstrap} }

func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON")
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table aligns columns. The cells of a row are cleaned; an empty cell shows
// as a dash.
type table struct{ w *tabwriter.Writer }

func (a *app) table(head ...string) *table {
	t := &table{tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c = strings.ReplaceAll(clean(c), "\n", " "); c == "" {
			c = "-"
		}
		cells[i] = c
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// day and moment write times for people; a zero time is empty.
func day(t time.Time) string { return when(t, time.DateOnly) }

func moment(t time.Time) string { return when(t, time.DateTime) }

func when(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(layout)
}

// millis writes milliseconds with three digits that count.
func millis(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// size writes a number of bytes.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// plural writes a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
