package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Control serves the Server to a test in another process, below /_standin/. It answers loopback only, by the
// address of the client and the Host it asks for; a pipe counts as loopback. Bodies and replies are JSON;
// durations are Go's ("90s") or nanoseconds. Nothing here moves the clock.
//
//	GET    /_standin/books[?api=A][&values=1]   Books; token values only on demand
//	DELETE /_standin/books[?api=A]              ClearBooks
//	GET    /_standin/counts?api=A               Counts
//	POST   /_standin/lookup                     {"api","token"} -> Token, or 404
//	GET    /_standin/faults                     the faults in line, with their hits
//	POST   /_standin/faults                     Fault -> {"id"}
//	GET    /_standin/faults/{id}[?wait=10s]     waits for the first hit -> {"id","hits"}
//	POST   /_standin/faults/{id}/release        Release
//	DELETE /_standin/faults[/{id}]              Clear, ClearFaults
//	GET    /_standin/rules?api=A                Rules
//	PATCH  /_standin/rules?api=A                the Rules to change
//	POST   /_standin/accounts, /_standin/clients   Register, RegisterClient
//	POST   /_standin/expire, /_standin/revoke   {"api","account"} -> {"tokens"}: ExpireAccess, RevokeAccount
//	POST   /_standin/approve                    {"auto":true}: SetAutoApprove
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	s.controlBooks(mux)
	s.controlFaults(mux)
	s.controlRules(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !fromHere(r.RemoteAddr) || !isLoopback(host) {
			http.Error(w, "the control endpoint answers loopback only", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func fromHere(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	return err == nil && isLoopback(host) || remote == "pipe" || remote == ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Server) controlBooks(mux *http.ServeMux) {
	mux.HandleFunc("GET /_standin/books", s.each(func(apis []API, _ []byte, r *http.Request) (any, error) {
		books := Books{}
		for _, api := range apis {
			ledger := s.Ledger(api)
			if r.URL.Query().Get("values") == "" {
				for i := range ledger.Tokens {
					ledger.Tokens[i].Value = ""
				}
			}
			books[api] = ledger
		}
		return books, nil
	}))
	mux.HandleFunc("DELETE /_standin/books", s.each(func(apis []API, _ []byte, _ *http.Request) (any, error) {
		for _, api := range apis {
			s.ClearBooks(api)
		}
		return struct{}{}, nil
	}))
	mux.HandleFunc("GET /_standin/counts", s.one(func(api API, _ []byte) (any, error) { return s.Counts(api), nil }))
	mux.HandleFunc("POST /_standin/lookup", s.each(func(_ []API, body []byte, _ *http.Request) (any, error) {
		var q struct {
			API   API    `json:"api"`
			Token string `json:"token"`
		}
		if err := s.decode(body, &q); err != nil {
			return nil, err
		}
		t, found := s.Lookup(q.API, q.Token)
		if !found {
			return nil, errNotFound
		}
		t.Value = ""
		return t, nil
	}))
}

type faultView struct {
	ID    int   `json:"id"`
	Hits  int   `json:"hits"`
	Fault Fault `json:"fault"`
}

func (s *Server) controlFaults(mux *http.ServeMux) {
	mux.HandleFunc("GET /_standin/faults", s.each(func([]API, []byte, *http.Request) (any, error) {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		views := make([]faultView, 0, len(s.faults.armed))
		for _, a := range s.faults.armed {
			views = append(views, faultView{a.id, a.hits, a.f})
		}
		return views, nil
	}))
	mux.HandleFunc("POST /_standin/faults", s.each(func(_ []API, body []byte, _ *http.Request) (any, error) {
		var f Fault
		if err := decodeStrict(body, &f); err != nil {
			return nil, err
		}
		a, err := s.arm(f)
		if err != nil {
			return nil, err
		}
		return faultView{ID: a.id, Fault: f}, nil
	}))
	mux.HandleFunc("DELETE /_standin/faults", s.each(func([]API, []byte, *http.Request) (any, error) {
		s.ClearFaults()
		return struct{}{}, nil
	}))
	mux.HandleFunc("GET /_standin/faults/{id}", s.fault(func(a *Armed, r *http.Request) (any, error) {
		if text := r.URL.Query().Get("wait"); text != "" {
			d, err := time.ParseDuration(text)
			if err != nil {
				return nil, fmt.Errorf("reading wait: %w", err)
			}
			s.pause(d, anyOf(r.Context().Done(), a.hit))
		}
		return faultView{a.id, a.Hits(), a.f}, nil
	}))
	mux.HandleFunc("POST /_standin/faults/{id}/release", s.fault(func(a *Armed, _ *http.Request) (any, error) {
		a.Release()
		return faultView{a.id, a.Hits(), a.f}, nil
	}))
	mux.HandleFunc("DELETE /_standin/faults/{id}", s.fault(func(a *Armed, _ *http.Request) (any, error) {
		a.Clear()
		return faultView{a.id, a.Hits(), a.f}, nil
	}))
}

// anyOf is closed once one of two channels is. The first is a request's, so its goroutine ends with that.
func anyOf(request, other <-chan struct{}) <-chan struct{} {
	both := make(chan struct{})
	go func() {
		defer close(both)
		select {
		case <-request:
		case <-other:
		}
	}()
	return both
}

func (s *Server) controlRules(mux *http.ServeMux) {
	mux.HandleFunc("GET /_standin/rules", s.one(func(api API, _ []byte) (any, error) { return s.Rules(api), nil }))
	mux.HandleFunc("PATCH /_standin/rules", s.one(func(api API, body []byte) (any, error) {
		trial := s.Rules(api)
		if err := decodeStrict(body, &trial); err != nil {
			return nil, err
		}
		s.Change(api, func(r *Rules) { _ = decodeStrict(body, r) }) // it decoded a line ago
		return s.Rules(api), nil
	}))
	mux.HandleFunc("POST /_standin/accounts", s.each(func(_ []API, body []byte, _ *http.Request) (any, error) {
		var a Account
		if err := s.decode(body, &a); err != nil {
			return nil, err
		}
		s.Register(a)
		return struct{}{}, nil
	}))
	mux.HandleFunc("POST /_standin/clients", s.each(func(_ []API, body []byte, _ *http.Request) (any, error) {
		var c Client
		if err := s.decode(body, &c); err != nil {
			return nil, err
		}
		s.RegisterClient(c)
		return struct{}{}, nil
	}))
	mux.HandleFunc("POST /_standin/expire", s.ending(s.ExpireAccess))
	mux.HandleFunc("POST /_standin/revoke", s.ending(s.RevokeAccount))
	mux.HandleFunc("POST /_standin/approve", s.each(func(_ []API, body []byte, _ *http.Request) (any, error) {
		var q struct {
			Auto bool `json:"auto"`
		}
		if err := decodeStrict(body, &q); err != nil {
			return nil, err
		}
		s.SetAutoApprove(q.Auto)
		return q, nil
	}))
}

func (s *Server) ending(how func(API, string) int) http.HandlerFunc {
	return s.each(func(_ []API, body []byte, _ *http.Request) (any, error) {
		var q struct {
			API     API    `json:"api"`
			Account string `json:"account"`
		}
		if err := s.decode(body, &q); err != nil {
			return nil, err
		}
		return map[string]int{"tokens": how(q.API, q.Account)}, nil
	})
}

var errNotFound = errors.New("not found")

// each reads a body and answers with JSON; ?api= limits it to one API.
func (s *Server) each(do func([]API, []byte, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		apis := APIs()
		if given := API(r.URL.Query().Get("api")); given != "" {
			if !slices.Contains(apis, given) {
				http.Error(w, "unknown api", http.StatusBadRequest)
				return
			}
			apis = []API{given}
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		var answer any
		if err == nil {
			answer, err = do(apis, body, r)
		}
		switch {
		case errors.Is(err, errNotFound):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			w.Header().Set("Content-Type", mediaJSON)
			_ = json.NewEncoder(w).Encode(answer) // a client that has gone away is its own affair
		}
	}
}

// one is each for what needs exactly one API.
func (s *Server) one(do func(API, []byte) (any, error)) http.HandlerFunc {
	return s.each(func(apis []API, body []byte, _ *http.Request) (any, error) {
		if len(apis) != 1 {
			return nil, errors.New("say which API by ?api=")
		}
		return do(apis[0], body)
	})
}

func (s *Server) fault(do func(*Armed, *http.Request) (any, error)) http.HandlerFunc {
	return s.each(func(_ []API, _ []byte, r *http.Request) (any, error) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			return nil, fmt.Errorf("reading the fault's id: %w", err)
		}
		s.faults.mu.Lock()
		if id < 1 || id > len(s.faults.all) {
			s.faults.mu.Unlock()
			return nil, errNotFound
		}
		a := s.faults.all[id-1]
		s.faults.mu.Unlock()
		return do(a, r)
	})
}

// decode is decodeStrict for what names an API.
func (s *Server) decode(body []byte, v any) error {
	if err := decodeStrict(body, v); err != nil {
		return err
	}
	if api := reflect.ValueOf(v).Elem().FieldByName("API").String(); s.services[API(api)] == nil {
		return fmt.Errorf("unknown api %q", api)
	}
	return nil
}

// decodeStrict reads JSON without unknown members.
func decodeStrict(body []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return nil
}

// UnmarshalJSON reads the members that are there and leaves the others; unknown ones are an error.
func (r *Rules) UnmarshalJSON(body []byte) error {
	type plain Rules // without this method
	if err := decodeDurations(body, (*plain)(r)); err != nil {
		return err
	}
	return r.check()
}

// UnmarshalJSON reads the members that are there and leaves the others; unknown ones are an error.
func (f *Fault) UnmarshalJSON(body []byte) error {
	type plain Fault // without this method
	return decodeDurations(body, (*plain)(f))
}

// decodeDurations is decodeStrict for a struct in which "90s" is a time.Duration.
func decodeDurations(body []byte, v any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	shape := reflect.TypeOf(v).Elem()
	for i := range shape.NumField() {
		name := shape.Field(i).Tag.Get("json")
		var text string
		if shape.Field(i).Type != reflect.TypeFor[time.Duration]() || json.Unmarshal(members[name], &text) != nil {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		members[name] = json.RawMessage(strconv.FormatInt(int64(d), 10))
	}
	plain, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return decodeStrict(plain, v)
}
