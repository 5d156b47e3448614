"""A report as the XML file that continuous integration reads, for a run in which pytest could not write its own."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from sdbench.cases.verdicts import Verdict
from sdbench.report.content import Report

_NO_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: Report) -> str:
    """One suite with a test for each case: failed where its verdict is bad, skipped where it did not run."""
    strict = bool(report.environment.get("strict"))
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", name="pytest", tests=str(len(report.cases)))
    properties = ET.SubElement(suite, "properties")
    for name, value in report.environment.items():
        ET.SubElement(properties, "property", name=name, value=_plain(value))
    counts = {"error": 0, "failure": 0, "skipped": 0}
    for case in report.cases:
        test = ET.SubElement(suite, "testcase", classname="benchmarks", name=case.id, time=f"{case.seconds:.3f}")
        if case.verdict is Verdict.ERROR:
            kind = "error"
        elif case.verdict.is_bad or (strict and case.verdict.is_open):
            kind = "failure"
        elif case.verdict is Verdict.NOT_RUN:
            kind = "skipped"
        else:
            continue
        counts[kind] += 1
        ET.SubElement(test, kind, message=_plain(f"{case.verdict.value}: {case.reason}"))
    suite.attrib |= {"errors": str(counts["error"]), "failures": str(counts["failure"])}
    suite.set("skipped", str(counts["skipped"]))
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _plain(value: object) -> str:
    return _NO_XML.sub("?", str(value))
