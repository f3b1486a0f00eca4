"""Measure everything; renew the baseline and docs/conformance.md; say what fails through the gateway, and why.

python -m tests.conformance
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance import page, scores
from tests.conformance.software import versions
from tests.conformance.stand import cells, stand
from tests.conformance.suite import Scenario


def main() -> None:
    with TemporaryDirectory() as folder, stand(Path(folder)) as measuring:
        for cell in cells():
            began = time.monotonic()
            scenarios = measuring.scenarios(cell)
            scored = [one for one in scenarios if not one.unscored]
            passed = sum(one.passed for one in scored)
            print(f"{cell}: {passed} of {len(scored)} required ({time.monotonic() - began:.1f} s)", flush=True)
            for scenario in scenarios:
                if scenario.complaints:
                    print(f"  {scenario.verdict}: {described(scenario)}")
        table = scores.tabulate(measuring.measured)
        scores.FILE.write_text(scores.dump(table), encoding="utf-8")
        page.FILE.write_text(page.page(table, versions()), encoding="utf-8")


def described(scenario: Scenario) -> str:
    return f"{scenario}" + (f"\n    (not required: {scenario.unscored})" if scenario.unscored else "")


if __name__ == "__main__":
    main()
