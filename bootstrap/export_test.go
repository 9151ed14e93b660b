package bootstrap

import "context"

// FillDisk keeps the state file from growing, as a full disk would; with false
// it may grow again.
func (s *Server) FillDisk(full bool) {
	s.db.MaxSize = 0
	if full {
		s.db.MaxSize = 1
	}
}

// Maintain does at once what happens every hour.
func (s *Server) Maintain(ctx context.Context) error {
	s.republish(ctx)
	return s.renewOwn()
}
