"""`./dev chaos WORD [OPTIONS]`: tries to break the service, and says whether it held. Words have a `--help` each."""

import importlib
import sys

from chaos import scenarios

WORDS = {
    "workers": "kills and freezes workers while thousands of jobs run",
    "load": "three times what the workers can do; a tenant that floods; hoarding",
    "pictures": "thousands of hostile pictures through the public API",
}


def main() -> int:
    word, *options = sys.argv[1:] or [""]
    if word in scenarios.SCENARIOS:
        return scenarios.main([word, *options])
    if word in WORDS:
        return int(importlib.import_module(f"chaos.{word}").main(options))
    about = WORDS | {name: scenario.about for name, scenario in scenarios.SCENARIOS.items()}
    print(__doc__, *(f"  {name:14} {what}" for name, what in about.items()), sep="\n")
    return 0 if word in ("", "-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main())
