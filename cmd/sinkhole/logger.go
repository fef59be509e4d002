package main

import (
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sinkhole/configs"
)

// newLogger writes to stderr in the configured form. The level can be changed
// while it is in use.
func newLogger(c configs.Log) (*zap.Logger, zap.AtomicLevel) {
	level := zap.NewAtomicLevelAt(logLevel(c.Level))
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == configs.LogConsole {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.ConsoleSeparator = " "
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level)), level
}

func logLevel(l configs.LogLevel) zapcore.Level {
	switch l {
	case configs.LogDebug:
		return zapcore.DebugLevel
	case configs.LogWarn:
		return zapcore.WarnLevel
	case configs.LogError:
		return zapcore.ErrorLevel
	}
	return zapcore.InfoLevel
}
