//go:build unix

package node

import (
	"io"
	"os"
	"syscall"
)

// wiper holds the file at path open. Once another has taken its place, the
// function that it returns overwrites it with zeros, unless it has another name
// yet, which somebody may want. That is what a program can do: a file system
// that copies on write, a snapshot or a worn flash cell keeps old blocks.
func wiper(path string) func(replaced bool) {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return func(bool) {}
	}
	return func(replaced bool) {
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil || !replaced || !info.Mode().IsRegular() {
			return
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Nlink > 0 {
			return
		}
		_, _ = io.CopyN(f, zeros{}, info.Size())
		_ = f.Sync()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
