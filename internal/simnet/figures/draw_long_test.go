//go:build long

package figures

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLongDraw: every figure is drawn in both formats, and has a caption.
func TestLongDraw(t *testing.T) {
	dir := t.TempDir()
	m := Maker{Dir: dir, Seed: 1, Small: true}
	if err := m.Draw(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hops", "latency", "bad-peers", "share-holders", "bytes"} {
		for _, format := range []string{".svg", ".png"} {
			if info, err := os.Stat(filepath.Join(dir, name+format)); err != nil || info.Size() < 2000 {
				t.Errorf("%s%s: %v", name, format, err)
			}
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || len(text) < 500 {
		t.Errorf("captions: %v, %d bytes", err, len(text))
	}
}
