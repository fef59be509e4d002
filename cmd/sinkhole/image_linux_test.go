package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// imageUser is the one that the container image runs as.
const imageUser = 65532

// root skips a test without the rights that it needs, and says so; with
// SINKHOLE_REQUIRE_TOOLS it fails.
func root(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
		t.Fatalf("not root, which %s needs, and SINKHOLE_REQUIRE_TOOLS is set", what)
	}
	t.Skipf("skipped: not root, which %s needs", what)
}

// imageRoot lays out the content of the container image.
func imageRoot(t *testing.T) string {
	t.Helper()
	root(t, "chroot")
	dir := t.TempDir()
	cmd := exec.Command(tool(t, "make"), "-s", "image-root", "IMAGE_ROOT="+dir)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make image-root: %v\n%s", err, out)
	}
	if err := os.Chown(filepath.Join(dir, "var/lib/sinkhole"), imageUser, imageUser); err != nil {
		t.Fatal(err)
	}
	return dir
}

// confined is a command of the image, run in it by its user with some capabilities.
func confined(image string, capabilities []uintptr, args ...string) *exec.Cmd {
	cmd := exec.Command("/sinkhole", args...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: image, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}, AmbientCaps: capabilities,
	}
	return cmd
}

// serveConfined runs the server of the image and asks it for a listed name, until it is told
// to end, which it must do with 0.
func serveConfined(t *testing.T, cmd *exec.Cmd, dns, sink string, running func(pid int)) {
	t.Helper()
	var messages bytes.Buffer
	cmd.Stderr = &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	for _, network := range []string{"udp", "tcp"} {
		err := eventually(func() error {
			answer, err := askOnce(network, dns, "lumma.example", 1)
			if err == nil && !strings.Contains(answer, "A "+sink) {
				err = errors.New(answer)
			}
			return err
		})
		if err != nil {
			t.Fatalf("over %s: %v\n%s", network, err, &messages)
		}
	}
	running(cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, &messages)
	}
}

// hasHit wants a hit of a listed name in the journal, written by the image's user.
func hasHit(t *testing.T, image string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(image, "var/lib/sinkhole/hits/*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%v in the journal, error %v", segments, err)
	}
	if text := readText(t, segments[0]); bytes.Count(text, []byte("lumma.example")) < 2 {
		t.Errorf("no hits over UDP and TCP in the journal:\n%s", text)
	}
	info, err := os.Stat(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != imageUser {
		t.Errorf("the journal belongs to user %d", owner)
	}
}

// The files that the Dockerfile copies are all that the server needs: a static binary, run
// as another user than root in a root of just these, answers, journals and stops.
func TestImage(t *testing.T) {
	image := imageRoot(t)
	binary, err := elf.Open(filepath.Join(image, "sinkhole"))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 || binary.Section(".interp") != nil {
		t.Errorf("the binary is not static: it needs %v, error %v", libraries, err)
	}
	err = filepath.WalkDir(image, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Type() == 0 && (info.Mode().Perm()&0o022 != 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0) {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(image, "etc/sinkhole/lists/test.txt"), "lumma.example\n")
	// What the image's own configuration says, on ports that are free here.
	config := string(readText(t, filepath.Join(image, "etc/sinkhole/sinkhole.yaml")))
	dns := freePort(t)
	for from, to := range map[string]string{`":5300"`: `"127.0.0.1:` + dns + `"`, `127.0.0.1:8080`: "127.0.0.1:" + freePort(t), `":9153"`: `"127.0.0.1:` + freePort(t) + `"`} {
		if strings.Count(config, from) != 1 {
			t.Fatalf("the image's configuration has no %s", from)
		}
		config = strings.Replace(config, from, to, 1)
	}
	write(t, filepath.Join(image, "etc/sinkhole/sinkhole.yaml"), config)

	if out, err := confined(image, nil, "version").CombinedOutput(); err != nil {
		t.Errorf("version: %v\n%s", err, out)
	}
	if out, err := confined(image, nil, "check", "-c", "/etc/sinkhole/sinkhole.yaml").CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	serveConfined(t, confined(image, nil, "serve", "-c", "/etc/sinkhole/sinkhole.yaml"), "127.0.0.1:"+dns, "192.0.2.1", func(pid int) {
		if got := status(t, pid, "CapEff"); got != "0000000000000000" {
			t.Errorf("the server has capabilities %s", got)
		}
	})
	hasHit(t, image)
}

// CAP_NET_BIND_SERVICE is the one privilege that port 53 takes, and the server has no other.
// Without it the start says what is missing.
func TestPort53WithOneCapability(t *testing.T) {
	image := imageRoot(t)
	const (
		dns  = "127.0.0.153:53"
		bind = 10 // CAP_NET_BIND_SERVICE
	)
	if l, err := net.Listen("tcp", dns); err == nil {
		l.Close()
	} else if errors.Is(err, syscall.EADDRINUSE) {
		if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
			t.Fatalf("another server has port 53 of all addresses, and SINKHOLE_REQUIRE_TOOLS is set: %v", err)
		}
		t.Skipf("skipped: another server has port 53 of all addresses: %v", err)
	} else {
		t.Fatal(err)
	}
	write(t, filepath.Join(image, "etc/sinkhole/lists/test.txt"), "lumma.example\n")
	write(t, filepath.Join(image, "etc/sinkhole/sinkhole.yaml"), fmt.Sprintf(`listen: {dns: ["%s"]}
upstream: {servers: ["%s"]}
sinkhole: {ipv4: 203.0.113.53, ipv6: none}
lists: [{name: test, source: lists/test.txt}]
list_store: /var/lib/sinkhole/lists
hits: {journal: {path: /var/lib/sinkhole/hits}}
console: {listen: ""}
`, dns, startUpstream(t)))
	serve := func(capabilities ...uintptr) *exec.Cmd {
		return confined(image, capabilities, "serve", "-c", "/etc/sinkhole/sinkhole.yaml")
	}
	free, err := strconv.Atoi(strings.TrimSpace(string(readText(t, "/proc/sys/net/ipv4/ip_unprivileged_port_start"))))
	if err != nil {
		t.Fatal(err)
	}
	if free > 53 {
		out, err := serve().CombinedOutput()
		if fault, failed := errors.AsType[*exec.ExitError](err); !failed || fault.ExitCode() != 1 || !bytes.Contains(out, []byte("CAP_NET_BIND_SERVICE")) {
			t.Errorf("without the capability: %v, expected exit code 1 and a word of what is missing:\n%s", err, out)
		}
	}
	serveConfined(t, serve(bind), dns, "203.0.113.53", func(pid int) {
		for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
			if got := status(t, pid, set); got != fmt.Sprintf("%016x", 1<<bind) {
				t.Errorf("%s is %s, expected CAP_NET_BIND_SERVICE alone", set, got)
			}
		}
		if got := status(t, pid, "Uid"); got != strings.TrimSpace(strings.Repeat("65532\t", 4)) {
			t.Errorf("the server runs as %s", got)
		}
	})
	hasHit(t, image)
}

// status is a field of /proc/PID/status.
func status(t *testing.T, pid int, field string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + field + `:\s*(.*)$`).FindSubmatch(readText(t, fmt.Sprintf("/proc/%d/status", pid)))
	if m == nil {
		t.Fatalf("no %s in the status of process %d", field, pid)
	}
	return string(m[1])
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
