"""Snakemake's events on standard output, one JSON object a line, in place of its text."""

from __future__ import annotations

import json
import logging
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

#: What is told of an event, beside its name.
_TOLD = {
    LogEvent.RUN_INFO: ("stats",),
    LogEvent.JOB_INFO: ("jobid", "rule_name"),
    LogEvent.JOB_STARTED: ("jobs",),
    LogEvent.JOB_FINISHED: ("job_id",),
    LogEvent.JOB_ERROR: ("jobid", "rule_name"),
    LogEvent.PROGRESS: ("done", "total"),
    LogEvent.ERROR: (),
}


class LogHandler(LogHandlerBase):
    """Chosen by ``snakemake --logger events``."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record that is an event or an error."""
        event: Any = getattr(record, "event", None)
        if event not in _TOLD and record.levelno < logging.ERROR:
            return
        told = {key: getattr(record, key) for key in _TOLD.get(event, ())}
        if record.levelno >= logging.ERROR:
            told["text"] = record.getMessage()
        print(json.dumps({"event": str(event), **told}, default=list), flush=True)
