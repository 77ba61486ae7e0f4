"""The errors that a user may see: what is wrong with which value and where, and in `hint` what to do about it."""


class PericiaError(Exception):
    """The parent of all. `exit_code` 1: the run failed; 2: the input is at fault. `status` is the HTTP status."""

    status = 500
    code = "server_error"
    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param


class InputError(PericiaError):
    """A value, file or question that cannot be used as it is."""

    status = 400
    code = "invalid_request_error"
    exit_code = 2


class ConfigError(InputError):
    """A fault in pericia.yaml or a flag; all faults of a file are reported in one message."""

    code = "invalid_config"


class NotFoundError(InputError):
    """A name, path or id that does not exist."""

    status = 404
    code = "not_found"


class ConflictError(PericiaError):
    """The thing exists but its state forbids the request, such as another run at work in the same folder."""

    status = 409
    code = "conflict"
    exit_code = 1


class MissingExtraError(PericiaError):
    """An optional library is not installed; the hint is the command that installs it."""

    status = 501
    code = "missing_extra"
    exit_code = 2


class ModelError(PericiaError):
    """A model could not be loaded or did not answer."""

    status = 502
    code = "model_error"


class StoreError(PericiaError):
    """A database that does not answer or refuses what it is asked; nothing that it holds was changed."""

    status = 503
    code = "store_unavailable"
    retryable = True


class PreflightError(InputError):
    """Training would fail silently, so it does not start. The message names the row and shows it decoded."""

    code = "preflight_failed"


class JobError(PericiaError):
    """Long work that stopped before its end; its last good state is kept."""

    code = "job_failed"


class EnoughError(Exception):
    """Raised by one who is told of progress and wants no more of it.

    By an `on_text`: the model ends and returns what it has written so far. By an `on_event`: the trainer saves the
    step, and passes the error on.
    """
