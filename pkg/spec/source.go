package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
)

// span is a range of bytes of a source.
type span struct{ off, end uint32 }

// attrRow is one argument of a lowered block: where its name and its
// expression stand.
type attrRow struct{ name, expr span }

// blockRow is one lowered block. A block's own arguments are consecutive rows
// of the source's attribute table; its nested blocks follow it in the block
// table, up to next.
type blockRow struct {
	typ      span
	labels   [2]span
	body     span
	line     uint32 // of typ
	attrs    uint32 // first row of its arguments
	attrsEnd uint32
	next     uint32 // first row after the block and what is nested in it
	nlabels  uint8
}

// source is one file, lowered: its bytes, and flat tables that say what stands
// where. Tables hold no pointers, so that two hundred thousand blocks cost the
// collector nothing. Immutable after lowering.
type source struct {
	name    string
	text    string
	json    bool
	broken  bool // it does not parse
	builtin bool
	blocks  []blockRow
	attrs   []attrRow
	types   []*ProviderType
	// badTypes are the names of provider types with mistakes.
	badTypes []string
	diags    Diagnostics // the mistakes that are seen in this file alone

	summing sync.Once
	hash    [sha256.Size]byte // of text; see sum
}

// same reports whether content is what s was made of.
func (s *source) same(content []byte) bool {
	return s.text == string(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")))
}

func (s *source) cut(p span) string { return s.text[p.off:p.end] }

// holds reports whether all spans are within the text.
func (s *source) holds(spans ...span) bool {
	for _, p := range spans {
		if p.off > p.end || int(p.end) > len(s.text) {
			return false
		}
	}
	return true
}

// ident returns the name at p: an identifier, or a quoted string of JSON or of
// a label.
func (s *source) ident(p span) string {
	t := s.cut(p)
	if len(t) < 2 || t[0] != '"' {
		return t
	}
	inner := t[1 : len(t)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var out string
	if json.Unmarshal([]byte(t), &out) != nil {
		return inner
	}
	return out
}

// pos computes line and column of a byte offset, counting from the block's
// first line, which is near.
func (s *source) pos(b *blockRow, off uint32) hcl.Pos {
	line, from := int(b.line), b.typ.off
	if off < from {
		line, from = 1, 0
	}
	between := s.text[from:off]
	line += strings.Count(between, "\n")
	start := strings.LastIndexByte(s.text[:off], '\n') + 1
	return hcl.Pos{Line: line, Column: columns(s.text[start:off]) + 1, Byte: int(off)}
}

// columns counts grapheme clusters, as HCL counts columns.
func columns(s string) int {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return len(s)
	}
	sc := hcl.NewRangeScanner([]byte(s), "", wholeLine)
	if !sc.Scan() {
		return 0
	}
	return sc.Range().End.Column - 1
}

// wholeLine is a bufio.SplitFunc that takes everything as one token.
func wholeLine(data []byte, _ bool) (int, []byte, error) {
	if len(data) == 0 {
		return 0, nil, nil
	}
	return len(data), data, nil
}

func (s *source) rangeOf(b *blockRow, p span) hcl.Range {
	start := s.pos(b, p.off)
	end := hcl.Pos{Byte: int(p.end)}
	text := s.cut(p)
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		end.Line = start.Line + strings.Count(text, "\n")
		end.Column = columns(text[i+1:]) + 1
	} else {
		end.Line = start.Line
		end.Column = start.Column + columns(text)
	}
	return hcl.Range{Filename: s.name, Start: start, End: end}
}

// header is the range of a block's type and labels.
func (s *source) header(b *blockRow) hcl.Range {
	p := b.typ
	if n := min(int(b.nlabels), len(b.labels)); n > 0 && b.labels[n-1].end > p.end {
		p.end = b.labels[n-1].end
	}
	return s.rangeOf(b, p)
}

func (s *source) label(b *blockRow, i int) string {
	if i >= int(b.nlabels) || i >= len(b.labels) {
		return ""
	}
	return s.ident(b.labels[i])
}

// newSource reads one file: parse, lower, drop the tree.
func newSource(fileName string, content []byte, l *lowering) *source {
	s := &source{
		name: fileName,
		text: string(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))),
		json: strings.HasSuffix(fileName, ".json"),
	}
	s.builtin = l.builtin
	lowerSafely(l, s)
	s.diags = tidy(s.diags)
	return s
}

// lowerSafely turns a panic of the parser into a diagnostic, because a file
// that anybody can push must not be able to end the daemon.
func lowerSafely(l *lowering, s *source) {
	defer func() {
		if recover() != nil {
			s.blocks, s.attrs, s.types, s.badTypes, s.broken = nil, nil, nil, nil, true
			s.diags = append(s.diags, fileError(s.name, parserFailed, "The parser failed on this file. Look for an unclosed bracket or string, or take the last change back."))
		}
	}()
	l.lower(s)
}

// parserFailed and evaluatorFailed are the summaries of what should not happen.
const (
	parserFailed    = "File cannot be parsed"
	evaluatorFailed = "Expression cannot be evaluated"
)
