package reconcile

import (
	"fmt"
	"time"
)

// A rate limit may let too few requests through for all tokens to be refreshed before
// they end. What has ended meanwhile is not ready, and says what it waits for.

// starves says that an item's token has ended while it waits for its turn under a rate
// limit.
func (it *item) starves(now time.Time) bool {
	return it.phase == ready && it.mayStarve(now)
}

func (it *item) mayStarve(now time.Time) bool {
	return it.kind == kindCredential && it.lane.of == nil && it.lane.pace != nil && it.expires != 0 && it.expires <= now.UnixNano()
}

// starving is how such a one does.
func (it *item) starving() *Standing {
	l := it.lane
	return &Standing{State: Waiting, Since: fromNanos(it.expires), Next: "its call",
		Why: fmt.Sprintf("its token has expired, and the rate limit of %s lets no more through (%d in %s)", l.name, l.setting.Requests, l.setting.Per)}
}

// starved keeps what is taken up at last from being taken for ready before its call was
// answered, which may have to wait for its turn once more.
func (l *Loop) starved(it *item) {
	if it.mayStarve(l.o.Now()) && l.stateOf(it).calm() {
		l.stand(it, it.starving())
		l.recount(it)
	}
}
