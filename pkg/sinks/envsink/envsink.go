package envsink

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"tokend/pkg/atomicfile"
	"tokend/pkg/secret"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/internal/hostfile"
	"tokend/pkg/spec"
)

// Sink is the kind "env". It is safe for concurrent use.
type Sink struct {
	hostfile.Files
	dir string
}

var _ sinks.Sink = (*Sink)(nil)

// New makes the kind. Files are written by w; relative paths are relative to
// dir, the directory of the configuration, and refused when it is empty.
func New(w *atomicfile.Writer, dir string) *Sink {
	return &Sink{Files: hostfile.New(w), dir: dir}
}

// Schema lists the arguments of the kind.
func Schema() spec.Schema {
	return spec.Schema{
		Doc: "A file of environment variables.",
		Attrs: append(hostfile.Attrs(),
			spec.Attr{Name: "format", Type: cty.String, Oneof: formats(), Default: formatSystemd, Doc: "Who reads the file; values are quoted by this reader's rules."},
			spec.Attr{Name: "vars", Type: cty.Map(cty.String), Deferred: true, Doc: "The variables and their values, null ones left out, and of none an empty file; with a template, what it may name as ${name}."},
			spec.Attr{Name: "template", Type: cty.String, Content: true, Doc: "A file of KEY=value lines in the same format, with ${name} for a value of vars and $${ for a literal ${; comments and order are kept."},
		),
	}
}

// Render implements [sinks.Sink]. The template, whose text comes with the
// arguments, is checked also while the values are not known yet.
func (s *Sink) Render(args spec.Values) (sinks.Desired, error) {
	target, d, vars, err := parse(args, s.dir)
	if err != nil {
		return sinks.Desired{}, err
	}
	var lines []line
	if args.Has("template") {
		lines, err = s.templateLines(args, target, d, vars)
	} else {
		lines, err = vars.lines(d)
		if err != nil {
			err = hostfile.Wrong(target.Path, err)
		}
	}
	if err != nil {
		return sinks.Desired{}, err
	}
	if !vars.known {
		return target.Unknown()
	}
	text, err := write(lines, vars, d)
	if err != nil {
		return sinks.Desired{}, hostfile.Wrong(target.Path, err)
	}
	return target.Desired(text, names(lines)...), nil
}

// names are those of the variables that lines set, sorted.
func names(lines []line) []string {
	var out []string
	for _, l := range lines {
		if l.name != "" {
			out = append(out, l.name)
		}
	}
	slices.Sort(out)
	return out
}

// parse reads the arguments alone.
func parse(args spec.Values, dir string) (hostfile.Target, dialect, variables, error) {
	target, err := hostfile.ParseTarget(args, dir)
	if err != nil {
		return target, dialect{}, variables{}, err
	}
	d, err := dialectOf(args)
	if err != nil {
		return target, d, variables{}, hostfile.Wrong(target.Path, err)
	}
	vars, err := readVars(args)
	if err != nil {
		return target, d, vars, hostfile.Wrong(target.Path, err)
	}
	return target, d, vars, nil
}

// Check says all that is wrong with arguments of which some may be unknown yet. A
// template is looked into where its text came with them; where it did not, it may
// come later, or be mended, and keeps no other sink waiting.
func Check(args spec.Values) error {
	_, targetErr := hostfile.ParseTarget(args, "/")
	d, formatErr := dialectOf(args)
	vars, varsErr := readVars(args)
	var err error
	switch {
	case args.Has("template"):
		if _, err = hostfile.Path(args, "template", "/"); err == nil && formatErr == nil && varsErr == nil {
			err = checkTemplate(args, d, vars)
		}
	case formatErr == nil && varsErr == nil:
		var lines []line
		if lines, err = vars.lines(d); err == nil && vars.known {
			_, err = write(lines, vars, d)
		}
	}
	return errors.Join(targetErr, formatErr, varsErr, err)
}

// checkTemplate says all that is wrong with a template whose text is there. One
// that is not there yet is no mistake.
func checkTemplate(args spec.Values, d dialect, vars variables) error {
	text, err := args.Content("template")
	if err != nil {
		return nil
	}
	lines, err := parseTemplate(string(text), d)
	if vars.named {
		err = errors.Join(err, vars.cover(lines))
	}
	if err != nil {
		return &spec.ArgumentError{Name: "template", Err: err}
	}
	return nil
}

