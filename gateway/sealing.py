"""Values that leave us and come back unchanged: sealed with AES-256-GCM.

Which question: how does a token carry its own facts, readable by us alone? Pure (nonces are arguments). The rule:
whoever opens a seal learns either the exact bytes that were sealed for that purpose, or nothing.

Layout of a sealed token, base64url without padding: key id (4 bytes, in clear) | nonce (12) | ciphertext and tag.
Subkeys are derived per purpose with HKDF-SHA256 (RFC 5869); rotation is by ring: the first key seals, all open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
_ID_BYTES = 4
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class BadSeal(Exception):
    """The token was not sealed by a key of this ring for this purpose, or was changed."""


class Sealer:
    """Seals and opens tokens of one purpose with a ring of keys, newest first."""

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"sealing keys must be {KEY_BYTES} bytes each, and at least one")
        self._ring = {_key_id(key): AESGCM(_subkey(key, purpose)) for key in keys}
        self._newest = _key_id(keys[0])
        self._nonces = _subkey(keys[0], f"{purpose} nonce")

    def seal(self, plain: bytes, nonce: bytes) -> str:
        """`plain` as a URL-safe token; `nonce` is 12 bytes, never used twice."""
        ciphertext = self._ring[self._newest].encrypt(nonce, plain, self._newest)
        return base64.urlsafe_b64encode(self._newest + nonce + ciphertext).rstrip(b"=").decode()

    def seal_alike(self, plain: bytes) -> str:
        """`plain` as a token that is always the same under one key: its nonce is a keyed hash of `plain`, so that
        equal nonces mean equal texts (a synthetic nonce, as in RFC 5297 §1.3.2).
        """
        return self.seal(plain, hmac.digest(self._nonces, plain, "sha256")[:NONCE_BYTES])

    def unseal(self, token: str) -> bytes:
        """What `seal` was given. Raises `BadSeal`."""
        if _TOKEN.fullmatch(token) is None:  # b64decode takes the other alphabet as well, and skips what is in neither
            raise BadSeal("not a sealed token")
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError as error:
            raise BadSeal("not a sealed token") from error
        key_id, nonce, ciphertext = (
            raw[:_ID_BYTES],
            raw[_ID_BYTES : _ID_BYTES + NONCE_BYTES],
            raw[_ID_BYTES + NONCE_BYTES :],
        )
        cipher = self._ring.get(key_id)
        if cipher is None or len(nonce) != NONCE_BYTES:
            raise BadSeal("sealed with no key of this ring")
        try:
            return cipher.decrypt(nonce, ciphertext, key_id)
        except InvalidTag as error:
            raise BadSeal("the seal is broken") from error


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"mcp-gateway key id" + key).digest()[:_ID_BYTES]


def _subkey(key: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=f"mcp-gateway {purpose}".encode()).derive(key)
