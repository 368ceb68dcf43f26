"""Entry point of ``python -m deepbp``."""

from deepbp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
