package state

import "time"

// A window decides how long commits are gathered before they are written with
// one sync. It is told of every request and every batch, and owns no clock.
//
// It closes as soon as everybody who is expected is in: calls under way (open
// intents of this process, each of which ends in a commit) and the callers of
// the last batch, who tend to come back. Else batches follow each other at the
// distance in which groupSize requests come at their present rate; but the
// first of a batch waits min at least and max at most. Waiting longer for a slow
// provider's replies costs each of them little and saves most of the syncs.
type window struct {
	min, max, later time.Duration

	rate     float64   // requests a second, smoothed over batches
	last     time.Time // when the last batch was taken
	siblings int       // its callers who have no call under way now

	waiting int       // queued requests that somebody waits for
	ending  int       // those of them that end a call
	changes int       // queued writes
	first   time.Time // when the first of waiting came
	oldest  time.Time // when the first of all queued requests came
}

const (
	groupSize  = 96   // two commits of two syncs each: 0.04 syncs for a refresh
	maxChanges = 1000 // are enough for a batch, whoever else may come
	// mostChanges bounds a batch: where a sync takes a tenth of a second, thousands
	// come meanwhile, and each thousand would wait for the sync of the one before.
	mostChanges = 4000
	rateMemory  = time.Second
)

// add counts a queued request.
func (w *window) add(now time.Time, q *request) {
	if w.changes == 0 {
		w.oldest = now
	}
	w.changes += max(len(q.ops), 1)
	if !q.waited {
		return
	}
	if w.waiting == 0 {
		w.first = now
	}
	w.waiting++
	if q.ends {
		w.ending++
	}
}

// due says when the queued requests are to be written, given the number of
// calls under way; the zero time when nothing is queued. A time that is not
// after now means at once.
func (w *window) due(now time.Time, calls int) time.Time {
	switch {
	case w.changes == 0:
		return time.Time{}
	case w.changes >= maxChanges:
		return now
	case w.waiting == 0:
		return w.oldest.Add(w.later)
	case calls <= w.ending && w.waiting >= w.siblings:
		return now
	}
	return w.end(now)
}

func (w *window) end(now time.Time) time.Time {
	soonest := w.first.Add(w.min)
	if w.rate*w.max.Seconds() < 2 || now.Sub(w.last) > rateMemory {
		return soonest // hardly anybody will come: do not keep this one waiting
	}
	end := w.last.Add(time.Duration(groupSize / w.rate * float64(time.Second)))
	if latest := w.first.Add(w.max); end.After(latest) {
		return latest
	}
	if end.Before(soonest) {
		return soonest
	}
	return end
}

// take begins the next window: the requests of batch leave the queue, and what
// stays is to be counted again.
func (w *window) take(now time.Time, batch []*request) {
	w.siblings = 0
	waited := 0
	for _, q := range batch {
		if q.waited {
			waited++
			if !q.opens {
				w.siblings++
			}
		}
	}
	if gap := now.Sub(w.last); gap > rateMemory {
		w.rate = 0
	} else if gap > 0 {
		w.rate = (w.rate + float64(waited)/gap.Seconds()) / 2
	}
	w.last = now
	w.waiting, w.ending, w.changes = 0, 0, 0
}
