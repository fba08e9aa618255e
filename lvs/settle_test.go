package lvs_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/lvs/lvstest"
)

var (
	addService        = lvs.AddService{Service: web, Settings: lvs.Settings{Scheduler: "wlc"}}
	editService       = lvs.EditService{Service: web, Settings: lvs.Settings{Scheduler: "wlc"}}
	deleteService     = lvs.DeleteService{Service: web}
	addDestination    = lvs.AddDestination{Service: web, Destination: real(1, 1)}
	editDestination   = lvs.EditDestination{Service: web, Destination: real(1, 1)}
	deleteDestination = lvs.DeleteDestination{Service: web, Addr: realAddr(1)}
)

// Goal: each refusal of each op has one meaning. Method: all of them; what is not
// in the table is refused for good.
func TestResolveKnowsEveryRefusal(t *testing.T) {
	type refusal struct {
		op     lvs.Op
		reason syscall.Errno
	}
	type answer struct {
		Verdict lvs.Verdict
		Instead lvs.Op
	}
	known := map[refusal]answer{
		{addService, syscall.EEXIST}:        {lvs.Instead, editService},
		{editService, syscall.ESRCH}:        {lvs.Instead, addService},
		{deleteService, syscall.ESRCH}:      {lvs.Already, nil},
		{addDestination, syscall.EEXIST}:    {lvs.Instead, editDestination},
		{addDestination, syscall.ESRCH}:     {lvs.Reread, nil},
		{editDestination, syscall.ENOENT}:   {lvs.Instead, addDestination},
		{editDestination, syscall.ESRCH}:    {lvs.Reread, nil},
		{deleteDestination, syscall.ENOENT}: {lvs.Already, nil},
		{deleteDestination, syscall.ESRCH}:  {lvs.Already, nil},
	}
	ops := []lvs.Op{addService, editService, deleteService, addDestination, editDestination, deleteDestination}
	for _, op := range ops {
		for reason := syscall.Errno(1); reason < 134; reason++ {
			want, ok := known[refusal{op, reason}]
			switch {
			case ok:
			case reason == syscall.EAGAIN || reason == syscall.ENOBUFS || reason == syscall.EIO:
				want = answer{lvs.Reread, nil}
			default:
				want = answer{lvs.Refused, nil}
			}
			verdict, instead := lvs.Resolve(op, reason)
			if diff := cmp.Diff(want, answer{verdict, instead}, cmp.Comparer(func(a, b lvs.Op) bool { return a == b })); diff != "" {
				t.Errorf("%s refused with %v (-want +got)\n%s", op, reason, diff)
			}
		}
	}
}

