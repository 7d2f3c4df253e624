"""`python -m dafusion_core` is the command line, for places where the script is not on PATH."""

from __future__ import annotations

from dafusion_core.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
