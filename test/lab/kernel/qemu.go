package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// qemuProgram emulates a PC (Debian: qemu-system-x86). KVM is not used: a
// /dev/kvm that opens is no proof that a machine boots with it.
const qemuProgram = "qemu-system-x86_64"

// filesPrograms serve the host's files: QEMU's own up to Debian 12
// (qemu-system-common), later a package of its own (virtiofsd).
var filesPrograms = []string{"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"}

// kernelParameters: a panic must end the machine, a reset must not wait for a
// keyboard controller, and an emulated CPU has no secrets.
const kernelParameters = "console=ttyS0 panic=-1 reboot=t mitigations=off cryptomgr.notests"

func qemuLaunch(o Options, taps []string) (launch, error) {
	program, err := exec.LookPath(qemuProgram)
	if err != nil {
		return launch{}, fmt.Errorf("find %s (Debian: qemu-system-x86): %w", qemuProgram, err)
	}
	files, err := filesProgram()
	if err != nil {
		return launch{}, err
	}
	image, err := debianKernel()
	if err != nil {
		return launch{}, err
	}
	initial, err := initramfs(image)
	if err != nil {
		return launch{}, err
	}
	args := []string{
		program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "pc,accel=tcg,memory-backend=ram", "-cpu", "max", "-smp", "1",
		"-m", fmt.Sprintf("%dM", o.Memory),
		// Shared with the server of the host's files.
		"-object", fmt.Sprintf("memory-backend-memfd,id=ram,size=%dM,share=on", o.Memory),
		"-kernel", image.kernel(), "-initrd", initial,
		"-append", kernelParameters + " BACKEND=" + QEMU.String() + " MODULES=" + image.modules(),
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "socket,id=line,fd=3",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=line",
	}
	variables := []string{"KEEP_FILES=" + files, "KEEP_ROOT=/"}
	shared := []string{"root"}
	if o.Data != "" {
		variables, shared = append(variables, "KEEP_DATA="+o.Data), append(shared, "data")
	}
	for _, tag := range shared { // see the agent's keep.go
		args = append(args,
			"-chardev", fmt.Sprintf("socket,id=%s,path=/dev/shm/%s", tag, tag),
			"-device", fmt.Sprintf("vhost-user-fs-pci,chardev=%s,tag=%s", tag, tag))
	}
	for i, tap := range taps {
		args = append(args,
			"-netdev", fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no", i, tap),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=net%d,mac=%s,romfile=", i, o.NICs[i].MAC))
	}
	return launch{args: args, variables: variables}, nil
}

// qemuMissing is what the backend lacks on this host. It may download a kernel.
func qemuMissing() error {
	if _, err := exec.LookPath(qemuProgram); err != nil {
		return fmt.Errorf("find %s (Debian: qemu-system-x86): %w", qemuProgram, err)
	}
	if _, err := filesProgram(); err != nil {
		return err
	}
	_, err := debianKernel()
	return err
}

func filesProgram() (string, error) {
	for _, program := range filesPrograms {
		if _, err := os.Stat(program); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("find virtiofsd (Debian: qemu-system-common, or virtiofsd) as %s: %w", strings.Join(filesPrograms, " or "), os.ErrNotExist)
}
