package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Goal: no text makes the parser panic or hang, gives a Config with an error, a
// problem without a place, or a Config that breaks what doc.go promises.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(paths) == 0 {
		f.Fatalf("testdata/*.conf: %v, %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("$A= \\\n@lb1 x {\\\n}\n$A\ninclude {a,b}/*\n\"\n~SEQ(a,1)\n${_PWD}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := Parse("main", text, options)
		failed := false
		for _, p := range problems {
			failed = failed || p.Severity == Error
			if p.File == "" || p.Line < 1 || p.Column < 1 || p.Msg == "" {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
		if (c == nil) != failed {
			t.Fatalf("config %v, but errors %v", c != nil, failed)
		}
		if len(problems) > ProblemsMax+1 {
			t.Errorf("%d problems", len(problems))
		}
		if c == nil {
			return
		}
		if !c.ConsensusOff && (len(c.Consensus.Members)%2 == 0 || c.Consensus.Node == "") {
			t.Errorf("accepted consensus: %+v", c.Consensus)
		}
		for _, i := range c.Instances {
			if i.RouterID < 1 || i.RouterID > 255 || i.Priority < 1 || i.Priority > 255 || i.Version != 2 ||
				i.AdvertInterval < advertIntervalDefault || len(i.AuthPass) > passwordBytesMax || i.Name == "" {
				t.Errorf("accepted instance: %+v", i)
			}
			for _, vip := range i.Addresses {
				if !vip.Prefix.IsValid() || vip.Scope == "" || vip.Interface == "" && i.Interface == "" {
					t.Errorf("accepted address: %+v", vip)
				}
			}
		}
	})
}
