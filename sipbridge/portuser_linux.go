package sipbridge

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// portUser names the program that holds a port, "" if this user may not know.
func portUser(network string, a netip.AddrPort) string {
	table := "/proc/net/" + network
	if a.Addr().Is6() {
		table += "6"
	}
	inode := socketInode(table, a)
	if inode == "" {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err != nil || link != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// socketInode finds the socket that is bound to a, or to its port on every
// address: column 2 is the address, column 10 the inode.
func socketInode(table string, a netip.AddrPort) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	port := fmt.Sprintf(":%04X", a.Port())
	own := procAddr(a.Addr()) + port
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		cols := strings.Fields(lines.Text())
		if len(cols) < 10 || !strings.HasSuffix(cols[1], port) {
			continue
		}
		if zero := strings.Trim(strings.TrimSuffix(cols[1], port), "0") == ""; cols[1] == own || zero || a.Addr().IsUnspecified() {
			return cols[9]
		}
	}
	return ""
}

// procAddr writes an address as the kernel's tables do: 32-bit words in the
// host's byte order.
func procAddr(a netip.Addr) string {
	b := a.AsSlice()
	for i := 0; i+4 <= len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	return strings.ToUpper(hex.EncodeToString(b))
}
