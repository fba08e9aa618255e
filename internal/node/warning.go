package node

import (
	"fmt"
	"slices"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/vrrp"
)

// warningsMax bounds what a group remembers: a stranger can invent addresses.
const warningsMax = 32

// warnings are what an operator should know about a group at present.
type warnings struct{ list []warning }

type warning struct {
	key   string
	text  string
	until boottime.Instant // 0: until cleared
}

func (w *warnings) set(key, text string) { w.setUntil(key, text, 0) }

// setUntil sets or prolongs a warning and reports whether it says something new.
func (w *warnings) setUntil(key, text string, until boottime.Instant) bool {
	if i := w.index(key); i >= 0 {
		fresh := w.list[i].text != text
		w.list[i].text, w.list[i].until = text, until
		return fresh
	}
	if len(w.list) >= warningsMax {
		return false
	}
	w.list = append(w.list, warning{key: key, text: text, until: until})
	return true
}

func (w *warnings) clear(key string) {
	if i := w.index(key); i >= 0 {
		w.list = slices.Delete(w.list, i, i+1)
	}
}

func (w *warnings) index(key string) int {
	return slices.IndexFunc(w.list, func(x warning) bool { return x.key == key })
}

func (w *warnings) expire(now boottime.Instant) {
	w.list = slices.DeleteFunc(w.list, func(x warning) bool { return x.until != 0 && !now.Before(x.until) })
}

func (w *warnings) deadline() (boottime.Instant, bool) {
	var d deadline
	for _, x := range w.list {
		d.add(x.until, x.until != 0)
	}
	return d.at, d.found
}

func (w *warnings) texts() []string {
	var texts []string
	for _, x := range w.list {
		texts = append(texts, x.text)
	}
	return texts
}

func strangerText(s vrrp.Stranger) string {
	switch s.Kind {
	case vrrp.StrangerHigher:
		return fmt.Sprintf("%s, which is no member of this cluster, advertises this virtual router with priority %d and is left to be MASTER, as RFC 3768 has it", s.Source, s.Priority)
	case vrrp.StrangerLower:
		return fmt.Sprintf("%s, which is no member of this cluster, advertises this virtual router with priority %d", s.Source, s.Priority)
	case vrrp.MemberWithoutLease:
		return fmt.Sprintf("%s, a member of this cluster, advertises this virtual router without holding the lease; is keepalived running there, or an old hafence?", s.Source)
	}
	return fmt.Sprintf("%s advertises this virtual router: %v", s.Source, s.Kind)
}
