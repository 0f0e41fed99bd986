"""Interactive Python workflows, on nothing but Redis.

A public name is imported from its own module when it is first asked for (PEP 562): the command line
shows its help, and a program sends an input, without what only flows and workers need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from runbus.errors import (
    AlreadyAnswered,
    AlreadyEnded,
    AmbiguousRun,
    AnswerRefused,
    CannotPause,
    ConflictError,
    DeploymentMissing,
    DurabilityTimeout,
    EmbeddedServerError,
    EndNotRecorded,
    FlowInterrupt,
    FlowPauseTimeout,
    FlowRunCancelled,
    FlowRunHandedBack,
    FlowRunSuspended,
    FlowTimeout,
    InputTooLarge,
    InvalidArgument,
    InvalidKeyPrefix,
    InvalidRunId,
    KeyInUse,
    MalformedEntry,
    MissingAwait,
    MonkeyPatched,
    NobodyToAnswer,
    NoCurrentRun,
    NoResult,
    NotDurable,
    NotFound,
    NotPaused,
    NotSerializable,
    OwnerGone,
    OwnerSilent,
    ParametersRefused,
    PauseChanged,
    QuestionChanged,
    ReceiveTimeout,
    RefusedError,
    RightMissing,
    RunbusError,
    RunExpired,
    RunFailed,
    RunFinished,
    RunFull,
    RunLost,
    RunMissing,
    RunNotEnded,
    SendRefused,
    ServerRefused,
    ServerUnreachable,
    SettingsError,
    StreamFull,
    TooMuchUnsent,
    UnnamedType,
    UnreachableError,
    UnsentInputs,
    UnsupportedType,
    UsageError,
    WireMismatch,
    WrongSyntax,
)
from runbus.green_threads import refuse_green_threads

if TYPE_CHECKING:
    from runbus import runtime as runtime
    from runbus.client import get_client
    from runbus.context import get_run_context
    from runbus.deployments import run_deployment, serve
    from runbus.execution.current_run import bound_run
    from runbus.flow_runs import (
        cancel_flow_run,
        pause_flow_run,
        resume_flow_run,
        suspend_flow_run,
        wait_for_flow_run,
    )
    from runbus.flows import Flow, flow
    from runbus.input import RunInput, RunInputMetadata, receive_input, send_input
    from runbus.logging import get_run_logger
    from runbus.protocol.durability import Replicated
    from runbus.protocol.ids import flow_run_id_for

refuse_green_threads()

__version__ = "0.1.0"

__all__ = [
    "AlreadyAnswered",
    "AlreadyEnded",
    "AmbiguousRun",
    "AnswerRefused",
    "CannotPause",
    "ConflictError",
    "DeploymentMissing",
    "DurabilityTimeout",
    "EmbeddedServerError",
    "EndNotRecorded",
    "Flow",
    "FlowInterrupt",
    "FlowPauseTimeout",
    "FlowRunCancelled",
    "FlowRunHandedBack",
    "FlowRunSuspended",
    "FlowTimeout",
    "InputTooLarge",
    "InvalidArgument",
    "InvalidKeyPrefix",
    "InvalidRunId",
    "KeyInUse",
    "MalformedEntry",
    "MissingAwait",
    "MonkeyPatched",
    "NoCurrentRun",
    "NoResult",
    "NobodyToAnswer",
    "NotDurable",
    "NotFound",
    "NotPaused",
    "NotSerializable",
    "OwnerGone",
    "OwnerSilent",
    "ParametersRefused",
    "PauseChanged",
    "QuestionChanged",
    "ReceiveTimeout",
    "RefusedError",
    "Replicated",
    "RightMissing",
    "RunExpired",
    "RunFailed",
    "RunFinished",
    "RunFull",
    "RunInput",
    "RunInputMetadata",
    "RunLost",
    "RunMissing",
    "RunNotEnded",
    "RunbusError",
    "SendRefused",
    "ServerRefused",
    "ServerUnreachable",
    "SettingsError",
    "StreamFull",
    "TooMuchUnsent",
    "UnnamedType",
    "UnreachableError",
    "UnsentInputs",
    "UnsupportedType",
    "UsageError",
    "WireMismatch",
    "WrongSyntax",
    "bound_run",
    "cancel_flow_run",
    "flow",
    "flow_run_id_for",
    "get_client",
    "get_run_context",
    "get_run_logger",
    "pause_flow_run",
    "receive_input",
    "resume_flow_run",
    "run_deployment",
    "send_input",
    "serve",
    "suspend_flow_run",
    "wait_for_flow_run",
]

_HOMES = {
    "get_client": "runbus.client",
    "get_run_context": "runbus.context",
    "run_deployment": "runbus.deployments",
    "serve": "runbus.deployments",
    "bound_run": "runbus.execution.current_run",
    "cancel_flow_run": "runbus.flow_runs",
    "pause_flow_run": "runbus.flow_runs",
    "resume_flow_run": "runbus.flow_runs",
    "suspend_flow_run": "runbus.flow_runs",
    "wait_for_flow_run": "runbus.flow_runs",
    "Flow": "runbus.flows",
    "flow": "runbus.flows",
    "RunInput": "runbus.input",
    "RunInputMetadata": "runbus.input",
    "receive_input": "runbus.input",
    "send_input": "runbus.input",
    "get_run_logger": "runbus.logging",
    "Replicated": "runbus.protocol.durability",
    "flow_run_id_for": "runbus.protocol.ids",
}
"""Where the names are that are not imported here yet."""

_MODULES = frozenset(
    {
        *("blocks", "client", "context", "deployments", "flow_runs", "flows", "input"),
        *("logging", "runtime", "settings", "variables"),
    }
)
"""What is found as `runbus.flows` without being imported by that name."""


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"runbus.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