// Goal: what others have done meanwhile ends in what is wanted, and is told.
// Method: a plan on a kernel that it was not made for.
func TestSettleEndsInWhatIsWanted(t *testing.T) {
	kernel := lvstest.New()
	other := service(web, real(1, 7), real(2, 1))
	other.Scheduler = "rr"
	mustApply(t, kernel, lvs.Plan(nil, []lvs.Service{other}, nil))
	outcome := kernel.Apply([]lvs.Op{
		addService, // is there with another scheduler
		addDestination,
		lvs.EditDestination{Service: web, Destination: real(3, 4)}, // is not there
		lvs.DeleteDestination{Service: web, Addr: realAddr(2)},
		lvs.DeleteDestination{Service: web, Addr: realAddr(9)},                            // is not there
		lvs.DeleteService{Service: lvs.MarkKey(lvs.IPv4, 1)},                              // is not there
		lvs.DeleteDestination{Service: lvs.MarkKey(lvs.IPv4, 1)},                          // nor its service
		lvs.AddDestination{Service: lvs.MarkKey(lvs.IPv4, 1)},                             // where to?
		lvs.EditService{Service: lvs.MarkKey(lvs.IPv6, 1), Settings: addService.Settings}, // is not there
	})
	if outcome.Done != 8 || outcome.Surprises != 8 || len(outcome.Refused) != 1 || outcome.Refused[0].Index != 7 {
		t.Errorf("outcome %+v", outcome)
	}
	want := []lvs.Service{service(web, real(1, 1), real(3, 4)), service(lvs.MarkKey(lvs.IPv6, 1))}
	if diff := difference(want, table(t, kernel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal: nothing is deleted before what replaces it is there, also when that takes
// a second try. Method: an edit that has to become an addition; the order of
// what the kernel sees.
func TestSettleDeletesAfterTheSecondTry(t *testing.T) {
	kernel := lvstest.New()
	mustApply(t, kernel, lvs.Plan(nil, []lvs.Service{service(web, real(2, 1))}, nil))
	var order []string
	kernel.Refuse = func(op lvs.Op) syscall.Errno {
		order = append(order, fmt.Sprintf("%T", op))
		return 0
	}
	kernel.Apply([]lvs.Op{editDestination, lvs.DeleteDestination{Service: web, Addr: realAddr(2)}})
	want := []string{"lvs.EditDestination", "lvs.AddDestination", "lvs.DeleteDestination"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal: the last real servers stay when none of those that replace them can be
// added, and go as soon as one can. Method: additions refused, all and some.
func TestSettleKeepsWhatNothingReplaces(t *testing.T) {
	have, want := []lvs.Service{service(web, real(1, 1))}, []lvs.Service{service(web, real(2, 1), real(3, 1))}
	for _, test := range []struct {
		refused int
		stays   []lvs.Destination
	}{
		{2, []lvs.Destination{real(1, 1)}},
		{1, []lvs.Destination{real(3, 1)}},
	} {
		kernel := lvstest.New()
		mustApply(t, kernel, lvs.Plan(nil, have, nil))
		left := test.refused
		kernel.Refuse = func(op lvs.Op) syscall.Errno {
			if _, ok := op.(lvs.AddDestination); ok && left > 0 {
				left--
				return syscall.EINVAL
			}
			return 0
		}
		outcome := kernel.Apply(lvs.Plan(have, want, nil))
		if diff := difference([]lvs.Service{service(web, test.stays...)}, table(t, kernel)); diff != "" {
			t.Errorf("%d refused (-want +got)\n%s", test.refused, diff)
		}
		if outcome.Done+len(outcome.Refused) != 3 {
			t.Errorf("an op is neither done nor refused: %+v", outcome)
		}
	}
}

// Goal: somebody who undoes each step at once can't hold us for ever, and refusals
// are told in the order of their ops. Method: an addition finds it there, an edit
// finds it gone, for ever; two ops more are refused at once.
func TestSettleGivesUpOnATugOfWar(t *testing.T) {
	kernel, asked := lvstest.New(), 0
	kernel.Refuse = func(op lvs.Op) syscall.Errno {
		asked++
		if _, ok := op.(lvs.AddDestination); ok {
			return syscall.EEXIST
		}
		return syscall.ENOENT
	}
	second := lvs.DeleteService{Service: lvs.MarkKey(lvs.IPv4, 1)}
	third := lvs.AddService{Service: lvs.MarkKey(lvs.IPv4, 2)}
	outcome := kernel.Apply([]lvs.Op{addDestination, third, second})
	var refused []lvs.Op
	for i, r := range outcome.Refused {
		refused = append(refused, r.Op)
		if r.Index != i {
			t.Errorf("refusal %d is of op %d", i, r.Index)
		}
	}
	if !slices.Equal(refused, []lvs.Op{addDestination, third, second}) || asked > 5 {
		t.Errorf("asked %d times, refused %v", asked, words(refused))
	}
}

// Goal: a refusal says what the reader can do. Method: those with a remedy.
func TestRefusalsSayWhatToDo(t *testing.T) {
	sip := addService
	sip.Settings.PersistenceEngine = "sip"
	mixed := lvs.AddDestination{Service: web, Destination: lvs.Destination{Addr: lvs.AddressKey(lvs.TCP, realAddr(1)).Addr, Method: lvs.Direct}}
	mixed.Service = lvs.MarkKey(lvs.IPv6, 1)
	for _, test := range []struct {
		op     lvs.Op
		reason syscall.Errno
		want   string
	}{
		{addService, syscall.ENOENT, "add TCP 192.0.2.1:80: wlc: no such file or directory (the kernel lacks the scheduler: modprobe ip_vs_wlc)"},
		{sip, syscall.ENOENT, "add TCP 192.0.2.1:80: wlc sip: no such file or directory " +
			"(the kernel lacks the scheduler or the persistence engine: modprobe ip_vs_wlc ip_vs_pe_sip)"},
		{deleteService, syscall.EPERM, "delete TCP 192.0.2.1:80: operation not permitted (it needs CAP_NET_ADMIN in the host's own user namespace)"},
		{mixed, syscall.EINVAL, "add 10.0.0.1:80 to FWM 1 IPv6: DR weight 0: invalid argument " +
			"(IPv4 and IPv6 mix only with lb_kind TUN and without lvs_sync_daemon)"},
		{addDestination, syscall.EINVAL, "add 10.0.0.1:80 to TCP 192.0.2.1:80: DR weight 1: invalid argument " +
			"(the kernel takes unicast addresses only, no broadcast address)"},
		{deleteService, syscall.EAGAIN, "delete TCP 192.0.2.1:80: resource temporarily unavailable " +
			"(the kernel has not answered; whether it is done is not known)"},
		{deleteService, syscall.EBUSY, "delete TCP 192.0.2.1:80: device or resource busy"},
	} {
		outcome := lvs.Settle([]lvs.Op{test.op}, func([]lvs.Op) []syscall.Errno { return []syscall.Errno{test.reason} })
		if len(outcome.Refused) != 1 {
			t.Errorf("%s: outcome %+v", test.op, outcome)
			continue
		}
		if diff := cmp.Diff(test.want, outcome.Refused[0].Error()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}
