package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is a browser, and what it complains of.
type chromium struct {
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

func newChromium(t *testing.T) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
			t.Fatal("chromium is not installed, and SINKHOLE_REQUIRE_TOOLS is set")
		}
		t.Skip("skipped: chromium is not installed")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	c := new(chromium)
	c.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(c.ctx) }) // waits for its end
	chromedp.ListenTarget(c.ctx, func(event any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			c.faults = append(c.faults, e.ExceptionDetails.Error())
		case *log.EventEntryAdded: // what the Content-Security-Policy kept from happening, too
			c.faults = append(c.faults, e.Entry.Text+" "+e.Entry.URL)
		case *cdpage.EventJavascriptDialogOpening:
			c.faults = append(c.faults, "a dialog: "+e.Message)
		}
	})
	return c
}

func (c *chromium) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(c.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func (c *chromium) quiet(t *testing.T, where string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) > 0 {
		t.Errorf("%s: the browser says %q", where, c.faults)
	}
	c.faults = nil
}

// Each page, at the width of a desk and of a phone, light and dark: nothing is wider than the
// screen, nothing that others wrote runs, the browser has nothing to complain of. With
// SINKHOLE_SCREENSHOTS=DIRECTORY the pictures are kept.
func TestPagesInChromium(t *testing.T) {
	c := newChromium(t)
	r := newRig(t, nil)
	r.allowed = []Allowed{{Entry: "good.example", By: "alice", At: "2026-02-01T03:04:05Z", Comment: markup}}
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			if testing.Short() && (width > 700 || scheme == "light") {
				continue
			}
			c.run(t, emulation.SetDeviceMetricsOverride(width, 900, 1, width < 700),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
			for name, path := range map[string]string{
				"overview": "/", "machines": "/machines", "machine": "/machines/192.0.2.3", "indicators": "/indicators?name=c0.example", "indicator": "/indicators/c2.example", "lists": "/lists", "live": "/live", "login": "/login", "fault": "/nothing",
			} {
				var wide int64
				var heading, ground, language string
				var picture []byte
				c.run(t, chromedp.Navigate(fmt.Sprintf("http://%s%s", r.server.Addr(), path)), chromedp.WaitVisible("h1"),
					chromedp.Evaluate("document.documentElement.scrollWidth", &wide),
					chromedp.Text("h1", &heading), chromedp.Evaluate("document.documentElement.lang", &language),
					chromedp.Evaluate("getComputedStyle(document.body).backgroundColor", &ground))
				at := fmt.Sprintf("%s, %d, %s", name, width, scheme)
				if wide > width {
					t.Errorf("%s: %d wide", at, wide)
				}
				if heading == "" || language != "en" || (ground == "rgb(20, 23, 26)") != (scheme == "dark") {
					t.Errorf("%s: heading %q, language %q, on %s", at, heading, language, ground)
				}
				if name == "fault" { // a browser tells of each 404
					c.mu.Lock()
					c.faults = nil
					c.mu.Unlock()
				}
				c.quiet(t, at)
				if dir := os.Getenv("SINKHOLE_SCREENSHOTS"); dir != "" {
					c.run(t, chromedp.FullScreenshot(&picture, 100))
					if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), picture, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// From "one new machine" to its export, by clicks and by keys; then the false positive is
// allowed; and what happens appears by itself.
func TestClickPathInChromium(t *testing.T) {
	path, token := withTokens(t)
	c := newChromium(t)
	r := newRig(t, func(o *Options) { o.TokensFile = path })
	downloads := t.TempDir()
	saved := make(chan string, 1)
	chromedp.ListenBrowser(c.ctx, func(event any) {
		if e, ok := event.(*browser.EventDownloadProgress); ok && e.State == browser.DownloadProgressStateCompleted {
			saved <- e.GUID
		}
	})
	c.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		return browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllowAndName).WithDownloadPath(downloads).WithEventsEnabled(true).Do(cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser))
	}))
	base := fmt.Sprintf("http://%s", r.server.Addr())
	var where, count, evidence string
	c.run(t,
		chromedp.Navigate(base+"/"), chromedp.WaitVisible("input[name=token]"), chromedp.SendKeys("input[name=token]", token["responder"]+"\r"),
		chromedp.WaitVisible(".tiles"), chromedp.Text(".tiles li:nth-child(4) b", &count),
		chromedp.Click(".tiles li:nth-child(4) a"), chromedp.WaitVisible(".filter input[name=q]"), chromedp.SendKeys(".filter input[name=q]", "192.0.2.3\r"),
		chromedp.WaitVisible(`td a[href="/machines/192.0.2.3"]`), chromedp.Click(`td a[href="/machines/192.0.2.3"]`),
		chromedp.WaitVisible(".evidence"), chromedp.Text(".evidence", &evidence), chromedp.Location(&where),
		chromedp.SetValue("select[name=format]", "csv"), chromedp.Click("main form[action='/api/v1/export'] button"),
	)
	if count != "6" || evidence != "sent data" || !strings.HasSuffix(where, "/machines/192.0.2.3") {
		t.Errorf("%s new, %s at %s", count, evidence, where)
	}
	select {
	case name := <-saved:
		text, err := os.ReadFile(filepath.Join(downloads, name))
		if lines := strings.Count(string(text), "\n"); err != nil || lines != 10 || !strings.Contains(string(text), "192.0.2.3") {
			t.Errorf("%d lines %v: %s", lines, err, text)
		}
	case <-c.ctx.Done():
		t.Fatal("nothing was saved")
	}
	var said, listed string
	c.run(t,
		chromedp.Click(`section a[href="/indicators/c1.example"]`), chromedp.WaitVisible("input[name=comment]"),
		chromedp.SendKeys("input[name=comment]", "our own\r"), chromedp.WaitVisible(".done"), chromedp.Text(".done", &said), chromedp.Text("form[action='/disallow'] p", &listed),
	)
	if !strings.HasPrefix(said, "Allowed") || !strings.Contains(listed, "our own") || !slices.Contains(r.done, "allow responder c1.example") {
		t.Errorf("%q %q, done %q", said, listed, r.done)
	}
	c.run(t, chromedp.Navigate(base+"/live"), chromedp.WaitVisible("#live-pause"))
	r.record(time.Now(), "192.0.2.77", 2, nil)
	var row, bold string
	c.run(t, chromedp.WaitVisible("tr.new"), chromedp.Text("tr.new", &row), chromedp.Evaluate(`String(document.querySelectorAll("#live script, #live img, #live b").length)`, &bold))
	if !strings.Contains(row, "192.0.2.77:40111") || !strings.Contains(row, "<script>") || bold != "0" {
		t.Errorf("%q, %s elements", row, bold)
	}
	// By keys alone: the first is the way past the menu.
	var focused string
	c.run(t, chromedp.Navigate(base+"/machines"), chromedp.WaitVisible("h1"), chromedp.KeyEvent("\t"), chromedp.Evaluate("document.activeElement.textContent", &focused))
	if focused != "To the content" {
		t.Errorf("the first key leads to %q", focused)
	}
	want := []string{"responder export csv since=24h client=192.0.2.3 success", "responder allow c1.example success"}
	if got := r.audited(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	c.quiet(t, "on the way")
}
