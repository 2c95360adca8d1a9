// Command standin runs the stand-ins of pkg/standin as a process of their own, for tests and benchmarks whose
// subject must not share one with them. It prints one line of JSON, the base URLs (and ca_file with -tls), and
// then serves until it is told to stop: by SIGINT or SIGTERM, or with -with-stdin by the end of its standard
// input, so that it cannot outlive a test that was killed.
//
//	standin -tls -ca /tmp/ca.pem -rules '{"rotate":"single_use"}' -rules 'apirone={"access_lifetime":"20s"}'
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"tokend/pkg/standin"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// announcement is the line on standard output.
type announcement struct {
	standin.URLs
	CAFile string `json:"ca_file,omitempty"`
}

func run(args []string, stdin io.Reader, stdout, usage io.Writer) error {
	options := standin.Options{PerAPI: map[standin.API]standin.Rules{}}
	var listen standin.Listen
	flags := flag.NewFlagSet("standin", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.BoolVar(&options.AnyAccount, "any", true, "accept every well-formed login, client and redirect URI")
	flags.BoolVar(&options.AutoApprove, "auto-approve", false, "answer authorization requests at once")
	flags.IntVar(&options.RequestLog, "request-log", 0, "requests kept in the books of an API: 0 is 4096, negative none")
	flags.IntVar(&options.TokenLog, "token-log", 0, "dead tokens kept in the books of an API: 0 is 200000")
	flags.StringVar(&listen.Host, "host", "127.0.0.1", "loopback address to listen on")
	flags.BoolVar(&listen.TLS, "tls", false, "serve the APIs over TLS; needs -ca")
	caFile := flags.String("ca", "", "file to write the certificate of the authority to")
	withStdin := flags.Bool("with-stdin", false, "stop at the end of standard input")
	flags.Func("rules", "rules as JSON, of all APIs or as api={…}; repeatable", func(text string) error {
		return setRules(&options, text)
	})
	flags.Func("accounts", "accounts to register, as a JSON list", func(text string) error {
		return json.Unmarshal([]byte(text), &options.Accounts)
	})
	flags.Func("clients", "clients to register, as a JSON list", func(text string) error {
		return json.Unmarshal([]byte(text), &options.Clients)
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if listen.TLS && *caFile == "" {
		return fmt.Errorf("-tls needs -ca, or nobody could trust the certificate")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	running, err := standin.Start(ctx, standin.New(options), listen)
	if err != nil {
		return err
	}
	defer running.Close()
	said := announcement{URLs: running.URLs}
	if listen.TLS {
		said.CAFile = *caFile
		if err := os.WriteFile(*caFile, running.CA, 0o644); err != nil {
			return fmt.Errorf("writing the authority's certificate: %w", err)
		}
	}
	if err := json.NewEncoder(stdout).Encode(said); err != nil {
		return fmt.Errorf("printing the URLs: %w", err)
	}
	if *withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			stop()
		}()
	}
	<-ctx.Done()
	return nil
}

func setRules(options *standin.Options, text string) error {
	name, body, named := strings.Cut(text, "=")
	if !named || strings.HasPrefix(strings.TrimSpace(text), "{") {
		return json.Unmarshal([]byte(text), &options.Rules)
	}
	api := standin.API(name)
	if !slices.Contains(standin.APIs(), api) {
		return fmt.Errorf("unknown API %q", name)
	}
	rules := options.PerAPI[api]
	if err := json.Unmarshal([]byte(body), &rules); err != nil {
		return err
	}
	options.PerAPI[api] = rules
	return nil
}
