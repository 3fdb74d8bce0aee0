"""Ports of Go's tests of defer and recover: runtime/defer_test.go and test/recover.go."""

import pytest

from gopy import deferring, panic


def value_of(exc):
    """What was given to panic()."""
    return exc and exc.args[0]


def must_recover(defer, value):
    assert value_of(defer.recover()) == value
    assert defer.recover() is None  # again


def must_not_recover(defer):
    assert defer.recover() is None


def test_unconditional_panic():
    """runtime/defer_test.go, TestUnconditionalPanic."""

    @deferring
    def body(defer):
        defer(must_recover, defer, "testUnconditional")
        panic("testUnconditional")

    body()


def test_open_and_non_open_defers():
    """runtime/defer_test.go, TestOpenAndNonOpenDefers and TestNonOpenAndOpenDefers."""

    @deferring
    def inner(defer):
        defer(must_recover, defer, "testOpenDefer")
        panic("testOpenDefer")

    @deferring
    def body(defer):
        for _ in range(1):
            defer(must_recover, defer, "testNonOpenDefer")
        inner()
        panic("testNonOpenDefer")

    body()


def test_conditional_defers():
    """runtime/defer_test.go, TestConditionalDefers."""

    @deferring
    def inner(defer, n):
        defer(found.append, 1)
        if n > 5:
            defer(found.append, 2)
            if n > 8:
                defer(found.append, 3)
            else:
                defer(found.append, 4)
        panic("testConditional")

    @deferring
    def body(defer):
        defer(must_recover, defer, "testConditional")
        inner(8)

    found = []
    body()
    assert found == [4, 2, 1]


def test_aborted_panic():
    """runtime/defer_test.go, TestAbortedPanic."""

    @deferring
    def body(defer):
        defer(must_not_recover, defer)
        defer(must_recover, defer, "panic2")
        defer(panic, "panic2")
        panic("panic1")

    body()


def test_recover_matching():
    """runtime/defer_test.go, TestRecoverMatching: not even a deferred function recovers if it was deferred by
    the one that the panic called."""

    @deferring
    def body(defer):
        defer(must_recover, defer, "panic1")

        @deferring
        def outer(second):
            second(must_not_recover, second)
            second(must_not_recover, defer)

        defer(outer)
        panic("panic1")

    body()


@pytest.mark.parametrize(("maxlevel", "rec"), [(6, 2), (5, 1), (6, 3)])
def test_defer_with_repeated_repanics(maxlevel, rec):
    """runtime/defer_test.go, TestDeferWithRepeatedRepanics."""
    levels = []

    @deferring
    def interpreter(defer, level):
        def handler():
            e = defer.recover()
            if e is None:
                return
            levels.append(level)
            if level != value_of(e):
                panic(e)

        defer(handler)
        if level + 1 < maxlevel:
            interpreter(level + 1)
        else:
            panic(rec)

    interpreter(0)
    assert levels == list(range(maxlevel - 1, rec - 1, -1))


def test_issue_43921():
    """runtime/defer_test.go, TestIssue43921."""

    @deferring
    def outer(defer):
        defer(must_recover, defer, 1)
        inner()

    @deferring
    def inner(defer):
        for _ in range(1):
            defer(lambda: None)

        @deferring
        def nested(defer):
            defer(must_recover, defer, 4)
            panic(4)

        defer(nested)
        panic(1)

    outer()


def test_issue_43920():
    """runtime/defer_test.go, TestIssue43920."""
    steps = []

    @deferring
    def body(defer):
        defer(must_recover, defer, 1)

        @deferring
        def second(defer):
            @deferring
            def third(defer):
                defer(must_recover, defer, 5)
                defer(panic, 5)
                panic(4)

            defer(third)
            defer(must_recover, defer, 3)
            defer(panic, 3)

        defer(second)

        @deferring
        def panics(defer):
            defer(steps.append, 1)
            panic(1)

        panics()

    body()
    assert steps == [1]


def test_issue_43941():
    """runtime/defer_test.go, TestIssue43941."""
    steps = []

    @deferring
    def body(defer):
        defer(lambda: (steps.append(14), must_recover_here()))

        def must_recover_here():
            assert defer.recover() is None  # a function that the deferred one calls

        defer(must_recover, defer, 4)

        @deferring
        def first(defer):
            @deferring
            def inner(defer):
                @deferring
                def last(defer):
                    defer(must_recover, defer, 3)
                    defer(panic, 3)
                    panic(2)

                defer(last)
                defer(must_recover, defer, 1)
                defer(panic, 1)

            inner()
            defer(lambda: None)
            defer(steps.append, 10)
            defer(steps.append, 9)
            steps.append(8)

        first()

        @deferring
        def second(defer):
            defer(steps.append, 13)
            defer(steps.append, 12)

            @deferring
            def fails(defer):
                defer(steps.append, 11)
                panic(4)

            fails()

        second()

    body()
    assert steps == [8, 9, 10, 11, 12, 13, 14]


def test_recover_only_when_called_directly():
    """test/recover.go, test1: not in a function that the deferred one calls, however deep."""

    def without_recover(defer):
        must_not_recover(defer)

    def without_recover_recursive(defer, n):
        if n == 0:
            without_recover_recursive(defer, 1)
        else:
            must_not_recover(defer)

    @deferring
    def test1(defer):
        defer(must_not_recover, defer)  # because must_recover will squelch it
        defer(must_recover, defer, 1)
        defer(without_recover, defer)
        defer(without_recover_recursive, defer, 0)
        panic(1)

    test1()


def test_recover_itself_deferred():
    """test/recover.go, test2 to test4: it squelches, also when a deferred function defers it."""

    @deferring
    def test2(defer):
        defer(must_not_recover, defer)
        defer(defer.recover)
        panic(2)

    @deferring
    def test3(defer):
        defer(must_not_recover, defer)
        defer(lambda: defer.recover())
        panic(3)

    @deferring
    def test4(defer):
        defer(must_not_recover, defer)
        defer(deferring(lambda second: second(defer.recover)))
        panic(4)

    test2()
    test3()
    test4()


def test_recover_in_methods():
    """test/recover.go, test9 to test16: deferred methods recover as functions do."""

    class T:
        def recovers(self, defer):
            assert value_of(defer.recover()) == self.value

        @deferring
        def panics(self, defer):
            self.value = 9
            defer(must_not_recover, defer)
            defer(self.recovers, defer)
            panic(9)

    T().panics()


def test_recover_of_a_run_time_error():
    """test/recover.go, test5 to test8, and test/recover2.go: errors that the language itself raises."""

    @deferring
    def body(defer, fn):
        defer(lambda: found.append(type(defer.recover())))
        fn()

    found = []
    for fn in (lambda: [][1], lambda: 1 // 0, lambda: None.x, lambda: {}[1], lambda: 1 + ""):
        body(fn)
    assert found == [IndexError, ZeroDivisionError, AttributeError, KeyError, TypeError]
