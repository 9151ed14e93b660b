package adapter

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// swapDevice enters a further device's new key in the place of its old one.
// Maps and slices in an account are never changed in place.
func (a *account) swapDevice(old, fresh identity.PublicKey) {
	a.Admitted = maps.Clone(a.Admitted)
	delete(a.Admitted, old.String())
	a.Admitted[fresh.String()] = true
	a.Devices = slices.Clone(a.Devices)
	for i := range a.Devices {
		if a.Devices[i].Key == old {
			a.Devices[i].Key = fresh
		}
	}
}

// isPart tells whether a further device has the part of the registration that it
// says: as was noted when it was admitted, or as its registration says.
func (a *Adapter) isPart(ctx context.Context, n *node.Node, acct *account, aor identity.AOR, b wire.RotateBody) bool {
	if b.Part == acct.Part {
		return false // this device's own
	}
	for _, d := range acct.Devices {
		if d.Key == b.Old || d.Key == b.New {
			return d.Part == b.Part && d.Node == b.Node
		}
	}
	res, err := n.Directory().Resolve(ctx, aor, directory.Options{Fresh: true})
	return err == nil && slices.ContainsFunc(res.Devices, func(d directory.Device) bool {
		return d.Part == b.Part && d.Node == b.Node && d.Key == b.Old
	})
}

// listDevices lists the devices of one of this adapter's names, or of all: this
// one, those that the account key here has admitted, and any others that are
// registered now.
func (a *Adapter) listDevices(ctx context.Context, req admin.DevicesRequest) (*admin.Devices, error) {
	n, err := a.enrolledNode()
	if err != nil {
		return nil, err
	}
	accounts := a.allAccounts()
	if req.User != "" || req.Name != "" {
		acct, _, _, err := a.own(req.User)
		if err != nil {
			return nil, err
		}
		if req.Name != "" {
			if acct, err = a.nameDevice(ctx, n, acct, req.Name); err != nil {
				return nil, err
			}
		}
		accounts = []*account{acct}
	}
	out := &admin.Devices{Devices: []admin.PersonDevice{}}
	for _, acct := range accounts {
		list, err := a.devicesOf(ctx, n, acct)
		if err != nil {
			return nil, err
		}
		out.Devices = append(out.Devices, list...)
	}
	return out, nil
}

func (a *Adapter) devicesOf(ctx context.Context, n *node.Node, acct *account) ([]admin.PersonDevice, error) {
	key, err := accountOf(n, acct)
	if err != nil {
		return nil, err
	}
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return nil, err
	}
	own := acct.DeviceKey.Public()
	out := []admin.PersonDevice{{
		User: acct.User, Number: int(acct.Part), Fingerprint: own.Fingerprint(), Node: n.ID().String(), Here: true, Name: acct.DeviceName,
		Account: !acct.AccountKey.IsZero(), Revoked: n.Board().DeviceRevoked(key, own),
	}}
	for _, d := range acct.Devices {
		out = append(out, admin.PersonDevice{
			User: acct.User, Number: int(d.Part), Fingerprint: d.Key.Fingerprint(), Node: d.Node.String(), Admitted: d.At,
			Revoked: !acct.Admitted[d.Key.String()] || n.Board().DeviceRevoked(key, d.Key),
		})
	}
	res, err := n.Directory().Resolve(ctx, aor, directory.Options{Fresh: true, NoPin: true})
	if err != nil && !errors.Is(err, directory.ErrNotRegistered) {
		return out, nil // who is there now cannot be said
	}
	for _, d := range res.Devices {
		at := slices.IndexFunc(out, func(p admin.PersonDevice) bool { return p.Fingerprint == d.Key.Fingerprint() })
		if at < 0 {
			at = len(out)
			out = append(out, admin.PersonDevice{
				User: acct.User, Number: int(d.Part), Fingerprint: d.Key.Fingerprint(), Node: d.Node.String(), Admitted: time.UnixMilli(d.Delegation.Issued),
			})
		}
		out[at].Name, out[at].Seen = nameOf(d.Features), d.Seen
	}
	slices.SortStableFunc(out, func(x, y admin.PersonDevice) int { return x.Number - y.Number })
	return out, nil
}

// nameFeature begins the word of a registration that names the device.
const nameFeature = "name="

func nameOf(features []string) string {
	for _, f := range features {
		if name, ok := strings.CutPrefix(f, nameFeature); ok {
			return name
		}
	}
	return ""
}

// nameDevice names this device; "-" takes the name back.
func (a *Adapter) nameDevice(ctx context.Context, n *node.Node, acct *account, name string) (*account, error) {
	if name == "-" {
		name = ""
	}
	bad := strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' })
	if bad || len(name) > admin.MaxDeviceName {
		return nil, admin.Errorf(admin.CodeBadRequest, "%q is no name for a device: up to %d of a-z, 0-9, '-' and '.'", name, admin.MaxDeviceName)
	}
	acct, err := a.update(acct.User, func(acct *account) { acct.DeviceName = name })
	if err != nil {
		return nil, err
	}
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return nil, err
	}
	return acct, a.republish(ctx, n, aor)
}

// rotate changes the account key or this device's key of an account.
func (a *Adapter) rotate(ctx context.Context, req admin.RotateRequest) (*admin.RotateResult, error) {
	n, err := a.enrolledNode()
	if err != nil {
		return nil, err
	}
	acct, err := a.chosenAccount(req.As)
	if err != nil {
		return nil, err
	}
	aor, before, err := a.accountKey(n, acct)
	if err != nil {
		return nil, err
	}
	out := &admin.RotateResult{AOR: aor.String(), Old: before.Fingerprint()}
	if req.Device {
		out.Old = acct.DeviceKey.Public().Fingerprint()
		err = a.rotateDevice(ctx, n, acct.User)
	} else {
		overlap := defaultOverlap
		if req.OverlapSeconds != nil {
			overlap = time.Duration(*req.OverlapSeconds) * time.Second
		}
		if overlap < 0 || overlap > identity.MaxOverlap {
			return nil, admin.Errorf(admin.CodeBadRequest, "the old key can count beside the new one for up to %v", identity.MaxOverlap)
		}
		err = a.rotateAccount(ctx, n, acct.User, overlap)
	}
	if err != nil {
		return nil, rotateRefusal(err)
	}
	acct = a.account(aor)
	cert, err := n.Trust().VerifyAccount(acct.Chain, a.time.Now())
	if err != nil {
		return nil, err
	}
	out.New, out.KeyVersion = cert.Key.Fingerprint(), cert.Version
	if req.Device {
		out.New = acct.DeviceKey.Public().Fingerprint()
	}
	return out, nil
}
