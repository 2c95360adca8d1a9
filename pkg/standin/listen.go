package standin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listen says where and how Start listens. The zero value is plain HTTP on ports of the system's choice.
type Listen struct {
	// Host is the address to listen on, 127.0.0.1 by default; others than loopback are refused, as tokens that
	// anybody can have by asking are no thing to offer to a network.
	Host string
	// Ports gives an API a fixed port, by the JSON names of URLs.
	Ports map[string]int
	// TLS serves the APIs under a certificate of a new authority, with HTTP/2 beside HTTP/1.1.
	TLS bool
}

// URLs are where a started Server can be reached, without a slash at the end. Each API is an origin of its own.
type URLs struct {
	Coinify      string `json:"coinify"`
	CoinifyUser  string `json:"coinify_user"` // Coinify's user_url
	CoinsPh      string `json:"coinsph"`
	Cryptohopper string `json:"cryptohopper"`
	Apirone      string `json:"apirone"`
	OAuth2       string `json:"oauth2"`
	Control      string `json:"control"` // plain HTTP always; ends in /_standin
}

// Running is a Server that listens.
type Running struct {
	URLs URLs
	// CA is the PEM of the certificate authority to trust; nil without TLS.
	CA []byte

	server *Server
	all    []*http.Server
	done   sync.WaitGroup
	cancel context.CancelFunc
}

// Start serves every API and the control endpoint until ctx ends or Close is called.
func Start(ctx context.Context, s *Server, l Listen) (*Running, error) {
	pick(&l.Host, "127.0.0.1")
	if !isLoopback(l.Host) {
		return nil, fmt.Errorf("starting the stand-in: %s is not a loopback address", l.Host)
	}
	ctx, cancel := context.WithCancel(ctx)
	run := &Running{server: s, cancel: cancel}
	var secured *tls.Config
	if l.TLS {
		var err error
		if secured, run.CA, err = newAuthority(l.Host); err != nil {
			cancel()
			return nil, fmt.Errorf("starting the stand-in: %w", err)
		}
	}
	for _, host := range []struct {
		name    string
		url     *string
		handler http.Handler
		tls     *tls.Config
	}{
		{"coinify", &run.URLs.Coinify, s.Handler(Coinify), secured},
		{"coinify_user", &run.URLs.CoinifyUser, s.CoinifyUser(), secured},
		{"coinsph", &run.URLs.CoinsPh, s.Handler(CoinsPh), secured},
		{"cryptohopper", &run.URLs.Cryptohopper, s.Handler(Cryptohopper), secured},
		{"apirone", &run.URLs.Apirone, s.Handler(Apirone), secured},
		{"oauth2", &run.URLs.OAuth2, s.Handler(OAuth2), secured},
		{"control", &run.URLs.Control, s.Control(), nil},
	} {
		base, err := run.serve(net.JoinHostPort(l.Host, fmt.Sprint(l.Ports[host.name])), host.handler, host.tls)
		if err != nil {
			run.Close()
			return nil, fmt.Errorf("starting the stand-in of %s: %w", host.name, err)
		}
		*host.url = base
	}
	run.URLs.Control += "/_standin"
	context.AfterFunc(ctx, run.Close)
	return run, nil
}

func (run *Running) serve(address string, handler http.Handler, secured *tls.Config) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 30 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // clients that trust nothing and kill -9 are what it is for
	}
	if secured != nil {
		server.TLSConfig = secured.Clone() // net/http writes into it
	}
	run.all = append(run.all, server)
	run.done.Go(func() {
		if secured == nil {
			_ = server.Serve(listener) // ends by Close only
			return
		}
		_ = server.ServeTLS(listener, "", "")
	})
	scheme := "http://"
	if secured != nil {
		scheme = "https://"
	}
	return scheme + listener.Addr().String(), nil
}

// Close stops listening, breaks every connection, and closes the Server. It may be called more than once.
func (run *Running) Close() {
	run.cancel()
	run.server.Close()
	for _, server := range run.all {
		_ = server.Close()
	}
	run.done.Wait()
}

// newAuthority makes a certificate authority for a day, and a certificate of it for loopback.
func newAuthority(host string) (*tls.Config, []byte, error) {
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "stand-in authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "stand-in"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = append(leaf.IPAddresses, ip)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: key}},
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	if caPEM == nil {
		return nil, nil, errors.New("encoding the authority's certificate")
	}
	return config, caPEM, nil
}
