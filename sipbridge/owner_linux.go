package sipbridge

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// socketUsers returns a function that names the user whose socket talks to us
// from f.Remote on this host, or returns errNoSocket. own is one of our own
// sockets, to find out whether this kernel can be asked for one socket.
func socketUsers(own carry.Flow) func(f carry.Flow) (uint32, error) {
	if _, err := askKernel(own); err == nil {
		return askKernel
	}
	return readTables
}

// Of linux/sock_diag.h and linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	diagReqLen       = 16 + 8 + 48
	diagMsgLen       = 16 + 4 + 48 + 20
	diagID           = 24 // where the socket's id begins in a request
	diagUID          = 80 // where the user id stands in an answer, and behind it the inode
)

// askKernel asks for one socket, whatever their number:
//
//	nlmsghdr (16) | family, protocol, ext, pad (4) | states (4) | sockid (48)
//	sockid: be16 sport | be16 dport | src (16) | dst (16) | if (4) | cookie (8)
func askKernel(f carry.Flow) (uint32, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_INET_DIAG)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)
	if err := syscall.Sendto(fd, diagRequest(f), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return 0, err
	}
	var b [512]byte
	n, from, err := syscall.Recvfrom(fd, b[:], 0)
	if err != nil {
		return 0, err
	}
	if k, ok := from.(*syscall.SockaddrNetlink); !ok || k.Pid != 0 || n < diagMsgLen || binary.NativeEndian.Uint16(b[4:]) != sockDiagByFamily {
		return 0, errNoSocket
	}
	port := binary.BigEndian.Uint16(b[20:])
	inode := binary.NativeEndian.Uint32(b[diagUID+4:])
	if port != f.Remote.Port() || inode == 0 { // one that its program has closed belongs to nobody
		return 0, errNoSocket
	}
	return binary.NativeEndian.Uint32(b[diagUID:]), nil
}

func diagRequest(f carry.Flow) []byte {
	b := make([]byte, diagReqLen)
	binary.NativeEndian.PutUint32(b, diagReqLen)
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], syscall.NLM_F_REQUEST)
	b[16], b[17] = syscall.AF_INET, syscall.IPPROTO_TCP
	if f.Remote.Addr().Is6() {
		b[16] = syscall.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[20:], ^uint32(0))
	src, dst := f.Remote, f.Local
	if f.Transport == "udp" {
		b[17] = syscall.IPPROTO_UDP
		src, dst = dst, src // for UDP the kernel reads them the other way round
	}
	id := b[diagID:]
	binary.BigEndian.PutUint16(id, src.Port())
	binary.BigEndian.PutUint16(id[2:], dst.Port())
	copy(id[4:20], src.Addr().AsSlice())
	copy(id[20:36], dst.Addr().AsSlice())
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // no cookie
	return b
}

// readTables looks into the kernel's tables, for kernels without the question.
// Sockets of several users at one address belong to nobody.
func readTables(f carry.Flow) (uid uint32, err error) {
	tables := []string{f.Transport + "6"}
	if f.Remote.Addr().Is4() {
		tables = []string{f.Transport, f.Transport + "6"} // a socket of both families stands in the second
	}
	found := false
	for _, table := range tables {
		file, err := os.Open("/proc/net/" + table)
		if err != nil {
			continue
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			u, ok := owns(strings.Fields(lines.Text()), f)
			if !ok {
				continue
			}
			if found && u != uid {
				return 0, errNoSocket
			}
			uid, found = u, true
		}
	}
	if !found {
		return 0, errNoSocket
	}
	return uid, nil
}

// owns reads a line of such a table: column 2 is the socket's own address,
// 3 the other one, 8 the user id, 10 the inode.
func owns(cols []string, f carry.Flow) (uid uint32, ok bool) {
	if len(cols) < 10 || cols[9] == "0" || !sockAt(cols[1], f.Remote) {
		return 0, false
	}
	if f.Transport == "tcp" && !sockAt(cols[2], f.Local) || f.Transport == "udp" && !sockAt(cols[2], f.Local) && !strings.HasSuffix(cols[2], ":0000") {
		return 0, false
	}
	n, err := strconv.ParseUint(cols[7], 10, 32)
	return uint32(n), err == nil
}

// sockAt tells whether an address of a table is a, or a's port on every
// address.
func sockAt(col string, a netip.AddrPort) bool {
	host, ok := strings.CutSuffix(col, fmt.Sprintf(":%04X", a.Port()))
	return ok && (strings.Trim(host, "0") == "" || host == procAddr(a.Addr()) || a.Addr().Is4() && host == procAddr(netip.AddrFrom16(a.Addr().As16())))
}
