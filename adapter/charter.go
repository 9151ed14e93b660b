package adapter

import (
	"context"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// charter shows the overlay's rules as this adapter knows them.
func (a *Adapter) charter(_ context.Context, req admin.CharterRequest) (*admin.Charter, error) {
	n := a.Node()
	switch {
	case len(req.Set) > 0:
		return nil, admin.Errorf(admin.CodeBadRequest, "only the bootstrap server issues editions of the charter")
	case n == nil:
		return nil, admin.Errorf(admin.CodeNotFound, "this adapter is not enrolled yet and knows no charter")
	}
	return admin.CharterOf(n.Trust().Charter()), nil
}
