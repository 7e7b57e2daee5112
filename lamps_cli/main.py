"""The `lamps` command: one function a command, each a thin way into a flow or `lamps_core`.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 Ctrl-C with everything kept.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
from itertools import pairwise
from typing import NoReturn

import click

from lamps_cli.campaign import campaign, fingerprint
from lamps_cli.evaluate import evaluate
from lamps_cli.options import json_option, print_result
from lamps_cli.push import push
from lamps_cli.registry import datasets, models
from lamps_cli.search import search
from lamps_cli.server import ServerGone
from lamps_cli.simulate import simulate
from lamps_cli.train_policy import train_policy
from lamps_core import __version__
from lamps_core.errors import BadInput, LampsError

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def main() -> NoReturn:
    """Entry point of the console script."""
    # A log that cannot be sent, to a server that is gone or from a thread that was cut short, is nothing to tell.
    logging.raiseExceptions = bool(os.environ.get("LAMPS_DEBUG"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _check_encoding(sys.argv[1:])
        code = cli.main(standalone_mode=False, prog_name="lamps") or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        code = _fail(error.format_message(), 2)
    except BadInput as error:
        code = _fail(str(error), 2)
    except ServerGone as error:
        code = _fail(str(error), 1)
        # Prefect would try to send each of its events once more, seconds an event.
        sys.stdout.flush()
        os._exit(code)
    except LampsError as error:
        code = _fail(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        code = _fail("interrupted; what is done is kept, run the same command again to go on", 130)
    except Exception as error:
        if os.environ.get("LAMPS_DEBUG"):
            raise
        # Nobody gives such a name but the user.
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            code = _fail(f"{error.filename}: {error.strerror}: give a shorter one", 2)
        else:
            code = _fail(f"{type(error).__name__}: {error} (LAMPS_DEBUG=1 shows where)", 1)
    _say_no_more()
    sys.exit(code)


def _check_encoding(words: list[str]) -> None:
    """Refuse bytes that are no text: neither the journal, in JSON, nor Prefect's server takes them.

    Raises:
        BadInput: a word that is not UTF-8.
    """
    for before, word in pairwise(["lamps", *words]):
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
        if shown != word:
            raise BadInput(
                f"'{shown}' after {before} is not UTF-8: write it in UTF-8, and rename the file if it is called so"
            )


def _say_no_more() -> None:
    """The last line is written: whatever is left ends without a trace of how."""
    for one in (signal.SIGINT, signal.SIGTERM):  # another Ctrl-C does not wait for them
        signal.signal(one, signal.SIG_DFL)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    # A name may hold what steers a terminal.
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
    print(f"lamps: {shown}", file=sys.stderr)
    return code


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="lamps")
def cli() -> None:
    """Which pretrained language model should I fine-tune on my dataset?"""


for command in (search, campaign, fingerprint, train_policy, evaluate, simulate, push, models, datasets):
    cli.add_command(command)


@cli.command(epilog="Example: lamps report runs/reviews")
@click.argument("folder")
@json_option
def report(folder: str, as_json: bool) -> None:
    """Write the self-contained HTML report of a search, an evaluation, or the curves of a campaign."""
    from lamps_core.reports.writer import write_report
    from lamps_core.storage import given_path

    path = write_report(given_path(folder, "FOLDER", "runs/first"))
    print(json.dumps({"report": str(path)}) if as_json else path)


@cli.command(epilog="Example: lamps doctor")
@json_option
def doctor(as_json: bool) -> None:
    """What works on this machine, what does not, and how to mend it."""
    from dataclasses import asdict

    from prefect.settings import get_current_settings

    from lamps_cli.tables import print_checks
    from lamps_core.host.doctor import run_checks

    checks = run_checks(get_current_settings().api.url)
    print_result([asdict(check) for check in checks], lambda _: print_checks(checks), as_json=as_json)
    if any(check.ok is False for check in checks):
        raise LampsError("something above does not work")


if __name__ == "__main__":
    main()
