package inventory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // registers the driver
	sqlite3 "modernc.org/sqlite/lib"
)

// schemaVersion stands in PRAGMA user_version. An inventory of another version is made anew.
const schemaVersion = 3

const (
	dirMode  = 0o750
	fileMode = 0o640 // as the journal's: it names clients
)

// schema is for readers with the sqlite3 shell too, but for the BLOBs. Times are Unix
// nanoseconds, 0 for never.
const schema = `
CREATE TABLE machine (
	id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
	address TEXT NOT NULL, mac TEXT NOT NULL, cpe TEXT NOT NULL, device TEXT NOT NULL, via TEXT NOT NULL,
	forwarder INTEGER NOT NULL, proven INTEGER NOT NULL,
	first INTEGER NOT NULL, last INTEGER NOT NULL, connected INTEGER NOT NULL, sent INTEGER NOT NULL, many_behind INTEGER NOT NULL,
	addresses TEXT NOT NULL, recent BLOB NOT NULL,
	subscriber TEXT NOT NULL, shared INTEGER NOT NULL
) STRICT;
CREATE TABLE activity (id INTEGER PRIMARY KEY, facts BLOB NOT NULL) STRICT;
CREATE TABLE summary (id INTEGER PRIMARY KEY, sums BLOB NOT NULL) STRICT;
CREATE TABLE matched (id INTEGER PRIMARY KEY, rules TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE holder (address TEXT PRIMARY KEY, machine INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE progress (segment INTEGER NOT NULL, octets INTEGER NOT NULL, read_to INTEGER NOT NULL, journal TEXT NOT NULL) STRICT;
INSERT INTO progress VALUES (0, 0, 0, '');
PRAGMA user_version = 3;`

// errUnusable says that a file is damaged, or of another version: it is set aside.
var errUnusable = errors.New("the inventory cannot be used")

// ErrForeign says that an inventory is of the journal in another directory.
var ErrForeign = errors.New("the inventory is of another hit journal")

// database is one connection to the file, so that a transaction is of it.
type database struct {
	pool *sql.DB
	conn *sql.Conn
}

// memoryPath is a database of this process alone, gone with it.
const memoryPath = ":memory:"

// openDatabase opens a file for writing, or makes it.
func openDatabase(ctx context.Context, path string) (*database, error) {
	if path != memoryPath {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("opening the inventory: %w: hits.inventory has to be a file in a directory in which user ID %d may write", err, os.Geteuid())
		}
	}
	db, err := connect(ctx, path, "rw", "PRAGMA busy_timeout = 5000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL",
		"PRAGMA journal_size_limit = 67108864", "PRAGMA cache_size = -16384")
	if err != nil {
		return nil, err
	}
	if err := db.prepareSchema(ctx); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

// openReader opens a file for reading alone.
func openReader(ctx context.Context, path string) (*database, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	db, err := connect(ctx, path, "ro", "PRAGMA busy_timeout = 5000", "PRAGMA mmap_size = 1073741824")
	if err != nil {
		return nil, err
	}
	version, err := db.version(ctx)
	if err == nil && version != schemaVersion {
		err = fmt.Errorf("%w: found schema version %d, expected %d", errUnusable, version, schemaVersion)
	}
	if err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

func connect(ctx context.Context, path, mode string, pragmas ...string) (*database, error) {
	name := path
	if path != memoryPath {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		name = (&url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=" + mode}).String()
	}
	pool, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		pool.Close()
		return nil, fault(err)
	}
	db := &database{pool: pool, conn: conn}
	for _, pragma := range pragmas {
		if err := db.exec(ctx, pragma); err != nil {
			db.close()
			return nil, err
		}
	}
	return db, nil
}

// create makes an empty file that nobody else reads, owned as its directory: the server has
// to read what root makes.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return ownAs(f, dir)
}

func (db *database) prepareSchema(ctx context.Context) error {
	if err := db.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	version, err := db.version(ctx)
	tables := 0
	if err == nil {
		err = fault(db.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables))
	}
	switch {
	case err != nil:
	case version == 0 && tables == 0:
		err = db.exec(ctx, schema)
	case version != schemaVersion:
		err = fmt.Errorf("%w: found schema version %d, expected %d", errUnusable, version, schemaVersion)
	}
	if err != nil {
		db.rollback()
		return err
	}
	return db.exec(ctx, "COMMIT")
}

// own takes a database for a journal. Two servers that are given one file would mix what they
// find.
func (db *database) own(ctx context.Context, journal string) error {
	journal, err := filepath.Abs(journal)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(journal); err == nil {
		journal = real
	}
	if _, err := db.conn.ExecContext(ctx, "UPDATE progress SET journal = ? WHERE journal = ''", journal); err != nil {
		return fault(err)
	}
	var of string
	if err := db.conn.QueryRowContext(ctx, "SELECT journal FROM progress").Scan(&of); err != nil {
		return fault(err)
	}
	if of != journal {
		return fmt.Errorf("%w: it is of the one in %s, expected %s: give each server a hits.inventory of its own, or remove the file where the journal was moved", ErrForeign, of, journal)
	}
	return nil
}

func (db *database) version(ctx context.Context) (n int, err error) {
	err = fault(db.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&n))
	return n, err
}

func (db *database) exec(ctx context.Context, statement string) error {
	_, err := db.conn.ExecContext(ctx, statement)
	return fault(err)
}

// rollback ends a transaction, also where the context of it has ended.
func (db *database) rollback() {
	_, _ = db.conn.ExecContext(context.Background(), "ROLLBACK") // fails where SQLite did so itself
}

func (db *database) close() {
	_ = db.conn.Close()
	_ = db.pool.Close()
}

// fault tells damage from other errors of SQLite.
func fault(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
	}
	return err
}

// Overtaken tells whether an error of CatchUp says no more than that another process is feeding
// the same database: what it read is there, and CatchUp can be called again.
func Overtaken(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// setAside renames an inventory with what SQLite keeps beside it, and tells its new name.
func setAside(path string, now time.Time) (string, error) {
	aside := path + ".aside-" + now.UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", err
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, nil
}
