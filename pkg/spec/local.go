package spec

import (
	"sync"

	"github.com/zclconf/go-cty/cty"
)

// local is one named expression. Where its value is the same for every
// evaluation it is kept and the expression dropped.
type local struct {
	name   string
	arg    argument
	place  place
	done   bool
	static bool
	broken bool
	value  cty.Value
	text   string // of the expression, for digests
	digest lazySum
}

// lazySum is a hash that is computed when it is first asked for.
type lazySum struct {
	once sync.Once
	sum  sum
}

func (l *lazySum) get(compute func() sum) sum {
	l.once.Do(func() { l.sum = compute() })
	return l.sum
}

// declareLocals collects the names of all locals blocks.
func (l *loader) declareLocals() {
	for _, at := range l.localBlocks {
		f, diags := newForm(at.src, at.row)
		l.report(diags...)
		for _, b := range f.blocks {
			l.report(unknownNested(b, "locals", nil))
		}
		rows := at.src.attrs[f.row.attrs:f.row.attrsEnd]
		for i := range f.args {
			a := f.args[i]
			if first, dup := l.c.locals[a.name]; dup {
				l.report(duplicate("local."+a.name, first.arg.nameRange, a.nameRange))
				continue
			}
			lo := &local{name: a.name, arg: a, place: at, value: cty.DynamicVal, text: at.src.cut(rows[i].expr), broken: a.expr == nil}
			l.c.locals[a.name] = lo
		}
	}
}

// settle evaluates a local while loading: once, with unknown secrets and
// tokens. One that is known even so is static.
func (l *loader) settle(lo *local) {
	if lo.done || lo.broken {
		return
	}
	lo.done = true
	if !l.checkRefs(&lo.arg, nil) {
		lo.broken = true
		return
	}
	v, diags := l.ev.eval(lo.arg.expr, lo.arg.refs, nil)
	if diags.HasErrors() {
		l.report(diags...)
		lo.broken = true
		return
	}
	if v.IsWhollyKnown() {
		lo.static, lo.value = true, v
		lo.arg.expr = nil
	}
}
