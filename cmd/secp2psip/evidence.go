package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// maxProofFile bounds an exported proof, in bytes.
const maxProofFile = 64 << 10

func (a *app) evidenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence [ID]",
		Short: "Show proofs that members contradict themselves",
		Long: `List the proofs that this node has found or been told of: a member that signed
things that cannot both be true, or an issuer that signed two keys for one name.
A member that was caught is not called any more for a week. Anybody can check a
proof; the operator of the bootstrap server can revoke that node with
'secp2psip revoke --evidence ID'.

With an ID, show that one. --export writes the proof to a file, for the operator
or anybody else, who checks it with --check.`,
		Example: `  secp2psip evidence
  secp2psip evidence 5f1c90aa01020304
  secp2psip evidence 5f1c90aa01020304 --export proof.bin
  secp2psip evidence --check proof.bin
  secp2psip evidence 5f1c90aa01020304 --forgive`,
		Args: cobra.MaximumNArgs(1),
	}
	state, asJSON := stateFlag(cmd), jsonFlag(cmd)
	export := cmd.Flags().String("export", "", "write the proof to this file")
	check := cmd.Flags().String("check", "", "say what the proof in this file proves")
	forgive := cmd.Flags().Bool("forgive", false, "call that member again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := admin.EvidenceRequest{Forgive: *forgive}
		if len(args) > 0 {
			req.ID = strings.ToLower(args[0])
		}
		if req.ID == "" && (*forgive || *export != "") {
			return fail(exitUsage, "secp2psip evidence lists them", "say which evidence: its ID")
		}
		if *check != "" {
			var err error
			if req.Check, err = readProof(*check); err != nil {
				return err
			}
		}
		var r admin.EvidenceResult
		if err := admin.Dial(a.findState(*state, anyKind()...)).Call(cmd.Context(), admin.MethodEvidence, req, &r); err != nil {
			return err
		}
		if *export != "" && len(r.Items) == 1 {
			if err := os.WriteFile(*export, r.Items[0].Proof, 0o600); err != nil {
				return fail(exitFailure, "", "%v", err)
			}
		}
		if *asJSON {
			return a.printJSON(r)
		}
		return a.printProofs(r)
	}
	return cmd
}

func readProof(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(exitUsage, "", "%v", err)
	}
	defer f.Close()
	proof, err := io.ReadAll(io.LimitReader(f, maxProofFile+1))
	if err != nil || len(proof) == 0 || len(proof) > maxProofFile {
		return nil, fail(exitUsage, "a file that 'secp2psip evidence ID --export FILE' wrote", "%s is no proof", path)
	}
	return proof, nil
}

func (a *app) printProofs(r admin.EvidenceResult) error {
	if len(r.Items) == 0 && len(r.Withheld) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no evidence against anybody")
		return err
	}
	t := a.table()
	for _, it := range r.Items {
		t.row("evidence", it.ID+" ("+it.Kind+")")
		if it.Owner != "" {
			t.row("node", it.Node.String())
			t.row("owner", strings.TrimSpace(it.Owner+" "+it.Name))
		} else if it.Name != "" {
			t.row("name", it.Name)
		}
		t.row("proves", it.Detail)
		t.row("signed", moment(it.When))
		if !it.Received.IsZero() {
			t.row("kept since", moment(it.Received)+map[bool]string{true: ", found here", false: ", told by another node"}[it.Own])
		}
		if !it.Until.IsZero() {
			t.row("not called until", moment(it.Until))
		}
		if it.Owner != "" && it.Name != "" {
			t.row("to revoke", "secp2psip revoke --evidence "+it.ID)
		}
	}
	for _, w := range r.Withheld {
		t.row("withheld", fmt.Sprintf("node %s, %s: it did not give others what it gave us; no proof", w.Node.Short(), plural(w.Times, "time")))
	}
	return t.flush()
}
