"""`./dev chaos WORD [OPTIONS]`: tries to break the service, and says whether it held. Words have a `--help` each."""

import importlib
import sys

WORDS = {
    "pictures": ("chaos.corpus", "thousands of hostile pictures through the public API"),
}


def main() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word not in WORDS:
        print(__doc__, *(f"  {name:12} {what}" for name, (_, what) in WORDS.items()), sep="\n")
        return 0 if word in ("", "-h", "--help") else 2
    return int(importlib.import_module(WORDS[word][0]).main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
