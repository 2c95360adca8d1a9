package secret

import "strings"

// span is a stretch of a text.
type span struct{ begin, end int }

// find gives every stretch of the text that can be read as want.
func (s *spelling) find(want string, found []span) []span {
	// Nothing stands for twice as many bytes as it has itself.
	if want == "" || len(want) > 2*len(s.text) {
		return found
	}
	m := match{s: s, want: want}
	for i := strings.IndexByte(s.text, want[0]); i >= 0 && s.left >= 0; {
		if end := m.end(i, 0); end > 0 {
			found = append(found, span{i, end})
		}
		next := strings.IndexByte(s.text[i+1:], want[0])
		if next < 0 {
			break
		}
		i += 1 + next
	}
	for _, i := range s.starts[want[0]] {
		if s.left < 0 {
			break
		}
		if end := m.end(i, 0); end > 0 {
			found = append(found, span{i, end})
		}
	}
	return found
}

// match looks for one secret.
type match struct {
	s    *spelling
	want string
	// known is what end gives where a text can be read in several ways, so that
	// many of these in a row do not multiply.
	known map[span]int
}

// end is how far the text from a place on can be read as want from j on, at most;
// -1 where it cannot.
func (m *match) end(i, j int) int {
	for {
		m.s.left--
		switch {
		case j == len(m.want):
			return i
		case i == len(m.s.text), m.s.left < 0:
			return -1
		}
		if m.s.escapes != nil && strings.IndexByte(introducers, m.s.text[i]) >= 0 {
			if escapes := m.s.escapes[i]; escapes != nil {
				return m.fork(i, j, escapes)
			}
		}
		if m.s.text[i] != m.want[j] {
			return -1
		}
		i, j = i+1, j+1
	}
}

func (m *match) fork(i, j int, escapes []escape) int {
	at := span{i, j}
	if end, ok := m.known[at]; ok {
		return end
	}
	m.s.left -= forkWork
	furthest := -1
	if m.s.text[i] == m.want[j] {
		furthest = m.end(i+1, j+1)
	}
	for _, e := range escapes {
		if e.is[0] == m.want[j] && strings.HasPrefix(m.want[j:], e.is) {
			furthest = max(furthest, m.end(e.end, j+len(e.is)))
		}
	}
	if m.known == nil {
		m.known = map[span]int{}
	}
	m.known[at] = furthest
	return furthest
}
