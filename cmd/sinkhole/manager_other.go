//go:build !linux

package main

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// manager is for systems whose service manager wants to be told of a program's state.
type manager struct{}

func newManager(*zap.Logger, func(context.Context) error, func() string) *manager { return &manager{} }

func (m *manager) ready() {}

func (m *manager) reloading() (reloaded func()) { return func() {} }

func (m *manager) stopping(time.Duration) {}

func (m *manager) close() {}
