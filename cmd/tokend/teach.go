package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// teach gives each command an example: what a person types who needs it for the
// first time.
func teach(root *cobra.Command) {
	for path, lines := range examplesOfUse() {
		c, _, err := root.Find(strings.Fields(path))
		if err != nil {
			continue // a test sees to it that there is none such
		}
		c.Example = "  " + strings.Join(lines, "\n  ")
	}
}

// examplesOfUse are by command, without the leading tokend.
func examplesOfUse() map[string][]string {
	return map[string][]string{
		"run": {
			"tokend run",
			"tokend run --git https://git.example.com/tokens.git --ref main --path production",
		},
		"plan": {
			"tokend plan",
			"tokend plan --detailed-exitcode   # 2: there is something to do",
			"tokend plan --against host.json   # a pull request, away from the host",
		},
		"apply": {
			"tokend apply",
			"tokend apply --auto-approve --allow-revocations 3",
		},
		"validate":         {"tokend validate --config ./tokens"},
		"status":           {"tokend status", `tokend status 'coinify.trader["alice"]'`, "tokend status --watch"},
		"get":              {"tokend get coinify.trader", `curl -H "Authorization: $(tokend get coinify.trader --field header)" https://api.example.com/me`},
		"login":            {"tokend login coinsph.wallet", "tokend login coinsph.wallet --paste   # the browser is on another machine"},
		"approve":          {"tokend plan   # shows what is held back", "tokend approve"},
		"refresh":          {"tokend refresh coinify.trader"},
		"revoke":           {"tokend revoke coinify.trader", "tokend revoke coinify.trader --forget", "tokend revoke coinify.trader --forget-orphans"},
		"taint":            {"tokend taint coinify.trader"},
		"retry":            {"tokend retry coinify.trader", "tokend retry sink.file.trader"},
		"action":           {"tokend action coinify.trader deactivate"},
		"exec":             {"tokend exec --env TOKEN=coinify.trader -- ./report.sh"},
		"fmt":              {"tokend fmt", "tokend fmt --check --diff", "tokend fmt - < main.hcl"},
		"dev":              {"tokend dev", "tokend dev /etc/tokend"},
		"functions":        {"tokend functions"},
		"schema":           {"tokend schema >tokend.schema.json"},
		"version":          {"tokend version"},
		"provider list":    {"tokend provider list"},
		"provider test":    {"tokend provider test coinify.trader"},
		"provider show":    {"tokend provider show coinify >acme.hcl   # to copy and change"},
		"state list":       {"tokend state list"},
		"state show":       {"tokend state show coinify.trader"},
		"state mv":         {`tokend state mv coinify.trader 'coinify.traders["alice"]'`},
		"state rm":         {"tokend state rm coinify.trader"},
		"state export":     {"tokend state export --out host.json"},
		"state backup":     {"tokend state backup /var/backups/tokend.db"},
		"state restore":    {"systemctl stop tokend", "tokend state restore /var/backups/tokend.db --force"},
		"state rotate-key": {"tokend state rotate-key", "tokend state rotate-key --key-file /etc/tokend-state.key"},
	}
}
