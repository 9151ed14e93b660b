package link

import "time"

// For tests outside the package: what maintain does every minute.

func (l *Link) DropExpired() { l.dropExpired() }

func (l *Link) DropSpare(idle time.Duration) { l.dropSpare(idle) }

// Blind switches the watch over peers that pass packets on off.
func (l *Link) Blind() { l.blind = true }
