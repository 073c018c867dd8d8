"""A run as JUnit XML, which CI systems show."""

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from interop_conformance.verdict import Result, Run, Verdict
from interop_protocol.printable import printable_lines

_SKIPPED = frozenset({Verdict.NOT_APPLICABLE, Verdict.BLOCKED, Verdict.NOT_RUN, Verdict.EXPECTED_FAILURE, Verdict.WARN})


def junit_of(run: Run) -> str:
    """Returns the XML. What does not keep the subject from being conformant is skipped, with its reason."""
    suite = TestSuite(f"conformance of {printable_lines(run.subject)}")
    suite.timestamp = run.started_at
    for result in run.results:
        suite.add_testcase(_case(result))
    document = JUnitXml(f"interopsim {run.profile}")
    document.add_testsuite(suite)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text.decode()


def _case(result: Result) -> TestCase:
    case = TestCase(result.check.id, classname=result.check.requirement, time=round(result.seconds, 3))
    message = printable_lines(f"{result.check.sentence} expected: {result.expected}; got: {result.got}")
    if result.verdict is Verdict.HARNESS_ERROR:
        case.result = [Error(message)]
    elif result.is_bad and result.verdict not in (Verdict.NOT_APPLICABLE, Verdict.EXPECTED_FAILURE):
        failure = Failure(message, result.check.level.value)
        failure.text = printable_lines(result.repeat)
        case.result = [failure]
    elif result.verdict in _SKIPPED:
        case.result = [Skipped(printable_lines(f"{result.verdict.value}: {result.got}"))]
    return case
