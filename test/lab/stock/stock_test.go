package stock

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/nftables"
)

// Goal: a stock kernel has what the packet gate and the directors need, and a test in
// it runs as on the host. Method: a table of each family, IPVS, the watchdog.
func TestStockKernelHasTheGateAndIPVS(t *testing.T) {
	if !Run(t, "nf_tables", "ip_vs", "softdog soft_margin=60 nowayout=0") {
		return
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyARP} {
		conn.AddTable(&nftables.Table{Name: "trial", Family: family})
	}
	if err := conn.Flush(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/proc/net/ip_vs", "/dev/watchdog"} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// Goal: an archive is what the kernel unpacks. Method: the layout of one entry, byte by
// byte, as the kernel's documentation has it.
func TestArchiveIsNewc(t *testing.T) {
	var b bytes.Buffer
	a := newInitramfs(&b)
	a.add("/x", 0o644, []byte("abc"))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	entry := "070701" + "00000001" + "000081A4" + "00000000" + "00000000" + "00000001" + "00000000" + "00000003" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000002" + "00000000" + "x\x00" + "abc\x00"
	if !bytes.HasPrefix(b.Bytes(), []byte(entry)) || b.Len()%4 != 0 {
		t.Errorf("the archive begins with %q", b.Bytes()[:min(b.Len(), len(entry))])
	}
}
