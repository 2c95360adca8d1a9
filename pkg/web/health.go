package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tokend/pkg/oneline"
	"tokend/pkg/reconcile"
)

// health answers /livez and /readyz.
type health struct {
	o     Options
	snaps *snapshots
	began time.Time
}

// live asks nothing of the loop but the time of its last turn, so that it
// answers when the loop does not.
func (h *health) live(w http.ResponseWriter, _ *http.Request) {
	if why := h.stalled(); why != "" {
		writeText(w, http.StatusServiceUnavailable, why+"\n")
		return
	}
	writeText(w, http.StatusOK, "ok\n")
}

// stalled says in words that the loop makes no progress, "" when it does. A
// loop that has not turned yet, because a large configuration is being read,
// gets as long from the start on.
func (h *health) stalled() string {
	last := h.o.Source.Progress()
	if last.Before(h.began) {
		last = h.began
	}
	// Either way round: the clock may have been set back since.
	still := h.o.Now().Sub(last).Abs()
	if still <= h.o.StallAfter {
		return ""
	}
	return fmt.Sprintf("the reconcile loop has made no progress for %s, since %s; it should at least every %s",
		still.Round(time.Second), stamp(last), h.o.StallAfter)
}

// hopeless says why nothing can be ready, as far as is known without asking the
// loop: one that has not begun or hangs would keep a probe waiting. It is ""
// when it has to be asked.
func (h *health) hopeless() string {
	if c := h.o.Source.Configuration(); c.LoadedAt.IsZero() {
		return "no configuration is in force: " + h.spell(faults(c))
	}
	return h.stalled()
}

// ready answers for everything.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	if why := h.hopeless(); why != "" {
		h.fail(w, r, http.StatusServiceUnavailable, why)
		return
	}
	v, err := h.snaps.get(r.Context())
	if h.gone(w, r, err) {
		return
	}
	h.answer(w, r, h.report(v, r.URL.Query().Has("verbose")))
}

// readyOne answers for one address. It asks the loop for that one alone, which
// costs little however many there are.
func (h *health) readyOne(w http.ResponseWriter, r *http.Request) {
	addr := fullAddress(r.PathValue("address"))
	if addr == "" {
		h.ready(w, r)
		return
	}
	if why := h.hopeless(); why != "" {
		h.fail(w, r, http.StatusServiceUnavailable, why)
		return
	}
	v, err := ask(r.Context(), h.o.Source, addr)
	var unknown *reconcile.NotFoundError
	if errors.As(err, &unknown) {
		h.fail(w, r, http.StatusNotFound, unknown.Error())
		return
	}
	if h.gone(w, r, err) {
		return
	}
	rep := h.reportOne(v)
	if len(rep.Addresses) == 0 {
		h.fail(w, r, http.StatusNotFound, "there is no "+addr)
		return
	}
	h.answer(w, r, rep)
}

// fullAddress adds the "credential." that may be left out.
func fullAddress(addr string) string {
	kind, _, _ := strings.Cut(addr, ".")
	switch kind {
	case "", "credential", "sink", "hook":
		return addr
	}
	return "credential." + addr
}

// gone answers where the loop did not. It reports whether it has answered.
func (h *health) gone(w http.ResponseWriter, r *http.Request, err error) bool {
	switch {
	case err == nil:
		return false
	case r.Context().Err() != nil: // nobody is there to read it
	default:
		h.fail(w, r, http.StatusServiceUnavailable, loopWords(err))
	}
	return true
}

// loopWords say why the loop gave no answer.
func loopWords(err error) string {
	if errors.Is(err, reconcile.ErrClosed) {
		return "tokend is stopping"
	}
	return err.Error()
}

// spell has a text name this daemon in the commands that it tells to run.
func (h *health) spell(text string) string { return h.o.Spell(text) }

func (h *health) fail(w http.ResponseWriter, r *http.Request, status int, why string) {
	h.o.Logger.Debug("cannot say whether everything is ready", "path", r.URL.Path, "error", why)
	if wantsJSON(r) {
		writeJSON(w, status, struct {
			Ready bool   `json:"ready"`
			Error string `json:"error"`
		}{Error: why})
		return
	}
	body := oneline.Of(why) + "\n"
	if status == http.StatusServiceUnavailable {
		body = "not ready\n" + body
	}
	writeText(w, status, body)
}

func (h *health) answer(w http.ResponseWriter, r *http.Request, rep report) {
	status := http.StatusOK
	if !rep.Ready {
		status = http.StatusServiceUnavailable
	}
	if wantsJSON(r) {
		writeJSON(w, status, rep)
		return
	}
	head(w, status, "text/plain; charset=utf-8")
	b := bufio.NewWriter(w)
	rep.text(b)
	_ = b.Flush() // a client that hung up is nobody's concern
}

func head(w http.ResponseWriter, status int, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Add("Vary", "Accept")
	w.WriteHeader(status)
}

func writeText(w http.ResponseWriter, status int, body string) {
	head(w, status, "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(body))
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	head(w, status, "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
