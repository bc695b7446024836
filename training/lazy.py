"""Attributes that are computed when they are first asked for, without a lock.

`functools.cached_property` of Python 3.11 holds one lock for all instances of a class while it computes. A DataLoader
forks its workers, maybe while our thread that makes batches ahead holds that lock: the child then waits for it for
ever. Here two threads that ask at once compute twice, to equal values.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


class lazy(Generic[Value]):
    """Makes a method such an attribute; a value that was set is not computed."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "lazy[Value]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> "Value | lazy[Value]":
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
