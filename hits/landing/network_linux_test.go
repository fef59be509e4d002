package landing

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const ownNetworkEnv = "SINKHOLE_TEST_OWN_NETWORK"

// inOwnNetwork runs a test in a network namespace, in a process of its own. Where there may be
// none, or no rules in it, the test is skipped, but fails where tools are required.
func inOwnNetwork(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if os.Getenv(ownNetworkEnv) != "" {
		test(t)
		return
	}
	requireTool(t, "nft")
	requireTool(t, "unshare")
	enter := []string{"unshare", "--net", "--map-root-user", "--"}
	if out, err := exec.CommandContext(t.Context(), enter[0], append(enter[1:], "nft", "add", "table", "inet", "sinkhole")...).CombinedOutput(); err != nil {
		if require() {
			t.Fatalf("no network of one's own here: %v\n%s", err, out)
		}
		t.Skipf("no network of one's own here: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), enter[0], append(enter[1:], os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")...)
	cmd.Env = append(os.Environ(), ownNetworkEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
}
