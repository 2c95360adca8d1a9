// Package web is what a daemon with `listen` serves over HTTP: whether it is
// alive, whether it is ready and if not why, metrics, and a page for people. Who
// runs a daemon calls [Handler] once and [Serve] for as long as it lives; the loop
// tells a [Recorder] of every finished call.
//
//	GET /                 the status page: what `tokend status` says, for a browser
//	GET /livez            200 while the reconcile loop makes progress
//	GET /readyz           200 when every address is ready, else 503 and a line for each that is not
//	GET /readyz?verbose   the same with a line for every address
//	GET /readyz/ADDRESS   one address: credential.coinify.trader, coinify.trader, sink.file.trader …
//	GET /metrics          Prometheus' text format
//	/callback             where logins come back to, when Options.Callback is set
//
// /readyz answers in plain text, or in JSON where the Accept header asks for
// it. An address with a slash or a percent sign in a key is sent
// percent-encoded, as in any URL. Nothing here changes anything, but for the
// callback, which ends a login that began elsewhere and whose redirect it is shown:
// other methods are refused, and orders go through the control socket.
//
// # What is public
//
// The server has no login, so it shows what may be seen by whoever reaches the
// port: addresses, states, times, and in /readyz the reasons in words, from
// which provider and loop have taken every secret. Where sinks are is not shown.
// No value of the configuration, no token and no message ever becomes a metric
// label: labels are addresses, types, operations and classes, and a [Recorder]
// replaces what is none by "other".
//
// The status page, /readyz and the callback answer 421 to a request whose Host header names
// none of these: an IP address, localhost, or one of Options.Hosts. Otherwise a
// web page could lead a name of its own to this port and have a browser read
// them for it (DNS rebinding). Probes that send no Host are served. /livez says
// nothing of any address, and /metrics is open to any name, because scrapers
// come by whatever name they were given.
//
// The status page is plain HTML. It runs no script, sends no form, loads nothing
// and may not be framed: its Content-Security-Policy allows nothing but its own
// style sheet, by its hash. Every text in it is escaped by html/template, control
// characters are blanks, and its tables are bounded.
//
// # Ready and alive
//
// Readiness is for whoever waits for tokens: all of it is there and works. A
// configuration whose last load failed does not end it, because the one before
// stays in force and its tokens work; it is noted in the answer and is
// tokend_configuration_valid in the metrics. A held change and orphans do not
// end it either. Liveness is for whoever restarts: only a loop that has made no
// progress for Options.StallAfter fails it, never a provider that is down.
//
// # The metrics
//
// Instants are exported as Unix timestamps, as Prometheus' instrumentation
// guide has it (and as certificate and backup exporters do): the time that is
// left is `tokend_credential_expiry_timestamp_seconds - time()` in a query,
// right at the moment of the query and not at that of the last scrape. There is
// no second gauge with the same fact as a difference. Zero never stands for "no
// time": a credential that does not expire has no expiry series.
//
// For each credential, labelled address and type, while together they are no
// more series than Options.MaxSeries:
//
//	tokend_credential_expiry_timestamp_seconds           when the access token expires
//	tokend_credential_generation                         counts the tokens of its address
//	tokend_credential_state{state}                       1; only the state it is in has a series
//	tokend_credential_unready_since_timestamp_seconds    since when it is not ready
//
// Above MaxSeries there is none of these, rather than an arbitrary part, and
// tokend_series_dropped says how many are missing. Always there:
//
//	tokend_credentials{type,state}, tokend_sinks{…}, tokend_hooks{…}   how many; a state that occurs nowhere is 0
//	tokend_credentials_expired{type}                     hold a token that has expired
//	tokend_credentials_earliest_expiry_timestamp_seconds{type}
//	tokend_orphans{type}                                 may live and are known to nobody
//	tokend_pending_revocations{type}                     earlier tokens that wait to be given up
//	tokend_calls_total{kind,type,op,class}               results; class "ok" or one of failure, kind "credential", "sink" or "hook"
//	tokend_call_duration_seconds{kind,type,op}           histogram
//	tokend_sink_last_write_timestamp_seconds{type}       the last write that succeeded since the start
//	tokend_lane_running{lane}, tokend_lane_waiting{lane} work on one provider or Vault; the local files' lane is "local"
//	tokend_lane_in_flight{lane}, tokend_lane_open{lane}  requests in flight; 1 while its breaker is open. A lane with nothing to do has no series
//	tokend_queue_running, tokend_queue_depth             the lanes' sums
//	tokend_journal_open_intents                          calls begun whose outcome is not recorded
//	tokend_held_changes{kind}                            what the guard holds back: "revocation", "sink"
//	tokend_held_reason{rule}                             by which rule: "max_revocations", "max_revoked_percent", "emptied", "origin", "unreadable"; only while something is held
//	tokend_held_since_timestamp_seconds                  since when; only while something is held
//	tokend_configuration_valid, tokend_configuration_errors, tokend_configuration_load_timestamp_seconds
//	tokend_policy_valid                                  0: the host's policy cannot be used as its file is now; only where there is one
//	tokend_state_serial, tokend_state_records, tokend_state_writable, tokend_state_size_bytes, tokend_state_syncs_total
//	tokend_state_commit_seconds                          how long a commit took of late (moving average); the longer, the more is in progress
//	tokend_ready, tokend_first_pass_done, tokend_loop_progress_timestamp_seconds
//	tokend_snapshot_success                              0: the loop did not answer; what comes from it is missing
//	tokend_build_info{version,revision,goversion}
//
// and the Go runtime's and the process's own. What describes the present is
// read at the scrape from one snapshot of the loop, so nothing is left of an
// address that is gone. A snapshot is shared by requests that come close
// together, so that asking never takes more than a tenth or so of the loop's
// time, however often it is done.
package web
