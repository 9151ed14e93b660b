package seal

// Source is where a passphrase comes from. The zero value has none.
type Source struct {
	// Configured returns the passphrase that a file, a descriptor or the
	// service manager holds; nil if none was named. Who names one wants the
	// keys sealed with it.
	Configured func() ([]byte, error)
	// Ask asks a person; nil where there is no terminal.
	Ask func(question string) ([]byte, error)
	// Params for a new header; zero value = DefaultParams.
	Params Params
}

// Passphrase returns what opens a header that is there already. ErrLocked if
// there is neither a source nor a person.
func (s Source) Passphrase() ([]byte, error) {
	switch {
	case s.Configured != nil:
		return s.Configured()
	case s.Ask != nil:
		return s.Ask("Passphrase of the keys: ")
	}
	return nil, ErrLocked
}

// Cost returns the parameters for a new header.
func (s Source) Cost() Params {
	if s.Params == (Params{}) {
		return DefaultParams()
	}
	return s.Params
}
