package spec

import (
	"sort"
	"strings"

	yaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// FunctionDoc describes one function of the language.
type FunctionDoc struct {
	Name  string
	Group string // "string", "number", "collection", "encoding", "hash", "date", "file", "type", "request"
	Usage string // the call with its parameters' names: join(separator, lists...)
	Doc   string // one line
}

// Functions lists the functions of the language by name. Those of the group
// "request" are for the requests of provider types alone.
func Functions() []FunctionDoc {
	entries := append(functionTable(newFiles("", nil)), functionEntry{
		name: "jwt_sign", group: "request", fn: JWTSignFunction(nil),
		doc: "a signed JSON Web Token (RFC 7519), in the requests of a provider type alone; headers may be left out",
	})
	docs := make([]FunctionDoc, 0, len(entries))
	for _, e := range entries {
		docs = append(docs, FunctionDoc{Name: e.name, Group: e.group, Usage: usage(e.name, e.fn), Doc: e.doc})
	}
	sort.Slice(docs, func(i, j int) bool { return docs[i].Name < docs[j].Name })
	return docs
}

// TypeFunctions are the functions that a provider type may call: all but those
// that read files, because a type is data that moves between directories.
func TypeFunctions() map[string]function.Function {
	out := map[string]function.Function{}
	for _, e := range functionTable(newFiles("", nil)) {
		if e.group != groupFile {
			out[e.name] = e.fn
		}
	}
	return out
}

// functions returns the functions of a configuration. What they read is read
// through f, once, so that one configuration sees one content.
func functions(f *files) map[string]function.Function {
	out := map[string]function.Function{}
	for _, e := range functionTable(f) {
		out[e.name] = e.fn
	}
	return out
}

// The groups of functions.
const (
	groupString     = "string"
	groupNumber     = "number"
	groupCollection = "collection"
	groupEncoding   = "encoding"
	groupHash       = "hash"
	groupDate       = "date"
	groupFile       = "file"
	groupType       = "type"
)

// functionEntry is one row of the table of functions.
type functionEntry struct {
	name, group, doc string
	fn               function.Function
}

// functionTable is every function of the language. None is impure: what it
// returns depends on its arguments alone, or on a file that is watched.
func functionTable(files *files) []functionEntry {
	var all []functionEntry
	for _, part := range [][]functionEntry{
		stringFunctions(), numberFunctions(), collectionFunctions(), encodingFunctions(),
		hashFunctions(), dateFunctions(), typeFunctions(),
	} {
		all = append(all, part...)
	}
	for i := range all {
		all[i].fn = guard(all[i].fn)
	}
	for _, e := range fileFunctions(files) {
		e.fn = guard(e.fn)
		all = append(all, e)
	}
	// try and can get expressions and not values, so there is nothing to guard.
	all = append(all,
		functionEntry{"can", groupType, "whether the expression can be evaluated without an error", canFunc()},
		functionEntry{"try", groupType, "the first of its expressions that can be evaluated without an error", tryFunc()},
	)
	// Templates see every function but templatefile itself, as in Terraform.
	// What a template that is a value could read, nobody would see in the
	// configuration, so that it reads nothing.
	callable, pure := make(map[string]function.Function, len(all)), make(map[string]function.Function, len(all))
	for _, e := range all {
		callable[e.name] = e.fn
		if e.group != groupFile {
			pure[e.name] = e.fn
		}
	}
	return append(all,
		functionEntry{"templatefile", groupFile, "the text of a template file with the values of a map put in", guard(files.templateFile(callable))},
		functionEntry{"templatestring", groupString, "a template that is a value, such as a local's, with the values of a map put in; it reads no files", guard(templateStringFunc(pure))},
	)
}

func stringFunctions() []functionEntry {
	return []functionEntry{
		{"chomp", groupString, "without newlines at the end", stdlib.ChompFunc},
		{"endswith", groupString, "whether a string ends with another", stringTest("endswith", "suffix", strings.HasSuffix)},
		{"format", groupString, "a string made by a format like printf's", stdlib.FormatFunc},
		{"formatlist", groupString, "a list of strings made by a format from the elements of lists", stdlib.FormatListFunc},
		{"indent", groupString, "each line but the first moved to the right by that many spaces", stdlib.IndentFunc},
		{"join", groupString, "the elements of lists with a separator between them", stdlib.JoinFunc},
		{"lower", groupString, "in lower case", stdlib.LowerFunc},
		{"regex", groupString, "the first match of a regular expression (RE2), or its groups", stdlib.RegexFunc},
		{"regexall", groupString, "all matches of a regular expression", stdlib.RegexAllFunc},
		{"replace", groupString, "every occurrence of a substring, or of a /regular expression/, replaced", replaceFunc()},
		{"split", groupString, "the parts of a string between separators", stdlib.SplitFunc},
		{"startswith", groupString, "whether a string begins with another", stringTest("startswith", "prefix", strings.HasPrefix)},
		{"strcontains", groupString, "whether a string contains another", stringTest("strcontains", "substr", strings.Contains)},
		{"strrev", groupString, "the characters in reverse order", stdlib.ReverseFunc},
		{"substr", groupString, "a part of a string, by offset and length in characters", stdlib.SubstrFunc},
		{"title", groupString, "the first letter of each word in upper case", stdlib.TitleFunc},
		{"trim", groupString, "without the given characters at both ends", stdlib.TrimFunc},
		{"trimprefix", groupString, "without a prefix", stdlib.TrimPrefixFunc},
		{"trimspace", groupString, "without white space at both ends", stdlib.TrimSpaceFunc},
		{"trimsuffix", groupString, "without a suffix", stdlib.TrimSuffixFunc},
		{"upper", groupString, "in upper case", stdlib.UpperFunc},
	}
}

func numberFunctions() []functionEntry {
	return []functionEntry{
		{"abs", groupNumber, "the absolute value", stdlib.AbsoluteFunc},
		{"ceil", groupNumber, "the next whole number that is not smaller", stdlib.CeilFunc},
		{"floor", groupNumber, "the next whole number that is not greater", stdlib.FloorFunc},
		{"log", groupNumber, "the logarithm to a base", stdlib.LogFunc},
		{"max", groupNumber, "the greatest of its numbers", stdlib.MaxFunc},
		{"min", groupNumber, "the smallest of its numbers", stdlib.MinFunc},
		{"parseint", groupNumber, "a whole number read from a string in a base", stdlib.ParseIntFunc},
		{"pow", groupNumber, "a number to the power of another", stdlib.PowFunc},
		{"signum", groupNumber, "-1, 0 or 1 by the sign of a number", stdlib.SignumFunc},
	}
}

func collectionFunctions() []functionEntry {
	return []functionEntry{
		{"alltrue", groupCollection, "whether all elements are true", boolFold("alltrue", true)},
		{"anytrue", groupCollection, "whether an element is true", boolFold("anytrue", false)},
		{"chunklist", groupCollection, "a list cut into lists of that many elements", stdlib.ChunklistFunc},
		{"coalesce", groupCollection, "the first argument that is neither null nor an empty string", coalesceFunc()},
		{"coalescelist", groupCollection, "the first list that is not empty", stdlib.CoalesceListFunc},
		{"compact", groupCollection, "a list without empty strings and nulls", stdlib.CompactFunc},
		{"concat", groupCollection, "the elements of all lists in one", stdlib.ConcatFunc},
		{"contains", groupCollection, "whether a collection has an element", stdlib.ContainsFunc},
		{"distinct", groupCollection, "a list without repetitions", stdlib.DistinctFunc},
		{"element", groupCollection, "an element of a list, counted round and round", stdlib.ElementFunc},
		{"flatten", groupCollection, "lists in lists made one list", stdlib.FlattenFunc},
		{"index", groupCollection, "the position of the first element equal to a value", indexFunc()},
		{"keys", groupCollection, "the keys of a map, sorted", stdlib.KeysFunc},
		{"length", groupCollection, "how many elements a collection, or characters a string has", lengthFunc()},
		{"lookup", groupCollection, "an element of a map by its key, or a default", lookupFunc()},
		{"matchkeys", groupCollection, "the values whose keys are in a set", matchKeysFunc()},
		{"merge", groupCollection, "all maps in one; of equal keys the last counts", stdlib.MergeFunc},
		{"one", groupCollection, "the only element of a list, or null when it is empty", oneFunc()},
		{"range", groupCollection, "a list of numbers from a start to a limit by a step", stdlib.RangeFunc},
		{"reverse", groupCollection, "a list in reverse order", stdlib.ReverseListFunc},
		{"setintersection", groupCollection, "the elements that all sets have", stdlib.SetIntersectionFunc},
		{"setproduct", groupCollection, "every combination of the elements of sets", stdlib.SetProductFunc},
		{"setsubtract", groupCollection, "the elements that the second set lacks", stdlib.SetSubtractFunc},
		{"setunion", groupCollection, "the elements of all sets", stdlib.SetUnionFunc},
		{"slice", groupCollection, "the elements from one position up to before another", stdlib.SliceFunc},
		{"sort", groupCollection, "a list of strings, sorted", stdlib.SortFunc},
		{"sum", groupCollection, "the sum of numbers", sumFunc()},
		{"transpose", groupCollection, "a map of lists with keys and elements swapped", transposeFunc()},
		{"values", groupCollection, "the values of a map in the order of its keys", stdlib.ValuesFunc},
		{"zipmap", groupCollection, "a map of a list of keys and a list of values", stdlib.ZipmapFunc},
	}
}

func typeFunctions() []functionEntry {
	return []functionEntry{
		{"issensitive", groupType, "whether a value is sensitive", issensitiveFunc()},
		{"nonsensitive", groupType, "the value, no longer sensitive: it may be shown from here on", nonsensitiveFunc()},
		{"sensitive", groupType, "the value, never to be shown", sensitiveFunc()},
		{"tobool", groupType, "converted to a bool", stdlib.MakeToFunc(cty.Bool)},
		{"tolist", groupType, "converted to a list", collectionFunc(cty.List, cty.ListVal)},
		{"tomap", groupType, "converted to a map", stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType))},
		{"tonumber", groupType, "converted to a number", stdlib.MakeToFunc(cty.Number)},
		{"toset", groupType, "converted to a set", collectionFunc(cty.Set, cty.SetVal)},
		{"tostring", groupType, "converted to a string", stdlib.MakeToFunc(cty.String)},
	}
}

