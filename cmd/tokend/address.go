package main

import (
	"fmt"
	"regexp"
	"strings"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// parseAddress reads an address of the command line.
func parseAddress(s string) (string, error) {
	a, err := spec.ParseAddress(s)
	if err != nil {
		return "", withHint(err, "%s", addressHint(s))
	}
	return string(a), nil
}

// unquotedKey is an instance's key without its quotes, which a shell takes away.
var unquotedKey = regexp.MustCompile(`^([^\[\]"]+)\[([^\[\]"]+)\]$`)

// addressHint says what a text that is no address was probably meant to be.
func addressHint(s string) string {
	if m := unquotedKey.FindStringSubmatch(s); m != nil {
		if a, err := spec.ParseAddress(fmt.Sprintf("%s[%q]", m[1], m[2])); err == nil {
			return fmt.Sprintf("the shell takes quotes away: write %s", reconcile.ShellAddress(string(a)))
		}
	}
	if i := strings.LastIndexByte(s, '.'); i > 0 {
		if a, err := spec.ParseAddress(s[:i]); err == nil && a.Kind() == "credential" {
			return fmt.Sprintf("an attribute is named beside the address: tokend get %s --field %s", reconcile.ShellAddress(string(a)), s[i+1:])
		}
	}
	return "an address is TYPE.NAME, or TYPE.NAME[\"KEY\"] quoted for the shell; `tokend status` lists them"
}

// parseCredential is parseAddress where only a credential has what is asked for.
func parseCredential(s, has string) (string, error) {
	a, err := parseAddress(s)
	if err != nil {
		return "", err
	}
	if kind := spec.Address(a).Kind(); kind != "credential" {
		return "", withHint(fmt.Errorf("%s is a %s, and only a credential has %s", shown(a), kind, has), "an address of a credential is TYPE.NAME; `tokend status` lists them")
	}
	return a, nil
}
