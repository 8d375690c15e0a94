r"""The command line: flags, then one call.

python -m redalign_jax --job=sweep --config=configs/redundancy.py --workdir=runs/redundancy \
    --config.sweep.seeds=32 --config.hyper.strength=0,1,4
"""

import contextlib
import os
import re
import shlex
import signal
import sys

if __name__ == "__main__" or os.path.basename(sys.argv[0]) == "redalign":  # the console script
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the rest loads ends without a word
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"  # names of files are UTF-8 for all that reads or writes them
        os.execv(sys.executable, sys.orig_argv)

from pathlib import Path

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from redalign_jax import config as configs
from redalign_jax import config_files, jobs, renamed, usage
from redalign_jax.errors import UserError
from redalign_jax.runtime import coordination, preemption, streams

_JOB = flags.DEFINE_enum("job", "sweep", list(jobs.JOBS), "What to do.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this experiment's files.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Join the processes that TPU, Slurm or the cluster has started."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of the first process, to join processes started by hand."
)
_PROCESSES = flags.DEFINE_integer("processes", None, "Their number.")
_PROCESS = flags.DEFINE_integer("process", None, "The number of this one, from 0.")
FLAGS = ("job", "config", "workdir", "distributed", "coordinator", "processes", "process")
try:
    _CONFIG = config_flags.DEFINE_config_file(
        "config", None, "The experiment, by name or file; a field: --config.section.field=value."
    )
except flags.Error as unreadable:  # it looks for fields in --flagfile at once
    print(f"redalign_jax: {str(unreadable).removeprefix('ERROR:: ')}", file=sys.stderr)
    sys.exit(2)


def _config(argv: list[str]) -> ConfigDict | None:
    """Parses the flags; every way in which they can be wrong becomes one line."""
    try:
        rest = flags.FLAGS(argv)
        config = _CONFIG.value
        if config is not None and not isinstance(config, ConfigDict):
            config.data  # noqa: B018 an unreadable file says so when it is first used
    except Exception as error:
        file = _named(argv)
        if file:
            config_files.load(file)  # if the fault is the file's own, it says so better
        raise _refused(error, argv, file) from None
    if len(rest) > 1:
        raise UserError(f"unexpected argument: {rest[1]}")
    return config


def _named(argv: list[str]) -> str:
    """The file of `--config`, "" where there is none."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config"):
            return value if equals else following
    return ""


def _refused(error: Exception, argv: list[str], file: str) -> UserError:
    """What flags are not, as one line."""
    if isinstance(error, flags.Error):
        return UserError(str(error).splitlines()[0])
    if isinstance(error, (AttributeError, KeyError)):
        unknown = set(re.findall(r"\w+", str(error)))
        fields = [a[2:].split("=")[0] for a in argv if a.startswith("--config.")]
        named = [f for f in fields if unknown & set(f.split(".")[1:])]
        if not named:
            return UserError(f"config: {error}".splitlines()[0])
        hint = re.search(r'Did you mean "(\w+)"', str(error))
        hint = f"; did you mean {hint[1]}?" if hint else ""
        hint = renamed.hint(named[0].removeprefix("config.")) or hint
        return UserError(f"unknown config field: {named[0]}{hint}")
    while error.__cause__:
        error = error.__cause__
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"config: {file or 'the file'} cannot be loaded: {reason}")


def _joined(argv: list[str]) -> contextlib.AbstractContextManager:
    """Inside, this process is one of its job's, if the flags say that there are any.

    Only these flags are read, so that a config that one process cannot read ends all of them.
    """
    read = flags.FlagValues()
    for flag in (_JOB, _DISTRIBUTED, _COORDINATOR, _PROCESSES, _PROCESS):
        read[flag.name] = flags.FLAGS[flag.name]
    try:
        read(argv, known_only=True)
    except flags.Error:
        return contextlib.nullcontext()  # `_config` says what is wrong
    by_hand = (read.coordinator, read.processes, read.process)
    given = [value is not None for value in by_hand]
    if any(given) and (not all(given) or read.distributed):
        raise UserError(
            "distributed: --coordinator, --processes and --process go together, without "
            "--distributed"
        )
    if not any(given) and not read.distributed:
        return contextlib.nullcontext()
    if read.job != "sweep":
        raise UserError(f"distributed: --job={read.job} runs in one process")
    return coordination.joined(*by_hand)


def _command(argv: list[str]) -> int:
    """Runs one job; returns the exit status.

    0, 2 for input that cannot be used, or 75 for a job that was asked to stop and goes on when it
    is started again.
    """
    logging.set_verbosity(logging.WARNING)
    logging.use_absl_handler()
    if usage.wanted(argv):
        said = {name: flags.FLAGS[name].help for name in FLAGS}
        print(usage.page(jobs.JOBS, said, full="--helpfull" in argv))
        return 0
    again = shlex.join(["python", "-m", "redalign_jax", *argv[1:]])
    try:
        with _joined(argv):
            config = _config(_with_paths(argv))
            if not _WORKDIR.value and _JOB.value not in jobs.WITHOUT_WORKDIR:
                raise UserError("workdir: --workdir=DIR is needed")
            if config is not None:
                config = configs.check(config)
            jobs.JOBS[_JOB.value](config, Path(_WORKDIR.value or ""))
    except UserError as error:
        print(f"redalign_jax: {error}", file=sys.stderr)
        return 2
    except preemption.Stopped as stopped:
        print(f"redalign_jax: {stopped}; to go on: {again}", file=sys.stderr)
        return preemption.STATUS
    except KeyboardInterrupt:
        said = "stopped at once, what was saved before stays"
        print(f"redalign_jax: {said}; to go on: {again}", file=sys.stderr)
        return preemption.STATUS
    return 0


def _with_paths(argv: list[str]) -> list[str]:
    """`--config=NAME` with the path of that experiment, and patterns of columns as one text."""
    found = list(argv)
    for i, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config") and equals:
            found[i] = f"{flag}={config_files.path(value)}"
        elif argument in ("--config", "-config") and i + 1 < len(argv):
            found[i + 1] = config_files.path(argv[i + 1])
        elif flag.lstrip("-") == "config.data.modalities":
            at, patterns = (i, value) if equals else (i + 1, (argv[i + 1 :] or [""])[0])
            # as "rna=rna_*,prot=prot_*", which is no literal of Python
            if set("=*+") & set(patterns) and patterns[0] not in "([\"'":
                found[at] = f"{flag}={(patterns,)!r}" if equals else repr((patterns,))
    return found


def main() -> int:
    """The command, on streams that may be closed or full, with Ctrl-C as an exception again.

    `python -m redalign_jax` and the console script `redalign` both call it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    streams.last()
    status = _command(sys.argv)
    streams.say_what_failed()
    return status


if __name__ == "__main__":
    sys.exit(main())