func encodingFunctions() []functionEntry {
	return []functionEntry{
		{"base64decode", groupEncoding, "the text that base64 stands for", base64DecodeFunc()},
		{"base64encode", groupEncoding, "text as base64", textToText("base64encode", base64Encode)},
		{"base64gunzip", groupEncoding, "the text that base64gzip was given", base64GunzipFunc()},
		{"base64gzip", groupEncoding, "text compressed with gzip, as base64", textToText("base64gzip", base64Gzip)},
		{"csvdecode", groupEncoding, "a list of maps from CSV with a line of names", stdlib.CSVDecodeFunc},
		{"jsondecode", groupEncoding, "the value that JSON stands for", stdlib.JSONDecodeFunc},
		{"jsonencode", groupEncoding, "a value as JSON", stdlib.JSONEncodeFunc},
		{"jwt_claims", groupEncoding, "the claims of a JSON Web Token, not verified", jwtClaimsFunc()},
		{"textdecodebase64", groupEncoding, "the text that base64 of UTF-8, UTF-16LE, UTF-16BE, ISO-8859-1 or US-ASCII stands for", textDecodeBase64Func()},
		{"textencodebase64", groupEncoding, "text in UTF-8, UTF-16LE, UTF-16BE, ISO-8859-1 or US-ASCII, as base64", textEncodeBase64Func()},
		{"urldecode", groupEncoding, "the text that a URL-encoded string stands for", urlDecodeFunc()},
		{"urlencode", groupEncoding, "text encoded for a URL's query or a form", textToText("urlencode", urlEncode)},
		{"yamldecode", groupEncoding, "the value that YAML stands for", yaml.YAMLDecodeFunc},
		{"yamlencode", groupEncoding, "a value as YAML", yaml.YAMLEncodeFunc},
	}
}

func dateFunctions() []functionEntry {
	return []functionEntry{
		{"formatdate", groupDate, "an RFC 3339 time in another format", stdlib.FormatDateFunc},
		{"timeadd", groupDate, "an RFC 3339 time with a duration added", stdlib.TimeAddFunc},
		{"timecmp", groupDate, "-1, 0 or 1 by the order of two RFC 3339 times", timeCmpFunc()},
	}
}

// usage renders a call with the names of the parameters.
func usage(name string, f function.Function) string {
	var parts []string
	for _, p := range f.Params() {
		parts = append(parts, p.Name)
	}
	if v := f.VarParam(); v != nil {
		parts = append(parts, v.Name+"...")
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}
