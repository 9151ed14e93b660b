package identity

// RootKey returns the key and the overlay's name of a root certificate whose
// fingerprint the caller has checked already. It fails with ErrMalformed or
// ErrUntrusted for anything that is no self-signed root of an overlay.
func RootKey(der []byte) (key PublicKey, overlay string, err error) {
	cert, overlay, err := parseRoot(der)
	if err != nil {
		return PublicKey{}, "", err
	}
	return certKey(cert), overlay, nil
}
