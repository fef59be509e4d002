package landing

import "os"

func require() bool { return os.Getenv("SINKHOLE_REQUIRE_TOOLS") == "1" }
