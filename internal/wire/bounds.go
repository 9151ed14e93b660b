package wire

import (
	"fmt"
	"net/netip"
	"unicode/utf8"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// The bounds of the fields: bytes for texts and byte strings, items for arrays.
const (
	MaxPeers        = 32                                             // peers in one message: successor list, next hops
	MaxAddrs        = 8                                              // addresses of one peer
	MaxNews         = 64                                             // groups in one Gossip, descriptors and notices in one group
	MaxMembers      = 384                                            // descriptors in one Members: always fit a message
	MaxDigests      = 256                                            // bytes of digests in one GetMembers
	MaxIssuers      = 4                                              // issuers' certificates in one Certificates
	MaxCertificates = 64                                             // node certificates in one Certificates
	MaxItems        = 15                                             // records in one StoreMany or Fetched: always fit a message
	MaxBulletinIDs  = 1024                                           // bulletins named in one Bulletins
	MaxOffers       = 256                                            // records named in one Offer
	MaxShares       = identity.MaxShares                             // shares in one Registered
	MaxChain        = 3                                              // certificates of one chain
	MaxCertificate  = identity.MaxCertificate                        // one certificate
	MaxDelegation   = 512                                            // one signed delegation
	MaxCharter      = 4 << 10                                        // the signed charter
	MaxSigned       = 4 << 10                                        // a signed body: Invite, Redirect, Register, Renew
	MaxTextBody     = 16 << 10                                       // the body of one text
	MaxSignedText   = 18 << 10                                       // a signed text
	MaxCarry        = 60 << 10                                       // the data of one CarryFrame
	MaxAOR          = 4 + 1 + identity.MaxUser + identity.MaxOverlay // "sip:", "@" and both halves
	MaxNumber       = identity.MaxUser
	MaxInvitation   = 64  // an invitation's secret
	MinInvitation   = 16  // the same: at least 128 bit
	MaxCallID       = 256 // a Call-ID
	MaxReason       = 256 // a reason phrase or warning
	MaxContact      = 512 // a Contact URI
	MaxToken        = 128 // a content type, a software name
	MaxPaths        = 8   // call paths in one Invite or Redirect
	MaxPath         = 16  // the name of a call path
)

// digestSize is the length of one part's digest in GetMembers.
const digestSize = 4

// firstError returns the first of errs that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func outOfBound(field string, got, most int) error {
	return fmt.Errorf("%w: %s: %d exceeds %d", ErrMalformed, field, got, most)
}

// checkBytes bounds a byte string that may be empty.
func checkBytes[B ~[]byte](field string, b B, most int) error {
	if len(b) > most {
		return outOfBound(field, len(b), most)
	}
	return nil
}

// checkFull bounds a byte string that must not be empty.
func checkFull[B ~[]byte](field string, b B, most int) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: %s is empty", ErrMalformed, field)
	}
	return checkBytes(field, b, most)
}

// checkText bounds a text and refuses control characters: texts end up in SIP
// headers, where a line break would begin another header.
func checkText(field, s string, most int) error {
	if len(s) > most {
		return outOfBound(field, len(s), most)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s is not UTF-8", ErrMalformed, field)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return fmt.Errorf("%w: %s has a control character", ErrMalformed, field)
		}
	}
	return nil
}

// checkAOR bounds a name; whether it is one is for identity.ParseAOR to say.
func checkAOR(field, s string) error {
	if s == "" {
		return fmt.Errorf("%w: %s is empty", ErrMalformed, field)
	}
	return checkText(field, s, MaxAOR)
}

func checkPaths(paths []string) error {
	if len(paths) > MaxPaths {
		return outOfBound("paths", len(paths), MaxPaths)
	}
	for _, p := range paths {
		if err := checkText("path", p, MaxPath); err != nil {
			return err
		}
	}
	return nil
}

func checkChain(chain [][]byte) error {
	if len(chain) > MaxChain {
		return outOfBound("chain", len(chain), MaxChain)
	}
	for _, c := range chain {
		if err := checkFull("certificate", c, MaxCertificate); err != nil {
			return err
		}
	}
	return nil
}

// checkAddrs accepts addresses that another node can send to, in the one form
// in which each can be written: no zone, no IPv4 inside IPv6.
func checkAddrs(addrs []netip.AddrPort) error {
	if len(addrs) > MaxAddrs {
		return outOfBound("addresses", len(addrs), MaxAddrs)
	}
	for _, a := range addrs {
		ip := a.Addr()
		if !ip.IsValid() || ip.Is4In6() || ip.Zone() != "" || ip.IsUnspecified() || a.Port() == 0 {
			return fmt.Errorf("%w: %s is no address to send to", ErrMalformed, a)
		}
	}
	return nil
}

func checkPeers(field string, peers []Peer, most int) error {
	if len(peers) > most {
		return outOfBound(field, len(peers), most)
	}
	for i := range peers {
		if err := peers[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func checkPeer(p *Peer) error {
	if p == nil {
		return nil
	}
	return p.check()
}

// checkRecord bounds a record as a whole and in its parts.
func checkRecord(r *record.Record) error {
	if size := r.Size(); size > record.MaxRecord {
		return outOfBound("record", size, record.MaxRecord)
	}
	return checkParts(r, r.Chain.Certificates)
}

func checkParts(r *record.Record, chain [][]byte) error {
	return firstError(
		checkFull("record", r.Signed, record.MaxRecord),
		checkChain(chain),
		checkBytes("delegation", r.Chain.Delegation, MaxDelegation),
	)
}

func checkRecords(field string, rs []record.Record, most int) error {
	if len(rs) > most {
		return outOfBound(field, len(rs), most)
	}
	for i := range rs {
		if err := checkRecord(&rs[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkShort is checkRecords for records whose issuing certificate may be left
// out: see Shorten.
func checkShort(field string, rs []record.Record, most int) error {
	for i := range rs[:min(len(rs), most)] {
		chain := rs[i].Chain.Certificates
		if last := len(chain) - 1; last >= 0 && len(chain[last]) == 0 {
			chain = chain[:last]
		}
		if size := rs[i].Size(); size > record.MaxRecord {
			return outOfBound("record", size, record.MaxRecord)
		}
		if err := checkParts(&rs[i], chain); err != nil {
			return err
		}
	}
	if len(rs) > most {
		return outOfBound(field, len(rs), most)
	}
	return nil
}
