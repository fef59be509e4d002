package blocklist

import (
	"errors"
	"slices"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
)

// image is the compiled copy of a list that nothing is in force of yet; nil if
// there is none that fits.
func (l *Lists) image(spec *Spec, t *terms) *reading {
	if l.options.Store == nil || l.content[spec.Name] != nil || isEmbedded(spec.Source) {
		return nil
	}
	dir, err := l.options.Store.Dir(spec.Name)
	if err != nil {
		return nil
	}
	r, err := loadImage(dir, l.imageKey(spec, t))
	if err != nil {
		if !errors.Is(err, errNoImage) {
			l.options.Logger.Warn("compiled copy", zap.String("list", spec.Name), zap.Error(err))
		}
		return nil
	}
	return r
}

func (l *Lists) imageKey(spec *Spec, t *terms) string {
	var entries []string
	for _, one := range l.approvals.all(spec.Name) {
		entries = append(entries, one.Entry)
	}
	return imageKey(l.options.Program, spec, t, l.guard.Digest(), entries)
}

// isCurrent tells whether an image says what the list's source says now.
func (l *Lists) isCurrent(spec *Spec, image *reading) bool {
	if isLocal(spec.Source) {
		paths, err := feed.Expand(spec.Source)
		return err == nil && image.current(paths)
	}
	good := l.options.Store.Entry(spec.Name, spec.Source).Good
	if good == nil || good.Digest != image.version {
		return false
	}
	image.seen = good.Confirmed
	return true
}

// saveImages keeps the compiled copies of what was read, beside whatever else
// goes on.
func (l *Lists) saveImages(specs []Spec, results map[string]*reading, u *Update) {
	if l.options.Store == nil || !l.options.Watch {
		return
	}
	for _, spec := range specs {
		r := results[spec.Name]
		if r == nil || r.err != nil || !r.saved.IsZero() || r.parts != nil || u.Held[spec.Name] != "" || isEmbedded(spec.Source) {
			continue
		}
		dir, err := l.options.Store.Dir(spec.Name)
		if err != nil {
			continue
		}
		key := l.imageKey(&spec, l.terms(&spec))
		l.saving.Go(func() {
			l.savingOne.Lock()
			defer l.savingOne.Unlock()
			l.options.Background(func() {
				if err := saveImage(dir, key, r); err != nil {
					l.options.Logger.Warn("compiled copy not kept: the next start takes longer", zap.String("list", spec.Name), zap.Error(err))
				}
			})
		})
	}
}

// all are the approvals of a list.
func (a *approvals) all(list string) []Approval {
	known, err := a.of(list)
	if err != nil {
		return nil
	}
	return slices.Clone(known.all)
}
