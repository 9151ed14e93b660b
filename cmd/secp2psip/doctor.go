package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/internal/admin"
)

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that calls can work, and say what to do",
		Long: `Check the state folder, the daemon, its way to the bootstrap server and the
ring, the clock, the phones and whether they can be reached directly. Each
check that is not fine comes with what to do. Exit code 1 if one failed.`,
		Example: "  secp2psip doctor\n  secp2psip doctor --json",
		Args:    none,
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir := a.findState(*state, anyKind()...)
		report := admin.DoctorReport{Checks: checkFolder(dir)}
		err := askDoctor(cmd.Context(), dir, &report)
		if *asJSON {
			if err := a.printJSON(report); err != nil {
				return err
			}
		} else if err := a.printChecks(report); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		return doctorError(report)
	}
	return cmd
}

// askDoctor adds the daemon's own checks. It returns an error only if the
// daemon cannot be asked, which is a failed check too.
func askDoctor(ctx context.Context, dir string, report *admin.DoctorReport) error {
	var theirs admin.DoctorReport
	err := admin.Dial(dir).Call(ctx, admin.MethodDoctor, nil, &theirs)
	if err != nil {
		_, hint := classify(err)
		report.Checks = append(report.Checks, admin.Check{Name: "daemon", Result: admin.CheckFail, Detail: err.Error(), Mend: hint})
		return err
	}
	report.Checks = append(report.Checks, admin.Check{Name: "daemon", Result: admin.CheckOK, Detail: "answers on " + dir})
	report.Checks = append(report.Checks, theirs.Checks...)
	return nil
}

func doctorError(report admin.DoctorReport) error {
	failed := 0
	for _, c := range report.Checks {
		if c.Result == admin.CheckFail {
			failed++
		}
	}
	if failed > 0 {
		return fail(exitFailure, "what to do stands below each of them", "%s failed", plural(failed, "check"))
	}
	return nil
}

func (a *app) printChecks(report admin.DoctorReport) error {
	for _, c := range report.Checks {
		fmt.Fprintf(a.stdout, "%-4s  %s: %s\n", clean(c.Result), clean(c.Name), clean(c.Detail))
		if c.Mend != "" {
			fmt.Fprintf(a.stdout, "      → %s\n", clean(c.Mend))
		}
	}
	return nil
}

// maxFiles bounds how much of a state folder is looked at.
const maxFiles = 10_000

// checkFolder checks who may read the state folder and its files.
func checkFolder(dir string) []admin.Check {
	const name = "state folder"
	info, err := os.Stat(dir)
	if err != nil {
		return []admin.Check{{
			Name: name, Result: admin.CheckFail, Detail: err.Error(),
			Mend: "start the daemon once, or name its folder with --state",
		}}
	}
	if runtime.GOOS == "windows" { // modes say nothing there
		return []admin.Check{{Name: name, Result: admin.CheckOK, Detail: dir}}
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return []admin.Check{{
			Name: name, Result: admin.CheckFail, Detail: fmt.Sprintf("%s is open to others (mode %04o)", dir, mode),
			Mend: "chmod 700 " + dir,
		}}
	}
	open, err := openFiles(dir)
	switch {
	case err != nil:
		return []admin.Check{{Name: name, Result: admin.CheckWarn, Detail: err.Error(), Mend: "run doctor as the daemon's user, for example with sudo"}}
	case len(open) > 0:
		return []admin.Check{{
			Name: name, Result: admin.CheckWarn, Detail: "others may read " + strings.Join(open, ", "),
			Mend: "chmod 600 " + strings.Join(open, " "),
		}}
	}
	return []admin.Check{{Name: name, Result: admin.CheckOK, Detail: dir + " is private"}}
}

// openFiles lists files in dir that others may read or write.
func openFiles(dir string) ([]string, error) {
	var open []string
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if seen++; seen > maxFiles {
			return fs.SkipAll
		}
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			open = append(open, path)
		}
		return nil
	})
	return open, err
}
