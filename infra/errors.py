"""Conditions that the person at the keyboard can cure."""

from __future__ import annotations


class UserError(Exception):
    """``str(error)`` is one sentence that names the object and the cure; it is shown without a traceback."""


class StorageError(UserError):
    """A place cannot be read, written or listed."""


class MissingError(StorageError):
    """There is nothing at the place."""


class SettingsError(UserError):
    """A setting is unknown or has a value that is not allowed."""


class BudgetSpentError(UserError):
    """A run has taken or cost what it may; what is done is kept."""


class DamagedError(UserError):
    """Something that was stored is not what was written, or was written by a newer version."""
