"""Eighth link, `validation`: protovalidate rules. Requests by who receives them, responses by who sends them."""

from __future__ import annotations

from typing import ClassVar

import protovalidate
from google.protobuf.message import Message

from services.mesh.errors import MeshError
from services.mesh.interceptors.call import Call, Link

_MAX_VIOLATIONS = 20


def _path(violation: protovalidate.Violation) -> str:
    """The field that breaks a rule, for example `evidence[0].spans[2]`; empty for the message as a whole."""
    field = violation.proto.field
    if field is None:
        return ""
    steps = []
    for element in field.elements:
        subscript = f"[{element.subscript.value}]" if element.subscript is not None else ""
        steps.append(f"{element.field_name}{subscript}")
    return ".".join(steps)


class ValidationLink(Link):
    """Checks each message against the rules beside its fields."""

    name: ClassVar[str] = "validation"

    def on_request(self, call: Call, message: Message) -> None:
        """Refuse what breaks a rule, naming each field."""
        try:
            protovalidate.validate(message)
        except protovalidate.ValidationError as error:
            found = [(_path(item), item.proto.message or "") for item in error.violations[:_MAX_VIOLATIONS]]
            names = ", ".join(path or message.DESCRIPTOR.name for path, _ in found)
            raise MeshError(
                "INVALID_REQUEST",
                f"the request breaks a rule: {names}",
                metadata={"violations": str(len(found))},
                violations=found,
            ) from None

    def on_response(self, call: Call, message: Message) -> None:
        """A response that breaks a rule is a defect of ours: let the error boundary log it."""
        protovalidate.validate(message)
