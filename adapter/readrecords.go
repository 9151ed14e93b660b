package adapter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// maxRecordLine bounds one line of the file of calls, in bytes.
const maxRecordLine = 64 << 10

// writeRecords writes the calls that have ended, oldest first, one JSON line
// each, and opens those that are sealed.
func (a *Adapter) writeRecords(w io.Writer) error {
	for _, name := range []string{recordsOld, recordsFile} {
		if err := a.writeRecordsOf(w, filepath.Join(a.cfg.State, name)); err != nil {
			return err
		}
	}
	return nil
}

func (a *Adapter) writeRecordsOf(w io.Writer, path string) error {
	if err := identity.CheckSecretFile(path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxRecordLine)
	for lines.Scan() {
		line := lines.Bytes()
		if seal.Sealed(line) {
			if line, err = a.state.file.Box.OpenLine(recordsContext, line); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return lines.Err()
}
