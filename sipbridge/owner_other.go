//go:build !linux

package sipbridge

import "github.com/secp2psip/secp2psip/sipbridge/carry"

// socketUsers returns nil: this system does not tell.
func socketUsers(carry.Flow) func(carry.Flow) (uint32, error) { return nil }
