package main

import (
	"os"
	"path/filepath"
)

// backend is what the guest has to know of the program that is its computer.
type backend struct {
	serialLine string                               // the device whose other end the host holds
	link       string                               // the n-th interface, as the kernel names it
	openRoot   func(modules string) (string, error) // shows the host's root somewhere below stage, or where it is
	mountData  func(dir string) error               // mounts the host's directory on /data
	variables  map[string]string                    // for every program
}

// backends are chosen by BACKEND on the kernel's command line.
var backends = map[string]backend{
	"uml":  {"/dev/ttyS0", "vec%d", rootOfUML, dataOfUML, noAVX512},
	"qemu": {"/dev/vport0p1", "eth%d", rootOfQEMU, dataOfQEMU, nil},
}

// noAVX512 keeps programs off registers that user-mode Linux doesn't restore
// after a signal handler: the upper halves of ZMM, ZMM16–31 and the mask
// registers (measured).
var noAVX512 = map[string]string{
	"GODEBUG":        "cpu.avx512f=off,cpu.avx512cd=off,cpu.avx512bw=off,cpu.avx512dq=off,cpu.avx512vl=off",
	"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD",
}

// rootOfUML is the root that the kernel has mounted: the host's, by hostfs.
// Overlay is loaded without modprobe, which finds modules only in /lib/modules.
func rootOfUML(modules string) (string, error) {
	release, err := kernelRelease()
	if err != nil {
		return "", err
	}
	return "/", loadModule(filepath.Join(modules, release, "kernel/fs/overlayfs/overlay.ko"))
}

func dataOfUML(dir string) error {
	return mountAll(mounts{{"none", "/data", "hostfs", 0, dir}})
}

// earlyModules are in the initial file system of a machine in QEMU, beside this
// program, and are loaded in this order.
const earlyModules = "/early/*.ko"

// rootOfQEMU loads what the initial file system has, and mounts the host's root.
func rootOfQEMU(string) (string, error) {
	files, err := filepath.Glob(earlyModules)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if err := loadModule(file); err != nil {
			return "", err
		}
	}
	const host = stage + "/host"
	if err := os.Mkdir(host, 0o755); err != nil {
		return "", err
	}
	return host, mountAll(mounts{{"root", host, "virtiofs", 0, ""}})
}

// dataOfQEMU mounts what the keeper shares under that name.
func dataOfQEMU(string) error {
	return mountAll(mounts{{"data", "/data", "virtiofs", 0, ""}})
}
