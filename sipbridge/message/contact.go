package message

// MaxContacts bounds the contacts of one REGISTER.
const MaxContacts = 16

// Contacts are the Contact fields of one request (RFC 3261 §20.10).
type Contacts struct {
	Star bool // "Contact: *", and nothing else
	List []Address
}

// Contacts reads every Contact field: comma lists, with and without angle
// brackets, and '*', which must stand alone. Each URI has been parsed once and
// is valid.
func (m *Message) Contacts() (Contacts, error) {
	var c Contacts
	if m.Count(Contact) == 1 && string(m.Get(Contact)) == "*" {
		return Contacts{Star: true}, nil
	}
	err := m.Addresses(Contact, func(a Address) error {
		if string(a.URI) == "*" {
			return malformed("Contact: * must stand alone")
		}
		if len(c.List) == MaxContacts {
			return malformed("too many contacts")
		}
		if _, err := ParseURI(a.URI); err != nil {
			return err
		}
		for _, name := range [...]string{"expires", "q", "+sip.instance"} {
			if countParam(a.Params, name) > 1 {
				return malformed("a contact has a parameter twice")
			}
		}
		c.List = append(c.List, a)
		return nil
	})
	return c, err
}
