package joinlink

import (
	"errors"
	"fmt"
)

var (
	// ErrLink: the text is not a join link.
	ErrLink = errors.New("this is not a join link")
	// ErrDamaged: the text was a join link once; a part is missing or changed.
	ErrDamaged = fmt.Errorf("%w: a part of it is missing or changed; copy the whole line again", ErrLink)
)
