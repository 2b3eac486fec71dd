"""The gate: what the quick part leaves out, and skips that nobody expected."""

from __future__ import annotations

import textwrap

import pytest

SUITE = {
    "test_skips": """
        import pytest

        @pytest.mark.parametrize("reason", ["no bfloat16", "no time"])
        def test_skipped(reason):
            pytest.skip(reason)
    """,
    "test_parts": """
        import pytest

        def test_quick():
            pass

        @pytest.mark.slow
        def test_slow():
            pass

        @pytest.fixture
        def browser():
            pass

        def test_in_a_browser(browser):
            pass
    """,
}


@pytest.fixture
def run_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """A function that runs pytest, with the gate, on modules of a folder `suite`."""
    monkeypatch.setattr("tests.gate.EXPECTED_SKIPS", (("suite/test_skips.py::", "no bfloat16"),))

    def run(*flags: str, **modules: str) -> pytest.RunResult:
        for name, text in {**SUITE, **modules}.items():
            path = pytester.path / "suite" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return pytester.runpytest_inprocess(
            *("-p", "tests.gate", "-p", "no:cacheprovider", "--import-mode=importlib", *flags)
        )

    return run


def test_the_quick_part_says_what_it_left_out_and_how_to_run_it(run_suite):
    done = run_suite("-m", "not slow")
    done.assert_outcomes(passed=1, skipped=2, deselected=2)
    done.stdout.re_match_lines_random(
        [
            r" +1 browser \(need chromium, chromium-driver\)",
            r" +1 slow$",
            r"\./run_tests\.sh --all runs them too",
        ]
    )


def test_a_whole_run_leaves_nothing_out_and_may_skip(run_suite):
    done = run_suite()
    done.assert_outcomes(passed=3, skipped=2)
    assert done.ret == pytest.ExitCode.OK
    done.stdout.no_fnmatch_line("*left out*")


def test_an_unexpected_skip_fails_and_is_named_with_its_reason(run_suite):
    done = run_suite("--fail-on-skip")
    done.assert_outcomes(passed=3, skipped=1, failed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    name = "suite/test_skips.py::test_skipped[no time]"
    assert f"unexpected skip of {name}: no time" in done.stdout.str()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import pytest\npytest.importorskip('no_such_module')", "could not import"),
        (
            "import pytest\n@pytest.mark.parametrize('name', [])\ndef test_each(name): pass",
            "got empty parameter set",
        ),
        (
            "import pytest\n@pytest.mark.skipif(True, reason='no such machine')\ndef test(): pass",
            "no such machine",
        ),
        (
            "import pytest\n@pytest.fixture\ndef tool(): pytest.skip('not installed')\n"
            "def test(tool): pass",
            "not installed",
        ),
    ],
)
def test_every_kind_of_skip_is_noticed(run_suite, module, reason):
    done = run_suite("--fail-on-skip", "suite/test_more.py", test_more=module)
    assert done.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    output = done.stdout.str()
    assert "unexpected skip of suite/test_more.py" in output
    assert reason in output


@pytest.mark.parametrize("first", ["", "@pytest.fixture(scope='module')"])
def test_neither_a_test_nor_a_fixture_leaves_signal_handlers_behind(run_suite, first):
    module = f"""
        import signal
        import pytest

        {first}
        def test_it_ignores_signals():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        {"@pytest.mark.usefixtures('test_it_ignores_signals')" if first else ""}
        def test_one():
            assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN

        def test_another():
            assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    """
    done = run_suite("suite/test_more.py", test_more=module)
    done.assert_outcomes(passed=2 if first else 3)
