"""One QMP conversation, apart from sockets: bytes in, bytes out.

Greeting, capabilities negotiation, dispatch, events.  A wrong message gets an error answer and the conversation goes on.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from emu.qmp.errors import COMMAND_NOT_FOUND, QmpError, of_object
from emu.qmp.json_stream import JsonStream, SyntaxProblem
from emu.qmp.machine_api import Context
from emu.qmp.registry import COMMANDS, Registry
from emu.qmp.version import QMP_VERSION
from emu.qom import ObjectError

CAPABILITIES = ("oob",)
ENVELOPE_MEMBERS = ("execute", "arguments", "id")


class Session:
    """`send` gets every outgoing byte string; feed() takes incoming ones."""

    def __init__(self, context: Context, send: Callable[[bytes], None], *, pretty: bool = False,
                 commands: Registry = COMMANDS):  # fmt: skip
        self.context, self._send, self._commands = context, send, commands
        self._indent = 4 if pretty else None
        self._stream = JsonStream()
        self.negotiated = self.oob = False
        self._unsubscribe = context.machine.events.subscribe(self._on_event)
        self._put({"QMP": {"version": QMP_VERSION, "capabilities": list(CAPABILITIES)}})

    def close(self) -> None:
        """Stop listening to events."""
        self._unsubscribe()
        self._unsubscribe = lambda: None

    def feed(self, data: bytes) -> None:
        """Answer every message that `data` completes."""
        for _ in self.work(data):
            pass

    def work(self, data: bytes) -> Iterator[bool]:
        """The same, a message at each step."""
        for message in self._stream.feed(data):
            if isinstance(message, SyntaxProblem):
                self._put({"error": QmpError(message.text).to_json()})
            else:
                self._put(self._answer(message))
            yield True

    def _answer(self, message: Any) -> dict[str, Any]:
        echo = {"id": message["id"]} if isinstance(message, dict) and "id" in message else {}
        try:
            return {"return": self._execute(message), **echo}
        except QmpError as error:
            return {"error": error.to_json(), **echo}
        except ObjectError as error:
            return {"error": of_object(error).to_json(), **echo}
        except Exception as error:  # a defect of ours: the guest and the conversation survive it
            traceback.print_exc()
            return {"error": QmpError(f"internal error: {error!r}").to_json(), **echo}

    def _execute(self, message: Any) -> Any:
        name, arguments, oob = self._open_envelope(message)
        if name == "qmp_capabilities":
            return self._negotiate(arguments)
        if not self.negotiated:
            raise QmpError("Expecting capabilities negotiation with 'qmp_capabilities'", COMMAND_NOT_FOUND)
        command = self._commands.find(name)
        if oob:
            raise QmpError(f"The command {name} does not support OOB")
        return command(self.context, arguments)

    def _open_envelope(self, message: Any) -> tuple[str, dict[str, Any], bool]:
        if not isinstance(message, dict):
            raise QmpError("QMP input must be a JSON object")
        allowed = (*ENVELOPE_MEMBERS, "exec-oob") if self.oob else ENVELOPE_MEMBERS
        key = "exec-oob" if self.oob and "exec-oob" in message else "execute"
        for member, value in message.items():
            if member not in allowed or (member == "execute" and key == "exec-oob"):
                raise QmpError(f"QMP input member '{member}' is unexpected")
            if member == key and not isinstance(value, str):
                raise QmpError(f"QMP input member '{member}' must be a string")
            if member == "arguments" and not isinstance(value, dict):
                raise QmpError("QMP input member 'arguments' must be an object")
        if key not in message:
            raise QmpError("QMP input lacks member 'execute'")
        return message[key], message.get("arguments", {}), key == "exec-oob"

    def _negotiate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        wanted = self._commands.find("qmp_capabilities").arguments(arguments).get("enable") or []
        if self.negotiated:
            raise QmpError("Capabilities negotiation is already complete, command ignored", COMMAND_NOT_FOUND)
        self.oob, self.negotiated = "oob" in wanted, True
        return {}

    def _on_event(self, event: dict[str, Any]) -> None:
        if self.negotiated:
            self._put(event)

    def _put(self, message: dict[str, Any]) -> None:
        self._send(json.dumps(message, indent=self._indent).encode() + b"\r\n")
