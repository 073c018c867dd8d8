"""The plugin of pytest, as a suite elsewhere uses it: with and without asyncio, in workers, and when a test fails."""

import pytest

SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
CALM = ("-p", "no:cacheprovider", "-p", "no:randomly", "-q")


def run(pytester: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    """Runs a suite of one file in a process of its own."""
    pytester.makepyfile(code)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    return pytester.runpytest_subprocess(*CALM, *arguments, timeout=120)


def test_six_lines_are_a_test(pytester: pytest.Pytester) -> None:
    """The example of the documentation."""
    result = run(
        pytester,
        """
        def test_hello(alice, bob):
            bob.send(alice, "Hello")
            received = alice.receive()
            alice.send(bob, "Hello yourself", reply_to=received)
            assert bob.receive().text == "Hello yourself"
        """,
    )
    result.assert_outcomes(passed=1)


def test_tests_share_a_server_and_nothing_else(pytester: pytest.Pytester) -> None:
    """Each has a messenger and people of its own; who moves the clock or adds faults has a server of its own."""
    result = run(
        pytester,
        """
        import pytest
        seen = {}

        @pytest.mark.parametrize("turn", [1, 2])
        def test_shared(turn, interopsim, messenger, bob, alice, make_user, make_person):
            assert seen.setdefault("server", interopsim.endpoint) == interopsim.endpoint
            assert messenger.integrator == turn and bob.jid.startswith(f"{turn}-")
            assert make_user("carol").jid != bob.jid
            with pytest.raises(Exception, match="RECIPIENT_NOT_REACHABLE"):
                bob.send(make_person(opted_in=False), "Hello?")

        def test_clock(interopsim, clock, bob, alice):
            assert interopsim.endpoint != seen["server"]
            before = clock.now_ms()
            clock.freeze()
            clock.advance("1d")
            assert clock.now_ms() - before >= 86_400_000
            bob.connect()
            bob.send(alice, "still here")
            clock.resume()

        def test_faults(interopsim, faults, journal, alice, bob):
            assert interopsim.endpoint != seen["server"]
            faults.add('[[faults]]\\nname = "lost"\\ntimes = 1\\n'
                       'match = { stanza = "message", direction = "to_client" }\\ndrop = {}\\n')
            bob.send(alice, "lost")
            with pytest.raises(TimeoutError):
                alice.receive(seconds=0.3)
            assert faults.fired() == {"lost": 1}
            faults.clear()

        @pytest.mark.interopsim(seed=3, freeze_at="2026-01-01T00:00:00Z", limits={"token_audience": "me"})
        def test_marked(interopsim, journal, messenger):
            with pytest.raises(Exception, match="TOKEN_CLAIMS_INVALID"):
                messenger.user("bob")
            assert journal.refusals() == ["TOKEN_CLAIMS_INVALID"]
            [entry] = journal.entries(reason="TOKEN_CLAIMS_INVALID")
            assert entry["at_ms"] == 1_767_225_600_000 and entry["requirement"] == "ENL-07"
        """,
    )
    result.assert_outcomes(passed=5)


def test_a_suite_with_asyncio_waits_for_the_simulators_thread(pytester: pytest.Pytester) -> None:
    """With the clients of the SDK themselves."""
    result = run(
        pytester,
        """
        async def test_hello(interopsim, alice, bob):
            await interopsim.wait(bob.client.send_text(alice.jid, "Hello"))
            assert alice.receive().text == "Hello"
        """,
    )
    result.assert_outcomes(passed=1)


def test_workers_have_a_server_each(pytester: pytest.Pytester) -> None:
    """Under pytest-xdist."""
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.parametrize("turn", range(4))
        def test_hello(turn, alice, bob):
            bob.send(alice, f"Hello {turn}")
            assert alice.receive().text == f"Hello {turn}"
        """,
        "-n",
        "2",
    )
    result.assert_outcomes(passed=4)


def test_a_failure_shows_what_the_server_saw(pytester: pytest.Pytester) -> None:
    """Its decisions and the wire since the test began, and no more; versions stand in the header."""
    result = run(
        pytester,
        """
        def test_before(make_user):
            make_user("dave")

        def test_wrong(alice, bob):
            bob.send(alice, "top secret")
            assert alice.receive().text == "Good-bye"
        """,
        "-v",
    )
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "interopsim: 0." in text and "grpcio" in text and "without a seed" in text
    # Behind the sections pytest sums up, and tells the assertion with its text in full where CI is set.
    journal = text[text.index("interopsim: journal") : text.index("short test summary info")]
    assert "stanza.message" in journal and "dave" not in journal
    assert "interopsim: wire" in journal and "→ message" in journal
    assert "top secret" not in journal[journal.index("interopsim: wire") :]


def test_wrong_use_of_the_marker_is_told(pytester: pytest.Pytester) -> None:
    """As a sentence."""
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.interopsim(7)
        def test_wrong(interopsim):
            pass

        @pytest.mark.interopsim(frozen_at="2026-01-01T00:00:00Z")
        def test_unknown(interopsim):
            pass

        @pytest.mark.interopsim(limits={"send_brust": 1})
        def test_limit(interopsim):
            pass

        @pytest.mark.interopsim(seed="three")
        def test_seed(interopsim):
            pass
        """,
    )
    result.assert_outcomes(errors=4)
    said = result.stdout.str()
    assert "takes named choices: seed, freeze_at, limits, faults" in said
    assert "there is no option 'frozen_at': did you mean freeze_at?" in said
    assert "did you mean send_burst?" in said and "'three' is no seed" in said


def test_a_seed_makes_a_suite_repeatable(pytester: pytest.Pytester) -> None:
    """It stands in the header; the same one gives the same ids. What is none is wrong use."""
    suite = """
        def test_hello(interopsim):
            print("root", interopsim.endpoint.root_public_key.hex())
        """
    seen = set()
    for _ in range(2):
        text = run(pytester, suite, "-s", "-v", "--interopsim-seed", "7").stdout.str()
        assert ", seed 7" in text
        seen.add(text.partition("root ")[2][:64])
    assert len(seen) == 1
    for seed in ("-1", "9" * 5_000):
        wrong = run(pytester, suite, "--interopsim-seed", seed)
        assert wrong.ret == pytest.ExitCode.USAGE_ERROR and "is no seed" in wrong.stderr.str()
