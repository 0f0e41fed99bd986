"""Everything that runbus raises, by who can help.

    RunbusError
    ├── UsageError                             the call is wrong, and nothing was done
    │   ├── InvalidRunId (ValueError)
    │   ├── InvalidKeyPrefix (ValueError)
    │   ├── InvalidArgument (ValueError)
    │   ├── AnswerRefused (ValueError)         the answer does not fit the form
    │   ├── ParametersRefused (ValueError)     the parameters do not fit the flow
    │   ├── NoCurrentRun (LookupError, RuntimeError)
    │   ├── NobodyToAnswer (LookupError, RuntimeError)
    │   ├── AmbiguousRun (LookupError)         several runs of this name
    │   ├── UnnamedType (TypeError)
    │   ├── UnsupportedType (TypeError)
    │   ├── NotSerializable (TypeError)
    │   ├── MissingAwait (TypeError, AttributeError)
    │   ├── WrongSyntax (TypeError)
    │   └── MonkeyPatched (RuntimeError)       gevent or eventlet has replaced Python's threads
    ├── ConflictError                          somebody was first, or the state has moved on
    │   ├── NotPaused                          the run does not wait for an answer
    │   │   ├── OwnerGone                      its process has ended: nobody waits any more
    │   │   └── QuestionChanged                it is asked again: read it once more
    │   ├── AlreadyAnswered                    somebody was first
    │   ├── OwnerSilent                        maybe nobody waits for the answer: ask again
    │   ├── AlreadyEnded                       the run has ended
    │   ├── CannotPause (RuntimeError)         the run is in no state to pause in
    │   ├── PauseChanged                       a flow asks another kind of question by an old key
    │   └── RunLost                            another process has the run by now
    ├── NotFound (LookupError)                 what was asked for is not there
    │   ├── RunMissing                         runbus knows no run of this id
    │   │   └── RunExpired                     it has ended, and its record is not kept any more
    │   ├── DeploymentMissing
    │   └── NoResult                           a run that has nothing to return
    ├── RefusedError                           a limit, a right or a setting: an operator can help
    │   ├── SettingsError (ValueError)         a RUNBUS_* value is wrong
    │   ├── ServerRefused                      the server answered with an error
    │   │   └── RightMissing                   its user may not do this
    │   └── WireMismatch                       another version of runbus has stored what is there
    ├── UnreachableError                       a server does not answer: later it may
    │   ├── ServerUnreachable (ConnectionError)  asked again and again, to no avail
    │   ├── EmbeddedServerError                the server of this machine's own does not start
    │   ├── EndNotRecorded                     a run has ended, and its server does not take note
    │   └── NotDurable                         stored, but maybe not on the disk or the replicas
    │       └── DurabilityTimeout (TimeoutError)
    ├── SendRefused                            the input is not stored; each is of a branch, too
    │   ├── RunFinished (ConflictError)
    │   ├── KeyInUse (ConflictError)
    │   ├── InputTooLarge (RefusedError, ValueError)
    │   ├── StreamFull (RefusedError)
    │   ├── RunFull (RefusedError)
    │   └── TooMuchUnsent (RefusedError, BufferError)
    ├── UnsentInputs                           sends that a run or a loop left behind
    ├── MalformedEntry (ValueError)            somebody else's bytes on a stream
    ├── ReceiveTimeout (TimeoutError)
    ├── FlowPauseTimeout (TimeoutError)        nobody answered in time
    ├── RunNotEnded (TimeoutError)             a run that is waited for takes longer
    ├── FlowTimeout (TimeoutError)             a flow took longer than its `timeout_seconds`
    └── RunFailed                              a run ended otherwise than by returning

An input that arrives but does not fit the receiver's type raises pydantic's own
`ValidationError`, with a note that names the input.

    BaseException
    └── FlowInterrupt                          ends a flow; `except Exception` lets it pass
        ├── FlowRunCancelled
        ├── FlowRunSuspended
        └── FlowRunHandedBack                  its worker ends, another one goes on
"""

from runbus.errors.base import (
    ConflictError,
    NotFound,
    RefusedError,
    RunbusError,
    UnreachableError,
    UsageError,
)
from runbus.errors.conflict import (
    AlreadyAnswered,
    AlreadyEnded,
    CannotPause,
    NotPaused,
    OwnerGone,
    OwnerSilent,
    PauseChanged,
    QuestionChanged,
    RunLost,
)
from runbus.errors.ends import (
    FlowInterrupt,
    FlowPauseTimeout,
    FlowRunCancelled,
    FlowRunHandedBack,
    FlowRunSuspended,
    FlowTimeout,
    ReceiveTimeout,
    RunFailed,
    RunNotEnded,
)
from runbus.errors.missing import (
    DeploymentMissing,
    NoResult,
    RunExpired,
    RunMissing,
)
from runbus.errors.sends import (
    DurabilityTimeout,
    InputTooLarge,
    KeyInUse,
    MalformedEntry,
    NotDurable,
    RunFinished,
    RunFull,
    SendRefused,
    StreamFull,
    TooMuchUnsent,
    UnsentInputs,
)
from runbus.errors.server import (
    EmbeddedServerError,
    EndNotRecorded,
    RightMissing,
    ServerRefused,
    ServerUnreachable,
    SettingsError,
    WireMismatch,
)
from runbus.errors.usage import (
    AmbiguousRun,
    AnswerRefused,
    InvalidArgument,
    InvalidKeyPrefix,
    InvalidRunId,
    MissingAwait,
    MonkeyPatched,
    NobodyToAnswer,
    NoCurrentRun,
    NotSerializable,
    ParametersRefused,
    UnnamedType,
    UnsupportedType,
    WrongSyntax,
)

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
    "RightMissing",
    "RunExpired",
    "RunFailed",
    "RunFinished",
    "RunFull",
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
]

for _name in __all__:
    # Where they are to be imported from, for who reads a traceback.
    globals()[_name].__module__ = __name__
