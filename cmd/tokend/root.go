package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tokend/pkg/gitsource"
)

// globals are the flags that every command has, and the process.
type globals struct {
	process
	config                string
	state                 string
	control               string
	vars                  []string
	varFiles              []string
	varContents           map[string][]byte // of those of varFiles that can be read only once
	logLevel              string
	logFormat             string
	logged                *lines       // what the log is written by; nil: as text, or not yet
	records               *slog.Logger // of a daemon that logs JSON: nothing else comes between its lines
	command               string       // such as "tokend apply"
	configSet, controlSet bool
	asked, served         bool  // a daemon or a state was asked; a daemon answered
	begins                bool  // the command begins with the directory: an empty one is a mistake
	contents              bool  // files such as templates are looked into while the directory is read
	catalog               fs.FS // built-in provider types
	// What dev does differently: whom it may ask.
	guard      *devGuard         // nil but in dev
	git        *gitsource.Source // nil but in a daemon that follows a repository
	noPath     bool              // what it has does not have the directory of --path
	commit     string            // that a daemon followed last, where none runs
	limit      *policyGate       // the host's policy
	policyFile string
	stage      stage
	signers    string // file of keys that may sign what is followed
	input      []byte // standard input, where that is what diagnostics are about
}

// A help text teaches: what the command is for, then how it is used.
const rootHelp = `tokend makes the API tokens that a directory of HCL declares exist, keeps them
fresh, delivers them to files, environment files and Vault, and revokes what is
no longer declared.

See it at work, with nothing to install and nothing to configure:

    tokend dev

A first configuration of your own is a file like /etc/tokend/main.hcl:

    secret "file" "password" { path = "/etc/tokend/coinify.password" }

    credential "coinify" "trader" {
      grant      = "password"
      email      = "me@example.com"
      partner_id = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
      password   = secret.file.password.value
    }

    sink "file" "trader" {
      path    = "/run/tokend/coinify.token"
      content = credential.coinify.trader.access_token
    }

Then: "tokend validate" checks it, "tokend plan" says what would happen,
"tokend apply" makes it so once, and "tokend run" keeps it so.`

func newRoot(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use: "tokend", Short: "declarative API tokens: obtained, kept fresh, delivered, revoked", Long: rootHelp,
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.SetVersionTemplate("tokend {{.Version}}\n")
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", "", "`directory` of the configuration (default $CONFIGURATION_DIRECTORY, else /etc/tokend)")
	f.StringVar(&g.state, "state", "", "`directory` of the state (default: the configuration's state.path, else $STATE_DIRECTORY, else /var/lib/tokend)")
	f.StringVar(&g.control, "control", "", "control `socket` of the daemon (default $RUNTIME_DIRECTORY/tokend.sock, else /run/tokend/tokend.sock)")
	f.StringArrayVar(&g.vars, "var", nil, "value of a variable, as `NAME=VALUE`; may be repeated")
	f.StringArrayVar(&g.varFiles, "var-file", nil, "`file` with values of variables; may be repeated")
	f.StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&g.logFormat, "log-format", "auto", "auto (tokend run: coloured text on a terminal, JSON otherwise; other commands: text), text or json")
	root.PersistentPreRunE = func(c *cobra.Command, args []string) error {
		if strings.Contains(c.Use, " ADDRESS") && len(args) > 0 {
			g.stage.about = args[0]
		}
		return g.defaults(c)
	}
	root.AddCommand(
		runCommand(g), planCommand(g), applyCommand(g), validateCommand(g), statusCommand(g), getCommand(g), loginCommand(g),
		approveCommand(g), refreshCommand(g), revokeCommand(g), taintCommand(g), retryCommand(g), actionCommand(g),
		stateCommand(g), providerCommand(g), devCommand(g), execCommand(g), fmtCommand(g), functionsCommand(g), schemaCommand(g), versionCommand(g),
	)
	teach(root)
	root.SetHelpCommand(helpCommand())
	explainUse(root)
	return root
}

// defaults fills in what the environment says where no flag does.
func (g *globals) defaults(c *cobra.Command) error {
	g.command = c.CommandPath()
	g.limit = &policyGate{file: g.policyFile}
	g.configSet, g.controlSet = c.Flags().Changed("config"), c.Flags().Changed("control")
	switch g.command {
	case "tokend dev":
		g.limit = nil // it acts on nothing of this host
	case "tokend validate", "tokend plan", "tokend apply", "tokend run":
		g.begins = true
		g.limit.shows = c.Name() == "validate" || c.Name() == "plan"
	}
	if _, err := g.logger(); err != nil {
		return err // also where a command logs nothing: who misspells a flag is told
	}
	if g.config == "" {
		g.config = firstOf(firstPath(g.getenv("CONFIGURATION_DIRECTORY")), "/etc/tokend")
	}
	if g.control == "" {
		g.control = "/run/tokend/tokend.sock"
		if dir := firstPath(g.getenv("RUNTIME_DIRECTORY")); dir != "" {
			g.control = dir + "/tokend.sock"
		}
	}
	for _, v := range g.vars {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			return withHint(fmt.Errorf("reading --var %q: it is not of the form NAME=VALUE", name), "for example: --var partner_id=5f51bfe2")
		}
	}
	return g.readVarPipes(c.Context())
}

// firstPath is the first of the paths that systemd joins by colons.
func firstPath(list string) string {
	first, _, _ := strings.Cut(list, ":")
	return first
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func hostName() string {
	h, err := os.Hostname()
	if err != nil {
		return ""
	}
	return h
}

func versionCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(g.out, "tokend", version)
		return err
	}}
}
