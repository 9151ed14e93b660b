package configs

import (
	"path/filepath"
	"strings"
)

// Host is what DefaultState needs to know of the machine.
type Host struct {
	OS     string // as runtime.GOOS
	UID    int    // as os.Getuid; 0 is root
	Getenv func(name string) string
}

// DefaultState returns the state folder of a kind: what systemd made for the
// service (STATE_DIRECTORY), or a folder secp2psip/KIND in XDG_STATE_HOME, in
// /var/lib for root, in LocalAppData on Windows, or else in ~/.local/state.
func DefaultState(kind string, h Host) string {
	if dirs := h.Getenv("STATE_DIRECTORY"); dirs != "" {
		first, _, _ := strings.Cut(dirs, ":")
		return first
	}
	base := h.Getenv("XDG_STATE_HOME")
	switch {
	case filepath.IsAbs(base): // a relative one is to be ignored, says the XDG specification
	case h.OS == "windows":
		base = h.Getenv("LocalAppData")
	case h.UID == 0:
		base = "/var/lib"
	default:
		base = filepath.Join(h.Getenv("HOME"), ".local", "state")
	}
	return filepath.Join(base, "secp2psip", kind)
}
