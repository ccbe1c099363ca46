# SPDX-License-Identifier: BSD-3-Clause
"""The key of a home and what it seals: Fernet (AES and a signature, so that another key is noticed).

The key is a file of mode 0600 in the home, made when the first secret is set, or the setting `secret_key` where several machines share a
database: one key, or several with commas between them, of which the first seals and all open.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.core.errors import SetupError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

FILE: Final = "secret.key"


class Sealer:
    """Seals and opens JSON documents. The key is read when it is first needed; cryptography is loaded then."""

    def __init__(self, home: Path, secret_key: str = "") -> None:
        self.file = home / FILE
        self._given = secret_key
        self._fernet: MultiFernet | None = None

    @property
    def where(self) -> str:
        """The key as a sentence names it."""
        return "the setting secret_key" if self._given else str(self.file)

    def has_key(self) -> bool:
        return bool(self._given) or self.file.exists()

    def seal(self, document: Any) -> str:
        """Raises SetupError when there is no key that can be used."""
        return self._key().encrypt(json.dumps(document).encode()).decode("ascii")

    def open(self, sealed: str) -> Any:
        """Raises SetupError when it was sealed with another key."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - only secrets need it

        try:
            return json.loads(self._key().decrypt(sealed.encode("ascii")))
        except InvalidToken:
            raise SetupError(
                f"The key in {self.where} is not the one this database's secrets were sealed with: "
                "put that key there, or delete those connections and variables and set them again."
            ) from None

    def make_key(self) -> None:
        """Make the key file, unless there is a key; of processes that do so at once, one makes it. Raises SetupError."""
        if self.has_key():
            return
        from cryptography.fernet import Fernet  # noqa: PLC0415 - as above

        draft = self.file.with_name(f"{FILE}.{os.getpid()}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(Fernet.generate_key())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self.file)  # whole from its first instant, and never over another one
            except FileExistsError:
                return
            finally:
                with contextlib.suppress(OSError):
                    draft.unlink()
        except OSError as error:
            raise SetupError(f"The key {self.file} cannot be made ({error.strerror or error}): change the folder's permissions.") from error

    def _key(self) -> MultiFernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - as above

            try:
                self._fernet = MultiFernet([Fernet(key.strip()) for key in self._text().split(",")])
            except ValueError:
                raise SetupError(f"There is no key in {self.where}: it takes 32 bytes in URL-safe base64, as nbflow makes them.") from None
        return self._fernet

    def _text(self) -> str:
        if self._given:
            return self._given
        try:
            if os.name == "posix" and stat.S_IMODE(self.file.stat().st_mode) & 0o077:
                raise SetupError(f"Others may read the key {self.file}: type chmod 600 {self.file}.")
            return self.file.read_text(encoding="ascii")
        except FileNotFoundError:
            raise SetupError(
                f"There is no key {self.file} to open this database's secrets with: "
                "put the key of the machine that set them there, or into the setting secret_key (NBFLOW_SECRET_KEY)."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"The key {self.file} cannot be read: {getattr(error, 'strerror', '') or error}.") from None
