package admin

// MethodRotate changes a person's own keys: RotateRequest → RotateResult. It
// exists on an adapter.
const MethodRotate = "rotate"

// MaxDeviceName bounds the name of a device, in bytes.
const MaxDeviceName = 24

// RotateRequest asks for a new account key, or a new device key.
type RotateRequest struct {
	As             string `json:"as,omitempty"` // which of the accounts here; needed where there are several
	Device         bool   `json:"device,omitempty"`
	OverlapSeconds *int64 `json:"overlap_seconds,omitempty"` // how long the old account key counts beside the new one; nil = an hour
}

// RotateResult says which key follows which.
type RotateResult struct {
	AOR        string `json:"aor"`
	Old        string `json:"old"` // fingerprints
	New        string `json:"new"`
	KeyVersion uint32 `json:"key_version"` // of the account key
}
