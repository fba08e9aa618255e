package lvs

import (
	"net/netip"
	"slices"
)

// Plan lists what makes the kernel's services those that are wanted, and no
// more. have is the kernel's table; owned are the services that this program
// has added or adopted before.
//
//   - A service in have that is neither wanted nor owned is foreign: no op is
//     about it. One that is wanted is adopted: only what differs is edited.
//   - Everything that adds or edits comes before everything that deletes. So no
//     service is ever without a destination where it has one before and after.
//   - Settings, the scheduler among them, and all that a destination has but its
//     address and port are edited, never deleted and added again: connections
//     live on.
//   - What the kernel says in other words (IP_VS_SVC_F_HASHED, a netmask of full
//     length, a tunnel's port where there is no tunnel) is no difference.
//
// The order is that of the keys, whatever the order in have and want. Of equal
// services or destinations the first counts; [ValidateAll] finds them.
func Plan(have, want []Service, owned []ServiceKey) []Op {
	var p planner
	ours := make(map[ServiceKey]bool, len(owned))
	for _, key := range owned {
		ours[key] = true
	}
	has, wanted := inOrder(have), inOrder(want)
	for len(has) > 0 || len(wanted) > 0 {
		switch {
		case len(wanted) == 0 || (len(has) > 0 && compareKeys(has[0].ServiceKey, wanted[0].ServiceKey) < 0):
			if ours[has[0].ServiceKey] {
				p.deleteServices = append(p.deleteServices, DeleteService{has[0].ServiceKey})
			}
			has = has[1:]
		case len(has) == 0 || compareKeys(has[0].ServiceKey, wanted[0].ServiceKey) > 0:
			p.add(wanted[0])
			wanted = wanted[1:]
		default:
			p.edit(has[0], wanted[0])
			has, wanted = has[1:], wanted[1:]
		}
	}
	return slices.Concat(p.makes, p.deletes, p.deleteServices)
}

// inOrder gives the services in normal form, in order, each key once.
func inOrder(services []Service) []Service {
	ordered := make([]Service, len(services))
	for i, s := range services {
		ordered[i] = s.normal()
	}
	slices.SortStableFunc(ordered, func(a, b Service) int { return compareKeys(a.ServiceKey, b.ServiceKey) })
	return slices.CompactFunc(ordered, func(a, b Service) bool { return a.ServiceKey == b.ServiceKey })
}

// planner collects ops in the three groups in which they are performed.
type planner struct {
	makes, deletes, deleteServices []Op
}

func (p *planner) add(want Service) {
	p.makes = append(p.makes, AddService{want.ServiceKey, want.Settings})
	for _, d := range distinct(want.Destinations) {
		p.makes = append(p.makes, AddDestination{want.ServiceKey, d})
	}
}

// edit plans for a service that is there and wanted; both are in normal form.
func (p *planner) edit(have, want Service) {
	if have.Settings != want.Settings {
		p.makes = append(p.makes, EditService{want.ServiceKey, have.Settings, want.Settings})
	}
	added, kept := 0, 0
	var gone []netip.AddrPort
	has, wanted := distinct(have.Destinations), distinct(want.Destinations)
	for len(has) > 0 || len(wanted) > 0 {
		switch {
		case len(wanted) == 0 || (len(has) > 0 && compareDestinations(has[0], wanted[0]) < 0):
			gone = append(gone, has[0].Addr)
			has = has[1:]
		case len(has) == 0 || compareDestinations(has[0], wanted[0]) > 0:
			p.makes = append(p.makes, AddDestination{want.ServiceKey, wanted[0]})
			wanted = wanted[1:]
			added++
		default:
			if has[0] != wanted[0] {
				p.makes = append(p.makes, EditDestination{want.ServiceKey, has[0], wanted[0]})
			}
			has, wanted = has[1:], wanted[1:]
			kept++
		}
	}
	for _, addr := range gone {
		p.deletes = append(p.deletes, DeleteDestination{want.ServiceKey, addr, kept == 0 && added > 0})
	}
}

// distinct gives ordered destinations, each address and port once, without
// changing the slice that it was given.
func distinct(ordered []Destination) []Destination {
	same := func(a, b Destination) bool { return a.Addr == b.Addr }
	for i := 1; i < len(ordered); i++ {
		if same(ordered[i], ordered[i-1]) {
			return slices.CompactFunc(slices.Clone(ordered), same)
		}
	}
	return ordered
}
