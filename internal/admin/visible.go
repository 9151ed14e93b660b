package admin

// VisibleRequest asks for whom an account's registration is readable, or
// changes it.
type VisibleRequest struct {
	Account   string   `json:"account,omitempty"` // user part; may be left out where there is one only
	Change    bool     `json:"change,omitempty"`
	Everybody bool     `json:"everybody,omitempty"` // with Change: sealed for nobody any more
	Readers   []string `json:"readers,omitempty"`   // with Change: names; none and not Everybody: nobody can read it
}

// Visible says for whom an account's registration is readable.
type Visible struct {
	Account   string   `json:"account"`
	Everybody bool     `json:"everybody"`
	Readers   []Reader `json:"readers"`
}

// Reader is somebody who can read a sealed registration.
type Reader struct {
	AOR         string `json:"aor"`
	Fingerprint string `json:"fingerprint,omitempty"` // of the key that it is sealed for; empty: not known yet, so that it is not
}
