package spec

import (
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// sinkCheck asks the kind of a sink what is wrong with the arguments of a
// block's instances.
type sinkCheck struct {
	k    *checker
	plan *blockPlan
	args map[string]cty.Value // of the instance that is looked at; nil: no more are
	own  bool                 // args are not those of the first instance any more
}

// instance checks one instance. m are its arguments: of the first all, of the
// others those that differ. Where only arguments differ that may name tokens,
// the first stands for all; and what is wrong is said of one.
func (s *sinkCheck) instance(in *instance, m map[string]cty.Value, first, failed bool) {
	check := s.k.l.o.CheckSink
	switch {
	case check == nil:
		return
	case first:
		s.args = m
		if _, has := m["notify"]; has {
			s.args, s.own = maps.Clone(m), true
			delete(s.args, "notify")
		}
	case s.args == nil:
		return
	default:
		if !s.own {
			s.args, s.own = maps.Clone(s.args), true
		}
		for n, v := range m {
			if n != "notify" {
				s.args[n] = v
			}
		}
	}
	args := NewValues(s.args)
	if s.k.l.o.CheckContents {
		args = s.k.l.c.withContents(s.plan.schema, args)
	}
	err := check(in.typ, args)
	if err != nil {
		s.report(in, err, failed)
	} else if s.k.l.o.CheckContents {
		s.missing(in, args)
	}
	if err != nil || failed || first && !s.differs() {
		s.args = nil
	}
}

// missing warns of files whose content belongs to the sink and that cannot be read:
// they may come later, and until then keep this sink alone from being written.
func (s *sinkCheck) missing(in *instance, args Values) {
	for i := range s.plan.schema.Attrs {
		at := &s.plan.schema.Attrs[i]
		path, named := namedFile(args.Cty(at.Name))
		if !at.Content || !named || args.Cty(at.Name).HasMark(sensitiveMark{}) {
			continue
		}
		_, err := args.Content(at.Name)
		if err == nil {
			continue
		}
		whose := s.plan.form.title()
		if in.set != nil {
			whose = string(in.address())
		}
		d := problem(rangeIn(s.plan.form, at.Name), "File is not there", "%s of %s cannot be read: %v. This sink is not written until it can be; nothing else is concerned.", at.Name, whose, err)
		d.Severity = hcl.DiagWarning
		s.k.report(hinted(d, "create the file %s, or mend its name; a daemon notices by itself when it is there", path))
	}
}

// differs reports whether an argument that is known while loading can be
// another in another instance.
func (s *sinkCheck) differs() bool {
	for i := range s.plan.form.args {
		a := &s.plan.form.args[i]
		if at := s.plan.schema.attr(a.name); at != nil && !at.Deferred && a.varies() && !isMeta(a.name) {
			return true
		}
	}
	return false
}

// report says what is wrong at the argument that it is about. Where evaluating
// the block failed already, only what is wrong with a value that there is.
func (s *sinkCheck) report(in *instance, err error, failed bool) {
	whose := s.plan.form.title()
	if in.set != nil {
		whose = string(in.address())
	}
	list := argumentErrors(err, nil)
	if len(list) == 0 && !failed {
		s.k.report(absence(problem(s.plan.form.header(), "Invalid sink", "%s: %v.", whose, err), ""))
	}
	for _, e := range list {
		v, given := s.args[e.Name]
		switch {
		case failed && !given:
		case given && v.HasMark(sensitiveMark{}):
			s.k.report(problem(rangeIn(s.plan.form, e.Name), "Invalid value", "%s of %s is not what it must be; it is sensitive, so that what is wrong is not shown.", e.Name, whose))
		default:
			s.k.report(problem(s.place(e), "Invalid value", "%s of %s: %v.", e.Name, whose, e.Err))
		}
	}
}

// place is where the argument stands, or the member of it.
func (s *sinkCheck) place(e *ArgumentError) hcl.Range {
	a := s.plan.form.arg(e.Name)
	if a != nil && a.expr != nil && e.Key != "" {
		if obj, ok := unwrap(a.expr).(*hclsyntax.ObjectConsExpr); ok {
			for _, item := range obj.Items {
				if k, ok := objectKey(item.KeyExpr); ok && k == e.Key {
					return item.KeyExpr.Range()
				}
			}
		}
	}
	return rangeIn(s.plan.form, e.Name)
}

// argumentErrors collects the errors about arguments that err is made of.
func argumentErrors(err error, out []*ArgumentError) []*ArgumentError {
	switch e := err.(type) {
	case *ArgumentError:
		return append(out, e)
	case interface{ Unwrap() []error }:
		for _, x := range e.Unwrap() {
			out = argumentErrors(x, out)
		}
	case interface{ Unwrap() error }:
		return argumentErrors(e.Unwrap(), out)
	}
	return out
}
