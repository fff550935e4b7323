"""Names what failed on each backend, after the suites of all.

`python summary.py FOLDER BACKEND ...` reads `FOLDER/BACKEND.xml`, pytest's report of each backend's suite, and
exits with 1 if a test failed or a suite has left no report.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree


def summary(folder, backends):
    """Lines to print, and whether all is well."""
    lines, well = [], True
    for backend in backends:
        report = folder / f"{backend}.xml"
        if not report.exists():
            lines, well = [*lines, f"{backend}: the suite ended without a report"], False
            continue
        tests = list(ElementTree.parse(report).getroot().iter("testcase"))
        failed = [test for test in tests if test.find("failure") is not None or test.find("error") is not None]
        skipped = sum(test.find("skipped") is not None for test in tests)
        lines.append(f"{backend}: {len(tests) - len(failed) - skipped} passed, {skipped} skipped, {len(failed)} failed")
        lines += [f"  FAILED on {backend}: {test.get('classname')}::{test.get('name')}" for test in failed]
        well = well and bool(tests) and not failed
    return lines, well


if __name__ == "__main__":
    lines, well = summary(Path(sys.argv[1]), sys.argv[2:])
    print("\n".join(lines))
    sys.exit(not well)
