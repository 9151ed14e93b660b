package configs

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// position is a place in a file, 1-based, and what stands there.
type position struct {
	line, column int
	kind         unstable.Kind // of the value, if the place is a key's
}

// positions maps keys ("sip.listen", "sip.listen[1]", "sip.accounts[0].user",
// "sip") to where they stand. A file that does not parse gives what stands
// before the mistake.
type positions struct {
	parser unstable.Parser
	at     map[string]position
	tables map[string]int // how many tables of a list were seen
}

func findPositions(data []byte) map[string]position {
	p := positions{at: map[string]position{}, tables: map[string]int{}}
	p.parser.Reset(data)
	prefix := ""
	for p.parser.NextExpression() {
		switch e := p.parser.Expression(); e.Kind {
		case unstable.Table:
			prefix = p.path("", e.Key())
			p.note(prefix, e.Child())
		case unstable.ArrayTable:
			prefix = p.path("", e.Key())
			n := p.tables[prefix]
			p.tables[prefix] = n + 1
			if n == 0 {
				p.note(prefix, e.Child())
			}
			prefix = fmt.Sprintf("%s[%d]", prefix, n)
			p.note(prefix, e.Child())
		case unstable.KeyValue:
			p.pair(prefix, e)
		}
	}
	return p.at
}

// path joins a dotted key to a prefix. A table within a list of tables
// belongs to the list's last table.
func (p *positions) path(prefix string, key unstable.Iterator) string {
	for key.Next() {
		if prefix != "" {
			prefix += "."
		}
		prefix += string(key.Node().Data)
		if n := p.tables[prefix]; n > 0 && !key.IsLast() {
			prefix = fmt.Sprintf("%s[%d]", prefix, n-1)
		}
	}
	return prefix
}

func (p *positions) note(key string, n *unstable.Node) {
	start := p.parser.Shape(n.Raw).Start
	p.at[key] = position{line: start.Line, column: start.Column}
}

func (p *positions) pair(prefix string, e *unstable.Node) {
	key := p.path(prefix, e.Key())
	it := e.Key()
	it.Next()
	p.note(key, it.Node())
	pos := p.at[key]
	pos.kind = e.Value().Kind
	p.at[key] = pos
	p.value(key, e.Value())
}

func (p *positions) value(key string, v *unstable.Node) {
	children := v.Children()
	switch v.Kind {
	case unstable.InlineTable:
		for children.Next() {
			p.pair(key, children.Node())
		}
	case unstable.Array:
		for i := 0; children.Next(); {
			c := children.Node()
			if c.Kind == unstable.Comment {
				continue
			}
			element := fmt.Sprintf("%s[%d]", key, i)
			if c.Raw.Length > 0 {
				p.note(element, c)
			}
			p.value(element, c)
			i++
		}
	}
}

// lookUp returns where key stands, or else the nearest thing around it.
func lookUp(at map[string]position, key string) (position, bool) {
	for key != "" {
		if pos, ok := at[key]; ok {
			return pos, true
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return position{}, false
}
