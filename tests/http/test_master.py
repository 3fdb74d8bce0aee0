"""The process that keeps the workers of `python -m gopy wsgi`, without any: what it does when it can't have one."""

import errno
import os
from argparse import ArgumentParser, Namespace

import pytest

from gopy.http import _workers


class Process:
    """A worker that says at once that it listens."""

    pid = 4711
    returncode = None

    def __init__(self, command, pass_fds):
        os.write(pass_fds[1], b"r")


@pytest.fixture
def master():
    master = _workers.Master(
        Namespace(app="app:app", bind="127.0.0.1:0", workers=1, grace=1, access_log=False)
    )
    yield master
    os.close(master._held)
    os.close(master._lifeline)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_worker_for_which_there_is_no_room_is_tried_again(master, number, monkeypatch, caplog):
    """fork() may fail for a while, which is no reason to end, neither at the start nor when a worker has died."""

    def fails(command, pass_fds):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_workers, "PAUSE", 0.001)
    monkeypatch.setattr(_workers.subprocess, "Popen", fails)
    master._start()
    assert "no worker could be started" in caplog.text and os.strerror(number) in caplog.text
    master._wanted.recv()
    monkeypatch.setattr(_workers.subprocess, "Popen", Process)
    master._start()
    assert master._ready.recv() is master._workers[0]


def test_a_pipe_that_cannot_be_had_is_tried_again(master, monkeypatch, caplog):
    def fails():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(_workers, "PAUSE", 0.001)
    with monkeypatch.context() as patched:
        patched.setattr(_workers.os, "pipe", fails)
        master._start()
    assert os.strerror(errno.EMFILE) in caplog.text
    master._wanted.recv()


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_workers_that_is_none(number, capsys):
    parser = ArgumentParser()
    _workers.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["app:app", f"--workers={number}"])
    assert f"must be 1 or more, got {number!r}" in capsys.readouterr().err
