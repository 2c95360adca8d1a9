package reconcile

// carry takes over what was sent under another limit: the provider counts it
// still, whatever the configuration says now. Of more requests than fit into the
// new limit the latest are kept, since those are counted for longest. What waits
// for its turn under the old one passes this one.
func (p *pace) carry(before *pace) {
	if before == nil {
		return
	}
	before.mu.Lock()
	defer before.mu.Unlock()
	before.after, p.reserved = p, before.reserved
	n := min(before.count, uint64(len(before.ring)), uint64(len(p.ring)))
	for i := before.count - n; i < before.count; i++ {
		sent := before.ring[i%uint64(len(before.ring))]
		p.count++
		sent.number = p.count
		p.ring[(p.count-1)%uint64(len(p.ring))] = sent
	}
	if n > 0 {
		p.next = p.ring[p.count-1].sent.Add(p.every)
	}
}

func (p *pace) replacedBy() *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.after
}