func (s *Sink) templateLines(args spec.Values, target hostfile.Target, d dialect, vars variables) ([]line, error) {
	path, err := hostfile.Path(args, "template", s.dir)
	if err != nil {
		return nil, err
	}
	text, err := args.Content("template")
	if err != nil {
		return nil, fmt.Errorf("rendering %s: the template: %w", target.Path, err)
	}
	lines, err := parseTemplate(string(text), d)
	if err == nil && vars.named {
		err = vars.cover(lines)
	}
	if err != nil {
		return nil, hostfile.Wrong(target.Path, fmt.Errorf("reading template %s: %w", path, err))
	}
	return lines, nil
}

// variables are the argument vars.
type variables struct {
	named  bool // the names are known
	none   bool // the argument is there and has no element, as of instances of which there is none yet
	known  bool // so are all values
	values map[string]secret.Text
	null   map[string]bool
}

func readVars(args spec.Values) (variables, error) {
	v := variables{named: true, known: true, values: map[string]secret.Text{}, null: map[string]bool{}}
	x, _ := args.Cty("vars").Unmark()
	switch {
	case !x.IsKnown():
		v.named, v.known = false, false
		return v, nil
	case x.IsNull():
		return v, nil
	case !x.Type().IsObjectType() && !x.Type().IsMapType():
		return v, &spec.ArgumentError{Name: "vars", Err: errors.New("a map of strings is required")}
	}
	v.none = x.LengthInt() == 0
	var errs []error
	for it := x.ElementIterator(); it.Next(); {
		k, e := it.Element()
		k, _ = k.Unmark()
		if err := v.add(k.AsString(), e); err != nil {
			errs = append(errs, &spec.ArgumentError{Name: "vars", Key: k.AsString(), Err: fmt.Errorf("variable %q: %w", k.AsString(), err)})
		}
	}
	return v, errors.Join(errs...)
}

func (v *variables) add(name string, e cty.Value) error {
	hidden := spec.IsSensitive(e)
	e, _ = e.UnmarkDeep()
	if !e.IsKnown() {
		v.known = false
		v.values[name] = secret.Text{}
		return nil
	}
	s, err := convert.Convert(e, cty.String)
	switch {
	case err != nil:
		return fmt.Errorf("a string is required, not %s", e.Type().FriendlyName())
	case s.IsNull():
		v.null[name] = true
	case hidden && s.AsString() == "":
		return errors.New("the value is empty; a variable without its token would only break what reads it")
	default:
		v.values[name] = secret.New(s.AsString())
	}
	return nil
}

// lines are one for each variable, in the order of their names. A map without
// elements makes an empty file; one whose variables are all left out is a mistake.
func (v variables) lines(d dialect) ([]line, error) {
	var out []line
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(v.values)) {
		if err := d.checkName(name); err != nil {
			errs = append(errs, &spec.ArgumentError{Name: "vars", Key: name, Err: err})
		}
		out = append(out, line{prefix: name + "=", name: name, value: []segment{{variable: name}}})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if v.named && !v.none && len(out) == 0 {
		return nil, errors.New("there is no variable to write; give vars, and at least one that is not null")
	}
	return out, nil
}

// cover makes sure that a template names only what there is.
func (v variables) cover(lines []line) error {
	var errs []error
	for _, l := range lines {
		for _, s := range l.value {
			_, ok := v.values[s.variable]
			switch {
			case s.variable == "" || ok:
			case v.null[s.variable]:
				errs = append(errs, fmt.Errorf("line %d: vars.%s is null, and %s needs it", l.number, s.variable, l.name))
			default:
				errs = append(errs, fmt.Errorf("line %d: vars has no %q, which %s needs; add it, or write $${ for a literal ${", l.number, s.variable, l.name))
			}
		}
	}
	return errors.Join(errs...)
}

// write puts the values in and quotes them.
func write(lines []line, v variables, d dialect) (secret.Text, error) {
	var out strings.Builder
	for _, l := range lines {
		if l.name == "" {
			out.WriteString(l.verbatim + "\n")
			continue
		}
		var value strings.Builder
		for _, s := range l.value {
			value.WriteString(s.literal)
			if s.variable != "" {
				value.WriteString(v.values[s.variable].Reveal())
			}
		}
		quoted, err := d.write(l.name, value.String())
		if err != nil {
			return secret.Text{}, err
		}
		out.WriteString(l.prefix + quoted + "\n")
	}
	return secret.New(out.String()), nil
}
