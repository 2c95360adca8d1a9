// Command vault is a Vault server for tests: the core, the HTTP API and the
// storage of github.com/hashicorp/vault with the plugins that a minimal build of
// it has (kv, transit, approle, jwt, cert, userpass, token, identity with its
// OpenID provider), and without the command line, the agent, the web interface
// and the cloud discovery that would double the time it takes to compile.
//
// It is never shipped: Vault's licence (BUSL-1.1) allows it as a test tool.
//
//	vault -listen 127.0.0.1:0 -data DIR
//
// The first line on standard output is "listening on http://ADDRESS". The server
// starts as any production Vault does, sealed, and uninitialised when DIR is
// new: whoever started it calls sys/init and sys/unseal. It stops when its
// standard input ends, so that it cannot outlive the test that holds the pipe,
// and on SIGTERM. Stopping loses nothing that was written.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/plugin"
	"github.com/hashicorp/vault/command/server"
	"github.com/hashicorp/vault/helper/builtinplugins"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve the HTTP API on")
	data := flag.String("data", "", "directory that keeps what is written (required)")
	cert := flag.String("tls-cert", "", "certificate file; with -tls-key serves HTTPS")
	key := flag.String("tls-key", "", "private key file")
	level := flag.String("log-level", "warn", "trace, debug, info, warn or error")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, *listen, *data, *cert, *key, *level); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, listen, data, cert, key, level string) error {
	if data == "" {
		return errors.New("-data is required")
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "vault", Level: hclog.LevelFromString(level), Output: os.Stderr})

	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	scheme := "http"
	if cert != "" {
		scheme = "https"
	}
	url := scheme + "://" + ln.Addr().String()

	core, err := newCore(data, url, level, logger)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core: core,
			ListenerConfig: &configutil.Listener{
				Address:            ln.Addr().String(),
				MaxRequestSize:     32 << 20,
				MaxRequestDuration: 90 * time.Second,
			},
		}),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          logger.StandardLogger(nil),
	}

	failed := make(chan error, 1)
	go func() {
		if cert != "" {
			failed <- srv.ServeTLS(ln, cert, key)
			return
		}
		failed <- srv.Serve(ln)
	}()
	parentGone := make(chan struct{})
	go func() {
		defer close(parentGone)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	fmt.Printf("listening on %s\n", url)

	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", url, err)
	case <-ctx.Done():
	case <-parentGone:
	}
	_ = srv.Close()
	if err := core.ShutdownWait(); err != nil {
		return fmt.Errorf("sealing at the end: %w", err)
	}
	return nil
}

// newCore opens the storage in data; the core is sealed.
func newCore(data, url, level string, logger hclog.Logger) (*vault.Core, error) {
	storage, err := file.NewFileBackend(map[string]string{"path": data}, logger.Named("storage"))
	if err != nil {
		return nil, fmt.Errorf("opening storage in %s: %w", data, err)
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		StorageType:        "file",
		RedirectAddr:       url,
		LogLevel:           level,
		Logger:             logger,
		DisableMlock:       true,
		RawConfig:          &server.Config{SharedConfig: &configutil.SharedConfig{}},
		BuiltinRegistry:    builtinplugins.Registry,
		CredentialBackends: map[string]logical.Factory{"plugin": plugin.Factory},
		LogicalBackends:    map[string]logical.Factory{"plugin": plugin.Factory},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the core on %s: %w", data, err)
	}
	return core, nil
}
