"""What calls of Numba's own functions give, found out once.

Numba goes through all versions of `+` or `[]` for each in every kernel, and again as
often as types spread: half the time of its type inference.

Built on what Numba keeps to itself, as `_parts`.
"""

from __future__ import annotations

import operator
from types import BuiltinFunctionType
from typing import Any

from numba import types

__all__ = ["Remembering", "signature_of"]

_known: dict[Any, Any] = {}


def signature_of(context: Any, function: Any, arguments: Any) -> Any:
    """Signature of a call of one of Numba's own functions."""
    key = function, arguments
    if key not in _known:
        _known[key] = function.get_call_type(context, arguments, {})
    return _known[key]


class Remembering:
    """Numba's typing context, but for what it would find out again."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def resolve_function_type(self, function: Any, args: Any, kws: Any) -> Any:
        """Signature of a call."""
        if isinstance(function, types.Function) and not kws:
            return signature_of(self.context, function, args)
        if not isinstance(function, (str, BuiltinFunctionType)):
            return self.context.resolve_function_type(function, args, kws)
        key = function, args  # an operator: no keywords
        if key not in _known:
            _known[key] = self.context.resolve_function_type(function, args, kws)
        return _known[key]

    def resolve_setitem(self, *args: Any) -> Any:
        """Signature of an assignment to an element."""
        function = self.context.resolve_value_type(operator.setitem)
        return signature_of(self.context, function, args)
