package node

import (
	"context"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// addrChanges returns a channel on which the kernel's word of a change of
// interfaces or addresses comes (rtnetlink(7)), many of them as one. It is closed
// when no more comes; nil where the kernel gives none.
func addrChanges(ctx context.Context) <-chan struct{} {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR})
	if err != nil {
		return nil
	}
	told := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	go func() { // ends when ctx does
		defer close(told)
		defer stop()
		for {
			_, err := conn.Receive()
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // so many that some were lost are a word, too
				_ = conn.Close()
				return
			}
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}()
	return told
}
