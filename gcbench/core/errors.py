"""Errors that the user can correct."""

import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class UserError(Exception):
    """A mistake in the input. Its message is one sentence that names the file or option and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


class PluginError(UserError):
    """A model, metric, dataset or evaluator raised an exception. trace: its traceback, for a file beside the run."""

    def __init__(self, message: str, trace: str):
        super().__init__(message)
        self.trace = trace


class NothingMeasured(Exception):
    """A run is whole and none of its numbers is there: exit code 1."""


class Stopped(KeyboardInterrupt):
    """A signal ended a training: exit code 128 + `signal`. step: that which was saved last, None if it did not wait."""

    def __init__(self, signal: int, step: int | None = None):
        super().__init__("stopped" if step is None else f"stopped at step {step}")
        self.signal = signal


@contextmanager
def calling(plugin: str) -> Iterator[None]:
    """Around a call into what a plug-in wrote: an exception of its own, or `sys.exit`, becomes a PluginError.

    plugin: what is called, as the sentence begins: `model mine.py:Mine`.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError(f"{plugin} raised {' '.join(what.split())}", traceback.format_exc()) from error


def tell_launcher(sentence: str) -> None:
    """Leave the sentence where torchrun looks for why a process ended: it ends its own report with it."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        content = {"message": sentence, "extraInfo": {"timestamp": str(int(time.time()))}}
        with suppress(OSError), open(file, "x", encoding="utf-8") as stream:
            json.dump({"message": content}, stream)
