"""Passwords as PostgreSQL keeps them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os


def verifier(password: str) -> str:
    """Return what a server can check a password with, of one round only.

    The usual 4,096 cost 20 ms for each connection, and tests open thousands. What they protect from is a
    password that can be guessed, which a random one cannot.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return "SCRAM-SHA-256$1:{}${}:{}".format(*parts)
